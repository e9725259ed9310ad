// One run of a list: its settings, log, reports, hook and exit code. Composes, decides little.

import { accessSync, constants, statSync } from 'node:fs'
import type { Reporter, RunEvent, RunHeader } from '../core/event.ts'
import type { News } from '../core/news.ts'
import { printable } from '../core/printable.ts'
import { freshReport, step, sumsUp } from '../core/report.ts'
import { formatDuration } from '../core/units.ts'
import { detectHardening } from '../isolation/hardening.ts'
import { settlesWithin } from '../isolation/settles-within.ts'
import { ensureDir, historyPath, logDirFor, spoolDir, stateDir } from '../places.ts'
import { fanOut, type NamedReporter } from '../reporters/fan-out.ts'
import { createPlainReporter, type PlainOptions, quietWriter } from '../reporters/plain.ts'
import { statusLines } from '../reporters/status.ts'
import { runHeader, startSession } from '../session.ts'
import { type CookieJar, openCookieJar } from '../supervisor/cookie-jar.ts'
import { openEventLog } from '../supervisor/event-log.ts'
import type { JobList, ListSource } from '../supervisor/job-list.ts'
import { openListHistory } from '../supervisor/list-history.ts'
import type { Settings } from '../supervisor/settings.ts'
import { listenToSignals } from '../supervisor/signals.ts'
import { realWorld } from '../supervisor/world.ts'
import { exitCode, signalCode } from './exit-code.ts'
import { callHook } from './hook.ts'
import type { Ending } from './leave.ts'
import { listPathOf } from './list-source.ts'
import { openList } from './open-list.ts'
import { writeOutputs } from './outputs.ts'
import { ownFilesOf } from './own-files.ts'
import { printPlan } from './plan.ts'
import { redactArgv } from './redact-argv.ts'
import type { RawRunOptions } from './run-options.ts'
import { settingsOf } from './settings-of.ts'
import { UsageError } from './usage-error.ts'

export interface GetRequest {
  readonly operands: readonly string[]
  readonly options: RawRunOptions
  /** Those of them that were not typed, as words; redacted. */
  readonly untyped: readonly string[]
  readonly argv: readonly string[]
  /** Only these jobs of the list, asked once it is open. */
  readonly select?: (list: JobList) => (index: number) => boolean
}

/** Where a run comes from. */
export interface RunOrigin {
  /** Of the list and its directory; undefined: another list each time, of which nothing need be remembered. */
  readonly key: string | undefined
  /** Ms since the epoch. */
  readonly started: number
  readonly lockProblem: string | undefined
}

/** Nothing is lost with what does not close: a thread pool that a download has filled closes nothing. */
const CLOSE_MS = 2000

/** Opens the list, and runs it or prints its plan. Throws a UsageError for what is wrong with either. */
export async function runSource(source: ListSource, request: GetRequest, origin: RunOrigin): Promise<Ending> {
  const { options } = request
  const list = await withinDeadline(openList(source, options, 'downloaded'), options.runDeadline)
  try {
    requireLines(list, options.inject ?? [])
    if (options.dryRun === true) return { code: await printPlan(list, options, request.select?.(list)) }
    return await runList(request, list, origin)
  } finally {
    list.close()
  }
}

/** A list that never ends to arrive must not outlast the run's own deadline. */
async function withinDeadline<T>(opening: Promise<T>, deadlineMs: number | undefined): Promise<T> {
  if (deadlineMs === undefined) return await opening
  const { promise: tooLate, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    const shown = formatDuration(deadlineMs)
    reject(new UsageError(`the list was not read within ${shown} (--run-deadline); nothing was downloaded`, 12))
  }, deadlineMs)
  try {
    return await Promise.race([opening, tooLate])
  } finally {
    clearTimeout(timer)
  }
}

/** A rehearsal of a line that is no job would rehearse nothing. */
function requireLines(list: JobList, orders: readonly { readonly line: number }[]): void {
  const missing = new Set(orders.map(({ line }) => line))
  for (let index = 0; index < list.size && missing.size > 0; index++) missing.delete(list.lineOf(index))
  const [line] = missing
  if (line !== undefined) throw new UsageError(`--inject: line ${line} of ${list.name} is no job`)
}

async function runList(request: GetRequest, list: JobList, { key, started, lockProblem }: RunOrigin): Promise<Ending> {
  const { options } = request
  const listPath = listPathOf(request.operands)
  const ownFiles = ownFilesOf(options, listPath)
  const ask = async (user: string) => (await import('./ask-password.ts')).askPassword(user)
  const settings = Object.freeze({ ...(await settingsOf(options, ask)), ownFiles })
  requireDir(settings.dir)
  const cookies = await cookiesOf(settings)
  const select = request.select?.(list)
  const header = runHeader(settings, list, {
    listPath,
    argv: redactArgv(request.argv),
    untyped: request.untyped,
    startedMs: started,
    ...(select === undefined ? {} : { jobs: countSelected(list.size, select) }),
  })
  const history =
    key === undefined
      ? undefined
      : await openListHistory({
          path: historyPath(key),
          list,
          ...(select === undefined ? {} : { only: select }),
          told: options.notify === 'changes' ? 'new' : 'all',
          isAdHoc: listPath === null && options.metrics === undefined,
        })
  const report = freshReport()
  let news: News | undefined
  const isTty = options.progress === 'tty' || (options.progress === 'auto' && process.stderr.isTTY === true)
  // Made before the log: its problems are told through it.
  const emit = (event: RunEvent) => {
    log.write(event)
    step(report, event)
    history?.event(event)
    reporter.event(event)
  }
  const warn = (message: string) => emit({ type: 'warning', at: realWorld.nowMs(), message })
  const { log, problem } = openLog(options, header, list, warn)
  const logWarning = problem === undefined ? log.warning : `no run log: ${problem}`
  history?.begin({ id: header.id, log: log.path })
  const reporter = await reporterFor(options, isTty, {
    report: () => report,
    news: () => news,
    whole: () => wholeReport(log.path, header.id),
  })
  const { controls, done } = startSession({
    settings,
    header,
    list,
    ...(select === undefined ? {} : { only: select }),
    ranks: history?.ranks,
    ...(cookies === undefined ? {} : { cookies }),
    emit,
    warn,
    // Only a screen wants to know ten times a second.
    ...(isTty ? { progress: (status) => reporter.progress?.(status) } : {}),
  })
  const unremembered = history?.problem
  for (const problem of [logWarning, lockProblem, unremembered]) if (problem !== undefined) warn(problem)
  const say = quietWriter(process.stderr)
  const silence = listenToSignals(controls, () => reporter.note?.(statusLines(controls.status(), report).join('\n')))
  let code: number
  try {
    await done
    const discrepancies = report.counts === null ? ['the run has no end'] : sumsUp(report, report.counts)
    code = exitCode(report, discrepancies)
    // Of a long list this takes seconds: a signal that ends the run again must not cost what is to be remembered of it.
    const changes = await history?.finish({ atMs: realWorld.nowMs(), isGood: code === 0 })
    if (options.notify === 'changes') news = changes
  } finally {
    silence()
  }
  await reporter.close?.()
  const ownGoodMs = code === 0 ? report.endedAt : null
  const lastGoodMs = history === undefined ? ownGoodMs : history.lastGoodMs
  const outputs = { options, list, log, report, code, lastGoodMs }
  if (history?.problem !== unremembered) say(`mpdl: ${history?.problem}\n`)
  const unsaved = await cookies?.save()
  const { problems, jsonReport } = await writeOutputs(outputs)
  const unwritten = unsaved === undefined ? problems : [unsaved, ...problems]
  for (const problem of unwritten) say(`mpdl: ${problem}\n`)
  const told = codeWith(code, unwritten.length > 0, null)
  const hook = await callHook({ options, log, report, code: told, jsonReport })
  if (hook !== undefined) {
    log.write({ type: 'hook-ended', at: realWorld.nowMs(), ...hook.ended })
    if (hook.ended.problem !== null) say(`mpdl: ${hook.ended.problem}\n`)
  }
  await settlesWithin(log.close(), CLOSE_MS)
  const interrupted = hook === undefined ? undefined : signalCode(hook.interruptedBy)
  return {
    code: interrupted ?? codeWith(code, unwritten.length > 0, hook?.ended.problem ?? null),
    isolation: header.mode,
  }
}

/** What went wrong around a run that was good. */
function codeWith(code: number, isUnwritten: boolean, hookProblem: string | null): number {
  if (code !== 0) return code
  return isUnwritten ? 73 : hookProblem === null ? 0 : 1
}

function countSelected(size: number, select: (index: number) => boolean): number {
  let selected = 0
  for (let index = 0; index < size; index++) if (select(index)) selected++
  return selected
}

async function cookiesOf({ cookies }: Settings): Promise<CookieJar | undefined> {
  if (cookies === 'off') return undefined
  const opened = await openCookieJar(cookies, detectHardening())
  if (!opened.ok) throw new UsageError(opened.problem, 78)
  return opened.jar
}

function requireDir(dir: string): void {
  const problem = ensureTarget(dir)
  if (problem !== undefined)
    throw new UsageError(`cannot write into ${dir}: ${problem}; choose another with -d DIR`, 73)
}

function ensureTarget(dir: string): string | undefined {
  try {
    const seen = statSync(dir, { throwIfNoEntry: false })
    if (seen === undefined) return ensureDir(dir, 0o777)
    if (!seen.isDirectory()) return 'it is no directory'
    accessSync(dir, constants.W_OK | constants.X_OK)
    return undefined
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error)
  }
}

function openLog(options: RawRunOptions, header: RunHeader, list: JobList, warn: (message: string) => void) {
  const dir = logDirFor(options.logDir, header.list.path ?? list.name)
  const problem = options.log ? ensureDir(dir, 0o700) : undefined
  const log = openEventLog({
    dir: problem === undefined ? dir : null,
    runId: header.id,
    keep: options.logKeep,
    disabled: !options.log || problem !== undefined,
    spoolDir: spoolDir(),
    warn,
  })
  return { log, problem }
}

/** systemd says which stream is the journal by device and inode; an inherited variable alone proves nothing. */
function isJournal(): boolean {
  const [device, inode] = (process.env['JOURNAL_STREAM'] ?? '').split(':')
  if (device === undefined || inode === undefined) return false
  try {
    const { dev, ino } = statSync('/proc/self/fd/2')
    return String(dev) === device && String(ino) === inode
  } catch {
    return false
  }
}

/** By its name it is found from everywhere only where everybody looks. */
function wholeReport(log: string | null, id: string): string | null {
  if (log === null) return null
  const isInPlace = process.env['XDG_STATE_HOME'] === undefined && log.startsWith(`${stateDir()}/`)
  return `mpdl report ${isInPlace ? id : printable(log)}`
}

async function reporterFor(
  options: RawRunOptions,
  isTty: boolean,
  told: Required<Pick<PlainOptions, 'report' | 'news' | 'whole'>>,
): Promise<Reporter> {
  const stream = process.stderr
  const base = { stream, isVerbose: options.verbose ?? false, ...told }
  const warn = (message: string) => stream.write(`mpdl: ${message}\n`)
  const named: NamedReporter =
    isTty && options.quiet !== true
      ? {
          name: 'progress',
          reporter: await (await import('../reporters/tty.ts')).createTtyReporter({
            ...base,
            env: process.env,
            now: () => performance.now(),
          }),
        }
      : {
          name: 'summary',
          reporter: createPlainReporter({ ...base, isQuiet: options.quiet ?? false, mode: plainMode(options) }),
        }
  return fanOut([named], warn)
}

function plainMode(options: RawRunOptions): 'silent' | 'lines' | 'journal' {
  if (options.progress === 'lines') return 'lines'
  if (options.progress === 'none') return 'silent'
  if (isJournal()) return 'journal'
  return process.env['CI'] !== undefined && process.env['CI'] !== '' ? 'lines' : 'silent'
}
