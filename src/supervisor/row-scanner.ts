// Decides where a row of a list begins and ends in its bytes, and turns it back into text. Knows nothing of what a row
// means.

import { isUtf8 } from 'node:buffer'
import { lineKind, MAX_LINE_BYTES, parseRow, type RowLine, type RowResult } from '../core/url-list.ts'
import type { ListText } from './list-text.ts'

const CHUNK_BYTES = 1 << 20
const MAX_ROW_BYTES = 1 << 20

/** A row's bytes as Latin-1 text: a job line and what follows it up to its last option line. */
export interface RawRow {
  readonly line: number
  readonly offset: number
  readonly text: string
}

/** Cuts the bytes into rows. An option line that follows no job opens a row of its own, which then is bad. */
export class RowScanner {
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

/** What a row found by {@link RowScanner} means; `line` is the number of its first line. */
export function parseRawRow(line: number, text: string): RowResult {
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
