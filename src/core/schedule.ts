// Decides which job may start now: slots, per-host caps, host pauses, waits before a retry. A deterministic
// structure; time is passed in. Knows nothing of processes, of lists on disk or of why a job waits.

import { Heap } from './heap.ts'
import type { HostHealth, HostInput, HostRules, HostVerdict } from './host.ts'
import { capOf, freshHost, judgeHost } from './host.ts'

export interface Start {
  readonly index: number
  readonly host: number
  /** Started to find out whether a host that could not be reached is back. */
  readonly isProbe: boolean
}

interface Waiting {
  readonly index: number
  readonly host: number
  readonly atMs: number
}

interface HostState {
  health: HostHealth
  active: number
  /** Jobs whose wait is over, least index first: they come before the host's fresh ones. */
  readonly again: Heap<number>
  /** Children that were redirected here and are kept waiting for room. */
  readonly held: number[]
  /** Jobs that wait before a retry, cancelled ones too until their time has come. */
  delayed: number
  /** `--wait`: nothing starts before. */
  nextStartAtMs: number
}

const NONE = -1

export interface ScheduleOptions {
  /** By index: jobs of a lower rank come first, before all of a higher one. All are of one where it is left out. */
  readonly ranks?: Uint8Array | undefined
  /** Asked after each start, for how long its host is left in peace. */
  readonly pauseMs?: () => number
}

/**
 * Fresh jobs are linked lists by host in the order they came in (8 bytes a job), so that one crowded host never blocks
 * the others however long the list is. Hosts that may start something sit in a heap by their next job's index.
 */
export class Schedule {
  #slots: number
  readonly #rules: HostRules
  readonly #pauseMs: () => number
  readonly #next: Int32Array
  readonly #head: number[] = []
  readonly #tail: number[] = []
  readonly #states = new Map<number, HostState>()
  readonly #ranks: Uint8Array | undefined
  readonly #eligible = new Heap<{ host: number; index: number }>((a, b) => this.#isBefore(a.index, b.index))
  readonly #waiting = new Heap<Waiting>((a, b) => a.atMs < b.atMs || (a.atMs === b.atMs && a.index < b.index))
  readonly #pauses = new Heap<{ host: number; atMs: number }>((a, b) => a.atMs < b.atMs)
  #active = 0
  #lost = 0
  #fresh = 0
  #again = 0
  /** Waiting jobs that were ended meanwhile; dropped when they come up. */
  readonly #cancelled = new Set<number>()

  constructor(size: number, slots: number, rules: HostRules, { ranks, pauseMs = () => 0 }: ScheduleOptions = {}) {
    this.#slots = slots
    this.#rules = rules
    this.#ranks = ranks
    this.#pauseMs = pauseMs
    this.#next = new Int32Array(size).fill(NONE)
  }

  #isBefore(a: number, b: number): boolean {
    const difference = (this.#ranks?.[a] ?? 0) - (this.#ranks?.[b] ?? 0)
    return difference < 0 || (difference === 0 && a < b)
  }

  /** Enters a fresh job; call by rank, and in list order within a rank. */
  add(index: number, host: number): void {
    const tail = this.#tail[host] ?? NONE
    if ((this.#head[host] ?? NONE) === NONE) {
      this.#head[host] = index
      this.#eligible.push({ host, index })
    } else this.#next[tail] = index
    this.#tail[host] = index
    this.#fresh++
  }

  /** Jobs that wait: fresh, before a retry, or with their wait over. */
  get waiting(): number {
    return this.#fresh + this.#waiting.size + this.#again - this.#cancelled.size
  }

  get active(): number {
    return this.#active
  }

  activeOf(host: number): number {
    return this.#states.get(host)?.active ?? 0
  }

  healthOf(host: number): HostHealth {
    return this.#states.get(host)?.health ?? freshHost(this.#rules)
  }

  /** The next job that may start at `nowMs`, which then counts as active; undefined when none may. */
  next(nowMs: number): Start | undefined {
    this.#wake(nowMs)
    if (this.#active + this.#lost >= this.#slots) return undefined
    for (let top = this.#eligible.pop(); top !== undefined; top = this.#eligible.pop()) {
      const { host } = top
      const state = this.#stateOf(host)
      // Stale entries are dropped here; whatever makes the host eligible again enters it anew.
      // A held child already has a slot and a connection: its room is not given to a job that has neither.
      if (top.index !== this.#headOf(host) || !this.#hasRoom(state, nowMs, state.held.length)) continue
      const index = this.#take(host, state)
      this.#enter(host)
      if (this.#cancelled.delete(index)) continue
      this.#occupy(host, state, nowMs)
      this.#active++
      return { index, host, isProbe: state.health.isProbing }
    }
    return undefined
  }

  /**
   * How many slots nobody wants, not even a job that waits for its retry or its host: they may serve files that are
   * under way.
   */
  get spare(): number {
    return Math.max(0, this.#slots - this.#active - this.#lost - this.waiting)
  }

  /**
   * Takes a spare slot for a further child of a file under way, if `host` has room for it now and for the jobs that
   * will come back to it: a segment may last for hours.
   */
  takeSpare(host: number, nowMs: number): boolean {
    const state = this.#stateOf(host)
    if (this.spare === 0 || !this.#hasRoom(state, nowMs, state.held.length + state.delayed)) return false
    this.#occupy(host, state, nowMs)
    this.#active++
    return true
  }

  /** An active job's slot is free again. */
  release(host: number): void {
    const state = this.#stateOf(host)
    state.active--
    this.#active--
    this.#enter(host)
  }

  /** A slot whose child could not be reaped never comes back. */
  loseSlot(host: number): void {
    this.release(host)
    this.#lost++
  }

  /** The machine has no room for more than what runs now; call while the refused one still counts as active. */
  shrinkToRunning(): void {
    this.#slots = Math.max(1, Math.min(this.#slots, this.#active + this.#lost - 1))
  }

  /** Every slot is held by a child that cannot be reaped: nothing will ever start. */
  get isStarved(): boolean {
    return this.#lost >= this.#slots
  }

  /** A job waits until `atMs` and is then eligible at `host`. */
  delay(index: number, host: number, atMs: number): void {
    this.#stateOf(host).delayed++
    this.#waiting.push({ index, host, atMs })
  }

  /** A job that waits after an attempt was ended otherwise: it will not start again. */
  cancel(index: number): void {
    this.#cancelled.add(index)
  }

  /** Hosts that are left in peace at `nowMs`. */
  paused(nowMs: number): { host: number; untilMs: number }[] {
    return [...this.#states].flatMap(([host, { health }]) =>
      health.pausedUntilMs > nowMs ? [{ host, untilMs: health.pausedUntilMs }] : [],
    )
  }

  /** Judges one attempt's end for its host; call before {@link release} or {@link loseSlot}. */
  judge(host: number, input: HostInput, nowMs: number): HostVerdict {
    const state = this.#stateOf(host)
    const verdict = judgeHost(state.health, input, this.#rules, { nowMs, othersRunning: state.active - 1 })
    state.health = verdict.health
    if (verdict.change === 'paused') this.#pauses.push({ host, atMs: verdict.health.pausedUntilMs })
    this.#enter(host)
    return verdict
  }

  /** An active child was redirected. True: it goes on at once; false: it is held until {@link grants} names it. */
  move(ticket: number, from: number, to: number, nowMs: number): boolean {
    if (from === to) return true
    this.#stateOf(from).active--
    this.#enter(from)
    const state = this.#stateOf(to)
    // A host that was given up never has room again; the child finds out by itself.
    if (this.#hasRoom(state, nowMs) || state.health.downBecause !== undefined) {
      this.#occupy(to, state, nowMs)
      return true
    }
    state.held.push(ticket)
    return false
  }

  /** A held child ended before its turn came. It still holds a slot, but no host's. */
  forget(ticket: number, host: number): boolean {
    const { held } = this.#stateOf(host)
    const at = held.indexOf(ticket)
    if (at < 0) return false
    held.splice(at, 1)
    this.#stateOf(host).active++
    return true
  }

  /** Held children that may go on now, counted as active at their new host. */
  grants(nowMs: number): number[] {
    const granted: number[] = []
    for (const [host, state] of this.#states) {
      const isDown = state.health.downBecause !== undefined
      while (state.held.length > 0 && (isDown || this.#hasRoom(state, nowMs))) {
        granted.push(state.held.shift() as number)
        this.#occupy(host, state, nowMs)
      }
    }
    return granted
  }

  /** When something may start that may not now; undefined when only an end can change that. */
  wakeAtMs(): number | undefined {
    const times = [this.#waiting.peek()?.atMs, this.#pauses.peek()?.atMs].filter((t) => t !== undefined)
    return times.length === 0 ? undefined : Math.min(...times)
  }

  /** Takes up to `most` jobs that wait for this host, whatever they wait for: the host is given up. */
  drain(host: number, most: number): number[] {
    const state = this.#stateOf(host)
    const drained: number[] = []
    while (drained.length < most && this.#headOf(host) !== NONE) {
      const index = this.#take(host, state)
      if (!this.#cancelled.delete(index)) drained.push(index)
    }
    this.#enter(host)
    return drained
  }

  /** Takes all jobs that wait before a retry, of one host or of all. */
  takeDelayed(host?: number): number[] {
    const taken: number[] = []
    const kept: Waiting[] = []
    for (let top = this.#waiting.pop(); top !== undefined; top = this.#waiting.pop()) {
      this.#stateOf(top.host).delayed--
      if (this.#cancelled.delete(top.index)) continue
      if (host === undefined || top.host === host) taken.push(top.index)
      else kept.push(top)
    }
    for (const waiting of kept) this.delay(waiting.index, waiting.host, waiting.atMs)
    return taken
  }

  /** Takes all that waits, in no order: the run ends. Fresh jobs and those that had attempts alike. */
  *takeAll(): Generator<number> {
    yield* this.takeDelayed()
    for (const [host, state] of this.#states) {
      while (state.again.size > 0) {
        const index = this.#take(host, state)
        if (!this.#cancelled.delete(index)) yield index
      }
    }
    for (let host = 0; host < this.#head.length; host++) {
      for (let index = this.#head[host] ?? NONE; index !== NONE; index = this.#next[index] ?? NONE) {
        this.#fresh--
        yield index
      }
      this.#head[host] = NONE
    }
  }

  #stateOf(host: number): HostState {
    let state = this.#states.get(host)
    if (state === undefined) {
      state = {
        health: freshHost(this.#rules),
        active: 0,
        again: new Heap((a, b) => a < b),
        held: [],
        delayed: 0,
        nextStartAtMs: 0,
      }
      this.#states.set(host, state)
    }
    return state
  }

  #hasRoom(state: HostState, nowMs: number, reserved = 0): boolean {
    const freeAtMs = Math.max(state.health.pausedUntilMs, state.nextStartAtMs)
    return state.active + reserved < capOf(state.health) && freeAtMs <= nowMs
  }

  /** Something starts at the host now. */
  #occupy(host: number, state: HostState, nowMs: number): void {
    state.active++
    const pauseMs = this.#pauseMs()
    if (pauseMs <= 0) return
    state.nextStartAtMs = nowMs + pauseMs
    this.#pauses.push({ host, atMs: state.nextStartAtMs })
  }

  #headOf(host: number): number {
    return this.#states.get(host)?.again.peek() ?? this.#head[host] ?? NONE
  }

  #enter(host: number): void {
    const index = this.#headOf(host)
    if (index !== NONE) this.#eligible.push({ host, index })
  }

  #take(host: number, state: HostState): number {
    const again = state.again.pop()
    if (again !== undefined) {
      this.#again--
      return again
    }
    const index = this.#head[host] ?? NONE
    this.#head[host] = this.#next[index] ?? NONE
    this.#fresh--
    return index
  }

  #wake(nowMs: number): void {
    for (let top = this.#waiting.peek(); top !== undefined && top.atMs <= nowMs; top = this.#waiting.peek()) {
      this.#waiting.pop()
      const state = this.#stateOf(top.host)
      state.delayed--
      state.again.push(top.index)
      this.#again++
      this.#enter(top.host)
    }
    for (let top = this.#pauses.peek(); top !== undefined && top.atMs <= nowMs; top = this.#pauses.peek()) {
      this.#pauses.pop()
      this.#enter(top.host)
    }
  }
}
