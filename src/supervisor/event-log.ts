// Decides where a run's events are kept, so that its report can be rendered: in its log, in a nameless file, or, when
// the disk gives way, the essential ones in memory. Knows nothing of what they mean. A log never stops a run.

import { constants, fstatSync, ftruncateSync, lstatSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import pino from 'pino'
import type { Outcome, RunEvent, RunHeader } from '../core/event.ts'
import { classOf } from '../core/failure.ts'
import { freshReport } from '../core/report.ts'
import type { RunState } from '../core/run-state.ts'
import type { ReadAt } from './past-runs.ts'
import { findRuns, LOG_SUFFIX, readLines, stateOf } from './past-runs.ts'

export interface EventLogOptions {
  /** The directory of the logs, which exists; null is the same as `disabled`. */
  readonly dir: string | null
  /** Like `20261121T022015Z-4f3a`; the name of the file. */
  readonly runId: string
  /** How many logs of the same list stay, this one included; the last good and the last bad one stay in any case. */
  readonly keep: number
  /** `--no-log`. */
  readonly disabled: boolean
  /** Where the nameless file goes that stands in for a log. */
  readonly spoolDir: string
  /** Told at most once, when the log breaks while the run goes on. */
  readonly warn?: (message: string) => void
}

export interface EventLog {
  /** Null when there is no log that outlives the run. */
  readonly path: string | null
  /** Why there is no log although one was asked for, or since when it is incomplete. */
  readonly warning?: string | undefined
  /** On the disk, or at least in its cache, before the next turn of the loop: SIGKILL costs no more than that. */
  write(event: RunEvent): void
  /** What was written, from the start. Until {@link close} in every case; after it only where there is a path. */
  events(): AsyncIterable<RunEvent>
  close(): Promise<void>
}

type Level = 'info' | 'warn' | 'error'

const WARNINGS: ReadonlySet<RunEvent['type']> = new Set([
  'warning',
  'retry-planned',
  'host-changed',
  'stopping',
  'suspended',
])
/** What a report cannot do without; kept in memory once the file takes no more. */
const ESSENTIAL: ReadonlySet<RunEvent['type']> = new Set([
  'run-started',
  'job-ended',
  'jobs-ended',
  'stopping',
  'run-ended',
])
const isEssential = ({ type }: RunEvent) => ESSENTIAL.has(type)
const EVENT_TYPES: ReadonlySet<string> = new Set<RunEvent['type']>([
  'run-started',
  'job-started',
  'attempt-started',
  'response',
  'signal-sent',
  'attempt-ended',
  'retry-planned',
  'job-ended',
  'jobs-ended',
  'host-changed',
  'warning',
  'stopping',
  'suspended',
  'run-ended',
  'hook-ended',
])

const LINE_FEED = 10
const CHUNK_BYTES = 65_536

/** Gathered at most. */
const TURN_CHARS = 64 * 1024

/** Opens the log of one run. Never throws: without a log the run goes on, and `warning` says so. */
export function openEventLog({ dir, runId, keep, disabled, spoolDir, warn }: EventLogOptions): EventLog {
  const file = openFile(disabled ? null : dir, runId, spoolDir)
  const { path, fd } = file
  let warning = file.problem
  let isBroken = fd === null
  let isClosed = false
  let tidying: Promise<void> = Promise.resolve()
  const inMemory: RunEvent[] = []
  const { totals } = freshReport()
  let eventAt = 0

  const destination = fd === null ? null : pino.destination({ dest: fd, sync: true, mkdir: false })
  // A turn of the loop brings many events, and a write of its own for each costs as much as all else about it.
  let turn: { text: string; readonly events: RunEvent[] } = { text: '', events: [] }
  const lines = {
    write: (line: string) => {
      turn.text += line
    },
  }
  const logger = destination === null ? null : pino({ base: null, timestamp: () => `,"time":${eventAt}` }, lines)
  function flush(): void {
    const { text, events } = turn
    if (text === '' || fd === null) return
    turn = { text: '', events: [] }
    const startBytes = fstatSync(fd).size
    destination?.write(text)
    if (!isBroken) return
    const written = Buffer.from(text).subarray(0, fstatSync(fd).size - startBytes)
    const wholeLines = written.toString('latin1').split('\n').length - 1
    inMemory.push(...events.slice(wholeLines).filter(isEssential))
    try {
      ftruncateSync(fd, startBytes + written.lastIndexOf(LINE_FEED) + 1)
    } catch {
      // Some disks need room for that, too; then the next run of the list does it.
    }
  }
  // However the program leaves, by an error of its own included, what it has gathered is not lost.
  process.once('exit', flush)
  destination?.on('error', (error: NodeJS.ErrnoException) => {
    // After its first error the destination would keep every further line in memory, waiting for better times.
    if (isBroken) return
    isBroken = true
    if (isClosed) return
    warning = `the run log is incomplete: ${path ?? spoolDir}: ${error.code ?? error.message}`
    warn?.(warning)
  })

  return {
    path,
    get warning() {
      return warning
    },
    write(event) {
      if (event.type === 'job-ended') totals[event.row.outcome]++
      else if (event.type === 'jobs-ended') totals[event.outcome] += event.count
      if (logger !== null && !isBroken && !isClosed) {
        if (turn.text === '') setImmediate(flush)
        eventAt = event.at
        logger[levelOf(event)](lineOf(event, totals))
        turn.events.push(event)
        if (turn.text.length >= TURN_CHARS) flush()
        if (event.type === 'run-started' && path !== null && dir !== null) tidying = tidy(dir, event.run, keep)
      } else if (isBroken && isEssential(event)) inMemory.push(event)
    },
    async *events() {
      flush()
      if (fd !== null) yield* isClosed ? fromPath(path) : fromDescriptor(fd)
      yield* inMemory
    },
    async close() {
      if (isClosed) return
      flush()
      process.off('exit', flush)
      isClosed = true
      await tidying
      if (destination === null) return
      await new Promise<void>((resolve) => {
        destination.once('close', resolve)
        // A close that fails has closed all the same.
        destination.once('error', () => resolve())
        destination.destroy()
      })
      // A full disk had not even room for who it is of, and nobody else may ever delete it.
      if (path !== null && isBroken && isEmptyFile(path)) await unlink(path).catch(() => undefined)
    },
  }
}

function isEmptyFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.size === 0
}

interface OpenedFile {
  readonly path: string | null
  readonly fd: number | null
  readonly problem?: string
}

function openFile(dir: string | null, runId: string, spoolDir: string): OpenedFile {
  if (dir === null) return openSpool(spoolDir)
  const path = join(dir, runId + LOG_SUFFIX)
  try {
    // A new file for every run, never through a link; readable, because the report is computed from it.
    return { path, fd: openSync(path, 'ax+', 0o600) }
  } catch (error) {
    const { problem, ...spool } = openSpool(spoolDir)
    return {
      ...spool,
      problem: `no run log: cannot create ${path}: ${codeOf(error)}${problem === undefined ? '' : `; ${problem}`}`,
    }
  }
}

function openSpool(spoolDir: string): OpenedFile {
  try {
    const holder = mkdtempSync(join(spoolDir, 'mpdl-'))
    let fd: number | null = null
    try {
      fd = openSync(join(holder, 'events'), 'ax+', 0o600)
      return { path: null, fd }
    } finally {
      // It loses its name at once, so that not even SIGKILL leaves it behind.
      rmSync(holder, { recursive: true, force: true })
    }
  } catch (error) {
    return { path: null, fd: null, problem: `events are kept in memory: ${spoolDir}: ${codeOf(error)}` }
  }
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message
}

/** The first line says whose file this is; the last one has the sums, so that listing runs reads only its end. */
function lineOf(event: RunEvent, totals: Readonly<Record<Outcome, number>>): object {
  if (event.type === 'run-started') return { mpdl: 1, ...event }
  return event.type === 'run-ended' ? { ...event, totals } : event
}

function levelOf(event: RunEvent): Level {
  switch (event.type) {
    case 'job-ended':
      return levelOfOutcome(event.row.outcome)
    case 'jobs-ended':
      return levelOfOutcome(event.outcome)
    case 'attempt-ended': {
      const { failure } = event.attempt
      if (failure === null) return 'info'
      return classOf(failure) === 'crashed' || failure.kind === 'abandoned' ? 'error' : 'warn'
    }
    default:
      return WARNINGS.has(event.type) ? 'warn' : 'info'
  }
}

function levelOfOutcome(outcome: Outcome): Level {
  if (outcome === 'crashed' || outcome === 'abandoned') return 'error'
  return outcome === 'downloaded' || outcome === 'unchanged' || outcome === 'skipped' ? 'info' : 'warn'
}

/** Not by the thread pool: a download inside mpdl itself may have filled that for good. */
async function* fromDescriptor(fd: number): AsyncGenerator<RunEvent, void, undefined> {
  yield* ownEvents(async (buffer, position) => readSync(fd, buffer, 0, buffer.length, position))
}

async function* fromPath(path: string | null): AsyncGenerator<RunEvent, void, undefined> {
  if (path === null) return
  const file = await open(path)
  try {
    yield* ownEvents(async (buffer, position) => (await file.read(buffer, 0, buffer.length, position)).bytesRead)
  } finally {
    await file.close()
  }
}

/** This process wrote these lines, so they are not validated again; a torn one at the end is left out. */
async function* ownEvents(readAt: ReadAt): AsyncGenerator<RunEvent, void, undefined> {
  for await (const line of readLines(readAt)) {
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      continue
    }
    if (isOwnEvent(value)) yield value
  }
}

function isOwnEvent(value: unknown): value is RunEvent {
  return typeof value === 'object' && value !== null && 'type' in value && EVENT_TYPES.has(String(value.type))
}

/**
 * Deletes the oldest logs of the same list beyond `keep`, and cuts off what its runs left in the middle of a line when
 * they died. A file whose first line is no mpdl header is not a log, and one without an end may be that of a run that
 * goes on. The last good one stays, to tell how long ago that was, and the last bad one, to tell why. What cannot be
 * changed stays as it is.
 */
async function tidy(dir: string, own: RunHeader, keep: number): Promise<void> {
  const others = (await findRuns(dir))
    .filter(({ run }) => run.id !== own.id && isSameList(run, own))
    .map((past) => ({ path: past.path, state: stateOf(past) }))
    .filter(({ state }) => state !== 'running' && state !== 'unknown')
  const isGood = ({ state }: { readonly state: RunState }) => state === 'good'
  const kept = new Set([
    ...others.slice(0, Math.max(0, keep - 1)),
    others.find(isGood),
    others.find((past) => !isGood(past)),
  ])
  for (const past of others) {
    if (!kept.has(past)) await unlink(past.path).catch(() => undefined)
    else if (past.state === 'died') await cutTornLine(past.path).catch(() => undefined)
  }
}

/** A path says it whatever way it was typed. */
function isSameList(a: RunHeader, b: RunHeader): boolean {
  return a.dir === b.dir && a.list.path === b.list.path && (a.list.path !== null || a.list.name === b.list.name)
}

/** The kernel stops a long write of a process that dies between two pages. */
async function cutTornLine(path: string): Promise<void> {
  const file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const stat = await file.stat()
    const endBytes = stat.isFile() ? await endOfLastLine(file, stat.size) : 0
    if (endBytes > 0 && endBytes < stat.size) await file.truncate(endBytes)
  } finally {
    await file.close()
  }
}

/** 0 where there is no whole line. */
async function endOfLastLine(file: FileHandle, size: number): Promise<number> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  for (let to = size; to > 0; to -= CHUNK_BYTES) {
    const from = Math.max(0, to - CHUNK_BYTES)
    await file.read(buffer, 0, to - from, from)
    const at = buffer.subarray(0, to - from).lastIndexOf(LINE_FEED)
    if (at !== -1) return from + at + 1
  }
  return 0
}
