// Decides where a redirect may lead and which headers may travel there. Knows nothing of sockets.

import type { Failure } from './failure.ts'
import { redactUrl } from './redact.ts'
import type { Headers } from './validator.ts'

/** What the caller sends, bound to the one origin it was meant for. */
export interface Credentials {
  /** The job's own: its origin is meant. */
  readonly url: string
  /** `-H`, `header=`, Authorization: everything that came from the caller. */
  readonly headers: Headers
}

export type Hop =
  | { readonly do: 'go'; readonly url: string; readonly host: string }
  | { readonly do: 'refuse'; readonly failure: Failure }

/** `example.com:443`: scheme's port made explicit, so that http and https count as different hosts. */
export function hostOf(url: URL): string {
  return `${url.hostname}:${url.port || (url.protocol === 'https:' ? '443' : '80')}`
}

/** Resolves a Location against the URL it came from (RFC 9110 §10.2.2); only http and https are followed. */
export function decideHop(from: string, location: string, hopsSoFar: number, maxHops: number): Hop {
  const shown = redactUrl(location).slice(0, 200)
  const refuse = (reason: string): Hop => ({
    do: 'refuse',
    failure: { kind: 'redirect-refused', reason, location: shown },
  })
  if (hopsSoFar >= maxHops) return { do: 'refuse', failure: { kind: 'too-many-redirects', limit: maxHops } }
  let to: URL
  try {
    to = new URL(location, from)
  } catch {
    return refuse('it is no URL')
  }
  if (to.protocol !== 'http:' && to.protocol !== 'https:') return refuse('only http and https are followed')
  // Credentials a server puts into a Location are its own words, not the caller's: they are not used.
  to.username = ''
  to.password = ''
  to.hash = ''
  return { do: 'go', url: to.href, host: hostOf(to) }
}

/** Same scheme, host and port (RFC 6454 §4): what is said to one may be said to the other. */
export function isSameOrigin(url: string, other: string): boolean {
  return url === other || new URL(url).origin === new URL(other).origin
}

/** The caller's headers, and only for the origin they were given for. */
export function headersFor(url: string, credentials: Credentials): Headers {
  return isSameOrigin(url, credentials.url) ? credentials.headers : []
}
