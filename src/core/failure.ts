// Every way a job can go wrong, what class it belongs to, whether another attempt may help, and the one
// place where a failure becomes a sentence. Knows nothing of processes or files.

import { formatBytes, formatDuration } from './units.ts'

/** Who has a name that a job's file should get. */
export type NameHolder = 'this run' | 'another job' | 'somebody else'

/** A failure as data. Every kind names what happened; none carries a secret (URLs are redacted before). */
export type Failure =
  // the disk
  | { kind: 'disk-full'; path: string; freeBytes?: number; neededBytes?: number }
  | { kind: 'no-room'; path: string; freeBytes: number; neededBytes: number }
  | { kind: 'foreign-part'; path: string }
  | { kind: 'disk-error'; code: string; operation: string; path: string }
  | { kind: 'target-is-directory'; path: string }
  | { kind: 'target-is-symlink'; path: string }
  | { kind: 'locked'; path: string; pid?: number }
  /** The file's name is that of something that is not this job's to replace. */
  | { kind: 'name-taken'; path: string; by: NameHolder }
  // the network
  | { kind: 'unknown-host'; host: string; code: string }
  | { kind: 'connect-refused'; host: string }
  | { kind: 'network'; code: string; host: string }
  | { kind: 'connect-timeout'; host: string; afterMs: number }
  | { kind: 'headers-timeout'; afterMs: number }
  | { kind: 'truncated'; expectedBytes?: number; receivedBytes: number; code?: string }
  | { kind: 'host-down'; host: string; cause: string }
  /** `proxy`: its host and port; `status`: its answer, when it gave one. */
  | { kind: 'proxy'; proxy: string; code: string; status?: number }
  | { kind: 'private-address'; host: string; address: string }
  // TLS
  | { kind: 'tls'; code: string; host: string }
  // HTTP
  /** `hint`: what was not tried, or why what was tried did not help. */
  | { kind: 'unauthorized'; status: number; scheme?: string; hint?: string }
  | { kind: 'type-refused'; contentType: string; accepted: readonly string[] }
  | { kind: 'broken-coding'; coding: string; code: string }
  | { kind: 'protocol'; code: string }
  | { kind: 'redirect-refused'; reason: string; location: string }
  | { kind: 'too-many-redirects'; limit: number }
  | { kind: 'http-status'; status: number; retryAfterMs?: number }
  | { kind: 'too-large'; sizeBytes?: number; limitBytes: number }
  | { kind: 'try-later'; status: number; waitMs: number; atMs: number }
  /** A further child was sent for a range and got something that does not belong to this file. */
  | { kind: 'range-refused'; reason: string }
  // integrity
  | { kind: 'checksum'; algorithm: string; expected: string; actual: string }
  | { kind: 'length'; expectedBytes: number; actualBytes: number }
  // killed by the supervisor
  | { kind: 'boot-timeout'; afterMs: number }
  | { kind: 'hang'; afterMs: number }
  | { kind: 'stall'; afterMs: number }
  | { kind: 'too-slow'; bytesPerSecond: number; windowMs: number }
  | { kind: 'deadline'; afterMs: number }
  | { kind: 'memory'; residentBytes: number; limitBytes: number }
  | { kind: 'garbled'; detail: string }
  | { kind: 'flood'; messagesPerSecond: number }
  /** Without `pid`: a thread, or what ran in the supervisor itself. */
  | { kind: 'abandoned'; pid?: number; afterMs: number }
  // the child ended by itself
  | { kind: 'crash-signal'; signal: string }
  | { kind: 'out-of-memory'; limitBytes: number }
  | { kind: 'exit-without-result'; exitCode: number }
  | { kind: 'child-error'; detail: string }
  | { kind: 'spawn'; code: string }
  /** What ran it ended with all that ran there, `others` besides it; `how`: the sentence of that end. */
  | { kind: 'suspect'; others: number; how: string }
  // the run
  | { kind: 'bad-line'; problem: string }
  | { kind: 'list-changed' }
  | { kind: 'cancelled'; signal: string }
  | { kind: 'run-deadline'; afterMs: number }
  | { kind: 'stopped'; reason: string }
  /** A further child for one file came too late. */
  | { kind: 'not-needed' }

export type FailureKind = Failure['kind']

/** What the exit code is chosen from; the order is wget's, widened (see cli/exit-code.ts). */
export type FailureClass =
  | 'file'
  | 'network'
  | 'tls'
  | 'auth'
  | 'protocol'
  | 'http'
  | 'integrity'
  | 'killed'
  | 'crashed'
  | 'spawn'
  | 'other'

/** The outcome a job gets when this failure is its last. */
export type FailureOutcome = 'failed' | 'killed' | 'crashed' | 'abandoned' | 'cancelled'

interface Trait {
  readonly class: FailureClass
  readonly outcome: FailureOutcome
  readonly transient: boolean
}

const trait = (of: FailureClass, outcome: FailureOutcome, transient: boolean): Trait => ({
  class: of,
  outcome,
  transient,
})

const TRAITS: { readonly [K in FailureKind]: Trait } = {
  'disk-full': trait('file', 'failed', false),
  'no-room': trait('file', 'failed', false),
  'foreign-part': trait('file', 'failed', false),
  'disk-error': trait('file', 'failed', false),
  'target-is-directory': trait('file', 'failed', false),
  'target-is-symlink': trait('file', 'failed', false),
  locked: trait('file', 'failed', false),
  'name-taken': trait('file', 'failed', false),
  'unknown-host': trait('network', 'failed', true),
  'connect-refused': trait('network', 'failed', true),
  network: trait('network', 'failed', true),
  'connect-timeout': trait('network', 'failed', true),
  'headers-timeout': trait('network', 'failed', true),
  truncated: trait('network', 'failed', true),
  'host-down': trait('network', 'failed', false),
  proxy: trait('network', 'failed', true),
  'private-address': trait('protocol', 'failed', false),
  tls: trait('tls', 'failed', false),
  unauthorized: trait('auth', 'failed', false),
  'type-refused': trait('protocol', 'failed', false),
  'broken-coding': trait('protocol', 'failed', false),
  protocol: trait('protocol', 'failed', false),
  'redirect-refused': trait('protocol', 'failed', false),
  'too-many-redirects': trait('protocol', 'failed', false),
  'http-status': trait('http', 'failed', false),
  'range-refused': trait('protocol', 'failed', false),
  'too-large': trait('other', 'failed', false),
  'try-later': trait('http', 'failed', false),
  checksum: trait('integrity', 'failed', false),
  length: trait('integrity', 'failed', true),
  'boot-timeout': trait('killed', 'killed', true),
  hang: trait('killed', 'killed', true),
  stall: trait('killed', 'killed', true),
  'too-slow': trait('killed', 'killed', true),
  deadline: trait('killed', 'killed', false),
  memory: trait('killed', 'killed', true),
  garbled: trait('killed', 'killed', true),
  flood: trait('killed', 'killed', true),
  abandoned: trait('killed', 'abandoned', false),
  'crash-signal': trait('crashed', 'crashed', true),
  'out-of-memory': trait('crashed', 'crashed', true),
  'exit-without-result': trait('crashed', 'crashed', true),
  'child-error': trait('crashed', 'crashed', true),
  spawn: trait('spawn', 'failed', true),
  suspect: trait('crashed', 'crashed', true),
  'bad-line': trait('other', 'failed', false),
  'list-changed': trait('other', 'failed', false),
  cancelled: trait('other', 'cancelled', false),
  'run-deadline': trait('killed', 'killed', false),
  stopped: trait('other', 'cancelled', false),
  'not-needed': trait('other', 'cancelled', false),
}

export const FAILURE_KINDS = Object.keys(TRAITS) as readonly FailureKind[]

/** Statuses that another attempt may change (curl's list, with Cloudflare's 520–524). */
const TRANSIENT_STATUSES: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524])

export function classOf(failure: Failure): FailureClass {
  if (failure.kind === 'proxy' && failure.code === 'not-authenticated') return 'auth'
  return TRAITS[failure.kind].class
}

export function outcomeOf(failure: Failure): FailureOutcome {
  return TRAITS[failure.kind].outcome
}

/** What may pass by itself between us and a proxy, or between it and the host; to all else it will say no again. */
const TRANSIENT_PROXY_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EMPTY_REPLY',
  'ERR_PROXY_TUNNEL',
  'unreachable',
  'failure',
  'host-unreachable',
  'network-unreachable',
  'connection-refused',
])

/** Whether the same request may succeed later. Decided by kind, and by the answer where there was one. */
export function isTransient(failure: Failure): boolean {
  if (failure.kind === 'http-status') return TRANSIENT_STATUSES.has(failure.status)
  if (failure.kind !== 'proxy') return TRAITS[failure.kind].transient
  return failure.status === undefined ? TRANSIENT_PROXY_CODES.has(failure.code) : TRANSIENT_STATUSES.has(failure.status)
}

/** Whether the host could not be reached at all, which counts against the host and not only the job. */
export function isConnectFailure(failure: Failure): boolean {
  return (
    failure.kind === 'connect-refused' ||
    failure.kind === 'connect-timeout' ||
    failure.kind === 'unknown-host' ||
    (failure.kind === 'proxy' && failure.status === undefined && isTransient(failure)) ||
    (failure.kind === 'network' && ['EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'EHOSTDOWN'].includes(failure.code))
  )
}

const STATUS_TEXT: Readonly<Record<number, string>> = {
  204: 'No Content',
  304: 'Not Modified',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  407: 'Proxy Authentication Required',
  408: 'Request Timeout',
  410: 'Gone',
  416: 'Range Not Satisfiable',
  425: 'Too Early',
  429: 'Too Many Requests',
  451: 'Unavailable For Legal Reasons',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}

const TLS_TEXT: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'the certificate has expired',
  CERT_NOT_YET_VALID: 'the certificate is not valid yet (check the clock)',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate is for another host',
  HOSTNAME_MISMATCH: 'the certificate is for another host',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate is self-signed (trust it with --cacert FILE)',
  SELF_SIGNED_CERT_IN_CHAIN: 'the chain ends in a self-signed certificate (trust it with --cacert FILE)',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the issuer of the certificate is unknown (trust it with --cacert FILE)',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'the issuer of the certificate is unknown (trust it with --cacert FILE)',
  UNABLE_TO_GET_ISSUER_CERT: 'the issuer of the certificate is unknown (trust it with --cacert FILE)',
  CERT_REVOKED: 'the certificate was revoked',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'the server speaks only old versions of TLS',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'the server speaks only old versions of TLS',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'the server wants a client certificate (--cert FILE)',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'the server does not know who issued the client certificate (--cert)',
  'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED': 'the server finds the client certificate (--cert) expired',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'the server finds the client certificate (--cert) expired',
  'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE': 'the server does not accept the client certificate (--cert)',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'the server does not accept the client certificate (--cert)',
  ERR_SSL_WRONG_VERSION_NUMBER: 'the server does not speak TLS on this port (did you mean http://?)',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'the server does not speak TLS on this port (did you mean http://?)',
}

const DISK_TEXT: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EROFS: 'the file system is read-only',
  ENOTDIR: 'a file stands where a directory is needed',
  EISDIR: 'a directory stands where a file is needed',
  EEXIST: 'a file of that name exists',
  ENOENT: 'it is gone',
  ENAMETOOLONG: 'the path is too long',
  EDQUOT: 'the disk quota is used up',
  EIO: 'input/output error of the disk',
  EFBIG: 'the file is larger than the file system or ulimit allows',
  ELOOP: 'a symbolic link stands in the way',
  EXDEV: 'the directory crosses file systems',
}

const SPAWN_TEXT: Readonly<Record<string, string>> = {
  EAGAIN: 'the limit of processes is reached (raise ulimit -u or lower -j)',
  ENOMEM: 'no memory for another process (lower -j)',
  EMFILE: 'too many open files (raise ulimit -n or lower -j)',
  ENFILE: 'the system has too many open files',
  ENOENT: 'the program is missing',
}

const NETWORK_TEXT: Readonly<Record<string, string>> = {
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed by the server',
  ETIMEDOUT: 'the connection timed out',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'the network is unreachable',
  ECONNABORTED: 'the connection was aborted',
  EMPTY_REPLY: 'the server closed the connection without an answer',
}

const HOLDER_TEXT: Readonly<Record<NameHolder, string>> = {
  'this run': 'it is the list of this run, its configuration, a report or a cookie jar; use out= or another directory',
  'another job': "it is another job's; use out= or --on-clash rename",
  'somebody else': 'this job did not leave it there like that; use out= or --on-clash rename',
}

const PROXY_TEXT: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'unknown host',
  ERR_PROXY_TUNNEL: 'it gave no answer that is one',
  EMPTY_REPLY: 'it closed the connection without an answer',
  unreachable: 'it cannot be reached',
  'not-socks': 'it does not speak SOCKS5',
  'not-authenticated': 'it does not accept the user and password',
  'not-allowed': 'it does not allow this connection',
  'host-unreachable': 'it cannot reach the host',
  'network-unreachable': 'it cannot reach the network of the host',
  'connection-refused': 'the host refused its connection',
  failure: 'it failed, and does not say how',
  refused: 'it refused the connection',
  'name-too-long': 'the name of the host has more than the 255 bytes that SOCKS can carry',
}

/** With a proxy the same goes wrong as with a server. */
function proxyText(code: string): string {
  return tag(PROXY_TEXT[code] ?? NETWORK_TEXT[code] ?? TLS_TEXT[code] ?? PROTOCOL_TEXT[code], code)
}

const PROTOCOL_TEXT: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: 'the headers are larger than 64 KiB',
  HPE_INVALID_CHUNK_SIZE: 'a chunk of the body is malformed',
  HPE_INVALID_CONSTANT: 'the answer is not HTTP',
  HPE_INVALID_CONTENT_LENGTH: 'the Content-Length is malformed',
  HPE_UNEXPECTED_CONTENT_LENGTH: 'Content-Length was given twice or beside Transfer-Encoding',
  HPE_INVALID_TRANSFER_ENCODING: 'the Transfer-Encoding is malformed',
  HPE_INVALID_HEADER_TOKEN: 'a header is malformed',
  HPE_LF_EXPECTED: 'the lines of the answer end wrongly',
  HPE_CR_EXPECTED: 'the lines of the answer end wrongly',
  HPE_STRICT: 'the answer breaks the rules of HTTP',
  'range-unasked': 'it sent a range nobody asked for (206)',
  'upgrade-unasked': 'it switched protocols though nobody asked (101)',
  'not-modified-unasked': 'it said "not modified" though nothing was asked about (304)',
  'transfer-coding-unasked': 'the body has a transfer coding that was not asked for',
  'coding-unasked': 'the body has a coding that was not asked for',
  'range-malformed': 'its Content-Range is missing or malformed',
  'range-mismatch': 'its Content-Range is not the range asked for',
}

const tag = (text: string | undefined, code: string) => (text === undefined ? code : `${text} (${code})`)

/** The sentence for people: what happened, where it matters the numbers, and what to do. One line, no secrets. */
export function describe(failure: Failure): string {
  switch (failure.kind) {
    case 'disk-full': {
      const free = failure.freeBytes === undefined ? '' : `, ${formatBytes(failure.freeBytes)} free`
      const needed = failure.neededBytes === undefined ? '' : `, ${formatBytes(failure.neededBytes)} needed`
      return `disk full at ${failure.path}${free}${needed} (see --min-disk-free)`
    }
    case 'no-room':
      return `${formatBytes(failure.neededBytes)} announced, ${formatBytes(failure.freeBytes)} free at ${failure.path} (see --min-disk-free)`
    case 'foreign-part':
      return `${failure.path} exists and is not a part of mpdl's; move it away, remove it, or continue it with -c`
    case 'disk-error':
      return `cannot ${failure.operation} ${failure.path}: ${tag(DISK_TEXT[failure.code], failure.code)}`
    case 'target-is-directory':
      return `${failure.path} is a directory, and a file should go there`
    case 'target-is-symlink':
      return `${failure.path} is a symbolic link; mpdl does not write through links`
    case 'locked':
      return `${failure.path} is being written by another run${failure.pid === undefined ? '' : ` (pid ${failure.pid})`}`
    case 'name-taken':
      return `${failure.path} is not replaced: ${HOLDER_TEXT[failure.by]}`
    case 'unknown-host':
      return failure.code === 'EAI_AGAIN'
        ? `the name server gave no answer for ${failure.host}`
        : `unknown host ${failure.host}`
    case 'connect-refused':
      return `connection refused by ${failure.host}`
    case 'network':
      return `${failure.host}: ${tag(NETWORK_TEXT[failure.code], failure.code)}`
    case 'connect-timeout':
      return `no connection to ${failure.host} within ${formatDuration(failure.afterMs)} (--connect-timeout)`
    case 'headers-timeout':
      return `no answer within ${formatDuration(failure.afterMs)} of the request (five times --timeout)`
    case 'truncated':
      return failure.expectedBytes === undefined
        ? `the connection broke after ${formatBytes(failure.receivedBytes)} of unknown length`
        : `the connection ended after ${formatBytes(failure.receivedBytes)} of ${formatBytes(failure.expectedBytes)}`
    case 'host-down':
      return `host ${failure.host} is down: ${failure.cause}`
    case 'tls':
      return `TLS with ${failure.host} failed: ${tag(TLS_TEXT[failure.code], failure.code)}`
    case 'proxy':
      return failure.status === undefined
        ? `proxy ${failure.proxy}: ${proxyText(failure.code)}`
        : `proxy ${failure.proxy} refused: HTTP ${failure.status} ${STATUS_TEXT[failure.status] ?? ''}`.trimEnd()
    case 'private-address':
      return failure.host === failure.address
        ? `${failure.host} is no public address (--block-private)`
        : `${failure.host} is ${failure.address}, which is no public address (--block-private)`
    case 'unauthorized': {
      const who = failure.status === 407 ? 'the proxy' : 'the server'
      const scheme = failure.scheme === undefined ? '' : ` (${failure.scheme})`
      const hint = failure.hint === undefined ? '' : `; ${failure.hint}`
      return `HTTP ${failure.status} ${STATUS_TEXT[failure.status] ?? ''}: ${who} wants credentials${scheme}${hint}`
    }
    case 'type-refused':
      return `the server sends ${failure.contentType}; accepted is ${failure.accepted.join(', ')} (--accept-type)`
    case 'broken-coding':
      return `the body's ${failure.coding} coding is broken (${failure.code})`
    case 'protocol':
      return `the server broke HTTP: ${tag(PROTOCOL_TEXT[failure.code], failure.code)}`
    case 'redirect-refused':
      return `redirect to ${failure.location} refused: ${failure.reason}`
    case 'too-many-redirects':
      return `more than ${failure.limit} redirects (--max-redirects)`
    case 'http-status':
      return `HTTP ${failure.status}${STATUS_TEXT[failure.status] === undefined ? '' : ` ${STATUS_TEXT[failure.status]}`}`
    case 'too-large':
      return `${failure.sizeBytes === undefined ? 'the body' : formatBytes(failure.sizeBytes)} is more than --max-filesize ${formatBytes(failure.limitBytes)}`
    case 'try-later':
      return `HTTP ${failure.status}: try later, at ${new Date(failure.atMs).toISOString()} (Retry-After ${formatDuration(failure.waitMs)})`
    case 'range-refused':
      return `no part of this file: ${failure.reason}`
    case 'checksum':
      return `${failure.algorithm} is ${failure.actual}, the list says ${failure.expected}`
    case 'length':
      return `${formatBytes(failure.actualBytes)} on disk, ${formatBytes(failure.expectedBytes)} announced`
    case 'boot-timeout':
      return `BOOT the child did not report within ${formatDuration(failure.afterMs)}`
    case 'hang':
      return `HUNG no heartbeat for ${formatDuration(failure.afterMs)}`
    case 'stall':
      return `STALLED no body bytes for ${formatDuration(failure.afterMs)}`
    case 'too-slow':
      return `SLOW ${formatBytes(failure.bytesPerSecond)}/s over ${formatDuration(failure.windowMs)} (--min-speed)`
    case 'deadline':
      return `DEADLINE not done within ${formatDuration(failure.afterMs)} (--deadline)`
    case 'memory':
      return `MEMORY the child held ${formatBytes(failure.residentBytes)}, allowed are ${formatBytes(failure.limitBytes)} (--max-memory)`
    case 'garbled':
      return `GARBLED the child sent what is no message (${failure.detail})`
    case 'flood':
      return `FLOOD the child sent ${failure.messagesPerSecond} messages in a second`
    case 'abandoned':
      return failure.pid === undefined
        ? `ABANDONED it could not be ended within ${formatDuration(failure.afterMs)} (--isolate process can)`
        : `ABANDONED pid ${failure.pid} was not gone ${formatDuration(failure.afterMs)} after SIGKILL`
    case 'crash-signal':
      return `CRASHED the child died of ${failure.signal}`
    case 'out-of-memory':
      return `CRASHED the child ran out of memory (--max-memory ${formatBytes(failure.limitBytes)})`
    case 'exit-without-result':
      return `CRASHED the child left with exit code ${failure.exitCode} and without a result`
    case 'child-error':
      return `CRASHED the child failed inside: ${failure.detail}`
    case 'suspect':
      return `SUSPECT with ${failure.others} other${failure.others === 1 ? '' : 's'} in one process: ${failure.how}`
    case 'spawn':
      return `cannot start a child process: ${tag(SPAWN_TEXT[failure.code], failure.code)}`
    case 'bad-line':
      return failure.problem
    case 'list-changed':
      return 'the list was edited while mpdl was reading it; this line is not what it was'
    case 'cancelled':
      return `cancelled by ${failure.signal}`
    case 'run-deadline':
      return `the run ended after ${formatDuration(failure.afterMs)} (--run-deadline)`
    case 'stopped':
      return `stopped: ${failure.reason}`
    case 'not-needed':
      return 'not needed any more: the others have brought its bytes'
  }
}
