// Decides what a log directory says about past runs: which there were, which one is meant, what happened in it. Reads
// logs as strangers' files: a line that is no event is skipped and counted. Knows nothing of how they are shown.

import { constants, readdirSync, statSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { lstat, open, readdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import type { IndependentCounts, Outcome, RunEvent, RunHeader } from '../core/event.ts'
import { OUTCOMES } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'
import { describe, FAILURE_KINDS } from '../core/failure.ts'
import { ISOLATIONS } from '../core/isolation-name.ts'
import type { RunState } from '../core/run-state.ts'
import { isAlive } from './liveness.ts'

/** A run as its log's first line and its end tell it. */
export interface PastRun {
  readonly path: string
  readonly run: RunHeader
  /** Null while it runs, and for ever when its supervisor was killed. */
  readonly ended: { readonly at: number; readonly signal: string | null; readonly counts: IndependentCounts } | null
  /** Sums by outcome; null before the end. */
  readonly totals: Readonly<Record<Outcome, number>> | null
  /** It ended, every job of it was downloaded, unchanged or skipped, and what can be told of its sums adds up. */
  readonly isGood: boolean
}

export type ResolvedRun =
  | { readonly ok: true; readonly run: PastRun }
  | { readonly ok: false; readonly problem: string }

/** The extension of a run's log. */
export const LOG_SUFFIX = '.ndjson'
const SECOND_LENGTH = '20261121T022015Z'.length
const CHUNK_BYTES = 65_536
/** A header carries argv, so it may be long; a tail carries the run's end and little more. */
const HEADER_BYTES = 4 * 1024 * 1024
const TAIL_BYTES = 65_536
/** No event of mpdl is that long; a file without line ends must not fill the memory. */
const LINE_BYTES = 64 * 1024 * 1024

const number = v.number()
const count = v.fallback(v.number(), 0)
const maybeNumber = v.fallback(v.nullable(v.number()), null)
const text = v.string()
const maybeText = v.fallback(v.nullable(v.string()), null)
const flag = v.fallback(v.boolean(), false)
const outcome = v.picklist(OUTCOMES)
const task = v.fallback(v.picklist(['fetch', 'hash']), 'fetch')
const lineRange = v.tuple([v.number(), v.number()])
const maybeByteRange = v.fallback(v.nullable(v.tuple([v.number(), v.nullable(v.number())])), null)

/** A failure that another version wrote may be unknown here; its sentence is in the row all the same. */
const failure = v.fallback(v.nullable(v.custom<Failure>(isFailure)), null)

function isFailure(value: unknown): boolean {
  if (!hasKnownKind(value)) return false
  try {
    // A known kind that lacks its fields has no sentence.
    describe(value)
    return true
  } catch {
    return false
  }
}

function hasKnownKind(value: unknown): value is Failure {
  return v.is(v.looseObject({ kind: v.picklist(FAILURE_KINDS) }), value)
}

/** Runs from before there was a choice had processes. */
const unit = v.fallback(v.nullable(v.picklist(ISOLATIONS)), 'process')

const attemptRecord = v.looseObject({
  n: number,
  task,
  unit,
  pid: maybeNumber,
  thread: maybeNumber,
  boot_ms: maybeNumber,
  url: text,
  started: count,
  ended: count,
  exit_code: maybeNumber,
  signal: maybeText,
  kill_reason: maybeText,
  signal_sent: v.fallback(v.nullable(v.picklist(['SIGTERM', 'SIGKILL'])), null),
  max_rss: maybeNumber,
  bytes: count,
  range: maybeByteRange,
  resumed_from: count,
  wait_ms: count,
  result: v.fallback(v.picklist(['done', 'unchanged', 'failed']), 'failed'),
  failure,
  lingered: flag,
  counted: flag,
  stderr: maybeText,
})

const jobRow = v.looseObject({
  id: text,
  index: number,
  line: number,
  url: text,
  url_effective: maybeText,
  out: text,
  outcome,
  reason: maybeText,
  failure,
  http_code: maybeNumber,
  size_download: count,
  size: maybeNumber,
  resumed_from: count,
  proof: v.fallback(v.nullable(v.picklist(['length', 'checksum', 'length+checksum', 'unverified'])), null),
  sha256: maybeText,
  etag: maybeText,
  content_type: maybeText,
  decoded_from: maybeText,
  remote_ip: maybeText,
  num_redirects: count,
  num_retries: count,
  time_namelookup: maybeNumber,
  time_connect: maybeNumber,
  time_starttransfer: maybeNumber,
  time_total: count,
  speed_download: count,
  kept: count,
  warnings: v.fallback(v.array(v.string()), []),
  attempts: v.fallback(v.array(attemptRecord), []),
})

const runHeader = v.looseObject({
  schema: v.literal(1),
  id: text,
  version: text,
  node: v.fallback(text, ''),
  mode: v.fallback(v.picklist(ISOLATIONS), 'process'),
  sandbox: v.fallback(text, ''),
  insecure: flag,
  argv: v.fallback(v.array(v.string()), []),
  untyped: v.fallback(v.array(v.string()), []),
  cwd: v.fallback(text, ''),
  pid: count,
  host: v.fallback(text, ''),
  started: number,
  list: v.looseObject({ name: text, path: maybeText, jobs: count, lines: count }),
  dir: text,
  tries: count,
})

const counts = v.looseObject({
  listed: number,
  spawned: number,
  reaped: number,
  abandoned: number,
  filesOnDisk: number,
  bytesOnDisk: number,
})

const ofJob = { at: number, index: number, line: number }
const runEnded = v.looseObject({ type: v.literal('run-ended'), at: number, counts, signal: maybeText })
const runStarted = v.looseObject({ type: v.literal('run-started'), at: number, run: runHeader })

const runEvent = v.variant('type', [
  runStarted,
  v.looseObject({ type: v.literal('job-started'), ...ofJob, id: text, url: text, out: text }),
  v.looseObject({
    type: v.literal('attempt-started'),
    ...ofJob,
    n: number,
    task,
    unit,
    pid: maybeNumber,
    thread: maybeNumber,
    url: text,
    range: maybeByteRange,
  }),
  v.looseObject({
    type: v.literal('response'),
    ...ofJob,
    n: number,
    pid: maybeNumber,
    status: number,
    answer: text,
  }),
  v.looseObject({ type: v.literal('signal-sent'), ...ofJob, n: number, pid: maybeNumber, signal: text, reason: text }),
  v.looseObject({ type: v.literal('attempt-ended'), ...ofJob, attempt: attemptRecord }),
  v.looseObject({
    type: v.literal('retry-planned'),
    ...ofJob,
    wait_ms: number,
    reason: text,
    start_over: flag,
    counted: v.fallback(v.boolean(), true),
  }),
  v.looseObject({ type: v.literal('job-ended'), at: number, row: jobRow }),
  v.looseObject({
    type: v.literal('jobs-ended'),
    at: number,
    outcome,
    failure,
    reason: text,
    count: number,
    lines: v.array(lineRange),
  }),
  v.looseObject({
    type: v.literal('host-changed'),
    at: number,
    host: text,
    change: v.picklist(['cap-lowered', 'paused', 'down']),
    reason: text,
    until: maybeNumber,
    cap: count,
  }),
  v.looseObject({ type: v.literal('warning'), at: number, message: text }),
  v.looseObject({
    type: v.literal('stopping'),
    at: number,
    cause: v.picklist(['signal', 'run-deadline', 'disk-full', 'crash-loop', 'halt']),
    reason: text,
  }),
  v.looseObject({ type: v.literal('suspended'), at: number, gap_ms: number }),
  v.looseObject({
    type: v.literal('hook-ended'),
    at: number,
    program: text,
    exit_code: maybeNumber,
    signal: maybeText,
    ms: count,
    output: text,
    problem: maybeText,
  }),
  runEnded,
])

/** A line of a log as an event; null when it is none. */
export function decodeEvent(line: string): RunEvent | null {
  const parsed = v.safeParse(runEvent, parseJson(line))
  return parsed.success ? parsed.output : null
}

const mpdlMark = v.looseObject({ mpdl: v.literal(1) })

/** The header in the first line of a log; null when mpdl did not write that line. */
export function decodeHeader(line: string): RunHeader | null {
  const value = parseJson(line)
  const parsed = v.safeParse(runStarted, value)
  return parsed.success && v.is(mpdlMark, value) ? parsed.output.run : null
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}

/** Reads bytes of a file from a position; 0 is its end. */
export type ReadAt = (buffer: Buffer, position: number) => Promise<number>

/** The lines of a file in chunks, so that it need not fit into memory; a last line without an end is a line. */
export async function* readLines(readAt: ReadAt): AsyncGenerator<string, void, undefined> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  let carried: Buffer[] = []
  let carriedBytes = 0
  let isTooLong = false
  let position = 0
  for (;;) {
    const length = await readAt(buffer, position)
    if (length === 0) break
    position += length
    let start = 0
    for (let end = buffer.indexOf(10, start); end !== -1 && end < length; end = buffer.indexOf(10, start)) {
      const piece = buffer.subarray(start, end)
      if (!isTooLong) yield carried.length === 0 ? piece.toString() : Buffer.concat([...carried, piece]).toString()
      carried = []
      carriedBytes = 0
      isTooLong = false
      start = end + 1
    }
    if (start === length) continue
    carriedBytes += length - start
    isTooLong ||= carriedBytes > LINE_BYTES
    if (isTooLong) carried = []
    else carried.push(Buffer.from(buffer.subarray(start, length)))
  }
  if (carried.length > 0) yield Buffer.concat(carried).toString()
}

export interface ReadEvents {
  readonly events: AsyncIterable<RunEvent>
  /** Lines so far that were no event: another version's, or one that was torn when its writer died. */
  skipped(): number
}

/** The events of a log, checked one by one. Reading fails as the file system fails. */
export function readEvents(path: string): ReadEvents {
  let skipped = 0
  async function* events(): AsyncGenerator<RunEvent, void, undefined> {
    const file = await openRegular(path)
    try {
      for await (const line of readLines(reader(file))) {
        const event = decodeEvent(line)
        if (event !== null) yield event
        else if (line !== '') skipped++
      }
    } finally {
      await file.close()
    }
  }
  return { events: { [Symbol.asyncIterator]: events }, skipped: () => skipped }
}

const reader =
  (file: FileHandle): ReadAt =>
  async (buffer, position) =>
    (await file.read(buffer, 0, buffer.length, position)).bytesRead

/** Opens what is surely a file: opening a FIFO that lies in a log directory would wait for its writer for ever. */
async function openRegular(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw new Error(`${path} is no regular file`)
}

/** What the first line and the end of a log say; null when it is not mpdl's or cannot be read. */
export async function inspectRun(path: string): Promise<PastRun | null> {
  let file: FileHandle
  try {
    file = await openRegular(path)
  } catch {
    return null
  }
  try {
    const run = decodeHeader(await firstLine(file))
    return run === null ? null : { path, run, ...(await endOf(file)) }
  } catch {
    return null
  } finally {
    await file.close()
  }
}

async function firstLine(file: FileHandle): Promise<string> {
  const chunks: Buffer[] = []
  for (let position = 0; position < HEADER_BYTES; position += CHUNK_BYTES) {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, position)
    const end = buffer.subarray(0, bytesRead).indexOf(10)
    chunks.push(buffer.subarray(0, end === -1 ? bytesRead : end))
    if (end !== -1 || bytesRead < CHUNK_BYTES) break
  }
  return Buffer.concat(chunks).toString()
}

const totalsSchema = v.looseObject({
  totals: v.object({
    downloaded: number,
    unchanged: number,
    skipped: number,
    failed: number,
    killed: number,
    crashed: number,
    abandoned: number,
    cancelled: number,
    'not-started': number,
  }),
})

async function endOf(file: FileHandle): Promise<Pick<PastRun, 'ended' | 'totals' | 'isGood'>> {
  const { size } = await file.stat()
  const buffer = Buffer.alloc(Math.min(size, TAIL_BYTES))
  await file.read(buffer, 0, buffer.length, size - buffer.length)
  for (const line of buffer.toString().split('\n').reverse()) {
    const value = line.includes('run-ended') ? parseJson(line) : null
    const parsed = v.safeParse(runEnded, value)
    if (!parsed.success) continue
    const { at, signal, counts } = parsed.output
    const sums = v.safeParse(totalsSchema, value)
    const totals = sums.success ? sums.output.totals : null
    const isGood = totals !== null && signal === null && isAllWell(totals, counts)
    return { ended: { at, signal, counts }, totals, isGood }
  }
  return { ended: null, totals: null, isGood: false }
}

function isAllWell(totals: Readonly<Record<Outcome, number>>, counts: IndependentCounts): boolean {
  return (
    totals.downloaded + totals.unchanged + totals.skipped === counts.listed &&
    totals.downloaded === counts.filesOnDisk &&
    counts.spawned === counts.reaped
  )
}

/** Looks at the process that wrote the log where there is no end. */
export function stateOf(past: PastRun): RunState {
  if (past.ended !== null) return past.isGood ? 'good' : 'trouble'
  const { pid, host } = past.run
  // Of another machine's processes nothing is known.
  if (host !== hostname()) return 'unknown'
  return pid > 0 && isAlive(pid) && mayHaveOpen(pid, past.path) ? 'running' : 'died'
}

/** Pids are used again, in a container at every start; who has the log open is its writer. */
function mayHaveOpen(pid: number, path: string): boolean {
  try {
    const { dev, ino } = statSync(path)
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      const open = statSync(`/proc/${pid}/fd/${fd}`, { throwIfNoEntry: false })
      return open?.dev === dev && open.ino === ino
    })
  } catch {
    // Another user's process, or no /proc.
    return true
  }
}

/**
 * The runs whose logs lie in `dir`, newest first, from their first lines and ends alone. A directory that is not there
 * has none. `limit` spares reading all of them: names begin with the second in which the run began.
 */
export async function findRuns(dir: string, limit = Number.POSITIVE_INFINITY): Promise<PastRun[]> {
  const runs: PastRun[] = []
  let second = ''
  for (const name of await logNames(dir)) {
    // Of runs that began in one second only the logs themselves say which was the later.
    if (runs.length >= limit && !name.startsWith(second)) break
    const run = await inspectRun(join(dir, name))
    if (run === null) continue
    runs.push(run)
    second = name.slice(0, SECOND_LENGTH)
  }
  return runs.sort((a, b) => b.run.started - a.run.started).slice(0, limit)
}

async function logNames(dir: string): Promise<string[]> {
  try {
    const entries = await readdir(dir, { withFileTypes: true })
    const names = entries.filter((entry) => entry.isFile() && entry.name.endsWith(LOG_SUFFIX)).map(({ name }) => name)
    return names.sort().reverse()
  } catch {
    return []
  }
}

/**
 * The run that a person means: `last`, an id, the beginning of one that fits only one run, or a log's path. `dirs`: where
 * logs may be; what fits one run in each of two of them fits two.
 */
export async function resolveRun(dirs: readonly string[], wanted: string): Promise<ResolvedRun> {
  const where = dirs.slice(0, 2).join(' or ')
  if (wanted === 'last') {
    const newest = (await Promise.all(dirs.map((dir) => findRuns(dir, 1)))).flat()
    const [run] = newest.sort((a, b) => b.run.started - a.run.started)
    return run === undefined ? { ok: false, problem: `no runs in ${where}` } : { ok: true, run }
  }
  if (wanted.includes('/') || wanted.endsWith(LOG_SUFFIX)) {
    for (const path of wanted.includes('/') ? [wanted] : [wanted, ...dirs.map((dir) => join(dir, wanted))]) {
      const run = await inspectRun(path)
      if (run !== null) return { ok: true, run }
      if (await exists(path)) return { ok: false, problem: `${path} is not the log of an mpdl run` }
    }
    return { ok: false, problem: `no file ${wanted}` }
  }
  const logs = (await Promise.all(dirs.map(async (dir) => (await logNames(dir)).map((name) => ({ dir, name }))))).flat()
  const exact = logs.filter(({ name }) => name === wanted + LOG_SUFFIX)
  const fitting = exact.length > 0 ? exact : logs.filter(({ name }) => wanted !== '' && name.startsWith(wanted))
  const [only] = fitting
  if (only === undefined)
    return { ok: false, problem: `no run ${wanted} in ${where}; a run is the name of its log without ${LOG_SUFFIX}` }
  if (fitting.length > 1) {
    const some = fitting.slice(0, 3).map(({ name }) => name.slice(0, -LOG_SUFFIX.length))
    const more = fitting.length > 3 ? ', …' : ''
    return { ok: false, problem: `${wanted} may be any of ${fitting.length} runs: ${some.join(', ')}${more}` }
  }
  const run = await inspectRun(join(only.dir, only.name))
  return run === null ? { ok: false, problem: `${only.name} is not the log of an mpdl run` } : { ok: true, run }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch {
    return false
  }
}
