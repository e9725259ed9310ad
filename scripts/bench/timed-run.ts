// Runs one command and says how long it took, what processor time its whole tree used, and, where asked, how much
// memory that tree held at its peak. Knows nothing of what the command does.

import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { pssBytesOf, treeOf } from '../../src/compare/proc.ts'
import { type Guarded, startGuarded } from './guard.ts'
import type { Measured } from './result.ts'

// By bash: its `time` asks the kernel for what was waited for, to the millisecond, and adds no start-up to it. The
// kernel's own count, which Node could read, has hundredths of a second.
const TIMED = `TIMEFORMAT='mpdl-bench %3R %3U %3S'
time "$@" >"$0" 2>&1 </dev/null 3<&-`
const TIMES = /^mpdl-bench (\d+\.\d+) (\d+\.\d+) (\d+\.\d+)$/m

const LAST_WORDS_CHARS = 500
/** Of the leader and its guard, which come before the tool. */
const WRAPPERS = 2
const RUN_LIMIT_MS = 600_000

export interface RunOrder {
  readonly command: readonly string[]
  readonly env: NodeJS.ProcessEnv
  /** What the command says goes here. */
  readonly sayingsPath: string
  readonly watchesMemory: boolean
  readonly signal: AbortSignal
}

export interface RunEnd {
  /** Undefined when it was ended from outside. */
  readonly measured: Measured | undefined
  readonly peakPssBytes: number | null
  /** A sentence; undefined when it says that all went well. */
  readonly failure: string | undefined
}

export const startTimed = ({ command, env, sayingsPath }: RunOrder) =>
  startGuarded(TIMED, [sayingsPath, ...command], env)

/** The tool's own processes, the one that was started first. */
export const toolPids = ({ pid }: Guarded) => treeOf(pid).slice(WRAPPERS)

/** Rejects with the signal's reason when that is aborted; nothing it started is left in any case. */
export async function timedRun(order: RunOrder): Promise<RunEnd> {
  const { signal, sayingsPath } = order
  signal.throwIfAborted()
  const run = startTimed(order)
  const limit = AbortSignal.any([signal, AbortSignal.timeout(RUN_LIMIT_MS)])
  const stop = () => void run.stop()
  limit.addEventListener('abort', stop)
  const peak = order.watchesMemory ? watchPeak(run, toolPids) : Promise.resolve(null)
  const { code, stderr } = await run.ended
  limit.removeEventListener('abort', stop)
  const peakPssBytes = await peak
  signal.throwIfAborted()
  const [, wall, user, system] = TIMES.exec(stderr) ?? []
  if (wall === undefined) {
    const failure = limit.aborted ? `still ran after ${RUN_LIMIT_MS / 60_000} minutes` : `bash failed: ${stderr}`
    return { measured: undefined, peakPssBytes, failure }
  }
  return {
    measured: { wall_ms: toMs(wall), cpu_ms: toMs(user) + toMs(system) },
    peakPssBytes,
    failure: code === 0 ? undefined : `exit code ${code}: ${lastWords(sayingsPath)}`,
  }
}

/** Resolves when the run has ended; null where this system does not tell, or it was over before the first look. */
export async function watchPeak(run: Guarded, pidsOf: (run: Guarded) => number[]): Promise<number | null> {
  let peak: number | null = null
  let isOver = false
  void run.ended.finally(() => (isOver = true)).catch(() => {})
  while (!isOver) {
    const lookedMs = performance.now()
    const bytes = pssBytesOf(pidsOf(run))
    if (bytes !== null) peak = Math.max(peak ?? 0, bytes)
    // Looking costs the machine some time of each process, but some runs are over in milliseconds.
    await sleep(Math.max(1, performance.now() - lookedMs))
  }
  return peak
}

const toMs = (seconds = '0') => Math.round(Number(seconds) * 1000)

export function lastWords(sayingsPath: string): string {
  return readFileSync(sayingsPath, 'utf8').trim().slice(-LAST_WORDS_CHARS).replaceAll('\n', ' ')
}
