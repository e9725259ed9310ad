// One attempt at one job, whole: look at the target, open the part, have it filled, verify, commit. Knows nothing
// of other jobs, of retries or of when it may start.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { KillCause } from '../core/attempt.ts'
import { contentWarning } from '../core/content-warning.ts'
import type { AttemptRecord, Outcome, Proof } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'
import type { Fault } from '../core/fault.ts'
import type { Job } from '../core/job.ts'
import { redactUrl } from '../core/redact.ts'
import { urlKey } from '../core/request.ts'
import type { Ask } from '../core/response.ts'
import { askForRange } from '../core/response.ts'
import type { Range } from '../core/segment.ts'
import { canRecognise, strongValidator } from '../core/validator.ts'
import type { ChildRun } from './child-run.ts'
import type { ResponseFacts } from './exchange.ts'
import { digestFile } from './file-digest.ts'
import { openPart } from './open-part.ts'
import type { PartFile } from './part-file.ts'
import type { Seat } from './seat.ts'
import type { StateDb } from './state-db.ts'
import { inspectTarget } from './target.ts'
import type { TransferContext } from './transfer.ts'
import { Transfer } from './transfer.ts'

/** What all attempts of a run share. */
export interface JobRunContext extends TransferContext {
  readonly state: StateDb
  readonly bootId: string | undefined
}

/** A finished file that stands where this one will go. */
interface KnownTarget {
  readonly path: string
  readonly sizeBytes: number
  readonly mtimeMs: number
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
  /** A failure to rehearse. */
  readonly fault: Fault | undefined
  readonly seat: Seat
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
  /** One record a child: those that fetched, and the one that hashed where a checksum was asked. */
  readonly attempts: readonly AttemptRecord[]
  /** Undefined when no child was started. */
  readonly facts: ResponseFacts | undefined
  readonly resumedFromBytes: number
  /** The bytes are of more than one response. */
  readonly isJoined: boolean
  readonly keptBytes: number
  readonly sha256: string | null
  readonly warnings: readonly string[]
  /** The one that is left; those of further children were given back before. */
  readonly seat: Seat
  /** Its child could not be reaped and keeps it, as it keeps the part and its lock. */
  readonly isSeatLost: boolean
}

export class JobRun {
  readonly progress: JobProgress
  readonly startedAtMs: number
  readonly #context: JobRunContext
  readonly #warnings: string[] = []
  readonly #attempts: AttemptRecord[] = []
  #part: PartFile | undefined
  #transfer: Transfer | undefined
  #hashing: ChildRun | undefined
  #stopCause: { cause: KillCause; atOnce: boolean } | undefined
  #sha256: string | null = null
  #seat: Seat
  #isSeatLost = false
  /** It began with bytes of another tool. */
  #wasForeign = false

  constructor(context: JobRunContext, progress: JobProgress) {
    this.#context = context
    this.progress = progress
    this.#seat = progress.seat
    this.startedAtMs = context.world.nowMs()
  }

  /** Those at work now. */
  get children(): readonly ChildRun[] {
    return this.#hashing === undefined ? (this.#transfer?.children ?? []) : [this.#hashing]
  }

  /** Which bytes of the file are there now. */
  get ranges(): readonly Range[] {
    return this.#part?.completed ?? []
  }

  get sizeBytes(): number | undefined {
    return this.#part?.sizeBytes
  }

  /** While it may take further children. */
  get transfer(): Transfer | undefined {
    return this.#hashing === undefined ? this.#transfer : undefined
  }

  /** Ends the attempt's children, now or as soon as there are any. */
  stop(cause: KillCause, atOnce = false): void {
    this.#stopCause ??= { cause, atOnce }
    this.#transfer?.stop(cause, atOnce)
    this.#hashing?.stop(cause, atOnce)
  }

  /** Each second. */
  tick(): void {
    this.#transfer?.tick()
    this.#hashing?.observe()
  }

  async run(): Promise<JobRunResult> {
    const end = await this.#attemptAll()
    const transfer = this.#transfer
    const keptBytes = end.ok || this.#part?.isInPlace !== true ? 0 : this.#part.completedBytes
    if (end.ok || end.failure.kind !== 'abandoned') this.#part?.close()
    return {
      end,
      attempts: this.#attempts,
      facts: transfer?.exchange?.facts,
      resumedFromBytes: transfer?.resumedFromBytes ?? 0,
      isJoined: this.#wasForeign || transfer?.isJoined === true,
      keptBytes,
      sha256: this.#sha256,
      warnings: this.#warnings,
      seat: this.#seat,
      isSeatLost: this.#isSeatLost,
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
    const known = target.kind === 'file' ? { path: finalPath, ...target } : undefined
    const isOurs = known !== undefined && this.#isAsWeLeftIt(known)
    const aria2Path = `${finalPath}.aria2`
    // Its file may have its final length and holes.
    if (settings.adoptForeign && !isOurs && existsSync(aria2Path)) {
      return { ok: false, failure: { kind: 'foreign-part', path: aria2Path } }
    }
    const adopts = !settings.adoptForeign ? 'nothing' : known === undefined || isOurs ? 'part' : 'target'
    const opened = await openPart(settings.dir, job.target, { ...identity, adopts }, hardening)
    if (!opened.ok) return opened
    const part = opened.part
    this.#part = part
    this.#wasForeign = part.isForeign
    if (startOver && part.completedBytes > 0) {
      const failure = part.restart({}, undefined)
      if (failure !== undefined) return { ok: false, failure }
    }
    if (this.#stopCause !== undefined) return { ok: false, failure: this.#stopCause.cause }

    const failure = await this.#fetch(part, this.#chooseAsk(part, isOurs ? known : undefined))
    if (failure !== undefined) return { ok: false, failure }
    if (this.#transfer?.exchange?.unchanged === 'target' && known !== undefined) {
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

  #chooseAsk(part: PartFile, target: KnownTarget | undefined): Ask {
    const { settings, state } = this.#context
    if (part.isComplete && canRecognise(part.validator)) {
      return { kind: 'if-changed', of: 'part', validator: part.validator }
    }
    const { firstMissing } = part
    if (part.completedBytes > 0 && firstMissing !== undefined) {
      if (strongValidator(part.validator) !== undefined) return askForRange(firstMissing, part)
      if (part.isForeign && settings.adoptForeign) {
        return { kind: 'continue', offsetBytes: firstMissing[0], writtenAtMs: part.foundModifiedMs }
      }
    }
    const known = target === undefined || settings.existing === 'force' ? undefined : state.find(target.path)
    return known !== undefined && canRecognise(known.validator)
      ? { kind: 'if-changed', of: 'target', validator: known.validator }
      : { kind: 'whole' }
  }

  /** Only a file that is as mpdl left it may stay: an edited one is fetched anew. */
  #isAsWeLeftIt(target: KnownTarget): boolean {
    const known = this.#context.state.find(target.path)
    return (
      known !== undefined &&
      known.urlKey === urlKey(this.#requestedUrl) &&
      known.sizeBytes === target.sizeBytes &&
      Math.abs(known.mtimeMs - target.mtimeMs) < 1
    )
  }

  /** Undefined when the bytes are there as announced, or nothing changed. */
  async #fetch(part: PartFile, ask: Ask): Promise<Failure | undefined> {
    const { settings } = this.#context
    const { job, attempt, mirror, waitMs, startOver, fault } = this.progress
    const transfer = new Transfer(this.#context, {
      job,
      attempt,
      mirror,
      waitMs,
      fault,
      part,
      seat: this.#seat,
      // Where the joined bytes were not the right ones, they come from one response.
      split: startOver ? 1 : (job.options.split ?? settings.split),
    })
    this.#transfer = transfer
    if (this.#stopCause !== undefined) transfer.stop(this.#stopCause.cause, this.#stopCause.atOnce)
    const failure = await transfer.run(ask)
    this.#attempts.push(...transfer.records)
    this.#warnings.push(...transfer.warnings)
    this.#seat = transfer.seat
    this.#isSeatLost = transfer.isSeatLost
    return failure
  }

  async #verifyAndCommit(part: PartFile, finalPath: string): Promise<JobEnd> {
    const { settings, state } = this.#context
    const { checksum } = this.progress.job.options
    const exchange = this.#transfer?.exchange
    const sizeBytes = part.sizeBytes ?? part.completedBytes
    if (checksum !== undefined) {
      const failure = await this.#verify(part.path, sizeBytes, checksum)
      if (failure !== undefined) {
        // Bytes that fail their checksum are of no use to anybody, the next run least of all.
        if (failure.kind === 'checksum') part.restart({}, undefined)
        return { ok: false, failure }
      }
    }
    const mtimeMs = settings.setMtime ? exchange?.mtimeMs : undefined
    const committed = await part.commit(sizeBytes, {
      fsync: settings.fsync,
      ...(mtimeMs === undefined ? {} : { mtimeMs }),
      onReady: (file) =>
        state.remember({ ...file, path: finalPath, urlKey: urlKey(this.#requestedUrl), validator: part.validator }),
    })
    if (!committed.ok) return committed
    const warning = contentWarning(exchange?.facts.contentType, this.progress.job.target)
    if (warning !== undefined) this.#warnings.push(warning)
    if (part.isForeign) {
      this.#warnings.push('continued what another tool began: nothing but the length says that it is one file')
    }
    const hasLength = part.sizeBytes !== undefined || exchange?.unchanged === 'part'
    const proof: Proof =
      checksum === undefined ? (hasLength ? 'length' : 'unverified') : hasLength ? 'length+checksum' : 'checksum'
    return { ok: true, outcome: 'downloaded', proof, reason: null, sizeBytes }
  }

  async #verify(
    path: string,
    sizeBytes: number,
    { algorithm, hex: expectedHex }: NonNullable<Job['options']['checksum']>,
  ): Promise<Failure | undefined> {
    const { job, attempt } = this.progress
    const order = { job, attempt, path, sizeBytes, algorithm, expectedHex }
    const digest = await digestFile(this.#context, order, (child) => {
      this.#hashing = child
      if (this.#stopCause !== undefined) child.stop(this.#stopCause.cause, this.#stopCause.atOnce)
    })
    this.#hashing = undefined
    if (digest.record !== undefined) this.#attempts.push(digest.record)
    if (algorithm === 'sha-256') this.#sha256 = digest.hex ?? null
    return digest.ok ? undefined : digest.failure
  }
}
