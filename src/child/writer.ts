// Puts a body's bytes where they belong in the file, and no others. Knows nothing of sockets, time or rates.

import { writeSync } from 'node:fs'
import type { ChildFailure, Command } from '../protocol/message.ts'
import { diskFailureOf } from './failure-of.ts'

/** Which bytes are wanted, and where they go. */
export type Want = Omit<Extract<Command, { type: 'receive' }>, 'type'>

export class Writer {
  readonly #descriptor: number
  readonly #offsetBytes: number
  readonly #maxBytes: number
  readonly #isLengthKnown: boolean
  #skipBytes: number
  #position: number
  #endBytes: number
  #failure: ChildFailure | undefined

  constructor(descriptor: number, { offsetBytes, lengthBytes, skipBytes, maxBytes }: Want) {
    this.#descriptor = descriptor
    this.#offsetBytes = offsetBytes
    this.#position = offsetBytes
    this.#skipBytes = skipBytes
    this.#isLengthKnown = lengthBytes !== null
    this.#endBytes = offsetBytes + (lengthBytes ?? Number.POSITIVE_INFINITY)
    this.#maxBytes = (this.#isLengthKnown ? undefined : maxBytes) ?? Number.POSITIVE_INFINITY
  }

  /** In the file, behind the last byte written. */
  get position(): number {
    return this.#position
  }

  /** Written, so without those that were skipped. */
  get bytes(): number {
    return this.#position - this.#offsetBytes
  }

  /** How many are to be written in all; undefined where only the body's end tells. */
  get expectedBytes(): number | undefined {
    return this.#isLengthKnown ? this.#endBytes - this.#offsetBytes : undefined
  }

  get isWhole(): boolean {
    return this.#position >= this.#endBytes
  }

  get failure(): ChildFailure | undefined {
    return this.#failure
  }

  /** Writes nothing at or beyond `endBytes`, as far as that can still be; returns the end that holds now. */
  limit(endBytes: number): number {
    this.#endBytes = Math.min(this.#endBytes, Math.max(endBytes, this.#position))
    return this.#endBytes
  }

  /** What comes behind the end is not part of the answer (RFC 9112 §6.3) and is dropped. */
  write(bytes: Uint8Array): void {
    const skipped = Math.min(this.#skipBytes, bytes.length)
    this.#skipBytes -= skipped
    const room = Math.max(0, Math.min(this.#endBytes, this.#maxBytes) - this.#position)
    const wanted = bytes.subarray(skipped, skipped + room)
    this.#put(wanted)
    if (this.#failure === undefined && !this.isWhole && skipped + wanted.length < bytes.length) {
      this.#failure = { kind: 'too-large', limitBytes: this.#maxBytes }
    }
  }

  #put(bytes: Uint8Array): void {
    try {
      for (let at = 0; at < bytes.length; ) {
        const written = writeSync(this.#descriptor, bytes, at, bytes.length - at, this.#position)
        at += written
        this.#position += written
      }
    } catch (error) {
      this.#failure = diskFailureOf(error)
    }
  }
}
