// Decides what a request says: its headers, and which of the caller's words may travel to which origin.

import { fingerprint } from './hash.ts'
import type { Job } from './job.ts'
import type { Credentials } from './redirect.ts'
import { headersFor } from './redirect.ts'
import type { Ask } from './response.ts'
import { askHeaders } from './response.ts'
import type { Headers } from './validator.ts'

export interface Request {
  /** Without credentials and fragment. */
  readonly url: string
  readonly headers: [string, string][]
}

/** URLs that differ only in query or credentials name the same file: tokens rotate. */
export function urlKey(url: string): string {
  const { origin, pathname } = new URL(url)
  return fingerprint(origin + pathname)
}

/** `requestedUrl`: the job's own (mirror) URL, whose origin the caller's headers are for. */
export function requestFor(
  url: string,
  ask: Ask,
  from: { readonly job: Job; readonly requestedUrl: string; readonly runHeaders: Headers; readonly userAgent: string },
): Request {
  const bare = new URL(url)
  bare.username = ''
  bare.password = ''
  bare.hash = ''
  return {
    url: bare.href,
    headers: mergeHeaders(
      [
        ['User-Agent', from.userAgent],
        ['Accept', '*/*'],
      ],
      headersFor(bare.href, credentialsOf(from.job, from.requestedUrl, from.runHeaders)),
      askHeaders(ask),
    ),
  }
}

/** What the caller wants sent, bound to the origin of the URL it was given for. */
function credentialsOf(job: Job, requestedUrl: string, runHeaders: Headers): Credentials {
  const url = new URL(requestedUrl)
  const user = job.options.user ?? decoded(url.username)
  const password = job.options.password ?? decoded(url.password)
  const authorization: Headers =
    user === '' && password === '' ? [] : [['Authorization', `Basic ${base64(`${user}:${password}`)}`]]
  return { origin: url.origin, headers: mergeHeaders(authorization, runHeaders, job.options.headers ?? []) }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Of the UTF-8 bytes, as RFC 7617 §2.1 recommends. */
function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)))
}

/** Later lists replace the same names of earlier ones; a name may stand twice within one list. */
function mergeHeaders(...lists: Headers[]): [string, string][] {
  let merged: [string, string][] = []
  for (const list of lists) {
    const names = new Set(list.map(([name]) => name.toLowerCase()))
    const kept = merged.filter(([name]) => !names.has(name.toLowerCase()))
    merged = [...kept, ...list.map(([name, value]): [string, string] => [name, value])]
  }
  return merged
}
