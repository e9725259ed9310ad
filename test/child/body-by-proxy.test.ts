// Runs the cases of a body through tunnels: real proxies, which bring the bytes as the origin sent them. What a request
// for http by an http proxy brings is the proxy's own answer, so it is not here.
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { startMicrosocks, startNpmProxy, type TestProxy } from '../fixtures/proxies.ts'
import { type Certificates, findProgram, requireServer, selfSignedCa } from '../fixtures/servers.ts'
import { bodyCases } from './body.cases.ts'
import { PlayedSupervisor } from './play-supervisor.ts'

let certificates: Certificates
let ca: string
let servers: Readonly<Record<'http' | 'https', FaultServer>>
let proxies: Readonly<Record<'http' | 'https' | 'socks', TestProxy>>
const hasMicrosocks = requireServer('microsocks', findProgram('microsocks'))
beforeAll(async () => {
  certificates = selfSignedCa()
  ca = readFileSync(certificates.caPath, 'utf8')
  const tls = { key: readFileSync(certificates.keyPath), cert: readFileSync(certificates.certPath) }
  servers = { http: await startFaultServer(), https: await startFaultServer({ tls }) }
  const http = await startNpmProxy()
  const socks = hasMicrosocks ? await startMicrosocks() : http
  proxies = { http, https: await startNpmProxy({ tls: certificates }), socks }
})
afterAll(async () => {
  for (const proxy of new Set(Object.values(proxies))) await proxy.stop()
  await servers.http.stop()
  await servers.https.stop()
  certificates.remove()
})

describe.each([
  { scheme: 'https', by: 'http' },
  { scheme: 'https', by: 'https' },
  ...(hasMicrosocks
    ? ([
        { scheme: 'http', by: 'socks' },
        { scheme: 'https', by: 'socks' },
      ] as const)
    : []),
] as const)('over $scheme by $by', ({ scheme, by }) => {
  bodyCases({
    server: () => servers[scheme],
    options: () => ({ ca, proxy: proxies[by].url }),
    // Node has no buffer of ours behind a tunnel.
    isTakenOver: false,
    hasProxy: true,
  })
})

test('what came before a proxy reset the connection is kept, however slowly it may be written', async () => {
  const tunnel = await startResettingTunnel()
  const child = new PlayedSupervisor({
    url: servers.https.url('/reset?size=300000&at=60000'),
    ca,
    proxy: `http://127.0.0.1:${(tunnel.address() as AddressInfo).port}`,
  })
  child.send({ type: 'rate', bytesPerSecond: 100_000 })
  await child.receive()
  expect(await child.claim()).toEqual({
    type: 'failed',
    failure: { kind: 'truncated', receivedBytes: 60_000, expectedBytes: 300_000, code: 'ECONNRESET' },
  })
  expect(child.file().equals(bodyOf(300_000).subarray(0, 60_000))).toBe(true)
  child.remove()
  tunnel.close()
})

/** A proxy that passes a reset on. */
async function startResettingTunnel(): Promise<Server> {
  const server = createServer().on('connect', ({ url = '' }, client: Socket) => {
    const [host, port] = url.split(':')
    const origin = connect(Number(port), host, () => client.write('HTTP/1.1 200 OK\r\n\r\n'))
    origin.pipe(client).pipe(origin)
    origin.on('error', () => client.resetAndDestroy())
    client.on('error', () => origin.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}
