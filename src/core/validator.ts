// What identifies one version of a resource (RFC 9110 §8.8), and when it is strong enough to join bytes.

import { httpDateMs } from './http-date.ts'

export interface Validator {
  readonly etag?: string
  readonly lastModified?: string
  /** Last-Modified was at least a minute older than Date: it can no longer change within its second. */
  readonly isDateStrong?: boolean
}

export type Headers = readonly (readonly [name: string, value: string])[]

export function header(headers: Headers, name: string): string | undefined {
  return headers.find(([key]) => isSameName(key, name))?.[1]
}

/** All lines of a field as one list (RFC 9110 §5.3), for fields that may have several. */
export function headerList(headers: Headers, name: string): string | undefined {
  const values = headers.flatMap(([key, value]) => (isSameName(key, name) ? [value] : []))
  return values.length === 0 ? undefined : values.join(', ')
}

/** Most names differ in length already: of ten headers asked for ten times each, that spares most of the work. */
function isSameName(a: string, b: string): boolean {
  return a.length === b.length && a.toLowerCase() === b.toLowerCase()
}

/** RFC 9110 §8.8.2.2 lets a date count as strong only when it is clearly older than the response. */
const DATE_STRONG_AFTER_MS = 60_000
const ETAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/
/** No ETag by the rules, but such servers know their own word again; good enough to ask with, not to join bytes. */
const BARE_ETAG = /^(?!W\/)[\x21\x23-\x7e]+$/

export function validatorOf(headers: Headers): Validator {
  const etag = header(headers, 'etag')
  const lastModified = header(headers, 'last-modified')
  const modifiedMs = httpDateMs(lastModified)
  const dateMs = httpDateMs(header(headers, 'date'))
  return {
    ...(etag !== undefined && (ETAG.test(etag) || BARE_ETAG.test(etag)) ? { etag } : {}),
    ...(lastModified !== undefined && !Number.isNaN(modifiedMs)
      ? { lastModified, isDateStrong: dateMs - modifiedMs >= DATE_STRONG_AFTER_MS }
      : {}),
  }
}

/** Whether there is anything to recognise the version by, be it strong or weak. */
export function canRecognise(validator: Validator): boolean {
  return (validator.etag ?? validator.lastModified) !== undefined
}

/** The value for `If-Range`, which must be strong (RFC 9110 §13.1.5); undefined when nothing may be joined. */
export function strongValidator(validator: Validator): string | undefined {
  if (validator.etag?.startsWith('"') === true) return validator.etag
  if (validator.etag?.startsWith('W/') === true) return undefined
  return validator.isDateStrong === true ? validator.lastModified : undefined
}

/** Whether two responses may be the same version; a field only one of them has decides nothing. */
export function contradicts(a: Validator, b: Validator): boolean {
  if (a.etag !== undefined && b.etag !== undefined) return a.etag !== b.etag
  return a.lastModified !== undefined && b.lastModified !== undefined && a.lastModified !== b.lastModified
}

/**
 * Whether a 206 is of the version that was asked for: it repeats the strong validator of the request. RFC 9110
 * §15.3.7 wants that of every server, and one that ignores If-Range gives itself away by nothing else.
 */
export function confirms(asked: Validator, given: Validator): boolean {
  if (contradicts(asked, given)) return false
  return asked.etag === undefined ? given.lastModified === asked.lastModified : given.etag === asked.etag
}

/** The headers that ask "has it changed since?" (RFC 9110 §13.1); empty when there is nothing to ask with. */
export function conditionalHeaders(validator: Validator): [string, string][] {
  if (validator.etag !== undefined) return [['If-None-Match', validator.etag]]
  if (validator.lastModified !== undefined) return [['If-Modified-Since', validator.lastModified]]
  return []
}
