// Fills one part by one child or by several at once: starts them, shares the missing bytes out among them, and notices
// when all of it is there. Knows nothing of other jobs, of retries or of what happens to the finished file.

import type { KillCause } from '../core/attempt.ts'
import type { AttemptRecord } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'
import { classOf, describe, isConnectFailure, isTransient } from '../core/failure.ts'
import type { Fault } from '../core/fault.ts'
import type { Job } from '../core/job.ts'
import type { Ask } from '../core/response.ts'
import { askForRange } from '../core/response.ts'
import { ADVANCE_BYTES, backoffMs } from '../core/retry.ts'
import type { Range } from '../core/segment.ts'
import type { PlanStep } from '../core/segment-plan.ts'
import { SegmentPlan } from '../core/segment-plan.ts'
import type { Hardening } from '../isolation/hardening.ts'
import type { ChildEnd, ChildRun } from './child-run.ts'
import { diskFull, noRoomFor } from './disk-space.ts'
import type { Exchange, Fit } from './exchange.ts'
import type { FetchContext, FetchEvents } from './fetch.ts'
import { Fetch } from './fetch.ts'
import { isInMemory } from './memory-disk.ts'
import type { PartFile } from './part-file.ts'
import type { RateLimiter } from './rate-limiter.ts'
import type { Helper, Seat } from './seat.ts'

export interface TransferContext extends FetchContext {
  readonly hardening: Hardening
  readonly limiter: RateLimiter | undefined
  /** A child was sent to another host: true when it may go on now, false when `seat.resume` will be called. */
  readonly onHop: (seat: Seat, toHost: string) => boolean
  /** Something may be shared out now that could not before. */
  readonly onShareable: () => void
  /** A child ended while others of the same file go on: its seat is free. */
  readonly onSeatFree: (seat: Seat, child: FreedChild) => void
}

export interface FreedChild {
  readonly job: Job
  readonly failure: Failure | undefined
  readonly hasReceived: boolean
}

export interface TransferOptions {
  readonly job: Job
  /** From 1. */
  readonly attempt: number
  readonly mirror: number
  readonly waitMs: number
  readonly part: PartFile
  readonly seat: Seat
  readonly fault: Fault | undefined
  /** Its children get processes of their own. */
  readonly isAlone: boolean
  /** Children at once, at most. */
  readonly split: number
  /** An answer begins the file or goes on with it; before the first of its bytes. */
  readonly onBegin: (exchange: Exchange) => void
}

const SYNC_EVERY_BYTES = 256 * 2 ** 20
const SYNC_EVERY_MS = 30_000
const SAVE_EVERY_MS = 1000
/** A share that is there sooner than this is not worth booting a child for. */
const WORTH_A_CHILD_MS = 1000
/** Setting room aside takes a process of its own. */
const ALLOCATE_FROM_BYTES = 128 * 2 ** 20

export class Transfer {
  readonly records: AttemptRecord[] = []
  readonly warnings: string[] = []
  /** Bytes that were there when the first response began, and were kept. */
  resumedFromBytes: number | undefined
  /** One of its children ended together with others that shared its process. */
  isSuspect: boolean
  readonly #context: TransferContext
  readonly #options: TransferOptions
  readonly #fetches = new Map<number, Fetch>()
  /** Mirrors that serve another file, or none. */
  readonly #dropped = new Set<number>()
  readonly #events: FetchEvents
  #plan: SegmentPlan | undefined
  #sole: Fetch | undefined
  #seat: Seat
  #isSeatLost = false
  #isRangeable = false
  /** Bytes of this attempt were dropped: what was joined did not fit, so the rest comes from one response. */
  #hasStartedOver = false
  /** What was there when the present round began, and the first failure of a child that received in it. */
  #roundStartBytes = 0
  #roundFailure: Failure | undefined
  /** A round that failed somewhere and brought little was followed by another: that happens once. */
  #hasUsedGrace = false
  #started = 0
  /** Responses that brought bytes. */
  #received = 0
  #stopCause: KillCause | undefined
  /** What concerns the whole file, whichever child it was. */
  #fatal: Failure | undefined
  #setbacks = 0
  #heldUntilMs = 0
  #savedAtMs = 0
  #syncedAtMs: number
  #allocation: Promise<void> | undefined
  /** Resolves when the last child has ended, with its failure where that is the transfer's. */
  #ends = Promise.withResolvers<Failure | undefined>()

  constructor(context: TransferContext, options: TransferOptions) {
    this.#context = context
    this.#options = options
    this.isSuspect = options.isAlone
    this.#seat = options.seat
    this.#syncedAtMs = context.world.monotonicMs()
    this.#events = {
      onFit: (fetch, answer, isRest) => this.#onFit(fetch, answer, isRest),
      onPosition: (fetch, position) => this.#onPosition(fetch, position),
      onLimited: (fetch, endBytes) => this.#onLimited(fetch, endBytes),
      onHop: (fetch, host) => {
        const { seat } = fetch.errand
        seat.resume = () => fetch.exchange.resume()
        return context.onHop(seat, host)
      },
      allowedOf: (fetch) => context.limiter?.leastOf(fetch),
    }
  }

  get children(): readonly ChildRun[] {
    return [...this.#fetches.values()].map(({ run }) => run)
  }

  /** The conversation that began the file, or was the last to try. */
  get exchange(): Exchange | undefined {
    return this.#sole?.exchange
  }

  /** The seat that is left when all children have ended. */
  get seat(): Seat {
    return this.#seat
  }

  /** Its child could not be reaped and keeps it. */
  get isSeatLost(): boolean {
    return this.#isSeatLost
  }

  /** The bytes are of more than one response. */
  get isJoined(): boolean {
    return (this.resumedFromBytes ?? 0) > 0 || this.#received > 1
  }

  /**
   * Starts with what `ask` says and ends when the bytes are all there, when nothing changed, or with the failure of the
   * child that was the last. Every child is joined then.
   */
  async run(ask: Ask): Promise<Failure | undefined> {
    for (let next: Ask | undefined = ask; next !== undefined; next = this.#nextAsk()) {
      const failure = await this.#runFrom(next)
      await this.#allocation
      if (failure !== undefined) return failure
      if (this.exchange?.unchanged !== undefined) return undefined
    }
    return undefined
  }

  /** Ends all children. The first cause wins. */
  stop(cause: KillCause, atOnce = false): void {
    this.#stopCause ??= cause
    for (const fetch of this.#fetches.values()) fetch.stop(cause, atOnce)
  }

  /** Each second: look at the children, write down how far they came, keep an eye on the disk. */
  tick(): void {
    for (const fetch of this.#fetches.values()) fetch.observe()
    if (![...this.#fetches.values()].some(({ exchange }) => exchange.isReceiving)) return
    this.#keep()
    const full = diskFull(this.#context.settings)
    if (full !== undefined) this.stop(full)
  }

  /** How many more children could help now, at most `most`. */
  wants(most: number): number {
    return this.#offers(Math.min(most, this.#options.split - this.#fetches.size)).length
  }

  /** Children at work or on their way, by mirror; a mirror that is of no use has `Infinity`. */
  get loads(): readonly number[] {
    const loads = this.#options.job.urls.map((_, mirror) => (this.#dropped.has(mirror) ? Number.POSITIVE_INFINITY : 0))
    for (const { errand } of this.#fetches.values()) loads[errand.mirror] = (loads[errand.mirror] ?? 0) + 1
    return loads
  }

  /** Shares the missing bytes out among further children; returns the seats that were not needed. */
  share(helpers: readonly Helper[]): Seat[] {
    const ranges = this.#offers(helpers.length)
    const { part } = this.#options
    for (const [n, range] of ranges.entries()) {
      const helper = helpers[n]
      if (helper === undefined) throw new Error('more ranges than children')
      const fetch = this.#start(askForRange(range, part), false, helper)
      this.#plan?.ask(fetch.id, range)
    }
    return helpers.slice(ranges.length).map(({ seat }) => seat)
  }

  #offers(most: number): Range[] {
    const { settings, world } = this.#context
    const isHeld = world.monotonicMs() < this.#heldUntilMs
    if (most < 1 || !this.#isRangeable || isHeld || this.#isEnding || this.#fetches.size === 0) return []
    const speeds = [...this.#fetches.values()].flatMap(({ bytesPerSecond }) => bytesPerSecond ?? [])
    const usual = speeds.length === 0 ? 0 : Math.max(...speeds)
    return (
      this.#plan?.offers(most, (id) => {
        const bytesPerSecond = id === undefined ? 0 : (this.#fetches.get(id)?.bytesPerSecond ?? usual)
        return Math.max(settings.minSplitBytes, (bytesPerSecond * WORTH_A_CHILD_MS) / 1000)
      }) ?? []
    )
  }

  get #isEnding(): boolean {
    return this.#stopCause !== undefined || this.#fatal !== undefined
  }

  /** What the only child asks for next; undefined when all is there. */
  #nextAsk(): Ask | undefined {
    const { part } = this.#options
    const { sizeBytes, firstMissing } = part
    return sizeBytes === undefined || firstMissing === undefined ? undefined : askForRange(firstMissing, part)
  }

  /** One child alone, and whoever joins it. */
  async #runFrom(ask: Ask): Promise<Failure | undefined> {
    if (this.#stopCause !== undefined) return this.#stopCause
    this.#isRangeable = false
    this.#plan = undefined
    this.#roundStartBytes = this.#options.part.completedBytes
    this.#roundFailure = undefined
    this.#ends = Promise.withResolvers()
    this.#sole = this.#start(ask, true, { seat: this.#seat, mirror: this.#bestMirror })
    return await this.#ends.promise
  }

  /** The one this attempt is for, unless it turned out to serve another file. */
  get #bestMirror(): number {
    const { mirror, job } = this.#options
    const mirrors = [mirror, ...job.urls.keys()]
    return mirrors.find((candidate) => !this.#dropped.has(candidate)) ?? mirror
  }

  #start(ask: Ask, isSole: boolean, { seat, mirror }: Helper): Fetch {
    const { job, attempt, waitMs, fault, part } = this.#options
    const isFirst = this.#started++ === 0
    const fetch = new Fetch(
      this.#context,
      {
        id: this.#started,
        job,
        attempt,
        mirror,
        ask,
        isSole,
        seat,
        waitMs: isFirst ? waitMs : 0,
        fault: isFirst ? fault : undefined,
        isAlone: this.isSuspect,
        part,
      },
      this.#events,
    )
    this.#fetches.set(fetch.id, fetch)
    if (this.#stopCause !== undefined) fetch.stop(this.#stopCause)
    fetch.ended.then((end) => this.#onEnded(fetch, end)).catch(this.#ends.reject)
    return fetch
  }

  #onFit(fetch: Fetch, answer: Fit, isRest: boolean): void {
    if (this.#isEnding) return fetch.exchange.refuse(this.#stopCause ?? { kind: 'not-needed' })
    if (!fetch.errand.isSole) {
      fetch.hold()
      return this.#perform([this.#get().confirmed(fetch.id)])
    }
    const failure = this.#begin(fetch, answer, isRest)
    if (failure !== undefined) return fetch.exchange.refuse(failure)
    const { part, onBegin } = this.#options
    onBegin(fetch.exchange)
    this.#plan = new SegmentPlan(answer.sizeBytes, part.completed)
    const range: Range = [answer.offsetBytes, this.#endOf(fetch.errand.ask, answer, isRest)]
    this.#plan.receive(fetch.id, range)
    this.#isRangeable = answer.isRangeable && this.#options.split > 1 && !this.#hasStartedOver
    this.#receive(fetch, range, 0)
    if (this.#isRangeable) this.#context.onShareable()
  }

  /** Where the only child has to stop: at the next bytes that are there, or at the end of the file. */
  #endOf(ask: Ask, answer: Fit, isRest: boolean): number {
    const asked = isRest && ask.kind === 'rest' ? ask.endBytes : undefined
    return asked ?? answer.sizeBytes ?? Number.POSITIVE_INFINITY
  }

  #begin(fetch: Fetch, answer: Fit, isRest: boolean): Failure | undefined {
    const { settings, hardening } = this.#context
    const { part } = this.#options
    const dropped = isRest ? 0 : part.completedBytes
    if (dropped > 0) {
      this.#hasStartedOver = true
      const because = fetch.exchange.startOverBecause ?? 'the server sent the whole file'
      this.warnings.push(`started over, ${dropped} bytes dropped: ${because}`)
    }
    const { sizeBytes, lengthBytes = 0, coding } = answer
    // What is stored is not what was sent: it can never be joined to other bytes of that version.
    const validator = coding === undefined ? answer.validator : {}
    // What the part holds already is its own: kept when it goes on, freed when it starts over.
    const neededBytes = Math.max(0, (isRest ? (sizeBytes ?? 0) : lengthBytes) - part.allocatedBytes)
    const failure =
      diskFull(settings) ??
      noRoomFor(neededBytes, settings) ??
      (isRest ? part.resume(validator, sizeBytes) : part.restart(validator, sizeBytes))
    if (failure !== undefined) return failure
    if (this.#received === 0) this.resumedFromBytes = part.completedBytes
    if (this.#isWorthAllocating(sizeBytes)) this.#allocation ??= part.allocate(sizeBytes, hardening)
    return undefined
  }

  /** In memory it is half of the work of writing, and whoever writes elsewhere in the file has to wait for it. */
  #isWorthAllocating(sizeBytes: number | undefined): sizeBytes is number {
    const { part, split } = this.#options
    return sizeBytes !== undefined && sizeBytes >= ALLOCATE_FROM_BYTES && (split === 1 || !isInMemory(part.path))
  }

  #receive(fetch: Fetch, range: Range, skipBytes: number): void {
    const { limiter } = this.#context
    this.#received++
    limiter?.add(fetch)
    fetch.receive(range, skipBytes)
  }

  #onPosition(fetch: Fetch, position: number): number | undefined {
    // Said before and looked at then, as the claim says what the last beat said.
    if (position === fetch.positionBytes) return position
    const { part } = this.#options
    const believed = Math.min(position, Math.max(fetch.positionBytes, part.lengthOnDisk()))
    const plan = this.#get()
    if (!plan.advanced(fetch.id, believed)) return undefined
    part.record(plan.completed)
    if (this.#context.world.monotonicMs() - this.#savedAtMs >= SAVE_EVERY_MS) this.#keep()
    return believed
  }

  /**
   * How far an ended child came, which a killed one did not live to say: it wrote one byte after the other, and nobody
   * else writes there, so when the file ends within its range, that is where it was.
   */
  #reachOf({ id, positionBytes }: Fetch): number {
    const remainder = this.#plan?.remainderOf(id)
    if (remainder === undefined || remainder[0] === remainder[1]) return positionBytes
    const length = this.#options.part.lengthOnDisk()
    if (length <= remainder[0] || length > remainder[1]) return positionBytes
    this.#plan?.advanced(id, length)
    return length
  }

  #onLimited(fetch: Fetch, endBytes: number): void {
    const steps = this.#plan?.limited(fetch.id, endBytes)
    if (steps === undefined) {
      return fetch.stop({ kind: 'garbled', detail: `byte ${endBytes} is no end it was asked for` })
    }
    fetch.endsAt(endBytes)
    this.#perform(steps)
  }

  #perform(steps: readonly PlanStep[]): void {
    for (const step of steps) {
      const fetch = this.#fetches.get(step.id)
      switch (step.do) {
        case 'limit':
          fetch?.limit(step.endBytes)
          break
        case 'receive':
          if (fetch !== undefined) this.#receive(fetch, step.range, step.skipBytes)
          break
        case 'drop':
          fetch?.exchange.refuse({ kind: 'not-needed' })
          break
      }
    }
  }

  #onEnded(fetch: Fetch, childEnd: ChildEnd): void {
    const { limiter, onSeatFree, world } = this.#context
    const { part, job } = this.#options
    limiter?.remove(fetch)
    this.#fetches.delete(fetch.id)
    fetch.reaches(this.#reachOf(fetch))
    const { failure, record, isAbandoned } = fetch.conclude(
      childEnd,
      (fetch.errand.isSole ? this.resumedFromBytes : undefined) ?? 0,
    )
    this.records.push(record)
    this.isSuspect ||= failure?.kind === 'suspect'
    if (this.#plan !== undefined && (fetch !== this.#sole || fetch.exchange.isReceiving)) {
      this.#perform(this.#plan.ended(fetch.id))
      part.record(this.#plan.completed)
    }
    part.save()
    this.#savedAtMs = world.monotonicMs()
    // A child that cannot be ended may wake and write: nothing of this file is safe any more.
    if (failure !== undefined && (isAbandoned || classOf(failure) === 'file')) {
      this.#fatal ??= failure
      for (const other of this.#fetches.values()) other.stop({ kind: 'stopped', reason: describe(failure) })
    }
    if (fetch.exchange.isReceiving) this.#roundFailure ??= failure
    if (failure === undefined) this.#setbacks = 0
    else if (this.#fetches.size > 0) this.#onSetback(fetch, failure)
    if (this.#plan?.isComplete === true) {
      for (const other of this.#fetches.values()) {
        if (!other.exchange.isReceiving) other.stop({ kind: 'not-needed' })
      }
    }
    if (this.#fetches.size > 0) {
      const hasReceived = fetch.exchange.isReceiving
      return onSeatFree(fetch.errand.seat, { job, failure, hasReceived })
    }
    this.#seat = fetch.errand.seat
    this.#isSeatLost = isAbandoned
    this.#ends.resolve(this.#fatal ?? this.#verdict(fetch, failure))
  }

  /**
   * What the end of the last child means for all. What it failed of by itself is told even when a stop was on its way;
   * what a helper failed of before it received is not. Another round follows one that failed nowhere or got on, and but
   * once any other, so that there is an end to them. A stop that came when everything was there stops nothing.
   */
  #verdict({ exchange, errand }: Fetch, failure: Failure | undefined): Failure | undefined {
    const isOfUnknownSize = errand.isSole && this.#options.part.sizeBytes === undefined
    const isSettled = failure === undefined && (isOfUnknownSize || exchange.unchanged !== undefined)
    const isStopped = failure === undefined || failure.kind === this.#stopCause?.kind
    if (isSettled || (isStopped && this.#plan?.isComplete === true)) return undefined
    const isOwn = errand.isSole || exchange.isReceiving
    const final = (isOwn ? failure : undefined) ?? this.#stopCause
    const hasAdvanced = this.#options.part.completedBytes - this.#roundStartBytes >= ADVANCE_BYTES
    if (final !== undefined || this.#roundFailure === undefined || hasAdvanced) return final
    if (this.#hasUsedGrace) return this.#roundFailure
    this.#hasUsedGrace = true
    return undefined
  }

  /** A child failed while others go on: they bring its bytes too, and it is replaced later, if at all. */
  #onSetback(fetch: Fetch, failure: Failure): void {
    const { settings, world } = this.#context
    // Neither server nor mirror had anything to do with it.
    if (failure.kind === 'not-needed' || failure.kind === 'suspect') return
    const { mirror, isSole } = fetch.errand
    const isUseless = !isSole && (!isTransient(failure) || (isConnectFailure(failure) && this.loads[mirror] === 0))
    if (isUseless && this.#options.job.urls.length === 1) this.#isRangeable = false
    else if (isUseless && !this.#dropped.has(mirror)) {
      this.#dropped.add(mirror)
      this.warnings.push(`mirror ${mirror + 1} dropped: ${describe(failure)}`)
    }
    if (fetch.movedBytes >= ADVANCE_BYTES) {
      this.#setbacks = 0
      return
    }
    // Those that were started together are turned away together: that is one setback.
    if (world.monotonicMs() < this.#heldUntilMs) return
    this.#setbacks++
    const waitMs = backoffMs(settings.retryDelayMs, Math.min(4, this.#setbacks))
    this.#heldUntilMs = world.monotonicMs() + Math.round(world.random() * waitMs)
  }

  /** The note, at most once a second; what must survive a reboot, from time to time. */
  #keep(): void {
    const { part } = this.#options
    const now = this.#context.world.monotonicMs()
    if (now - this.#savedAtMs >= SAVE_EVERY_MS) {
      part.save()
      this.#savedAtMs = now
    }
    const { unsyncedBytes } = part
    if (unsyncedBytes > 0 && (unsyncedBytes >= SYNC_EVERY_BYTES || now - this.#syncedAtMs >= SYNC_EVERY_MS)) {
      this.#syncedAtMs = now
      void part.sync()
    }
  }

  #get(): SegmentPlan {
    if (this.#plan === undefined) throw new Error('nothing is received yet')
    return this.#plan
  }
}
