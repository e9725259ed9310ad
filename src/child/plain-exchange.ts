// One plain GET and its reply on a connection that may be used again. What is not plain is the business of request.ts;
// what is comes to the same, at a fifth of the price.

import type { Request } from '../protocol/message.ts'
import { type Connection, Connections, type ConnectionUser } from './connections.ts'
import { Delivery } from './delivery.ts'
import { type ReplyEvents, type ReplyHead, ReplyParser } from './reply-parser.ts'
import type { HeadMessage, OpenOptions, OpenPlain, OpenResponse } from './request.ts'

/** They decide about the connection or the framing, and have meanings of their own. */
const SPECIAL = /^(?:connection|content-length|expect|host|keep-alive|te|trailer|transfer-encoding|upgrade)$/i
const NAME = /^[\w!#$%&'*+\-.^`|~]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** With connections of its own. */
export function plainExchange(): OpenPlain {
  const connections = new Connections()
  return (request, options) => (isPlain(request, options) ? open(connections, request, options) : undefined)
}

function isPlain({ method, url, headers, proxy }: Request, { blocksPrivate }: OpenOptions): boolean {
  if (method !== 'GET' || proxy !== undefined || blocksPrivate || /^https?:\/\/[^/]*@/.test(url)) return false
  return headers.every(([name, value]) => NAME.test(name) && VALUE.test(value) && !SPECIAL.test(name))
}

async function open(connections: Connections, request: Request, options: OpenOptions): Promise<OpenResponse> {
  const kept = connections.take(request, options)
  if (kept !== undefined) {
    const response = await new Exchange(connections, kept, request, options).opened
    if (response !== undefined) return response
  }
  const response = await new Exchange(connections, connections.make(request, options), request, options).opened
  if (response === undefined) throw new Error('a new connection cannot be stale')
  return response
}

class Exchange implements ConnectionUser, ReplyEvents {
  readonly #connections: Connections
  readonly #connection: Connection
  readonly #request: Request
  readonly #options: OpenOptions
  readonly #parser = new ReplyParser(this)
  readonly #delivery = new Delivery()
  readonly #opening = Promise.withResolvers<OpenResponse | undefined>()
  readonly #startedAt = performance.now()
  readonly #timings: HeadMessage['timings'] = {}
  readonly #onStop = () => this.#fail(this.#options.stopped.reason)
  #hasBytes = false
  #isReading = false
  #isDiscarded = false
  #promisedMs = Number.POSITIVE_INFINITY

  constructor(connections: Connections, connection: Connection, request: Request, options: OpenOptions) {
    this.#connections = connections
    this.#connection = connection
    this.#request = request
    this.#options = options
    connection.user = this
    options.stopped.addEventListener('abort', this.#onStop)
    if (options.stopped.aborted) this.#onStop()
    else if (connection.isReused) this.#ask()
    else options.onPhase('connecting')
  }

  /** Undefined when the connection had died before; that is nobody's failure, and a new one is to be tried. */
  get opened(): Promise<OpenResponse | undefined> {
    return this.#opening.promise
  }

  onLookup(): void {
    this.#timings.nameLookupMs = this.#since()
  }

  onConnected(): void {
    this.#timings.connectMs = this.#since()
    this.#ask()
  }

  onBytes(bytes: Buffer): void {
    this.#hasBytes = true
    this.#isReading = true
    try {
      this.#parser.push(bytes)
    } catch (error) {
      this.#fail(error)
    }
    this.#isReading = false
    if (this.#parser.isOver || this.#isDiscarded) this.#leave()
  }

  onGone(error: Error | undefined): void {
    this.#forget()
    if (error === undefined && this.#parser.finish()) return
    if (this.#connection.isReused && !this.#hasBytes) this.#opening.resolve(undefined)
    this.#opening.reject(error ?? codedError('EMPTY_REPLY'))
    this.#delivery.end(error ?? codedError('ECONNRESET'))
  }

  onHead({ status, headers }: ReplyHead): void {
    this.#timings.startTransferMs = this.#since()
    const timeout = headers.find(([name]) => name === 'keep-alive')?.[1]
    const promised = /timeout=(\d+)/.exec(timeout ?? '')?.[1]
    if (promised !== undefined) this.#promisedMs = Number(promised) * 1000
    const remoteAddress = this.#connection.socket.remoteAddress ?? null
    this.#opening.resolve({
      head: { status, headers, remoteAddress, timings: this.#timings },
      receive: (sink) => this.#delivery.receive(sink, () => this.#resume()),
      resume: () => this.#resume(),
      discard: () => {
        this.#isDiscarded = true
        // Whoever has the last byte wants no more, and the reply may be over by it.
        if (!this.#isReading) this.#leave()
      },
    })
  }

  onBody(bytes: Uint8Array): void {
    // TLS goes on with what it has decrypted already, paused or not.
    if (!this.#delivery.hand(bytes)) this.#connection.socket.pause()
  }

  onOver(): void {
    this.#delivery.end()
  }

  #ask(): void {
    const { origin, host, href } = new URL(this.#request.url)
    const lines = this.#request.headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    // Not by its parts, which do not tell whether an empty query had its question mark.
    const target = href.slice(origin.length).replace(/#.*$/s, '')
    this.#options.onPhase('waiting')
    this.#connection.socket.write(
      `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines}Connection: keep-alive\r\n\r\n`,
      'latin1',
    )
  }

  /** Afterwards it may serve somebody else. */
  get #isMine(): boolean {
    return this.#connection.user === this
  }

  #resume(): void {
    if (this.#isMine) this.#connection.socket.resume()
  }

  #leave(): void {
    this.#forget()
    if (!this.#isMine) return
    if (this.#parser.hasExcess) this.#connections.distrust(this.#connection.place)
    if (this.#parser.isOver && this.#parser.isPersistent) this.#connections.keep(this.#connection, this.#promisedMs)
    else this.#connection.close()
  }

  #fail(error: unknown): void {
    this.#forget()
    this.#connection.close()
    // What a used connection brings may be the rest of an answer to somebody else.
    if (this.#connection.isReused && !this.#options.stopped.aborted) {
      this.#connections.distrust(this.#connection.place)
      this.#opening.resolve(undefined)
    }
    this.#opening.reject(error)
    this.#delivery.end(error instanceof Error ? error : new Error('unknown'))
  }

  #forget(): void {
    this.#options.stopped.removeEventListener('abort', this.#onStop)
  }

  #since(): number {
    return Math.round((performance.now() - this.#startedAt) * 1000) / 1000
  }
}

const codedError = (code: string) => Object.assign(new Error(code), { code })
