// Writes what was asked for besides the summary: --json, --report, --failed-out, --metrics. Each is rendered from the
// events.

import { closeSync, constants, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import type { RunEvent } from '../core/event.ts'
import type { Report } from '../core/report.ts'
import { isUnfinished } from '../core/report.ts'
import { writeJsonReport } from '../reporters/json.ts'
import { metricsText } from '../reporters/metrics.ts'
import type { EventLog } from '../supervisor/event-log.ts'
import type { JobList } from '../supervisor/job-list.ts'
import { formatOf, writeReport } from './render.ts'
import type { RawRunOptions } from './run-options.ts'
import { writeOut } from './stdout.ts'

const READER_PATIENCE_MS = 10_000
const READER_POLL_MS = 10
/** Never told: to wait for it is to sleep. */
const NOBODY = new Int32Array(new SharedArrayBuffer(4))

export interface Outputs {
  readonly options: RawRunOptions
  readonly list: JobList
  readonly log: EventLog
  readonly report: Report
  readonly code: number
  /** When all was well; null where that is not known. */
  readonly lastGoodMs: number | null
}

export interface WrittenOutputs {
  /** A sentence for each that could not be written; the others are. */
  readonly problems: readonly string[]
  /** As it was named; undefined where there is no JSON report in a file of its own. */
  readonly jsonReport: string | undefined
}

export async function writeOutputs(outputs: Outputs): Promise<WrittenOutputs> {
  const { options, list, log, report, code, lastGoodMs } = outputs
  const problems: string[] = []
  let jsonReport: string | undefined
  const attempt = async (what: string, write: () => Promise<void>) => {
    try {
      await write()
    } catch (error) {
      problems.push(`cannot write ${what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  if (options.json === true) {
    await attempt('the report to standard output', () => writeJsonReport(log.events(), report, writeOut, code))
  }
  for (const path of options.report ?? []) {
    await attempt(path, async () => {
      await intoFile(path, 0o666, (write) => writeReport(formatOf(path), log.events(), report, write, code))
      if (formatOf(path) === 'json' && !isDevice(path)) jsonReport ??= path
    })
  }
  const { failedOut } = options
  if (failedOut !== undefined) {
    await attempt(failedOut, () => intoFile(failedOut, 0o600, (write) => writeFailed(list, log.events(), write)))
  }
  const { metrics } = options
  if (metrics !== undefined) {
    await attempt(metrics, () =>
      intoFile(metrics, 0o666, async (write) => write(metricsText({ report, exitCode: code, lastGoodMs }))),
    )
  }
  return { problems, jsonReport }
}

/**
 * Whole or not at all: a reader never sees half a report. Devices and pipes are written as they are. `mode` is subject
 * to the umask.
 */
export async function intoFile(
  path: string,
  mode: number,
  fill: (write: (chunk: string) => void) => Promise<void>,
): Promise<void> {
  // Never waiting for somebody to read from a pipe: a run must end.
  if (isDevice(path)) return await fillAndClose(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK), fill)
  // No suffix that a program which gathers files looks for, like node_exporter for `.prom`.
  const temporary = `${path}.${process.pid}~`
  // A run that was killed may have left one: in a container every run may have the same number.
  rmSync(temporary, { force: true })
  try {
    await fillAndClose(openSync(temporary, 'wx', mode), fill)
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

function isDevice(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === false
}

async function fillAndClose(
  descriptor: number,
  fill: (write: (chunk: string) => void) => Promise<void>,
): Promise<void> {
  try {
    await fill((chunk) => {
      for (let bytes = Buffer.from(chunk); bytes.length > 0; ) bytes = bytes.subarray(writeSome(descriptor, bytes))
    })
  } finally {
    closeSync(descriptor)
  }
}

/** A reader that is slow is waited for, one that does not read is not. */
function writeSome(descriptor: number, bytes: Uint8Array): number {
  for (let waitedMs = 0; ; waitedMs += READER_POLL_MS) {
    try {
      return writeSync(descriptor, bytes)
    } catch (error) {
      if (!isFull(error) || waitedMs >= READER_PATIENCE_MS) throw error
      Atomics.wait(NOBODY, 0, 0, READER_POLL_MS)
    }
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN'
}

/** The entries as they stood in the list, secrets included: therefore 0600. */
async function writeFailed(
  list: JobList,
  events: AsyncIterable<RunEvent>,
  write: (chunk: string) => void,
): Promise<void> {
  const failedLines = new Set<number>()
  const ranges: (readonly [number, number])[] = []
  for await (const event of events) {
    if (event.type === 'job-ended' && isUnfinished(event.row.outcome)) failedLines.add(event.row.line)
    if (event.type === 'jobs-ended' && isUnfinished(event.outcome)) ranges.push(...event.lines)
  }
  ranges.sort(([a], [b]) => a - b)
  let range = 0
  for (let index = 0; index < list.size; index++) {
    const line = list.lineOf(index)
    while ((ranges[range]?.[1] ?? Number.POSITIVE_INFINITY) < line) range++
    const [first, last] = ranges[range] ?? [Number.POSITIVE_INFINITY, 0]
    if (failedLines.has(line) || (first <= line && line <= last)) write(`${list.raw(index).trimEnd()}\n`)
  }
}
