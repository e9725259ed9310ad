// Reads one reply to a GET (RFC 9112), however its bytes are cut. Strict: it takes less than Node's parser does, never
// more, and errors have the names which that one has for them. Knows nothing of connections.

import { KnownFailure } from './failure-of.ts'

export interface ReplyHead {
  readonly status: number
  /** As node-fetch gives them: names in lower case and in order. */
  readonly headers: [string, string][]
}

export interface ReplyEvents {
  onHead(head: ReplyHead): void
  onBody(bytes: Uint8Array): void
  onOver(): void
}

/** Of the lines of all heads before a body, and of one line of chunk framing. */
const MAX_HEAD_BYTES = 64 * 1024
const MAX_CHUNK_LINE_BYTES = 4096
const LF = 10

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [^\r]*)?$/
const TOKEN = /[\w!#$%&'*+\-.^`|~]+/.source
const QUOTED = /"(?:[\t !#-[\]-~]|\\[\t -~])*"/.source
const HEADER_NAME = new RegExp(`^${TOKEN}$`)
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const CHUNK_LINE = new RegExp(`^0*([\\da-f]{1,12})(?:;${TOKEN}(?:=(?:${TOKEN}|${QUOTED}))?)*$`, 'i')
/** Beyond it a sum of bytes would not be exact. */
const LENGTH = /^\d{1,20}$/

type State = 'status' | 'header' | 'piece' | 'chunk-line' | 'chunk-end' | 'trailer' | 'until-close' | 'over'

export class ReplyParser {
  readonly #events: ReplyEvents
  #state: State = 'status'
  /** Of a line whose end has not come yet. */
  #line = ''
  #headBytes = 0
  #isOldVersion = false
  #status = 0
  #headers: [string, string][] = []
  #isChunked = false
  /** Of the body or its chunk. */
  #remainingBytes = 0
  /** The end of the connection is that of the reply. */
  #isLast = false
  #hasExcess = false

  constructor(events: ReplyEvents) {
    this.#events = events
  }

  get isOver(): boolean {
    return this.#state === 'over'
  }

  /** More came than was asked for. */
  get hasExcess(): boolean {
    return this.#hasExcess
  }

  /** Whether another reply may follow this one, which is over, on the same connection. */
  get isPersistent(): boolean {
    if (this.#isOldVersion || this.#isLast || this.#hasExcess) return false
    // The second is nobody's standard, but whoever sends it means it.
    return !this.#hasToken('connection', 'close') && !this.#hasToken('proxy-connection', 'close')
  }

  /** Throws for what is no reply. What was right before it was handed over. */
  push(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length && this.#state !== 'over') {
      if (this.#state === 'piece' || this.#state === 'until-close') at += this.#takeBody(bytes.subarray(at))
      else at = this.#takeLine(bytes, at)
    }
    this.#hasExcess ||= at < bytes.length
  }

  /** The connection has ended. Whether the reply has, too. */
  finish(): boolean {
    if (this.#state === 'until-close') {
      this.#isLast = true
      this.#end()
    }
    return this.isOver
  }

  #takeBody(bytes: Uint8Array): number {
    if (this.#state === 'until-close') {
      this.#events.onBody(bytes)
      return bytes.length
    }
    const piece = bytes.subarray(0, this.#remainingBytes)
    this.#remainingBytes -= piece.length
    this.#events.onBody(piece)
    if (this.#remainingBytes === 0) {
      if (this.#isChunked) this.#state = 'chunk-end'
      else this.#end()
    }
    return piece.length
  }

  /** Returns where it goes on. */
  #takeLine(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(LF, at)
    this.#line += bytes.toString('latin1', at, end < 0 ? bytes.length : end)
    this.#limit()
    if (end < 0) return bytes.length
    const line = this.#line
    this.#line = ''
    if (!line.endsWith('\r')) throw wrong('HPE_CR_EXPECTED')
    this.#onLine(line.slice(0, -1))
    return end + 1
  }

  #limit(): void {
    if (this.#state === 'status' && !'HTTP/1.'.startsWith(this.#line.slice(0, 7))) throw wrong('HPE_INVALID_CONSTANT')
    if (this.#state === 'chunk-line' && this.#line.length > MAX_CHUNK_LINE_BYTES) {
      throw wrong('HPE_CHUNK_EXTENSIONS_OVERFLOW')
    }
    if (this.#headBytes + this.#line.length > MAX_HEAD_BYTES) throw wrong('HPE_HEADER_OVERFLOW')
  }

  #onLine(line: string): void {
    switch (this.#state) {
      case 'status':
        return this.#onStatus(line)
      case 'header':
        return line === '' ? this.#onHead() : this.#onHeader(line)
      case 'chunk-line':
        return this.#onChunk(line)
      case 'chunk-end':
        if (line !== '') throw wrong('HPE_STRICT')
        this.#state = 'chunk-line'
        return
      default:
        if (line === '') this.#end()
        else this.#onTrailer(line)
    }
  }

  #onStatus(line: string): void {
    const [, minor, status] = STATUS_LINE.exec(line) ?? []
    if (status === undefined) throw wrong('HPE_INVALID_STATUS')
    this.#isOldVersion = minor === '0'
    this.#status = Number(status)
    this.#headers = []
    this.#headBytes += line.length
    this.#state = 'header'
  }

  #onHeader(line: string): void {
    this.#headers.push(headerOf(line))
    this.#headBytes += line.length
  }

  #onHead(): void {
    if (this.#status === 101) throw wrong('upgrade-unasked')
    const length = this.#framingOf('content-length')
    const coding = this.#framingOf('transfer-encoding')
    if (length !== undefined && coding !== undefined) throw wrong('HPE_INVALID_TRANSFER_ENCODING')
    const isLength = length === undefined || (LENGTH.test(length) && Number.isSafeInteger(Number(length)))
    if (!isLength) throw wrong('HPE_INVALID_CONTENT_LENGTH')
    if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || this.#isOldVersion)) {
      throw wrong('HPE_INVALID_TRANSFER_ENCODING')
    }
    if (this.#status < 200) {
      // Another has to follow.
      if (!this.isPersistent) throw wrong('HPE_CLOSED_CONNECTION')
      this.#state = 'status'
      return
    }
    const isEmpty = this.#status === 204 || this.#status === 304 || (length !== undefined && Number(length) === 0)
    this.#isChunked = !isEmpty && coding !== undefined
    this.#remainingBytes = isEmpty ? 0 : Number(length ?? 0)
    this.#state = this.#isChunked ? 'chunk-line' : length === undefined ? 'until-close' : 'piece'
    this.#headers.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    this.#events.onHead({ status: this.#status, headers: this.#headers })
    if (isEmpty) this.#end()
  }

  #onChunk(line: string): void {
    const size = CHUNK_LINE.exec(line)?.[1]
    if (size === undefined) throw wrong('HPE_INVALID_CHUNK_SIZE')
    this.#remainingBytes = Number.parseInt(size, 16)
    // Those of the head are told already; a trailer may be as long again.
    this.#headBytes = 0
    this.#state = this.#remainingBytes === 0 ? 'trailer' : 'piece'
  }

  /** It says nothing that a download needs, and nothing about the body that is over. */
  #onTrailer(line: string): void {
    const [name] = headerOf(line)
    if (name === 'content-length') throw wrong('HPE_INVALID_CONTENT_LENGTH')
    if (name === 'transfer-encoding') throw wrong('HPE_INVALID_TRANSFER_ENCODING')
    this.#headBytes += line.length
  }

  #end(): void {
    this.#state = 'over'
    this.#events.onOver()
  }

  /** What decides how long the body is stands once or not at all. */
  #framingOf(name: string): string | undefined {
    const values = this.#valuesOf(name)
    if (values.length > 1) {
      throw wrong(name === 'content-length' ? 'HPE_UNEXPECTED_CONTENT_LENGTH' : 'HPE_INVALID_TRANSFER_ENCODING')
    }
    return values[0]
  }

  #hasToken(name: string, token: string): boolean {
    return this.#valuesOf(name).some((value) =>
      value
        .toLowerCase()
        .split(',')
        .some((each) => each.trim() === token),
    )
  }

  #valuesOf(name: string): string[] {
    return this.#headers.flatMap(([each, value]) => (each === name ? [value] : []))
  }
}

function headerOf(line: string): [string, string] {
  const colon = line.indexOf(':')
  const name = line.slice(0, Math.max(0, colon))
  const value = line.slice(colon + 1)
  if (!HEADER_NAME.test(name) || !HEADER_VALUE.test(value)) throw wrong('HPE_INVALID_HEADER_TOKEN')
  return [name.toLowerCase(), withoutBlanks(value)]
}

/** Neither trim(), which takes more than RFC 9110 §5.6.3 does, nor an expression that a line of blanks makes slow. */
function withoutBlanks(text: string): string {
  const isBlank = (at: number) => text[at] === ' ' || text[at] === '\t'
  let start = 0
  let end = text.length
  while (start < end && isBlank(start)) start++
  while (end > start && isBlank(end - 1)) end--
  return text.slice(start, end)
}

const wrong = (code: string) => new KnownFailure({ kind: 'protocol', code })
