// How a past run stands, and whether it is recent enough to rely on. Knows nothing of logs and of clocks.

/**
 * `good`: every job ended well. `trouble`: it came to its end otherwise. `running`: it is going on. `died`: it went
 * without an end. `unknown`: it has no end and ran on another machine, so it may be either.
 */
export type RunState = 'good' | 'trouble' | 'running' | 'died' | 'unknown'

/**
 * A clock that was set back leaves ends that lie ahead. Those are believed for as long as others: a small step does no
 * harm, and a wrong year does not keep everybody quiet for that long.
 */
export function isRecent(endedMs: number, nowMs: number, maxAgeMs: number): boolean {
  return Math.abs(nowMs - endedMs) <= maxAgeMs
}
