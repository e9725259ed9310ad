// The conversation of one fetch: what is asked, and how each response's head is answered. Knows the rules of core;
// knows nothing of processes, of the part or of what happens to the bytes.

import type { Coding } from '../core/coding.ts'
import type { Failure } from '../core/failure.ts'
import { describe } from '../core/failure.ts'
import { httpDateMs } from '../core/http-date.ts'
import type { Job } from '../core/job.ts'
import { redactUrl } from '../core/redact.ts'
import { decideHop, isSameOrigin } from '../core/redirect.ts'
import { requestFor } from '../core/request.ts'
import type { Answer, Ask } from '../core/response.ts'
import { decideResponse, methodOf } from '../core/response.ts'
import type { Range } from '../core/segment.ts'
import type { Validator } from '../core/validator.ts'
import { header, headerList } from '../core/validator.ts'
import type { ChildMessage, Command, Request } from '../protocol/message.ts'
import type { Login } from './authenticator.ts'
import type { CookieJar } from './cookie-jar.ts'
import { proxyFor } from './proxy-choice.ts'
import type { Settings } from './settings.ts'

/** Facts of the last response, for the report. */
export interface ResponseFacts {
  urlEffective?: string
  status?: number
  etag?: string
  contentType?: string
  contentEncoding?: string
  decodedFrom?: Coding
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
  readonly login: Login
  readonly cookies: CookieJar | undefined
  readonly nowMs: () => number
  readonly send: (command: Command) => void
  readonly onPhase: (phase: 'held' | 'connecting' | 'receiving') => void
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
  /** As the server wrote it. */
  contentDisposition: string | undefined

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.#ask = options.ask
    this.#url = options.requestedUrl
  }

  /** What the child is to ask now, with what belongs to the URL's origin and to nobody else. */
  request(): Request {
    const { job, requestedUrl, settings, login, cookies } = this.#options
    const { headers: runHeaders, userAgent, decodes, clientCertificate } = settings
    const authorization = login.authorizationFor(this.#url, methodOf(this.#ask))
    const cookie = cookies?.headerFor(this.#url)
    const sender = { job, requestedUrl, runHeaders, userAgent, authorization, cookie, decodes }
    const proxy = this.#proxy
    return {
      ...requestFor(this.#url, this.#ask, sender),
      ...(proxy === undefined ? {} : { proxy }),
      ...(clientCertificate !== undefined && isSameOrigin(this.#url, requestedUrl) ? { clientCertificate } : {}),
    }
  }

  get #proxy(): string | undefined {
    const { job, settings } = this.#options
    return proxyFor(this.#url, settings.proxies, job.options.proxy)
  }

  /** Of the version whose bytes are taken. */
  get validator(): Validator | undefined {
    return this.#fit?.answer.validator
  }

  /** Their length was announced, if only that of their coded form. */
  get hasAnnouncedEnd(): boolean {
    const { lengthBytes, codedBytes } = this.#fit?.answer ?? {}
    return (lengthBytes ?? codedBytes) !== undefined
  }

  /** They are decoded as they come. */
  get coding(): Coding | undefined {
    return this.#fit?.answer.coding
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
    const { settings, nowMs, login, cookies } = this.#options
    const { status, headers } = message
    this.#isAsking = false
    this.#noteFacts(message)
    const setCookies = headers.flatMap(([name, value]) => (name.toLowerCase() === 'set-cookie' ? [value] : []))
    if (setCookies.length > 0) cookies?.receive(this.#url, setCookies)
    if (status === 401 && login.onUnauthorized(this.#url, headers)) {
      this.#options.onAnswer(status, 'asked again, with credentials for its challenge')
      return this.#go(this.#url)
    }
    const { maxFileSizeBytes, decodes, acceptTypes } = settings
    const limit = maxFileSizeBytes === undefined ? {} : { maxFileSizeBytes }
    const rules = { nowMs: nowMs(), decodes, acceptTypes, ...limit }
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
      case 'fail': {
        const failure = this.withHint(answer.failure)
        this.#options.onAnswer(status, describe(failure))
        return this.refuse(failure)
      }
      case 'receive': {
        const isRest = status === 206
        if (!isRest && (this.#ask.kind === 'rest' || this.#ask.kind === 'continue')) {
          const reason = 'the server sent the whole file'
          if (!this.#options.mayStartOver) return this.#refuseRange(reason, status)
          this.startOverBecause ??= reason
        }
        const modifiedMs = httpDateMs(header(headers, 'last-modified'))
        this.mtimeMs = Number.isNaN(modifiedMs) ? undefined : modifiedMs
        this.contentDisposition = header(headers, 'content-disposition')
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
    const { coding } = answer
    const what = lengthBytes === null ? 'a body of unknown length' : `${lengthBytes} bytes`
    const how = coding === undefined ? '' : `, decoded from ${coding}: in one piece, and not to be resumed`
    onAnswer(status, `receive ${what} from ${from}${how}`)
    this.#isReceiving = true
    onPhase('receiving')
    const { maxFileSizeBytes } = settings
    const limit = maxFileSizeBytes === undefined ? {} : { maxBytes: maxFileSizeBytes }
    const decode = coding === undefined ? {} : { coding }
    if (coding !== undefined) this.facts.decodedFrom = coding
    send({ type: 'receive', offsetBytes: from, lengthBytes, skipBytes, ...limit, ...decode })
  }

  /** Wants nothing of the answer; `failure` then wins over whatever the child says. */
  refuse(failure?: Failure): void {
    this.failure = failure
    this.#options.send({ type: 'refuse' })
  }

  /** What might help, where server or proxy want to know who asks. */
  withHint(failure: Failure): Failure {
    if (failure.kind !== 'unauthorized' || failure.hint !== undefined) return failure
    const hint = failure.status === 407 ? this.#proxyHint(failure.scheme) : this.#options.login.hintFor(this.#url)
    return hint === undefined ? failure : { ...failure, hint }
  }

  #proxyHint(scheme: string | undefined): string | undefined {
    const proxy = this.#proxy
    if (proxy === undefined) return undefined
    if (new URL(proxy).username === '') return 'give them in its URL, as http://user:password@host:port'
    const isBasic = scheme === undefined || scheme.toLowerCase() === 'basic'
    return isBasic ? 'those in its URL were refused' : 'mpdl tells a proxy who it is in no way but Basic'
  }

  #refuseRange(reason: string, status: number): void {
    const failure: Failure = { kind: 'range-refused', reason }
    this.#options.onAnswer(status, describe(failure))
    this.refuse(failure)
  }

  #noteFacts({ status, headers, timings, remoteAddress }: Extract<ChildMessage, { type: 'head' }>): void {
    const etag = header(headers, 'etag')
    const contentType = header(headers, 'content-type')
    const contentEncoding = headerList(headers, 'content-encoding')
    const { nameLookupMs, connectMs, startTransferMs } = timings
    Object.assign(this.facts, {
      urlEffective: redactUrl(this.#url),
      status,
      etag,
      contentType,
      contentEncoding,
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
    // Whether it says so or not.
    this.#options.onPhase('connecting')
    this.#options.send({ type: 'go', ...this.request() })
  }
}
