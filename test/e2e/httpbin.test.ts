// Proves the built program against httpbin, a server that nobody here has written. Knows nothing of mpdl's insides.
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findHttpbin, requireServer, startHttpbin, type TestServer } from '../fixtures/servers.ts'
import { type Ended, ONCE, run } from './run-mpdl.ts'

type Case = {
  readonly name: string
  readonly path: string
  readonly row: Readonly<Record<string, unknown>>
  readonly options?: readonly string[]
  readonly check?: (bytes: Buffer) => void
}

const jsonOf = (bytes: Buffer): unknown => JSON.parse(bytes.toString())
const downloaded = { outcome: 'downloaded', http_code: 200, proof: 'length' }
const isSized = (sizeBytes: number) => (bytes: Buffer) => expect(bytes).toHaveLength(sizeBytes)

const CASES: readonly Case[] = [
  { name: 'five redirects', path: '/redirect/5', row: { ...downloaded, num_redirects: 5 } },
  { name: 'five absolute redirects', path: '/absolute-redirect/5', row: { ...downloaded, num_redirects: 5 } },
  { name: 'five relative redirects', path: '/relative-redirect/5', row: { ...downloaded, num_redirects: 5 } },
  {
    name: 'a redirect to bytes, named as it was asked for',
    path: '/redirect-to?url=/bytes/100&status_code=307',
    row: { ...downloaded, out: 'redirect-to', size: 100 },
    check: isSized(100),
  },
  {
    name: '[http-status] 404',
    path: '/status/404',
    row: { outcome: 'failed', failure: { kind: 'http-status', status: 404 } },
  },
  {
    name: '[http-status] 500',
    path: '/status/500',
    row: { outcome: 'failed', failure: { kind: 'http-status', status: 500 } },
  },
  {
    name: '[http-status] 503',
    path: '/status/503',
    row: { outcome: 'failed', failure: { kind: 'http-status', status: 503 } },
  },
  {
    name: '[http-status] a teapot',
    path: '/status/418',
    row: { outcome: 'failed', failure: { kind: 'http-status', status: 418 } },
  },
  { name: 'an ETag', path: '/etag/abc', row: { ...downloaded, etag: 'abc' } },
  {
    name: 'gzip that nobody asked for, stored as it came',
    path: '/gzip',
    row: downloaded,
    check: (bytes) => expect(jsonOf(gunzipSync(bytes))).toMatchObject({ gzipped: true }),
  },
  { name: 'Brotli that nobody asked for, stored as it came', path: '/brotli', row: downloaded },
  {
    name: 'a drip',
    path: '/drip?duration=1&numbytes=5&code=200&delay=0',
    row: { ...downloaded, size: 5 },
    check: (bytes) => expect(bytes.toString()).toBe('*****'),
  },
  { name: 'bytes', path: '/bytes/50000?seed=1', row: { ...downloaded, size: 50_000 }, check: isSized(50_000) },
  { name: 'no bytes at all', path: '/bytes/0', row: { ...downloaded, size: 0 }, check: isSized(0) },
  { name: 'a range server', path: '/range/50000', row: { ...downloaded, size: 50_000 }, check: isSized(50_000) },
  {
    name: 'bytes in chunks are unverified',
    path: '/stream-bytes/20000?seed=1',
    row: { outcome: 'downloaded', proof: 'unverified', size: 20_000 },
    check: isSized(20_000),
  },
  {
    name: 'lines in chunks',
    path: '/stream/7',
    row: { outcome: 'downloaded', proof: 'unverified' },
    check: (bytes) => expect(bytes.toString().trimEnd().split('\n')).toHaveLength(7),
  },
  { name: 'a delay', path: '/delay/1', row: downloaded },
  {
    name: 'credentials of the list',
    path: '/basic-auth/alice/s3cret',
    options: [' user=alice', ' password=s3cret'],
    row: downloaded,
    check: (bytes) => expect(jsonOf(bytes)).toEqual({ authenticated: true, user: 'alice' }),
  },
  {
    name: '[unauthorized] wrong credentials',
    path: '/basic-auth/alice/other',
    options: [' user=alice', ' password=s3cret'],
    row: { outcome: 'failed', failure: { kind: 'unauthorized', status: 401, scheme: 'Basic' } },
  },
  {
    name: '[http-status] hidden credentials, not given',
    path: '/hidden-basic-auth/alice/s3cret',
    row: { outcome: 'failed', failure: { kind: 'http-status', status: 404 } },
  },
  {
    name: 'a bearer token',
    path: '/bearer',
    options: [' header=Authorization: Bearer t0ken'],
    row: downloaded,
    check: (bytes) => expect(jsonOf(bytes)).toEqual({ authenticated: true, token: 't0ken' }),
  },
  {
    name: 'headers of the list',
    path: '/headers',
    options: [' header=X-One: 1', ' header=X-Two: 2'],
    row: downloaded,
    check: (bytes) =>
      expect(jsonOf(bytes)).toMatchObject({ headers: { 'X-One': '1', 'X-Two': '2', 'Accept-Encoding': 'identity' } }),
  },
]

describe.skipIf(!requireServer('httpbin', findHttpbin()))('httpbin', () => {
  let server: TestServer
  let ended: Ended
  const lineOf = new Map<string, number>()

  beforeAll(async () => {
    server = await startHttpbin()
    const lines: string[] = []
    for (const [i, { path, options = [] }] of CASES.entries()) {
      const isNamed = path.startsWith('/redirect-to')
      lines.push(`${server.url}${path}`)
      lineOf.set(path, lines.length)
      lines.push(...(isNamed ? [] : [` out=case-${i}`]), ...options)
    }
    const args = ['-T', '5s', '--kill-after', '200ms', '--retry-delay', '10ms', '-t', '1', '--max-per-host', '8']
    ended = await run({ list: lines.join('\n'), args })
  })
  afterAll(() => server?.stop())

  for (const { name, path, row, check } of CASES) {
    test(`${name} (${path.split('?')[0]})`, () => {
      const found = ended.row(lineOf.get(path) ?? 0)
      expect(found).toMatchObject(row)
      if (found.outcome === 'downloaded') check?.(ended.bytes(found.out))
      else expect(ended.seen).not.toContain(found.out)
    })
  }

  test('the sums add up, and what was refused for lack of credentials decides the exit code', () => {
    expect(ended.code).toBe(6)
    expect(ended.report.totals).toMatchObject({ jobs: CASES.length, failed: 6, downloaded: CASES.length - 6 })
  })

  test('an ETag that is the same tomorrow moves no body', async () => {
    const list = `${server.url}/etag/tomorrow`
    const first = await run({ list, args: ONCE })
    expect([first.row(1).outcome, first.row(1).etag]).toEqual(['downloaded', 'tomorrow'])
    const second = await run({ home: first.home, list, args: ONCE })
    // httpbin sends the ETag without its quotes, which is none: it cannot be asked with, so the file comes again.
    expect(second.row(1)).toMatchObject({ outcome: 'downloaded', http_code: 200 })
    const ranged = `${server.url}/range/2000`
    const third = await run({ home: first.home, list: ranged, args: ONCE })
    const fourth = await run({ home: first.home, list: ranged, args: ONCE })
    expect([third.row(1).proof, fourth.row(1).size]).toEqual(['length', 2000])
    expect(fourth.bytes('2000').equals(third.bytes('2000'))).toBe(true)
  })
})
