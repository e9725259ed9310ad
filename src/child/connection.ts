// Makes the one connection that a request goes over: directly or by a proxy, TLS included. Knows nothing of answers.

import type { AgentOptions as HttpOptions } from 'node:http'
import http from 'node:http'
import type { AgentOptions as HttpsOptions } from 'node:https'
import { type OnReadOpts, Socket } from 'node:net'
import { proxyLabel } from '../core/proxy.ts'
import type { Request } from '../protocol/message.ts'
import { childFailureOf, codeOf, KnownFailure } from './failure-of.ts'

export interface ConnectionRules {
  /** PEM certificates trusted besides Node's own, the origin's and an https proxy's. */
  readonly ca: string | undefined
  /** The origin's certificate is not verified; a proxy's is. */
  readonly isInsecure: boolean
  /** The origin must have a public address, as far as that is told here: names may be the proxy's to look up. */
  readonly blocksPrivate: boolean
}

export interface ConnectionEvents {
  /** Of the origin, or of the proxy. */
  readonly onLookup: () => void
  /** Every socket that is opened on the way. */
  readonly onLink: (socket: Socket) => void
  /** The one that carries request and answer; it may not stand yet. */
  readonly onSocket: (socket: Socket) => void
  /** The connection stands, tunnel and TLS included. */
  readonly onConnected: () => void
}

export interface Connection {
  readonly agent: http.Agent
  /** The proxy's failure, where the proxy was not passed yet; otherwise the error itself. */
  blame(error: unknown): unknown
}

/** A fresh connection for every request: a reused one may be stale, and a stale one fails in strange ways. */
export async function connectionFor(
  request: Request,
  rules: ConnectionRules,
  onread: OnReadOpts,
  events: ConnectionEvents,
): Promise<Connection> {
  const isTls = request.url.startsWith('https:')
  const options: HttpsOptions & { onread: OnReadOpts } = { keepAlive: false, maxSockets: 1, onread }
  if (rules.blocksPrivate) {
    const { publicLookup, refusePrivateHost } = await import('./private-address.ts')
    refusePrivateHost(request.url)
    Object.assign(options, { lookup: publicLookup })
  }
  if (isTls) Object.assign(options, tlsOptions(request, rules))
  const { proxy } = request
  if (proxy !== undefined && /^https?:/.test(proxy)) return byHttpProxy(proxy, isTls, options, rules.ca, events)
  const agent =
    proxy === undefined
      ? nodeAgent(isTls, options)
      : (await import('./socks-agent.ts')).socksAgent(proxy, options, events.onLink)
  observe(agent, isTls, events)
  return { agent, blame: (error) => error }
}

/** Node's own way by a proxy: a tunnel for https, the absolute form of the URL for http (RFC 9112 §3.2.2). */
function byHttpProxy(
  proxy: string,
  isTls: boolean,
  options: HttpOptions,
  ca: string | undefined,
  events: ConnectionEvents,
): Connection {
  let isPassed = false
  const onConnected = () => {
    isPassed = true
    events.onConnected()
  }
  // Node gives an https proxy no `ca`, so what is trusted is told to the whole process.
  const isTlsToProxy = proxy.startsWith('https:')
  if (isTlsToProxy && ca !== undefined) {
    const tls = process.getBuiltinModule('node:tls')
    tls.setDefaultCACertificates([...tls.rootCertificates, ca])
  }
  const agent = nodeAgent(isTls, { ...options, proxyEnv: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy } })
  if (isTls) {
    observeTunnel(agent, { ...events, onConnected }, () => {
      isPassed = true
    })
  } else observe(agent, isTlsToProxy, { ...events, onConnected })
  // Without a tunnel it is the proxy that answers.
  return { agent, blame: (error) => (isTls && isPassed ? error : proxyFailureOf(error, proxy)) }
}

type Create = http.Agent['createConnection']

/** `isTls`: the socket stands only when its handshake is done. */
function observe(agent: http.Agent, isTls: boolean, events: ConnectionEvents): void {
  const { onLookup, onLink, onSocket, onConnected } = events
  const create: Create = agent.createConnection.bind(agent)
  agent.createConnection = (to, callback) => {
    const socket = socketOf(create(to, callback))
    onLink(socket)
    onSocket(socket)
    socket.once('lookup', onLookup)
    if (isTls) socket.once('secureConnect', onConnected)
    else if (socket.connecting) socket.once('connect', onConnected)
    else onConnected()
    return socket
  }
}

/** What is created at once is the way to the proxy; the tunnel's socket comes by the callback when it stands. */
function observeTunnel(
  agent: http.Agent,
  { onLookup, onLink, onSocket, onConnected }: ConnectionEvents,
  onProxyPassed: () => void,
): void {
  const create: Create = agent.createConnection.bind(agent)
  agent.createConnection = (to, callback) => {
    const link = create(to, (error, socket) => {
      if (error === null) {
        onSocket(socketOf(socket))
        onConnected()
      } else if (socket !== link) onProxyPassed()
      callback?.(error, socket)
    })
    if (link instanceof Socket) onLink(link)
    link?.once('lookup', onLookup)
    return link
  }
}

/** Agents may speak over any stream; these make sockets. */
function socketOf(made: unknown): Socket {
  if (!(made instanceof Socket)) throw new Error('a connection without a socket')
  return made
}

/** Loaded late: a list of http URLs never pays for TLS. */
function nodeAgent(isTls: boolean, options: HttpsOptions): http.Agent {
  if (!isTls) return new http.Agent(options)
  const https: typeof import('node:https') = process.getBuiltinModule('node:https')
  return new https.Agent(options)
}

function tlsOptions({ clientCertificate }: Request, { ca, isInsecure }: ConnectionRules): HttpsOptions {
  const tls: typeof import('node:tls') = process.getBuiltinModule('node:tls')
  return {
    ...(ca === undefined ? {} : { ca: [...tls.rootCertificates, ca] }),
    ...(isInsecure ? { rejectUnauthorized: false } : {}),
    ...clientCertificate,
  }
}

function proxyFailureOf(error: unknown, proxy: string): KnownFailure {
  const given = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : Number.NaN
  if (given === 407) return new KnownFailure({ kind: 'unauthorized', status: 407 })
  const failure = childFailureOf(error, proxy)
  const code = failure.kind === 'tls' ? failure.code : codeOf(error)
  // What has no code is this child's own affair.
  if (code === undefined) return new KnownFailure(failure)
  const status = given >= 100 && given <= 999 ? { status: given } : {}
  return new KnownFailure({ kind: 'proxy', proxy: proxyLabel(proxy).slice(0, 255), code, ...status })
}
