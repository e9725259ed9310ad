// Decides what a request says: its headers, and which of the caller's words may travel to which origin.

import { fingerprint } from './hash.ts'
import type { Job } from './job.ts'
import { headersFor } from './redirect.ts'
import type { Ask } from './response.ts'
import { askHeaders, methodOf } from './response.ts'
import type { Headers } from './validator.ts'
import { header } from './validator.ts'

export interface Request {
  readonly method: 'GET' | 'HEAD'
  /** Without credentials and fragment. */
  readonly url: string
  readonly headers: [string, string][]
}

/** What is said besides the question itself. */
export interface Sender {
  readonly job: Job
  /** The job's own (mirror) URL, whose origin the caller's headers are for. */
  readonly requestedUrl: string
  readonly runHeaders: Headers
  readonly userAgent: string
  /** Of `-u` and its like, already bound to the origin it may go to. */
  readonly authorization: string | undefined
  /** Of the cookie jar. */
  readonly cookie: string | undefined
  /** Bodies may come coded. */
  readonly decodes: boolean
}

/** URLs that differ only in query or credentials name the same file: tokens rotate. */
export function urlKey(url: string): string {
  const { origin, pathname } = new URL(url)
  return fingerprint(origin + pathname)
}

/** Of what is stored as it was sent, with a coding that --compressed would take off: not the file that it makes. */
export function codedKey(url: string): string {
  return `${urlKey(url)}+coded`
}

/** Without what never leaves this machine: credentials and fragment. */
function bareUrl(url: string): string {
  const bare = new URL(url)
  bare.username = ''
  bare.password = ''
  bare.hash = ''
  return bare.href
}

export function requestFor(url: string, ask: Ask, from: Sender): Request {
  const bare = bareUrl(url)
  const callers = headersFor(bare, {
    url: from.requestedUrl,
    headers: mergeHeaders(from.runHeaders, from.job.options.headers ?? []),
  })
  return {
    method: methodOf(ask),
    url: bare,
    headers: mergeHeaders(
      [
        ['User-Agent', from.userAgent],
        ['Accept', '*/*'],
      ],
      from.authorization === undefined ? [] : [['Authorization', from.authorization]],
      withCookie(callers, from.cookie),
      askHeaders(ask, from.decodes),
    ),
  }
}

/** One Cookie header (RFC 6265 §5.4): the caller's first, as they may be meant to win. */
function withCookie(headers: Headers, cookie: string | undefined): Headers {
  if (cookie === undefined) return headers
  const isCookie = ([name]: readonly [string, string]) => name.toLowerCase() === 'cookie'
  const given = headers.filter(isCookie).map(([, value]) => value)
  return [...headers.filter((header) => !isCookie(header)), ['Cookie', [...given, cookie].join('; ')]]
}

/** Later lists replace the same names of earlier ones; a name may stand twice within one list. */
function mergeHeaders(...lists: Headers[]): [string, string][] {
  return lists.flatMap((list, n) => {
    const later = lists.slice(n + 1)
    const kept = list.filter(([name]) => later.every((headers) => header(headers, name) === undefined))
    return kept.map(([name, value]): [string, string] => [name, value])
  })
}
