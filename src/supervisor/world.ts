// Everything a run takes from outside that a test must be able to control.

export interface World {
  /** Wall clock, ms since the epoch: for people, HTTP dates and logs. May jump. */
  nowMs(): number
  /** Monotonic clock, ms: for every wait and deadline. */
  monotonicMs(): number
  /** In [0, 1). */
  random(): number
}

export const realWorld: World = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  random: () => Math.random(),
}
