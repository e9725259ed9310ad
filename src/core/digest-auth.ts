// Decides what an answer to a Digest challenge says (RFC 7616 §3.4). Knows nothing of nonces used before, and is given
// its hash function and cnonce.

import type { DigestAlgorithm, DigestChallenge } from './challenge.ts'
import type { UserPassword } from './credentials.ts'

/** Lower-case hexadecimal, of a text whose every character stands for one byte. */
export type DigestHash = (algorithm: DigestAlgorithm, bytes: string) => string

export interface DigestRequest {
  readonly method: string
  /** Path and query, exactly as in the request line. */
  readonly uri: string
  readonly user: UserPassword
  /** Visible ASCII. One for all requests of a `-sess` challenge. */
  readonly cnonce: string
  /** How many requests with this nonce there were, this one included. */
  readonly nonceCount: number
}

/** The value of Authorization, its characters standing for bytes as Node's headers have it. */
export function digestAuthorization(challenge: DigestChallenge, request: DigestRequest, hash: DigestHash): string {
  const { realm, nonce, opaque, algorithm, algorithmName, isSession, qop, hashesUser, isUtf8 } = challenge
  const { method, uri, cnonce } = request
  const digest = (...parts: string[]) => hash(algorithm, parts.join(':'))
  // §4; where the server does not say UTF-8, curl sends it all the same.
  const bytesOf = (text: string) => utf8(isUtf8 ? text.normalize('NFC') : text)
  const [user, password] = [bytesOf(request.user.user), bytesOf(request.user.password)]

  const secret = digest(user, realm, password)
  const ha1 = isSession ? digest(secret, nonce, cnonce) : secret
  const ha2 = qop === 'auth-int' ? digest(method, uri, hash(algorithm, '')) : digest(method, uri)
  const nc = request.nonceCount.toString(16).padStart(8, '0')
  const response = qop === undefined ? digest(ha1, nonce, ha2) : digest(ha1, nonce, nc, cnonce, qop, ha2)

  return `Digest ${[
    hashesUser ? `username=${quoted(digest(user, realm))}` : usernameOf(user, isUtf8),
    `realm=${quoted(realm)}`,
    `uri=${quoted(uri)}`,
    ...(algorithmName === undefined ? [] : [`algorithm=${algorithmName}`]),
    `nonce=${quoted(nonce)}`,
    ...(qop === undefined ? [] : [`nc=${nc}`, `cnonce=${quoted(cnonce)}`, `qop=${qop}`]),
    `response=${quoted(response)}`,
    ...(opaque === undefined ? [] : [`opaque=${quoted(opaque)}`]),
    ...(hashesUser ? ['userhash=true'] : []),
  ].join(', ')}`
}

/** Of what cannot stand between quotes only the extended notation is left (RFC 8187). */
function usernameOf(user: string, isUtf8: boolean): string {
  const needsExtended = isUtf8 ? /[^\x20-\x7e]/ : /[^\t\x20-\x7e\x80-\xff]/
  if (!needsExtended.test(user)) return `username=${quoted(user)}`
  const escaped = (byte: string) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
  return `username*=UTF-8''${user.replace(/[^A-Za-z0-9!#$&+.^_`|~-]/g, escaped)}`
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}

function utf8(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join('')
}
