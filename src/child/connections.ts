// Makes direct connections, and keeps a few that have nothing to do for the next download from the same origin under
// the same identity. Knows nothing of what is said on them.

import { connect, isIP, type OnReadOpts, type Socket } from 'node:net'
import type { SecureContext } from 'node:tls'
import type { Request } from '../protocol/message.ts'
import type { ConnectionRules } from './connection.ts'

/** Who a connection serves at the moment. */
export interface ConnectionUser {
  onLookup(): void
  onConnected(): void
  /** The bytes are the user's until it returns. */
  onBytes(bytes: Buffer): void
  /** The last of all; without an error the other side has ended it. */
  onGone(error: Error | undefined): void
}

/** What makes one TLS connection to a server differ from another. */
interface Identity {
  readonly rules: ConnectionRules
  readonly certificate: Request['clientCertificate']
  readonly secureContext: SecureContext
}

/** Downloads end in bursts: of 16 at once, with half as many kept, every fourth made a new connection. */
const MOST_IDLE = 16
/** Longer than from one small download to the next; a server may want it for somebody else. */
const IDLE_MS = 2000
/** On its way to us a server's promise grows old. */
const MARGIN_MS = 1000
/** One for all connections: what is read is taken or copied before anything else is read. */
const buffer = Buffer.allocUnsafeSlow(256 * 1024)

export class Connection {
  readonly socket: Socket
  /** Where it may be used again. */
  readonly place: string
  /** Nobody while it is idle. */
  user: ConnectionUser | undefined
  /** It served before, and may have died since. */
  isReused = false

  constructor(
    { place, onUnasked }: { readonly place: string; readonly onUnasked: () => void },
    open: (onread: OnReadOpts) => Socket,
    connectedBy: 'connect' | 'secureConnect',
  ) {
    this.place = place
    const callback = (length: number) => {
      // Whoever came next would take it for an answer.
      if (this.user === undefined) onUnasked()
      else this.user.onBytes(buffer.subarray(0, length))
      return true
    }
    this.socket = open({ buffer, callback })
    this.socket.once('lookup', () => this.user?.onLookup())
    this.socket.once(connectedBy, () => this.user?.onConnected())
    this.socket.on('timeout', () => this.socket.destroy())
    this.socket.on('error', (error) => this.#lose(error))
    this.socket.on('end', () => this.#lose(undefined))
    this.socket.on('close', () => this.#lose(undefined))
    // Otherwise its end would not be told.
    this.socket.resume()
  }

  /** The user wants no more. */
  close(): void {
    this.user = undefined
    this.socket.destroy()
  }

  #lose(error: Error | undefined): void {
    const { user } = this
    this.close()
    user?.onGone(error)
  }
}

export class Connections {
  readonly #idle = new Map<string, Connection[]>()
  readonly #identities: Identity[] = []
  /** Whose servers said more than they were asked: the next connection might bring an answer to somebody else. */
  readonly #distrusted = new Set<string>()

  /** One that served before, if there is any. */
  take(request: Request, rules: ConnectionRules): Connection | undefined {
    const place = this.#placeOf(new URL(request.url), this.#identityOf(request, rules))
    const connection = this.#idle.get(place)?.pop()
    connection?.socket.setTimeout(0).ref()
    return connection
  }

  make(request: Request, rules: ConnectionRules): Connection {
    const url = new URL(request.url)
    const identity = this.#identityOf(request, rules)
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const port = Number(url.port)
    const place = this.#placeOf(url, identity)
    const origin = { place, onUnasked: () => this.distrust(place) }
    if (identity === undefined) {
      return new Connection(origin, (onread) => connect({ host, port: port || 80, noDelay: true, onread }), 'connect')
    }
    const tls = process.getBuiltinModule('node:tls')
    const open = (onread: OnReadOpts) => {
      const options = {
        host,
        port: port || 443,
        servername: isIP(host) === 0 ? host : '',
        ALPNProtocols: ['http/1.1'],
        secureContext: identity.secureContext,
        rejectUnauthorized: !rules.isInsecure,
        onread,
      }
      return tls.connect(options).setNoDelay(true)
    }
    return new Connection(origin, open, 'secureConnect')
  }

  /** Its user is done, and whoever comes next may use it. `promisedMs`: how long the server says that it waits. */
  keep(connection: Connection, promisedMs: number): void {
    const { place, socket } = connection
    const idle = this.#idle.get(place) ?? []
    const idleMs = Math.min(IDLE_MS, promisedMs - MARGIN_MS)
    if (idle.length >= MOST_IDLE || idleMs <= 0 || this.#distrusted.has(place)) return connection.close()
    connection.user = undefined
    if (!connection.isReused) {
      connection.isReused = true
      socket.once('close', () => this.#forget(connection))
    }
    this.#idle.set(place, idle)
    idle.push(connection)
    socket.setTimeout(idleMs).unref().resume()
  }

  /** Every download from there gets a connection of its own from now on. */
  distrust(place: string): void {
    this.#distrusted.add(place)
    for (const connection of this.#idle.get(place) ?? []) connection.close()
  }

  #forget(connection: Connection): void {
    const idle = this.#idle.get(connection.place)?.filter((each) => each !== connection) ?? []
    if (idle.length > 0) this.#idle.set(connection.place, idle)
    else this.#idle.delete(connection.place)
  }

  #placeOf(url: URL, identity: Identity | undefined): string {
    return identity === undefined ? url.origin : `${url.origin} ${this.#identities.indexOf(identity)}`
  }

  #identityOf(request: Request, rules: ConnectionRules): Identity | undefined {
    if (!request.url.startsWith('https:')) return undefined
    const { clientCertificate: certificate } = request
    const known = this.#identities.find(
      (each) =>
        each.rules.ca === rules.ca &&
        each.rules.isInsecure === rules.isInsecure &&
        each.certificate?.cert === certificate?.cert &&
        each.certificate?.key === certificate?.key,
    )
    if (known !== undefined) return known
    const tls = process.getBuiltinModule('node:tls')
    // Made once: to read all issuers takes longer than a small download.
    const secureContext = tls.createSecureContext({
      ...(rules.ca === undefined ? {} : { ca: [...tls.rootCertificates, rules.ca] }),
      ...certificate,
    })
    const identity = { rules, certificate, secureContext }
    this.#identities.push(identity)
    return identity
  }
}
