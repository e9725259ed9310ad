// What is remembered of a list from one run to the next, as bytes and back, and what the ends of a run's jobs make of
// it. Knows nothing of files, of lines or of words.

import type { Outcome, RunEvent } from './event.ts'
import type { Failure } from './failure.ts'
import { isTrouble } from './report.ts'

export type StopCause = Extract<RunEvent, { type: 'stopping' }>['cause']

/** Numbers by the ids of jobs, 12 bytes each: a list may have a million. `ids` ascend. */
export interface IdTable {
  readonly ids: BigUint64Array
  readonly values: Uint32Array
}

/** A run that has not said how it ended. */
export interface OpenRun {
  readonly id: string
  /** Where its log is, if it has one. */
  readonly log: string | null
  /** It was to run some of the list only. */
  readonly isPartial: boolean
}

export interface ListMemory {
  /** {@link delayOf} jobs that did not start, or that a run's end cut short. */
  readonly undone: IdTable
  /** When it was last told that a job fails, in seconds since the epoch. */
  readonly failing: IdTable
  /** When it was last told that runs end early of this, in seconds since the epoch. */
  readonly stops: ReadonlyMap<StopCause, number>
  /** When all was well, in ms since the epoch. */
  readonly lastGoodMs: number | null
  readonly openRun: OpenRun | null
}

const STOP_CAUSES: readonly StopCause[] = ['signal', 'run-deadline', 'disk-full', 'crash-loop', 'halt']
const NO_IDS: IdTable = { ids: new BigUint64Array(), values: new Uint32Array() }
export const NO_MEMORY: ListMemory = {
  undone: NO_IDS,
  failing: NO_IDS,
  stops: new Map(),
  lastGoodMs: null,
  openRun: null,
}

/** Whether there is nothing that the next run would do otherwise. */
export function isBlank({ undone, failing, stops }: ListMemory): boolean {
  return undone.ids.length === 0 && failing.ids.length === 0 && stops.size === 0
}

/** Seven nights, of which none ends at the same second as the one before. */
export const REMIND_AFTER_MS = 6.5 * 24 * 3_600_000
/** What waits longer than so many runs waits no longer than the rest of those. */
const MOST_RUNS = 100

/**
 * How urgent a job is that has not come to its end in so many runs in a row: more with each of them, and among those of
 * as many runs more when the last one has not even begun it.
 */
function delayOf(runs: number, became: 'not-started' | 'cut-short'): number {
  return 2 * Math.min(MOST_RUNS, runs) + (became === 'not-started' ? 1 : 0)
}
const runsOf = (delay: number) => delay >> 1
const LEAST_DELAY = delayOf(1, 'cut-short')

/** The id of a job as a number; undefined when it is none. */
export function idOf(text: string): bigint | undefined {
  return /^[0-9a-f]{16}$/.test(text) ? BigInt(`0x${text}`) : undefined
}

/** Its position; -1 where it is not. */
export function positionOf(ids: BigUint64Array, id: bigint): number {
  let low = 0
  let high = ids.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((ids[middle] ?? 0n) < id) low = middle + 1
    else high = middle
  }
  return ids[low] === id ? low : -1
}

function valueIn({ ids, values }: IdTable, id: bigint): number | undefined {
  return values[positionOf(ids, id)]
}

/** Takes ids in any order. */
export class IdTableBuilder {
  #ids = new BigUint64Array(64)
  #values = new Uint32Array(64)
  #size = 0

  add(id: bigint, value: number): void {
    if (this.#size === this.#ids.length) {
      const [ids, values] = [new BigUint64Array(2 * this.#size), new Uint32Array(2 * this.#size)]
      ids.set(this.#ids)
      values.set(this.#values)
      this.#ids = ids
      this.#values = values
    }
    this.#ids[this.#size] = id
    this.#values[this.#size++] = value
  }

  build(): IdTable {
    const ids = this.#ids.slice(0, this.#size).sort()
    const values = new Uint32Array(this.#size)
    for (let n = 0; n < this.#size; n++) values[positionOf(ids, this.#ids[n] ?? 0n)] = this.#values[n] ?? 0
    return { ids, values }
  }
}

/** What became of a job, as far as the next run is concerned. */
export type Became = 'well' | 'failed' | 'cut-short' | 'not-started'

export function becameOf(outcome: Outcome, failure: Failure | null): Became {
  if (outcome === 'not-started') return 'not-started'
  if (!isTrouble(outcome)) return 'well'
  // The end of the run says nothing of the job.
  return outcome === 'cancelled' || failure?.kind === 'run-deadline' ? 'cut-short' : 'failed'
}

/** Of a failure or a stop: never told, told a week ago or longer, told of late. */
export type Novelty = 'fresh' | 'due' | 'known'

function noveltyOf(toldS: number | undefined, atMs: number): Novelty {
  if (toldS === undefined) return 'fresh'
  return atMs - toldS * 1000 >= REMIND_AFTER_MS ? 'due' : 'known'
}

const secondsOf = (ms: number) => Math.min(Math.max(0, Math.floor(ms / 1000)), 0xffff_ffff)

export interface UpdateOptions {
  /** Of the jobs that it does not run nothing is forgotten. */
  readonly isPartial: boolean
  /** `new`: nobody hears again of what is known before it is due. `nothing`: nobody will hear of this run. */
  readonly told: 'all' | 'new' | 'nothing'
}

/** From what was remembered before a run to what is after it. */
export class MemoryUpdate {
  readonly #before: ListMemory
  readonly #options: UpdateOptions
  readonly #wasUndoneMet: Uint8Array
  readonly #wasFailingMet: Uint8Array
  readonly #undone = new IdTableBuilder()
  readonly #failing = new IdTableBuilder()
  readonly #stops = new Map<StopCause, number>()

  constructor(before: ListMemory, options: UpdateOptions) {
    this.#before = before
    this.#options = options
    this.#wasUndoneMet = new Uint8Array(before.undone.ids.length)
    this.#wasFailingMet = new Uint8Array(before.failing.ids.length)
  }

  /** For each job of the run once. What its failure is to those who are told; `recovered`: it failed before. */
  take(id: bigint, became: Became, atMs: number): Novelty | 'recovered' | undefined {
    const { undone, failing } = this.#before
    const undoneAt = positionOf(undone.ids, id)
    const failingAt = positionOf(failing.ids, id)
    if (undoneAt >= 0) this.#wasUndoneMet[undoneAt] = 1
    if (failingAt >= 0) this.#wasFailingMet[failingAt] = 1
    const toldS = failing.values[failingAt]
    const isHeard = this.#options.told !== 'nothing'
    if (became === 'failed' && isHeard) return this.#fail(id, toldS, atMs)
    if (became === 'well' && isHeard) return toldS === undefined ? undefined : 'recovered'
    if (toldS !== undefined) this.#failing.add(id, toldS)
    if (became === 'well') return undefined
    const runs = runsOf(undone.values[undoneAt] ?? 0) + 1
    this.#undone.add(id, delayOf(runs, became === 'failed' ? 'cut-short' : became))
    return undefined
  }

  #fail(id: bigint, toldS: number | undefined, atMs: number): Novelty {
    const novelty = noveltyOf(toldS, atMs)
    this.#failing.add(id, this.#toldNow(novelty, toldS, atMs))
    return novelty
  }

  /** The clock may have been set back since: what was told in the future is told now. */
  #toldNow(novelty: Novelty, toldS: number | undefined, atMs: number): number {
    const nowS = secondsOf(atMs)
    return this.#options.told === 'all' || novelty !== 'known' ? nowS : Math.min(nowS, toldS ?? nowS)
  }

  /** The run ends early. */
  stop(cause: StopCause, atMs: number): Novelty {
    const toldS = this.#before.stops.get(cause)
    // That somebody ended it is no habit of the list's.
    const novelty = cause === 'signal' ? 'fresh' : noveltyOf(toldS, atMs)
    this.#stops.set(cause, this.#toldNow(novelty, toldS, atMs))
    return novelty
  }

  /** `isGood`: all that ran is well. */
  finish({ atMs, isGood }: { readonly atMs: number; readonly isGood: boolean }): ListMemory {
    const { isPartial, told } = this.#options
    if (isPartial) {
      addUnmet(this.#undone, this.#before.undone, this.#wasUndoneMet)
      addUnmet(this.#failing, this.#before.failing, this.#wasFailingMet)
    }
    const undone = this.#undone.build()
    const failing = this.#failing.build()
    const isAllGood = isGood && (!isPartial || undone.ids.length + failing.ids.length === 0)
    const isStoppedStill = (isPartial && !isAllGood) || told === 'nothing'
    return {
      undone,
      failing,
      stops: isStoppedStill ? new Map([...this.#before.stops, ...this.#stops]) : this.#stops,
      lastGoodMs: isAllGood ? atMs : this.#before.lastGoodMs,
      openRun: null,
    }
  }
}

function addUnmet(builder: IdTableBuilder, { ids, values }: IdTable, wasMet: Uint8Array): void {
  for (let n = 0; n < ids.length; n++) if (wasMet[n] === 0) builder.add(ids[n] ?? 0n, values[n] ?? 0)
}

/**
 * What comes first in the next run, 0 before all else: what had not started, then what was begun or fails, then the
 * rest. What has waited for more runs comes before what waits for fewer, because a window that is always too short
 * would never come to the end of the list. Undefined where there is only the rest.
 */
export function ranking({ undone, failing }: ListMemory): ((id: bigint | undefined) => number) | undefined {
  if (undone.ids.length + failing.ids.length === 0) return undefined
  const longest = undone.values.reduce((most, delay) => Math.max(most, delay), delayOf(1, 'not-started'))
  const rest = longest - LEAST_DELAY + 1
  return (id) => {
    const delay = id === undefined ? undefined : valueIn(undone, id)
    if (delay !== undefined) return longest - delay
    return id !== undefined && positionOf(failing.ids, id) >= 0 ? rest - 1 : rest
  }
}

interface Header {
  readonly mpdl_list: 1
  readonly undone: number
  readonly failing: number
  readonly stops: readonly (readonly [StopCause, number])[]
  readonly last_good: number | null
  readonly open_run: { readonly id: string; readonly log: string | null; readonly is_partial: boolean } | null
}

const CHECKSUM_BYTES = 8
const padded = (bytes: number) => Math.ceil(bytes / 8) * 8
const tableBytes = (size: number) => 8 * size + padded(4 * size)

/**
 * A line of JSON, filled up with spaces to a multiple of 8 bytes; ids and values of each table in this machine's order
 * of bytes; a checksum of it all. On a machine of the other order the checksum is wrong, which is as good as no memory.
 */
export function encodeMemory({ undone, failing, stops, lastGoodMs, openRun }: ListMemory): Uint8Array {
  const header: Header = {
    mpdl_list: 1,
    undone: undone.ids.length,
    failing: failing.ids.length,
    stops: [...stops],
    last_good: lastGoodMs,
    open_run: openRun === null ? null : { id: openRun.id, log: openRun.log, is_partial: openRun.isPartial },
  }
  const json = new TextEncoder().encode(JSON.stringify(header))
  const headerBytes = padded(json.length + 1)
  const bytes = new Uint8Array(
    headerBytes + tableBytes(undone.ids.length) + tableBytes(failing.ids.length) + CHECKSUM_BYTES,
  )
  bytes.fill(0x20, 0, headerBytes - 1)
  bytes.set(json)
  bytes[headerBytes - 1] = 0x0a
  let at = headerBytes
  for (const { ids, values } of [undone, failing]) {
    new BigUint64Array(bytes.buffer, at, ids.length).set(ids)
    new Uint32Array(bytes.buffer, at + 8 * ids.length, ids.length).set(values)
    at += tableBytes(ids.length)
  }
  new Uint32Array(bytes.buffer, at).set(checksumOf(bytes.buffer))
  return bytes
}

/** Each step is a bijection of the word and of what came before, so that no single damage goes unseen. */
function checksumOf(buffer: ArrayBuffer): readonly [number, number] {
  let a = 0x9e3779b9
  let b = 0x7f4a7c15
  for (const word of new Uint32Array(buffer, 0, (buffer.byteLength - CHECKSUM_BYTES) / 4)) {
    a = Math.imul(a ^ word, 0x85ebca6b)
    a ^= a >>> 15
    b = Math.imul(b ^ word, 0xc2b2ae35)
    b ^= b >>> 13
  }
  return [a >>> 0, b >>> 0]
}

/** Undefined where the bytes are not just as they were encoded. */
export function decodeMemory(bytes: Uint8Array): ListMemory | undefined {
  if (bytes.length % 8 !== 0 || bytes.length <= CHECKSUM_BYTES) return undefined
  // A copy begins where the wide arrays may.
  const { buffer } = new Uint8Array(bytes)
  const checksum = new Uint32Array(buffer, buffer.byteLength - CHECKSUM_BYTES)
  if (checksumOf(buffer).some((half, n) => half !== checksum[n])) return undefined
  const headerBytes = bytes.indexOf(0x0a) + 1
  const header = parseHeader(new TextDecoder().decode(bytes.subarray(0, headerBytes)))
  if (header === undefined || headerBytes % 8 !== 0) return undefined
  const tablesBytes = tableBytes(header.undone) + tableBytes(header.failing)
  if (headerBytes + tablesBytes + CHECKSUM_BYTES !== bytes.length) return undefined
  const { open_run: open } = header
  return {
    undone: tableAt(buffer, headerBytes, header.undone),
    failing: tableAt(buffer, headerBytes + tableBytes(header.undone), header.failing),
    stops: new Map(header.stops),
    lastGoodMs: header.last_good,
    openRun: open === null ? null : { id: open.id, log: open.log, isPartial: open.is_partial },
  }
}

function tableAt(buffer: ArrayBuffer, at: number, size: number): IdTable {
  return { ids: new BigUint64Array(buffer, at, size), values: new Uint32Array(buffer, at + 8 * size, size) }
}

function parseHeader(line: string): Header | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return isHeader(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isHeader(value: unknown): value is Header {
  if (!isRecord(value) || value['mpdl_list'] !== 1) return false
  const { undone, failing, stops, last_good: lastGood, open_run: open } = value
  return (
    isCount(undone) &&
    isCount(failing) &&
    Array.isArray(stops) &&
    stops.every((stop) => Array.isArray(stop) && STOP_CAUSES.includes(stop[0]) && isCount(stop[1])) &&
    (lastGood === null || Number.isFinite(lastGood)) &&
    (open === null || isOpenRun(open))
  )
}

function isOpenRun(value: unknown): boolean {
  if (!isRecord(value)) return false
  const { id, log, is_partial: isPartial } = value
  return typeof id === 'string' && (log === null || typeof log === 'string') && typeof isPartial === 'boolean'
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0
}
