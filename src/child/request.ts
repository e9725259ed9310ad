// One request, one response head, by node-fetch. Follows nothing, decodes nothing, waits for ever: redirects,
// codings and deadlines are the supervisor's.

import type { Agent, AgentOptions } from 'node:http'
import http from 'node:http'
import type { Socket } from 'node:net'
import fetch from 'node-fetch'
import type { ChildMessage } from '../protocol/message.ts'

type HeadMessage = Omit<Extract<ChildMessage, { type: 'head' }>, 'type'>

export interface OpenResponse {
  readonly head: HeadMessage
  readonly body: NodeJS.ReadableStream | null
  /** The error the connection itself saw; node-fetch does not pass it on for bodies that end by closing. */
  socketError(): NodeJS.ErrnoException | undefined
  discard(): void
}

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
  let socketError: NodeJS.ErrnoException | undefined
  let hasEnded = false

  const observe = (opened: Socket): void => {
    socket = opened
    opened.once('lookup', () => {
      timings.nameLookupMs = since()
    })
    opened.once(isTls ? 'secureConnect' : 'connect', () => {
      timings.connectMs = since()
      onPhase('waiting')
    })
    opened.on('error', (error) => {
      socketError ??= error
    })
    opened.once('end', () => {
      hasEnded = true
    })
  }

  onPhase('connecting')
  const agent = observedAgent(isTls, ca, observe)
  try {
    const response = await fetch(request.url, {
      headers: request.headers.map(([name, value]) => [name, value]),
      redirect: 'manual',
      compress: false,
      agent,
    })
    timings.startTransferMs = since()
    return {
      head: {
        status: response.status,
        headers: flatten(response.headers.raw()),
        remoteAddress: socket?.remoteAddress ?? null,
        timings,
      },
      body: response.body,
      socketError: () => socketError,
      discard() {
        response.body?.on('error', () => {})
        socket?.destroy()
      },
    }
  } catch (error) {
    socket?.destroy()
    if (hasEnded && socketError === undefined && isHangUp(error)) throw new EmptyReply()
    throw error
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
