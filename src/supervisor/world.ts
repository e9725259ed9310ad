// Everything a run takes from outside that a test must be able to control.

import { uptime } from 'node:os'

export interface World {
  /** Wall clock, ms since the epoch: for people, HTTP dates and logs. May jump. */
  nowMs(): number
  /** Monotonic clock, ms: for every wait and deadline. Goes on while the machine sleeps, which no timer of Node's does. */
  monotonicMs(): number
  /** In [0, 1). */
  random(): number
}

export const realWorld: World = {
  nowMs: () => Date.now(),
  monotonicMs: withSleep(
    () => performance.now(),
    () => uptime() * 1000,
  ),
  random: () => Math.random(),
}

/** How often the uptime is asked for: it costs a look into /proc, and says hundredths of a second only. */
const LOOK_EVERY_MS = 500
/** Less than this is the coarseness of the two clocks. */
const SLEPT_AT_LEAST_MS = 1000

/** `ticksMs` stops with the machine, `uptimeMs` does not: where the second gets ahead, the machine slept. */
export function withSleep(ticksMs: () => number, uptimeMs: () => number): () => number {
  let lookedAtMs = ticksMs()
  let aheadMs = uptimeMs() - lookedAtMs
  let sleptMs = 0
  return () => {
    const nowMs = ticksMs()
    if (nowMs - lookedAtMs >= LOOK_EVERY_MS) {
      lookedAtMs = nowMs
      const grownMs = uptimeMs() - nowMs - aheadMs
      if (Math.abs(grownMs) >= SLEPT_AT_LEAST_MS) {
        // Backwards it is another machine's uptime: a container was moved.
        aheadMs += grownMs
        sleptMs += Math.max(0, grownMs)
      }
    }
    return nowMs + sleptMs
  }
}

/**
 * A wall clock that does not jump: from what it says now it goes on by what really passes. Times of a run are told by
 * it, so that no duration between two of them is negative or a year, whatever is done to the machine's clock meanwhile.
 */
export function steady(world: World): World {
  const offsetMs = world.nowMs() - world.monotonicMs()
  return { ...world, nowMs: () => Math.round(offsetMs + world.monotonicMs()) }
}
