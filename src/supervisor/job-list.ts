// Decides which rows of a list are jobs, in two passes: all are checked first, then read again by offset when their
// turn comes. Knows nothing of downloads.

import { setImmediate } from 'node:timers/promises'
import type { Job } from '../core/job.ts'
import { routeOf } from '../core/proxy.ts'
import { hostKey, type ListError } from '../core/url-list.ts'
import { codeOf } from './disk-failure.ts'
import { type FateName, ListRows, MAX_TARGET_BYTES, type TargetRules } from './list-rows.ts'
import { type ListSource, type ListText, openText } from './list-text.ts'
import { parseRawRow, type RawRow, RowScanner } from './row-scanner.ts'
import { LINES_BETWEEN_PAUSES, TargetClaims } from './target-claims.ts'

export type { ListSource } from './list-text.ts'

export interface ListRules extends TargetRules {
  readonly onClash: 'fail' | 'rename'
  /** Bad rows and clashes become entries with the fate `bad` instead of ending the run. */
  readonly keepGoing: boolean
  /** Existing directory for the unlinked copy of standard input and of gzip. */
  readonly spoolDir: string
}

export type Fate = { kind: 'job' } | { kind: 'same'; asLine: number } | { kind: 'bad'; problem: string }

/** The checked list. Indexes count its rows from 0, bad ones included. */
export interface JobList {
  readonly name: string
  readonly size: number
  readonly lineCount: number
  /** Every host of the list once, with its port: `example.com:443`; once more for each way of an entry's own. */
  readonly hosts: readonly string[]
  lineOf(index: number): number
  /** Position in `hosts`; 0 for a bad row. */
  hostOf(index: number): number
  fateOf(index: number): Fate
  /** The id of what is a job, as a number; `undefined` where the list was edited meanwhile, if that matters. */
  idOf(index: number): bigint | undefined
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

const MAX_ERRORS = 1000

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
    const code = codeOf(error)
    if (code === undefined) throw error
    const problem = `${name} cannot be read: ${code}; check the disk and run again`
    return { ok: false, kind: 'no-list', errors: [{ line: 0, problem }], more: 0 }
  } finally {
    if (!isKept) text.close()
  }
}

/** Takes every row once: is it good, what is it called, is the name free? */
class FirstPass {
  readonly #text: ListText
  readonly #name: string
  readonly #rules: ListRules
  readonly #pause: () => Promise<void>
  readonly #rows: ListRows
  readonly #errors: ListError[] = []
  #more = 0
  readonly #hosts: string[] = []
  readonly #hostIds = new Map<string, number>()
  readonly #claims: TargetClaims
  #isBinary = false

  constructor(text: ListText, name: string, rules: ListRules, pause: () => Promise<void>) {
    this.#text = text
    this.#name = name
    this.#rules = rules
    this.#pause = pause
    this.#rows = new ListRows(text, rules)
    const refuse = (index: number, fate: FateName, other: number) => this.#refuse(index, fate, other)
    this.#claims = new TargetClaims(this.#rows, { onClash: rules.onClash, refuse, pause })
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
    if (!this.#isBinary) await this.#claims.settle()
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
    const result = parseRawRow(row.line, row.text)
    const index = this.#rows.add(row)
    if (!result.ok) {
      this.#rows.decide(index, 'bad', index)
      for (const { line, problem } of result.errors) this.#fail(line, problem)
      // A binary file has thousands of such rows; one says it. With --keep-going a hole after a crash may be skipped.
      this.#isBinary = !this.#rules.keepGoing && row.text.includes('\0')
      return
    }
    const url = result.entry.urls[0]
    const target = this.#rows.targetOf(result.entry, index)
    if (target.length > MAX_TARGET_BYTES / 3 && Buffer.byteLength(target) > MAX_TARGET_BYTES) {
      this.#refuse(index, 'long-target', index)
      return
    }
    this.#rows.setTarget(index, target)
    this.#rows.setHost(index, this.#hostId(routeOf(hostKey(url), result.entry.options.proxy)))
    this.#claims.claim(index, { key: this.#rows.keyOf(target), url })
  }

  #hostId(host: string): number {
    const known = this.#hostIds.get(host)
    if (known !== undefined) return known
    this.#hosts.push(host)
    this.#hostIds.set(host, this.#hosts.length - 1)
    return this.#hosts.length - 1
  }

  #refuse(index: number, fate: FateName, other: number): void {
    if (this.#rows.fateName(index) !== 'job') return
    this.#rows.decide(index, fate, other)
    if (this.#errors.length < MAX_ERRORS) this.#fail(this.#rows.lineOf(index), this.#rows.problemOf(index))
    else this.#more++
  }
}

function jobList(text: ListText, name: string, rows: ListRows, hosts: readonly string[], lineCount: number): JobList {
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
    idOf: (index) => rows.idOf(index),
    read: (index) => rows.job(index),
    raw: (index) => Buffer.from(rows.raw(index) ?? '', 'latin1').toString('utf8'),
    close: () => text.close(),
  }
}
