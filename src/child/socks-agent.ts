// Makes the agent that goes by a SOCKS5 server (RFC 1928), and names what that refuses. Loaded late: few lists need it.

import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'
import type { Agent, AgentOptions } from 'node:http'
import { Socket } from 'node:net'
import { SocksProxyAgent } from 'socks-proxy-agent'
import { proxyLabel } from '../core/proxy.ts'
import { codeOf, KnownFailure } from './failure-of.ts'

/** A name's length is one byte. */
const MAX_NAME_BYTES = 255
/** As long as a timer can be: without it the agent would give up after a time of its own. */
const NEVER_MS = 2 ** 31 - 1

/** The package keeps its socket to itself until the proxy has answered, which it may never do. */
const ownerOfLink = new AsyncLocalStorage<(link: Socket) => void>()
subscribe('net.client.socket', (message) => {
  if (typeof message !== 'object' || message === null || !('socket' in message)) return
  if (message.socket instanceof Socket) ownerOfLink.getStore()?.(message.socket)
})

/** `options` are for what is behind the proxy; `onLink` gets the socket to it as soon as there is one. */
export function socksAgent(proxy: string, options: AgentOptions, onLink: (link: Socket) => void): Agent {
  const agent = new SocksProxyAgent(proxy, { ...options, timeout: NEVER_MS })
  const connect = agent.connect.bind(agent)
  const name = proxyLabel(proxy).slice(0, 255)
  const fail = (code: string) => new KnownFailure({ kind: 'proxy', proxy: name, code })
  agent.connect = async (request, to) => {
    if (Buffer.byteLength(to.host ?? '') > MAX_NAME_BYTES) throw fail('name-too-long')
    try {
      return await ownerOfLink.run(onLink, () => connect(request, to))
    } catch (error) {
      throw isOfSocks(error) ? fail(socksCodeOf(error.message)) : error
    }
  }
  return agent
}

/** Everything else comes with a code, or is known: the lookup for `socks5`, the TLS behind the proxy. */
function isOfSocks(error: unknown): error is Error {
  return error instanceof Error && codeOf(error) === undefined && 'options' in error
}

/** What the package says is a sentence; what the server answered ends it as a name. */
function socksCodeOf(sentence: string): string {
  const answer = /rejected connection - (\w+)$/.exec(sentence)?.[1]
  // An answer that RFC 1928 does not know has no name.
  if (answer === 'undefined') return 'refused'
  if (answer !== undefined) return answer.replace(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase()
  const ofSystem = /\bE[A-Z_]{3,}\b/.exec(sentence)?.[0]
  if (ofSystem !== undefined) return ofSystem
  // Several addresses were tried, and the package keeps nothing of their errors.
  if (sentence === '') return 'unreachable'
  if (sentence === 'Socket closed') return 'EMPTY_REPLY'
  return /authentication/i.test(sentence) ? 'not-authenticated' : 'not-socks'
}
