// Decides what a response's head means for the download: which bytes to take, whether to ask again, or why
// not. Knows nothing of sockets, files or retries.

import { CODINGS, type Coding, codingOf } from './coding.ts'
import type { Failure } from './failure.ts'
import { httpDateMs } from './http-date.ts'
import { excerpt } from './printable.ts'
import type { Range } from './segment.ts'
import type { Headers, Validator } from './validator.ts'
import {
  conditionalHeaders,
  confirms,
  contradicts,
  header,
  headerList,
  strongValidator,
  validatorOf,
} from './validator.ts'

/** What a request asked for. */
export type Ask =
  | { readonly kind: 'whole' }
  /** Bytes `[offsetBytes, endBytes)`, to the end when that is not given, of the version `validator` names. */
  | {
      readonly kind: 'rest'
      readonly offsetBytes: number
      readonly endBytes?: number
      readonly validator: Validator
      readonly sizeBytes?: number
    }
  /** What is behind bytes that somebody else fetched: of which version they are, only the user knows (`-c`). */
  | { readonly kind: 'continue'; readonly offsetBytes: number; readonly writtenAtMs: number }
  /** `part`: every byte is here, only the commit is missing. `target`: the finished file of an earlier run. */
  | { readonly kind: 'if-changed'; readonly of: 'part' | 'target'; readonly validator: Validator }
  /** Only what the file looks like (HEAD): one that mpdl did not fetch is here, of this size and time (`-N`). */
  | { readonly kind: 'if-newer'; readonly sizeBytes: number; readonly modifiedMs: number }

/** Asks for `range` of that version; open at its end where that is the file's or not known. */
export function askForRange(
  [offsetBytes, end]: Range,
  { validator, sizeBytes }: { readonly validator: Validator; readonly sizeBytes: number | undefined },
): Ask {
  return {
    kind: 'rest',
    offsetBytes,
    ...(Number.isFinite(end) && end !== sizeBytes ? { endBytes: end } : {}),
    validator,
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
  }
}

export interface Head {
  readonly status: number
  readonly headers: Headers
}

export type Answer =
  | {
      readonly do: 'receive'
      readonly offsetBytes: number
      /** Bytes this response will bring; undefined when only its end tells. */
      readonly lengthBytes?: number
      /** Size of the whole file, where known. */
      readonly sizeBytes?: number
      readonly validator: Validator
      /** The server serves ranges of this version, and can be held to it: further children may ask for some. */
      readonly isRangeable: boolean
      /** The body comes in this coding and is decoded: no length tells then how many bytes the file will have. */
      readonly coding?: Coding
      /** How long the coded body is, where the server says so. */
      readonly codedBytes?: number
    }
  | { readonly do: 'unchanged'; readonly of: 'part' | 'target' }
  /** The range cannot be joined to what is here: ask for the whole, from zero, and say why. */
  | { readonly do: 'ask-whole'; readonly reason: string }
  | { readonly do: 'redirect'; readonly location: string }
  | { readonly do: 'fail'; readonly failure: Failure }

export interface ResponseRules {
  readonly maxFileSizeBytes?: number
  readonly nowMs: number
  /** `--compressed`: codings were asked for and are decoded. */
  readonly decodes?: boolean
  /** `--accept-type`: lower-case media types, `image/*` for all of a kind; undefined: any. */
  readonly acceptTypes?: readonly string[] | undefined
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
const CONTENT_RANGE = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i

/** Only a look wants no body. */
export function methodOf(ask: Ask): 'GET' | 'HEAD' {
  return ask.kind === 'if-newer' ? 'HEAD' : 'GET'
}

/**
 * The headers that ask for it; identity coding wherever bytes may be joined, because ranges and lengths are of the
 * coded bytes. `decodes`: a whole file may come coded.
 */
export function askHeaders(ask: Ask, decodes = false): [string, string][] {
  const identity: [string, string] = ['Accept-Encoding', 'identity']
  const coded: [string, string] = decodes ? ['Accept-Encoding', CODINGS.join(', ')] : identity
  switch (ask.kind) {
    case 'whole':
      return [coded]
    case 'if-newer':
      return [identity]
    case 'rest': {
      const strong = strongValidator(ask.validator)
      if (strong === undefined) throw new Error('a range was asked for without a strong validator')
      const last = ask.endBytes === undefined ? '' : ask.endBytes - 1
      return [identity, ['Range', `bytes=${ask.offsetBytes}-${last}`], ['If-Range', strong]]
    }
    case 'continue':
      return [identity, ['Range', `bytes=${ask.offsetBytes}-`]]
    case 'if-changed':
      return [ask.of === 'target' ? coded : identity, ...conditionalHeaders(ask.validator)]
  }
}

/** `Retry-After` in ms from now: seconds or an HTTP date (RFC 9110 §10.2.3); undefined when absent or nonsense. */
export function retryAfterMs(value: string | undefined, nowMs: number): number | undefined {
  const text = value?.trim() ?? ''
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  const at = httpDateMs(text)
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs)
}

function contentLength(headers: Headers): number | undefined {
  if (header(headers, 'transfer-encoding') !== undefined) return undefined
  const text = header(headers, 'content-length')
  if (text === undefined || !/^\d+$/.test(text)) return undefined
  return Math.min(Number(text), Number.MAX_SAFE_INTEGER)
}

const fail = (failure: Failure): Answer => ({ do: 'fail', failure })

function tooLarge(sizeBytes: number | undefined, rules: ResponseRules): Answer | undefined {
  const limitBytes = rules.maxFileSizeBytes
  return limitBytes !== undefined && sizeBytes !== undefined && sizeBytes > limitBytes
    ? fail({ kind: 'too-large', sizeBytes, limitBytes })
    : undefined
}

/** A media type without its parameters, lower case (RFC 9110 §8.3.1). */
function mediaType(contentType: string): string {
  return contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

function typeRefused(headers: Headers, accepted: readonly string[] | undefined): Answer | undefined {
  const contentType = header(headers, 'content-type')
  const given = mediaType(contentType ?? '')
  const isAccepted = (type: string) => (type.endsWith('/*') ? given.startsWith(type.slice(0, -1)) : given === type)
  if (accepted === undefined || accepted.some(isAccepted)) return undefined
  return fail({ kind: 'type-refused', contentType: given === '' ? 'no type' : excerpt(given), accepted })
}

function onWhole({ headers }: Head, rules: ResponseRules): Answer {
  const lengthBytes = contentLength(headers)
  const validator = validatorOf(headers)
  const coding = codingOf(headerList(headers, 'content-encoding'))
  if (rules.decodes === true && coding !== 'identity') {
    // Several codings, or one that was not offered: what would be stored is of no use to who wanted it decoded.
    if (coding === undefined) return fail({ kind: 'protocol', code: 'coding-unasked' })
    const codedBytes = lengthBytes === undefined ? {} : { codedBytes: lengthBytes }
    return { do: 'receive', offsetBytes: 0, validator, isRangeable: false, coding, ...codedBytes }
  }
  const isRangeable =
    lengthBytes !== undefined &&
    strongValidator(validator) !== undefined &&
    coding === 'identity' &&
    /(?:^|,)\s*bytes\s*(?:,|$)/i.test(headerList(headers, 'accept-ranges') ?? '')
  return (
    tooLarge(lengthBytes, rules) ?? {
      do: 'receive',
      offsetBytes: 0,
      ...(lengthBytes === undefined ? {} : { lengthBytes, sizeBytes: lengthBytes }),
      validator,
      isRangeable,
    }
  )
}

/** A HEAD's answer: the file that is here stays when it has the size, and the server's is not younger. */
function onLook(ask: Extract<Ask, { kind: 'if-newer' }>, headers: Headers): Answer {
  const modifiedMs = httpDateMs(header(headers, 'last-modified'))
  const sizeBytes = contentLength(headers)
  // A server's time has whole seconds, a file's may have been set from them.
  const isOld = modifiedMs <= ask.modifiedMs + 999
  if (isOld && sizeBytes === ask.sizeBytes) return { do: 'unchanged', of: 'target' }
  if (Number.isNaN(modifiedMs)) return { do: 'ask-whole', reason: 'the server tells no Last-Modified' }
  if (!isOld) return { do: 'ask-whole', reason: 'it is younger on the server' }
  const there = sizeBytes === undefined ? 'the server tells no size' : `it has ${sizeBytes} bytes on the server`
  return { do: 'ask-whole', reason: there }
}

function onPartial(ask: Ask, head: Head, rules: ResponseRules): Answer {
  if (ask.kind !== 'rest' && ask.kind !== 'continue') return fail({ kind: 'protocol', code: 'range-unasked' })
  const match = CONTENT_RANGE.exec(header(head.headers, 'content-range') ?? '')
  if (match === null) return { do: 'ask-whole', reason: 'its Content-Range is missing or malformed' }
  const [start, last, total] = [Number(match[1]), Number(match[2]), match[3] === '*' ? undefined : Number(match[3])]
  if (total === undefined) return { do: 'ask-whole', reason: 'its Content-Range has no total' }
  if (start !== ask.offsetBytes || last < start || last >= total) {
    return { do: 'ask-whole', reason: `it answered bytes ${start}-${last}/${total} when ${ask.offsetBytes}- was asked` }
  }
  const given = validatorOf(head.headers)
  if (ask.kind === 'rest') {
    if (ask.sizeBytes !== undefined && total !== ask.sizeBytes) {
      return { do: 'ask-whole', reason: `its size was ${ask.sizeBytes} and is now ${total}` }
    }
    if (!confirms(ask.validator, given)) {
      const isOther = contradicts(ask.validator, given)
      return { do: 'ask-whole', reason: isOther ? 'its validator is another' : 'it does not repeat its validator' }
    }
  }
  if (ask.kind === 'continue' && httpDateMs(given.lastModified) > ask.writtenAtMs) {
    return { do: 'ask-whole', reason: 'it changed on the server after the partial file was written' }
  }
  const validator = ask.kind === 'rest' ? ask.validator : given
  // What is here was stored without a coding; bytes of a coded form do not go on from there.
  const contentEncoding = headerList(head.headers, 'content-encoding')
  if (codingOf(contentEncoding) !== 'identity') {
    return { do: 'ask-whole', reason: `it is coded (${excerpt(contentEncoding ?? '').slice(0, 20)})` }
  }
  const announced = contentLength(head.headers)
  if (announced !== undefined && announced !== last - start + 1) {
    return { do: 'ask-whole', reason: 'its Content-Length and Content-Range differ' }
  }
  return (
    tooLarge(total, rules) ?? {
      do: 'receive',
      offsetBytes: start,
      lengthBytes: last - start + 1,
      sizeBytes: total,
      validator,
      isRangeable: strongValidator(validator) !== undefined,
    }
  )
}

/** The size a 416 names (RFC 9110 §15.5.17). */
function totalOf(headers: Headers): number | undefined {
  const total = /^bytes \*\/(\d+)$/i.exec(header(headers, 'content-range') ?? '')?.[1]
  return total === undefined ? undefined : Number(total)
}

/** RFC 9112 §6.1: no transfer coding but the framing was asked for, and to Node's parser what is in it is the body. */
function isTransferCoded(headers: Headers): boolean {
  const codings = headerList(headers, 'transfer-encoding')?.toLowerCase().split(',') ?? []
  return codings.some((coding) => !['chunked', 'identity', ''].includes(coding.trim()))
}

/** What to do with a response, given what was asked. A 200 to a range means "start over", never "append". */
export function decideResponse(ask: Ask, head: Head, rules: ResponseRules): Answer {
  const { status, headers } = head
  const location = header(headers, 'location')?.trim() || undefined
  if (REDIRECTS.has(status) && location !== undefined) return { do: 'redirect', location }
  if (ask.kind === 'if-newer') {
    if (status === 200) return onLook(ask, headers)
    // Many servers treat HEAD badly: only the answer to a GET is final.
    if (![407, 429, 503].includes(status)) {
      return { do: 'ask-whole', reason: `the server answers HEAD with ${status}` }
    }
  }
  if (REDIRECTS.has(status)) {
    return fail({ kind: 'redirect-refused', reason: 'the server named no Location', location: '(nothing)' })
  }
  if (isTransferCoded(headers)) return fail({ kind: 'protocol', code: 'transfer-coding-unasked' })
  if (status === 206) return typeRefused(headers, rules.acceptTypes) ?? onPartial(ask, head, rules)
  if (status === 200 || status === 203) return typeRefused(headers, rules.acceptTypes) ?? onWhole(head, rules)
  if (status === 304) {
    return ask.kind === 'if-changed'
      ? { do: 'unchanged', of: ask.of }
      : fail({ kind: 'protocol', code: 'not-modified-unasked' })
  }
  if (status === 416 && ask.kind === 'continue' && totalOf(headers) === ask.offsetBytes) {
    return { do: 'unchanged', of: 'part' }
  }
  if (status === 416 && (ask.kind === 'rest' || ask.kind === 'continue')) {
    return { do: 'ask-whole', reason: 'the server says the range is past its end' }
  }
  // A precondition nobody but us sent: the resource is there, our question was the obstacle.
  if (status === 412 && ask.kind !== 'whole') return { do: 'ask-whole', reason: 'the server refused the condition' }
  if (status === 401 || status === 407) {
    const challenge = header(headers, status === 401 ? 'www-authenticate' : 'proxy-authenticate')
    const scheme = /^[A-Za-z0-9-]{1,20}/.exec(challenge ?? '')?.[0]
    return fail({ kind: 'unauthorized', status, ...(scheme === undefined ? {} : { scheme }) })
  }
  const waitMs = retryAfterMs(header(headers, 'retry-after'), rules.nowMs)
  // "At once" is no advice to follow: the usual wait applies, as with curl.
  return fail({
    kind: 'http-status',
    status,
    ...(waitMs === undefined || waitMs === 0 ? {} : { retryAfterMs: waitMs }),
  })
}
