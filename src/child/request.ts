// One request, one response head, by node-fetch. Follows nothing, decodes nothing, waits for ever: redirects,
// codings and deadlines are the supervisor's.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import http from 'node:http'
import type { Socket } from 'node:net'
import fetch from 'node-fetch'
import type { ChildMessage, Request } from '../protocol/message.ts'
import { type ConnectionRules, connectionFor } from './connection.ts'
import type { Sink } from './delivery.ts'
import { codeOf, KnownFailure } from './failure-of.ts'
import { Intake } from './takeover.ts'

const MAX_HEADER_BYTES = 64 * 1024

export type HeadMessage = Omit<Extract<ChildMessage, { type: 'head' }>, 'type'>

export interface OpenResponse {
  readonly head: HeadMessage
  /**
   * Hands over the body's bytes as they come. Resolves with the error that ended the body, undefined when it ended as
   * its framing says. Every byte that arrived before an error is handed over.
   */
  receive(sink: Sink): Promise<Error | undefined>
  /** After a sink has answered false. */
  resume(): void
  discard(): void
}

export interface OpenOptions extends ConnectionRules {
  /** Whether the socket may be taken over for a body that allows it. */
  readonly takeover: boolean
  /** Closes whatever was opened, at any time. */
  readonly stopped: AbortSignal
  /** `waiting` comes when the connection, tunnel and TLS included, stands. */
  readonly onPhase: (phase: 'connecting' | 'waiting') => void
}

/** A cheaper way for plain requests; undefined for those that are not. */
export type OpenPlain = (request: Request, options: OpenOptions) => Promise<OpenResponse> | undefined

/** Opens one response. Rejects with what failure-of.ts can name. */
export async function openResponse(request: Request, options: OpenOptions): Promise<OpenResponse> {
  const { takeover, stopped, onPhase } = options
  const startedAt = performance.now()
  const timings: { nameLookupMs?: number; connectMs?: number; startTransferMs?: number } = {}
  const since = () => Math.round((performance.now() - startedAt) * 1000) / 1000
  let socket: Socket | undefined
  // A short answer may be over, and its connection with it, before anybody asks.
  let remoteAddress: string | undefined
  let hasFailed = false
  let hasEnded = false
  let hasBegun = false
  const intake = new Intake(takeover)

  onPhase('connecting')
  const connection = await connectionFor(request, options, intake.onread, {
    onLookup() {
      timings.nameLookupMs = since()
    },
    onLink(link) {
      stopped.addEventListener('abort', () => link.destroy())
    },
    onSocket(opened) {
      socket = opened
      intake.attach(opened)
      opened.on('error', () => {
        hasFailed = true
      })
      opened.once('end', () => {
        hasEnded = true
      })
    },
    onConnected() {
      timings.connectMs = since()
      remoteAddress = socket?.remoteAddress
      onPhase('waiting')
    },
  })
  let cause: unknown
  const onRequest = (message: unknown) => {
    const started = requestOf(message)
    if (started === undefined || !('agent' in started) || started.agent !== connection.agent) return
    // Node's own limit is a flag of the process, which may not be the child's own.
    Object.assign(started, { maxHeaderSize: MAX_HEADER_BYTES })
    started.prependOnceListener('response', (response) => {
      hasBegun = true
      intake.begin(response)
    })
    started.on('error', (error) => {
      cause ??= error
      intake.end(error)
    })
    // Node waits for more after a bare 101, and for ever after one with an upgrade: neither was asked for.
    // The socket is no longer the request's then, so its end would not be told.
    const refuse = () => started.emit('error', new KnownFailure({ kind: 'protocol', code: 'upgrade-unasked' }))
    started.on('upgrade', refuse)
    started.on('information', ({ statusCode }) => {
      if (statusCode === 101) refuse()
    })
  }
  subscribe(REQUEST_CREATED, onRequest)
  try {
    const response = await fetch(request.url, {
      method: request.method,
      headers: request.headers.map(([name, value]) => [name, value]),
      redirect: 'manual',
      compress: false,
      agent: connection.agent,
      signal: stopped,
    })
    timings.startTransferMs = since()
    if (!hasBegun) throw new Error('a response that was not taken in')
    // Nothing is read from it, so nobody else would catch what ends it.
    response.body?.on('error', () => {})
    return {
      head: {
        status: response.status,
        headers: flatten(response.headers.raw()),
        remoteAddress: remoteAddress ?? null,
        timings,
      },
      receive: (sink) => intake.receive(sink),
      resume: () => intake.resume(),
      discard() {
        socket?.destroy()
      },
    }
  } catch (error) {
    socket?.destroy()
    const isUnanswered = hasEnded && !hasFailed && codeOf(error) === 'ECONNRESET'
    // node-fetch keeps nothing of an error but its code.
    throw connection.blame(isUnanswered ? Object.assign(new Error(), { code: 'EMPTY_REPLY' }) : (cause ?? error))
  } finally {
    unsubscribe(REQUEST_CREATED, onRequest)
  }
}

const REQUEST_CREATED = 'http.client.request.created'

function requestOf(message: unknown): http.ClientRequest | undefined {
  if (typeof message !== 'object' || message === null || !('request' in message)) return undefined
  return message.request instanceof http.ClientRequest ? message.request : undefined
}

function flatten(raw: Record<string, string[]>): [string, string][] {
  return Object.entries(raw).flatMap(([name, values]) => values.map((value): [string, string] => [name, value]))
}
