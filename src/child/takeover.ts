// Brings a connection's bytes to a sink: the head by way of Node's parser, a body of known length past it. Node's
// streams cost more than twice the time of a read and a write. Knows nothing of files.

import type { IncomingMessage } from 'node:http'
import type { OnReadOpts, Socket } from 'node:net'
import { Delivery, type Sink } from './delivery.ts'

/** 2 GiB over loopback: 1 and 4 MiB are no faster, 64 KiB is a little slower. */
const READ_BYTES = 256 * 1024

/** The bytes of one connection and its one response. */
export class Intake {
  /** Node's option for the connection: one buffer, used again and again. */
  readonly onread: OnReadOpts = {
    buffer: Buffer.allocUnsafe(READ_BYTES),
    callback: (length, buffer) => {
      this.#read(buffer.subarray(0, length))
      return true
    },
  }
  readonly #mayTakeOver: boolean
  readonly #delivery = new Delivery()
  #socket: Socket | undefined
  #isTakenOver = false
  /** Of the body, as far as the head tells. */
  #remainingBytes = Number.POSITIVE_INFINITY

  constructor(mayTakeOver: boolean) {
    this.#mayTakeOver = mayTakeOver
  }

  attach(socket: Socket): void {
    this.#socket = socket
    // Behind a tunnel Node ignores `onread`, and its stream drops what it still holds when the connection breaks: the
    // parser gets it before it hears of that.
    socket.prependListener('error', () => {
      for (let rest: Uint8Array | null = socket.read(); rest !== null; rest = socket.read()) socket.emit('data', rest)
    })
  }

  /**
   * The head is here, in the midst of the parser's run.
   *
   * The body's bytes are taken where the parser hands them over, and never read from the message. An error right
   * behind them (a close, a broken chunk, bytes beyond the announced length) makes Node and node-fetch drop what their
   * streams still hold: up to 128 KiB that arrived would be lost, at worst every time, and a download over a flaky line
   * would never get anywhere.
   */
  begin(message: IncomingMessage): void {
    const lengthBytes = this.#mayTakeOver ? plainLengthOf(message) : undefined
    if (lengthBytes !== undefined) {
      this.#isTakenOver = true
      this.#remainingBytes = lengthBytes
    }
    const push = message.push.bind(message)
    message.push = (chunk: Uint8Array | null) => {
      if (chunk === null) {
        this.end()
        return push(null)
      }
      this.#hand(chunk)
      return true
    }
    message.on('error', (error) => this.end(error))
  }

  end(error?: Error): void {
    this.#delivery.end(error)
  }

  receive(sink: Sink): Promise<Error | undefined> {
    return this.#delivery.receive(sink, () => this.resume())
  }

  resume(): void {
    this.#socket?.resume()
  }

  #read(bytes: Uint8Array): void {
    // The parser is left in the middle of the message, so an early end is the same error as without the takeover.
    if (this.#isTakenOver) this.#hand(bytes)
    // A copy, because who listens to 'data' may keep what it gets: node-fetch does.
    else this.#socket?.emit('data', Buffer.from(bytes))
  }

  #hand(bytes: Uint8Array): void {
    const body = bytes.subarray(0, this.#remainingBytes)
    this.#remainingBytes -= body.length
    // TLS goes on with what it has decrypted already, paused or not.
    if (!this.#delivery.hand(body)) this.#socket?.pause()
    if (this.#remainingBytes === 0) this.end()
  }
}

/** How long the body is that follows the head as it is; undefined where the parser has to tell. */
function plainLengthOf({ headers }: IncomingMessage): number | undefined {
  const coding = headers['content-encoding']?.trim().toLowerCase() ?? 'identity'
  if (coding !== 'identity' || headers['transfer-encoding'] !== undefined) return undefined
  const lengthBytes = Number(headers['content-length'])
  return Number.isSafeInteger(lengthBytes) ? lengthBytes : undefined
}
