// A run of a long list up to its first request: what it takes before anything happens. Nobody waits for the rest. Knows
// nothing of rounds.

import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Doorbell } from './doorbell.ts'
import type { Guarded } from './guard.ts'
import type { Once, RunOnce, Turn } from './rounds.ts'
import { commandOf, type Setting, toolEnvironment } from './setting.ts'
import { lastWords, startTimed, timedRun, toolPids, watchPeak } from './timed-run.ts'

/** Memory may still grow when downloads have begun. */
const WATCHED_AFTERWARDS_MS = 1500
const LIMIT_MS = 300_000
const LOOK_EVERY_MS = 20
/** Killed is not yet gone; and where nobody reaps orphans they are never gone. */
const DISMANTLE_MS = 2000
/** `USER_HZ`, the same on every Linux. */
const TICKS_PER_S = 100

/** `isOfFirst`: memory of the tool's first process only, which for mpdl is the supervisor. */
export function firstDownload(bell: Doorbell, isOfFirst: boolean): RunOnce {
  const watched = (run: Guarded) => (isOfFirst ? toolPids(run).slice(0, 1) : toolPids(run))
  return async (turn, setting) => {
    const { subject, watchesMemory, places } = turn
    const order = orderOf(turn, setting)
    // What downloads nothing is there for its end.
    if (!subject.bringsFiles) {
      const { measured, peakPssBytes, failure } = await timedRun(order)
      return { measured, peakPssBytes, wrong: failure }
    }
    const { rung } = await bell.rearm()
    const startedMs = performance.now()
    const run = startTimed(order)
    const peak = watchesMemory ? watchPeak(run, watched) : Promise.resolve(null)
    const limit = AbortSignal.any([order.signal, AbortSignal.timeout(LIMIT_MS)])
    const outOfTime = new Promise<undefined>((resolve) => limit.addEventListener('abort', () => resolve(undefined)))
    try {
      const rungMs = await Promise.race([rung, outOfTime, run.ended.then(() => undefined)])
      order.signal.throwIfAborted()
      if (rungMs === undefined) return { measured: undefined, peakPssBytes: null, wrong: wrongOf(places.sayings) }
      const measured = { wall_ms: rungMs - startedMs, cpu_ms: cpuMsOf(toolPids(run)) }
      if (watchesMemory) await Promise.race([sleep(WATCHED_AFTERWARDS_MS), run.ended])
      await end(run)
      return { measured, peakPssBytes: await peak, wrong: undefined } satisfies Once
    } finally {
      await end(run)
    }
  }
}

/** Its children may be in groups of their own, and take a moment to notice that nobody is there any more. */
async function end(run: Guarded): Promise<void> {
  const pids = toolPids(run)
  await run.stop()
  const deadlineMs = performance.now() + DISMANTLE_MS
  while (pids.some((pid) => existsSync(`/proc/${pid}`)) && performance.now() < deadlineMs) await sleep(LOOK_EVERY_MS)
}

const wrongOf = (sayingsPath: string) => `it asked for nothing: ${lastWords(sayingsPath)}`

function orderOf({ subject, prepared, places, watchesMemory }: Turn, { signal }: Setting) {
  return {
    command: commandOf(subject.command, prepared, places),
    env: toolEnvironment(places),
    sayingsPath: places.sayings,
    watchesMemory,
    signal,
  }
}

/** Of processes that still run, and of all that they have waited for. */
function cpuMsOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuMsOfOne(pid), 0)
}

function cpuMsOfOne(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name stands in parentheses and may itself hold some.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) * 1000) / TICKS_PER_S
  } catch {
    // Ended meanwhile.
    return 0
  }
}
