// --on-finish: what the program is told of the run, and that it could be started at all.

import { accessSync, constants, mkdtempSync, rmSync, statSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import type { Outcome } from '../core/event.ts'
import { OUTCOMES } from '../core/event.ts'
import { excerpt } from '../core/printable.ts'
import type { Report } from '../core/report.ts'
import { elapsedMs, endedJobs } from '../core/report.ts'
import { spoolDir } from '../places.ts'
import { writeJsonReport } from '../reporters/json.ts'
import { storyLine } from '../reporters/summary.ts'
import type { EventLog } from '../supervisor/event-log.ts'
import { Hook, type HookEnd } from '../supervisor/hook.ts'
import { listenToSignals } from '../supervisor/signals.ts'
import { variableOf } from './config-keys.ts'
import { intoFile } from './outputs.ts'
import type { RawRunOptions } from './run-options.ts'
import { RUN_OPTIONS, SECRET } from './run-options.ts'
import { UsageError } from './usage-error.ts'

export interface HookFacts {
  readonly report: Report
  readonly exitCode: number
  /** Of a report that is there while the program runs; undefined where there was no room for one. */
  readonly reportPath: string | undefined
  readonly logPath: string | null
}

/** Throws a UsageError (78) where it cannot be started: better said before the night than after it. */
export function requireProgram(program: string): void {
  const problem = program.includes('/') ? whyNotStartable(program) : whyNotFound(program)
  if (problem === undefined) return
  const hint = /\s/.test(program) ? '; it gets no arguments: write a small script that gives them' : ''
  throw new UsageError(`--on-finish ${excerpt(program)}: ${problem}${hint}`, 78)
}

function whyNotFound(name: string): string | undefined {
  // An empty entry is the current directory.
  const paths = (process.env['PATH'] ?? '/usr/bin:/bin').split(delimiter).map((dir) => join(dir || '.', name))
  if (paths.some((path) => whyNotStartable(path) === undefined)) return undefined
  const isHere = whyNotStartable(`./${name}`) === undefined
  return isHere ? `no such program in PATH; write ./${excerpt(name)}` : 'no such program in PATH; give its path'
}

function whyNotStartable(path: string): string | undefined {
  try {
    const seen = statSync(path, { throwIfNoEntry: false })
    if (seen === undefined) return 'no such file'
    if (!seen.isFile()) return seen.isDirectory() ? 'it is a directory' : 'it is no file'
    accessSync(path, constants.X_OK)
    return undefined
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    return code === 'EACCES' ? 'it may not be executed; run chmod +x, or look at its directories' : code
  }
}

/** Added to mpdl's own environment; empty where there is nothing to tell. */
export function hookEnvironment({ report, exitCode, reportPath, logPath }: HookFacts): Record<string, string> {
  const { run, totals } = report
  const sum = (outcome: Outcome) => [`MPDL_RUN_${outcome.toUpperCase().replace('-', '_')}`, String(totals[outcome])]
  return {
    MPDL_RUN_ID: run?.id ?? '',
    MPDL_RUN_EXIT_CODE: String(exitCode),
    MPDL_RUN_LIST: run?.list.path ?? run?.list.name ?? '',
    MPDL_RUN_DIR: run?.dir ?? '',
    MPDL_RUN_LOG: logPath === null ? '' : resolve(logPath),
    MPDL_RUN_REPORT: reportPath === undefined ? '' : resolve(reportPath),
    MPDL_RUN_SUMMARY: storyLine(report),
    MPDL_RUN_STARTED: run === null ? '' : new Date(run.started).toISOString(),
    MPDL_RUN_SECONDS: String(Math.round(elapsedMs(report) / 1000)),
    MPDL_RUN_TOTAL: String(endedJobs(report)),
    ...Object.fromEntries(OUTCOMES.map(sum)),
    MPDL_RUN_BYTES: String(report.movedBytes),
    MPDL_RUN_RETRIES: String(report.retries),
  }
}

/**
 * Secrets in options of mpdl's are none of the program's business, and one that calls mpdl would be called by that again
 * and again.
 */
function ownEnvironment(): Record<string, string> {
  const ours = RUN_OPTIONS.filter((option) => SECRET.has(option.attributeName()) || option.long === '--on-finish')
  const hidden = new Set(ours.map((option) => variableOf(option.name())))
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      value === undefined || hidden.has(name) ? [] : [[name, value]],
    ),
  )
}

export interface FinishedRun {
  readonly options: RawRunOptions
  readonly log: EventLog
  readonly report: Report
  readonly code: number
  /** Of a JSON report that was asked for and written. */
  readonly jsonReport: string | undefined
}

export interface CalledHook {
  readonly ended: HookEnd
  /** The signal to mpdl that ended it early. */
  readonly interruptedBy: string | undefined
}

/** Undefined where no program is to be run. */
export async function callHook(finished: FinishedRun): Promise<CalledHook | undefined> {
  const { options, log, report, code, jsonReport } = finished
  const { onFinish, onFinishTimeout, killAfter } = options
  if (onFinish === undefined) return undefined
  const hook = new Hook({ program: onFinish, timeoutMs: onFinishTimeout, graceMs: killAfter })
  const silence = listenToSignals(hook, () => {})
  try {
    const made = jsonReport === undefined ? await makeReport(log, report, code) : undefined
    const facts = { report, exitCode: code, reportPath: jsonReport ?? made?.path, logPath: log.path }
    const ended = await hook.run({ ...ownEnvironment(), ...hookEnvironment(facts) })
    made?.remove()
    const problem = ended.problem ?? made?.problem ?? null
    return { ended: { ...ended, problem }, interruptedBy: hook.interruptedBy }
  } finally {
    silence()
  }
}

interface MadeReport {
  readonly path?: string
  readonly problem?: string
  remove(): void
}

/** For this program only, which runs without where there is no room. */
async function makeReport(log: EventLog, report: Report, code: number): Promise<MadeReport> {
  let dir: string | undefined
  const remove = () => {
    try {
      if (dir !== undefined) rmSync(dir, { recursive: true, force: true })
    } catch {
      // The program may have made of it what it likes.
    }
  }
  try {
    dir = mkdtempSync(join(spoolDir(), 'mpdl-'))
    const path = join(dir, 'report.json')
    await intoFile(path, 0o600, (write) => writeJsonReport(log.events(), report, write, code))
    return { path, remove }
  } catch (error) {
    remove()
    const cause = error instanceof Error ? error.message : String(error)
    return { problem: `--on-finish was run without a report: ${cause}`, remove }
  }
}
