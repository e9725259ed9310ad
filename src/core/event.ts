// The vocabulary of a run's log. Whatever a report, a progress line or an exit code says is computed from these.
// All URLs are redacted before they get here; times are ms since the epoch.

import type { Failure, FailureOutcome } from './failure.ts'
import type { IsolationName } from './isolation-name.ts'
import type { Range } from './segment.ts'

export type Outcome = 'downloaded' | 'unchanged' | 'skipped' | 'not-started' | FailureOutcome

export const OUTCOMES: readonly Outcome[] = [
  'downloaded',
  'unchanged',
  'skipped',
  'failed',
  'killed',
  'crashed',
  'abandoned',
  'cancelled',
  'not-started',
]

/** What makes a downloaded file believed. */
export type Proof = 'length' | 'checksum' | 'length+checksum' | 'unverified'

/** Bytes `[from, to)` of the file; `to` is null where its size is not known. */
export type ByteRange = readonly [from: number, to: number | null]

/** One child's life, as the report shows it. */
export interface AttemptRecord {
  /** From 1. */
  readonly n: number
  readonly task: 'fetch' | 'hash'
  /** What ran it; null when it could not be started. */
  readonly unit: IsolationName | null
  /** Of its process, which others may share; null for a thread and inline. */
  readonly pid: number | null
  readonly thread: number | null
  /** From the order to the first word of what ran it, in ms; null when it never spoke. */
  readonly boot_ms: number | null
  /** Redacted. */
  readonly url: string
  readonly started: number
  readonly ended: number
  readonly exit_code: number | null
  readonly signal: string | null
  /** Why the supervisor ended it. */
  readonly kill_reason: string | null
  /** The strongest signal mpdl itself sent. */
  readonly signal_sent: 'SIGTERM' | 'SIGKILL' | null
  /** Largest resident memory that the watch saw, in bytes; null when it was gone before the first look. */
  readonly max_rss: number | null
  /** Body bytes this attempt wrote. */
  readonly bytes: number
  /** The bytes of the file it had to bring, as it stood when it ended; null when it never received. */
  readonly range: ByteRange | null
  readonly resumed_from: number
  /** The wait before it, in ms. */
  readonly wait_ms: number
  readonly result: 'done' | 'unchanged' | 'failed'
  readonly failure: Failure | null
  /** It had reported its result but had to be killed to leave. */
  readonly lingered: boolean
  /** Whether it used up one of --tries. */
  readonly counted: boolean
  /** The last words of a child that crashed, escaped and cut. */
  readonly stderr: string | null
}

/** One job's row in the report. Names are those of curl's --write-out where it has one; times are seconds. */
export interface JobRow {
  readonly id: string
  readonly index: number
  readonly line: number
  readonly url: string
  readonly url_effective: string | null
  readonly out: string
  readonly outcome: Outcome
  /** A sentence; null when all went well. */
  readonly reason: string | null
  readonly failure: Failure | null
  readonly http_code: number | null
  /** Body bytes moved for this job in this run, all attempts together. */
  readonly size_download: number
  /** Size of the finished file. */
  readonly size: number | null
  readonly resumed_from: number
  readonly proof: Proof | null
  readonly sha256: string | null
  readonly etag: string | null
  readonly content_type: string | null
  /** The content coding that the body came in and that was taken off (`--compressed`). */
  readonly decoded_from: string | null
  readonly remote_ip: string | null
  readonly num_redirects: number
  readonly num_retries: number
  readonly time_namelookup: number | null
  readonly time_connect: number | null
  readonly time_starttransfer: number | null
  readonly time_total: number
  readonly speed_download: number
  /** Bytes of an unfinished part that the next run continues from. */
  readonly kept: number
  readonly warnings: readonly string[]
  readonly attempts: readonly AttemptRecord[]
}

/** Lines `[first, last]`, both included. */
export type LineRange = readonly [first: number, last: number]

export interface RunHeader {
  readonly schema: 1
  readonly id: string
  readonly version: string
  readonly node: string
  readonly mode: IsolationName
  readonly sandbox: string
  /** Servers' certificates were not verified. */
  readonly insecure: boolean
  /** Redacted. */
  readonly argv: readonly string[]
  /** What environment and configuration file added, as it would have been typed. Redacted. */
  readonly untyped: readonly string[]
  readonly cwd: string
  readonly pid: number
  readonly host: string
  readonly started: number
  readonly list: { readonly name: string; readonly path: string | null; readonly jobs: number; readonly lines: number }
  readonly dir: string
  readonly tries: number
}

/** What the supervisor counted apart from these events; the report compares them with its own sums. */
export interface IndependentCounts {
  /** Entries the reader of the list found. */
  readonly listed: number
  readonly spawned: number
  readonly reaped: number
  readonly abandoned: number
  /** Jobs whose finished file was there with the right size when `stat` was asked after the commit. */
  readonly filesOnDisk: number
  readonly bytesOnDisk: number
}

export type RunEvent =
  | { readonly type: 'run-started'; readonly at: number; readonly run: RunHeader }
  | {
      readonly type: 'job-started'
      readonly at: number
      readonly index: number
      readonly line: number
      readonly id: string
      readonly url: string
      readonly out: string
    }
  | {
      readonly type: 'attempt-started'
      readonly at: number
      readonly index: number
      readonly line: number
      readonly n: number
      readonly task: 'fetch' | 'hash'
      readonly unit: IsolationName | null
      readonly pid: number | null
      readonly thread: number | null
      readonly url: string
      /** What it is sent for: from 0 without an end is the whole file. Null for a hash. */
      readonly range: ByteRange | null
    }
  /** The supervisor answered a response: redirect followed, bytes taken, whole asked again … */
  | {
      readonly type: 'response'
      readonly at: number
      readonly index: number
      readonly line: number
      readonly n: number
      readonly pid: number | null
      readonly status: number
      readonly answer: string
    }
  | {
      readonly type: 'signal-sent'
      readonly at: number
      readonly index: number
      readonly line: number
      readonly n: number
      /** Null where what runs it is no process: it is asked to stop, then ended if it can be. */
      readonly pid: number | null
      readonly signal: string
      readonly reason: string
    }
  | {
      readonly type: 'attempt-ended'
      readonly at: number
      readonly index: number
      readonly line: number
      readonly attempt: AttemptRecord
    }
  | {
      readonly type: 'retry-planned'
      readonly at: number
      readonly index: number
      readonly line: number
      readonly wait_ms: number
      readonly reason: string
      readonly start_over: boolean
      /** The attempt before it used one of --tries. */
      readonly counted: boolean
    }
  | { readonly type: 'job-ended'; readonly at: number; readonly row: JobRow }
  /** Many jobs of one fate that never had an attempt: a host given up, a run that ended. */
  | {
      readonly type: 'jobs-ended'
      readonly at: number
      readonly outcome: Outcome
      readonly failure: Failure | null
      readonly reason: string
      readonly count: number
      readonly lines: readonly LineRange[]
    }
  | {
      readonly type: 'host-changed'
      readonly at: number
      readonly host: string
      readonly change: 'cap-lowered' | 'paused' | 'down'
      readonly reason: string
      readonly until: number | null
      readonly cap: number
    }
  | { readonly type: 'warning'; readonly at: number; readonly message: string }
  /** The run will end before its list: a signal, --run-deadline, a full disk, a crash loop. */
  | {
      readonly type: 'stopping'
      readonly at: number
      readonly cause: 'signal' | 'run-deadline' | 'disk-full' | 'crash-loop' | 'halt'
      readonly reason: string
    }
  | { readonly type: 'suspended'; readonly at: number; readonly gap_ms: number }
  | {
      readonly type: 'run-ended'
      readonly at: number
      readonly counts: IndependentCounts
      readonly signal: string | null
    }
  /** After the run's end: the program of --on-finish. */
  | {
      readonly type: 'hook-ended'
      readonly at: number
      readonly program: string
      readonly exit_code: number | null
      readonly signal: string | null
      readonly ms: number
      /** The end of what it printed, both streams as they came. */
      readonly output: string
      /** What went wrong, as a sentence; null when it exited with 0. */
      readonly problem: string | null
    }

/** What changes too often for the log: only the screen shows it. */
export interface Progress {
  readonly index: number
  readonly line: number
  readonly out: string
  readonly pid: number | null
  readonly phase: 'starting' | 'connecting' | 'waiting' | 'receiving' | 'held' | 'hashing' | 'terminating'
  /** Bytes of the file that are there, those of earlier attempts included. */
  readonly bytes: number
  /** Which bytes those are: sorted, disjoint, not touching. */
  readonly ranges: readonly Range[]
  /** Children that work on this file now. */
  readonly segments: number
  readonly sizeBytes: number | null
  readonly attempt: number
  readonly startedAt: number
}

/** The state a terminal line or a SIGUSR1 status shows. */
export interface Status {
  readonly at: number
  readonly active: readonly Progress[]
  readonly waiting: number
  readonly slots: number
  readonly pausedHosts: readonly { readonly host: string; readonly until: number }[]
}

/** Follows a run. Reporters only look: none may throw, block or change anything. */
export interface Reporter {
  event(event: RunEvent): void
  /** Called a few times a second while something runs. */
  progress?(status: Status): void
  /** A text somebody asked for, such as the status on SIGUSR1. Several lines; never part of the report. */
  note?(text: string): void
  /** After the last event; resolves when everything is written. */
  close?(): Promise<void>
}
