// The conversation of one fetch: what is asked, and how each response's head is answered. Knows the rules of core;
// knows nothing of processes, of the part or of what happens to the bytes.

import type { Failure } from '../core/failure.ts'
import { describe } from '../core/failure.ts'
import type { Job } from '../core/job.ts'
import { redactUrl } from '../core/redact.ts'
import { decideHop } from '../core/redirect.ts'
import type { Request } from '../core/request.ts'
import { requestFor } from '../core/request.ts'
import type { Answer, Ask } from '../core/response.ts'
import { decideResponse } from '../core/response.ts'
import type { Range } from '../core/segment.ts'
import { header } from '../core/validator.ts'
import type { ChildMessage, Command } from '../protocol/message.ts'
import type { Settings } from './settings.ts'

/** Facts of the last response, for the report. */
export interface ResponseFacts {
  urlEffective?: string
  status?: number
  etag?: string
  contentType?: string
  remoteAddress?: string
  redirects: number
  nameLookupMs?: number
  connectMs?: number
  startTransferMs?: number
}

/** An answer whose bytes belong to the file. */
export type Fit = Extract<Answer, { do: 'receive' }>

export interface ExchangeOptions {
  readonly job: Job
  readonly requestedUrl: string
  readonly ask: Ask
  /** It is the only one that works on the file: it may begin it anew. Others may only bring what they were sent for. */
  readonly mayStartOver: boolean
  readonly settings: Settings
  readonly nowMs: () => number
  readonly send: (command: Command) => void
  readonly onPhase: (phase: 'held' | 'receiving') => void
  /** A redirect leads to `host`: true to go on at once, false when {@link Exchange.resume} will be called. */
  readonly onHop: (host: string) => boolean
  /**
   * The answer fits, `isRest` to what is there already; {@link Exchange.receive} or {@link Exchange.refuse} follows,
   * perhaps later.
   */
  readonly onFit: (answer: Fit, isRest: boolean) => void
  /** A sentence for the log about each answer. */
  readonly onAnswer: (status: number, sentence: string) => void
}

export class Exchange {
  readonly facts: ResponseFacts = { redirects: 0 }
  readonly #options: ExchangeOptions
  #ask: Ask
  #url: string
  #heldHop: (() => void) | undefined
  /** A request is out whose answer has not come. */
  #isAsking = true
  #fit: { readonly answer: Fit; readonly status: number } | undefined
  #isReceiving = false
  /** Why bytes that are there are not built upon. */
  startOverBecause: string | undefined
  /** Why the response was refused; wins over whatever the child says then. */
  failure: Failure | undefined
  unchanged: 'part' | 'target' | undefined
  mtimeMs: number | undefined

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.#ask = options.ask
    this.#url = options.requestedUrl
  }

  request(): Request {
    const { job, requestedUrl, settings } = this.#options
    const { headers: runHeaders, userAgent } = settings
    return requestFor(this.#url, this.#ask, { job, requestedUrl, runHeaders, userAgent })
  }

  get isReceiving(): boolean {
    return this.#isReceiving
  }

  /** False: a head that comes now answers nothing. */
  get isAsking(): boolean {
    return this.#isAsking
  }

  /** A held redirect's host has room now. */
  resume(): void {
    const go = this.#heldHop
    this.#heldHop = undefined
    go?.()
  }

  onHead(message: Extract<ChildMessage, { type: 'head' }>): void {
    const { settings, nowMs } = this.#options
    const { status, headers } = message
    this.#isAsking = false
    this.#noteFacts(message)
    const { maxFileSizeBytes } = settings
    const rules = { nowMs: nowMs(), ...(maxFileSizeBytes === undefined ? {} : { maxFileSizeBytes }) }
    const answer = decideResponse(this.#ask, { status, headers }, rules)
    switch (answer.do) {
      case 'redirect':
        return this.#onRedirect(answer.location, status)
      case 'ask-whole':
        if (!this.#options.mayStartOver) return this.#refuseRange(answer.reason, status)
        // At most once: a request for the whole cannot be answered like this again.
        this.startOverBecause = answer.reason
        this.#ask = { kind: 'whole' }
        this.#options.onAnswer(status, `asked for the whole file: ${answer.reason}`)
        return this.#go(this.#url)
      case 'unchanged':
        this.unchanged = answer.of
        this.#options.onAnswer(status, answer.of === 'part' ? 'the part is whole and current' : 'unchanged')
        return this.refuse()
      case 'fail':
        this.#options.onAnswer(status, describe(answer.failure))
        return this.refuse(answer.failure)
      case 'receive': {
        const isRest = status === 206
        if (!isRest && (this.#ask.kind === 'rest' || this.#ask.kind === 'continue')) {
          const reason = 'the server sent the whole file'
          if (!this.#options.mayStartOver) return this.#refuseRange(reason, status)
          this.startOverBecause ??= reason
        }
        const modifiedMs = Date.parse(header(headers, 'last-modified') ?? '')
        this.mtimeMs = Number.isNaN(modifiedMs) ? undefined : modifiedMs
        this.#fit = { answer, status }
        return this.#options.onFit(answer, isRest)
      }
    }
  }

  /**
   * Takes the bytes of the answer that fitted: `[from, to)` of the file, to the body's end when `to` is not finite. The
   * first `skipBytes` of the answer come before `from`.
   */
  receive([from, to]: Range, skipBytes: number): void {
    const { onAnswer, onPhase, send, settings } = this.#options
    if (this.#fit === undefined) throw new Error('there is no answer to receive')
    const { answer, status } = this.#fit
    const ofAnswer = answer.lengthBytes === undefined ? Number.POSITIVE_INFINITY : answer.lengthBytes - skipBytes
    // Others may have brought more meanwhile than this answer holds.
    const length = Math.max(0, Math.min(ofAnswer, to - from))
    const lengthBytes = Number.isFinite(length) ? length : null
    onAnswer(
      status,
      `receive ${lengthBytes === null ? 'a body of unknown length' : `${lengthBytes} bytes`} from ${from}`,
    )
    this.#isReceiving = true
    onPhase('receiving')
    const { maxFileSizeBytes } = settings
    const limit = maxFileSizeBytes === undefined ? {} : { maxBytes: maxFileSizeBytes }
    send({ type: 'receive', offsetBytes: from, lengthBytes, skipBytes, ...limit })
  }

  /** Wants nothing of the answer; `failure` then wins over whatever the child says. */
  refuse(failure?: Failure): void {
    this.failure = failure
    this.#options.send({ type: 'refuse' })
  }

  #refuseRange(reason: string, status: number): void {
    const failure: Failure = { kind: 'range-refused', reason }
    this.#options.onAnswer(status, describe(failure))
    this.refuse(failure)
  }

  #noteFacts({ status, headers, timings, remoteAddress }: Extract<ChildMessage, { type: 'head' }>): void {
    const etag = header(headers, 'etag')
    const contentType = header(headers, 'content-type')
    const { nameLookupMs, connectMs, startTransferMs } = timings
    Object.assign(this.facts, {
      urlEffective: redactUrl(this.#url),
      status,
      etag,
      contentType,
      remoteAddress: remoteAddress ?? undefined,
      nameLookupMs,
      connectMs,
      startTransferMs,
    } satisfies Partial<Record<keyof ResponseFacts, unknown>>)
  }

  #onRedirect(location: string, status: number): void {
    const { settings, onAnswer, onPhase, onHop } = this.#options
    const hop = decideHop(this.#url, location, this.facts.redirects, settings.maxRedirects)
    if (hop.do === 'refuse') {
      onAnswer(status, describe(hop.failure))
      return this.refuse(hop.failure)
    }
    this.facts.redirects++
    onAnswer(status, `redirected to ${redactUrl(hop.url)}`)
    onPhase('held')
    if (onHop(hop.host)) this.#go(hop.url)
    else this.#heldHop = () => this.#go(hop.url)
  }

  #go(url: string): void {
    this.#url = url
    this.#isAsking = true
    this.#options.send({ type: 'go', ...this.request() })
  }
}
