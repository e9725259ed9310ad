// One attempt at one job, whole: look at the target, open the part, have it filled, verify, commit. Knows nothing
// of other jobs, of retries or of when it may start.

import { existsSync } from 'node:fs'
import { relative } from 'node:path'
import { isAsLeft, type Look } from '../core/as-left.ts'
import type { KillCause } from '../core/attempt.ts'
import { type Content, contentWarnings, isStoredCoded } from '../core/content-warning.ts'
import type { AttemptRecord, Outcome, Proof } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'
import type { Fault } from '../core/fault.ts'
import type { Job } from '../core/job.ts'
import { redactUrl } from '../core/redact.ts'
import { codedKey, urlKey } from '../core/request.ts'
import type { Ask } from '../core/response.ts'
import { askForRange } from '../core/response.ts'
import type { Range } from '../core/segment.ts'
import { canRecognise, strongValidator } from '../core/validator.ts'
import type { ChildRun } from './child-run.ts'
import type { ResponseFacts } from './exchange.ts'
import { type Digest, type DigestOrder, digestFile } from './file-digest.ts'
import type { GiveName, Named, NamingContext } from './final-name.ts'
import { FinalName } from './final-name.ts'
import { openPart } from './open-part.ts'
import { isOneOf } from './own-files.ts'
import type { PartFile } from './part-file.ts'
import type { RunLock } from './run-lock.ts'
import type { Seat } from './seat.ts'
import type { FinishedFile } from './state-db.ts'
import type { PlainFile } from './target.ts'
import { inspectTarget } from './target.ts'
import type { TransferContext } from './transfer.ts'
import { Transfer } from './transfer.ts'

/** What all attempts of a run share. */
export interface JobRunContext extends TransferContext, NamingContext {
  readonly bootId: string | undefined
  readonly runLock: RunLock
}

/** A finished file of this job, or what stands in its place. */
interface Standing {
  readonly path: string
  readonly file: PlainFile
  /** What mpdl knows of it; undefined where it did not leave it like that, or had it from another URL. */
  readonly left: FinishedFile | undefined
  /** mpdl left another one there: its time says nothing of the server's. */
  readonly isEdited: boolean
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
  /** It is suspected of having ended others: it runs in processes of its own. */
  readonly isAlone: boolean
  readonly seat: Seat
}

export type JobEnd =
  | {
      readonly ok: true
      readonly outcome: Extract<Outcome, 'downloaded' | 'unchanged' | 'skipped'>
      readonly proof: Proof | null
      readonly reason: string | null
      readonly sizeBytes: number
      /** Relative to `--dir`: the name it has in the end. */
      readonly out: string
    }
  | { readonly ok: false; readonly failure: Failure }

export interface JobRunResult {
  readonly end: JobEnd
  /** One record a child: those that fetched, and the one that hashed where a checksum was asked. */
  readonly attempts: readonly AttemptRecord[]
  /** Undefined when no child was started. */
  readonly facts: ResponseFacts | undefined
  /** What was there when its first response began, and was kept; undefined where none did. */
  readonly resumedFromBytes: number | undefined
  /** A process ended with it and others in it. */
  readonly isSuspect: boolean
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
  readonly #name: FinalName
  #sha256: string | null = null
  #seat: Seat
  #isSeatLost = false
  /** It began with bytes of another tool. */
  #wasForeign = false

  constructor(context: JobRunContext, progress: JobProgress) {
    this.#context = context
    this.progress = progress
    this.#seat = progress.seat
    this.#name = new FinalName(context, progress.job)
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
    const isKept = !end.ok && this.#part?.isInPlace === true
    if (end.ok || end.failure.kind !== 'abandoned') await this.#part?.close()
    // Read afterwards: on a full disk the note of a new part may cost its last block.
    const keptBytes = isKept ? (this.#part?.completedBytes ?? 0) : 0
    return {
      end,
      attempts: this.#attempts,
      facts: transfer?.exchange?.facts,
      resumedFromBytes: transfer?.resumedFromBytes,
      isSuspect: transfer?.isSuspect === true || (!end.ok && end.failure.kind === 'suspect'),
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
    const { settings, hardening, bootId, runLock } = this.#context
    const { job, startOver } = this.progress
    const { place } = this.#name
    if (isOneOf(settings.ownFiles, place)) {
      return { ok: false, failure: { kind: 'name-taken', path: place, by: 'this run' } }
    }
    // Most files that are not to be touched need no part and no lock for that.
    const early = settings.existing === 'skip' ? this.#endBefore(place) : undefined
    if (early !== undefined) return early
    const adoptable = settings.adoptForeign ? this.#lookAt(this.#name.target) : undefined
    // What mpdl finished is no beginning of anything.
    const isOurs = adoptable?.left !== undefined
    const aria2Path = `${this.#name.target}.aria2`
    // Its file may have its final length and holes.
    if (settings.adoptForeign && !isOurs && existsSync(aria2Path)) {
      return { ok: false, failure: { kind: 'foreign-part', path: aria2Path } }
    }
    const adopts = !settings.adoptForeign ? 'nothing' : adoptable === undefined || isOurs ? 'part' : 'target'
    const identity = {
      job: job.id,
      version: settings.version,
      url: redactUrl(this.#requestedUrl),
      urlKey: urlKey(this.#requestedUrl),
      mirrorKeys: job.urls.map(urlKey),
      bootId,
    }
    const opened = await openPart(settings.dir, job.target, { ...identity, adopts }, hardening, runLock)
    if (!opened.ok) return opened
    const part = opened.part
    this.#part = part
    this.#wasForeign = part.isForeign
    // Another run may have finished the file before the part was ours.
    const path = this.#name.place
    const found = inspectTarget(path)
    const late = this.#endBefore(path, found)
    if (late !== undefined) return late
    const standing = this.#lookAt(path, found)
    if (startOver && part.completedBytes > 0) {
      const failure = part.restart({}, undefined)
      if (failure !== undefined) return { ok: false, failure }
    }
    if (this.#stopCause !== undefined) return { ok: false, failure: this.#stopCause.cause }

    const failure = await this.#fetch(part, this.#chooseAsk(part, standing))
    if (failure !== undefined) return { ok: false, failure }
    if (this.#transfer?.exchange?.unchanged === 'target' && standing !== undefined) {
      const kept = await this.#keep(part, standing)
      if (kept !== undefined) return kept
      const again = await this.#fetch(part, { kind: 'whole' })
      if (again !== undefined) return { ok: false, failure: again }
    }
    return await this.#verifyAndCommit(part)
  }

  /** What ends the attempt before anything is asked: a place where nothing can go, or a file that is to be left alone. */
  #endBefore(path: string, found = inspectTarget(path)): JobEnd | undefined {
    if (found.kind === 'refused') return { ok: false, failure: found.failure }
    if (found.kind === 'missing' || this.#context.settings.existing !== 'skip') return undefined
    return this.#leave(path, found, { outcome: 'skipped', reason: 'the file exists (--skip-existing)' })
  }

  #leave(
    path: string,
    { sizeBytes }: PlainFile,
    { outcome, reason }: { outcome: 'unchanged' | 'skipped'; reason: string | null },
  ): JobEnd {
    this.#name.keep(path)
    return { ok: true, outcome, proof: null, reason, sizeBytes, out: this.#outOf(path) }
  }

  #outOf(path: string): string {
    return relative(this.#context.settings.dir, path)
  }

  /** Undefined where no file is. */
  #lookAt(path: string, file = inspectTarget(path)): Standing | undefined {
    if (file.kind !== 'file') return undefined
    const left = this.#context.state.find(path)
    const isOurs = left?.target === this.#name.target && this.#isOfThisUrl(left)
    if (!isOurs) return { path, file, left: undefined, isEdited: false }
    const isEdited = !isAsLeft(left, file)
    return { path, file, left: isEdited ? undefined : left, isEdited }
  }

  #isOfThisUrl({ urlKey: key }: FinishedFile): boolean {
    const isCodedWanted = !this.#context.settings.decodes
    return key === urlKey(this.#requestedUrl) || (isCodedWanted && key === codedKey(this.#requestedUrl))
  }

  #chooseAsk(part: PartFile, standing: Standing | undefined): Ask {
    const { settings } = this.#context
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
    if (standing === undefined || settings.existing === 'force') return { kind: 'whole' }
    const { left, file, isEdited } = standing
    if (left !== undefined && canRecognise(left.validator)) {
      return { kind: 'if-changed', of: 'target', validator: left.validator }
    }
    // A server that breaks off a look may still answer a request.
    return settings.existing === 'newer' && !isEdited && this.progress.attempt === 1
      ? { kind: 'if-newer', sizeBytes: file.sizeBytes, modifiedMs: file.mtimeMs }
      : { kind: 'whole' }
  }

  /** The server says that the file is current. Undefined where it has to be fetched all the same. */
  async #keep(part: PartFile, { path, file }: Standing): Promise<JobEnd | undefined> {
    const now = inspectTarget(path)
    // Whoever edited or removed it meanwhile has made that an answer about another file.
    if (now.kind !== 'file' || now.sizeBytes !== file.sizeBytes || now.mtimeMs !== file.mtimeMs) return undefined
    const { checksum } = this.progress.job.options
    const problem = checksum === undefined ? undefined : await this.#verify(path, file.sizeBytes, checksum)
    // The list names another file than the validator does; a validator may stand for two, a checksum does not.
    if (problem?.kind === 'checksum') return undefined
    if (problem !== undefined) return { ok: false, failure: problem }
    part.discard()
    return this.#leave(path, file, { outcome: 'unchanged', reason: null })
  }

  /** Undefined when the bytes are there as announced, or nothing changed. */
  async #fetch(part: PartFile, ask: Ask): Promise<Failure | undefined> {
    const { settings } = this.#context
    const { job, attempt, mirror, waitMs, startOver, fault, isAlone } = this.progress
    const transfer = new Transfer(this.#context, {
      job,
      attempt,
      mirror,
      waitMs,
      fault,
      isAlone,
      part,
      seat: this.#seat,
      // Where the joined bytes were not the right ones, they come from one response.
      split: startOver ? 1 : (job.options.split ?? settings.split),
      onBegin: ({ contentDisposition }) => this.#noteName(part, contentDisposition),
    })
    this.#transfer = transfer
    if (this.#stopCause !== undefined) transfer.stop(this.#stopCause.cause, this.#stopCause.atOnce)
    const failure = await transfer.run(ask)
    this.#attempts.push(...transfer.records)
    this.#warnings.push(...transfer.warnings)
    this.#seat = transfer.seat
    this.#isSeatLost = transfer.isSeatLost
    if (failure !== undefined && failure.kind !== 'abandoned' && transfer.exchange?.coding !== undefined) {
      this.#dropDecoded(part)
    }
    return failure
  }

  /** Written down before the bytes: the next run may be told only that they are still current. */
  #noteName(part: PartFile, contentDisposition: string | undefined): void {
    const suggested = this.#name.suggested(contentDisposition)
    if (suggested === undefined) return
    part.name = suggested.name
    part.save()
    if (suggested.problem !== undefined) this.#warnings.push(suggested.problem)
  }

  /** They can never be gone on with, so there is nothing to keep. */
  #dropDecoded(part: PartFile): void {
    const { completedBytes } = part
    if (completedBytes === 0) return
    this.#warnings.push(`${completedBytes} bytes dropped: what comes coded is not resumed (--compressed)`)
    part.restart({}, undefined)
  }

  async #verifyAndCommit(part: PartFile): Promise<JobEnd> {
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
    const named = await this.#commit(part, sizeBytes)
    if (!named.ok) return named
    const out = this.#outOf(named.path)
    this.#warnings.push(...contentWarnings(this.#content, out))
    if (part.isForeign) {
      this.#warnings.push('continued what another tool began: nothing but the length says that it is one file')
    }
    const isAnnounced = part.sizeBytes !== undefined || exchange?.hasAnnouncedEnd === true
    const hasLength = isAnnounced || exchange?.unchanged === 'part'
    const proof: Proof =
      checksum === undefined ? (hasLength ? 'length' : 'unverified') : hasLength ? 'length+checksum' : 'checksum'
    return { ok: true, outcome: 'downloaded', proof, reason: null, sizeBytes, out }
  }

  async #commit(part: PartFile, sizeBytes: number): Promise<Named> {
    const { settings } = this.#context
    const { exchange } = this.#transfer ?? {}
    const mtimeMs = settings.setMtime ? exchange?.mtimeMs : undefined
    const giveName: GiveName = async (path, mayReplace) => {
      const committed = await part.commit(sizeBytes, {
        fsync: settings.fsync,
        path,
        ...(mtimeMs === undefined ? {} : { mtimeMs }),
        ...(mayReplace === undefined ? {} : { mayReplace }),
        onReady: (file) => this.#remember(path, file, part),
      })
      return committed.ok ? undefined : committed.failure
    }
    // Hashed once, however many files have to be compared.
    let own: Promise<Digest> | undefined
    const isSame = async (path: string) => {
      const found = inspectTarget(path)
      if (found.kind !== 'file' || found.sizeBytes !== sizeBytes) return false
      own ??= this.#hash({ path: part.path, sizeBytes, algorithm: 'sha-256' })
      const [ours, other] = [await own, await this.#hash({ path, sizeBytes, algorithm: 'sha-256' })]
      return ours.ok && other.ok && ours.hex === other.hex
    }
    const named = await this.#name.give(part.name, giveName, isSame)
    const standing = named.ok && named.isStanding ? inspectTarget(named.path) : undefined
    if (named.ok && standing?.kind === 'file') {
      await this.#remember(named.path, standing, part)
      this.#warnings.push('the same file was here already, and stays')
      part.discard()
    }
    return named
  }

  get #content(): Content {
    const { exchange } = this.#transfer ?? {}
    return { ...exchange?.facts, isDecoded: exchange?.coding !== undefined }
  }

  #remember(path: string, { sizeBytes, mtimeMs }: Look, part: PartFile): Promise<void> {
    const { exchange } = this.#transfer ?? {}
    return this.#context.state.remember({
      path,
      target: this.#name.target,
      urlKey: isStoredCoded(this.#content) ? codedKey(this.#requestedUrl) : urlKey(this.#requestedUrl),
      // What was decoded is not joined, so its part has none.
      validator: exchange?.validator ?? part.validator,
      sizeBytes,
      mtimeMs,
    })
  }

  async #verify(
    path: string,
    sizeBytes: number,
    { algorithm, hex: expectedHex }: NonNullable<Job['options']['checksum']>,
  ): Promise<Failure | undefined> {
    const digest = await this.#hash({ path, sizeBytes, algorithm, expectedHex })
    if (algorithm === 'sha-256') this.#sha256 = digest.hex ?? null
    return digest.ok ? undefined : digest.failure
  }

  async #hash(order: Omit<DigestOrder, 'job' | 'attempt' | 'isAlone'>): Promise<Digest> {
    const { job, attempt, isAlone } = this.progress
    const digest = await digestFile(this.#context, { job, attempt, isAlone, ...order }, (child) => {
      this.#hashing = child
      if (this.#stopCause !== undefined) child.stop(this.#stopCause.cause, this.#stopCause.atOnce)
    })
    this.#hashing = undefined
    if (digest.record !== undefined) this.#attempts.push(digest.record)
    return digest
  }
}
