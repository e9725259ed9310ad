// Names what went wrong inside the child, from error codes only: messages may hold URLs and with them secrets.

import type { ChildFailure } from '../protocol/message.ts'

/** An error whose meaning was known where it arose. */
export class KnownFailure extends Error {
  readonly failure: ChildFailure

  constructor(failure: ChildFailure) {
    super(failure.kind)
    this.failure = failure
  }
}

const TLS_CODE =
  /^(CERT_|ERR_TLS_|ERR_SSL_|ERR_OSSL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|INVALID_CA|PATH_LENGTH|EPROTO$|CRL_)/
const NAME_CODE = /^(ENOTFOUND|EAI_|ENODATA|ESERVFAIL)/

export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code.slice(0, 60) : undefined
}

/** `url`: where the request went, for the host's name. */
export function childFailureOf(error: unknown, url: string | undefined): ChildFailure {
  if (error instanceof KnownFailure) return error.failure
  // As long as it may be told: names may be longer than any name server knows.
  const host = url === undefined ? '' : new URL(url).host.slice(0, 255)
  const code = codeOf(error)
  if (code === undefined) {
    const name = error instanceof Error ? `${error.name} at ${placeOf(error)}` : typeof error
    return { kind: 'child-error', detail: name.slice(0, 200) }
  }
  if (NAME_CODE.test(code)) return { kind: 'unknown-host', host: host.replace(/:\d+$/, ''), code }
  if (code === 'ECONNREFUSED') return { kind: 'connect-refused', host }
  if (code.startsWith('HPE_')) return { kind: 'protocol', code }
  if (TLS_CODE.test(code)) return { kind: 'tls', code: tlsCodeOf(code, error), host }
  return { kind: 'network', code, host }
}

/** Node calls every answer that it cannot go on with EPROTO, and what OpenSSL made of it stands in the message only. */
function tlsCodeOf(code: string, error: unknown): string {
  if (code !== 'EPROTO' || !(error instanceof Error)) return code
  if (/wrong version number|packet length too long/.test(error.message)) return 'ERR_SSL_WRONG_VERSION_NUMBER'
  return /unsupported protocol/.test(error.message) ? 'ERR_SSL_UNSUPPORTED_PROTOCOL' : code
}

export function diskFailureOf(error: unknown, operation: 'open' | 'write' = 'write'): ChildFailure {
  const code = codeOf(error) ?? 'EIO'
  return code === 'ENOSPC' || code === 'EDQUOT'
    ? { kind: 'disk-full', path: 'the part' }
    : { kind: 'disk-error', code, operation, path: 'the part' }
}

/** Where an unforeseen error was thrown: a function name and position, never the message. */
function placeOf(error: Error): string {
  const frame = error.stack?.split('\n').find((line) => line.trimStart().startsWith('at '))
  return frame === undefined
    ? 'an unknown place'
    : frame
        .trim()
        .slice(3)
        .replace(/\(?(?:file:\/\/)?\/.*\//, '(')
}
