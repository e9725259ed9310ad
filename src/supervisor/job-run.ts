// One attempt at one job, whole: look at the target, open the part, let a child fetch, answer its questions,
// verify, commit. Knows nothing of other jobs, of retries or of when it may start.

import { join } from 'node:path'
import type { AttemptLimits, KillCause } from '../core/attempt.ts'
import type { AttemptRecord, Outcome, Proof, RunEvent } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'
import { describe } from '../core/failure.ts'
import type { Fault } from '../core/fault.ts'
import { fingerprint } from '../core/hash.ts'
import type { Job } from '../core/job.ts'
import { printable } from '../core/printable.ts'
import { redactUrl } from '../core/redact.ts'
import type { Credentials } from '../core/redirect.ts'
import { decideHop, headersFor, hostOf } from '../core/redirect.ts'
import type { Ask } from '../core/response.ts'
import { askHeaders, decideResponse } from '../core/response.ts'
import type { Headers, Validator } from '../core/validator.ts'
import { header, strongValidator } from '../core/validator.ts'
import type { Hardening } from '../isolation/hardening.ts'
import type { Isolation } from '../isolation/isolation.ts'
import type { ChildMessage } from '../protocol/message.ts'
import type { ChildEnd } from './child-run.ts'
import { ChildRun } from './child-run.ts'
import type { Deadlines } from './deadlines.ts'
import { diskFailure } from './disk-failure.ts'
import { freeSpace } from './disk-space.ts'
import type { PartFile } from './part-file.ts'
import { inspectTarget, openPart } from './part-file.ts'
import type { Settings } from './settings.ts'
import { BOOT_MS, LINGER_MS, MAX_MESSAGES_PER_SECOND, REAP_MS } from './settings.ts'
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
  mirror: number
  attempt: number
  waitMs: number
  startOver: boolean
}

/** Facts of the last response, for the report. */
export interface ResponseFacts {
  urlEffective: string | undefined
  status: number | undefined
  etag: string | undefined
  contentType: string | undefined
  remoteAddress: string | undefined
  redirects: number
  nameLookupMs: number | undefined
  connectMs: number | undefined
  startTransferMs: number | undefined
}

export type JobEnd =
  | { readonly ok: true; readonly outcome: Extract<Outcome, 'downloaded' | 'unchanged' | 'skipped'>; readonly proof: Proof | null; readonly reason: string | null; readonly sizeBytes: number | null }
  | { readonly ok: false; readonly failure: Failure }

export interface JobRunResult {
  readonly end: JobEnd
  /** One record a child: the fetch, and the checksum where one was asked. */
  readonly attempts: readonly AttemptRecord[]
  readonly facts: ResponseFacts
  readonly resumedFromBytes: number
  readonly keptBytes: number
  readonly sha256: string | null
  readonly warnings: readonly string[]
  /** A child could not be reaped: its slot, its part and its lock stay taken. */
  readonly isAbandoned: boolean
}

const SYNC_EVERY_BYTES = 256 * 2 ** 20
const SYNC_EVERY_MS = 30_000
/** Kinds of file that are never HTML; a page in their place is a login form or an error in disguise. */
const NEVER_HTML = /\.(pdf|zip|gz|tgz|xz|zst|bz2|7z|iso|jpe?g|png|gif|webp|mp[34]|mkv|webm|docx?|xlsx?|pptx?|epub|csv|exe|dmg|deb|rpm|jar)$/i

export class JobRun {
  readonly progress: JobProgress
  readonly startedAtMs: number
  readonly #context: JobRunContext
  readonly #fault: Fault | undefined
  readonly #facts: ResponseFacts = {
    urlEffective: undefined,
    status: undefined,
    etag: undefined,
    contentType: undefined,
    remoteAddress: undefined,
    redirects: 0,
    nameLookupMs: undefined,
    connectMs: undefined,
    startTransferMs: undefined,
  }
  readonly #warnings: string[] = []
  readonly #attempts: AttemptRecord[] = []
  #child: ChildRun | undefined
  #part: PartFile | undefined
  #stopCause: { cause: KillCause; atOnce: boolean } | undefined
  #url: string
  #ask: Ask = { kind: 'whole' }
  #askedWholeBecause: string | undefined
  #sizeBytes: number | undefined
  #lengthBytes: number | undefined
  #offsetBytes = 0
  #resumedFromBytes = 0
  #mtimeMs: number | undefined
  #positionBytes = 0
  #savedAtMs = 0
  #syncedAtMs: number
  #failure: Failure | undefined
  #unchanged: 'part' | 'target' | undefined
  #heldHop: (() => void) | undefined
  #sha256: string | null = null

  constructor(context: JobRunContext, progress: JobProgress, fault: Fault | undefined) {
    this.#context = context
    this.progress = progress
    this.#fault = fault
    this.#url = this.#requestedUrl
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
    return this.#sizeBytes
  }

  /** Ends the attempt's child, now or as soon as there is one. */
  stop(cause: KillCause, atOnce = false): void {
    this.#stopCause ??= { cause, atOnce }
    this.#child?.stop(cause, atOnce)
  }

  /** A held child's host has room now. */
  resume(): void {
    const go = this.#heldHop
    this.#heldHop = undefined
    go?.()
  }

  /** Each second: look at the child, write down how far it came, keep an eye on the disk. */
  tick(): void {
    this.#child?.observe()
    const part = this.#part
    if (part === undefined || this.#child?.phase !== 'receiving') return
    const now = this.#context.world.monotonicMs()
    this.#record(part)
    if (now - this.#savedAtMs >= 1000) {
      part.save()
      this.#savedAtMs = now
    }
    if (part.unsyncedBytes > 0 && (part.unsyncedBytes >= SYNC_EVERY_BYTES || now - this.#syncedAtMs >= SYNC_EVERY_MS)) {
      this.#syncedAtMs = now
      void part.sync()
    }
    const { maxFileSizeBytes } = this.#context.settings
    if (maxFileSizeBytes !== undefined && part.lengthOnDisk() > maxFileSizeBytes) {
      this.#child.stop({ kind: 'too-large', limitBytes: maxFileSizeBytes })
    }
    const full = this.#diskFullFor(0)
    if (full !== undefined) this.#child.stop(full)
  }

  async run(): Promise<JobRunResult> {
    const end = await this.#attemptAll()
    const keptBytes = end.ok ? 0 : (this.#part?.completedBytes ?? 0)
    const isAbandoned = !end.ok && end.failure.kind === 'abandoned'
    if (!isAbandoned) this.#part?.close()
    return {
      end,
      attempts: this.#attempts,
      facts: this.#facts,
      resumedFromBytes: this.#resumedFromBytes,
      keptBytes,
      sha256: this.#sha256,
      warnings: this.#warnings,
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
      return {
        ok: true,
        outcome: 'skipped',
        proof: null,
        reason: 'the file exists (--skip-existing)',
        sizeBytes: target.sizeBytes,
      }
    }
    const opened = await openPart(
      settings.dir,
      job.target,
      {
        job: job.id,
        version: settings.version,
        url: redactUrl(this.#requestedUrl),
        urlKey: urlKey(this.#requestedUrl),
        mirrorKeys: job.urls.map(urlKey),
        bootId,
      },
      hardening,
    )
    if (!opened.ok) return opened
    const part = opened.part
    this.#part = part
    if (startOver && part.completedBytes > 0) {
      const failure = part.begin({}, undefined, 0)
      if (failure !== undefined) return { ok: false, failure }
    }
    this.#ask = this.#chooseAsk(part, target.kind === 'file' ? { path: finalPath, ...target } : undefined)
    this.#positionBytes = part.completedBytes
    if (this.#stopCause !== undefined) return { ok: false, failure: this.#stopCause.cause }

    const fetched = await this.#fetch(part)
    if (fetched !== undefined) return { ok: false, failure: fetched }
    if (this.#unchanged === 'target') {
      part.discard()
      return {
        ok: true,
        outcome: 'unchanged',
        proof: null,
        reason: null,
        sizeBytes: target.kind === 'file' ? target.sizeBytes : null,
      }
    }
    return await this.#verifyAndCommit(part, finalPath)
  }

  #chooseAsk(part: PartFile, target: { path: string; sizeBytes: number; mtimeMs: number } | undefined): Ask {
    if (part.isComplete && (part.validator.etag ?? part.validator.lastModified) !== undefined) {
      return { kind: 'if-changed', of: 'part', validator: part.validator }
    }
    if (part.completedBytes > 0 && strongValidator(part.validator) !== undefined) {
      const { sizeBytes } = part
      return {
        kind: 'rest',
        offsetBytes: part.completedBytes,
        validator: part.validator,
        ...(sizeBytes === undefined ? {} : { sizeBytes }),
      }
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

  /** Undefined when the child did what it was told; the facts are in the fields. */
  async #fetch(part: PartFile): Promise<Failure | undefined> {
    const { settings, isolation, deadlines } = this.#context
    const first = this.#request(this.#requestedUrl)
    const startLength = part.completedBytes
    const end = await this.#runChild('fetch', part, {
      isolation,
      deadlines,
      order: {
        task: {
          kind: 'fetch',
          ...first,
          beatMs: settings.beatMs,
          ...(settings.ca !== undefined && first.url.startsWith('https:') ? { ca: settings.ca } : {}),
        },
        descriptor: part.descriptor,
        ...(this.#fault === undefined ? {} : { fault: this.#fault }),
      },
      limits: this.#limits(),
      host: hostOf(new URL(this.#requestedUrl)),
      lengthOnDisk: () => part.lengthOnDisk(),
      onMessage: (message, child) => this.#onMessage(message, child, part),
    })
    if (this.#lengthBytes !== undefined || this.#sizeBytes !== undefined || this.#offsetBytes > 0) this.#record(part)
    else if (this.#isReceivingUnknown) this.#record(part)
    part.save()
    const { result } = end
    const failure = this.#failure ?? (result.ok ? undefined : this.#named(result.failure))
    this.#addRecord('fetch', end, failure, {
      bytes: Math.max(0, this.#positionBytes - (this.#resumedFromBytes > 0 ? this.#resumedFromBytes : 0)),
      startLength,
    })
    if (failure !== undefined) return failure
    if (this.#unchanged !== undefined) return undefined
    if (!result.ok || result.claim.kind !== 'done') throw new Error('a child was refused without a failure')
    // The claim says how many bytes; the disk has to agree before anything else is believed.
    const endBytes = this.#offsetBytes + result.claim.bytes
    if (part.lengthOnDisk() < endBytes) {
      return { kind: 'length', expectedBytes: endBytes, actualBytes: part.lengthOnDisk() }
    }
    if (this.#sizeBytes !== undefined && endBytes < this.#sizeBytes) {
      return { kind: 'truncated', expectedBytes: this.#sizeBytes, receivedBytes: endBytes }
    }
    this.#sizeBytes ??= endBytes
    return undefined
  }

  get #isReceivingUnknown(): boolean {
    return this.#facts.status === 200 || this.#facts.status === 203
  }

  async #verifyAndCommit(part: PartFile, finalPath: string): Promise<JobEnd> {
    const { settings, state } = this.#context
    const { job } = this.progress
    const sizeBytes = this.#sizeBytes ?? part.completedBytes
    const { checksum } = job.options
    if (checksum !== undefined) {
      const failure = await this.#verify(part, sizeBytes, checksum)
      if (failure !== undefined) {
        // Bytes that fail their checksum are of no use to anybody, the next run least of all.
        if (failure.kind === 'checksum') part.begin({}, undefined, 0)
        return { ok: false, failure }
      }
    }
    const committed = await part.commit(sizeBytes, {
      fsync: settings.fsync,
      ...(settings.setMtime && this.#mtimeMs !== undefined ? { mtimeMs: this.#mtimeMs } : {}),
    })
    if (!committed.ok) return committed
    const { validator } = part
    const finished = inspectTarget(finalPath)
    if (finished.kind === 'file' && (validator.etag ?? validator.lastModified) !== undefined) {
      const { sizeBytes: size, mtimeMs } = finished
      state.remember({ path: finalPath, urlKey: urlKey(this.#requestedUrl), validator, sizeBytes: size, mtimeMs })
    }
    this.#warnAboutContent()
    const hasLength = this.#lengthBytes !== undefined || this.#unchanged === 'part'
    const proof: Proof =
      checksum === undefined ? (hasLength ? 'length' : 'unverified') : hasLength ? 'length+checksum' : 'checksum'
    return { ok: true, outcome: 'downloaded', proof, reason: null, sizeBytes }
  }

  async #verify(
    part: PartFile,
    sizeBytes: number,
    checksum: NonNullable<Job['options']['checksum']>,
  ): Promise<Failure | undefined> {
    const { isolation, deadlines, settings } = this.#context
    const { openSync, closeSync, constants } = await import('node:fs')
    let descriptor: number
    try {
      descriptor = openSync(part.path, constants.O_RDONLY | constants.O_NOFOLLOW)
    } catch (error) {
      return diskFailure(error, 'read', part.path)
    }
    try {
      const algorithms = [...new Set([checksum.algorithm, 'sha-256'])]
      const end = await this.#runChild('hash', part, {
        isolation,
        deadlines,
        order: { task: { kind: 'hash', algorithms, sizeBytes, beatMs: settings.beatMs }, descriptor },
        limits: this.#limits(),
        host: '',
        lengthOnDisk: () => sizeBytes,
        onMessage: () => {},
      })
      const { result } = end
      let failure: Failure | undefined = result.ok ? undefined : result.failure
      if (result.ok) {
        const digests = result.claim.kind === 'done' ? result.claim.digests : undefined
        const actual = digests?.[checksum.algorithm] ?? 'nothing'
        this.#sha256 = digests?.['sha-256'] ?? null
        if (actual !== checksum.hex) {
          failure = { kind: 'checksum', algorithm: checksum.algorithm, expected: checksum.hex, actual }
        }
      }
      this.#addRecord('hash', end, failure, { bytes: 0, startLength: 0 })
      return failure
    } finally {
      closeSync(descriptor)
    }
  }

  async #runChild(
    task: 'fetch' | 'hash',
    part: PartFile,
    options: Omit<ConstructorParameters<typeof ChildRun>[0], 'onSpawned' | 'onSignal'>,
  ): Promise<ChildEnd & { startedAtMs: number }> {
    const { emit, world, onChild, onReaped } = this.#context
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
        resumed_from: task === 'fetch' ? part.completedBytes : 0,
      })
    const child = new ChildRun({
      ...options,
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

  #onMessage(message: ChildMessage, child: ChildRun, part: PartFile): void {
    if (message.type === 'beat' || message.type === 'done') this.#record(part)
    if (message.type === 'head') this.#onHead(message, child, part)
  }

  #onHead(message: Extract<ChildMessage, { type: 'head' }>, child: ChildRun, part: PartFile): void {
    const { settings, world, emit } = this.#context
    const { job, attempt } = this.progress
    const { status, headers, timings, remoteAddress } = message
    const facts = this.#facts
    facts.urlEffective = redactUrl(this.#url)
    facts.status = status
    facts.etag = header(headers, 'etag')
    facts.contentType = header(headers, 'content-type')
    facts.remoteAddress = remoteAddress ?? undefined
    facts.nameLookupMs = timings.nameLookupMs
    facts.connectMs = timings.connectMs
    facts.startTransferMs = timings.startTransferMs
    const { maxFileSizeBytes } = settings
    const answer = decideResponse(
      this.#ask,
      { status, headers },
      { nowMs: world.nowMs(), ...(maxFileSizeBytes === undefined ? {} : { maxFileSizeBytes }) },
    )
    const say = (what: string) =>
      emit({ type: 'response', at: world.nowMs(), index: job.index, line: job.line, n: attempt, status, answer: what })
    const refuse = (failure: Failure | undefined) => {
      this.#failure = failure
      child.send({ type: 'refuse' })
    }
    switch (answer.do) {
      case 'redirect':
        return this.#onRedirect(answer.location, child, say, refuse)
      case 'ask-whole':
        // At most once: a request for the whole cannot be answered like this again.
        say(`asked for the whole file: ${answer.reason}`)
        this.#askedWholeBecause = answer.reason
        this.#ask = { kind: 'whole' }
        return this.#go(this.#url, child)
      case 'unchanged':
        say(answer.of === 'part' ? 'the part is whole and current' : 'unchanged')
        this.#unchanged = answer.of
        if (answer.of === 'part') this.#sizeBytes = part.sizeBytes
        return refuse(undefined)
      case 'fail':
        say(describe(answer.failure))
        return refuse(answer.failure)
      case 'receive':
        return this.#onReceive(answer, headers, child, part, say, refuse)
    }
  }

  #onReceive(
    answer: { offsetBytes: number; lengthBytes?: number; sizeBytes?: number; validator: Validator },
    headers: Headers,
    child: ChildRun,
    part: PartFile,
    say: (what: string) => void,
    refuse: (failure: Failure) => void,
  ): void {
    const full = this.#diskFullFor(answer.lengthBytes ?? 0)
    if (full !== undefined) return refuse(full)
    if (answer.offsetBytes === 0 && part.completedBytes > 0) {
      const why = this.#askedWholeBecause ?? 'the server sent the whole file'
      this.#warnings.push(`started over, ${part.completedBytes} bytes dropped: ${why}`)
    }
    const failure = part.begin(answer.validator, answer.sizeBytes, answer.offsetBytes)
    if (failure !== undefined) return refuse(failure)
    this.#sizeBytes = answer.sizeBytes
    this.#lengthBytes = answer.lengthBytes
    this.#offsetBytes = answer.offsetBytes
    this.#resumedFromBytes = answer.offsetBytes
    this.#positionBytes = answer.offsetBytes
    const modifiedMs = Date.parse(header(headers, 'last-modified') ?? '')
    this.#mtimeMs = Number.isNaN(modifiedMs) ? undefined : modifiedMs
    const length = answer.lengthBytes === undefined ? 'unknown length' : `${answer.lengthBytes} bytes`
    say(`receive ${length} from ${answer.offsetBytes}`)
    this.#savedAtMs = this.#context.world.monotonicMs()
    child.setPhase('receiving')
    child.send({ type: 'receive', offsetBytes: answer.offsetBytes, lengthBytes: answer.lengthBytes ?? null })
  }

  #onRedirect(
    location: string,
    child: ChildRun,
    say: (what: string) => void,
    refuse: (failure: Failure) => void,
  ): void {
    const hop = decideHop(this.#url, location, this.#facts.redirects, this.#context.settings.maxRedirects)
    if (hop.do === 'refuse') {
      say(describe(hop.failure))
      return refuse(hop.failure)
    }
    this.#facts.redirects++
    say(`redirected to ${redactUrl(hop.url)}`)
    child.setPhase('held')
    const go = () => this.#go(hop.url, child)
    if (this.#context.onHop(this, hop.host)) go()
    else this.#heldHop = go
  }

  #go(url: string, child: ChildRun): void {
    this.#url = url
    child.send({ type: 'go', ...this.#request(url) })
  }

  #request(url: string): { url: string; headers: [string, string][] } {
    const { settings } = this.#context
    const bare = new URL(url)
    const credentials = credentialsOf(this.progress.job, this.#requestedUrl, settings.headers)
    bare.username = ''
    bare.password = ''
    bare.hash = ''
    return {
      url: bare.href,
      headers: mergeHeaders(
        [['User-Agent', settings.userAgent], ['Accept', '*/*']],
        headersFor(bare.href, credentials),
        askHeaders(this.#ask),
      ),
    }
  }

  #record(part: PartFile): void {
    const length = part.lengthOnDisk()
    if (length <= this.#offsetBytes) return
    const end = this.#sizeBytes === undefined ? length : Math.min(length, this.#sizeBytes)
    part.record(this.#offsetBytes, end)
    this.#positionBytes = end
  }

  #limits(): AttemptLimits {
    const { settings } = this.#context
    const timeoutMs = this.progress.job.options.timeoutMs ?? settings.timeoutMs
    return {
      bootMs: BOOT_MS,
      connectMs: settings.connectTimeoutMs,
      headersMs: timeoutMs * 5,
      stallMs: timeoutMs,
      hangMs: settings.hangTimeoutMs,
      lingerMs: LINGER_MS,
      graceMs: settings.killAfterMs,
      reapMs: REAP_MS,
      maxMemoryBytes: settings.maxMemoryBytes,
      maxMessagesPerSecond: MAX_MESSAGES_PER_SECOND,
      minBytesPerSecond: settings.minBytesPerSecond,
      speedWindowMs: settings.speedWindowMs,
    }
  }

  #diskFullFor(neededBytes: number): Extract<Failure, { kind: 'disk-full' }> | undefined {
    const { settings } = this.#context
    const space = freeSpace(settings.dir)
    if (space === undefined) return undefined
    const reserve = settings.minDiskFreeBytes ?? Math.min(2 ** 30, Math.floor(space.totalBytes / 20))
    return space.freeBytes - neededBytes < reserve
      ? { kind: 'disk-full', path: settings.dir, freeBytes: space.freeBytes, neededBytes: neededBytes + reserve }
      : undefined
  }

  /** A child knows its descriptor, not the file's name. */
  #named(failure: Failure): Failure {
    return (failure.kind === 'disk-full' || failure.kind === 'disk-error') && this.#part !== undefined
      ? { ...failure, path: this.#part.path }
      : failure
  }

  #warnAboutContent(): void {
    const { contentType } = this.#facts
    if (contentType?.toLowerCase().startsWith('text/html') === true && NEVER_HTML.test(this.progress.job.target)) {
      this.#warnings.push('the server sent HTML, which is hardly what the name promises')
    }
  }

  #addRecord(
    task: 'fetch' | 'hash',
    end: ChildEnd & { startedAtMs: number },
    failure: Failure | undefined,
    moved: { bytes: number; startLength: number },
  ): void {
    const { world, emit } = this.#context
    const { job, attempt, waitMs } = this.progress
    const record: AttemptRecord = {
      n: attempt,
      task,
      pid: end.pid ?? null,
      url: redactUrl(this.#requestedUrl),
      started: end.startedAtMs,
      ended: world.nowMs(),
      exit_code: end.exitCode ?? null,
      signal: end.signal ?? null,
      kill_reason: end.killReason ?? null,
      signal_sent: end.signalSent ?? null,
      max_rss: end.maxResidentBytes ?? null,
      bytes: moved.bytes,
      resumed_from: task === 'fetch' ? this.#resumedFromBytes : 0,
      wait_ms: task === 'fetch' ? waitMs : 0,
      result: failure !== undefined ? 'failed' : this.#unchanged === 'target' ? 'unchanged' : 'done',
      failure: failure ?? null,
      lingered: end.result.lingered,
      counted: true,
      stderr: end.lastWords === '' ? null : printable(end.lastWords.slice(-500)),
    }
    this.#attempts.push(record)
    emit({ type: 'attempt-ended', at: world.nowMs(), index: job.index, line: job.line, attempt: record })
  }
}

/** URLs that differ only in query or credentials name the same file: tokens rotate. */
function urlKey(url: string): string {
  const { origin, pathname } = new URL(url)
  return fingerprint(origin + pathname)
}

/** What the caller wants sent, bound to the origin of the URL it was given for. */
function credentialsOf(job: Job, requestedUrl: string, runHeaders: Headers): Credentials {
  const url = new URL(requestedUrl)
  const user = job.options.user ?? decodeURIComponent(url.username)
  const password = job.options.password ?? decodeURIComponent(url.password)
  const authorization: Headers =
    user === '' && password === ''
      ? []
      : [['Authorization', `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`]]
  return { origin: url.origin, headers: mergeHeaders(authorization, runHeaders, job.options.headers ?? []) }
}

/** Later lists replace the same names of earlier ones. */
function mergeHeaders(...lists: Headers[]): [string, string][] {
  const merged: [string, string][] = []
  for (const list of lists) {
    const names = new Set(list.map(([name]) => name.toLowerCase()))
    const kept = merged.filter(([name]) => !names.has(name.toLowerCase()))
    merged.length = 0
    merged.push(...kept, ...list.map(([name, value]): [string, string] => [name, value]))
  }
  return merged
}
