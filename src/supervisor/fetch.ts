// One child that is sent for bytes of one file: its conversation, how far it came, what its end means. Knows nothing of
// the others that may work on the same file.

import type { KillCause } from '../core/attempt.ts'
import type { AttemptRecord, ByteRange } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'
import type { Fault } from '../core/fault.ts'
import type { Job } from '../core/job.ts'
import { routeOf } from '../core/proxy.ts'
import type { Ask } from '../core/response.ts'
import type { Range } from '../core/segment.ts'
import { hostKey } from '../core/url-list.ts'
import type { ChildMessage, Request } from '../protocol/message.ts'
import type { Authenticator } from './authenticator.ts'
import { SILENT_LOGIN } from './authenticator.ts'
import type { ChildEnd, ChildRun } from './child-run.ts'
import type { CookieJar } from './cookie-jar.ts'
import type { Fit } from './exchange.ts'
import { Exchange } from './exchange.ts'
import type { JobChildContext } from './job-child.ts'
import { JobChild } from './job-child.ts'
import type { PartFile } from './part-file.ts'
import type { Seat } from './seat.ts'
import type { Settings } from './settings.ts'
import { limitsOf } from './settings.ts'

export interface FetchContext extends JobChildContext {
  readonly settings: Settings
  readonly authenticator: Authenticator
  /** Undefined where cookies are not kept. */
  readonly cookies: CookieJar | undefined
}

/** What is asked of one child. */
export interface Errand {
  readonly id: number
  readonly job: Job
  readonly attempt: number
  /** Index into `job.urls`. */
  readonly mirror: number
  readonly ask: Ask
  /** The only one at work on the file: it may begin it anew. */
  readonly isSole: boolean
  readonly seat: Seat
  readonly waitMs: number
  readonly fault: Fault | undefined
  /** It is suspected of having ended others: it runs in a process of its own. */
  readonly isAlone: boolean
  readonly part: Pick<PartFile, 'descriptor' | 'path'>
}

/** What a fetch tells as it goes. */
export interface FetchEvents {
  onFit(fetch: Fetch, answer: Fit, isRest: boolean): void
  /** The child says that the bytes before `position` are written. How far that is believed; undefined: it cannot be. */
  onPosition(fetch: Fetch, position: number): number | undefined
  onLimited(fetch: Fetch, endBytes: number): void
  /** True when it may go on at once at the other host. */
  onHop(fetch: Fetch, host: string): boolean
  /** What --limit-rate has left it at any time, when there is a limit. */
  allowedOf(fetch: Fetch): number | undefined
}

export interface FetchEnd {
  readonly failure: Failure | undefined
  readonly record: AttemptRecord
  readonly isAbandoned: boolean
}

const TELLING_MS = 500

export class Fetch {
  readonly errand: Errand
  readonly exchange: Exchange
  readonly ended: Promise<ChildEnd>
  readonly #child: JobChild
  readonly #events: FetchEvents
  readonly #monotonicMs: () => number
  #range: Range | undefined
  #positionBytes = 0
  #receivesSinceMs = 0

  constructor(context: FetchContext, errand: Errand, events: FetchEvents) {
    const { settings, world, emit, authenticator, cookies } = context
    const { job, attempt, ask, mirror } = errand
    const requestedUrl = job.urls[mirror] ?? job.urls[0]
    this.errand = errand
    this.#events = events
    this.#monotonicMs = world.monotonicMs
    this.exchange = new Exchange({
      job,
      requestedUrl,
      ask,
      mayStartOver: errand.isSole,
      settings,
      login: saysWhoAsks(settings, job) ? SILENT_LOGIN : authenticator.login(job, requestedUrl),
      cookies,
      nowMs: world.nowMs,
      send: (command) => this.#child.run.send(command),
      onPhase: (phase) => this.#child.run.setPhase(phase),
      onHop: (host) => events.onHop(this, routeOf(host, job.options.proxy)),
      onFit: (answer, isRest) => events.onFit(this, answer, isRest),
      onAnswer: (status, answer) =>
        emit({
          type: 'response',
          at: world.nowMs(),
          index: job.index,
          line: job.line,
          n: attempt,
          pid: this.#child.run.pid ?? null,
          status,
          answer,
        }),
    })
    const request = this.exchange.request()
    const { beatMs, ca, isInsecure, blocksPrivate } = settings
    this.#child = new JobChild(context, {
      job,
      attempt,
      task: 'fetch',
      url: requestedUrl,
      host: peerOf(request),
      range: rangeOf(ask),
      waitMs: errand.waitMs,
      order: {
        task: { kind: 'fetch', ...request, beatMs, isInsecure, blocksPrivate, ...(ca === undefined ? {} : { ca }) },
        file: { descriptor: errand.part.descriptor, path: errand.part.path, access: 'write' },
        isAlone: errand.isAlone,
        ...(errand.fault === undefined ? {} : { fault: errand.fault }),
      },
      limits: limitsOf(settings, job.options.timeoutMs),
      positionBytes: () => this.#positionBytes,
      claimedBytes: () => this.movedBytes,
      allowedBytesPerSecond: () => events.allowedOf(this),
      onMessage: (message) => this.#onMessage(message),
    })
    this.ended = this.#child.ended()
  }

  get run(): ChildRun {
    return this.#child.run
  }

  get id(): number {
    return this.errand.id
  }

  /** The next byte of the file it brings. */
  get positionBytes(): number {
    return this.#positionBytes
  }

  get movedBytes(): number {
    return this.#range === undefined ? 0 : this.#positionBytes - this.#range[0]
  }

  /** Mean since it receives; undefined as long as that says little. */
  get bytesPerSecond(): number | undefined {
    const ms = this.#monotonicMs() - this.#receivesSinceMs
    return this.#range === undefined || ms < TELLING_MS ? undefined : (this.movedBytes * 1000) / ms
  }

  /** Lets it bring `range`, behind `skipBytes` of its answer that others have brought. */
  receive(range: Range, skipBytes: number): void {
    this.#range = range
    this.#positionBytes = range[0]
    this.#receivesSinceMs = this.#monotonicMs()
    this.exchange.receive(range, skipBytes)
  }

  /** It waits for another child to give way. */
  hold(): void {
    this.run.setPhase('held')
  }

  limit(endBytes: number): void {
    this.run.send({ type: 'limit', endBytes })
  }

  setRate(bytesPerSecond: number): void {
    this.run.send({ type: 'rate', bytesPerSecond })
  }

  /** Its child is gone and came this far. */
  reaches(positionBytes: number): void {
    this.#positionBytes = positionBytes
  }

  /** It writes nothing from here on: what it was sent for ends here. */
  endsAt(endBytes: number): void {
    if (this.#range !== undefined) this.#range = [this.#range[0], endBytes]
  }

  stop(cause: KillCause, atOnce = false): void {
    this.#child.stop(cause, atOnce)
  }

  observe(): void {
    this.run.observe()
  }

  /** What the end of its child amounts to, written down. `keptBytes`: what was there when it began to receive. */
  conclude(end: ChildEnd, resumedFromBytes: number): FetchEnd {
    // A child that was not reaped is that before anything else.
    const refusal = end.wasReaped ? this.exchange.failure : undefined
    const failure = refusal ?? this.#named(this.#judge(end))
    const to = this.#range?.[1]
    const record = this.#child.record(end, {
      failure,
      movedBytes: this.movedBytes,
      resumedFromBytes,
      range: this.#range === undefined ? null : [this.#range[0], to === undefined || !Number.isFinite(to) ? null : to],
      isUnchanged: this.exchange.unchanged === 'target',
    })
    return { failure, record, isAbandoned: failure?.kind === 'abandoned' }
  }

  /** A child knows its descriptor, not the file's name; nor does it know what else could be tried. */
  #named(failure: Failure | undefined): Failure | undefined {
    const isDisk = failure?.kind === 'disk-full' || failure?.kind === 'disk-error'
    return isDisk ? { ...failure, path: this.errand.part.path } : failure && this.exchange.withHint(failure)
  }

  #onMessage(message: ChildMessage): void {
    switch (message.type) {
      case 'head':
        return this.exchange.isAsking ? this.exchange.onHead(message) : this.#disbelieve('a head answers nothing')
      case 'beat':
        // A beat may have crossed the order to receive: it tells of nothing yet.
        if (this.#range === undefined || message.bytes < this.#range[0]) return
        return this.#onPosition(message.bytes)
      case 'done': {
        if (this.#range === undefined) return
        this.#positionBytes = this.#events.onPosition(this, this.#range[0] + message.bytes) ?? this.#positionBytes
        return
      }
      case 'limited':
        if (this.#range === undefined) return this.#disbelieve('nothing is received that could be limited')
        return this.#events.onLimited(this, message.endBytes)
      default:
        return
    }
  }

  #onPosition(claimed: number): void {
    const believed = this.#events.onPosition(this, claimed)
    if (believed !== undefined) this.#positionBytes = believed
    else this.#disbelieve(`byte ${claimed} is not its own`)
  }

  #disbelieve(detail: string): void {
    this.stop({ kind: 'garbled', detail })
  }

  /** A claim is believed only as far as it follows from what the child was told and from what is on the disk. */
  #judge({ result }: ChildEnd): Failure | undefined {
    if (!result.ok) return result.failure
    if (this.exchange.unchanged !== undefined) return undefined
    if (result.claim.kind !== 'done' || this.#range === undefined) {
      return { kind: 'child-error', detail: 'its claim does not follow from what it was told' }
    }
    const [start, end] = this.#range
    const claimedBytes = start + result.claim.bytes
    if (claimedBytes !== this.#positionBytes) {
      return { kind: 'length', expectedBytes: claimedBytes, actualBytes: this.#positionBytes }
    }
    return Number.isFinite(end) && this.#positionBytes < end
      ? { kind: 'truncated', expectedBytes: end - start, receivedBytes: this.movedBytes }
      : undefined
  }
}

/** Whom it connects to, for people. */
function peerOf({ url, proxy }: Request): string {
  return routeOf(hostKey(url), proxy)
}

function saysWhoAsks({ headers }: Settings, { options }: Job): boolean {
  return [...headers, ...(options.headers ?? [])].some(([name]) => name.toLowerCase() === 'authorization')
}

function rangeOf(ask: Ask): ByteRange {
  if (ask.kind === 'rest') return [ask.offsetBytes, ask.endBytes ?? ask.sizeBytes ?? null]
  return [ask.kind === 'continue' ? ask.offsetBytes : 0, null]
}
