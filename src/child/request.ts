// One request, one response head, by node-fetch. Follows nothing, decodes nothing, waits for ever: redirects,
// codings and deadlines are the supervisor's.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Agent, AgentOptions } from 'node:http'
import http from 'node:http'
import type { OnReadOpts, Socket } from 'node:net'
import fetch from 'node-fetch'
import type { ChildMessage } from '../protocol/message.ts'
import { Intake, type Sink } from './takeover.ts'

type HeadMessage = Omit<Extract<ChildMessage, { type: 'head' }>, 'type'>

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

export interface OpenOptions {
  /** PEM certificates trusted besides Node's own. */
  readonly ca: string | undefined
  /** Whether the socket may be taken over for a body that allows it. */
  readonly takeover: boolean
  /** `waiting` comes when the connection, TLS included, stands. */
  readonly onPhase: (phase: 'connecting' | 'waiting') => void
}

/** Set on an error when the connection ended before the first byte of an answer, and cleanly. */
export class EmptyReply extends Error {}

/** Opens one response. Rejects with node-fetch's or the socket's error (see failure-of.ts). */
export async function openResponse(
  request: { url: string; headers: readonly (readonly [string, string])[] },
  { ca, takeover, onPhase }: OpenOptions,
): Promise<OpenResponse> {
  const isTls = request.url.startsWith('https:')
  const startedAt = performance.now()
  const timings: { nameLookupMs?: number; connectMs?: number; startTransferMs?: number } = {}
  const since = () => Math.round((performance.now() - startedAt) * 1000) / 1000
  let socket: Socket | undefined
  let hasFailed = false
  let hasEnded = false
  let hasBegun = false
  const intake = new Intake(takeover)

  const observe = (opened: Socket): void => {
    socket = opened
    intake.attach(opened)
    opened.once('lookup', () => {
      timings.nameLookupMs = since()
    })
    opened.once(isTls ? 'secureConnect' : 'connect', () => {
      timings.connectMs = since()
      onPhase('waiting')
    })
    opened.on('error', () => {
      hasFailed = true
    })
    opened.once('end', () => {
      hasEnded = true
    })
  }

  onPhase('connecting')
  const agent = observedAgent(isTls, ca, intake.onread, observe)
  const onRequest = (message: unknown) => {
    const started = requestOf(message)
    if (started === undefined || !('agent' in started) || started.agent !== agent) return
    started.prependOnceListener('response', (response) => {
      hasBegun = true
      intake.begin(response)
    })
    started.on('error', (error) => intake.end(error))
    // Node waits for more after a bare 101, and for ever after one with an upgrade: neither was asked for.
    // The socket is no longer the request's then, so its end would not be told.
    const refuse = () => started.emit('error', Object.assign(new Error('101'), { code: UPGRADE_UNASKED }))
    started.on('upgrade', refuse)
    started.on('information', ({ statusCode }) => {
      if (statusCode === 101) refuse()
    })
  }
  subscribe(REQUEST_STARTS, onRequest)
  try {
    const response = await fetch(request.url, {
      headers: request.headers.map(([name, value]) => [name, value]),
      redirect: 'manual',
      compress: false,
      agent,
    })
    timings.startTransferMs = since()
    if (!hasBegun) throw new Error('a response that was not taken in')
    // Nothing is read from it, so nobody else would catch what ends it.
    response.body?.on('error', () => {})
    return {
      head: {
        status: response.status,
        headers: flatten(response.headers.raw()),
        remoteAddress: socket?.remoteAddress ?? null,
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
    if (hasEnded && !hasFailed && isHangUp(error)) throw new EmptyReply()
    throw error
  } finally {
    unsubscribe(REQUEST_STARTS, onRequest)
  }
}

/** The code of the error that ends a request whose answer was 101. */
export const UPGRADE_UNASKED = 'upgrade-unasked'
const REQUEST_STARTS = 'http.client.request.start'

function requestOf(message: unknown): http.ClientRequest | undefined {
  if (typeof message !== 'object' || message === null || !('request' in message)) return undefined
  return message.request instanceof http.ClientRequest ? message.request : undefined
}

function isHangUp(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ECONNRESET'
}

/** A fresh connection for every request: a reused one may be stale, and a stale one fails in strange ways. */
function observedAgent(
  isTls: boolean,
  ca: string | undefined,
  onread: OnReadOpts,
  observe: (socket: Socket) => void,
): Agent {
  const options = { keepAlive: false, maxSockets: 1, onread }
  const agent = isTls ? httpsAgent(options, ca) : new http.Agent(options)
  const create = agent.createConnection.bind(agent)
  agent.createConnection = (to, callback) => {
    const socket = create(to, callback)
    if (socket !== undefined && socket !== null) observe(socket as Socket)
    return socket
  }
  return agent
}

/** Loaded late: a list of http URLs never pays for TLS. */
function httpsAgent(options: AgentOptions, ca: string | undefined): Agent {
  const https: typeof import('node:https') = process.getBuiltinModule('node:https')
  const tls: typeof import('node:tls') = process.getBuiltinModule('node:tls')
  return new https.Agent(ca === undefined ? options : { ...options, ca: [...tls.rootCertificates, ca] })
}

function flatten(raw: Record<string, string[]>): [string, string][] {
  return Object.entries(raw).flatMap(([name, values]) => values.map((value): [string, string] => [name, value]))
}
