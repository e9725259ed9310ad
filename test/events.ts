// Builds events for tests that only say what matters to them. Knows nothing of the rooms that read them.

import type { AttemptRecord, IndependentCounts, JobRow, RunEvent, RunHeader } from '../src/core/event.ts'
import type { Failure } from '../src/core/failure.ts'
import { outcomeOf } from '../src/core/failure.ts'
import type { Report } from '../src/core/report.ts'
import { freshReport, step } from '../src/core/report.ts'

export const START = 1_800_000_000_000

export function runHeader(changes: Partial<RunHeader> = {}): RunHeader {
  return {
    schema: 1,
    id: '20261121T022015Z-4f3a',
    version: '0.1.0',
    node: '26.10.0',
    mode: 'process',
    sandbox: 'strict',
    insecure: false,
    argv: ['mpdl', 'list.txt'],
    untyped: [],
    cwd: '/home/someone',
    pid: 4242,
    host: 'somewhere',
    started: START,
    list: { name: 'list.txt', path: '/home/someone/list.txt', jobs: 100, lines: 120 },
    dir: '/home/someone/files',
    tries: 5,
    ...changes,
  }
}

export const runStarted = (changes: Partial<RunHeader> = {}): RunEvent => ({
  type: 'run-started',
  at: START,
  run: runHeader(changes),
})

export function attempt(changes: Partial<AttemptRecord> = {}): AttemptRecord {
  return {
    n: 1,
    task: 'fetch',
    unit: 'process',
    pid: 5000,
    thread: null,
    boot_ms: 60,
    url: 'https://example.com/a.bin',
    started: START,
    ended: START + 1000,
    exit_code: 0,
    signal: null,
    kill_reason: null,
    signal_sent: null,
    max_rss: null,
    bytes: 1000,
    range: [0, 1000],
    resumed_from: 0,
    wait_ms: 0,
    result: 'done',
    failure: null,
    lingered: false,
    counted: true,
    stderr: null,
    ...changes,
  }
}

export function jobRow(changes: Partial<JobRow> = {}): JobRow {
  const line = changes.line ?? 1
  return {
    id: `job${line}`,
    index: line - 1,
    line,
    url: `https://example.com/files/${line}.bin`,
    url_effective: null,
    out: `${line}.bin`,
    outcome: 'downloaded',
    reason: null,
    failure: null,
    http_code: 200,
    size_download: 1000,
    size: 1000,
    resumed_from: 0,
    proof: 'length',
    sha256: null,
    etag: null,
    content_type: null,
    decoded_from: null,
    remote_ip: null,
    num_redirects: 0,
    num_retries: 0,
    time_namelookup: null,
    time_connect: null,
    time_starttransfer: null,
    time_total: 1.5,
    speed_download: 666,
    kept: 0,
    warnings: [],
    attempts: [],
    ...changes,
  }
}

export const jobEnded = (changes: Partial<JobRow> = {}): RunEvent => ({
  type: 'job-ended',
  at: START + 1000,
  row: jobRow(changes),
})

/** The end of a job that went wrong in this way. */
export function jobFailed(line: number, failure: Failure, changes: Partial<JobRow> = {}): RunEvent {
  return jobEnded({ line, failure, outcome: outcomeOf(failure), size: null, size_download: 0, proof: null, ...changes })
}

export const counts = (changes: Partial<IndependentCounts> = {}): IndependentCounts => ({
  listed: 0,
  spawned: 0,
  reaped: 0,
  abandoned: 0,
  filesOnDisk: 0,
  bytesOnDisk: 0,
  ...changes,
})

export const runEnded = (changes: Partial<IndependentCounts> = {}, signal: string | null = null): RunEvent => ({
  type: 'run-ended',
  at: START + 72_000,
  counts: counts(changes),
  signal,
})

export const reportOf = (events: Iterable<RunEvent>): Report => {
  let report = freshReport()
  for (const event of events) report = step(report, event)
  return report
}

export async function* stream(events: Iterable<RunEvent>): AsyncGenerator<RunEvent, void, undefined> {
  yield* events
}
