// Proves that mpdl is polite: it waits between starts at one host, and hears a server that says "too many". The servers'
// own records tell; only lower bounds are judged, so that a slow machine changes nothing.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram, requireServer, startNginx } from '../fixtures/servers.ts'
import { ONCE, QUICK, run } from './run-mpdl.ts'

let server: FaultServer
let other: FaultServer
beforeAll(async () => {
  ;[server, other] = await Promise.all([startFaultServer(), startFaultServer()])
})
afterAll(() => Promise.all([server.stop(), other.stop()]))

describe('-w', () => {
  const starts = (from: FaultServer, name: string) =>
    from.requests.filter(({ path }) => path.startsWith(`/ok/${name}`)).map(({ at }) => at)
  const gaps = (times: readonly number[]) => times.slice(1).map((at, n) => at - (times[n] ?? 0))
  const listOf = (from: FaultServer, name: string, count: number) =>
    Array.from({ length: count }, (_, n) => `${from.url(`/ok/${name}-${n}?size=1000`)}\n`).join('')

  /** From its turn to its start, and to its request, a child takes its time: how much differs by less than this. */
  const LATE_MS = 100

  test('starts at one host are spread by half to one and a half times as long, never evenly', async () => {
    const waitMs = 250
    const ended = await run({ list: listOf(server, 'spread', 14), args: [...ONCE, '-w', `${waitMs}ms`] })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    const started = ended.events.flatMap((event) => (event.type === 'attempt-started' ? [event.at] : []))
    for (const gapMs of gaps(started)) expect(gapMs).toBeGreaterThanOrEqual(waitMs / 2 - LATE_MS)
    // That 13 chances all lie so close together happens once in a hundred thousand runs.
    expect(Math.max(...gaps(started)) - Math.min(...gaps(started))).toBeGreaterThan(0.3 * waitMs)
    const seen = starts(server, 'spread')
    expect((seen.at(-1) ?? 0) - (seen[0] ?? 0)).toBeGreaterThanOrEqual((13 * waitMs) / 2 - LATE_MS)
  })

  test('other hosts are not slowed by it', async () => {
    const list = listOf(server, 'slow', 4) + listOf(other, 'free', 1)
    const ended = await run({ list, args: [...ONCE, '-w', '600ms'] })
    expect(ended.code).toBe(0)
    // The other host's only job is the last of the list, and does not wait for the second of the first.
    const [, second = 0] = ended.events.flatMap((event) =>
      event.type === 'attempt-started' && event.url.startsWith(server.url('/')) ? [event.at] : [],
    )
    const free = ended.events.find((event) => event.type === 'attempt-started' && event.url.startsWith(other.url('/')))
    expect(free?.at).toBeLessThan(second)
  })

  test('a second attempt waits as well', async () => {
    const list = server.url('/status/503/again?times=1')
    const ended = await run({ list, args: [...QUICK, '-t', '2', '-w', '800ms'] })
    expect(ended.code).toBe(0)
    const [first = 0, second = 0] = ended.events.flatMap((event) =>
      event.type === 'attempt-started' ? [event.at] : [],
    )
    expect(second - first).toBeGreaterThanOrEqual(400 - LATE_MS)
  })
})

describe.skipIf(!requireServer('nginx', findProgram('nginx')))('a host with a limit of requests', () => {
  const root = mkdtempSync(join(tmpdir(), 'mpdl-e2e-www-'))
  const names = Array.from({ length: 30 }, (_, n) => `file-${n}`)
  for (const [n, name] of names.entries()) writeFileSync(join(root, name), bodyOf(2000, n))
  afterAll(() => rmSync(root, { recursive: true, force: true }))

  /** Downloads the first `count` files from an nginx that lets so many requests through; tells how many it refused. */
  async function runOver(rate: string, burst: string, count: number, args: readonly string[]) {
    const nginx = await startNginx({
      root,
      httpConf: `limit_req_zone $server_port zone=all:1m rate=${rate};`,
      extraConf: `limit_req zone=all ${burst}; limit_req_status 429; add_header Retry-After 1 always;`,
    })
    const wanted = names.slice(0, count)
    const list = wanted.map((name) => `${nginx.url}/${name}\n`).join('')
    const ended = await run({ list, args: [...QUICK, '-T', '10s', '-t', '5', ...args] })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    for (const [n, name] of wanted.entries()) {
      expect([name, ended.bytes(name).equals(bodyOf(2000, n))]).toEqual([name, true])
    }
    const log = nginx.accessLog()
    await nginx.stop()
    return { ended, asked: log.length, refused: log.filter((line) => line.includes(' 429 ')).length }
  }

  test('30 files over a limit all come, and the limit is not run against', async () => {
    const { asked, refused } = await runOver('5r/s', 'burst=2 nodelay', names.length, [])
    expect(refused, 'the limit was met').toBeGreaterThan(0)
    expect(refused).toBeLessThan(asked / 2)
  })

  test('where nothing else of the host runs, 429 with Retry-After pauses it for all its jobs', async () => {
    const { ended, refused } = await runOver('90r/m', '', 4, ['-j', '1'])
    const pauses = ended.events.flatMap((event) =>
      event.type === 'host-changed' && event.change === 'paused' ? [(event.until ?? 0) - event.at] : [],
    )
    expect(pauses.length).toBeGreaterThan(0)
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(1000)
    expect(refused, 'each was refused once at most').toBeLessThanOrEqual(4)
  })
})
