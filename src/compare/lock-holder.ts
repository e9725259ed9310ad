// Shows what a lock is worth when its holder is ended: memory that threads share has no owner, a file's lock has one,
// and the kernel frees it. Knows nothing of downloads.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Demonstrations } from './result.ts'

type Shown = Demonstrations['killed_lock_holder'][number]

const HOLD = `
  const { parentPort, workerData } = require('node:worker_threads')
  Atomics.store(new Int32Array(workerData), 0, 1)
  parentPort.postMessage('locked')
  for (;;);
`

/** A thread takes a lock in shared memory and is terminated; whoever comes next tries to take it. */
async function endedThread(): Promise<Shown> {
  const memory = new SharedArrayBuffer(4)
  const holder = new Worker(HOLD, { eval: true, workerData: memory })
  await once(holder, 'message')
  await holder.terminate()
  const isLocked = Atomics.compareExchange(new Int32Array(memory), 0, 0, 1) !== 0
  const text = 'A lock in shared memory: its thread was ended by terminate(), and nobody is left to give it back.'
  return { mode: 'thread', is_still_locked: isLocked, text }
}

/** A process takes a lock on a file and is killed. */
async function killedProcess(flock: string, dir: string): Promise<Shown> {
  const file = join(dir, 'lock')
  const holder = spawn(flock, ['--no-fork', file, 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] })
  holder.stdin.write('locked\n')
  await once(holder.stdout, 'data')
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  const next = spawn(flock, ['--nonblock', file, 'true'], { stdio: 'ignore' })
  const [code] = await once(next, 'exit')
  const text = 'A lock on a file (flock): its process was killed, and the kernel gave the lock back with all it held.'
  return { mode: 'process', is_still_locked: code !== 0, text }
}

/** Without util-linux's `flock` only the thread is shown. */
export async function showKilledLockHolder(flock: string | undefined, dir: string): Promise<Shown[]> {
  return [...(flock === undefined ? [] : [await killedProcess(flock, dir)]), await endedThread()]
}
