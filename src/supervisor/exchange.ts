// The conversation of one fetch: what is asked, how each response's head is answered, how far the bytes came.
// Knows the part and the rules of core; knows nothing of processes or of what happens to the file afterwards.

import type { Failure } from '../core/failure.ts'
import { describe } from '../core/failure.ts'
import type { Job } from '../core/job.ts'
import { redactUrl } from '../core/redact.ts'
import { decideHop } from '../core/redirect.ts'
import { type Request, requestFor } from '../core/request.ts'
import type { Answer, Ask } from '../core/response.ts'
import { decideResponse } from '../core/response.ts'
import { header } from '../core/validator.ts'
import type { ChildMessage, Command } from '../protocol/message.ts'
import { diskFull, noRoomFor } from './disk-space.ts'
import type { PartFile } from './part-file.ts'
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

export interface ExchangeOptions {
  readonly job: Job
  readonly requestedUrl: string
  readonly ask: Ask
  readonly part: PartFile
  readonly settings: Settings
  readonly nowMs: () => number
  readonly send: (command: Command) => void
  readonly onPhase: (phase: 'held' | 'receiving') => void
  /** A redirect leads to `host`: true to go on at once, false when {@link Exchange.resume} will be called. */
  readonly onHop: (host: string) => boolean
  /** A sentence for the log about each answer. */
  readonly onAnswer: (status: number, sentence: string) => void
}

export class Exchange {
  readonly facts: ResponseFacts = { redirects: 0 }
  readonly warnings: string[] = []
  readonly #options: ExchangeOptions
  #ask: Ask
  #url: string
  #heldHop: (() => void) | undefined
  #askedWholeBecause: string | undefined
  #receiving: Extract<Answer, { do: 'receive' }> | undefined
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
    return this.#receiving !== undefined
  }

  /** Where this response's bytes begin. */
  get offsetBytes(): number {
    return this.#receiving?.offsetBytes ?? 0
  }

  get lengthBytes(): number | undefined {
    return this.#receiving?.lengthBytes
  }

  get sizeBytes(): number | undefined {
    return this.unchanged === 'part' ? this.#options.part.sizeBytes : this.#receiving?.sizeBytes
  }

  /** Bytes of the file that are really there; what the child claims is not asked. */
  recordProgress(): number {
    const { part } = this.#options
    if (this.#receiving === undefined) return part.completedBytes
    const { offsetBytes, sizeBytes } = this.#receiving
    const length = part.lengthOnDisk()
    const end = sizeBytes === undefined ? length : Math.min(length, sizeBytes)
    part.record(offsetBytes, end)
    return Math.max(offsetBytes, end)
  }

  /** A held redirect's host has room now. */
  resume(): void {
    const go = this.#heldHop
    this.#heldHop = undefined
    go?.()
  }

  onHead(message: Extract<ChildMessage, { type: 'head' }>): void {
    const { settings, nowMs, part } = this.#options
    const { status, headers } = message
    this.#noteFacts(message)
    const { maxFileSizeBytes } = settings
    const rules = { nowMs: nowMs(), ...(maxFileSizeBytes === undefined ? {} : { maxFileSizeBytes }) }
    const answer = decideResponse(this.#ask, { status, headers }, rules)
    switch (answer.do) {
      case 'redirect':
        return this.#onRedirect(answer.location, status)
      case 'ask-whole':
        // At most once: a request for the whole cannot be answered like this again.
        this.#askedWholeBecause = answer.reason
        this.#ask = { kind: 'whole' }
        this.#options.onAnswer(status, `asked for the whole file: ${answer.reason}`)
        return this.#go(this.#url)
      case 'unchanged':
        this.unchanged = answer.of
        this.#options.onAnswer(status, answer.of === 'part' ? 'the part is whole and current' : 'unchanged')
        return this.#refuse(undefined)
      case 'fail':
        this.#options.onAnswer(status, describe(answer.failure))
        return this.#refuse(answer.failure)
      case 'receive': {
        const failure = diskFull(settings) ?? noRoomFor(answer.lengthBytes ?? 0, settings) ?? this.#begin(answer, part)
        if (failure !== undefined) return this.#refuse(failure)
        const modifiedMs = Date.parse(header(headers, 'last-modified') ?? '')
        this.mtimeMs = Number.isNaN(modifiedMs) ? undefined : modifiedMs
        const length = answer.lengthBytes === undefined ? 'a body of unknown length' : `${answer.lengthBytes} bytes`
        this.#options.onAnswer(status, `receive ${length} from ${answer.offsetBytes}`)
        this.#options.onPhase('receiving')
        const { offsetBytes, lengthBytes = null } = answer
        const limit = maxFileSizeBytes === undefined ? {} : { maxBytes: maxFileSizeBytes }
        return this.#options.send({ type: 'receive', offsetBytes, lengthBytes, ...limit })
      }
    }
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

  #begin(answer: Extract<Answer, { do: 'receive' }>, part: PartFile): Failure | undefined {
    const dropped = part.completedBytes
    if (answer.offsetBytes === 0 && dropped > 0) {
      this.warnings.push(
        `started over, ${dropped} bytes dropped: ${this.#askedWholeBecause ?? 'the server sent the whole file'}`,
      )
    }
    const failure = part.begin(answer.validator, answer.sizeBytes, answer.offsetBytes)
    if (failure === undefined) this.#receiving = answer
    return failure
  }

  #onRedirect(location: string, status: number): void {
    const { settings, onAnswer, onPhase, onHop } = this.#options
    const hop = decideHop(this.#url, location, this.facts.redirects, settings.maxRedirects)
    if (hop.do === 'refuse') {
      onAnswer(status, describe(hop.failure))
      return this.#refuse(hop.failure)
    }
    this.facts.redirects++
    onAnswer(status, `redirected to ${redactUrl(hop.url)}`)
    onPhase('held')
    if (onHop(hop.host)) this.#go(hop.url)
    else this.#heldHop = () => this.#go(hop.url)
  }

  #go(url: string): void {
    this.#url = url
    this.#options.send({ type: 'go', ...this.request() })
  }

  #refuse(failure: Failure | undefined): void {
    this.failure = failure
    this.#options.send({ type: 'refuse' })
  }
}
