// Decides what is kept of every row of a checked list, and reads the rest again from the list when it is wanted. Knows
// nothing of other runs, files on disk or downloads.

import { destination, foldKey, type NamingRules, numbered } from '../core/destination.ts'
import { fingerprint, hash64 } from '../core/hash.ts'
import type { Entry, Job } from '../core/job.ts'
import { excerpt } from '../core/printable.ts'
import type { RowResult } from '../core/url-list.ts'
import { Column } from './column.ts'
import type { ListText } from './list-text.ts'
import { parseRawRow, type RawRow } from './row-scanner.ts'

/** How rows become targets. */
export interface TargetRules {
  readonly naming: NamingRules
  /** Targets that differ only in case are one. */
  readonly foldCase: boolean
}

/** Longest relative target, so that with `--dir` it stays under the system's 4,096. */
export const MAX_TARGET_BYTES = 3072

/** What became of a row; kept as its position here, a byte per row. */
const FATES = ['job', 'same', 'bad', 'clash', 'below-file', 'above-files', 'shared-part', 'long-target'] as const
export type FateName = (typeof FATES)[number]

const HALVES = new DataView(new ArrayBuffer(8))

/** What a row is called and where it comes from, without its number. */
export interface Identity {
  /** The target as the file system compares it. */
  readonly key: string
  readonly url: string
}

/** Some 41 bytes a row in typed arrays: objects would take half a gigabyte for a million. */
export class ListRows {
  readonly #text: ListText
  readonly #rules: TargetRules
  readonly #offset = new Column(Float64Array)
  readonly #byteLength = new Column(Uint32Array)
  readonly #printHigh = new Column(Uint32Array)
  readonly #printLow = new Column(Uint32Array)
  readonly #idHigh = new Column(Uint32Array)
  readonly #idLow = new Column(Uint32Array)
  readonly #line = new Column(Uint32Array)
  readonly #host = new Column(Uint32Array)
  readonly #fate = new Column(Uint8Array)
  readonly #other = new Column(Uint32Array)
  #numbers: Uint32Array | undefined
  /** Set when a row was not found again where it had been. */
  isEdited = false

  constructor(text: ListText, rules: TargetRules) {
    this.#text = text
    this.#rules = rules
  }

  get size(): number {
    return this.#line.length
  }

  add(row: RawRow): number {
    const [high, low] = hash64(row.text)
    this.#offset.push(row.offset)
    this.#byteLength.push(row.text.length)
    this.#printHigh.push(high)
    this.#printLow.push(low)
    this.#idHigh.push(0)
    this.#idLow.push(0)
    this.#host.push(0)
    this.#fate.push(0)
    this.#other.push(0)
    this.#line.push(row.line)
    return this.size - 1
  }

  /** What a job of this target is known by, before any renaming. */
  setTarget(index: number, target: string): void {
    const [high, low] = hash64(target)
    this.#idHigh.set(index, high)
    this.#idLow.set(index, low)
  }

  /** Of what is a job, as a number: the list need not be read again. Undefined where it must be, and was edited. */
  idOf(index: number): bigint | undefined {
    const isRenamed = (this.#numbers?.[index] ?? 0) > 0
    if (!isRenamed) {
      // Shifting would make three numbers on the way, for each of a million rows.
      HALVES.setUint32(0, this.#idHigh.at(index))
      HALVES.setUint32(4, this.#idLow.at(index))
      return HALVES.getBigUint64(0)
    }
    const job = this.job(index)
    return job && BigInt(`0x${job.id}`)
  }

  setHost(index: number, host: number): void {
    this.#host.set(index, host)
  }

  /** `other`: the row that the fate has to do with, or the row itself. */
  decide(index: number, fate: FateName, other: number): void {
    this.#fate.set(index, FATES.indexOf(fate))
    this.#other.set(index, other)
  }

  /** Renames: the row's target gets this number. Only once all rows are there. */
  setNumber(index: number, n: number): void {
    this.#numbers ??= new Uint32Array(this.size)
    this.#numbers[index] = n
  }

  lineOf(index: number): number {
    return this.#line.at(index)
  }

  /** What {@link setHost} was given; 0 for a bad row. */
  hostOf(index: number): number {
    return this.#host.at(index)
  }

  fateName(index: number): FateName {
    return FATES[this.#fate.at(index)] ?? 'bad'
  }

  /** The row that this one is the same as, or clashes with. */
  otherOf(index: number): number {
    return this.#other.at(index)
  }

  /** Equal for targets that are one file. */
  keyOf(target: string): string {
    return this.#rules.foldCase ? foldKey(target) : target
  }

  /** The row's bytes as latin1, as they were in the first pass; undefined when the list no longer has them there. */
  raw(index: number): string | undefined {
    const text = this.#text.read(this.#offset.at(index), this.#byteLength.at(index)).toString('latin1')
    const [high, low] = hash64(text)
    if (high === this.#printHigh.at(index) && low === this.#printLow.at(index)) return text
    this.isEdited = true
    return undefined
  }

  #parse(index: number): RowResult | undefined {
    const text = this.raw(index)
    return text === undefined ? undefined : parseRawRow(this.lineOf(index), text)
  }

  #entry(index: number): Entry | undefined {
    const result = this.#parse(index)
    return result?.ok === true ? result.entry : undefined
  }

  /** Where an entry belongs that stands at this index, before any renaming. */
  targetOf(entry: Entry, index: number): string {
    return destination(entry, index + 1, this.#rules.naming)
  }

  naturalTarget(index: number): string | undefined {
    const entry = this.#entry(index)
    return entry && this.targetOf(entry, index)
  }

  identity(index: number): Identity | undefined {
    const entry = this.#entry(index)
    return entry && { key: this.keyOf(this.targetOf(entry, index)), url: entry.urls[0] }
  }

  job(index: number): Job | undefined {
    const entry = this.#entry(index)
    if (entry === undefined) return undefined
    const natural = this.targetOf(entry, index)
    const n = this.#numbers?.[index] ?? 0
    const target = n === 0 ? natural : numbered(natural, n)
    return { ...entry, index, id: fingerprint(target), target }
  }

  /** Why a row is bad, worked out anew: sentences for a million bad rows would fill the memory. */
  problemOf(index: number): string {
    const result = this.#parse(index)
    if (result === undefined) return 'was edited after the list had been checked'
    if (!result.ok) return result.errors.map(({ problem }) => problem).join('; ')
    return this.#clash(index, this.targetOf(result.entry, index))
  }

  #clash(index: number, natural: string): string {
    const target = excerpt(natural)
    const other = this.otherOf(index)
    const there = `line ${this.lineOf(other)}`
    const remedy = `use ${this.#rules.naming.names === 'tree' ? '' : '--names tree, '}out= or --on-clash rename`
    switch (this.fateName(index)) {
      case 'long-target':
        return `${target} is longer than ${MAX_TARGET_BYTES} bytes, more than a path may have; use out=`
      case 'below-file':
        return `becomes ${target}, and ${there} a file where that needs a directory; ${remedy}`
      case 'above-files':
        return `becomes the file ${target}, which ${there} needs as a directory; ${remedy}`
      case 'shared-part':
        return `becomes ${target} and would share a .part file with ${there}; ${remedy}`
      default: {
        const theirs = this.#rules.foldCase ? this.naturalTarget(other) : undefined
        const cause = theirs === undefined || theirs === natural ? '' : ', where case is ignored'
        return `becomes ${target}, as ${there} does${cause}; ${remedy}`
      }
    }
  }
}
