// Decides the shape of the JSON report (schema 1), written as it is read: a million jobs need no memory. Knows nothing
// of files.

import type { RunEvent } from '../core/event.ts'
import { OUTCOMES } from '../core/event.ts'
import { printableJson } from '../core/printable.ts'
import type { Report } from '../core/report.ts'
import { elapsedMs, endedJobs } from '../core/report.ts'

/** Takes a piece of text and resolves when more is welcome. */
export type WriteChunk = (chunk: string) => void | Promise<void>

const CHUNK_LENGTH = 65_536

/** Collects small texts into large ones, so that a row costs no system call. */
export function chunked(write: WriteChunk): { add(text: string): void | Promise<void>; flush(): Promise<void> } {
  let pending = ''
  const flush = async () => {
    const chunk = pending
    pending = ''
    if (chunk !== '') await write(chunk)
  }
  return {
    add(text) {
      pending += text
      return pending.length < CHUNK_LENGTH ? undefined : flush()
    },
    flush,
  }
}

/**
 * Writes the report of a run: `events` from its start to its end, `report` what they add up to, `exitCode` what the run
 * left with. Sizes are bytes; names with `time_` are seconds, `started`, `ended` and `at` ms since the epoch.
 */
export async function writeJsonReport(
  events: AsyncIterable<RunEvent>,
  report: Report,
  write: WriteChunk,
  exitCode: number,
): Promise<void> {
  const out = chunked(write)
  const json = (value: unknown) => printableJson(JSON.stringify(value))
  const { schema = 1, ...run } = report.run ?? {}
  const totals = {
    ...Object.fromEntries(OUTCOMES.map((outcome) => [outcome, report.totals[outcome]])),
    jobs: endedJobs(report),
    bytes: report.movedBytes,
    bytes_files: report.fileBytes,
    bytes_kept: report.keptBytes,
    bytes_lost: report.lostBytes,
    unverified: report.unverified,
    retries: report.retries,
    spawned: report.attempts.spawned,
    reaped: report.attempts.reaped,
    time_total: elapsedMs(report) / 1000,
  }
  const ended = { ended: report.endedAt, signal: report.signal, stopped: report.stops }
  await out.add(`{"schema":${json(schema)},\n"run":${json({ ...run, ...ended })},\n"totals":${json(totals)},\n"jobs":[`)
  // A host given up or a run that ended is one event for all its jobs, so these are few.
  const bulk: string[] = []
  let separator = '\n'
  for await (const event of events) {
    if (event.type === 'job-ended') {
      const full = out.add(separator + json(event.row))
      separator = ',\n'
      // Waiting only for a full chunk saves a turn of the event loop for every row.
      if (full !== undefined) await full
    } else if (event.type === 'jobs-ended') {
      const { outcome, failure, reason, count, lines } = event
      bulk.push(json({ outcome, failure, reason, count, lines }))
    }
  }
  await out.add(`\n],\n"not_started":${json(report.notStarted.ranges)},\n"bulk":[${bulk.join(',\n')}],\n`)
  await out.add(`"hosts":${json([...report.hosts.values()])},\n"warnings":${json(report.warnings)},\n`)
  await out.add(`"exit_code":${json(exitCode)}}\n`)
  await out.flush()
}
