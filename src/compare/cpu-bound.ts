// Shows how many cores the same work for the processor keeps busy when each job has a process or a thread, and when all
// share one event loop. Knows nothing of downloads: mpdl's own work hardly needs a processor.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { joinedCpuMs } from './proc.ts'
import type { CompareMode, Demonstrations } from './result.ts'

const JOBS = 8

/** One job: JSON and hashes, as a program that checks what it downloaded has them. A text, so that it loads nothing. */
const WORK = `{
  const { createHash } = require('node:crypto')
  const rows = Array.from({ length: 5000 }, (_, n) => ({ n, text: 'x'.repeat(n % 64) }))
  for (let round = 0; round < 240; round++) createHash('sha256').update(JSON.stringify(JSON.parse(JSON.stringify(rows)))).digest()
}`

/** Does the jobs in the way its first argument names, and ends. */
const PROGRAM = `
  const { spawn } = require('node:child_process')
  const { once } = require('node:events')
  const { Worker } = require('node:worker_threads')
  const [mode, jobs, cores, work] = process.argv.slice(1)
  const each = (count, start) => Promise.all(Array.from({ length: count }, (_, n) => start(n)))
  const inProcess = (text) => once(spawn(process.execPath, ['-e', text], { stdio: 'inherit' }), 'exit')
  const here = new Function('require', work)
  const ways = {
    process: () => each(Number(jobs), () => inProcess(work)),
    pool: () => each(Number(cores), () => inProcess('for (let job = 0; job < ' + jobs / cores + '; job++) ' + work)),
    thread: () => each(Number(jobs), () => once(new Worker(work, { eval: true }), 'exit')),
    inline: () => each(Number(jobs), async () => here(require)),
    sequential: async () => { for (let job = 0; job < jobs; job++) here(require) },
  }
  ways[mode]()
`

type Shown = Demonstrations['cpu_bound'][number]

export async function showCpuBound(modes: readonly CompareMode[], signal: AbortSignal): Promise<Shown[]> {
  const shown: Shown[] = []
  for (const mode of modes) {
    shown.push(await work(mode, signal))
    signal.throwIfAborted()
  }
  return shown
}

async function work(mode: CompareMode, signal: AbortSignal): Promise<Shown> {
  const cpuBeforeMs = joinedCpuMs()
  const began = performance.now()
  const args = ['-e', PROGRAM, mode, String(JOBS), String(availableParallelism()), WORK]
  // A group of its own, so that its children can be ended with it.
  const program = spawn(process.execPath, args, { detached: true, stdio: ['ignore', 'ignore', 'inherit'] })
  const end = () => {
    if (program.pid !== undefined) process.kill(-program.pid, 'SIGKILL')
  }
  signal.addEventListener('abort', end)
  await once(program, 'exit')
  signal.removeEventListener('abort', end)
  const wallMs = performance.now() - began
  const cpuMs = joinedCpuMs() - cpuBeforeMs
  return { mode, wall_ms: wallMs, cpu_ms: cpuMs, busy_cores: cpuMs / wallMs }
}
