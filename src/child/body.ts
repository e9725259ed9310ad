// Receives one body into the file: at the rate it is told, in small turns, until all that is wanted is there or the
// connection has ended. Counts: exactly as many bytes as were announced, or why not.

import { TokenBucket } from '../core/token-bucket.ts'
import type { ChildFailure } from '../protocol/message.ts'
import { childFailureOf } from './failure-of.ts'
import type { OpenResponse } from './request.ts'
import { type Want, Writer } from './writer.ts'

export type BodyResult =
  | { readonly ok: true; readonly bytes: number }
  | { readonly ok: false; readonly failure: ChildFailure }

const SLICE_BYTES = 256 * 1024
/** A fast network or a slow disk could keep the event loop for ever; the heartbeat and commands come in between. */
const TURN_MS = 50

export class BodyReceiver {
  readonly #response: OpenResponse
  readonly #writer: Writer
  readonly #bucket: TokenBucket
  readonly #stopped: AbortSignal
  /** Arrived and not yet written; at most what one read brings, because reading is paused meanwhile. */
  readonly #pending: Uint8Array[] = []
  /** Cancels what writing waits for, if it waits. */
  #cancelWait: (() => void) | undefined
  #turnStartedAtMs: number | undefined
  /** Set when nothing more will come. */
  #end: { readonly error: Error | undefined } | undefined
  readonly #result = Promise.withResolvers<BodyResult>()
  #isSettled = false

  /** When it is `stopped` it writes nothing more. */
  constructor(
    response: OpenResponse,
    descriptor: number,
    want: Want,
    bytesPerSecond: number | null,
    stopped: AbortSignal,
  ) {
    this.#response = response
    this.#writer = new Writer(descriptor, want)
    this.#bucket = new TokenBucket(bytesPerSecond, performance.now())
    this.#stopped = stopped
    stopped.addEventListener('abort', () => this.#settleWhenOver())
  }

  /** In the file, behind the last byte written. */
  get position(): number {
    return this.#writer.position
  }

  receive(): Promise<BodyResult> {
    this.#settleWhenOver()
    if (!this.#isSettled) {
      void this.#response
        .receive((bytes) => this.#take(bytes))
        .then((error) => {
          this.#end = { error }
          this.#settleWhenOver()
        })
    }
    return this.#result.promise
  }

  /** Takes bytes up to `endBytes` only and returns the end that holds; undefined when the result is there already. */
  limit(endBytes: number): number | undefined {
    if (this.#isSettled) return undefined
    const end = this.#writer.limit(endBytes)
    this.#settleWhenOver()
    return end
  }

  setRate(bytesPerSecond: number | null): void {
    this.#bucket.setRate(bytesPerSecond, performance.now())
    if (this.#cancelWait !== undefined) this.#goOn()
  }

  #take(bytes: Uint8Array): boolean {
    const rest = this.#cancelWait === undefined ? this.#write(bytes) : bytes
    this.#settleWhenOver()
    if (this.#isSettled) return false
    if (rest.length > 0) this.#pending.push(Buffer.from(rest))
    return this.#cancelWait === undefined
  }

  #goOn(): void {
    this.#cancelWait?.()
    this.#cancelWait = undefined
    while (this.#pending[0] !== undefined && this.#cancelWait === undefined && !this.#isOver) {
      const rest = this.#write(this.#pending[0])
      if (rest.length > 0) this.#pending[0] = rest
      else this.#pending.shift()
    }
    this.#settleWhenOver()
    if (this.#cancelWait === undefined && !this.#isSettled) this.#response.resume()
  }

  /** Writes what it may and returns the rest. When it may not go on now it waits, and {@link #goOn} follows. */
  #write(bytes: Uint8Array): Uint8Array {
    let rest = bytes
    while (rest.length > 0 && !this.#isOver) {
      const nowMs = performance.now()
      const waitMs = this.#bucket.waitMs(Math.min(rest.length, SLICE_BYTES), nowMs)
      if (waitMs > 0) {
        const timer = setTimeout(() => this.#goOn(), waitMs)
        this.#cancelWait = () => clearTimeout(timer)
        break
      }
      const sliceBytes = Math.min(rest.length, SLICE_BYTES, this.#bucket.available(nowMs))
      this.#writer.write(rest.subarray(0, sliceBytes))
      this.#bucket.spend(sliceBytes)
      rest = rest.subarray(sliceBytes)
      if (this.#isTurnOver(nowMs)) {
        const immediate = setImmediate(() => this.#goOn())
        this.#cancelWait = () => clearImmediate(immediate)
        break
      }
    }
    return rest
  }

  /** `startedAtMs`: of the work just done. */
  #isTurnOver(startedAtMs: number): boolean {
    if (this.#turnStartedAtMs === undefined) {
      this.#turnStartedAtMs = startedAtMs
      setImmediate(() => {
        this.#turnStartedAtMs = undefined
      })
    }
    return performance.now() - this.#turnStartedAtMs >= TURN_MS
  }

  get #isOver(): boolean {
    return this.#writer.isWhole || this.#writer.failure !== undefined || this.#stopped.aborted
  }

  #settleWhenOver(): void {
    const isDry = this.#end !== undefined && this.#pending.length === 0
    if (this.#isSettled || !(this.#isOver || isDry)) return
    this.#isSettled = true
    this.#cancelWait?.()
    this.#response.discard()
    this.#result.resolve(this.#conclude(this.#end?.error))
  }

  #conclude(error: Error | undefined): BodyResult {
    const { failure, isWhole, bytes, expectedBytes } = this.#writer
    if (failure !== undefined) return { ok: false, failure }
    if (isWhole || (expectedBytes === undefined && error === undefined)) return { ok: true, bytes }
    const cause = error === undefined ? undefined : childFailureOf(error, undefined)
    if (cause?.kind === 'protocol' || cause?.kind === 'broken-coding') return { ok: false, failure: cause }
    return {
      ok: false,
      failure: {
        kind: 'truncated',
        receivedBytes: bytes,
        ...(expectedBytes === undefined ? {} : { expectedBytes }),
        ...(cause !== undefined && 'code' in cause ? { code: cause.code } : {}),
      },
    }
  }
}
