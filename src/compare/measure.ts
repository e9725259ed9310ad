// Decides what a run's events and what was seen of it from outside come to: how long, how much, in which lanes. Knows
// nothing of processes.

import type { AttemptRecord, JobRow, RunEvent } from '../core/event.ts'
import { outcomeOf } from '../core/failure.ts'
import type { CompareMode, LaneBar, ModeCost } from './result.ts'
import { COMPARE_MODES } from './result.ts'
import { medianOf, spreadIfAll, spreadOf } from './spread.ts'

/** What was seen of one run. */
export interface SeenRun {
  readonly startedMs: number
  readonly wallMs: number
  readonly cpuMs: number
  readonly peakPssBytes: number | null
  readonly events: readonly RunEvent[]
}

export interface RunMeasure {
  readonly mode: CompareMode
  readonly wallMs: number
  readonly cpuMs: number
  readonly peakPssBytes: number | null
  /** Since it was started; its whole time where no answer was ever taken. */
  readonly firstByteMs: number
  readonly unitStartMs: number | null
  /** Of one download, from its start to its end; null where none went well. */
  readonly downloadMs: number | null
  readonly jobs: number
  readonly bytes: number
  readonly lanes: readonly LaneBar[]
}

const isEndOfJob = (event: RunEvent) => event.type === 'job-ended'
const isEndOfAttempt = (event: RunEvent) => event.type === 'attempt-ended'

/** An answer whose body was taken, as the log tells it. */
export const isAccepted = (event: RunEvent) => event.type === 'response' && event.answer.startsWith('receive ')

export function rowsOf(events: readonly RunEvent[]): JobRow[] {
  return events.filter(isEndOfJob).map(({ row }) => row)
}

export function measureRun(mode: CompareMode, { startedMs, wallMs, cpuMs, peakPssBytes, events }: SeenRun): RunMeasure {
  const rows = rowsOf(events)
  const fetches = events.filter(isEndOfAttempt).filter(({ attempt }) => attempt.task === 'fetch')
  const boots = fetches.map(({ attempt }) => attempt.boot_ms).filter((ms) => ms !== null)
  const done = fetches.filter(({ attempt }) => attempt.result === 'done').map(({ attempt }) => attempt)
  const accepted = events.find(isAccepted)
  return {
    mode,
    wallMs,
    cpuMs,
    peakPssBytes,
    firstByteMs: accepted === undefined ? wallMs : accepted.at - startedMs,
    unitStartMs: boots.length === 0 ? null : medianOf(boots),
    downloadMs: done.length === 0 ? null : medianOf(done.map(({ started, ended }) => ended - started)),
    jobs: rows.length,
    bytes: rows.reduce((sum, row) => sum + (row.size ?? 0), 0),
    lanes: lanesOf(events, startedMs),
  }
}

/** Attempts in the fewest lanes in which none overlaps another, by their beginnings. */
export function lanesOf(events: readonly RunEvent[], startedMs: number): LaneBar[] {
  const names = new Map(events.flatMap((event) => (event.type === 'job-started' ? [[event.line, event.out]] : [])))
  const ended = events.filter(isEndOfAttempt).filter(({ attempt }) => attempt.task === 'fetch')
  const freeAt: number[] = []
  return ended
    .toSorted((a, b) => a.attempt.started - b.attempt.started)
    .map(({ line, attempt }) => {
      const free = freeAt.findIndex((at) => at <= attempt.started)
      const lane = free === -1 ? freeAt.length : free
      freeAt[lane] = attempt.ended
      return {
        lane,
        line,
        name: names.get(line) ?? '',
        from_ms: attempt.started - startedMs,
        to_ms: attempt.ended - startedMs,
        ready_ms: Math.min(attempt.ended, attempt.started + (attempt.boot_ms ?? 0)) - startedMs,
        result: resultOf(attempt),
        is_retry: attempt.n > 1,
      }
    })
}

function resultOf({ result, failure }: AttemptRecord): LaneBar['result'] {
  if (result !== 'failed' || failure === null) return result
  const outcome = outcomeOf(failure)
  return outcome === 'killed' || outcome === 'crashed' ? outcome : 'failed'
}

/** The runs of all modes, several of each, as what each mode costs; strongest first. */
export function costsOf(runs: readonly RunMeasure[]): ModeCost[] {
  const of = (mode: CompareMode) => runs.filter((run) => run.mode === mode)
  const sequential = of('sequential')
  // Without isolation, and at once like the others if that was measured.
  const inline = of('inline').length > 0 ? of('inline') : sequential
  const downloads = (sequential.length > 0 ? sequential : runs).map((run) => run.downloadMs).filter((ms) => ms !== null)
  const context: Context = {
    sequentialMs: sequential.length === 0 ? null : medianOf(sequential.map(({ wallMs }) => wallMs)),
    inlineCpuMs: inline.length === 0 ? null : medianOf(inline.map(({ cpuMs }) => cpuMs)),
    downloadMs: downloads.length === 0 ? null : medianOf(downloads),
  }
  return COMPARE_MODES.filter((mode) => of(mode).length > 0).map((mode) => costOf(mode, of(mode), context))
}

interface Context {
  readonly sequentialMs: number | null
  readonly inlineCpuMs: number | null
  /** Of a download that nothing held up. */
  readonly downloadMs: number | null
}

function costOf(mode: CompareMode, runs: readonly RunMeasure[], context: Context): ModeCost {
  const wall = spreadOf(runs.map(({ wallMs }) => wallMs))
  const cpu = spreadOf(runs.map(({ cpuMs }) => cpuMs))
  const perUrl = isolationPerUrl(mode, cpu.median, runs, context)
  return {
    mode,
    wall_ms: wall,
    files_per_s: spreadOf(runs.map(({ jobs, wallMs }) => (jobs * 1000) / wallMs)),
    bytes_per_s: spreadOf(runs.map(({ bytes, wallMs }) => (bytes * 1000) / wallMs)),
    cpu_ms: cpu,
    peak_pss_bytes: spreadIfAll(runs.map(({ peakPssBytes }) => peakPssBytes)),
    first_byte_ms: spreadOf(runs.map(({ firstByteMs }) => firstByteMs)),
    unit_start_ms: spreadIfAll(runs.map(({ unitStartMs }) => unitStartMs)),
    ratio_to_sequential: context.sequentialMs === null ? null : wall.median / context.sequentialMs,
    isolation_cpu_ms_per_url: perUrl,
    isolation_share: perUrl === null || context.downloadMs === null ? null : perUrl / context.downloadMs,
    lanes: runs.toSorted((a, b) => a.wallMs - b.wallMs)[Math.floor((runs.length - 1) / 2)]?.lanes ?? [],
  }
}

function isolationPerUrl(
  mode: CompareMode,
  cpuMs: number,
  [run]: readonly RunMeasure[],
  { inlineCpuMs }: Context,
): number | null {
  const isIsolated = mode !== 'inline' && mode !== 'sequential'
  if (!isIsolated || inlineCpuMs === null || run === undefined || run.jobs === 0) return null
  return (cpuMs - inlineCpuMs) / run.jobs
}
