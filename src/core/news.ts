// What a run says of its list that the run before it did not. Knows nothing of how it is said.

import type { Report } from './report.ts'

export interface News {
  /** What failed, as if nothing else had: only jobs that did not fail in the run before, and ends of runs alike. */
  readonly fresh: Report
  /** What failed before, too, and was told of a week ago or longer. */
  readonly again: Report
  /** Jobs that failed before and failed now, told of or not. */
  readonly stillFailing: number
  /** Jobs that failed before and did not now. */
  readonly recovered: { readonly count: number; readonly samples: readonly RecoveredJob[] }
}

export interface RecoveredJob {
  readonly line: number
  /** Redacted. */
  readonly url: string
}
