// Drives one child from start to reap: feeds the attempt's state machine, performs its effects, watches it from
// outside. Knows nothing of HTTP, files' meaning or retries.

import type {
  Attempt,
  AttemptInput,
  AttemptLimits,
  AttemptResult,
  Effect,
  KillCause,
  Timer,
  TransferPhase,
} from '../core/attempt.ts'
import { begin, step, verdict } from '../core/attempt.ts'
import { describe } from '../core/failure.ts'
import type { Isolation, Lease, LeaseEvent, Unit, WorkOrder } from '../isolation/isolation.ts'
import type { ChildMessage } from '../protocol/message.ts'
import { PROTOCOL_VERSION } from '../protocol/message.ts'
import type { DeadlineHandle, Deadlines } from './deadlines.ts'
import { lookAt } from './liveness.ts'

export interface ChildEnd {
  readonly result: AttemptResult
  /** Undefined when it could not be started. */
  readonly unit: Unit | undefined
  /** From the order to its first word. */
  readonly bootMs: number | undefined
  readonly exitCode: number | undefined
  readonly signal: string | undefined
  readonly killReason: string | undefined
  readonly signalSent: 'SIGTERM' | 'SIGKILL' | undefined
  readonly maxResidentBytes: number | undefined
  readonly lastWords: string
  readonly wasReaped: boolean
}

export interface ChildRunOptions {
  readonly isolation: Isolation
  readonly deadlines: Deadlines
  readonly monotonicMs: () => number
  readonly order: WorkOrder
  readonly limits: AttemptLimits
  readonly host: string
  /** How far its work came, as far as it is believed; growth keeps a transfer from counting as stalled. */
  readonly positionBytes: () => number
  /** What it says it wrote to the file, for the kernel to confirm. */
  readonly claimedBytes?: () => number
  /** What --limit-rate has left it at any time. */
  readonly allowedBytesPerSecond?: () => number | undefined
  readonly onMessage: (message: ChildMessage, child: ChildRun) => void
  readonly onSpawned: (unit: Unit) => void
  readonly onSignal: (signal: string, reason: string) => void
}

export class ChildRun {
  readonly ended: Promise<ChildEnd>
  readonly #options: ChildRunOptions
  readonly #timers: DeadlineHandle<Timer>
  readonly #lease: Lease
  readonly #orderedAtMs: number
  #bootMs: number | undefined
  #attempt: Attempt
  #resolve: (end: ChildEnd) => void = () => {}
  #lastPosition = 0
  #windowStartPosition = 0
  #maxResidentBytes = 0
  #lastWords = ''
  #isSettled = false

  constructor(options: ChildRunOptions) {
    this.#options = options
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve
    })
    this.#timers = options.deadlines.handle((timer) => this.#onTimer(timer))
    this.#lastPosition = options.positionBytes()
    const [attempt, effects] = begin(options.host, options.limits)
    this.#attempt = attempt
    this.#orderedAtMs = options.monotonicMs()
    this.#lease = options.isolation.start(options.order, (event) => this.#onLease(event))
    this.#perform(effects)
    const { unit } = this.#lease
    if (unit !== undefined) {
      const pid = pidOf(unit)
      this.#input({ on: 'spawned', ...(pid === undefined ? {} : { pid }) })
      options.onSpawned(unit)
      // Not waiting for `ready` saves the child a turn; it reads its task when it is there.
      this.#lease.send({ type: 'task', version: PROTOCOL_VERSION, task: options.order.task })
    }
  }

  get unit(): Unit | undefined {
    return this.#lease.unit
  }

  get pid(): number | undefined {
    return this.#attempt.pid
  }

  get phase(): TransferPhase | 'starting' | 'terminating' {
    const { phase, transfer } = this.#attempt
    if (phase === 'starting' || phase === 'terminating') return phase
    return transfer
  }

  send(command: Parameters<Lease['send']>[0]): void {
    this.#lease.send(command)
  }

  setPhase(phase: TransferPhase): void {
    if (phase === 'receiving') this.#windowStartPosition = this.#lastPosition = this.#options.positionBytes()
    this.#input({ on: 'phase', phase })
  }

  stop(cause: KillCause, atOnce = false): void {
    this.#input({ on: 'stop', cause, atOnce })
  }

  /** Forwards the terminal's job control: a stopped supervisor has stopped children. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#lease.stop(signal)
  }

  /** The look from outside, each second. */
  observe(): void {
    const { pid } = this
    const sight = pid === undefined ? undefined : lookAt(pid)
    if (sight !== undefined) this.#maxResidentBytes = Math.max(this.#maxResidentBytes, sight.residentBytes)
    this.#noteGrowth()
    const claimed = this.#options.claimedBytes?.() ?? 0
    if (sight?.writtenBytes !== undefined && claimed > sight.writtenBytes) {
      this.stop({ kind: 'garbled', detail: `says it wrote ${claimed} bytes, the kernel counted ${sight.writtenBytes}` })
    }
    this.#input({
      on: 'observed',
      stopped: sight?.isStopped ?? false,
      residentBytes: sight?.residentBytes ?? 0,
      messagesPerSecond: this.#lease.takeMessageCount(),
    })
  }

  #noteGrowth(): void {
    const position = this.#options.positionBytes()
    if (position > this.#lastPosition) this.#input({ on: 'grew' })
    this.#lastPosition = position
  }

  #onLease(event: LeaseEvent): void {
    switch (event.kind) {
      case 'message':
        // One that was given up may wake and speak; nobody waits for it any more.
        return this.#isSettled ? undefined : this.#onMessage(event.message)
      case 'garbled':
        return this.#input({ on: 'garbled', detail: event.detail })
      case 'closed':
        return this.#input({ on: 'channel-closed' })
      case 'end':
        this.#lastWords = event.lastWords
        return this.#input({ on: 'end', end: event.end })
    }
  }

  #onMessage(message: ChildMessage): void {
    switch (message.type) {
      case 'ready':
        this.#bootMs ??= this.#options.monotonicMs() - this.#orderedAtMs
        if (message.version === PROTOCOL_VERSION) return this.#input({ on: 'ready' })
        return this.#input({ on: 'garbled', detail: `protocol ${message.version}, not ${PROTOCOL_VERSION}` })
      case 'phase':
        return this.#input({ on: 'phase', phase: message.phase })
      case 'beat':
        this.#input({ on: 'beat' })
        this.#options.onMessage(message, this)
        return this.#noteGrowth()
      case 'done':
        this.#input({
          on: 'claim',
          claim: {
            kind: 'done',
            bytes: message.bytes,
            ...(message.digests === undefined ? {} : { digests: message.digests }),
          },
        })
        break
      case 'refused':
        this.#input({ on: 'claim', claim: { kind: 'refused' } })
        break
      case 'failed':
        this.#input({ on: 'claim', claim: { kind: 'failed', failure: message.failure } })
        break
      case 'head':
      case 'limited':
        break
    }
    this.#options.onMessage(message, this)
  }

  #onTimer(timer: Timer): void {
    const before = this.#lastPosition
    this.#noteGrowth()
    // Bytes came since the last look: that was no stall, and the timer is armed anew.
    if (timer === 'phase' && this.phase === 'receiving' && this.#lastPosition > before) return
    const bytesInWindow = this.#lastPosition - this.#windowStartPosition
    if (timer === 'speed') this.#windowStartPosition = this.#lastPosition
    const allowedBytesPerSecond = this.#options.allowedBytesPerSecond?.()
    this.#input({
      on: 'timer',
      timer,
      bytesInWindow,
      ...(allowedBytesPerSecond === undefined ? {} : { allowedBytesPerSecond }),
    })
  }

  #input(input: AttemptInput): void {
    const [next, effects] = step(this.#attempt, input)
    this.#attempt = next
    this.#perform(effects)
    if (!this.#isSettled && (next.phase === 'ended' || next.phase === 'abandoned')) this.#settle()
  }

  #perform(effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.do) {
        case 'arm':
          this.#timers.arm(effect.timer, effect.ms)
          break
        case 'disarm':
          this.#timers.disarm(effect.timer)
          break
        case 'kill': {
          const { cause } = this.#attempt
          if (this.#lease.unit !== undefined) {
            this.#options.onSignal(effect.signal, cause === undefined ? 'it did not leave' : describe(cause))
          }
          this.#lease.stop(effect.signal)
        }
      }
    }
  }

  #settle(): void {
    this.#isSettled = true
    this.#timers.clear()
    const { end, cause, sent, phase } = this.#attempt
    this.#resolve({
      result: verdict(this.#attempt),
      unit: this.#lease.unit,
      bootMs: this.#bootMs,
      exitCode: end?.exitCode,
      signal: end?.signal,
      killReason: cause === undefined ? undefined : describe(cause),
      signalSent: sent,
      maxResidentBytes: this.#maxResidentBytes === 0 ? undefined : this.#maxResidentBytes,
      lastWords: this.#lastWords,
      wasReaped: phase === 'ended',
    })
  }
}

export function pidOf(unit: Unit | undefined): number | undefined {
  return unit !== undefined && 'pid' in unit ? unit.pid : undefined
}
