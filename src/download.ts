// mpdl for programs: one function, the same run as on the command line, without log, screen or exit code. Composes,
// decides when the run is stopped and when nothing of it is left.

import { resolve } from 'node:path'
import type { JobRow, Outcome, RunEvent, RunHeader } from './core/event.ts'
import {
  elapsedMs,
  type FailureGroup,
  freshReport,
  isAllWell,
  type Report,
  type ReportWarning,
  type Stop,
  step,
  sumsUp,
} from './core/report.ts'
import type { DownloadOptions } from './download-options.ts'
import { type Plan, planOf } from './download-plan.ts'
import { detectHardening } from './isolation/hardening.ts'
import type { Jobs } from './jobs.ts'
import { isListFile, openJobs } from './open-jobs.ts'
import { ensureDir, spoolDir } from './places.ts'
import { runHeader, startSession } from './session.ts'
import { openCookieJar } from './supervisor/cookie-jar.ts'
import { RunRows } from './supervisor/run-rows.ts'
import { realWorld } from './supervisor/world.ts'

/**
 * What a run came to, once every child was joined.
 *
 * @example
 * const { ok, failures } = await download(jobs).report
 * if (!ok) for (const { count, host, sentence } of failures) console.error(count, host, sentence)
 */
export interface DownloadReport {
  /** Every job was downloaded, unchanged or skipped by rule, the run went to its end, and the sums add up. */
  readonly ok: boolean
  /** Jobs by outcome: together as many as there were. */
  readonly totals: Readonly<Record<Outcome, number>>
  /** By cause and host, each with its first jobs. */
  readonly failures: readonly FailureGroup[]
  /** The first 20. */
  readonly warnings: readonly ReportWarning[]
  /** Why the run ended before its last job; null where it did not. */
  readonly stopped: Stop | null
  /** What kept the downloads apart; null where there were none. */
  readonly isolation: RunHeader['mode'] | null
  /** Body bytes moved, of use or not. */
  readonly movedBytes: number
  /** Sizes of the files downloaded. */
  readonly fileBytes: number
  /** Of unfinished files, which the next run continues. */
  readonly keptBytes: number
  readonly elapsedMs: number
  /** What does not add up between the rows and what was counted apart from them; always empty unless mpdl is broken. */
  readonly discrepancies: readonly string[]
}

/**
 * A run under way. It goes on whether somebody reads its rows or not, and waits for nobody.
 *
 * Iterating yields each job once, in the order in which they end, those that never began included. Leaving the loop
 * early stops the run and joins its children, and so does `await using` at the end of its block; both wait until that
 * is done. Rows can be read once, by whoever begins before the report is there.
 *
 * @example
 * await using run = download(jobs)
 * for await (const { outcome, out, reason } of run) console.log(outcome, out, reason)
 */
export interface Download extends AsyncIterable<JobRow, void, undefined>, AsyncDisposable {
  /**
   * Resolves when every child is joined; failed downloads are rows and no errors. Rejects with a `JobsError` where the
   * jobs are wrong, with what their iterable or `onEvent` threw, and with the signal's reason where it came before the
   * first job. The loop throws the same. Nobody has to handle it.
   *
   * @example
   * const { ok, totals } = await download(jobs).report
   */
  readonly report: Promise<DownloadReport>
}

/**
 * Downloads files, each in a child of its own, as the command line does: with retries, resume and checks.
 *
 * All jobs are read, aside and not into memory, and checked before the first byte moves; an iterable that never ends
 * never starts. Each job that is wrong is told at once. No jobs are no error.
 *
 * @param jobs a URL, a job, any iterable of these, or a list file
 * @throws TypeError, RangeError for options that cannot work
 * @example
 * const jobs = ['https://example.com/a.pdf', { url: 'https://example.com/b', out: 'b.pdf' }]
 * await using run = download(jobs, { dir: 'pdf' })
 * for await (const job of run) console.log(job.outcome, job.out)
 * const { ok } = await run.report
 */
export function download(jobs: Jobs, options: DownloadOptions = {}): Download {
  const plan = planOf(options, listFileOf(jobs))
  const stop = new AbortController()
  const rows = new RunRows(spoolDir())
  let hasReader = false
  const report = run(jobs, { ...options, plan, stop, rows }).finally(() => {
    rows.end()
    // Nobody who has not begun to read by now is waited for with open files.
    if (!hasReader) rows.close()
  })
  report.catch(() => {})
  const leave = async () => {
    stop.abort()
    await report.catch(() => {})
    rows.close()
  }
  async function* read() {
    try {
      yield* rows.read()
      await report
    } finally {
      await leave()
    }
  }
  return {
    report,
    [Symbol.asyncIterator]() {
      if (hasReader) throw new Error('the rows of a run can be read once; keep them to see them again')
      if (rows.isClosed) throw new Error('the run is over; begin to read its rows before its report is awaited')
      hasReader = true
      return read()
    },
    [Symbol.asyncDispose]: leave,
  }
}

interface RunParts extends Pick<DownloadOptions, 'signal' | 'onEvent'> {
  readonly plan: Plan
  /** Ends the run from within. */
  readonly stop: AbortController
  readonly rows: RunRows
}

async function run(
  jobs: Jobs,
  { plan: { settings, rules }, stop, rows, signal, onEvent }: RunParts,
): Promise<DownloadReport> {
  const startedMs = realWorld.nowMs()
  const ending = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal])
  const { runDeadlineMs } = settings
  const tooLate = runDeadlineMs === undefined ? [] : [AbortSignal.timeout(runDeadlineMs)]
  const list = await openJobs(jobs, rules, AbortSignal.any([ending, ...tooLate]))
  const report = freshReport()
  if (list === undefined) return reportOf(report)
  rows.begin(list)
  const problem = ensureDir(settings.dir, 0o777)
  if (problem !== undefined) throw new Error(`cannot write into ${settings.dir}: ${problem}`)
  const cookies = settings.cookies === 'off' ? undefined : await openCookieJar(settings.cookies, detectHardening())
  if (cookies?.ok === false) throw new Error(cookies.problem)

  let thrown: { readonly error: unknown } | undefined
  const fail = (error: unknown) => {
    thrown ??= { error }
    stop.abort()
  }
  const emit = (event: RunEvent) => {
    step(report, event)
    rows.push(event)
    if (thrown !== undefined) return
    try {
      const returned: unknown = onEvent?.(event)
      if (returned instanceof Promise) returned.catch(fail)
    } catch (error) {
      fail(error)
    }
  }
  const warn = (message: string) => emit({ type: 'warning', at: realWorld.nowMs(), message })
  const { controls, done } = startSession({
    settings,
    list,
    ...(cookies === undefined ? {} : { cookies: cookies.jar }),
    header: runHeader(settings, list, { listPath: listFileOf(jobs) ?? null, argv: [], startedMs }),
    emit,
    warn,
  })
  const interrupt = () =>
    controls.interrupt(signal?.aborted === true ? `AbortSignal (${textOf(signal.reason)})` : 'the program')
  if (ending.aborted) interrupt()
  ending.addEventListener('abort', interrupt)
  try {
    await done
  } finally {
    ending.removeEventListener('abort', interrupt)
  }
  const unsaved = await cookies?.jar.save()
  if (unsaved !== undefined) warn(unsaved)
  if (thrown !== undefined) throw thrown.error
  return reportOf(report)
}

/** Absolute. */
function listFileOf(jobs: Jobs): string | undefined {
  return isListFile(jobs) ? resolve(jobs.list) : undefined
}

function textOf(reason: unknown): string {
  return reason instanceof Error ? reason.message : String(reason)
}

function reportOf(report: Report): DownloadReport {
  const { run, totals, stops, counts, movedBytes, fileBytes, keptBytes } = report
  return {
    ok: run === null || isAllWell(report),
    totals,
    failures: [...report.groups.values()],
    warnings: report.warnings,
    stopped: stops[0] ?? null,
    isolation: run?.mode ?? null,
    movedBytes,
    fileBytes,
    keptBytes,
    elapsedMs: elapsedMs(report),
    discrepancies: counts === null ? [] : sumsUp(report, counts),
  }
}
