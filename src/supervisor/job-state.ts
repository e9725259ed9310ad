// What is known of a job between its first attempt and its outcome, and the row it becomes.

import type { AttemptRecord, JobRow, Progress } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'
import { describe, outcomeOf } from '../core/failure.ts'
import type { Job } from '../core/job.ts'
import { redactUrl } from '../core/redact.ts'
import type { JobEnd, JobRun, JobRunResult } from './job-run.ts'

export interface JobState {
  readonly job: Job
  readonly startedAtMs: number
  /** `--deadline` or `deadline=`, all attempts and waits together. */
  readonly deadline: { readonly timer: NodeJS.Timeout; readonly atMs: number; readonly afterMs: number } | undefined
  readonly attempts: AttemptRecord[]
  readonly warnings: string[]
  /** Index into `job.urls`. */
  mirror: number
  countedTries: readonly number[]
  /** Attempts so far; the one under way included. */
  attempt: number
  /** The wait before the next attempt, or before the one under way. */
  waitMs: number
  startOver: boolean
  /** The attempt under way; none while it waits. */
  run: JobRun | undefined
  lastFailure: Failure | undefined
  lastResult: JobRunResult | undefined
}

/** How far the attempt under way came; nothing while the job waits. */
export function progressOf({ job, run, attempt }: JobState): Progress[] {
  if (run === undefined) return []
  return [
    {
      index: job.index,
      line: job.line,
      out: job.target,
      pid: run.child?.pid ?? null,
      phase: run.child?.phase ?? 'starting',
      bytes: run.bytes,
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
  const transferMs = fetches.reduce((sum, { started, ended }) => sum + ended - started, 0)
  return {
    id: job.id,
    index: job.index,
    line: job.line,
    url: redactUrl(job.urls[state.mirror] ?? job.urls[0]),
    url_effective: facts?.urlEffective ?? null,
    out: job.target,
    outcome: end.ok ? end.outcome : outcomeOf(end.failure),
    reason: end.ok ? end.reason : describe(end.failure),
    failure: end.ok ? null : end.failure,
    http_code: facts?.status ?? null,
    size_download: bytes,
    size: end.ok ? end.sizeBytes : null,
    resumed_from: fetches[0]?.resumed_from ?? 0,
    proof: end.ok ? end.proof : null,
    sha256: lastResult?.sha256 ?? null,
    etag: facts?.etag ?? null,
    content_type: facts?.contentType ?? null,
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

function seconds(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.round(ms * 1000) / 1_000_000
}
