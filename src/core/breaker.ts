// Decides when jobs fail so alike, for a reason that is none of theirs, that going on is pointless. Knows nothing of
// processes or disks.

import type { Failure } from './failure.ts'
import { classOf } from './failure.ts'

/** Different jobs in a row that crashed in the same way, with no success between. */
export interface CrashStreak {
  readonly signature: string
  readonly jobs: readonly number[]
}

export const NO_CRASHES: CrashStreak = { signature: '', jobs: [] }
const JOBS_TO_BREAK = 5

function signatureOf(failure: Failure): string {
  switch (failure.kind) {
    case 'crash-signal':
      return `signal ${failure.signal}`
    case 'exit-without-result':
      return `exit code ${failure.exitCode}`
    case 'spawn':
      return `cannot start: ${failure.code}`
    case 'no-room':
      return 'no room on the disk'
    default:
      return failure.kind
  }
}

/** `failure` undefined is a success. `broken` names the crash once five different jobs had it in a row. */
export function countCrash(
  streak: CrashStreak,
  job: number,
  failure: Failure | undefined,
): { streak: CrashStreak; broken?: string } {
  if (failure === undefined) return { streak: NO_CRASHES }
  // Whose crash it was is not known yet, and one crash is many of these.
  if (failure.kind === 'suspect') return { streak }
  const of = classOf(failure)
  // A failed request says nothing about whether children can live here.
  const concernsAll =
    of === 'crashed' || of === 'spawn' || failure.kind === 'boot-timeout' || failure.kind === 'no-room'
  if (!concernsAll) return { streak }
  const signature = signatureOf(failure)
  const jobs = streak.signature === signature ? streak.jobs : []
  const next: CrashStreak = { signature, jobs: jobs.includes(job) ? jobs : [...jobs, job] }
  return next.jobs.length >= JOBS_TO_BREAK ? { streak: next, broken: signature } : { streak: next }
}
