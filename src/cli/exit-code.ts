// Decides the one number that scripts see. Knows nothing of how the run went beyond its report.

import type { FailureClass } from '../core/failure.ts'
import type { Report } from '../core/report.ts'
import { endedJobs, stopSignal } from '../core/report.ts'

/** wget's numbers, widened; 1, 12 and 71 are decided below. */
const CODE_OF_CLASS: readonly (readonly [FailureClass, number])[] = [
  ['file', 3],
  ['network', 4],
  ['tls', 5],
  ['auth', 6],
  ['protocol', 7],
  ['http', 8],
  ['integrity', 9],
  ['killed', 10],
  ['crashed', 11],
]
const SIGNAL_NUMBER: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }

const INTERNAL = 70
const STOPPED_EARLY = 12
const NO_PROCESSES = 71
const OTHER_FAILURE = 1

/**
 * The exit code of a run, by the table in the README. What casts doubt on the report itself comes first, then a
 * signal, then the lowest class from 3 to 11. A run that stopped because no child could be started says 71, the
 * cause, and not 12, its effect.
 */
export function exitCode(report: Report, discrepancies: readonly string[]): number {
  const { totals, classes, stops } = report
  if (discrepancies.length > 0 || totals.abandoned > 0 || (report.counts?.abandoned ?? 0) > 0) return INTERNAL
  const ofSignal = signalCode(stopSignal(report))
  if (ofSignal !== undefined) return ofSignal
  if (totals.downloaded + totals.unchanged + totals.skipped === endedJobs(report)) return 0
  if (stops.some(({ cause }) => cause === 'disk-full')) return 3
  const lowest = CODE_OF_CLASS.find(([of]) => classes.has(of))
  if (lowest !== undefined) return lowest[1]
  if (classes.has('spawn')) return NO_PROCESSES
  // Killed without a class: by the end of the run.
  const isUnfinished = totals.cancelled > 0 || totals['not-started'] > 0 || totals.killed > 0
  return isUnfinished || stops.length > 0 ? STOPPED_EARLY : OTHER_FAILURE
}

/** Of a run, or what follows it, that a signal has ended; undefined where none has. */
export function signalCode(signal: string | null | undefined): number | undefined {
  const number = SIGNAL_NUMBER[signal ?? '']
  return number === undefined ? undefined : 128 + number
}
