// What outlives the runs of one list into one directory: which jobs did not start, which fail, when all was well.
// Decides with it what comes first and what is news. A cache, never the truth: missing or damaged it is made anew, and
// unwritable it is done without.

import { closeSync, constants, fstatSync, openSync, readFileSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { RunEvent } from '../core/event.ts'
import { fingerprint } from '../core/hash.ts'
import type { Became, ListMemory, Novelty, OpenRun } from '../core/list-memory.ts'
import {
  becameOf,
  decodeMemory,
  encodeMemory,
  IdTableBuilder,
  idOf,
  isBlank,
  MemoryUpdate,
  NO_MEMORY,
  positionOf,
  ranking,
} from '../core/list-memory.ts'
import type { News, RecoveredJob } from '../core/news.ts'
import { freshReport, type Report, rememberSignals, step } from '../core/report.ts'
import { codeOf } from './disk-failure.ts'
import type { JobList } from './job-list.ts'
import { indexesOf, lineRanges } from './line-ranges.ts'
import { makeDirs } from './make-dirs.ts'
import { readEvents } from './past-runs.ts'
import { replaceFile } from './replace-file.ts'

export interface ListHistoryOptions {
  /** Of this list and directory; its directory need not exist. */
  readonly path: string
  readonly list: JobList
  /** Only these rows run; what is known of the others stays. */
  readonly only?: (index: number) => boolean
  /** What the run will say: all that fails, or only what is new. */
  readonly told: 'all' | 'new'
  /** What was typed once: where all went well nothing is left behind. */
  readonly isAdHoc?: boolean
}

export interface ListHistory {
  /**
   * By row, lowest first: what had not started, longest waiting first; what was cut short or fails; the rest. Undefined
   * where that is all of them.
   */
  readonly ranks: Uint8Array | undefined
  /** When all was well, in ms since the epoch; null where that is not known. */
  readonly lastGoodMs: number | null
  /** Why it had to do without, as a sentence. */
  readonly problem: string | undefined
  /** Before the first event: should this run be killed, the next one learns from its log what became of it. */
  begin(run: { readonly id: string; readonly log: string | null }): void
  event(event: RunEvent): void
  /** After the last event and before the list is closed: remembers. `isGood`: the run exits with 0. */
  finish(end: { readonly atMs: number; readonly isGood: boolean }): Promise<News>
}

const ROWS_PER_TURN = 5000
const MOST_RECOVERED = 20
/** Of ten million jobs, all of them failing and cut short. */
const MOST_BYTES = 256 * 2 ** 20

/** Never throws. */
export async function openListHistory(options: ListHistoryOptions): Promise<ListHistory> {
  const { path, list, only = () => true } = options
  const read = readMemory(path)
  const memory = read.openRun === null ? read : await afterKilledRun(read, read.openRun, list)
  return new History(options, memory, await ranksOf(memory, list, only))
}

type JobsEnded = Extract<RunEvent, { type: 'jobs-ended' }>
type HostChanged = Extract<RunEvent, { type: 'host-changed' }>

class History implements ListHistory {
  readonly ranks: Uint8Array | undefined
  lastGoodMs: number | null
  problem: string | undefined
  readonly #path: string
  readonly #list: JobList
  readonly #isPartial: boolean
  readonly #isAdHoc: boolean
  readonly #before: ListMemory
  readonly #update: MemoryUpdate
  readonly #fresh = freshReport()
  readonly #again = freshReport()
  #stillFailing = 0
  readonly #recovered: { count: number; samples: RecoveredJob[] } = { count: 0, samples: [] }
  readonly #signals = new Map<number, string[]>()
  readonly #downHosts = new Map<string, HostChanged>()
  /** Their rows are read when there is time. */
  readonly #later: JobsEnded[] = []

  constructor(
    { path, list, only, told, isAdHoc = false }: ListHistoryOptions,
    before: ListMemory,
    ranks: Uint8Array | undefined,
  ) {
    this.#path = path
    this.#list = list
    this.#isPartial = only !== undefined
    this.#isAdHoc = isAdHoc
    this.#before = before
    this.#update = new MemoryUpdate(before, { isPartial: this.#isPartial, told })
    this.lastGoodMs = before.lastGoodMs
    this.ranks = ranks
  }

  begin({ id, log }: { readonly id: string; readonly log: string | null }): void {
    this.#save({ ...this.#before, openRun: { id, log, isPartial: this.#isPartial } }, false)
  }

  event(event: RunEvent): void {
    const sent = rememberSignals(this.#signals, event)
    switch (event.type) {
      case 'run-started':
        for (const report of [this.#fresh, this.#again]) step(report, event)
        return
      case 'warning':
        return this.#tell('fresh', event)
      case 'stopping':
        return this.#tell(this.#update.stop(event.cause, event.at), event)
      case 'host-changed':
        if (event.change === 'down') this.#downHosts.set(event.host, event)
        return
      case 'jobs-ended':
        return this.#onJobsEnded(event)
      case 'job-ended':
        return this.#onJobEnded(event, sent)
    }
  }

  #onJobEnded(event: Extract<RunEvent, { type: 'job-ended' }>, sent: readonly string[] | undefined): void {
    const { row, at } = event
    const standing = this.#standingOf(idOf(row.id), becameOf(row.outcome, row.failure), at)
    if (standing === undefined) return
    if (standing === 'recovered') {
      this.#recovered.count++
      const { line, url } = row
      if (this.#recovered.samples.length < MOST_RECOVERED) this.#recovered.samples.push({ line, url })
      return
    }
    if (standing !== 'fresh') this.#stillFailing++
    // As they were sent: the row alone knows only the strongest.
    if (sent !== undefined) this.#reportFor(standing)?.signals.set(row.index, [...sent])
    this.#tell(standing, event)
  }

  #onJobsEnded(event: JobsEnded): void {
    // What is the same as another line is that line's.
    if (becameOf(event.outcome, event.failure) === 'well') return
    // Bad lines come one by one, and may be a million.
    if (event.failure?.kind !== 'bad-line') this.#later.push(event)
    else {
      const { take, tell } = this.#takerOf(event)
      for (const index of indexesOf(this.#list, event.lines)) take(index)
      tell()
    }
  }

  #standingOf(id: bigint | undefined, became: Became, atMs: number): Novelty | 'recovered' | undefined {
    // Nobody can tell whether a line that was edited meanwhile is known.
    if (id === undefined) return became === 'failed' ? 'fresh' : undefined
    return this.#update.take(id, became, atMs)
  }

  #reportFor(novelty: Novelty): Report | undefined {
    return { fresh: this.#fresh, due: this.#again, known: undefined }[novelty]
  }

  #tell(novelty: Novelty, event: RunEvent): void {
    const report = this.#reportFor(novelty)
    if (report !== undefined) step(report, event)
  }

  async finish({ atMs, isGood }: { readonly atMs: number; readonly isGood: boolean }): Promise<News> {
    for (const event of this.#later) {
      const { take, tell } = this.#takerOf(event)
      await inTurns(indexesOf(this.#list, event.lines), take)
      tell()
    }
    const memory = this.#update.finish({ atMs, isGood })
    this.lastGoodMs = memory.lastGoodMs
    if (this.#isAdHoc && isBlank(memory)) rmSync(this.#path, { force: true })
    else this.#save(memory, true)
    for (const report of [this.#fresh, this.#again]) {
      // The host of what is known to fail is known, too.
      const hosts = new Set([...report.groups.values()].map(({ host }) => host))
      for (const event of this.#downHosts.values()) if (hosts.has(event.host)) step(report, event)
    }
    const [fresh, again, recovered] = [this.#fresh, this.#again, this.#recovered]
    return { fresh, again, stillFailing: this.#stillFailing, recovered }
  }

  /** `take`: each of its rows; `tell`, after the last: of those that are news. */
  #takerOf(event: JobsEnded): { readonly take: (index: number) => void; readonly tell: () => void } {
    const became = becameOf(event.outcome, event.failure)
    const told: Record<Novelty, number[]> = { fresh: [], due: [], known: [] }
    return {
      take: (index) => {
        const standing = this.#standingOf(identityOf(this.#list, index), became, event.at)
        if (standing === undefined || standing === 'recovered') return
        if (standing !== 'fresh') this.#stillFailing++
        if (standing !== 'known') told[standing].push(index)
      },
      tell: () => {
        for (const novelty of ['fresh', 'due'] as const) {
          const batches = lineRanges(told[novelty], (index) => this.#list.lineOf(index))
          for (const batch of batches) this.#tell(novelty, { ...event, ...batch })
        }
      },
    }
  }

  #save(memory: ListMemory, isDurable: boolean): void {
    try {
      makeDirs(dirname(this.#path), 0o700)
      replaceFile(this.#path, encodeMemory(memory), { temporary: `${this.#path}.new`, isDurable })
    } catch (error) {
      if (codeOf(error) === undefined) throw error
      this.problem = `nothing is remembered of this run for the next: ${this.#path}: ${codeOf(error)}`
    }
  }
}

/** Of what is a job its id; a line that is none is known by its text. */
function identityOf(list: JobList, index: number): bigint | undefined {
  if (list.fateOf(index).kind === 'job') return list.idOf(index)
  const text = list.raw(index)
  return text === '' ? undefined : idOf(fingerprint(`no job: ${text}`))
}

/** Some at a time, so that signals and timers are heard meanwhile. */
async function inTurns(indexes: Iterable<number>, visit: (index: number) => void): Promise<void> {
  let done = 0
  for (const index of indexes) {
    visit(index)
    if (++done % ROWS_PER_TURN === 0) await setImmediate()
  }
}

function* jobsOf(list: JobList, only: (index: number) => boolean): Generator<number> {
  for (let index = 0; index < list.size; index++) if (list.fateOf(index).kind === 'job' && only(index)) yield index
}

async function ranksOf(
  memory: ListMemory,
  list: JobList,
  only: (index: number) => boolean,
): Promise<Uint8Array | undefined> {
  const rankOf = ranking(memory)
  if (rankOf === undefined) return undefined
  const ranks = new Uint8Array(list.size)
  await inTurns(jobsOf(list, only), (index) => {
    ranks[index] = rankOf(identityOf(list, index))
  })
  return ranks
}

/** What is remembered, and what the log of a run says that was killed: nobody has heard of it. */
async function afterKilledRun(before: ListMemory, run: OpenRun, list: JobList): Promise<ListMemory> {
  const seen = run.log === null ? undefined : await jobsInLog(run.log, run.id)
  if (seen === undefined) return { ...before, openRun: null }
  const update = new MemoryUpdate(before, { isPartial: run.isPartial, told: 'nothing' })
  const { begun, well } = seen
  await inTurns(
    jobsOf(list, () => true),
    (index) => {
      const id = identityOf(list, index)
      if (id === undefined) return
      if (positionOf(well, id) >= 0) update.take(id, 'well', 0)
      else if (positionOf(begun, id) >= 0) update.take(id, 'cut-short', 0)
      else if (!run.isPartial) update.take(id, 'not-started', 0)
    },
  )
  return update.finish({ atMs: 0, isGood: false })
}

/** Ids of jobs that began, and of those that ended well; undefined where the log is gone or is another run's. */
async function jobsInLog(
  path: string,
  runId: string,
): Promise<{ begun: BigUint64Array; well: BigUint64Array } | undefined> {
  const begun = new IdTableBuilder()
  const well = new IdTableBuilder()
  let isThatRun = false
  try {
    for await (const event of readEvents(path).events) {
      if (event.type === 'run-started') isThatRun = event.run.id === runId
      if (!isThatRun) return undefined
      const id =
        event.type === 'job-started' ? idOf(event.id) : event.type === 'job-ended' ? idOf(event.row.id) : undefined
      if (id === undefined) continue
      if (event.type === 'job-started') begun.add(id, 0)
      else if (event.type === 'job-ended' && becameOf(event.row.outcome, event.row.failure) === 'well') well.add(id, 0)
    }
  } catch {
    // Gone, no file, or on a disk that fails.
    return undefined
  }
  return isThatRun ? { begun: begun.build().ids, well: well.build().ids } : undefined
}

/** When all was well with the list and the directory that this file is of; null where that is not known. */
export function lastGoodOf(path: string): number | null {
  return readMemory(path).lastGoodMs
}

function readMemory(path: string): ListMemory {
  try {
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      const seen = fstatSync(descriptor)
      const isFit = seen.isFile() && seen.size <= MOST_BYTES
      return (isFit ? decodeMemory(readFileSync(descriptor)) : undefined) ?? NO_MEMORY
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    return NO_MEMORY
  }
}
