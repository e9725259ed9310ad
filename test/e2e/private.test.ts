// Proves that --block-private lets nobody lead mpdl into the inner network: by address, name or redirect. Knows nothing
// of how addresses are told apart.
import { lookup } from 'node:dns/promises'
import { hostname } from 'node:os'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { startMicrosocks } from '../fixtures/proxies.ts'
import { findProgram, requireServer } from '../fixtures/servers.ts'
import { ONCE, run } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

/** Spellings of this machine and its neighbourhood: what an URL parser may read, or a resolver answer. */
const LOOPBACK = ['127.0.0.1', '2130706433', '0177.0.0.1', '0x7f.1', '127.1', '0.0.0.0', '[::ffff:127.0.0.1]']
const ELSEWHERE = [
  '[::1]',
  '[::]',
  '10.0.0.1',
  '172.16.0.1',
  '192.168.0.1',
  '169.254.169.254',
  '100.64.0.1',
  '[fe80::1]',
  '[fd00::1]',
  '[::ffff:a9fe:a9fe]',
  '[64:ff9b::7f00:1]',
  'localhost',
]
const at = (host: string) => `http://${host}:${server.port}/ok`
const listOf = (hosts: readonly string[]) => hosts.map((host, n) => `${at(host)}\n out=${n}\n`).join('')

test('[private-address] [threat:private-address] every spelling of a private address is refused, and nobody is connected to', async () => {
  const hosts = [...LOOPBACK, ...ELSEWHERE]
  const ended = await run({ list: listOf(hosts), args: [...ONCE, '--block-private', '-t', '3'] })
  expect(hosts.map((host, n) => [host, ended.kind(2 * n + 1), ended.row(2 * n + 1).attempts.length])).toEqual(
    hosts.map((host) => [host, 'private-address', 1]),
  )
  expect(ended.row(1).reason).toBe('127.0.0.1 is no public address (--block-private)')
  expect([ended.code, server.requests.length]).toEqual([7, 0])
  expect([...ended.seen].filter((name) => !name.includes('.part'))).toEqual([])
})

// Most machines know their own name, and know it as an address of their own.
const OWN_NAME = hostname()
const [own] = await lookup(OWN_NAME, { all: true }).catch(() => [])

test.skipIf(own === undefined)(
  '[private-address] a name that resolves to a private address is refused by that address',
  async () => {
    const ended = await run({ list: at(OWN_NAME), args: [...ONCE, '--block-private'] })
    expect(ended.row(1).failure).toEqual({ kind: 'private-address', host: OWN_NAME, address: own?.address })
    expect(server.requests).toHaveLength(0)
  },
)

test('without it all of them that lead here are downloads', async () => {
  const ended = await run({ list: listOf([...LOOPBACK, 'localhost']), args: ONCE })
  expect([ended.code, ended.report.totals['downloaded']]).toEqual([0, LOOPBACK.length + 1])
})

test.skipIf(!requireServer('microsocks', findProgram('microsocks')))(
  '[private-address] [threat:private-address] what is looked up here is judged here, whatever proxy is asked for it',
  async () => {
    const socks = await startMicrosocks()
    const list = listOf(['127.0.0.1', '[::1]', ...(own === undefined ? [] : [OWN_NAME])])
    for (const scheme of ['socks5', 'socks5h']) {
      const proxy = socks.url.replace('socks5', scheme)
      const ended = await run({ list, args: [...ONCE, '--block-private', '--proxy', proxy] })
      expect([ended.kind(1), ended.kind(3)]).toEqual(['private-address', 'private-address'])
      // A name that is only sent is the proxy's affair.
      if (own !== undefined && scheme === 'socks5') expect(ended.kind(5)).toBe('private-address')
    }
    expect(socks.asked().filter((asked) => asked.startsWith('127.'))).toEqual([])
    await socks.stop()
  },
)

test('[threat:private-address] a redirect of a public server to a private one is refused', async () => {
  // The server stands in for a proxy that knows every host: what it says in the name of public.example is public.
  const target = await startFaultServer()
  const to = (host: string) => encodeURIComponent(`http://${host}:${target.port}/ok`)
  const hosts = ['127.0.0.1', '2130706433', '[::ffff:7f00:1]', '169.254.169.254']
  const list = [
    'http://public.example/ok/public',
    ...hosts.map((host, n) => `http://public.example/redirect-to/${n}?url=${to(host)}`),
  ].join('\n')
  const ended = await run({ list, args: [...ONCE, '--block-private', '--proxy', server.url('')] })
  expect([1, 2, 3, 4, 5].map((line) => ended.kind(line))).toEqual([undefined, ...hosts.map(() => 'private-address')])
  expect(target.requests).toHaveLength(0)
  await target.stop()
})
