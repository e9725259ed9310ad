// Starts one child for a job and writes its life down: an event when it begins, one for each signal, a record when it
// has ended. Knows nothing of what the child does.

import type { AttemptLimits, KillCause } from '../core/attempt.ts'
import type { AttemptRecord, ByteRange, RunEvent } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'
import type { Job } from '../core/job.ts'
import { redactUrl } from '../core/redact.ts'
import type { Isolation, Unit, WorkOrder } from '../isolation/isolation.ts'
import type { ChildMessage } from '../protocol/message.ts'
import { attemptRecord, unitRecord } from './attempt-record.ts'
import type { ChildEnd } from './child-run.ts'
import { ChildRun } from './child-run.ts'
import type { Deadlines } from './deadlines.ts'
import type { World } from './world.ts'

export interface JobChildContext {
  readonly isolation: Isolation
  readonly deadlines: Deadlines
  readonly world: World
  readonly emit: (event: RunEvent) => void
  readonly onChild: (child: ChildRun) => void
  readonly onReaped: (end: ChildEnd) => void
}

export interface JobChildOrder {
  readonly job: Job
  /** From 1. */
  readonly attempt: number
  readonly task: 'fetch' | 'hash'
  readonly url: string
  readonly host: string
  /** What it is sent for; null for a hash. */
  readonly range: ByteRange | null
  readonly waitMs: number
  readonly order: WorkOrder
  readonly limits: AttemptLimits
  readonly positionBytes: () => number
  readonly claimedBytes?: () => number
  readonly allowedBytesPerSecond?: () => number | undefined
  readonly onMessage: (message: ChildMessage) => void
}

/** What the record says of the child beyond its life. */
export interface Work {
  readonly failure: Failure | undefined
  readonly movedBytes: number
  readonly resumedFromBytes: number
  readonly range: ByteRange | null
  readonly isUnchanged: boolean
}

export class JobChild {
  readonly run: ChildRun
  readonly #context: JobChildContext
  readonly #order: JobChildOrder
  readonly #startedAtMs: number

  constructor(context: JobChildContext, order: JobChildOrder) {
    this.#context = context
    this.#order = order
    const { world, emit, isolation, deadlines, onChild } = context
    const { job, attempt, task, url, range } = order
    this.#startedAtMs = world.nowMs()
    const place = { index: job.index, line: job.line, n: attempt }
    const announce = (unit: Unit | undefined) => {
      const what = { ...place, task, ...unitRecord(unit) }
      emit({ type: 'attempt-started', at: world.nowMs(), ...what, url: redactUrl(url), range })
    }
    this.run = new ChildRun({
      ...order,
      isolation,
      deadlines,
      monotonicMs: world.monotonicMs,
      onSpawned: announce,
      onSignal: (signal, reason) => {
        const pid = this.run.pid ?? null
        emit({ type: 'signal-sent', at: world.nowMs(), ...place, pid, signal, reason })
      },
    })
    if (this.run.unit === undefined) announce(undefined)
    onChild(this.run)
  }

  /** Resolves with the reap, or when the child is given up. */
  async ended(): Promise<ChildEnd> {
    const end = await this.run.ended
    this.#context.onReaped(end)
    return end
  }

  stop(cause: KillCause, atOnce = false): void {
    this.run.stop(cause, atOnce)
  }

  /** Writes down how it ended. */
  record(end: ChildEnd, work: Work): AttemptRecord {
    const { emit, world } = this.#context
    const { job, attempt, task, url, waitMs } = this.#order
    const record = attemptRecord(
      { ...work, n: attempt, task, url, startedAtMs: this.#startedAtMs, endedAtMs: world.nowMs(), waitMs },
      end,
    )
    emit({ type: 'attempt-ended', at: world.nowMs(), index: job.index, line: job.line, attempt: record })
    return record
  }
}
