// Decides which rows of a list are jobs, in two passes: all are checked first, then read again by offset when their
// turn comes. Knows nothing of downloads.

import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { closeSync, constants, createReadStream, openSync, readSync, statSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setImmediate } from 'node:timers/promises'
import { createGunzip } from 'node:zlib'
import { destination, foldKey, type NamingRules, numbered } from '../core/destination.ts'
import { fingerprint, hash64 } from '../core/hash.ts'
import type { Entry, Job } from '../core/job.ts'
import { printable, redactUrl } from '../core/redact.ts'
import {
  hostKey,
  type ListError,
  lineKind,
  MAX_LINE_BYTES,
  parseRow,
  type RowLine,
  type RowResult,
} from '../core/url-list.ts'

/** Where the list comes from. `urls` are taken as URLs only, each a row of its own. */
export type ListSource =
  | { kind: 'file'; path: string }
  | { kind: 'stream'; stream: NodeJS.ReadableStream; name: string }
  | { kind: 'urls'; urls: readonly string[] }

export interface ListRules {
  readonly naming: NamingRules
  readonly onClash: 'fail' | 'rename'
  /** Bad rows and clashes become entries with the fate `bad` instead of ending the run. */
  readonly keepGoing: boolean
  /** Targets that differ only in case are one. */
  readonly foldCase: boolean
  /** Existing directory for the unlinked copy of standard input and of gzip. */
  readonly spoolDir: string
}

export type Fate = { kind: 'job' } | { kind: 'same'; asLine: number } | { kind: 'bad'; problem: string }

/** The checked list. Indexes count its rows from 0, bad ones included. */
export interface JobList {
  readonly name: string
  readonly size: number
  readonly lineCount: number
  /** Every host of the list once, with its port: `example.com:443`. */
  readonly hosts: readonly string[]
  lineOf(index: number): number
  /** Position in `hosts`; 0 for a bad row. */
  hostOf(index: number): number
  fateOf(index: number): Fate
  /** Reads the row again by its offset; `undefined` where the list was edited meanwhile. */
  read(index: number): Job | undefined
  /** The row with its option lines as it stands in the list, secrets included; empty where the list was edited. */
  raw(index: number): string
  close(): void
}

export type OpenListResult =
  | { ok: true; list: JobList }
  /** `more` counts the problems beyond those in `errors`. */
  | { ok: false; kind: 'no-list' | 'bad-list'; errors: readonly ListError[]; more: number }

const CHUNK_BYTES = 1 << 20
const MAX_ROW_BYTES = 1 << 20
const MAX_SPOOL_BYTES = 4 * 2 ** 30
const MAX_ERRORS = 1000
const LINES_BETWEEN_PAUSES = 20_000
/** Longest relative target, so that with `--dir` it stays under the system's 4,096. */
const MAX_TARGET_BYTES = 3072
const PIECE_CELLS = 16_384
const ABSENT = -1

/** What became of a row; kept as its position here, a byte per row. */
const FATES = ['job', 'same', 'bad', 'clash', 'below-file', 'above-files', 'shared-part', 'long-target'] as const
type FateName = (typeof FATES)[number]

/** Opens and checks a list. Closes what it opened unless the result is ok. */
export async function openJobList(
  source: ListSource,
  rules: ListRules,
  onPause: () => Promise<void> = setImmediate,
): Promise<OpenListResult> {
  const opened = await openText(source, rules.spoolDir)
  if (!opened.ok) return { ok: false, kind: opened.kind, errors: [{ line: 0, problem: opened.problem }], more: 0 }
  const { text, name } = opened
  let isKept = false
  try {
    const result = await new FirstPass(text, name, rules, onPause).run()
    isKept = result.ok
    return result
  } catch (error) {
    if (!isSystemError(error)) throw error
    const problem = `${name} cannot be read: ${error.code}; check the disk and run again`
    return { ok: false, kind: 'no-list', errors: [{ line: 0, problem }], more: 0 }
  } finally {
    if (!isKept) text.close()
  }
}

// --- The first pass

class FirstPass {
  readonly #text: ListText
  readonly #name: string
  readonly #rules: ListRules
  readonly #pause: () => Promise<void>
  readonly #rows: Rows
  readonly #errors: ListError[] = []
  #more = 0
  readonly #hosts: string[] = []
  readonly #hostIds = new Map<string, number>()
  readonly #files = new PrintTable()
  readonly #directories = new PrintTable()
  /** Renamed rows by target and URL, so that a repeated URL is recognised behind a clash too. */
  readonly #renamed = new PrintTable()
  readonly #toRename = new Column(Uint32Array)
  readonly #parts: PartClaims = { index: new Column(Uint32Array), baseLength: new Column(Uint32Array) }
  #lastDirectory = ''
  #lastSeen: Identity & { index: number } = { index: ABSENT, key: '', url: '' }
  #isBinary = false

  constructor(text: ListText, name: string, rules: ListRules, pause: () => Promise<void>) {
    this.#text = text
    this.#name = name
    this.#rules = rules
    this.#pause = pause
    this.#rows = new Rows(text, rules)
  }

  async run(): Promise<OpenListResult> {
    const scan = new RowScanner((row) => this.#take(row))
    let nextPause = LINES_BETWEEN_PAUSES
    for (let offset = 0; !this.#isBinary; ) {
      const count = scan.fill(this.#text, offset)
      offset += count
      while (scan.step(count === 0, nextPause)) {
        if (this.#isBinary) break
        await this.#pause()
        nextPause = scan.lineCount + LINES_BETWEEN_PAUSES
      }
      if (count === 0) break
    }
    if (!this.#isBinary) await this.#settle()
    const isEmpty = this.#rows.size === 0
    if (isEmpty) this.#fail(0, `${this.#name} holds no URL; write one http:// or https:// URL a line`)
    if (this.#rows.isEdited) {
      this.#fail(0, `${this.#name} changed while it was being read; run again when it is complete`)
    }
    if (this.#errors.length > 0 && (!this.#rules.keepGoing || isEmpty || this.#rows.isEdited)) {
      const errors = this.#errors.toSorted((a, b) => a.line - b.line)
      return { ok: false, kind: 'bad-list', errors, more: this.#more }
    }
    return { ok: true, list: jobList(this.#text, this.#name, this.#rows, this.#hosts, scan.lineCount) }
  }

  #fail(line: number, problem: string): void {
    if (this.#errors.length < MAX_ERRORS) this.#errors.push({ line, problem })
    else this.#more++
  }

  #take(row: RawRow): void {
    if (this.#isBinary) return
    const result = parseRaw(row.line, row.text)
    const index = this.#rows.add(row)
    if (!result.ok) {
      this.#rows.decide(index, 'bad', index)
      for (const { line, problem } of result.errors) this.#fail(line, problem)
      // A binary file has thousands of such rows; one says it. With --keep-going a hole after a crash may be skipped.
      this.#isBinary = !this.#rules.keepGoing && row.text.includes('\0')
      return
    }
    const url = result.entry.urls[0]
    const target = destination(result.entry, index + 1, this.#rules.naming)
    if (target.length > MAX_TARGET_BYTES / 3 && Buffer.byteLength(target) > MAX_TARGET_BYTES) {
      this.#refuse(index, 'long-target', index)
      return
    }
    this.#rows.setHost(index, this.#hostId(hostKey(url)))
    this.#claim(index, { key: this.#rows.keyOf(target), url })
  }

  #hostId(host: string): number {
    const known = this.#hostIds.get(host)
    if (known !== undefined) return known
    this.#hosts.push(host)
    this.#hostIds.set(host, this.#hosts.length - 1)
    return this.#hosts.length - 1
  }

  #claim(index: number, { key, url }: Identity): void {
    const [high, low] = hash64(key)
    const owner = this.#files.find(high, low, (other) => this.#identity(other)?.key === key)
    if (owner !== ABSENT) {
      this.#meet(index, { key, url }, owner)
      return
    }
    const directory = key.slice(0, Math.max(0, key.lastIndexOf('/')))
    const holder = directory === '' ? ABSENT : this.#claimDirectories(index, directory)
    if (holder !== ABSENT && this.#rules.onClash === 'fail') {
      this.#refuse(index, 'below-file', holder)
      return
    }
    // The file gives way, whichever came first: a directory cannot be numbered without moving all that is in it.
    if (holder !== ABSENT) this.#toRename.push(holder)
    const inside = this.#directories.find(
      high,
      low,
      (other) => this.#identity(other)?.key.startsWith(`${key}/`) === true,
    )
    if (inside !== ABSENT) {
      if (this.#rules.onClash === 'fail') {
        this.#refuse(index, 'above-files', inside)
        return
      }
      this.#toRename.push(index)
    }
    this.#files.add(high, low, index)
    this.#lastSeen = { index, key, url }
    this.#claimPart(index, key)
  }

  /** The same URL is skipped; another one is a clash. */
  #meet(index: number, { key, url }: Identity, owner: number): void {
    if (this.#identity(owner)?.url === url) {
      this.#rows.decide(index, 'same', owner)
      return
    }
    if (this.#rules.onClash === 'fail') {
      this.#refuse(index, 'clash', owner)
      return
    }
    const [high, low] = hash64(`${key}\n${url}`)
    const twin = this.#renamed.find(high, low, (other) => {
      const identity = this.#identity(other)
      return identity?.key === key && identity.url === url
    })
    if (twin !== ABSENT) {
      this.#rows.decide(index, 'same', twin)
      return
    }
    this.#renamed.add(high, low, index)
    this.#toRename.push(index)
  }

  /** Takes every directory on the way; returns the row whose file is in the way, if one is. */
  #claimDirectories(index: number, directory: string): number {
    if (directory === this.#lastDirectory) return ABSENT
    let holder = ABSENT
    const untaken: string[] = []
    for (let path = directory; path !== ''; path = path.slice(0, Math.max(0, path.lastIndexOf('/')))) {
      const [high, low] = hash64(path)
      // Trusting the fingerprint costs at worst one missed warning; asking the row would cost a read for each.
      if (this.#directories.find(high, low, () => true) !== ABSENT) break
      const file = this.#files.find(high, low, (other) => this.#identity(other)?.key === path)
      if (file !== ABSENT) holder = file
      untaken.push(path)
    }
    // A refused row takes nothing, or the next one below the same file would pass.
    if (holder !== ABSENT && this.#rules.onClash === 'fail') return holder
    for (const path of untaken) {
      this.#directories.add(...hash64(path), index)
      this.#claimPart(index, path)
    }
    this.#lastDirectory = directory
    return holder
  }

  /** Both orders are possible, so the question waits until all targets are known. */
  #claimPart(index: number, path: string): void {
    const suffix = path.endsWith('.part') ? '.part' : path.endsWith('.part.json') ? '.part.json' : undefined
    if (suffix === undefined) return
    this.#parts.index.push(index)
    this.#parts.baseLength.push(path.length - suffix.length)
  }

  async #settle(): Promise<void> {
    for (let i = 0; i < this.#parts.index.length; i++) {
      if (i % LINES_BETWEEN_PAUSES === LINES_BETWEEN_PAUSES - 1) await this.#pause()
      this.#settlePart(this.#parts.index.at(i), this.#parts.baseLength.at(i))
    }
    if (this.#toRename.length === 0) return
    const next = new Map<number, number>()
    const inListOrder = new Uint32Array(this.#toRename.length)
    for (let i = 0; i < inListOrder.length; i++) inListOrder[i] = this.#toRename.at(i)
    inListOrder.sort()
    for (const [i, index] of inListOrder.entries()) {
      if (i % LINES_BETWEEN_PAUSES === LINES_BETWEEN_PAUSES - 1) await this.#pause()
      if (index !== inListOrder[i - 1]) this.#rename(index, next)
    }
  }

  #settlePart(index: number, baseLength: number): void {
    const own = this.#identity(index)?.key ?? ''
    const base = own.slice(0, baseLength)
    const owner = this.#files.find(...hash64(base), (other) => this.#identity(other)?.key === base)
    if (owner === ABSENT || owner === index) return
    const isFile = own === `${base}.part` || own === `${base}.part.json`
    // Other rows may be in the directory too, so there the file gives way.
    if (this.#rules.onClash === 'rename') this.#toRename.push(isFile ? index : owner)
    else if (isFile) this.#refuse(Math.max(index, owner), 'shared-part', Math.min(index, owner))
    else this.#refuse(owner, 'shared-part', index)
  }

  #rename(index: number, next: Map<number, number>): void {
    const target = this.#rows.naturalTarget(index)
    if (target === undefined) return
    const key = this.#rows.keyOf(target)
    // Rows of one target count on from each other: a million of index.html must not each begin at 1.
    const group = this.#files.find(...hash64(key), () => true)
    let n = next.get(group) ?? 1
    let taken = this.#rows.keyOf(numbered(target, n))
    while (this.#isTaken(taken)) taken = this.#rows.keyOf(numbered(target, ++n))
    next.set(group, n + 1)
    this.#rows.setNumber(index, n)
    this.#files.add(...hash64(taken), index)
  }

  #isTaken(key: string): boolean {
    const isName = (path: string): boolean => {
      const print = hash64(path)
      const isAny = (): boolean => true
      return this.#files.find(...print, isAny) !== ABSENT || this.#directories.find(...print, isAny) !== ABSENT
    }
    const base = key.replace(/\.part(?:\.json)?$/, '')
    return isName(key) || isName(`${key}.part`) || isName(`${key}.part.json`) || (base !== key && isName(base))
  }

  #refuse(index: number, fate: FateName, other: number): void {
    if (this.#rows.fateName(index) !== 'job') return
    this.#rows.decide(index, fate, other)
    if (this.#errors.length < MAX_ERRORS) this.#fail(this.#rows.lineOf(index), this.#rows.problemOf(index))
    else this.#more++
  }

  /** What an earlier row is called and where it comes from, without its number; read again from the list. */
  #identity(index: number): Identity | undefined {
    if (this.#lastSeen.index === index) return this.#lastSeen
    const entry = this.#rows.entry(index)
    if (entry === undefined) return undefined
    const key = this.#rows.keyOf(destination(entry, index + 1, this.#rules.naming))
    this.#lastSeen = { index, key, url: entry.urls[0] }
    return this.#lastSeen
  }
}

interface Identity {
  /** The target as the file system compares it. */
  readonly key: string
  readonly url: string
}

interface PartClaims {
  readonly index: Column
  readonly baseLength: Column
}

// --- What is kept of every row

/** Some 33 bytes a row in typed arrays: objects would take half a gigabyte for a million. */
class Rows {
  readonly #text: ListText
  readonly #rules: ListRules
  readonly #offset = new Column(Float64Array)
  readonly #byteLength = new Column(Uint32Array)
  readonly #printHigh = new Column(Uint32Array)
  readonly #printLow = new Column(Uint32Array)
  readonly #line = new Column(Uint32Array)
  readonly #host = new Column(Uint32Array)
  readonly #fate = new Column(Uint8Array)
  readonly #other = new Column(Uint32Array)
  #numbers: Uint32Array | undefined
  /** Set when a row was not found again where it had been. */
  isEdited = false

  constructor(text: ListText, rules: ListRules) {
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
    this.#host.push(0)
    this.#fate.push(0)
    this.#other.push(0)
    this.#line.push(row.line)
    return this.size - 1
  }

  setHost(index: number, host: number): void {
    this.#host.set(index, host)
  }

  decide(index: number, fate: FateName, other: number): void {
    this.#fate.set(index, FATES.indexOf(fate))
    this.#other.set(index, other)
  }

  setNumber(index: number, n: number): void {
    this.#numbers ??= new Uint32Array(this.size)
    this.#numbers[index] = n
  }

  lineOf(index: number): number {
    return this.#line.at(index)
  }

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

  parse(index: number): RowResult | undefined {
    const text = this.raw(index)
    return text === undefined ? undefined : parseRaw(this.lineOf(index), text)
  }

  entry(index: number): Entry | undefined {
    const result = this.parse(index)
    return result?.ok === true ? result.entry : undefined
  }

  naturalTarget(index: number): string | undefined {
    const entry = this.entry(index)
    return entry && destination(entry, index + 1, this.#rules.naming)
  }

  job(index: number): Job | undefined {
    const entry = this.entry(index)
    if (entry === undefined) return undefined
    const natural = destination(entry, index + 1, this.#rules.naming)
    const n = this.#numbers?.[index] ?? 0
    const target = n === 0 ? natural : numbered(natural, n)
    return { ...entry, index, id: fingerprint(target), target }
  }

  /** Why a row is bad, worked out anew: sentences for a million bad rows would fill the memory. */
  problemOf(index: number): string {
    const result = this.parse(index)
    if (result === undefined) return 'was edited after the list had been checked'
    if (!result.ok) return result.errors.map(({ problem }) => problem).join('; ')
    const target = destination(result.entry, index + 1, this.#rules.naming)
    return this.#clash(index, printable(target))
  }

  #clash(index: number, target: string): string {
    const other = this.otherOf(index)
    const here = `line ${this.lineOf(index)}`
    const there = `line ${this.lineOf(other)}`
    const remedy = `use ${this.#rules.naming.names === 'tree' ? '' : '--names tree, '}out= or --on-clash rename`
    switch (this.fateName(index)) {
      case 'long-target':
        return `${target} is longer than ${MAX_TARGET_BYTES} bytes, more than a path may have; use out=`
      case 'below-file':
        return `${here} becomes ${target}, and ${there} a file where that needs a directory; ${remedy}`
      case 'above-files':
        return `${here} becomes the file ${target}, which ${there} needs as a directory; ${remedy}`
      case 'shared-part':
        return `${here} becomes ${target} and would share a .part file with ${there}; ${remedy}`
      default: {
        const theirs = this.#rules.foldCase ? this.naturalTarget(other) : undefined
        const cause = theirs === undefined || printable(theirs) === target ? '' : ', where case is ignored'
        return `${here} and ${there} both become ${target}${cause}; ${remedy}`
      }
    }
  }
}

function jobList(text: ListText, name: string, rows: Rows, hosts: readonly string[], lineCount: number): JobList {
  return {
    name,
    size: rows.size,
    lineCount,
    hosts,
    lineOf: (index) => rows.lineOf(index),
    hostOf: (index) => rows.hostOf(index),
    fateOf: (index) => {
      const fate = rows.fateName(index)
      if (fate === 'job') return { kind: 'job' }
      if (fate === 'same') return { kind: 'same', asLine: rows.lineOf(rows.otherOf(index)) }
      return { kind: 'bad', problem: rows.problemOf(index) }
    },
    read: (index) => rows.job(index),
    raw: (index) => Buffer.from(rows.raw(index) ?? '', 'latin1').toString('utf8'),
    close: () => text.close(),
  }
}

/** A growing column of numbers. Grows by pieces: doubling would hold every row twice for a moment. */
class Column {
  readonly #make: NumbersConstructor
  readonly #pieces: Numbers[] = []
  length = 0

  constructor(make: NumbersConstructor) {
    this.#make = make
  }

  push(value: number): void {
    if (this.length % PIECE_CELLS === 0) this.#pieces.push(new this.#make(PIECE_CELLS))
    this.length++
    this.set(this.length - 1, value)
  }

  set(index: number, value: number): void {
    const piece = this.#pieces[Math.floor(index / PIECE_CELLS)]
    if (piece !== undefined) piece[index % PIECE_CELLS] = value
  }

  at(index: number): number {
    const value = index < this.length ? this.#pieces[Math.floor(index / PIECE_CELLS)]?.[index % PIECE_CELLS] : undefined
    if (value === undefined) throw new RangeError(`the list has no row ${index}`)
    return value
  }
}

type Numbers = Uint8Array | Uint32Array | Float64Array
type NumbersConstructor = new (length: number) => Numbers

/** Open addressing over 64-bit fingerprints. Equal prints may have several values: the caller tells them apart. */
class PrintTable {
  #slots = 1024
  #high = new Uint32Array(this.#slots)
  #low = new Uint32Array(this.#slots)
  /** Value + 1; 0 is a free slot. */
  #value = new Uint32Array(this.#slots)
  #used = 0

  find(high: number, low: number, isIt: (value: number) => boolean): number {
    for (let slot = low & (this.#slots - 1); ; slot = (slot + 1) & (this.#slots - 1)) {
      const value = this.#value[slot] ?? 0
      if (value === 0) return ABSENT
      if (this.#high[slot] === high && this.#low[slot] === low && isIt(value - 1)) return value - 1
    }
  }

  add(high: number, low: number, value: number): void {
    if (this.#used * 4 >= this.#slots * 3) this.#grow()
    this.#put(high, low, value + 1)
    this.#used++
  }

  #put(high: number, low: number, stored: number): void {
    let slot = low & (this.#slots - 1)
    while (this.#value[slot] !== 0) slot = (slot + 1) & (this.#slots - 1)
    this.#high[slot] = high
    this.#low[slot] = low
    this.#value[slot] = stored
  }

  #grow(): void {
    const [high, low, value] = [this.#high, this.#low, this.#value]
    this.#slots *= 2
    this.#high = new Uint32Array(this.#slots)
    this.#low = new Uint32Array(this.#slots)
    this.#value = new Uint32Array(this.#slots)
    for (const [slot, stored] of value.entries()) {
      if (stored !== 0) this.#put(high[slot] ?? 0, low[slot] ?? 0, stored)
    }
  }
}

// --- From bytes to rows

/** A row's bytes as Latin-1 text: a job line and what follows it up to its last option line. */
interface RawRow {
  readonly line: number
  readonly offset: number
  readonly text: string
}

/** Cuts the bytes into rows. An option line that follows no job opens a row of its own, which then is bad. */
class RowScanner {
  readonly #emit: (row: RawRow) => void
  readonly #buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  #view = this.#buffer.subarray(0, 0)
  #pos = 0
  #base = 0
  lineCount = 0
  /** Start of a line longer than the buffer, whose rest is only passed over. */
  #long: { readonly offset: number; readonly head: string } | undefined
  #row: { line: number; offset: number; text: string } | undefined
  /** Ignored lines after the open row: part of it only if another option line comes. */
  #between = ''

  constructor(emit: (row: RawRow) => void) {
    this.#emit = emit
  }

  /** Reads on behind what is left; returns how many bytes came. `offset` is where the list goes on. */
  fill(text: ListText, offset: number): number {
    const left = this.#view.length - this.#pos
    this.#buffer.copyWithin(0, this.#pos, this.#view.length)
    const count = text.readInto(this.#buffer, left, offset)
    this.#base = offset - left
    this.#pos = 0
    this.#view = this.#buffer.subarray(0, left + count)
    if (offset === 0 && this.#view[0] === 0xef && this.#view[1] === 0xbb && this.#view[2] === 0xbf) this.#pos = 3
    return count
  }

  /** Takes what is in the buffer; true when it stopped for a pause at line `pauseAt`. */
  step(isEnd: boolean, pauseAt: number): boolean {
    for (;;) {
      const newline = this.#view.indexOf(0x0a, this.#pos)
      if (newline < 0) break
      this.#line(newline)
      this.#pos = newline + 1
      if (this.lineCount >= pauseAt) return true
    }
    const left = this.#view.length - this.#pos
    if (isEnd) {
      if (left > 0 || this.#long !== undefined) this.#line(this.#view.length)
      this.#pos = this.#view.length
      this.#close()
    } else if (this.#long !== undefined || left > MAX_LINE_BYTES + 1) {
      this.#long ??= { offset: this.#base + this.#pos, head: this.#head(this.#view.length) }
      this.#pos = this.#view.length
    }
    return false
  }

  #head(end: number): string {
    // One byte more than allowed, and one for a CR, is enough to see that the line is too long.
    return this.#view.toString('latin1', this.#pos, Math.min(end, this.#pos + MAX_LINE_BYTES + 2))
  }

  #line(end: number): void {
    this.lineCount++
    const offset = this.#long?.offset ?? this.#base + this.#pos
    const text = this.#long?.head ?? this.#head(end)
    this.#long = undefined
    const kind = lineKind(text)
    if (kind === 'ignored') {
      if (this.#row !== undefined && this.#between.length <= MAX_ROW_BYTES) this.#between += `\n${text}`
    } else if (kind === 'option' && this.#row !== undefined) {
      // One byte too many tells the parser, now and when the row is read again.
      if (this.#row.text.length <= MAX_ROW_BYTES) {
        this.#row.text = `${this.#row.text}${this.#between}\n${text}`.slice(0, MAX_ROW_BYTES + 1)
      }
      this.#between = ''
    } else {
      this.#close()
      this.#row = { line: this.lineCount, offset, text }
    }
  }

  #close(): void {
    if (this.#row !== undefined) this.#emit(this.#row)
    this.#row = undefined
    this.#between = ''
  }
}

function parseRaw(line: number, text: string): RowResult {
  if (text.length > MAX_ROW_BYTES) {
    const problem = `has more than ${MAX_ROW_BYTES / 2 ** 20} MiB of options and comments; remove some`
    return { ok: false, errors: [{ line, problem }] }
  }
  return parseRow(line, text.includes('\n') ? text.split('\n').map(rowLine) : [rowLine(text)])
}

function rowLine(latin1: string): RowLine {
  const lengthBytes = latin1.endsWith('\r') ? latin1.length - 1 : latin1.length
  // NUL bytes explain more than what else is wrong.
  const isBinary = latin1.includes('\0')
  if (lengthBytes > MAX_LINE_BYTES && !isBinary) return { unreadable: 'too-long' }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is ASCII.
  if (isBinary || !/[^\x00-\x7f]/.test(latin1)) return latin1
  const bytes = Buffer.from(latin1, 'latin1')
  return isUtf8(bytes) ? bytes.toString('utf8') : { unreadable: 'not-utf8' }
}

// --- Where the bytes are

/** Random access to the list's bytes; offsets hold as long as nobody edits the file. */
interface ListText {
  /** Fills `buffer` from `at`; returns how many bytes came, 0 at the end. */
  readInto(buffer: Buffer, at: number, offset: number): number
  /** At most `length` bytes; valid until the next call. */
  read(offset: number, length: number): Buffer
  close(): void
}

type OpenedText =
  | { ok: true; text: ListText; name: string }
  | { ok: false; kind: 'no-list' | 'bad-list'; problem: string }
type Refusal = Extract<OpenedText, { ok: false }>

async function openText(source: ListSource, spoolDir: string): Promise<OpenedText> {
  if (source.kind === 'urls') {
    // As JSON a URL cannot be taken for an option, a comment or two rows.
    const bytes = Buffer.from(source.urls.map((url) => JSON.stringify({ url })).join('\n'))
    return { ok: true, text: memoryText(bytes), name: 'command line' }
  }
  const name = source.kind === 'file' ? printable(redactUrl(source.path), 1000) : source.name
  const raw =
    source.kind === 'file' ? await openFile(source.path, name, spoolDir) : await spool(source.stream, name, spoolDir)
  if (typeof raw !== 'number') return raw
  if (!isGzip(raw)) return { ok: true, text: fileText(raw), name }
  try {
    const plain = await spool(Readable.from(chunksOf(raw)), name, spoolDir, true)
    return typeof plain === 'number' ? { ok: true, text: fileText(plain), name } : plain
  } finally {
    closeSync(raw)
  }
}

/** A file stream would close the descriptor when unpacking fails, and then it would be closed twice. */
function* chunksOf(fd: number): Generator<Buffer> {
  for (let offset = 0; ; ) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
    const count = readSync(fd, chunk, 0, CHUNK_BYTES, offset)
    if (count === 0) return
    yield chunk.subarray(0, count)
    offset += count
  }
}

async function openFile(path: string, name: string, spoolDir: string): Promise<number | Refusal> {
  try {
    const kind = statSync(path)
    if (kind.isDirectory()) return noList(`${name} is a directory; give a list file, a URL or - for standard input`)
    // A pipe, as from <(command), can be read only once.
    if (!kind.isFile()) return await spool(createReadStream(path), name, spoolDir)
    return openSync(path, constants.O_RDONLY)
  } catch (error) {
    if (!isSystemError(error)) throw error
    return noList(whyUnreadable(error.code, path, name))
  }
}

function whyUnreadable(code: string, path: string, name: string): string {
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    const isUrl = /^[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}(?::\d+)?\//i.test(path)
    const hint = isUrl ? `did you mean https://${name}?` : 'give a list file, a URL or - for standard input'
    return `${name} does not exist; ${hint}`
  }
  if (code === 'EACCES' || code === 'EPERM') return `${name} may not be read by this user; change its permissions`
  return `${name} cannot be read: ${code}; give a list file, a URL or - for standard input`
}

function isGzip(fd: number): boolean {
  const magic = Buffer.alloc(3)
  return readSync(fd, magic, 0, 3, 0) === 3 && magic.equals(Buffer.from([0x1f, 0x8b, 0x08]))
}

/** Copies a stream into a file that has no name any more, so that nothing is left whatever happens. */
async function spool(
  stream: NodeJS.ReadableStream,
  name: string,
  spoolDir: string,
  isPacked = false,
): Promise<number | Refusal> {
  const path = join(spoolDir, `mpdl-list-${randomUUID()}`)
  let fd: number
  try {
    const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
    fd = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    unlinkSync(path)
  } catch (error) {
    if (!isSystemError(error)) throw error
    return noList(`${name} cannot be copied to ${printable(spoolDir, 1000)}: ${error.code}; make it writable`)
  }
  const refusal = await copy(stream, fd, name, isPacked)
  if (refusal === undefined) return fd
  closeSync(fd)
  return refusal
}

async function copy(
  stream: NodeJS.ReadableStream,
  fd: number,
  name: string,
  isPacked: boolean,
): Promise<Refusal | undefined> {
  let refusal: Refusal | undefined
  const write = async (chunks: AsyncIterable<string | Uint8Array>): Promise<void> => {
    let sizeBytes = 0
    for await (const chunk of chunks) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
      sizeBytes += bytes.length
      refusal = sizeBytes > MAX_SPOOL_BYTES ? tooBig(name) : append(fd, bytes, name)
      if (refusal !== undefined) return
    }
  }
  try {
    if (isPacked) await pipeline(stream, createGunzip(), write)
    else await pipeline(stream, write)
  } catch (error) {
    const cause = isSystemError(error) ? error.code : 'the stream failed'
    const isDamage = isPacked && cause.startsWith('Z_')
    refusal ??= isDamage
      ? { ok: false, kind: 'bad-list', problem: `${name} is damaged or cut off gzip; copy or pack it again` }
      : noList(`${name} cannot be read: ${cause}; run again with a list that can`)
  }
  return refusal
}

function append(fd: number, bytes: Uint8Array, name: string): Refusal | undefined {
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
    return undefined
  } catch (error) {
    if (!isSystemError(error)) throw error
    return noList(`${name} cannot be copied aside: ${error.code}; make room and run again`)
  }
}

function tooBig(name: string): Refusal {
  const problem = `${name} unpacks to more than ${MAX_SPOOL_BYTES / 2 ** 30} GiB; split the list`
  return { ok: false, kind: 'bad-list', problem }
}

function noList(problem: string): Refusal {
  return { ok: false, kind: 'no-list', problem }
}

function fileText(fd: number): ListText {
  let scratch = Buffer.allocUnsafe(4096)
  let isOpen = true
  return {
    readInto: (buffer, at, offset) => readSync(fd, buffer, at, buffer.length - at, offset),
    read: (offset, length) => {
      if (scratch.length < length) scratch = Buffer.allocUnsafe(length * 2)
      let count = 0
      for (let got = 1; got > 0 && count < length; count += got) {
        got = readSync(fd, scratch, count, length - count, offset + count)
      }
      return scratch.subarray(0, count)
    },
    close: () => {
      if (isOpen) closeSync(fd)
      isOpen = false
    },
  }
}

function memoryText(bytes: Buffer): ListText {
  return {
    readInto: (buffer, at, offset) => bytes.copy(buffer, at, offset),
    read: (offset, length) => bytes.subarray(offset, offset + length),
    close: () => {},
  }
}

function isSystemError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
}
