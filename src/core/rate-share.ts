// Decides how a limit on the speed of the whole run is shared out among those who transfer. Knows nothing of time,
// children or sockets.

/** What one of them had and what it made of it, bytes per second. */
export interface RateUse {
  /** Undefined: it has just come. */
  readonly allowed: number | undefined
  readonly used: number
}

/** Who uses less than this part of its share is held up by something else. */
const USED_UP = 0.85
/** What it gets then: room to find out that it could go faster. */
const HEADROOM = 1.25

/**
 * Equal shares (max-min fair): who cannot use its own gets what it used and some more, the others share the rest. The
 * shares never add up to more than `limit`, except that each is at least one byte per second.
 */
export function shareRate(limit: number, uses: readonly RateUse[]): number[] {
  const wishes = uses.map(({ allowed, used }) =>
    allowed === undefined || used >= allowed * USED_UP ? Number.POSITIVE_INFINITY : used * HEADROOM,
  )
  const shares = uses.map(() => 0)
  const modestFirst = wishes.map((wish, at) => ({ wish, at })).sort((a, b) => a.wish - b.wish)
  let left = limit
  for (const [n, { wish, at }] of modestFirst.entries()) {
    const share = Math.max(1, Math.floor(Math.min(wish, left / (uses.length - n))))
    shares[at] = share
    left = Math.max(0, left - share)
  }
  return shares
}
