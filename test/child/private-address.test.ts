// Proves which addresses are public, and that no connection is made to others, whatever spells or resolves to them.
import dns, { type LookupAddress } from 'node:dns'
import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { isPublicAddress } from '../../src/child/private-address.ts'
import { type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { startMicrosocks, startNpmProxy, type TestProxy } from '../fixtures/proxies.ts'
import { type Certificates, findProgram, requireServer, selfSignedCa } from '../fixtures/servers.ts'
import { PlayedSupervisor } from './play-supervisor.ts'

describe('an address', () => {
  test.each([
    '8.8.8.8',
    '1.1.1.1',
    '172.32.0.1',
    '100.128.0.1',
    '2606:4700:4700::1111',
    '2001:4860:4860::8888',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
  ])('%s is public', (address) => expect(isPublicAddress(address)).toBe(true))

  test.each([
    '0.0.0.0',
    '0.1.2.3',
    '10.0.0.1',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '192.0.2.1',
    '192.168.1.1',
    '198.18.0.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::127.0.0.1',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    '::ffff:0:127.0.0.1',
    '64:ff9b::127.0.0.1',
    '64:ff9b::a00:1',
    '64:ff9b:1::8.8.8.8',
    '2002:7f00:1::',
    '2001::1',
    '2001:db8::1',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'fe80::1%eth0',
    'fec0::1',
    'ff02::1',
    '4000::1',
    '',
    'example.com',
  ])('%s is not', (address) => expect(isPublicAddress(address)).toBe(false))
})

describe('a child that may reach public addresses only', () => {
  const hasMicrosocks = requireServer('microsocks', findProgram('microsocks'))
  let certificates: Certificates
  let ca: string
  let plain: FaultServer
  let secure: FaultServer
  let http: TestProxy
  let socks: TestProxy | undefined
  beforeAll(async () => {
    certificates = selfSignedCa()
    ca = readFileSync(certificates.caPath, 'utf8')
    plain = await startFaultServer()
    const tls = { key: readFileSync(certificates.keyPath), cert: readFileSync(certificates.certPath) }
    secure = await startFaultServer({ tls })
    http = await startNpmProxy()
    if (hasMicrosocks) socks = await startMicrosocks()
  })
  afterAll(async () => {
    for (const server of [plain, secure, http, socks]) await server?.stop()
    certificates.remove()
  })
  afterEach(() => {
    vi.restoreAllMocks()
    expect([...plain.requests, ...secure.requests]).toEqual([])
    expect(http.asked()).toEqual([])
  })

  async function failureOf(url: string, proxy?: string): Promise<unknown> {
    const child = new PlayedSupervisor({ url, ca, blocksPrivate: true, ...(proxy === undefined ? {} : { proxy }) })
    const claim = await child.claim()
    child.remove()
    return claim.type === 'failed' ? claim.failure : claim
  }

  /** The name server says this, and is asked so often. */
  function resolveTo(...addresses: readonly LookupAddress[]) {
    // Every overload calls back; the one in use is told by `all`, which is always asked for here.
    const answer = (_: string, __: object, callback: (error: null, found: readonly LookupAddress[]) => void) =>
      callback(null, addresses)
    return vi.spyOn(dns, 'lookup').mockImplementation(answer as unknown as typeof dns.lookup)
  }

  test.each([
    ['127.0.0.1', '127.0.0.1'],
    ['2130706433', '127.0.0.1'],
    ['0177.0.0.1', '127.0.0.1'],
    ['0x7f.1', '127.0.0.1'],
    ['127.1', '127.0.0.1'],
    ['0', '0.0.0.0'],
    ['169.254.169.254', '169.254.169.254'],
    ['[::1]', '::1'],
    ['[::ffff:127.0.0.1]', '::ffff:7f00:1'],
    ['[fe80::1]', 'fe80::1'],
  ])('is not sent to http://%s/, by no way', async (host, address) => {
    const proxies = [undefined, http.url, 'socks5://127.0.0.1:1', 'socks5h://127.0.0.1:1']
    for (const scheme of ['http', 'https']) {
      const url = `${scheme}://${host}:${plain.port}/`
      for (const proxy of proxies) {
        const failure = { kind: 'private-address', host: new URL(url).hostname, address }
        expect(await failureOf(url, proxy)).toEqual(failure)
      }
    }
  })

  test('is not sent to this machine by its own name, by no way', async () => {
    for (const host of ['localhost', 'localhost.', 'x.LOCALHOST']) {
      for (const proxy of [undefined, http.url, 'socks5h://127.0.0.1:1']) {
        const url = `http://${host}:${plain.port}/`
        const failure = { kind: 'private-address', host: host.toLowerCase(), address: 'localhost' }
        expect(await failureOf(url, proxy)).toEqual(failure)
      }
    }
  })

  test('is not sent to a name that resolves to a private address, though others are public', async () => {
    const url = `http://mixed.example:${plain.port}/`
    const failure = { kind: 'private-address', host: 'mixed.example', address: '127.0.0.1' }
    const lookup = resolveTo({ address: '8.8.8.8', family: 4 }, { address: '127.0.0.1', family: 4 })
    expect(await failureOf(url)).toEqual(failure)
    expect(await failureOf(url.replace('http', 'https'))).toEqual(failure)
    expect(lookup).toHaveBeenCalledTimes(2)
    if (socks === undefined) return
    expect(await failureOf(url, socks.url)).toEqual(failure)
    expect(socks.asked()).toEqual([])
  })

  test('is connected to the very address that was looked at', async () => {
    const lookup = resolveTo({ address: '192.0.2.1', family: 4 })
    const { publicLookup } = await import('../../src/child/private-address.ts')
    const found = vi.fn()
    publicLookup('rebind.example', { all: true }, found)
    expect(found.mock.calls[0]?.[0]).toMatchObject({ failure: { kind: 'private-address', address: '192.0.2.1' } })
    lookup.mockRestore()
    resolveTo({ address: '8.8.8.8', family: 4 }, { address: '2606:4700::1', family: 6 })
    publicLookup('good.example', { all: true }, found)
    publicLookup('good.example', {}, found)
    expect(found.mock.calls.slice(1)).toEqual([
      [
        null,
        [
          { address: '8.8.8.8', family: 4 },
          { address: '2606:4700::1', family: 6 },
        ],
      ],
      [null, '8.8.8.8', 4],
    ])
  })

  test('may go by a proxy that is private itself', async () => {
    const proxy = await startNpmProxy()
    const child = new PlayedSupervisor({ url: 'http://nowhere.invalid/', blocksPrivate: true, proxy: proxy.url })
    expect((await child.said('head')).status).toBe(404)
    child.send({ type: 'refuse' })
    await child.claim()
    child.remove()
    expect(proxy.asked()).toEqual(['GET http://nowhere.invalid/'])
    await proxy.stop()
  })
})
