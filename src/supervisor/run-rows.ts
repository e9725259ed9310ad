// Decides how the ends of a run's jobs reach somebody who takes them in his own time: each job once, in the order they
// ended, while the run never waits and memory stays small. Knows nothing of why they ended.

import { closeSync, readSync, writeSync } from 'node:fs'
import type { JobRow, RunEvent } from '../core/event.ts'
import { redactUrl } from '../core/redact.ts'
import { codeOf } from './disk-failure.ts'
import type { JobList } from './job-list.ts'
import { indexesOf } from './line-ranges.ts'
import { openNameless } from './nameless-file.ts'

type JobsEnded = Extract<RunEvent, { type: 'jobs-ended' }>
type End = Extract<RunEvent, { type: 'job-ended' }> | JobsEnded

/** A row has some 1.2 KB; more than these wait on disk. */
const MOST_IN_MEMORY = 500

/** One writer, the run; one reader. Ends that came together are told apart only when they are read. */
export class RunRows {
  readonly #spoolDir: string
  #list: JobList | undefined
  #latest: End[] = []
  /** Where earlier ones stand in the nameless file. */
  readonly #aside: { readonly offset: number; readonly lengthBytes: number }[] = []
  #file: number | undefined
  #fileBytes = 0
  #isDiskFull = false
  #hasEnded = false
  #isClosed = false
  #arrival = Promise.withResolvers<void>()

  /** `spoolDir`: an existing directory. */
  constructor(spoolDir: string) {
    this.#spoolDir = spoolDir
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Takes the list over; {@link close} closes it. */
  begin(list: JobList): void {
    this.#list = list
  }

  push(event: RunEvent): void {
    if (event.type !== 'job-ended' && event.type !== 'jobs-ended') return
    this.#latest.push(event)
    if (this.#latest.length >= MOST_IN_MEMORY && !this.#isDiskFull) this.#setAside()
    this.#arrival.resolve()
  }

  /** Nothing more will come. */
  end(): void {
    this.#hasEnded = true
    this.#arrival.resolve()
  }

  /** Forgets what has not been read. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.end()
    this.#list?.close()
    if (this.#file !== undefined) closeSync(this.#file)
  }

  /** Until all was read that came before {@link end}. */
  async *read(): AsyncGenerator<JobRow, void, undefined> {
    for (;;) {
      const ends = this.#take()
      for (const end of ends) yield* this.#rowsOf(end)
      if (ends.length > 0) continue
      if (this.#hasEnded) return
      await this.#arrival.promise
    }
  }

  #take(): readonly End[] {
    if (this.#isClosed) return []
    const aside = this.#aside.shift()
    if (aside !== undefined) return this.#fetch(aside)
    const latest = this.#latest
    this.#latest = []
    if (!this.#hasEnded) this.#arrival = Promise.withResolvers()
    return latest
  }

  #setAside(): void {
    const bytes = Buffer.from(JSON.stringify(this.#latest))
    try {
      this.#file ??= openNameless(this.#spoolDir, 'rows')
      for (let at = 0; at < bytes.length; ) {
        at += writeSync(this.#file, bytes, at, bytes.length - at, this.#fileBytes + at)
      }
    } catch (error) {
      if (codeOf(error) === undefined) throw error
      // No row is lost for want of room: from now on they stay in memory.
      this.#isDiskFull = true
      return
    }
    this.#aside.push({ offset: this.#fileBytes, lengthBytes: bytes.length })
    this.#fileBytes += bytes.length
    this.#latest = []
  }

  #fetch({ offset, lengthBytes }: { readonly offset: number; readonly lengthBytes: number }): readonly End[] {
    const bytes = Buffer.allocUnsafe(lengthBytes)
    for (let at = 0; at < lengthBytes; ) {
      const count = readSync(this.#file ?? -1, bytes, at, lengthBytes - at, offset + at)
      if (count === 0) throw new Error('rows that were set aside are gone')
      at += count
    }
    const ends: readonly End[] = JSON.parse(bytes.toString())
    return ends
  }

  *#rowsOf(end: End): Generator<JobRow, void, undefined> {
    if (end.type === 'job-ended') {
      yield end.row
      return
    }
    const list = this.#list
    if (list === undefined) throw new Error('jobs of no list have ended')
    for (const index of indexesOf(list, end.lines)) {
      if (this.#isClosed) return
      yield rowWithoutAttempt(end, list, index)
    }
  }
}

function rowWithoutAttempt({ outcome, failure, reason }: JobsEnded, list: JobList, index: number): JobRow {
  const job = list.read(index)
  return {
    id: job?.id ?? '',
    index,
    line: list.lineOf(index),
    url: job === undefined ? '' : redactUrl(job.urls[0]),
    url_effective: null,
    out: job?.target ?? '',
    outcome,
    reason,
    failure,
    http_code: null,
    size_download: 0,
    size: null,
    resumed_from: 0,
    proof: null,
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
    time_total: 0,
    speed_download: 0,
    kept: 0,
    warnings: [],
    attempts: [],
  }
}
