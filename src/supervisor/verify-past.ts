// Decides what the runs of one list say of its files: the newest that finished a file says what it should be. Small for
// a million jobs, and reads no log before somebody asks. Knows nothing of what is on disk.

import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { safeComponent } from '../core/destination.ts'
import type { JobRow, Outcome } from '../core/event.ts'
import { OUTCOMES } from '../core/event.ts'
import { fingerprint } from '../core/hash.ts'
import type { RecordedFile } from '../core/verify.ts'
import { Column } from './column.ts'
import { codeOf } from './disk-failure.ts'
import type { PastRun } from './past-runs.ts'
import { decodeEvent, readLines } from './past-runs.ts'
import { ABSENT, PrintTable } from './print-table.ts'

/** Most lines of a log are of other events; telling them apart by text spares reading them as JSON. */
const ROW_MARK = '"type":"job-ended"'
const JOB_ID = /^[0-9a-f]{16}$/
const SHA256 = /^[0-9a-f]{64}$/
const DIGEST_CELLS = 8

export interface PastFilesOptions {
  /** Newest first. */
  readonly runs: readonly PastRun[]
  /** Told of a log that cannot be read. */
  readonly onProblem: (sentence: string) => void
  /** Ends the reading of a log in the middle. */
  readonly isStopped: () => boolean
}

export class PastFiles {
  readonly #options: PastFilesOptions
  /** How many of the runs were read. */
  #read = 0
  /** Where the last run's log goes on; it may be under way. */
  #lastRunEnd = 0
  readonly #jobs = new PrintTable()
  /** A row for each job; in the last run's column positions in OUTCOMES from 1, 0 where it has none. */
  readonly #lastOutcome = new Column(Uint8Array)
  /** Position of the run that says what the file should be, from 1; 0 where none does yet. */
  readonly #run = new Column(Uint32Array)
  readonly #sizeBytes = new Column(Float64Array)
  /** Position in `#digests` from 1; 0 without a digest. */
  readonly #digest = new Column(Uint32Array)
  readonly #digests = new Column(Uint32Array)
  /** Of the few whose name is not their target's. */
  readonly #serverNames = new Map<number, string>()

  constructor(options: PastFilesOptions) {
    this.#options = options
  }

  /** What the last run says became of this job. */
  async lastOutcome(id: string): Promise<Outcome | undefined> {
    if (this.#read === 0) await this.#readNext()
    const at = this.#find(id)
    return at === ABSENT ? undefined : OUTCOMES[this.#lastOutcome.at(at) - 1]
  }

  /** How the newest run that finished this job's file left it; asks older runs where newer ones are silent. */
  async recorded(id: string): Promise<RecordedFile | undefined> {
    const { runs } = this.#options
    for (;;) {
      const at = this.#find(id)
      const run = at === ABSENT ? undefined : runs[this.#run.at(at) - 1]
      if (run !== undefined) {
        return { runId: run.run.id, sizeBytes: this.#sizeBytes.at(at), sha256: this.#digestAt(this.#digest.at(at)) }
      }
      if (this.#read === runs.length) return undefined
      await this.#readNext()
    }
  }

  /** The name that a server gave the file, if the last run says so: for all others there is the state. */
  async serverName(id: string): Promise<string | undefined> {
    if (this.#read === 0) await this.#readNext()
    return this.#serverNames.get(this.#find(id))
  }

  /** Takes in what a run under way has written since its log was read. */
  async readOn(): Promise<void> {
    const [last] = this.#options.runs
    if (this.#read > 0 && last?.ended === null) this.#lastRunEnd = await this.#readLog(last, 1, this.#lastRunEnd)
  }

  async #readNext(): Promise<void> {
    const run = this.#options.runs[this.#read]
    if (run === undefined) return
    this.#read++
    const end = await this.#readLog(run, this.#read, 0)
    if (this.#read === 1) this.#lastRunEnd = end
  }

  /** `position` of the run, from 1. Resolves with the end of the log's last whole line. */
  async #readLog({ path }: PastRun, position: number, from: number): Promise<number> {
    const { onProblem, isStopped } = this.#options
    let end = from
    try {
      const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
      const readAt = async (buffer: Buffer, at: number) => {
        const { bytesRead } = await file.read(buffer, 0, buffer.length, from + at)
        const newline = buffer.subarray(0, bytesRead).lastIndexOf(10)
        if (newline !== -1) end = from + at + newline + 1
        return bytesRead
      }
      try {
        for await (const line of readLines(readAt)) {
          if (isStopped()) break
          const event = line.includes(ROW_MARK) ? decodeEvent(line) : null
          if (event?.type === 'job-ended') this.#take(event.row, position)
        }
      } finally {
        await file.close()
      }
    } catch (error) {
      const code = codeOf(error)
      if (code === undefined) throw error
      onProblem(`the log ${path} cannot be read: ${code}`)
    }
    return end
  }

  #take({ id, out, outcome, size, sha256 }: JobRow, position: number): void {
    if (!JOB_ID.test(id)) return
    const known = this.#find(id)
    const at = known === ABSENT ? this.#add(id) : known
    if (position === 1) this.#lastOutcome.set(at, OUTCOMES.indexOf(outcome) + 1)
    const isFinished = outcome === 'downloaded' || outcome === 'unchanged'
    const isKnown = this.#run.at(at) !== 0 && this.#run.at(at) <= position
    if (!isFinished || size === null || isKnown) return
    this.#run.set(at, position)
    this.#sizeBytes.set(at, size)
    const name = basename(out)
    // A log is a file like any other: what it says must not lead elsewhere.
    if (fingerprint(out) !== id && safeComponent(name) === name) this.#serverNames.set(at, name)
    else this.#serverNames.delete(at)
    this.#digest.set(at, sha256 !== null && SHA256.test(sha256) ? this.#addDigest(sha256) : 0)
  }

  #addDigest(hex: string): number {
    for (let cell = 0; cell < DIGEST_CELLS; cell++) {
      this.#digests.push(Number.parseInt(hex.slice(cell * 8, cell * 8 + 8), 16))
    }
    return this.#digests.length / DIGEST_CELLS
  }

  #digestAt(position: number): string | undefined {
    if (position === 0) return undefined
    const first = (position - 1) * DIGEST_CELLS
    return Array.from({ length: DIGEST_CELLS }, (_, cell) =>
      this.#digests
        .at(first + cell)
        .toString(16)
        .padStart(8, '0'),
    ).join('')
  }

  #find(id: string): number {
    const [high, low] = printOf(id)
    // The id is the fingerprint: equal prints are one job.
    return this.#jobs.find(high, low, () => true)
  }

  #add(id: string): number {
    const [high, low] = printOf(id)
    const at = this.#run.length
    this.#jobs.add(high, low, at)
    for (const column of [this.#lastOutcome, this.#run, this.#sizeBytes, this.#digest]) column.push(0)
    return at
  }
}

const printOf = (id: string): [high: number, low: number] => [
  Number.parseInt(id.slice(0, 8), 16),
  Number.parseInt(id.slice(8), 16),
]
