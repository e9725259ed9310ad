// Writes what was asked for besides the summary: --json, --report, --failed-out. Each is rendered from the events.

import { closeSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import type { RunEvent } from '../core/event.ts'
import type { Report } from '../core/report.ts'
import { isUnfinished } from '../core/report.ts'
import { writeJsonReport } from '../reporters/json.ts'
import type { EventLog } from '../supervisor/event-log.ts'
import type { JobList } from '../supervisor/job-list.ts'
import { formatOf, writeReport } from './render.ts'
import type { RawRunOptions } from './run-options.ts'
import { writeOut } from './stdout.ts'

export interface Outputs {
  readonly options: RawRunOptions
  readonly list: JobList
  readonly log: EventLog
  readonly report: Report
  readonly code: number
}

/** Returns a sentence for each that could not be written; the others are. */
export async function writeOutputs({ options, list, log, report, code }: Outputs): Promise<string[]> {
  const problems: string[] = []
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
    await attempt(path, () =>
      intoFile(path, 0o666, (write) => writeReport(formatOf(path), log.events(), report, write, code)),
    )
  }
  const { failedOut } = options
  if (failedOut !== undefined) {
    await attempt(failedOut, () => intoFile(failedOut, 0o600, (write) => writeFailed(list, log.events(), write)))
  }
  return problems
}

/** Whole or not at all: a reader never sees half a report. Devices and pipes are written as they are. */
export async function intoFile(
  path: string,
  mode: number,
  fill: (write: (chunk: string) => void) => Promise<void>,
): Promise<void> {
  // A device or a pipe is written to, not replaced.
  const isDevice = statSync(path, { throwIfNoEntry: false })?.isFile() === false
  const temporary = isDevice ? path : `${path}.${process.pid}~`
  const descriptor = openSync(temporary, isDevice ? 'w' : 'wx', mode)
  try {
    await fill((chunk) => {
      for (let bytes = Buffer.from(chunk); bytes.length > 0; ) bytes = bytes.subarray(writeSync(descriptor, bytes))
    })
    closeSync(descriptor)
    if (!isDevice) renameSync(temporary, path)
  } catch (error) {
    if (!isDevice) rmSync(temporary, { force: true })
    throw error
  }
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
