// What is known of a job between its first attempt and its outcome, and the row it becomes.

import type { AttemptRecord, JobRow, Progress } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'
import { describe, outcomeOf } from '../core/failure.ts'
import type { Job } from '../core/job.ts'
import { redactUrl } from '../core/redact.ts'
import { totalBytes } from '../core/segment.ts'
import type { JobEnd, JobRun, JobRunResult } from './job-run.ts'

export interface JobState {
  readonly job: Job
  readonly startedAtMs: number
  /** `--deadline` or `deadline=`, all attempts and waits together. */
  readonly deadline: { readonly timer: NodeJS.Timeout; readonly atMs: number; readonly afterMs: number } | undefined
  readonly attempts: AttemptRecord[]
  readonly warnings: string[]
  /** Index into `job.urls`, of the attempt under way or the next one. */
  mirror: number
  /** The same of the last attempt that began: what is said of a failure is said of it. */
  askedMirror: number
  countedTries: readonly number[]
  /** Attempts so far; the one under way included. */
  attempt: number
  /** The wait before the next attempt, or before the one under way. */
  waitMs: number
  startOver: boolean
  /** A process ended with it and others in it: from now on it has one of its own. */
  isAlone: boolean
  /** What was there when the first response began, and was kept; undefined before it. */
  resumedFromBytes: number | undefined
  /** The most bytes of the file that were ever there. */
  furthestBytes: number
  /** The attempt under way; none while it waits. */
  run: JobRun | undefined
  lastFailure: Failure | undefined
  lastResult: JobRunResult | undefined
}

/** How far the attempt under way came; nothing while the job waits. */
export function progressOf({ job, run, attempt }: JobState): Progress[] {
  if (run === undefined) return []
  const { children, ranges } = run
  // The one that is furthest speaks for all.
  const child = children.find(({ phase }) => phase === 'receiving') ?? children[0]
  return [
    {
      index: job.index,
      line: job.line,
      out: job.target,
      pid: child?.pid ?? null,
      phase: child?.phase ?? 'starting',
      bytes: totalBytes(ranges),
      ranges,
      segments: children.length,
      sizeBytes: run.sizeBytes ?? null,
      attempt,
      startedAt: run.startedAtMs,
    },
  ]
}

/** The job's row in the report, once it has ended. */
export function rowOf(state: JobState, end: JobEnd, nowMs: number): JobRow {
  const { job, lastResult, attempts } = state
  const facts = lastResult?.facts
  const fetches = attempts.filter(({ task }) => task === 'fetch')
  const bytes = fetches.reduce((sum, attempt) => sum + attempt.bytes, 0)
  const transferMs = coveredMs(fetches)
  return {
    id: job.id,
    index: job.index,
    line: job.line,
    url: redactUrl(job.urls[state.askedMirror] ?? job.urls[0]),
    url_effective: facts?.urlEffective ?? null,
    out: end.ok ? end.out : job.target,
    outcome: end.ok ? end.outcome : outcomeOf(end.failure),
    reason: end.ok ? end.reason : describe(end.failure),
    failure: end.ok ? null : end.failure,
    http_code: facts?.status ?? null,
    size_download: bytes,
    size: end.ok ? end.sizeBytes : null,
    resumed_from: state.resumedFromBytes ?? 0,
    proof: end.ok ? end.proof : null,
    sha256: lastResult?.sha256 ?? null,
    etag: facts?.etag ?? null,
    content_type: facts?.contentType ?? null,
    decoded_from: facts?.decodedFrom ?? null,
    remote_ip: facts?.remoteAddress ?? null,
    num_redirects: facts?.redirects ?? 0,
    num_retries: Math.max(0, state.attempt - 1),
    time_namelookup: seconds(facts?.nameLookupMs),
    time_connect: seconds(facts?.connectMs),
    time_starttransfer: seconds(facts?.startTransferMs),
    time_total: (nowMs - state.startedAtMs) / 1000,
    speed_download: transferMs > 0 ? Math.round((bytes * 1000) / transferMs) : 0,
    kept: end.ok ? 0 : (lastResult?.keptBytes ?? 0),
    warnings: state.warnings,
    attempts,
  }
}

/** How long at least one of them was at work. */
function coveredMs(attempts: readonly AttemptRecord[]): number {
  let untilMs = 0
  let sumMs = 0
  for (const { started, ended } of attempts.toSorted((a, b) => a.started - b.started)) {
    sumMs += Math.max(0, ended - Math.max(started, untilMs))
    untilMs = Math.max(untilMs, ended)
  }
  return sumMs
}

function seconds(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.round(ms * 1000) / 1_000_000
}
