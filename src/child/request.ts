// One request, one response head, by node-fetch. Follows nothing, decodes nothing, waits for ever: redirects,
// codings and deadlines are the supervisor's.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Agent, AgentOptions, IncomingMessage } from 'node:http'
import http from 'node:http'
import type { Socket } from 'node:net'
import fetch from 'node-fetch'
import type { ChildMessage } from '../protocol/message.ts'

type HeadMessage = Omit<Extract<ChildMessage, { type: 'head' }>, 'type'>

export interface OpenResponse {
  readonly head: HeadMessage
  /**
   * Hands over the body's bytes as they come, until the sink answers false. Resolves with the error that ended the
   * body, undefined when it ended as its framing says. Every byte that arrived before an error is handed over.
   */
  receive(sink: Sink): Promise<Error | undefined>
  discard(): void
}

/** True: more is welcome. */
export type Sink = (bytes: Uint8Array) => boolean

/** Set on an error when the connection ended before the first byte of an answer, and cleanly. */
export class EmptyReply extends Error {}

/**
 * Opens one response. Rejects with node-fetch's or the socket's error (see failure-of.ts).
 * `onPhase('waiting')` comes when the connection, TLS included, stands.
 */
export async function openResponse(
  request: { url: string; headers: readonly (readonly [string, string])[] },
  ca: string | undefined,
  onPhase: (phase: 'connecting' | 'waiting') => void,
): Promise<OpenResponse> {
  const isTls = request.url.startsWith('https:')
  const startedAt = performance.now()
  const timings: { nameLookupMs?: number; connectMs?: number; startTransferMs?: number } = {}
  const since = () => Math.round((performance.now() - startedAt) * 1000) / 1000
  let socket: Socket | undefined
  let hasFailed = false
  let hasEnded = false
  let body: Body | undefined

  const observe = (opened: Socket): void => {
    socket = opened
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
  const agent = observedAgent(isTls, ca, observe)
  const onRequest = (message: unknown) => {
    const started = requestOf(message)
    if (started === undefined || !('agent' in started) || started.agent !== agent) return
    started.prependOnceListener('response', (response) => {
      body = interceptBody(response)
    })
    started.on('error', (error) => body?.end(error))
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
    // Nothing is read from it, so nobody else would catch what ends it.
    response.body?.on('error', () => {})
    if (body === undefined) throw new Error('a response without a body to intercept')
    const { receive } = body
    return {
      head: {
        status: response.status,
        headers: flatten(response.headers.raw()),
        remoteAddress: socket?.remoteAddress ?? null,
        timings,
      },
      async receive(sink) {
        const ended = receive(sink)
        socket?.resume()
        return await ended
      },
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
/** What may pile up while the supervisor thinks about the head; then the connection is left to wait. */
const MAX_EARLY_BYTES = 256 * 1024

function requestOf(message: unknown): http.ClientRequest | undefined {
  if (typeof message !== 'object' || message === null || !('request' in message)) return undefined
  return message.request instanceof http.ClientRequest ? message.request : undefined
}

interface Body {
  receive(sink: Sink): Promise<Error | undefined>
  end(error: Error): void
}

/**
 * Takes a body's bytes where the parser hands them over. An error right behind them (a close, a broken chunk, bytes
 * beyond the announced length) makes Node and node-fetch drop what their streams still hold: up to 128 KiB that
 * arrived would be lost, at worst every time, and a download over a flaky line would never get anywhere.
 */
function interceptBody(message: IncomingMessage): Body {
  const early: Uint8Array[] = []
  let earlyBytes = 0
  let sink: Sink | undefined
  let end: (error?: Error) => void = () => {}
  const ended = new Promise<Error | undefined>((resolve) => {
    end = resolve
  })
  const take = (bytes: Uint8Array, into: Sink) => {
    if (!into(bytes)) end()
  }
  const push = message.push.bind(message)
  message.push = (chunk: Uint8Array | null) => {
    if (chunk === null) {
      end()
      return push(null)
    }
    if (sink !== undefined) {
      take(chunk, sink)
      return true
    }
    early.push(chunk)
    earlyBytes += chunk.length
    return earlyBytes < MAX_EARLY_BYTES
  }
  message.on('error', (error) => end(error))
  return {
    end,
    receive(into) {
      sink = into
      for (const bytes of early.splice(0)) take(bytes, into)
      return ended
    },
  }
}

function isHangUp(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ECONNRESET'
}

/** A fresh connection for every request: a reused one may be stale, and a stale one fails in strange ways. */
function observedAgent(isTls: boolean, ca: string | undefined, observe: (socket: Socket) => void): Agent {
  const options: AgentOptions & { ca?: string[] } = { keepAlive: false, maxSockets: 1 }
  if (!isTls) return watch(new http.Agent(options), observe)
  // Loaded late: a list of http URLs never pays for TLS.
  const https: typeof import('node:https') = process.getBuiltinModule('node:https')
  const tls: typeof import('node:tls') = process.getBuiltinModule('node:tls')
  return watch(new https.Agent(ca === undefined ? options : { ...options, ca: [...tls.rootCertificates, ca] }), observe)
}

function watch<A extends Agent>(agent: A, observe: (socket: Socket) => void): A {
  const create = agent.createConnection.bind(agent)
  agent.createConnection = (options, callback) => {
    const socket = create(options, callback)
    if (socket !== undefined && socket !== null) observe(socket as Socket)
    return socket
  }
  return agent
}

function flatten(raw: Record<string, string[]>): [string, string][] {
  return Object.entries(raw).flatMap(([name, values]) => values.map((value): [string, string] => [name, value]))
}
