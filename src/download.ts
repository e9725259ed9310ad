// mpdl for programs: one function, the same run as on the command line, without log, screen or exit code.

import { resolve } from 'node:path'
import type { JobRow, LineRange, Outcome, RunEvent } from './core/event.ts'
import { freshReport, step, sumsUp } from './core/report.ts'
import { defaultSettings } from './defaults.ts'
import { detectHardening } from './isolation/hardening.ts'
import { spoolDir } from './places.ts'
import { runHeader, startSession } from './session.ts'
import { openCookieJar } from './supervisor/cookie-jar.ts'
import { openJobList } from './supervisor/job-list.ts'
import type { Settings } from './supervisor/settings.ts'
import { realWorld } from './supervisor/world.ts'

export interface DownloadOptions extends Partial<Omit<Settings, 'version' | 'inject' | 'beatMs'>> {
  /** How names are made: `flat` (default), `tree` or `host`. */
  readonly names?: 'flat' | 'tree' | 'host'
  /** Two URLs, one name: `fail` (default) or `rename`. */
  readonly onClash?: 'fail' | 'rename'
  /** Ends the run: children are stopped and joined, parts kept. */
  readonly signal?: AbortSignal
  /** Everything that happens, as in the run log. Must not throw. */
  readonly onEvent?: (event: RunEvent) => void
}

export interface DownloadResult {
  /** True when every job was downloaded, unchanged or skipped by rule. */
  readonly ok: boolean
  readonly totals: Readonly<Record<Outcome, number>>
  /** One row for each job that began; times in seconds. */
  readonly rows: readonly JobRow[]
  /** Lines that never began. */
  readonly notStarted: readonly LineRange[]
  /** What does not add up; always empty unless mpdl is broken. */
  readonly discrepancies: readonly string[]
}

/**
 * Downloads URLs, or the list in a file, each in a child process of its own, and resolves when every child is
 * joined. Failed downloads are rows, not errors.
 *
 * @throws Error when the list cannot be read or is wrong; its message names every bad line.
 * @example const { ok, rows } = await download(['https://example.com/a.pdf'], { dir: 'pdf' })
 */
export async function download(
  source: readonly string[] | { readonly list: string },
  options: DownloadOptions = {},
): Promise<DownloadResult> {
  const { names = 'flat', onClash = 'fail', signal, onEvent, ...given } = options
  const settings: Settings = Object.freeze({ ...defaultSettings(), ...given, dir: resolve(given.dir ?? '.') })
  const cookies = settings.cookies === 'off' ? undefined : await openCookieJar(settings.cookies, detectHardening())
  if (cookies?.ok === false) throw new Error(cookies.problem)
  const listPath = 'list' in source ? resolve(source.list) : null
  const opened = await openJobList(
    'list' in source ? { kind: 'file', path: source.list } : { kind: 'urls', urls: source },
    {
      naming: { names, queryNames: false },
      onClash,
      keepGoing: false,
      foldCase: process.platform === 'darwin',
      spoolDir: spoolDir(),
    },
  )
  if (!opened.ok) throw new Error(opened.errors.map(({ line, problem }) => `line ${line}: ${problem}`).join('\n'))
  const { list } = opened
  try {
    const report = freshReport()
    const rows: JobRow[] = []
    const notStarted: LineRange[] = []
    const emit = (event: RunEvent) => {
      step(report, event)
      if (event.type === 'job-ended') rows.push(event.row)
      if (event.type === 'jobs-ended' && event.outcome === 'not-started') notStarted.push(...event.lines)
      onEvent?.(event)
    }
    const { controls, done } = startSession({
      settings,
      list,
      ...(cookies === undefined ? {} : { cookies: cookies.jar }),
      header: runHeader(settings, list, { listPath, argv: [], startedMs: realWorld.nowMs() }),
      emit,
      warn: (message) => emit({ type: 'warning', at: realWorld.nowMs(), message }),
    })
    const abort = () => controls.interrupt('AbortSignal')
    if (signal?.aborted === true) abort()
    signal?.addEventListener('abort', abort)
    try {
      await done
    } finally {
      signal?.removeEventListener('abort', abort)
    }
    const unsaved = await cookies?.jar.save()
    if (unsaved !== undefined) emit({ type: 'warning', at: realWorld.nowMs(), message: unsaved })
    const discrepancies = report.counts === null ? ['the run has no end'] : sumsUp(report, report.counts)
    const { downloaded, unchanged, skipped } = report.totals
    const ok = downloaded + unchanged + skipped === list.size && discrepancies.length === 0
    return { ok, totals: report.totals, rows, notStarted, discrepancies }
  } finally {
    list.close()
  }
}
