// Proves that --limit-rate holds for the whole run, is shared fairly, and is blamed on nobody. Knows nothing of how
// shares are told. The tests are slow and idle, so they run side by side.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, sha256Of, startFaultServer } from '../fixtures/fault-server.ts'
import {
  type Certificates,
  findProgram,
  type NginxServer,
  requireServer,
  selfSignedCa,
  startNginx,
} from '../fixtures/servers.ts'
import { type Ended, newHome, QUICK, run, start, until } from './run-mpdl.ts'

const MIB = 2 ** 20
const PATIENT = [...QUICK, '-T', '5s', '-k', '1M'] as const

/** From the first byte that was let through to the last child's end. */
function transferMs(ended: Ended, isMeant: (line: number) => boolean = () => true): number {
  const begins = ended.events.flatMap((event) =>
    event.type === 'response' && event.answer.startsWith('receive') && isMeant(event.line) ? [event.at] : [],
  )
  const ends = ended.events.flatMap((event) =>
    event.type === 'attempt-ended' && event.attempt.task === 'fetch' && isMeant(event.line) ? [event.at] : [],
  )
  return Math.max(...ends) - Math.min(...begins)
}

function bytesPerSecond(ended: Ended): number {
  return (1000 * (ended.report.totals['bytes'] ?? 0)) / transferMs(ended)
}

describe.skipIf(!requireServer('nginx', findProgram('nginx')))('--limit-rate', () => {
  let root: string
  let nginx: NginxServer
  let secure: NginxServer
  let certificates: Certificates

  const files: Readonly<Record<string, Buffer>> = {
    ...Object.fromEntries([1, 2, 3, 4, 5, 6].map((n) => [`small-${n}`, bodyOf(MIB, n)])),
    ...Object.fromEntries([1, 2, 3, 4].map((n) => [`medium-${n}`, bodyOf(12 * MIB, n)])),
    ...Object.fromEntries([1, 2, 3, 4, 5, 6].map((n) => [`tiny-${n}`, bodyOf(600, n)])),
    slow: bodyOf(600_000),
    hundred: bodyOf(100_000),
  }
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'mpdl-e2e-www-'))
    for (const [name, body] of Object.entries(files)) writeFileSync(join(root, name), body)
    certificates = selfSignedCa()
    const extraConf = `sendfile_max_chunk 16k; location /crawling/ { alias ${root}/; limit_rate 80k; }`
    ;[nginx, secure] = await Promise.all([
      startNginx({ root, extraConf }),
      startNginx({ root, extraConf, tls: certificates }),
    ])
  })
  afterAll(async () => {
    await Promise.all([nginx?.stop(), secure?.stop()])
    certificates?.remove()
    rmSync(root, { recursive: true, force: true })
  })

  const expectRight = (ended: Ended) => {
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    for (const { out } of ended.report.jobs) {
      expect([out, sha256Of(ended.bytes(out))]).toEqual([out, sha256Of(files[out] ?? Buffer.alloc(0))])
    }
    for (const { attempts, warnings } of ended.report.jobs) {
      expect([attempts.flatMap(({ failure }) => failure ?? []), warnings]).toEqual([[], []])
    }
  }

  test.concurrent('holds within 5 % over many files and children, large and small, plain and over TLS', async () => {
    const list = [
      ...[1, 2].map((n) => `${nginx.url}/medium-${n}`),
      ...[1, 2, 3, 4, 5, 6].map((n) => `${nginx.url}/small-${n}`),
      `${secure.url}/medium-3`,
    ].join('\n')
    const ended = await run({
      list,
      args: [...PATIENT, '--limit-rate', '4M', '-j', '6', '--cacert', certificates.caPath],
    })
    expectRight(ended)
    expect(ended.report.totals['spawned']).toBeGreaterThan(9)
    expect(ended.report.totals['bytes']).toBe(42 * MIB)
    expect(bytesPerSecond(ended) / (4 * MIB)).toBeGreaterThan(0.95)
    expect(bytesPerSecond(ended) / (4 * MIB)).toBeLessThan(1.05)
  })

  test.concurrent('is shared fairly: two equal files come along together', async () => {
    const home = newHome()
    const names = ['medium-1', 'medium-2']
    const running = start({
      home,
      list: names.map((name) => `${nginx.url}/${name}`).join('\n'),
      args: [...PATIENT, '--limit-rate', '3M', '-s', '1'],
    })
    const sizesOf = () =>
      names.map((name) => statSync(join(home.out, `${name}.part`), { throwIfNoEntry: false })?.size ?? 0)
    const seen: number[][] = []
    for (const share of [0.25, 0.8]) {
      await until('one of them gets there', () => Math.max(...sizesOf()) >= share * 12 * MIB)
      seen.push(sizesOf())
    }
    const ended = await running.ended
    expectRight(ended)
    // One of them was there first and had it all to itself; from then on they grow alike.
    const grown = names.map((_, n) => (seen[1]?.[n] ?? 0) - (seen[0]?.[n] ?? 0))
    expect(Math.min(...grown) / Math.max(...grown)).toBeGreaterThan(0.9)
    expect(Math.abs(bytesPerSecond(ended) / (3 * MIB) - 1)).toBeLessThan(0.05)
  })

  test.concurrent('makes nobody too slow for --min-speed', async () => {
    const ended = await run({
      operands: [`${nginx.url}/hundred`],
      args: [...QUICK, '-T', '5s', '-t', '1', '--limit-rate', '20K', '--min-speed', '100K/1s'],
    })
    expectRight(ended)
    expect(ended.row(1).attempts).toHaveLength(1)
    expect(Math.abs(bytesPerSecond(ended) / (20 * 1024) - 1)).toBeLessThan(0.05)
  })

  test.concurrent('stalls nobody, however little it lets through in the time of -T', async () => {
    const ended = await run({
      list: [1, 2, 3, 4, 5, 6].map((n) => `${nginx.url}/tiny-${n}`).join('\n'),
      args: [...QUICK, '-T', '300ms', '-t', '1', '--limit-rate', '1K'],
    })
    expectRight(ended)
    expect(ended.report.totals['spawned']).toBe(6)
    expect(Math.abs(bytesPerSecond(ended) / 1024 - 1)).toBeLessThan(0.1)
  })

  test.concurrent('excuses no server: silence is a stall and a crawl is too slow, however high the limit', async () => {
    const server = await startFaultServer()
    const ended = await run({
      list: [
        server.url('/stall/silent?size=600000&at=100000'),
        server.url('/slow/crawling?size=60000&rate=3000'),
        server.url('/ok/good?size=60000'),
      ].join('\n'),
      args: [...QUICK, '-T', '1s', '-t', '1', '--limit-rate', '4M', '--min-speed', '100K/2s'],
    })
    await server.stop()
    expect([ended.kind(1), ended.kind(2), ended.row(3).outcome]).toEqual(['stall', 'too-slow', 'downloaded'])
    expect(ended.code).toBe(10)
  })

  test.concurrent('is not wasted on a server that cannot use its share', async () => {
    const ended = await run({
      list: `${nginx.url}/crawling/slow\n${nginx.url}/medium-4`,
      args: [...PATIENT, '--limit-rate', '2M', '-s', '1'],
    })
    expectRight(ended)
    // Half of the limit would take 12 s; all but what the other uses, some 6.3.
    expect(transferMs(ended, (line) => line === 2)).toBeLessThan(8500)
    expect(transferMs(ended, (line) => line === 2)).toBeGreaterThan(5700)
  })
})

// Which of the two is heard first is the kernel's choice, so it is asked several times.
test.concurrent.each([1, 2, 3, 4])(
  'a new share that crosses the claim of a child that is done loses no claim (%i)',
  async () => {
    const server = await startFaultServer()
    // The second head comes in the midst of the first body: then the first child's share is halved.
    const list = [
      server.url('/slow/first?size=600000&rate=300000'),
      server.url('/delay/second?size=600000&ms=1000'),
    ].join('\n')
    const running = start({
      list,
      args: [...QUICK, '-T', '30s', '--hang-timeout', '30s', '-t', '1', '--limit-rate', '9M'],
    })
    await running.event('response', ({ line }) => line === 1)
    const part = join(running.home.out, 'first.part')
    // The event is told before the child is.
    await until('the first child receives', () => statSync(part).size > 0)
    process.kill(running.pid, 'SIGSTOP')
    // So it finds both, the head and the claim, at once.
    await until('the first child is done', () => statSync(part).size === 600_000)
    process.kill(running.pid, 'SIGCONT')
    const ended = await running.ended
    await server.stop()
    expect(ended.report.jobs.map(({ outcome, failure }) => [outcome, failure])).toEqual([
      ['downloaded', null],
      ['downloaded', null],
    ])
  },
)
