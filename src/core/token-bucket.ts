// Decides how many bytes may pass now, and how long to wait for more. Knows no clock: every question brings the time.

/** What idle time may save up, besides one byte. Less the quantum: how late a timer may come before the rate suffers. */
const DEPTH_MS = 250
/** Who has to wait waits for so much at once: smooth enough to look at, rare enough to be cheap. */
const QUANTUM_MS = 50

/** Times are ms of one monotonic clock. It starts empty: a rate holds from its first byte on. */
export class TokenBucket {
  /** Null: everything passes. */
  #bytesPerMs: number | null
  /** Fractions are carried. */
  #tokens = 0
  #filledAtMs: number

  constructor(bytesPerSecond: number | null, nowMs: number) {
    this.#bytesPerMs = perMs(bytesPerSecond)
    this.#filledAtMs = nowMs
  }

  setRate(bytesPerSecond: number | null, nowMs: number): void {
    this.#fill(nowMs)
    this.#bytesPerMs = perMs(bytesPerSecond)
    // What was saved up at the old rate may be more than the new one allows.
    this.#fill(nowMs)
  }

  /** Whole bytes that may pass now. */
  available(nowMs: number): number {
    if (this.#bytesPerMs === null) return Number.POSITIVE_INFINITY
    this.#fill(nowMs)
    return Math.floor(this.#tokens)
  }

  /** At most what is available. */
  spend(bytes: number): void {
    if (this.#bytesPerMs !== null) this.#tokens -= bytes
  }

  /** Until `bytes` may pass, or as many of them as are worth waking up for; 0: now. Less would be bytes by the handful. */
  waitMs(bytes: number, nowMs: number): number {
    if (this.#bytesPerMs === null) return 0
    this.#fill(nowMs)
    const wanted = Math.min(bytes, Math.max(1, this.#bytesPerMs * QUANTUM_MS))
    return Math.max(0, Math.ceil((wanted - this.#tokens) / this.#bytesPerMs))
  }

  #fill(nowMs: number): void {
    if (this.#bytesPerMs !== null) {
      this.#tokens = Math.min(
        1 + DEPTH_MS * this.#bytesPerMs,
        this.#tokens + (nowMs - this.#filledAtMs) * this.#bytesPerMs,
      )
    }
    this.#filledAtMs = nowMs
  }
}

function perMs(bytesPerSecond: number | null): number | null {
  return bytesPerSecond === null ? null : bytesPerSecond / 1000
}
