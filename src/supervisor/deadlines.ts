// Keeps timers for attempts and notices when time was not ours: after the machine or the supervisor itself was
// stopped, what is late is armed anew and never fires.

import type { World } from './world.ts'

export interface DeadlineHandle<T extends string> {
  arm(timer: T, ms: number): void
  disarm(timer: T): void
  clear(): void
}

/** The heart beats each second; a beat later than this was a pause of the whole machine. */
export const TICK_MS = 1000
const SUSPENDED_AFTER_MS = 4000
/** Node's timers hold 31 bits; a longer one would fire at once, again and again. */
const LONGEST_SLEEP_MS = 2 ** 31 - 1

const nothing = () => {}

interface Armed {
  dueMs: number
  fire: () => void
}

/**
 * `onTick` runs each second while something is watched; `onSuspended` after a gap. Timers of handles are shifted
 * by a gap; a wall-clock promise like --run-deadline does not belong here.
 */
export class Deadlines {
  readonly #world: World
  readonly #armed = new Set<Armed>()
  readonly #onTick: () => void
  readonly #onSuspended: (gapMs: number) => void
  readonly #ticker: NodeJS.Timeout
  #lastTickMs: number
  #wake: NodeJS.Timeout | undefined
  #wakeAtMs = Number.POSITIVE_INFINITY

  constructor(world: World, onTick: () => void, onSuspended: (gapMs: number) => void) {
    this.#world = world
    this.#onTick = onTick
    this.#onSuspended = onSuspended
    this.#lastTickMs = world.monotonicMs()
    this.#ticker = setInterval(() => {
      this.#checkGap()
      this.#onTick()
    }, TICK_MS)
  }

  handle<T extends string>(onTimer: (timer: T) => void): DeadlineHandle<T> {
    const own = new Map<T, Armed>()
    return {
      arm: (timer, ms) => {
        // What is armed after a gap has nothing to catch up, so the gap is dealt with first.
        this.#checkGapIfLate()
        const dueMs = this.#world.monotonicMs() + ms
        const armed = own.get(timer) ?? { dueMs, fire: () => onTimer(timer) }
        armed.dueMs = dueMs
        own.set(timer, armed)
        this.#armed.add(armed)
        this.#wakeBy(dueMs)
      },
      disarm: (timer) => {
        const armed = own.get(timer)
        if (armed !== undefined) this.#armed.delete(armed)
      },
      clear: () => {
        for (const armed of own.values()) {
          this.#armed.delete(armed)
          // What a set has lost it may hold for long, see core/roster.ts.
          armed.fire = nothing
        }
        own.clear()
      },
    }
  }

  close(): void {
    clearInterval(this.#ticker)
    clearTimeout(this.#wake)
    this.#armed.clear()
  }

  #checkGap(): void {
    const now = this.#world.monotonicMs()
    const gapMs = now - this.#lastTickMs
    this.#lastTickMs = now
    if (gapMs < SUSPENDED_AFTER_MS) return
    for (const armed of this.#armed) armed.dueMs += gapMs
    this.#onSuspended(gapMs)
  }

  #wakeBy(dueMs: number): void {
    if (dueMs >= this.#wakeAtMs) return
    clearTimeout(this.#wake)
    this.#wakeAtMs = dueMs
    const sleepMs = Math.max(0, dueMs - this.#world.monotonicMs())
    this.#wake = setTimeout(() => this.#fire(), Math.min(sleepMs, LONGEST_SLEEP_MS))
  }

  #fire(): void {
    this.#wake = undefined
    this.#wakeAtMs = Number.POSITIVE_INFINITY
    this.#checkGapIfLate()
    const now = this.#world.monotonicMs()
    for (const armed of [...this.#armed]) {
      // Something fired earlier in this round may have disarmed or moved it.
      if (armed.dueMs > now || !this.#armed.delete(armed)) continue
      armed.fire()
    }
    if (this.#armed.size > 0) this.#wakeBy(Math.min(...[...this.#armed].map(({ dueMs }) => dueMs)))
  }

  #checkGapIfLate(): void {
    if (this.#world.monotonicMs() - this.#lastTickMs >= SUSPENDED_AFTER_MS) this.#checkGap()
  }
}
