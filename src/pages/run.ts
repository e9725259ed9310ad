// Writes the page of a run as it is read. What went wrong is shown before what went well where there is no room for
// both. Knows nothing of how the page looks.

import type { AttemptRecord, JobRow, RunEvent } from '../core/event.ts'
import { describe, outcomeOf } from '../core/failure.ts'
import type { Report } from '../core/report.ts'
import { elapsedMs, endedJobs, isUnfinished, sumsUp } from '../core/report.ts'
import { chunked, type WriteChunk } from '../reporters/json.ts'
import { counted, linesText, warningText } from '../reporters/summary.ts'
import type { PageAttempt, PageJob, RunData } from './run-data.ts'
import { embedded, halves } from './template.ts'

/** A browser opens so many within two seconds; `mpdl report --format json` has them all. */
export const MOST_JOBS = 30_000

export interface RunPage {
  /** From the run's start to its end. */
  readonly events: AsyncIterable<RunEvent>
  /** What they add up to. */
  readonly report: Report
  readonly exitCode: number
  /** The built `run-page.html`. */
  readonly template: string
  readonly mostJobs?: number
}

/** One self-contained file; in memory is one job at a time. */
export async function writeRunPage(page: RunPage, write: WriteChunk): Promise<void> {
  const { events, report, exitCode, template, mostJobs = MOST_JOBS } = page
  const { downloaded, unchanged, skipped } = report.totals
  const goodJobs = downloaded + unchanged + skipped
  const badJobs = endedJobs(report) - goodJobs
  const room = { good: Math.max(0, mostJobs - badJobs), bad: mostJobs }
  const head: Omit<RunData, 'jobs' | 'left_out'> = {
    run: report.run,
    elapsed_ms: elapsedMs(report),
    exit_code: exitCode,
    totals: report.totals,
    jobs_ended: goodJobs + badJobs,
    moved_bytes: report.movedBytes,
    retries: report.retries,
    problems: problemsOf(report),
  }
  const out = chunked(write)
  const [before, after] = halves(template)
  // The head without its closing brace: the jobs follow as they come.
  await out.add(`${before}${embedded(head).slice(0, -1)},"jobs":[`)
  let leftOut = 0
  let separator = '\n'
  for await (const event of events) {
    const job = pageJob(event, report.run?.started ?? 0)
    if (job === null) continue
    if (room[isUnfinished(job.outcome) ? 'bad' : 'good']-- <= 0) {
      leftOut += job.jobs
      continue
    }
    const full = out.add(separator + embedded(job))
    separator = ',\n'
    // Waiting only for a full chunk saves a turn of the event loop for every row.
    if (full !== undefined) await full
  }
  await out.add(`],"left_out":${leftOut}}${after}`)
  await out.flush()
}

function problemsOf(report: Report): string[] {
  const { counts, stops, warnings, warningCount, unverified } = report
  const more = warningCount - warnings.length
  return [
    ...(counts === null ? ['Not finished: the log of this run has no end.'] : sumsUp(report, counts)),
    ...stops.map(({ reason }) => `Stopped early: ${reason}`),
    ...(report.run?.insecure === true ? ['Certificates were not verified (--insecure).'] : []),
    ...(unverified > 0 ? [`${counted(unverified, 'file')} unverified: the server gave no length.`] : []),
    ...warnings.map((warning) => `Warning: ${warningText(warning)}`),
    ...(more > 0 ? [`And ${counted(more, 'more warning')}.`] : []),
  ]
}

function pageJob(event: RunEvent, startedMs: number): PageJob | null {
  if (event.type === 'job-ended') return jobOf(event.row, startedMs)
  if (event.type !== 'jobs-ended') return null
  return {
    line: event.lines[0]?.[0] ?? 0,
    lines: linesText(event.lines),
    jobs: event.count,
    out: '',
    url: '',
    outcome: event.outcome,
    reason: event.reason,
    warnings: [],
    http_code: null,
    size_bytes: null,
    moved_bytes: 0,
    kept_bytes: 0,
    total_ms: 0,
    attempts: [],
  }
}

function jobOf(row: JobRow, startedMs: number): PageJob {
  const { line, out, url, outcome, reason, failure, warnings, http_code, size, size_download, kept } = row
  return {
    line,
    lines: `line ${line}`,
    jobs: 1,
    out,
    url,
    outcome,
    reason: reason ?? (failure === null ? null : describe(failure)),
    warnings,
    http_code,
    size_bytes: size,
    moved_bytes: size_download,
    kept_bytes: kept,
    total_ms: Math.round(row.time_total * 1000),
    attempts: row.attempts.map((attempt) => attemptOf(attempt, startedMs)),
  }
}

function attemptOf(attempt: AttemptRecord, startedMs: number): PageAttempt {
  const { n, task, unit, pid, thread, started, ended, bytes, failure } = attempt
  return {
    n,
    task,
    unit: thread === null ? (pid === null ? (unit ?? 'not started') : `pid ${pid}`) : `thread ${thread}`,
    from_ms: started - startedMs,
    to_ms: ended - startedMs,
    // What was told that it is not needed any more has not failed.
    result: failure === null || failure.kind === 'not-needed' ? doneOf(attempt) : outcomeOf(failure),
    sentence: sentenceOf(attempt),
    bytes,
  }
}

const doneOf = ({ result }: AttemptRecord) => (result === 'unchanged' ? 'unchanged' : 'done')

function sentenceOf({ failure, kill_reason, signal_sent, signal, exit_code }: AttemptRecord): string | null {
  if (failure === null && signal_sent === null) return null
  const why = failure === null ? kill_reason : describe(failure)
  const left = signal !== null ? `died of ${signal}` : exit_code === null ? null : `exit code ${exit_code}`
  return [why, signal_sent === null ? null : `${signal_sent} sent`, left].filter((part) => part !== null).join(', ')
}
