// What a run's page is given: a row for each job with no more than the page shows, so that thousands of them are a few
// megabytes. Times of attempts are ms since the run began.

import type { Outcome, RunHeader } from '../core/event.ts'
import type { FailureOutcome } from '../core/failure.ts'

export interface PageAttempt {
  /** From 1; children that share the work of one attempt share its number. */
  readonly n: number
  readonly task: 'fetch' | 'hash'
  /** What ran it: `pid 4711`, `thread 3`. */
  readonly unit: string
  readonly from_ms: number
  readonly to_ms: number
  readonly result: 'done' | 'unchanged' | FailureOutcome
  /** Why it ended, what was sent to it and how it left; null when all went well. */
  readonly sentence: string | null
  readonly bytes: number
}

/** One job, or many that ended together without an attempt. */
export interface PageJob {
  /** The first, where there are many. */
  readonly line: number
  readonly lines: string
  readonly jobs: number
  /** Empty where there are many. */
  readonly out: string
  readonly url: string
  readonly outcome: Outcome
  readonly reason: string | null
  readonly warnings: readonly string[]
  readonly http_code: number | null
  readonly size_bytes: number | null
  readonly moved_bytes: number
  readonly kept_bytes: number
  readonly total_ms: number
  readonly attempts: readonly PageAttempt[]
}

export interface RunData {
  readonly run: RunHeader | null
  readonly elapsed_ms: number
  readonly exit_code: number
  readonly totals: Readonly<Record<Outcome, number>>
  readonly jobs_ended: number
  readonly moved_bytes: number
  readonly retries: number
  /** What a person should know beyond the jobs: sums that differ, early stops, warnings. */
  readonly problems: readonly string[]
  /** Jobs that found no room on the page, those that went well first. */
  readonly left_out: number
  readonly jobs: readonly PageJob[]
}
