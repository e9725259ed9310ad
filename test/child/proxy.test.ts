// Proves by which way a request goes, what is told meanwhile, and who is blamed when it does not arrive.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { startMicrosocks, startNpmProxy, startTinyproxy, type TestProxy, withLogin } from '../fixtures/proxies.ts'
import { type Certificates, findFreePort, findProgram, requireServer, selfSignedCa } from '../fixtures/servers.ts'
import { type FetchOptions, PlayedSupervisor } from './play-supervisor.ts'

const hasTinyproxy = requireServer('tinyproxy', findProgram('tinyproxy'))
const hasMicrosocks = requireServer('microsocks', findProgram('microsocks'))
const REFUSED_407 = { kind: 'unauthorized', status: 407 }
const LOGIN = { user: 'mallory', password: 'pass:w@rd/%' }

let certificates: Certificates
let ca: string
let plain: FaultServer
let secure: FaultServer
beforeAll(async () => {
  certificates = selfSignedCa()
  ca = readFileSync(certificates.caPath, 'utf8')
  plain = await startFaultServer()
  secure = await startFaultServer({ tls: tlsOf(certificates.certPath) })
})
afterAll(async () => {
  await plain.stop()
  await secure.stop()
  certificates.remove()
})
const tlsOf = (certPath: string) => ({ key: readFileSync(certificates.keyPath), cert: readFileSync(certPath) })

const children: PlayedSupervisor[] = []
const servers: Server[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.remove()
  for (const server of servers.splice(0)) server.close()
})

function ask(options: FetchOptions): PlayedSupervisor {
  const child = new PlayedSupervisor({ ca, ...options })
  children.push(child)
  return child
}

async function failureOf(options: FetchOptions): Promise<unknown> {
  const child = ask(options)
  const claim = await child.claim()
  expect(JSON.stringify(child.messages)).not.toMatch(/mallory|pass:w|pass%3Aw|bWFsbG9y/)
  return claim.type === 'failed' ? claim.failure : claim
}

async function statusOf(options: FetchOptions): Promise<number> {
  const child = ask(options)
  const { status } = await child.said('head')
  child.send({ type: 'refuse' })
  await child.claim()
  return status
}

/** Says the first of these when it is spoken to, the next when it is spoken to again, and then goodbye. */
function answering(...answers: readonly (string | Buffer)[]): Server {
  return createServer((socket) => {
    const rest = [...answers]
    socket.on('error', () => {})
    socket.on('data', () => {
      const next = rest.shift() ?? ''
      if (rest.length === 0) socket.end(next)
      else socket.write(next)
    })
  })
}

/** The port of a server of a few lines. */
async function portOf(server: Server, host = '127.0.0.1'): Promise<number> {
  servers.push(server)
  await once(server.listen(0, host), 'listening')
  return (server.address() as AddressInfo).port
}

describe('by every kind of proxy', () => {
  let http: TestProxy
  let https: TestProxy
  let tinyproxy: TestProxy | undefined
  let socks: TestProxy | undefined
  beforeAll(async () => {
    http = await startNpmProxy({ login: LOGIN })
    https = await startNpmProxy({ login: LOGIN, tls: certificates })
    if (hasTinyproxy) tinyproxy = await startTinyproxy()
    if (hasMicrosocks) socks = await startMicrosocks({ login: LOGIN })
  })
  afterAll(async () => {
    for (const proxy of [http, https, tinyproxy, socks]) await proxy?.stop()
  })

  test.each(['http', 'https', 'tinyproxy', 'socks5', 'socks5h'] as const)('%s: both schemes arrive', async (kind) => {
    const proxy = kind === 'socks5' || kind === 'socks5h' ? socks : { http, https, tinyproxy }[kind]
    if (proxy === undefined) return
    const url = kind === 'tinyproxy' ? proxy.url : withLogin(proxy.url.replace('socks5', kind), LOGIN)
    for (const origin of [plain, secure]) {
      const child = ask({ url: origin.url('/ok?size=700000'), proxy: url })
      await child.receive()
      expect(await child.claim()).toEqual({ type: 'done', bytes: 700_000 })
      expect(child.file().equals(bodyOf(700_000))).toBe(true)
      const said = child.messages.flatMap((message) => (message.type === 'phase' ? [message.phase] : []))
      expect(said).toEqual(['connecting', 'waiting'])
      const { timings } = await child.said('head')
      expect(timings.connectMs).toBeLessThanOrEqual(timings.startTransferMs ?? 0)
    }
    await expect.poll(() => proxy.asked().length).toBeGreaterThanOrEqual(2)
  })

  test('only the SOCKS server of socks5h is told the name', async (context) => {
    if (socks === undefined) return context.skip('microsocks is not installed')
    const url = plain.url('/ok?size=1').replace('127.0.0.1', 'localhost')
    for (const scheme of ['socks5', 'socks5h']) {
      const child = ask({ url, proxy: withLogin(socks.url.replace('socks5', scheme), LOGIN) })
      await child.receive()
      expect(await child.claim()).toEqual({ type: 'done', bytes: 1 })
    }
    await expect.poll(() => socks?.asked().slice(-2)).toEqual([`127.0.0.1:${plain.port}`, `localhost:${plain.port}`])
  })

  test('the wrong password is refused, and told nowhere', async () => {
    const wrong = { ...LOGIN, password: 'pass:wrong' }
    expect(await failureOf({ url: secure.url('/ok'), proxy: withLogin(http.url, wrong) })).toEqual(REFUSED_407)
    expect(await failureOf({ url: secure.url('/ok'), proxy: withLogin(https.url, wrong) })).toEqual(REFUSED_407)
    // Asked for http, the proxy itself answers.
    expect(await statusOf({ url: plain.url('/ok'), proxy: withLogin(http.url, wrong) })).toBe(407)
    if (socks === undefined) return
    for (const proxy of [withLogin(socks.url, wrong), socks.url]) {
      const failure = { kind: 'proxy', proxy: `127.0.0.1:${socks.port}`, code: 'not-authenticated' }
      expect(await failureOf({ url: plain.url('/ok'), proxy })).toEqual(failure)
      expect(await failureOf({ url: secure.url('/ok'), proxy })).toEqual(failure)
    }
  })

  test('the origin is blamed for its own certificate, and may be believed without one that is valid', async () => {
    const expired = await startFaultServer({ tls: tlsOf(certificates.expiredCertPath) })
    const url = expired.url('/ok?size=9')
    const proxies = [http, https, ...(socks === undefined ? [] : [socks])]
    for (const proxy of proxies.map((each) => withLogin(each.url, LOGIN))) {
      const failure = { kind: 'tls', code: 'CERT_HAS_EXPIRED', host: `127.0.0.1:${expired.port}` }
      expect(await failureOf({ url, proxy })).toEqual(failure)
      expect(await statusOf({ url, proxy, isInsecure: true })).toBe(200)
    }
    await expired.stop()
  })

  test('what the proxy cannot reach is its refusal', async () => {
    const port = await findFreePort()
    const closed = `https://127.0.0.1:${port}/`
    const refusal = { kind: 'proxy', proxy: `127.0.0.1:${http.port}`, code: 'ERR_PROXY_TUNNEL', status: 500 }
    expect(await failureOf({ url: closed, proxy: withLogin(http.url, LOGIN) })).toEqual(refusal)
    if (socks === undefined) return
    const name = `127.0.0.1:${socks.port}`
    const of = (url: string, scheme: string) => failureOf({ url, proxy: withLogin(`${scheme}://${name}`, LOGIN) })
    expect(await of(closed, 'socks5h')).toEqual({ kind: 'proxy', proxy: name, code: 'connection-refused' })
    expect(await of('http://nowhere.invalid/', 'socks5h')).toEqual({ kind: 'proxy', proxy: name, code: 'failure' })
    const here = { kind: 'unknown-host', host: 'nowhere.invalid', code: expect.stringMatching(/^E/) }
    expect(await of('http://nowhere.invalid/', 'socks5')).toEqual(here)
  })
})

describe('a proxy that', () => {
  test.each(['http', 'https', 'socks5', 'socks5h'])('is not there is named: %s', async (scheme) => {
    const port = await findFreePort()
    const name = `127.0.0.1:${port}`
    for (const url of [plain.url('/ok'), secure.url('/ok')]) {
      const proxy = withLogin(`${scheme}://${name}`, LOGIN)
      expect(await failureOf({ url, proxy })).toEqual({ kind: 'proxy', proxy: name, code: 'ECONNREFUSED' })
      const unknown = {
        kind: 'proxy',
        proxy: expect.stringMatching(/^nowhere\.invalid:\d+$/),
        code: expect.any(String),
      }
      expect(await failureOf({ url, proxy: `${scheme}://nowhere.invalid` })).toEqual(unknown)
    }
  })

  test.each([
    ['HTTP/1.1 403 Forbidden\r\n\r\n', { kind: 'proxy', code: 'ERR_PROXY_TUNNEL', status: 403 }],
    ['HTTP/1.1 204 No Content\r\n\r\n', { kind: 'proxy', code: 'ERR_PROXY_TUNNEL', status: 204 }],
    ['HTTP/1.1 99999 x\r\n\r\n', { kind: 'proxy', code: 'ERR_PROXY_TUNNEL' }],
    ['not HTTP\r\n\r\n', { kind: 'proxy', code: 'ERR_PROXY_TUNNEL' }],
    ['x'.repeat(100_000), { kind: 'proxy', code: 'ERR_PROXY_TUNNEL' }],
    ['', { kind: 'proxy', code: 'ERR_PROXY_TUNNEL' }],
  ])('answers CONNECT with %j is told by its status, when it has one', async (answer, failure) => {
    const port = await portOf(answering(answer))
    const proxy = withLogin(`http://127.0.0.1:${port}`, LOGIN)
    expect(await failureOf({ url: secure.url('/ok'), proxy })).toEqual({ proxy: `127.0.0.1:${port}`, ...failure })
  })

  test('wants credentials that nobody has is told as such', async () => {
    const port = await portOf(answering('HTTP/1.1 407 Who?\r\n\r\n'))
    expect(await failureOf({ url: secure.url('/ok'), proxy: `http://127.0.0.1:${port}` })).toEqual(REFUSED_407)
  })

  test('opens a tunnel to something that is no TLS leaves the blame to the origin', async () => {
    const port = await portOf(answering('HTTP/1.1 200 OK\r\n\r\n'))
    const failure = { kind: 'network', code: 'ECONNRESET', host: `127.0.0.1:${secure.port}` }
    expect(await failureOf({ url: secure.url('/ok'), proxy: `http://127.0.0.1:${port}` })).toEqual(failure)
  })

  test('has a certificate nobody vouches for is named, however much the origin is trusted', async () => {
    const bad = createHttpsServer(tlsOf(certificates.untrustedCertPath))
    const port = await portOf(bad)
    const failure = { kind: 'proxy', code: 'DEPTH_ZERO_SELF_SIGNED_CERT', proxy: `127.0.0.1:${port}` }
    for (const url of [plain.url('/ok'), secure.url('/ok')]) {
      expect(await failureOf({ url, proxy: `https://127.0.0.1:${port}`, isInsecure: true })).toEqual(failure)
    }
  })

  test('says nothing for long leaves the child at work, and waiting only begins when the tunnel stands', async () => {
    const server = createHttpServer()
    const port = await portOf(server)
    const child = ask({ url: secure.url('/ok?size=5'), proxy: `http://127.0.0.1:${port}` })
    const [request, client] = (await once(server, 'connect')) as [{ url: string }, Socket]
    const beats = () => child.messages.filter(({ type }) => type === 'beat').length
    const before = beats()
    await expect.poll(beats).toBeGreaterThan(before + 2)
    expect(child.messages.filter(({ type }) => type === 'phase')).toEqual([{ type: 'phase', phase: 'connecting' }])
    expect(request.url).toBe(`127.0.0.1:${secure.port}`)
    const origin = connect(secure.port, '127.0.0.1', () => client.write('HTTP/1.1 200 OK\r\n\r\n'))
    origin.pipe(client).pipe(origin)
    await child.receive()
    expect(await child.claim()).toEqual({ type: 'done', bytes: 5 })
    expect(child.messages.filter(({ type }) => type === 'phase')).toHaveLength(2)
  })

  test('has another address than the origin is the one we spoke to', async () => {
    const server = createHttpServer().on('connect', (_, client: Socket) => {
      const origin = connect(secure.port, '127.0.0.1', () => client.write('HTTP/1.1 200 OK\r\n\r\n'))
      origin.pipe(client).pipe(origin)
    })
    const port = await portOf(server, '127.0.0.2')
    const child = ask({ url: secure.url('/ok?size=5'), proxy: `http://127.0.0.2:${port}` })
    expect((await child.said('head')).remoteAddress).toBe('127.0.0.2')
    child.send({ type: 'refuse' })
    await child.claim()
  })
})

describe('a SOCKS server that', () => {
  test.each([
    [1, 'failure'],
    [2, 'not-allowed'],
    [3, 'network-unreachable'],
    [4, 'host-unreachable'],
    [5, 'connection-refused'],
    [8, 'address-not-supported'],
  ])('answers %i is understood', async (reply, code) => {
    const port = await portOf(answering(Buffer.from([5, 0]), Buffer.from([5, reply, 0, 1, 0, 0, 0, 0, 0, 0])))
    const failure = { kind: 'proxy', proxy: `127.0.0.1:${port}`, code }
    expect(await failureOf({ url: plain.url('/ok'), proxy: `socks5h://127.0.0.1:${port}` })).toEqual(failure)
  })

  test.each([
    ['wants another kind of login', Buffer.from([5, 255]), 'not-authenticated'],
    ['is a web server', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'not-socks'],
    ['hangs up', '', 'EMPTY_REPLY'],
  ])('%s is told so', async (_, answer, code) => {
    const port = await portOf(answering(answer))
    const failure = { kind: 'proxy', proxy: `127.0.0.1:${port}`, code }
    expect(await failureOf({ url: plain.url('/ok'), proxy: `socks5://127.0.0.1:${port}` })).toEqual(failure)
  })

  test('would get a name of more than 255 bytes is not asked, and neither is a name server', async () => {
    const port = await findFreePort()
    const failure = { kind: 'proxy', proxy: `127.0.0.1:${port}`, code: 'name-too-long' }
    const url = `http://${'a'.repeat(250)}.example/`
    expect(await failureOf({ url, proxy: `socks5h://127.0.0.1:${port}` })).toEqual(failure)
    expect(await failureOf({ url, proxy: `socks5://127.0.0.1:${port}` })).toEqual(failure)
  })
})
