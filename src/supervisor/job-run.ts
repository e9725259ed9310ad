// One attempt at one job, whole: look at the target, open the part, let a child fetch, verify, commit. Knows nothing
// of other jobs, of retries or of when it may start.

import { closeSync, constants, openSync } from 'node:fs'
import { join } from 'node:path'
import type { KillCause } from '../core/attempt.ts'
import { contentWarning } from '../core/content-warning.ts'
import type { AttemptRecord, Outcome, Proof, RunEvent } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'
import type { Fault } from '../core/fault.ts'
import type { Job } from '../core/job.ts'
import { redactUrl } from '../core/redact.ts'
import { hostOf } from '../core/redirect.ts'
import { urlKey } from '../core/request.ts'
import type { Ask } from '../core/response.ts'
import { canRecognise, strongValidator } from '../core/validator.ts'
import type { Hardening } from '../isolation/hardening.ts'
import type { Isolation, WorkOrder } from '../isolation/isolation.ts'
import type { ChildMessage } from '../protocol/message.ts'
import { attemptRecord } from './attempt-record.ts'
import type { ChildEnd } from './child-run.ts'
import { ChildRun } from './child-run.ts'
import type { Deadlines } from './deadlines.ts'
import { diskFailure } from './disk-failure.ts'
import { diskFull } from './disk-space.ts'
import type { ResponseFacts } from './exchange.ts'
import { Exchange } from './exchange.ts'
import type { PartFile } from './part-file.ts'
import { inspectTarget, openPart } from './part-file.ts'
import type { Settings } from './settings.ts'
import { limitsOf } from './settings.ts'
import type { StateDb } from './state-db.ts'
import type { World } from './world.ts'

/** What all attempts of a run share. */
export interface JobRunContext {
  readonly settings: Settings
  readonly isolation: Isolation
  readonly deadlines: Deadlines
  readonly hardening: Hardening
  readonly state: StateDb
  readonly world: World
  readonly bootId: string | undefined
  readonly emit: (event: RunEvent) => void
  readonly onChild: (child: ChildRun) => void
  readonly onReaped: (end: ChildEnd) => void
  /** The child was sent to another host: true when it may go on now, false when `resume()` will be called. */
  readonly onHop: (run: JobRun, toHost: string) => boolean
}

/** What a job carries from one attempt to the next. */
export interface JobProgress {
  readonly job: Job
  /** Index into `job.urls`. */
  readonly mirror: number
  /** From 1. */
  readonly attempt: number
  readonly waitMs: number
  readonly startOver: boolean
}

export type JobEnd =
  | {
      readonly ok: true
      readonly outcome: Extract<Outcome, 'downloaded' | 'unchanged' | 'skipped'>
      readonly proof: Proof | null
      readonly reason: string | null
      readonly sizeBytes: number | null
    }
  | { readonly ok: false; readonly failure: Failure }

export interface JobRunResult {
  readonly end: JobEnd
  /** One record a child: the fetch, and the checksum where one was asked. */
  readonly attempts: readonly AttemptRecord[]
  /** Undefined when no child was started. */
  readonly facts: ResponseFacts | undefined
  readonly resumedFromBytes: number
  readonly keptBytes: number
  readonly sha256: string | null
  readonly warnings: readonly string[]
  /** A child could not be reaped: its slot, its part and its lock stay taken. */
  readonly isAbandoned: boolean
}

const SYNC_EVERY_BYTES = 256 * 2 ** 20
const SYNC_EVERY_MS = 30_000
const SAVE_EVERY_MS = 1000

export class JobRun {
  readonly progress: JobProgress
  readonly startedAtMs: number
  readonly #context: JobRunContext
  readonly #fault: Fault | undefined
  readonly #warnings: string[] = []
  readonly #attempts: AttemptRecord[] = []
  #child: ChildRun | undefined
  #part: PartFile | undefined
  #exchange: Exchange | undefined
  #stopCause: { cause: KillCause; atOnce: boolean } | undefined
  #positionBytes = 0
  #savedAtMs = 0
  #syncedAtMs: number
  #sha256: string | null = null

  constructor(context: JobRunContext, progress: JobProgress, fault: Fault | undefined) {
    this.#context = context
    this.progress = progress
    this.#fault = fault
    this.startedAtMs = context.world.nowMs()
    this.#syncedAtMs = context.world.monotonicMs()
  }

  get child(): ChildRun | undefined {
    return this.#child
  }

  /** Bytes of the file that are there now. */
  get bytes(): number {
    return this.#positionBytes
  }

  get sizeBytes(): number | undefined {
    return this.#exchange?.sizeBytes
  }

  /** Ends the attempt's child, now or as soon as there is one. */
  stop(cause: KillCause, atOnce = false): void {
    this.#stopCause ??= { cause, atOnce }
    this.#child?.stop(cause, atOnce)
  }

  /** A held child's host has room now. */
  resume(): void {
    this.#exchange?.resume()
  }

  /** Each second: look at the child, write down how far it came, keep an eye on the disk. */
  tick(): void {
    this.#child?.observe()
    const part = this.#part
    if (part === undefined || this.#child?.phase !== 'receiving') return
    this.#noteProgress(part)
    const full = diskFull(this.#context.settings)
    if (full !== undefined) this.#child.stop(full)
  }

  async run(): Promise<JobRunResult> {
    const end = await this.#attemptAll()
    const keptBytes = end.ok || this.#part?.isInPlace !== true ? 0 : this.#part.completedBytes
    const isAbandoned = !end.ok && end.failure.kind === 'abandoned'
    if (!isAbandoned) this.#part?.close()
    return {
      end,
      attempts: this.#attempts,
      facts: this.#exchange?.facts,
      resumedFromBytes: this.#exchange?.offsetBytes ?? 0,
      keptBytes,
      sha256: this.#sha256,
      warnings: [...this.#warnings, ...(this.#exchange?.warnings ?? [])],
      isAbandoned,
    }
  }

  get #requestedUrl(): string {
    return this.progress.job.urls[this.progress.mirror] ?? this.progress.job.urls[0]
  }

  async #attemptAll(): Promise<JobEnd> {
    const { settings, hardening, bootId } = this.#context
    const { job, startOver } = this.progress
    const finalPath = join(settings.dir, job.target)
    const target = inspectTarget(finalPath)
    if (target.kind === 'refused') return { ok: false, failure: target.failure }
    if (target.kind === 'file' && settings.existing === 'skip') {
      const reason = 'the file exists (--skip-existing)'
      return { ok: true, outcome: 'skipped', proof: null, reason, sizeBytes: target.sizeBytes }
    }
    const identity = {
      job: job.id,
      version: settings.version,
      url: redactUrl(this.#requestedUrl),
      urlKey: urlKey(this.#requestedUrl),
      mirrorKeys: job.urls.map(urlKey),
      bootId,
    }
    const opened = await openPart(settings.dir, job.target, identity, hardening)
    if (!opened.ok) return opened
    const part = opened.part
    this.#part = part
    if (startOver && part.completedBytes > 0) {
      const failure = part.begin({}, undefined, 0)
      if (failure !== undefined) return { ok: false, failure }
    }
    this.#positionBytes = part.completedBytes
    if (this.#stopCause !== undefined) return { ok: false, failure: this.#stopCause.cause }

    const known = target.kind === 'file' ? { path: finalPath, ...target } : undefined
    const failure = await this.#fetch(part, this.#chooseAsk(part, known))
    if (failure !== undefined) return { ok: false, failure }
    if (this.#exchange?.unchanged === 'target' && known !== undefined) {
      const { checksum } = job.options
      const problem = checksum === undefined ? undefined : await this.#verify(finalPath, known.sizeBytes, checksum)
      if (problem === undefined) {
        part.discard()
        return { ok: true, outcome: 'unchanged', proof: null, reason: null, sizeBytes: known.sizeBytes }
      }
      if (problem.kind !== 'checksum') return { ok: false, failure: problem }
      // The list names another file than the validator does; a validator may stand for two, a checksum does not.
      const again = await this.#fetch(part, { kind: 'whole' })
      if (again !== undefined) return { ok: false, failure: again }
    }
    return await this.#verifyAndCommit(part, finalPath)
  }

  #chooseAsk(part: PartFile, target: { path: string; sizeBytes: number; mtimeMs: number } | undefined): Ask {
    if (part.isComplete && canRecognise(part.validator)) {
      return { kind: 'if-changed', of: 'part', validator: part.validator }
    }
    if (part.completedBytes > 0 && strongValidator(part.validator) !== undefined) {
      const { sizeBytes, completedBytes: offsetBytes, validator } = part
      return { kind: 'rest', offsetBytes, validator, ...(sizeBytes === undefined ? {} : { sizeBytes }) }
    }
    if (target === undefined || this.#context.settings.existing === 'force') return { kind: 'whole' }
    const known = this.#context.state.find(target.path)
    // Only a file that is as mpdl left it may stay: an edited one is fetched anew.
    const isOurs =
      known !== undefined &&
      known.urlKey === urlKey(this.#requestedUrl) &&
      known.sizeBytes === target.sizeBytes &&
      Math.abs(known.mtimeMs - target.mtimeMs) < 1
    return isOurs ? { kind: 'if-changed', of: 'target', validator: known.validator } : { kind: 'whole' }
  }

  /** Undefined when the bytes are there as announced, or nothing changed. */
  async #fetch(part: PartFile, ask: Ask): Promise<Failure | undefined> {
    const { settings, world, emit, onHop } = this.#context
    const { job, attempt } = this.progress
    let child: ChildRun | undefined
    const exchange = new Exchange({
      job,
      requestedUrl: this.#requestedUrl,
      ask,
      part,
      settings,
      nowMs: world.nowMs,
      send: (command) => child?.send(command),
      onPhase: (phase) => child?.setPhase(phase),
      onHop: (host) => onHop(this, host),
      onAnswer: (status, answer) =>
        emit({ type: 'response', at: world.nowMs(), index: job.index, line: job.line, n: attempt, status, answer }),
    })
    this.#exchange = exchange
    const { url, headers } = exchange.request()
    const { beatMs, ca } = settings
    const end = await this.#runChild('fetch', {
      order: {
        task: {
          kind: 'fetch',
          url,
          headers,
          beatMs,
          // Also for http: a redirect may lead to https.
          ...(ca === undefined ? {} : { ca }),
        },
        descriptor: part.descriptor,
        ...(this.#fault === undefined ? {} : { fault: this.#fault }),
      },
      host: hostOf(new URL(this.#requestedUrl)),
      resumedFromBytes: part.completedBytes,
      lengthOnDisk: () => part.lengthOnDisk(),
      onMessage: (message, speaker) => {
        child = speaker
        if (message.type === 'head') exchange.onHead(message)
        if (message.type === 'beat') this.#noteProgress(part)
      },
    })
    this.#positionBytes = exchange.recordProgress()
    part.save()
    const failure = exchange.failure ?? this.#judge(end, exchange, part)
    const movedBytes = exchange.isReceiving ? this.#positionBytes - exchange.offsetBytes : 0
    this.#addRecord('fetch', end, failure, { movedBytes, resumedFromBytes: exchange.offsetBytes })
    return failure
  }

  /** The claim says how many bytes; the disk has to agree before anything else is believed. */
  #judge(end: ChildEnd, exchange: Exchange, part: PartFile): Failure | undefined {
    const { result } = end
    if (!result.ok) return this.#named(result.failure, part)
    if (exchange.unchanged !== undefined) return undefined
    if (result.claim.kind !== 'done' || !exchange.isReceiving) {
      return { kind: 'child-error', detail: 'its claim does not follow from what it was told' }
    }
    const endBytes = exchange.offsetBytes + result.claim.bytes
    const expectedBytes = exchange.sizeBytes
    if (part.completedBytes < endBytes) {
      return { kind: 'length', expectedBytes: endBytes, actualBytes: part.completedBytes }
    }
    return expectedBytes !== undefined && endBytes < expectedBytes
      ? { kind: 'truncated', expectedBytes, receivedBytes: endBytes }
      : undefined
  }

  async #verifyAndCommit(part: PartFile, finalPath: string): Promise<JobEnd> {
    const { settings, state } = this.#context
    const { checksum } = this.progress.job.options
    const exchange = this.#exchange
    const sizeBytes = exchange?.sizeBytes ?? part.completedBytes
    if (checksum !== undefined) {
      const failure = await this.#verify(part.path, sizeBytes, checksum)
      if (failure !== undefined) {
        // Bytes that fail their checksum are of no use to anybody, the next run least of all.
        if (failure.kind === 'checksum') part.begin({}, undefined, 0)
        return { ok: false, failure }
      }
    }
    const mtimeMs = settings.setMtime ? exchange?.mtimeMs : undefined
    const committed = await part.commit(sizeBytes, {
      fsync: settings.fsync,
      ...(mtimeMs === undefined ? {} : { mtimeMs }),
    })
    if (!committed.ok) return committed
    const { validator } = part
    const finished = inspectTarget(finalPath)
    if (finished.kind === 'file' && canRecognise(validator)) {
      state.remember({
        path: finalPath,
        urlKey: urlKey(this.#requestedUrl),
        validator,
        sizeBytes: finished.sizeBytes,
        mtimeMs: finished.mtimeMs,
      })
    }
    const warning = contentWarning(exchange?.facts.contentType, this.progress.job.target)
    if (warning !== undefined) this.#warnings.push(warning)
    const hasLength = exchange?.lengthBytes !== undefined || exchange?.unchanged === 'part'
    const proof: Proof =
      checksum === undefined ? (hasLength ? 'length' : 'unverified') : hasLength ? 'length+checksum' : 'checksum'
    return { ok: true, outcome: 'downloaded', proof, reason: null, sizeBytes }
  }

  async #verify(
    path: string,
    sizeBytes: number,
    { algorithm, hex: expected }: NonNullable<Job['options']['checksum']>,
  ): Promise<Failure | undefined> {
    let descriptor: number
    try {
      descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
    } catch (error) {
      return diskFailure(error, 'read', path)
    }
    try {
      const end = await this.#runChild('hash', {
        order: {
          task: { kind: 'hash', algorithms: [algorithm], sizeBytes, beatMs: this.#context.settings.beatMs },
          descriptor,
        },
        host: '',
        resumedFromBytes: 0,
        lengthOnDisk: () => sizeBytes,
        onMessage: () => {},
      })
      const failure = this.#judgeDigest(end, algorithm, expected)
      this.#addRecord('hash', end, failure, { movedBytes: 0, resumedFromBytes: 0 })
      return failure
    } finally {
      closeSync(descriptor)
    }
  }

  #judgeDigest({ result }: ChildEnd, algorithm: string, expected: string): Failure | undefined {
    if (!result.ok) return result.failure
    const actual = (result.claim.kind === 'done' ? result.claim.digests?.[algorithm] : undefined) ?? 'nothing'
    if (algorithm === 'sha-256') this.#sha256 = actual
    return actual === expected ? undefined : { kind: 'checksum', algorithm, expected, actual }
  }

  async #runChild(
    task: 'fetch' | 'hash',
    what: {
      readonly order: WorkOrder
      readonly host: string
      readonly resumedFromBytes: number
      readonly lengthOnDisk: () => number
      readonly onMessage: (message: ChildMessage, child: ChildRun) => void
    },
  ): Promise<ChildEnd & { startedAtMs: number }> {
    const { emit, world, onChild, onReaped, isolation, deadlines } = this.#context
    const { job, attempt } = this.progress
    const startedAtMs = world.nowMs()
    const place = { index: job.index, line: job.line, n: attempt }
    const announce = (pid: number | null) =>
      emit({
        type: 'attempt-started',
        at: world.nowMs(),
        ...place,
        task,
        pid,
        url: redactUrl(this.#requestedUrl),
        resumed_from: what.resumedFromBytes,
      })
    const child = new ChildRun({
      isolation,
      deadlines,
      limits: limitsOf(this.#context.settings, job.options.timeoutMs),
      order: what.order,
      host: what.host,
      lengthOnDisk: what.lengthOnDisk,
      onMessage: what.onMessage,
      onSpawned: announce,
      onSignal: (pid, signal, reason) =>
        emit({ type: 'signal-sent', at: world.nowMs(), ...place, pid, signal, reason }),
    })
    if (child.pid === undefined) announce(null)
    this.#child = child
    onChild(child)
    if (this.#stopCause !== undefined) child.stop(this.#stopCause.cause, this.#stopCause.atOnce)
    const end = await child.ended
    this.#child = undefined
    onReaped(end)
    return { ...end, startedAtMs }
  }

  #noteProgress(part: PartFile): void {
    const exchange = this.#exchange
    if (exchange?.isReceiving !== true) return
    const now = this.#context.world.monotonicMs()
    this.#positionBytes = exchange.recordProgress()
    if (now - this.#savedAtMs >= SAVE_EVERY_MS) {
      part.save()
      this.#savedAtMs = now
    }
    if (part.unsyncedBytes > 0 && (part.unsyncedBytes >= SYNC_EVERY_BYTES || now - this.#syncedAtMs >= SYNC_EVERY_MS)) {
      this.#syncedAtMs = now
      void part.sync()
    }
    const limitBytes = this.#context.settings.maxFileSizeBytes
    if (limitBytes !== undefined && this.#positionBytes > limitBytes) {
      this.#child?.stop({ kind: 'too-large', limitBytes })
    }
  }

  /** A child knows its descriptor, not the file's name. */
  #named(failure: Failure, part: PartFile): Failure {
    return failure.kind === 'disk-full' || failure.kind === 'disk-error' ? { ...failure, path: part.path } : failure
  }

  #addRecord(
    task: 'fetch' | 'hash',
    end: ChildEnd & { startedAtMs: number },
    failure: Failure | undefined,
    moved: { movedBytes: number; resumedFromBytes: number },
  ): void {
    const { world, emit } = this.#context
    const { job, attempt, waitMs } = this.progress
    const record = attemptRecord(
      {
        ...moved,
        n: attempt,
        task,
        url: this.#requestedUrl,
        startedAtMs: end.startedAtMs,
        endedAtMs: world.nowMs(),
        waitMs: task === 'fetch' ? waitMs : 0,
        isUnchanged: task === 'fetch' && this.#exchange?.unchanged === 'target',
        failure,
      },
      end,
    )
    this.#attempts.push(record)
    emit({ type: 'attempt-ended', at: world.nowMs(), index: job.index, line: job.line, attempt: record })
  }
}
