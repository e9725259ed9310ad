// The wire between supervisor and child, in one page.
//
// Law: the child speaks first (`ready`, with its version) and gets exactly one `task`. A fetch then goes
// phase* head (go phase* head)* (receive beat* done | refuse refused) and may end anywhere with `failed`.
// The child decides nothing: every response's head is a question, and the supervisor answers with another
// request (`go`), the bytes to take (`receive`) or `refuse`. While it receives it may be told to stop earlier
// (`limit`, which it always answers with `limited` and the end it honours) and how fast to go (`rate`, at any
// time, not answered). A `limit` that crosses the claim stays unanswered. Body bytes never cross this wire.
// Where it shares a process with others it is told to `stop` instead of being signalled: it leaves without a claim.
// `done` says how far a fetch came, and before a `failed` a last `beat` with the exact position does. After its claim
// (`done`, `refused`, `failed`) the child leaves; only the reap ends the attempt.
// One JSON object a line, of bounded length; what does not decode is garbled, and garbled is killed.

import * as v from 'valibot'
import { CODINGS } from '../core/coding.ts'
import { variant } from './variant.ts'

export const PROTOCOL_VERSION = 4
/** What a child may say in one breath: headers are at most 64 KiB, doubled at worst by JSON. */
export const MAX_MESSAGE_BYTES = 512 * 1024
/** What it may be told: headers, URL, and the certificates of --cacert and --cert. */
export const MAX_COMMAND_BYTES = 8 * 2 ** 20
/** The child's descriptors: the one file it may touch stands in for its standard input; then the wire. */
export const FILE_DESCRIPTOR = 0
export const WIRE_DESCRIPTOR = 3

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const headerList = v.array(v.strictTuple([v.string(), v.string()]))
const shortText = v.pipe(v.string(), v.maxLength(300))
const durationMs = v.pipe(v.number(), v.finite(), v.minValue(0))

/** One request. Whatever is secret in it is meant for its URL's origin, or for the proxy. */
const request = {
  method: v.picklist(['GET', 'HEAD']),
  url: v.string(),
  headers: headerList,
  /** `http://`, `https://`, `socks5://` (names looked up here) or `socks5h://`, with credentials; absent: directly. */
  proxy: v.exactOptional(v.string()),
  /** PEM, for a server that asks who is there. */
  clientCertificate: v.exactOptional(v.strictObject({ cert: v.string(), key: v.string() })),
}

const fetchTask = v.strictObject({
  kind: v.literal('fetch'),
  ...request,
  beatMs: count,
  /** PEM certificates trusted besides Node's own. */
  ca: v.exactOptional(v.string()),
  /** The origin's certificate is not verified; a proxy's is. */
  isInsecure: v.boolean(),
  /** No connection but to public addresses, whatever names and redirects say. */
  blocksPrivate: v.boolean(),
})

const hashTask = v.strictObject({
  kind: v.literal('hash'),
  algorithms: v.array(v.string()),
  sizeBytes: count,
  beatMs: count,
})

export const commandSchema = variant('type', [
  v.strictObject({
    type: v.literal('task'),
    version: v.literal(PROTOCOL_VERSION),
    task: variant('kind', [fetchTask, hashTask]),
  }),
  v.strictObject({ type: v.literal('go'), ...request }),
  v.strictObject({
    type: v.literal('receive'),
    /** Where the first byte that is written belongs in the file. */
    offsetBytes: count,
    /** How many are written; null: until the body ends. */
    lengthBytes: v.nullable(count),
    /** So many bytes of the body come first and are dropped: another child has them already. */
    skipBytes: count,
    /** Where the length is not known: the first byte beyond ends the attempt as `too-large`. */
    maxBytes: v.exactOptional(count),
    /** The body is decoded; all lengths are of what comes out. */
    coding: v.exactOptional(v.picklist(CODINGS)),
  }),
  /** Write nothing at or beyond this position of the file; at most as far as was told before. */
  v.strictObject({ type: v.literal('limit'), endBytes: count }),
  /** This child's share of --limit-rate; null: as fast as it comes. */
  v.strictObject({ type: v.literal('rate'), bytesPerSecond: v.nullable(v.pipe(count, v.minValue(1))) }),
  v.strictObject({ type: v.literal('refuse') }),
  /** At any time, once: nothing more is written. Not answered; that it left is. */
  v.strictObject({ type: v.literal('stop') }),
])

const timings = v.strictObject({
  nameLookupMs: v.optional(durationMs),
  connectMs: v.optional(durationMs),
  startTransferMs: v.optional(durationMs),
})

/** The failures a child may claim; everything else is for the supervisor to judge. */
export const childFailureSchema = variant('kind', [
  v.strictObject({ kind: v.literal('unknown-host'), host: shortText, code: shortText }),
  v.strictObject({ kind: v.literal('connect-refused'), host: shortText }),
  v.strictObject({ kind: v.literal('network'), code: shortText, host: shortText }),
  v.strictObject({
    kind: v.literal('truncated'),
    receivedBytes: count,
    expectedBytes: v.exactOptional(count),
    code: v.exactOptional(shortText),
  }),
  v.strictObject({ kind: v.literal('tls'), code: shortText, host: shortText }),
  v.strictObject({ kind: v.literal('protocol'), code: shortText }),
  /** The proxy could not be reached, or refused: `status` is its answer. */
  v.strictObject({
    kind: v.literal('proxy'),
    proxy: shortText,
    code: shortText,
    status: v.exactOptional(v.pipe(count, v.maxValue(999))),
  }),
  v.strictObject({ kind: v.literal('unauthorized'), status: v.literal(407) }),
  v.strictObject({ kind: v.literal('private-address'), host: shortText, address: shortText }),
  v.strictObject({ kind: v.literal('broken-coding'), coding: v.picklist(CODINGS), code: shortText }),
  v.strictObject({ kind: v.literal('too-large'), limitBytes: count }),
  v.strictObject({ kind: v.literal('disk-full'), path: shortText }),
  v.strictObject({ kind: v.literal('disk-error'), code: shortText, operation: shortText, path: shortText }),
  v.strictObject({ kind: v.literal('child-error'), detail: shortText }),
])

export const childMessageSchema = variant('type', [
  v.strictObject({ type: v.literal('ready'), version: count }),
  v.strictObject({ type: v.literal('phase'), phase: v.picklist(['connecting', 'waiting', 'hashing']) }),
  v.strictObject({
    type: v.literal('head'),
    status: v.pipe(v.number(), v.integer(), v.minValue(100), v.maxValue(999)),
    headers: headerList,
    remoteAddress: v.nullable(shortText),
    timings,
  }),
  /** While receiving: the position in the file behind the last byte written. While hashing: bytes read. */
  v.strictObject({ type: v.literal('beat'), bytes: count }),
  /** The end it honours: as asked, or where it already is. */
  v.strictObject({ type: v.literal('limited'), endBytes: count }),
  v.strictObject({
    type: v.literal('done'),
    /** Written by this response, or hashed. */
    bytes: count,
    digests: v.exactOptional(v.record(shortText, v.pipe(v.string(), v.regex(/^[0-9a-f]{32,128}$/)))),
  }),
  v.strictObject({ type: v.literal('refused') }),
  v.strictObject({ type: v.literal('failed'), failure: childFailureSchema }),
])

export type Command = v.InferOutput<typeof commandSchema>
export type Task = Extract<Command, { type: 'task' }>['task']
export type ClientCertificate = NonNullable<FetchTask['clientCertificate']>
export type Request = Pick<FetchTask, keyof typeof request>
export type FetchTask = Extract<Task, { kind: 'fetch' }>
export type HashTask = Extract<Task, { kind: 'hash' }>
export type ChildMessage = v.InferOutput<typeof childMessageSchema>
export type ChildFailure = v.InferOutput<typeof childFailureSchema>
