// Puts a run together: children, state, clock. Shared by the command line and the library's face.

import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { RunEvent, RunHeader, Status } from './core/event.ts'
import { chooseIsolation } from './core/isolation-name.ts'
import { redactUrl } from './core/redact.ts'
import type { Hardening } from './isolation/hardening.ts'
import { detectHardening } from './isolation/hardening.ts'
import type { Isolation } from './isolation/isolation.ts'
import { processIsolation } from './isolation/process.ts'
import { isolationFor } from './isolation/select.ts'
import type { CookieJar } from './supervisor/cookie-jar.ts'
import type { JobList } from './supervisor/job-list.ts'
import { type RunControls, startRun } from './supervisor/run.ts'
import type { Settings } from './supervisor/settings.ts'
import { openStateDb } from './supervisor/state-db.ts'
import { realWorld } from './supervisor/world.ts'

export interface Session {
  readonly settings: Settings
  readonly list: JobList
  readonly header: RunHeader
  /** Kept for the run; loaded and saved by whoever starts it. */
  readonly cookies?: CookieJar
  /** Only these rows of the list. */
  readonly only?: (index: number) => boolean
  /** By row: what comes first, 0 before all else. */
  readonly ranks?: Uint8Array | undefined
  readonly emit: (event: RunEvent) => void
  readonly warn: (message: string) => void
  readonly progress?: (status: Status) => void
}

const PROGRESS_EVERY_MS = 100

/** Starts the run; `done` resolves when every child is joined and every job has its outcome. */
export function startSession(session: Session): { readonly controls: RunControls; readonly done: Promise<void> } {
  const { settings, list, header, cookies, emit, warn, only, ranks, progress } = session
  const hardening = detectHardening()
  return startRun({
    settings,
    header,
    list,
    ...(only === undefined ? {} : { only }),
    ...(ranks === undefined ? {} : { ranks }),
    ...(cookies === undefined ? {} : { cookies }),
    isolation: isolationFor(header.mode, {
      childScript: bundle('child.cjs'),
      faultsScript: bundle('child-faults.cjs'),
      poolScript: bundle('pool.cjs'),
      threadScript: bundle('thread.cjs'),
      inlineScript: bundle('inline.cjs'),
      hardening,
      isStrict: settings.isStrict,
      maxMemoryBytes: settings.maxMemoryBytes,
      dir: settings.dir,
      jobs: settings.jobs,
      graceMs: settings.killAfterMs,
      isRehearsal: settings.inject.length > 0,
    }),
    hardening,
    state: openStateDb(settings.stateDir, warn),
    world: realWorld,
    emit,
    ...(progress === undefined ? {} : { progress }),
    progressEveryMs: PROGRESS_EVERY_MS,
  })
}

/** A fresh process for every child, wrapped as this machine allows: for what is no run. */
export function childIsolation(
  { isStrict, maxMemoryBytes }: Pick<Settings, 'isStrict' | 'maxMemoryBytes'>,
  hardening: Hardening = detectHardening(),
): Isolation {
  return processIsolation({
    childScript: bundle('child.cjs'),
    faultsScript: bundle('child-faults.cjs'),
    hardening,
    isStrict,
    maxMemoryBytes,
  })
}

/** Whether this machine can run children under the permission model. */
export function canBeStrict(hardening: Hardening = detectHardening()): boolean {
  return hardening.hasPermissionModel
}

type BundleName = 'child.cjs' | 'child-faults.cjs' | 'pool.cjs' | 'thread.cjs' | 'inline.cjs'

/** The bundles that run lie beside this one; run from source, they are in dist. */
export function bundle(name: BundleName): string {
  const here = import.meta.dirname
  return here.endsWith('dist') ? join(here, name) : join(here, '..', 'dist', name)
}

/** `listPath`: absolute, null when the list is no file. `argv` and `untyped` must be redacted. */
export function runHeader(
  settings: Settings,
  list: JobList,
  origin: {
    readonly listPath: string | null
    readonly argv: readonly string[]
    readonly untyped?: readonly string[]
    readonly startedMs: number
    /** How many of the list will run; all where it is left out. */
    readonly jobs?: number
  },
): RunHeader {
  const time = new Date(origin.startedMs).toISOString().replace(/[-:]|\.\d+/g, '')
  return {
    schema: 1,
    id: `${time}-${randomBytes(3).toString('hex')}`,
    version: settings.version,
    node: process.version,
    mode: chooseIsolation(settings.isolate, origin.jobs ?? list.size),
    sandbox: settings.isStrict ? 'strict' : 'off',
    insecure: settings.isInsecure,
    argv: origin.argv,
    untyped: origin.untyped ?? [],
    cwd: process.cwd(),
    pid: process.pid,
    host: hostname(),
    started: origin.startedMs,
    list: { name: redactUrl(list.name), path: origin.listPath, jobs: list.size, lines: list.lineCount },
    dir: settings.dir,
    tries: settings.tries,
  }
}
