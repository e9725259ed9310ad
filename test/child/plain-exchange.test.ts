// Proves when a connection is used again and when it must not be, that a dead one costs nothing, and that the plain
// exchange comes to the same as the general one.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { plainExchange } from '../../src/child/plain-exchange.ts'
import type { OpenPlain } from '../../src/child/request.ts'
import type { ChildMessage } from '../../src/protocol/message.ts'
import { bodyOf, type FaultServer, type RecordedRequest, startFaultServer } from '../fixtures/fault-server.ts'
import { type Certificates, selfSignedCa } from '../fixtures/servers.ts'
import { type Claim, type FetchOptions, PlayedSupervisor, type Receive } from './play-supervisor.ts'
import { BAD, GOOD } from './replies.ts'

let certificates: Certificates
let ca: string
let tls: { readonly key: Buffer; readonly cert: Buffer; readonly ca: string }
let servers: { readonly http: FaultServer; readonly https: FaultServer }
beforeAll(async () => {
  certificates = selfSignedCa()
  ca = readFileSync(certificates.caPath, 'utf8')
  tls = { key: readFileSync(certificates.keyPath), cert: readFileSync(certificates.certPath), ca }
  servers = { http: await startFaultServer(), https: await startFaultServer({ tls }) }
})
afterAll(async () => {
  await servers.http.stop()
  await servers.https.stop()
  certificates.remove()
})

let openPlain: OpenPlain
const children: PlayedSupervisor[] = []
const listening: Server[] = []
beforeEach(() => {
  openPlain = plainExchange()
})
afterEach(() => {
  vi.restoreAllMocks()
  for (const child of children.splice(0)) child.remove()
  for (const server of listening.splice(0)) server.close()
})

function ask(options: FetchOptions): PlayedSupervisor {
  const child = new PlayedSupervisor({ openPlain, ca, ...options })
  children.push(child)
  return child
}

/** Takes everything: what was announced, unless told otherwise. */
async function bring(
  options: FetchOptions,
  want: Partial<Receive> = {},
): Promise<{ child: PlayedSupervisor; claim: Claim }> {
  const child = ask(options)
  await Promise.race([child.receive(want), child.said('failed')])
  return { child, claim: await child.claim() }
}

const connectionsOf = (server: FaultServer, path: string) =>
  server.requests.filter((each) => each.path.includes(path)).map(({ connection }) => connection)

describe.each(['http', 'https'] as const)('over %s a connection', (scheme) => {
  /** The connections of two downloads, one after the other. */
  async function twice(first: (path: string) => Promise<unknown>): Promise<readonly number[]> {
    const mark = `mark=${Math.random()}`
    await first(mark)
    await bring({ url: servers[scheme].url(`/ok?size=9&${mark}`) })
    return connectionsOf(servers[scheme], mark)
  }
  const bringing = (path: string) => (mark: string) => bring({ url: servers[scheme].url(`${path}&${mark}`) })

  test.each([
    '/ok?size=0',
    '/ok?size=300000',
    '/chunked?size=300000',
    '/split?size=900&piece=3',
    '/204?x',
    '/304-unasked?x',
    '/103?size=5',
  ])('is used again after %s', async (path) => {
    const [first, second] = await twice(bringing(path))
    expect(second).toBe(first)
  })

  test.each([
    '/overlong?size=1000',
    '/close-delimited?size=1000',
    '/truncated?size=1000&at=500',
    '/chunked-truncated?size=1000&at=500',
    '/badchunk?size=1000&at=500',
    '/cl-and-te?size=1000',
    '/reset?size=1000&at=500',
  ])('is not used again after %s', async (path) => {
    const [first, second] = await twice(bringing(path))
    expect(second).not.toBe(first)
  })

  test('is used again by the request that a redirect leads to', async () => {
    const [first, second] = await twice(async (mark) => {
      const child = ask({ url: servers[scheme].url(`/redirect-to?url=/x&${mark}`) })
      await child.said('head')
      child.send({ type: 'refuse' })
      await child.claim()
    })
    expect(second).toBe(first)
  })

  test.each([
    ['refused', 'refuse'],
    ['stopped', 'stop'],
  ] as const)('is closed when a body is %s in its midst', async (_, type) => {
    const [first, second] = await twice(async (mark) => {
      const child = ask({ url: servers[scheme].url(`/ok?size=9000000&${mark}`) })
      await child.said('head')
      child.send({ type })
      await child.left()
    })
    expect(second).not.toBe(first)
  })

  test('is closed when only a part of its body was wanted', async () => {
    const [first, second] = await twice(async (mark) => {
      const child = ask({ url: servers[scheme].url(`/ok?size=9000000&${mark}`) })
      await child.receive({ lengthBytes: 1000 })
      expect(await child.claim()).toEqual({ type: 'done', bytes: 1000 })
    })
    expect(second).not.toBe(first)
  })

  test('is free for others while its body still waits for its rate', async () => {
    const mark = `mark=${Math.random()}`
    const slow = ask({ url: servers[scheme].url(`/ok?size=5000&${mark}`) })
    slow.send({ type: 'rate', bytesPerSecond: 1 })
    await slow.receive()
    await slow.reached(1)
    await expect
      .poll(async () => {
        await bring({ url: servers[scheme].url(`/ok?size=9&${mark}`) })
        return connectionsOf(servers[scheme], mark).slice(1)
      })
      .toContain(connectionsOf(servers[scheme], mark)[0])
    slow.send({ type: 'rate', bytesPerSecond: null })
    expect(await slow.claim()).toEqual({ type: 'done', bytes: 5000 })
    expect(slow.file().equals(bodyOf(5000))).toBe(true)
  })

  test('that is used again tells so by its phases and times', async () => {
    const phasesOf = (child: PlayedSupervisor) =>
      child.messages.flatMap((message) => (message.type === 'phase' ? [message.phase] : []))
    const url = servers[scheme].url('/ok?size=9')
    const first = (await bring({ url })).child
    const second = (await bring({ url })).child
    expect(phasesOf(first)).toEqual(['connecting', 'waiting'])
    expect(phasesOf(second)).toEqual(['waiting'])
    const [{ timings, remoteAddress }, again] = [await first.said('head'), await second.said('head')]
    expect(timings.connectMs).toBeGreaterThan(0)
    expect(again.timings).toEqual({ startTransferMs: expect.any(Number) })
    expect(again.remoteAddress).toBe(remoteAddress)
  })

  test('waits for the next without keeping anybody, and not for ever; no more than some wait', async () => {
    const unref = vi.spyOn(Socket.prototype, 'unref')
    const setTimeout = vi.spyOn(Socket.prototype, 'setTimeout')
    const burst = (mark: string) =>
      Promise.all(Array.from({ length: 20 }, () => bring({ url: servers[scheme].url(`/delay?ms=50&size=9&${mark}`) })))
    await burst('burst=1')
    expect(unref).toHaveBeenCalledTimes(16)
    expect(setTimeout.mock.calls).toEqual(Array.from({ length: 16 }, () => [2000]))
    await burst('burst=2')
    const first = connectionsOf(servers[scheme], 'burst=1')
    const second = connectionsOf(servers[scheme], 'burst=2')
    expect(second.filter((each) => first.includes(each))).toHaveLength(16)
  })
})

test('over https no connection serves another identity', async () => {
  const cert = readFileSync(certificates.clientCertPath, 'utf8')
  const key = readFileSync(certificates.clientKeyPath, 'utf8')
  const identities: Partial<FetchOptions>[] = [
    {},
    { isInsecure: true },
    { clientCertificate: { cert, key } },
    { clientCertificate: { cert, key }, isInsecure: true },
    { ca: `${ca}\n` },
  ]
  const url = servers.https.url('/ok?size=9&identities')
  for (const identity of [...identities, ...identities]) await bring({ url, ...identity })
  const connections = connectionsOf(servers.https, 'identities')
  expect(new Set(connections).size).toBe(identities.length)
  expect(connections.slice(identities.length)).toEqual(connections.slice(0, identities.length))
  const names = servers.https.requests.filter(({ path }) => path.includes('identities')).map((each) => each.clientName)
  expect(names.slice(0, 5)).toEqual([undefined, undefined, 'mpdl client', 'mpdl client', undefined])
})

test('over https nobody is trusted for having been there before', async () => {
  const url = servers.https.url('/ok?size=9')
  await bring({ url, isInsecure: true })
  const { claim } = await bring({ url, ca: readFileSync(certificates.clientCertPath, 'utf8') })
  expect(claim).toMatchObject({ type: 'failed', failure: { kind: 'tls' } })
})

/** What a server does when a request came: `connection` and `request` count from 1. */
type Act = (socket: Socket, request: number, connection: number) => void

async function actingServer(act: Act, scheme: 'http' | 'https' = 'http'): Promise<{ url: string; requests: number[] }> {
  const requests: number[] = []
  let connections = 0
  const onConnection = (socket: Socket) => {
    const connection = ++connections
    let request = 0
    socket.on('error', () => {})
    socket.on('data', () => {
      requests.push(connection)
      act(socket, ++request, connection)
    })
  }
  const server = scheme === 'http' ? createServer(onConnection) : createTlsServer(tls, onConnection)
  listening.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return { url: `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}/`, requests }
}
const HELLO = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'

describe('a server that says more than it was asked', () => {
  test('and spoils the next answer by it is asked once more, on a connection of its own', async () => {
    const { url, requests } = await actingServer((socket, request, connection) => {
      socket.write(connection === 1 && request === 2 ? 'of another\r\n\r\n' : HELLO)
    })
    await bring({ url })
    expect((await bring({ url })).claim).toEqual({ type: 'done', bytes: 5 })
    await bring({ url })
    expect(requests).toEqual([1, 1, 2, 3])
  })

  test.each<[when: string, write: (socket: Socket) => void]>([
    ['at once', (socket) => socket.write(`${HELLO}more`)],
    ['later', (socket) => socket.write(HELLO, () => setTimeout(() => socket.write('more'), 20))],
  ])('%s is given no connection a second time from then on', async (_, write) => {
    const { url, requests } = await actingServer((socket, __, connection) => {
      if (connection === 1) write(socket)
      else socket.write(HELLO)
    })
    await bring({ url })
    await vi.waitFor(async () => {
      await bring({ url })
      expect(new Set(requests.slice(-2)).size).toBe(2)
    })
    await bring({ url })
    expect(new Set(requests.slice(-2)).size).toBe(2)
  })
})

const ALL = { lengthBytes: null }

describe.each(['http', 'https'] as const)('over %s, on a connection that served before,', (scheme) => {
  test.each(GOOD)('%j is read, and then the connection is used again or not', async (text, body, end) => {
    const { url, requests } = await actingServer((socket, request, connection) => {
      if (connection === 2 || request !== 2) socket.write(HELLO)
      // As little as the reply allows: what is persistent may not need the end.
      else if (end === 'over') socket.end(text, 'latin1')
      else socket.write(text, 'latin1')
    }, scheme)
    await bring({ url })
    const { child, claim } = await bring({ url }, ALL)
    expect(claim).toEqual({ type: 'done', bytes: body.length })
    expect(child.file().toString('latin1')).toBe(body)
    expect((await bring({ url })).claim).toEqual({ type: 'done', bytes: 5 })
    expect(requests).toEqual(end === 'over' ? [1, 1, 2] : [1, 1, 1])
  })

  test.each(BAD)('%j is %s: never asked for again once its head was read, and once more before', async (...bad) => {
    const [text, end, body = ''] = bad
    const { url, requests } = await actingServer((socket, request, connection) => {
      if (connection === 1 && request === 1) socket.write(HELLO)
      else socket.end(text, 'latin1')
    }, scheme)
    await bring({ url })
    const { child, claim } = await bring({ url }, ALL)
    const hasHead = child.messages.some(({ type }) => type === 'head')
    // Of what begins right nobody can say that it was for somebody else.
    const isOnce = hasHead || (end === 'truncated' && text !== '')
    expect(requests).toEqual(isOnce ? [1, 1] : [1, 1, 2])
    const kind = end !== 'truncated' ? { kind: 'protocol', code: end } : { kind: hasHead ? 'truncated' : 'network' }
    expect(claim).toMatchObject({ type: 'failed', failure: kind })
    expect(child.file().toString('latin1')).toBe(body)
  })
})

describe('a connection that waited', () => {
  test.each<[how: string, die: (socket: Socket) => void]>([
    ['ended', (socket) => socket.end()],
    ['reset', (socket) => socket.resetAndDestroy()],
  ])('and is %s instead of an answer costs nothing', async (_, die) => {
    const { url, requests } = await actingServer((socket, request) => {
      if (request === 1) socket.write(HELLO)
      else die(socket)
    })
    await bring({ url })
    const { child, claim } = await bring({ url })
    expect(claim).toEqual({ type: 'done', bytes: 5 })
    expect(requests).toEqual([1, 1, 2])
    expect(child.messages.flatMap((message) => (message.type === 'phase' ? [message.phase] : []))).toEqual([
      'waiting',
      'connecting',
      'waiting',
    ])
  })

  test('is replaced once only', async () => {
    const { url, requests } = await actingServer((socket, request, connection) => {
      if (request === 1 && connection === 1) socket.write(HELLO)
      else socket.end()
    })
    await bring({ url })
    const { claim } = await bring({ url })
    expect(claim).toMatchObject({ type: 'failed', failure: { kind: 'network', code: 'EMPTY_REPLY' } })
    expect(requests).toEqual([1, 1, 2])
  })

  test.each(['H', 'HTTP/1.1 200 OK\r\n'])(
    'and breaks after %j is a failure, and nothing is asked again',
    async (begun) => {
      const { url, requests } = await actingServer((socket, request) => {
        if (request === 1) socket.write(HELLO)
        else socket.end(begun)
      })
      await bring({ url })
      const { claim } = await bring({ url })
      expect(claim).toMatchObject({ type: 'failed', failure: { kind: 'network', code: 'EMPTY_REPLY' } })
      expect(requests).toEqual([1, 1])
    },
  )

  test.each([
    HELLO.replace('Content', 'Connection: close\r\nContent'),
    `${HELLO} and more`,
    HELLO.replace('1.1', '1.0'),
  ])('is not used again after %j, though it stays open', async (reply) => {
    const { url, requests } = await actingServer((socket) => socket.write(reply))
    await bring({ url })
    expect((await bring({ url })).claim).toEqual({ type: 'done', bytes: 5 })
    expect(requests).toEqual([1, 2])
  })

  test('is not woken by whom it served before', async () => {
    const { url } = await actingServer((socket, request) => {
      socket.write(request === 1 ? HELLO : HELLO.replace('5', '9000000'))
    })
    const before = ask({ url })
    await before.said('head')
    const now = ask({ url })
    await now.said('head')
    const resume = vi.spyOn(Socket.prototype, 'resume')
    await before.receive({ lengthBytes: null })
    expect(await before.claim()).toEqual({ type: 'done', bytes: 5 })
    expect(resume).not.toHaveBeenCalled()
    now.send({ type: 'refuse' })
    await now.left()
  })

  test.each<[how: string, act: (socket: Socket) => void]>([
    ['ends', (socket) => socket.end()],
    ['speaks unasked', (socket) => socket.write(HELLO)],
  ])('and %s meanwhile is not used again', async (_, act) => {
    vi.spyOn(Socket.prototype, 'setTimeout').mockReturnThis()
    const served = Promise.withResolvers<Socket>()
    const { url, requests } = await actingServer((socket) => {
      served.resolve(socket)
      socket.write(HELLO)
    })
    await bring({ url })
    const waiting = await served.promise
    const closed = once(waiting, 'close')
    act(waiting)
    await closed
    expect((await bring({ url })).claim).toEqual({ type: 'done', bytes: 5 })
    expect(requests).toEqual([1, 2])
  })

  test.each([
    ['timeout=1', []],
    ['timeout=2, max=100', [[1000]]],
    ['timeout=600', [[2000]]],
    ['max=100', [[2000]]],
  ])('waits no longer than its server said: %s', async (promise, waits) => {
    const setTimeout = vi.spyOn(Socket.prototype, 'setTimeout')
    const { url } = await actingServer((socket) => {
      socket.write(HELLO.replace('Content', `Keep-Alive: ${promise}\r\nContent`))
    })
    await bring({ url })
    expect(setTimeout.mock.calls).toEqual(waits)
  })

  test('and waited too long is closed', async () => {
    const sockets = vi.spyOn(Socket.prototype, 'setTimeout')
    const { url, requests } = await actingServer((socket) => socket.write(HELLO))
    await bring({ url })
    const [waiting] = sockets.mock.contexts
    if (!(waiting instanceof Socket)) throw new Error('nothing waits')
    waiting.emit('timeout')
    expect(waiting.destroyed).toBe(true)
    await bring({ url })
    expect(requests).toEqual([1, 2])
  })
})

describe('what is not plain', () => {
  test.each<[what: string, options: Partial<FetchOptions>]>([
    ['a HEAD', { method: 'HEAD' }],
    ['a proxy', { proxy: 'http://127.0.0.1:1' }],
    ['public addresses only', { blocksPrivate: true }],
    ['credentials in the URL', { url: 'http://user:secret@127.0.0.1/' }],
    ['a host of its own', { headers: [['Host', 'example.org']] }],
    ['a word about the connection', { headers: [['connection', 'close']] }],
    ['a header that would be two', { headers: [['X', 'a\r\nY: b']] }],
    ['a name that is none', { headers: [['X Y', 'a']] }],
    ['a value that is not latin1', { headers: [['X', '\u20ac']] }],
  ])('is left to the general face: %s', (_, options) => {
    const request = { method: 'GET' as const, url: 'http://127.0.0.1:1/', headers: [], ...options }
    const rules = {
      ca: undefined,
      isInsecure: false,
      blocksPrivate: false,
      takeover: true,
      onPhase: () => {},
      ...options,
    }
    expect(openPlain(request, { ...rules, ca: undefined, stopped: new AbortController().signal })).toBeUndefined()
  })
})

describe('both faces come to the same', () => {
  /** What was said, without what depends on time and turns. */
  const tellOf = (messages: readonly ChildMessage[]) =>
    messages.flatMap((message): object[] => {
      if (message.type === 'phase' || message.type === 'beat') return []
      return message.type === 'head' ? [{ ...message, timings: Object.keys(message.timings).length > 0 }] : [message]
    })
  const askedOf = ({ method, path, headers: { connection: _, ...headers } }: RecordedRequest) => ({
    method,
    path,
    headers,
  })

  /** By the general face. */
  async function bringGenerally(options: FetchOptions, want: Partial<Receive> = {}) {
    const child = new PlayedSupervisor({ ca, ...options })
    children.push(child)
    await Promise.race([child.receive(want), child.said('failed')])
    return { child, claim: await child.claim() }
  }

  const paths = [
    '/ok?size=5000',
    '/ok?',
    '/ok/%C3%A4%20b?size=9&q=%22%7B',
    '/ok?size=5000#part',
    '/chunked?size=70000',
    '/close-delimited?size=70000',
    '/encoding-gzip-forced?size=5000',
    '/overlong?size=1000&extra=50',
    '/truncated?size=5000&at=100',
    '/chunked-truncated?size=70000&at=30000',
    '/reset?size=300000&at=200000',
    '/reset-headers',
    '/reset-close-delimited?size=300000&at=200000',
    '/empty-reply',
    '/badchunk?size=1000&at=500',
    '/cl-and-te',
    '/huge-headers?size=9&kb=50',
    '/hostile-headers?size=9',
    '/disposition?size=9',
    '/set-cookie?value=a=b&value=c=d',
    '/101',
    '/103?size=5000',
    '/204',
    '/304-unasked',
    '/206-unasked?size=100&at=50',
    '/status/404',
    '/status/503?retry-after=7',
    '/redirect-to?url=/x',
    '/auth-echo',
  ]
  describe.each(['http', 'https'] as const)('over %s', (scheme) => {
    test.each(paths)('%s', async (path) => {
      const server = servers[scheme]
      const options: FetchOptions = {
        url: server.url(path),
        headers: [
          ['User-Agent', 'mpdl'],
          ['Accept', '*/*'],
          ['X-Latin', '\xe4\xff'],
          ['Cookie', 'a=b; c="d"'],
          ['Authorization', 'Bearer x'],
        ],
      }
      const plain = await bring(options)
      const asked = server.requests.at(-1)
      const general = await bringGenerally(options)
      const askedGenerally = server.requests.at(-1)
      if (asked === undefined || askedGenerally === undefined || asked === askedGenerally) throw new Error('not asked')
      expect(askedOf(asked)).toEqual(askedOf(askedGenerally))
      expect(tellOf(plain.child.messages)).toEqual(tellOf(general.child.messages))
      expect(plain.child.file().equals(general.child.file())).toBe(true)
    })
  })

  const bothOf = async (text: string) => {
    const { url } = await actingServer((socket) => socket.end(text, 'latin1'))
    const plain = await bring({ url }, ALL)
    const general = await bringGenerally({ url }, ALL)
    return { plain, general }
  }

  test.each(GOOD)('%j', async (text) => {
    const { plain, general } = await bothOf(text)
    expect(tellOf(plain.child.messages)).toEqual(tellOf(general.child.messages))
    expect(plain.child.file().equals(general.child.file())).toBe(true)
  })

  test.each(BAD)('%j, unless the plain one takes less', async (text) => {
    const { plain, general } = await bothOf(text)
    expect(plain.claim.type).toBe('failed')
    if (general.claim.type !== 'failed') return
    expect(plain.child.file().equals(general.child.file())).toBe(true)
    const kinds = [plain.claim, general.claim].map((claim) => (claim.type === 'failed' ? claim.failure.kind : ''))
    expect([kinds[1], 'protocol']).toContain(kinds[0])
  })

  test('a name that nobody knows, a port where nobody listens', async () => {
    for (const url of ['http://unknown.invalid/', 'http://127.0.0.1:1/', 'https://localhost:1/']) {
      const plain = await bring({ url })
      const general = await bringGenerally({ url })
      expect(tellOf(plain.child.messages)).toEqual(tellOf(general.child.messages))
    }
  })

  test.each(['http', 'https'] as const)('by IPv6 and by name over %s', async (scheme) => {
    const { port } = servers[scheme]
    const plain = await bring({ url: `${scheme}://localhost:${port}/ok?size=9` })
    expect(plain.claim).toEqual({ type: 'done', bytes: 9 })
    const nobody = await bring({ url: `${scheme}://[::1]:1/` })
    expect(nobody.claim).toMatchObject({ failure: { kind: 'connect-refused', host: '[::1]:1' } })
  })
})
