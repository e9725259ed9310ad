// Keeps --limit-rate: tells every child that transfers its share, anew whenever one comes or goes and each second.

import type { RateUse } from '../core/rate-share.ts'
import { shareRate } from '../core/rate-share.ts'

/** A child that transfers. */
export interface Limited {
  readonly positionBytes: number
  setRate(bytesPerSecond: number): void
}

interface Entry {
  allowed: number | undefined
  /** What the last look says; nothing when its share changed meanwhile. */
  use: RateUse
  /** The most that it had to share with at once, itself included. */
  mostSharers: number
  lookedAt: { readonly bytes: number; readonly atMs: number; readonly allowed: number | undefined }
}

const UNKNOWN: RateUse = { allowed: undefined, used: 0 }
const LOOK_EVERY_MS = 900
/** Shares that hardly change are not told again. */
const WORTH_TELLING = 0.01

export class RateLimiter {
  readonly #limit: number
  readonly #nowMs: () => number
  readonly #entries = new Map<Limited, Entry>()

  /** `nowMs`: monotonic. */
  constructor(limitBytesPerSecond: number, nowMs: () => number) {
    this.#limit = limitBytesPerSecond
    this.#nowMs = nowMs
  }

  add(child: Limited): void {
    const lookedAt = { bytes: child.positionBytes, atMs: this.#nowMs(), allowed: undefined }
    this.#entries.set(child, { allowed: undefined, use: UNKNOWN, mostSharers: 0, lookedAt })
    for (const entry of this.#entries.values()) {
      entry.mostSharers = Math.max(entry.mostSharers, this.#entries.size)
    }
    this.#share()
  }

  remove(child: Limited): void {
    if (this.#entries.delete(child)) this.#share()
  }

  /**
   * What the limit has left to the child at any time; undefined when it is not transferring. Not its share, which falls
   * with what it makes of it: a server that falls silent would be taken for one that the limit slows.
   */
  leastOf(child: Limited): number | undefined {
    const entry = this.#entries.get(child)
    return entry === undefined ? undefined : this.#limit / entry.mostSharers
  }

  /** Each second: who does not use its share leaves some to the others. */
  tick(): void {
    const atMs = this.#nowMs()
    const looked = [...this.#entries].filter(([, { lookedAt }]) => atMs - lookedAt.atMs >= LOOK_EVERY_MS)
    for (const [child, entry] of looked) {
      const { bytes, atMs: since, allowed } = entry.lookedAt
      const used = ((child.positionBytes - bytes) * 1000) / (atMs - since)
      entry.use = allowed === entry.allowed ? { allowed, used } : UNKNOWN
    }
    this.#share()
    for (const [child, entry] of looked) {
      entry.lookedAt = { bytes: child.positionBytes, atMs, allowed: entry.allowed }
    }
  }

  #share(): void {
    const entries = [...this.#entries]
    const shares = shareRate(
      this.#limit,
      entries.map(([, { use }]) => use),
    )
    // All or none of them: old shares and new ones together may be more than the limit.
    const isWorthTelling = entries.some(
      ([, { allowed }], n) => allowed === undefined || Math.abs((shares[n] ?? 1) - allowed) >= allowed * WORTH_TELLING,
    )
    if (!isWorthTelling) return
    for (const [n, [child, entry]] of entries.entries()) {
      const share = shares[n] ?? 1
      if (share === entry.allowed) continue
      entry.allowed = share
      child.setRate(share)
    }
  }
}
