// Decides what became of a run in which one download went wrong, from what is there afterwards. Its own report counts
// only where it can be caught at a lie. Knows nothing of processes or files.

import type { RunEvent } from '../core/event.ts'
import { isAccepted, rowsOf } from './measure.ts'
import type { CompareMode, Culprit, FaultCell, KillMoment, RunFate } from './result.ts'

/** What was found out about one run from outside. */
export interface RunFacts {
  readonly startedMs: number
  readonly wallMs: number
  readonly exitCode: number | null
  readonly signal: string | null
  readonly endedBecause: string | null
  readonly isOutOfMemory: boolean
  /** Names of the files whose bytes are those of the origin. */
  readonly whole: ReadonlySet<string>
  readonly leftBehind: FaultCell['left_behind']
  readonly events: readonly RunEvent[]
}

/** From the best to the worst. */
const FATES: readonly RunFate[] = ['well', 'died', 'lied', 'never-ended']

/** `files`: how many there should be. */
export function fateOf(run: RunFacts, files: number): RunFate {
  if (run.endedBecause !== null && !run.isOutOfMemory) return 'never-ended'
  const claimsAbsent = rowsOf(run.events).some(({ outcome, out }) => outcome === 'downloaded' && !run.whole.has(out))
  if (claimsAbsent || (run.exitCode === 0 && run.whole.size < files)) return 'lied'
  return run.events.some(({ type }) => type === 'run-ended') && run.signal === null ? 'well' : 'died'
}

/** How the log leads to the line that went wrong. */
export function culpritOf({ events }: RunFacts, line: number): Culprit {
  const failed = events.filter((event) => event.type === 'attempt-ended' && event.attempt.failure !== null)
  const suspected = new Set<number>()
  const convicted = new Set<number>()
  for (const event of failed) {
    if (event.type !== 'attempt-ended') continue
    if (event.attempt.failure?.kind === 'suspect') suspected.add(event.line)
    else convicted.add(event.line)
  }
  if (convicted.size === 1 && convicted.has(line)) return suspected.size > 0 ? 'after-quarantine' : 'named'
  if (convicted.has(line) || suspected.has(line) || unfinishedLines(events).has(line)) return 'suspects-only'
  return 'not'
}

/** Whose attempts the log lets begin and never end: all that is known where the run itself ended. */
function unfinishedLines(events: readonly RunEvent[]): Set<number> {
  const lines = new Set<number>()
  for (const event of events) {
    if (event.type === 'attempt-started') lines.add(event.line)
    if (event.type === 'attempt-ended') lines.delete(event.line)
  }
  return lines
}

/** The fault happens before the first byte of the body that was just accepted. */
export function faultAtMs(events: readonly RunEvent[], line: number): number | null {
  return events.find((event) => isAccepted(event) && event.type === 'response' && event.line === line)?.at ?? null
}

type OfLine = Extract<RunEvent, { line: number }>

/** From the fault to the first thing that was done about it. */
export function noticedAfterMs(events: readonly RunEvent[], line: number): number | null {
  const faultMs = faultAtMs(events, line)
  const noticed = events.find((event): event is OfLine => {
    const isAct = event.type === 'signal-sent' || event.type === 'attempt-ended'
    return isAct && event.line === line && event.at >= (faultMs ?? 0)
  })
  return faultMs === null || noticed === undefined ? null : noticed.at - faultMs
}

/** What was done about the culprit, in its order; from the fault on, or from the run's start where that is unknown. */
export function killTimeline(run: RunFacts, line: number): KillMoment[] {
  const { events } = run
  const faultMs = faultAtMs(events, line)
  const zeroMs = faultMs ?? run.startedMs
  const noticedMs = noticedAfterMs(events, line)
  const moments: KillMoment[] = []
  const add = (atMs: number, what: KillMoment['what'], text: string) =>
    moments.push({ at_ms: Math.max(0, atMs - zeroMs), what, text })
  if (faultMs !== null) add(faultMs, 'fault', 'the download goes wrong')
  if (noticedMs !== null) add(zeroMs + noticedMs, 'noticed', firstAct(events, line))
  for (const event of events) {
    if (event.at < zeroMs) continue
    if (event.type === 'run-ended') add(event.at, 'run-ended', 'every job has its outcome')
    if (!('line' in event) || event.line !== line) continue
    if (event.type === 'signal-sent' && (event.signal === 'SIGTERM' || event.signal === 'SIGKILL'))
      add(event.at, event.signal, event.reason)
    if (event.type === 'attempt-ended') add(event.at, 'joined', endOf(event.attempt))
    if (event.type === 'attempt-started' && event.n > 1) add(event.at, 'retried', `attempt ${event.n}`)
  }
  if (run.endedBecause !== null) add(run.startedMs + run.wallMs, 'given-up', run.endedBecause)
  return moments
}

function firstAct(events: readonly RunEvent[], line: number): string {
  const act = events.find((event) => event.type === 'signal-sent' && event.line === line)
  return act?.type === 'signal-sent' ? act.reason : 'its end was seen'
}

function endOf({ exit_code, signal, result }: Extract<RunEvent, { type: 'attempt-ended' }>['attempt']): string {
  if (signal !== null) return `ended by ${signal}`
  return exit_code === null ? result : `${result}, exit code ${exit_code}`
}

/**
 * `first`: one attempt for each job, and the line goes wrong in every one, so that its quarantine finds it; `final`: it
 * goes wrong once, and there are retries. The same run where the first has shown that there will be none.
 */
export interface Rehearsed {
  readonly first: RunFacts
  readonly final: RunFacts
}

/** The run whose end says more against the mode. */
export function decisiveRun({ first, final }: Rehearsed, files: number): RunFacts {
  return FATES.indexOf(fateOf(first, files)) > FATES.indexOf(fateOf(final, files)) ? first : final
}

export function judgeCell(
  mode: CompareMode,
  rehearsed: Rehearsed,
  { line, files }: { readonly line: number; readonly files: number },
): Omit<FaultCell, 'log'> {
  const { first, final } = rehearsed
  const decisive = decisiveRun(rehearsed, files)
  const fate = fateOf(decisive, files)
  const hasEnded = fate !== 'never-ended'
  return {
    mode,
    files_first: first.whole.size,
    files_final: final.whole.size,
    fate,
    // Of a run that never ended they are those of whoever ended it.
    exit_code: hasEnded ? decisive.exitCode : null,
    signal: hasEnded ? decisive.signal : null,
    culprit: culpritOf(first, line),
    noticed_ms: noticedAfterMs(decisive.events, line),
    left_behind: [...new Set([first, final])].flatMap(({ leftBehind }) => leftBehind),
    kill_timeline: killTimeline(decisive, line),
  }
}
