// Decides where a run's events are kept, so that its report can be rendered: in its log, in a nameless file, or, when
// the disk gives way, the essential ones in memory. Knows nothing of what they mean. A log never stops a run.

import { fstatSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs'
import { open, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import type { Outcome, RunEvent, RunHeader } from '../core/event.ts'
import { classOf } from '../core/failure.ts'
import { freshReport } from '../core/report.ts'
import type { PastRun, ReadAt } from './past-runs.ts'
import { findRuns, LOG_SUFFIX, readLines } from './past-runs.ts'

export interface EventLogOptions {
  /** The directory of the logs, which exists; null is the same as `disabled`. */
  readonly dir: string | null
  /** Like `20261121T022015Z-4f3a`; the name of the file. */
  readonly runId: string
  /** How many logs of the same list stay, this one included. */
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
])

/** Gathered at most. */
const TURN_CHARS = 64 * 1024

/** Opens the log of one run. Never throws: without a log the run goes on, and `warning` says so. */
export function openEventLog({ dir, runId, keep, disabled, spoolDir, warn }: EventLogOptions): EventLog {
  const file = openFile(disabled ? null : dir, runId, spoolDir)
  const { path, fd } = file
  let warning = file.problem
  let isBroken = fd === null
  let isClosed = false
  let pruning: Promise<void> = Promise.resolve()
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
  }
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
        if (event.type === 'run-started' && path !== null && dir !== null) pruning = prune(dir, event.run, keep)
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
      isClosed = true
      await pruning
      if (destination === null) return
      await new Promise<void>((resolve) => {
        destination.once('close', resolve)
        // A close that fails has closed all the same.
        destination.once('error', () => resolve())
        destination.destroy()
      })
    },
  }
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
 * Deletes the oldest logs of the same list beyond `keep`. A file whose first line is no mpdl header is not a log, and
 * a log without an end may be that of a run that goes on. What cannot be deleted stays.
 */
async function prune(dir: string, own: RunHeader, keep: number): Promise<void> {
  const runs = await findRuns(dir)
  const isSameList = ({ run }: PastRun) =>
    run.dir === own.dir && run.list.path === own.list.path && run.list.name === own.list.name
  const others = runs.filter((past) => past.run.id !== own.id && isSameList(past))
  for (const past of others.slice(Math.max(0, keep - 1))) {
    if (past.ended === null && mayBeRunning(past.run)) continue
    await unlink(past.path).catch(() => undefined)
  }
}

function mayBeRunning({ pid, host }: RunHeader): boolean {
  // Of another machine's processes nothing is known.
  if (host !== hostname()) return true
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) !== 'ESRCH'
  }
}
