// Decides which row of a list gets which target, and which rows clash over one. Knows nothing of the disk.

import { numbered } from '../core/destination.ts'
import { hash64 } from '../core/hash.ts'
import { Column } from './column.ts'
import type { FateName, Identity, ListRows } from './list-rows.ts'
import { ABSENT, PrintTable } from './print-table.ts'

/** After so many lines or rows a list lets others have their turn. */
export const LINES_BETWEEN_PAUSES = 20_000

export interface ClaimRules {
  readonly onClash: 'fail' | 'rename'
  /** Hears of a row that cannot have its target, and of the row in its way. */
  readonly refuse: (index: number, fate: FateName, other: number) => void
  readonly pause: () => Promise<void>
}

/** The targets of all rows, as fingerprints: whether two are equal is asked of the rows themselves. */
export class TargetClaims {
  readonly #rows: ListRows
  readonly #rules: ClaimRules
  readonly #files = new PrintTable()
  readonly #directories = new PrintTable()
  /** Renamed rows by target and URL, so that a repeated URL is recognised behind a clash too. */
  readonly #renamed = new PrintTable()
  readonly #toRename = new Column(Uint32Array)
  /** Targets that end like another's unfinished part: the row, and how much of its path comes before that. */
  readonly #parts = { index: new Column(Uint32Array), baseLength: new Column(Uint32Array) }
  #lastDirectory = ''
  #lastSeen: Identity & { index: number } = { index: ABSENT, key: '', url: '' }

  constructor(rows: ListRows, rules: ClaimRules) {
    this.#rows = rows
    this.#rules = rules
  }

  /** Takes the target for the row, or decides the row's fate. */
  claim(index: number, { key, url }: Identity): void {
    const [high, low] = hash64(key)
    const owner = this.#files.find(high, low, (other) => this.#identity(other)?.key === key)
    if (owner !== ABSENT) {
      this.#meet(index, { key, url }, owner)
      return
    }
    const directory = key.slice(0, Math.max(0, key.lastIndexOf('/')))
    const holder = directory === '' ? ABSENT : this.#claimDirectories(index, directory)
    if (holder !== ABSENT && this.#rules.onClash === 'fail') {
      this.#rules.refuse(index, 'below-file', holder)
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
        this.#rules.refuse(index, 'above-files', inside)
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
      this.#rules.refuse(index, 'clash', owner)
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

  /** Numbers the rows that have to give way. Only when every row has claimed its target. */
  async settle(): Promise<void> {
    for (let i = 0; i < this.#parts.index.length; i++) {
      if (i % LINES_BETWEEN_PAUSES === LINES_BETWEEN_PAUSES - 1) await this.#rules.pause()
      this.#settlePart(this.#parts.index.at(i), this.#parts.baseLength.at(i))
    }
    if (this.#toRename.length === 0) return
    const next = new Map<number, number>()
    const inListOrder = new Uint32Array(this.#toRename.length)
    for (let i = 0; i < inListOrder.length; i++) inListOrder[i] = this.#toRename.at(i)
    inListOrder.sort()
    for (const [i, index] of inListOrder.entries()) {
      if (i % LINES_BETWEEN_PAUSES === LINES_BETWEEN_PAUSES - 1) await this.#rules.pause()
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
    else if (isFile) this.#rules.refuse(Math.max(index, owner), 'shared-part', Math.min(index, owner))
    else this.#rules.refuse(owner, 'shared-part', index)
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

  /** What an earlier row is called and where it comes from, without its number; read again from the list. */
  #identity(index: number): Identity | undefined {
    if (this.#lastSeen.index === index) return this.#lastSeen
    const identity = this.#rows.identity(index)
    if (identity === undefined) return undefined
    this.#lastSeen = { index, ...identity }
    return identity
  }
}
