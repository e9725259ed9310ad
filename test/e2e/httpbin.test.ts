// Proves the built program against httpbin, a server that nobody here has written. Knows nothing of mpdl's insides.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JobRow } from '../../src/core/event.ts'
import { curl } from '../fixtures/curl.ts'
import { findHttpbin, findProgram, requireServer, startHttpbin, type TestServer } from '../fixtures/servers.ts'
import { type Ended, filesIn, newHome, ONCE, run } from './run-mpdl.ts'

type Case = {
  readonly name: string
  readonly path: string
  readonly row: Readonly<Record<string, unknown>>
  readonly options?: readonly string[]
  readonly check?: (bytes: Buffer) => void
}

/** The same question by mpdl and by curl; `curls` where its options have other names. */
type Same = {
  readonly name: string
  readonly path: string
  readonly ours?: readonly string[]
  readonly curls?: readonly string[]
  readonly isCoded?: boolean
  /** What is compared, where the bytes themselves carry the time of day. */
  readonly decode?: (bytes: Buffer) => Buffer
}

const SECRET = ['-u', 'u:p'] as const
const SAME: readonly Same[] = [
  ...['MD5', 'SHA-256', 'SHA-256/never', 'SHA-256/0', 'SHA-256/1', 'SHA-512'].flatMap((path): Same[] => [
    {
      name: 'digest',
      path: `/digest-auth/auth/u/p/${path}`,
      ours: [...SECRET, '--auth', 'digest'],
      curls: [...SECRET, '--digest'],
    },
    {
      name: 'the strongest that is offered',
      path: `/digest-auth/auth/u/p/${path}`,
      ours: [...SECRET, '--auth', 'any'],
      curls: [...SECRET, '--anyauth'],
    },
  ]),
  {
    name: 'digest without qop',
    path: '/digest-auth/no/u/p/MD5',
    ours: [...SECRET, '--auth', 'digest'],
    curls: [...SECRET, '--digest'],
  },
  {
    name: 'digest and its cookies',
    path: '/digest-auth/auth/u/p/MD5?require-cookie=true',
    ours: [...SECRET, '--auth', 'digest', '--cookies'],
    curls: [...SECRET, '--digest', '-b', ''],
  },
  {
    name: 'digest with a wrong password',
    path: '/digest-auth/auth/u/other/MD5',
    ours: [...SECRET, '--auth', 'digest'],
    curls: [...SECRET, '--digest'],
  },
  { name: 'Basic', path: '/basic-auth/u/p', ours: SECRET },
  { name: 'Basic, wrong', path: '/basic-auth/u/other', ours: SECRET },
  {
    name: 'Basic where only a digest would be said',
    path: '/basic-auth/u/p',
    ours: [...SECRET, '--auth', 'digest'],
    curls: [...SECRET, '--digest'],
  },
  {
    name: 'Basic when asked',
    path: '/basic-auth/u/p',
    ours: [...SECRET, '--auth', 'any'],
    curls: [...SECRET, '--anyauth'],
  },
  { name: 'a door without a bell', path: '/hidden-basic-auth/u/p', ours: SECRET },
  {
    name: 'a door without a bell, waiting to be asked',
    path: '/hidden-basic-auth/u/p',
    ours: [...SECRET, '--auth', 'any'],
    curls: [...SECRET, '--anyauth'],
  },
  { name: 'cookies', path: '/cookies/set?a=1&b=2', ours: ['--cookies'], curls: ['-b', ''] },
  { name: 'no cookies', path: '/cookies/set?a=1&b=2' },
  { name: 'five redirects', path: '/redirect/5' },
  { name: 'five absolute redirects', path: '/absolute-redirect/5' },
  { name: 'five relative redirects', path: '/relative-redirect/5' },
  { name: 'too many redirects', path: '/redirect/5', ours: ['--max-redirects', '4'], curls: ['--max-redirs', '4'] },
  { name: 'an ETag', path: '/etag/abc' },
  { name: 'a cacheable file', path: '/cache' },
  ...['gzip', 'deflate', 'brotli'].flatMap((coding): Same[] => [
    {
      name: 'a coding, as it comes',
      path: `/${coding}`,
      ...(coding === 'gzip' ? { decode: (bytes) => gunzipSync(bytes) } : {}),
    },
    { name: 'a coding, taken off', path: `/${coding}`, ours: ['--compressed'], curls: [], isCoded: true },
  ]),
  { name: 'too many requests', path: '/status/429', curls: ['--retry', '0'] },
  { name: 'headers of any kind', path: '/response-headers?Retry-After=1&X-Y=z' },
]

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

  describe.skipIf(!requireServer('curl', findProgram('curl')))('does what curl does', () => {
    // What is echoed must not differ by who asks.
    const AGENT = ['-A', 'both']
    const IDENTITY = ['-H', 'Accept-Encoding: identity', '-H', 'Connection: keep-alive']
    const CODED = ['-H', 'Accept-Encoding: gzip, deflate, br', '-H', 'Connection: keep-alive', '--compressed']

    const lines = new Map<Same, () => JobRow>()
    const bytes = new Map<Same, () => Buffer>()
    beforeAll(async () => {
      for (const [, group] of Map.groupBy(SAME, ({ ours = [] }) => ours.join(' '))) {
        const list = group.map(({ path }, n) => `${server.url}${path}\n out=${n}\n`).join('')
        const ended = await run({ list, args: [...ONCE, ...AGENT, ...(group[0]?.ours ?? [])] })
        for (const [n, same] of group.entries()) {
          lines.set(same, () => ended.row(2 * n + 1))
          bytes.set(same, () => ended.bytes(`${n}`))
        }
      }
    })

    for (const same of SAME) {
      const { name, path, ours = [], curls = ours, isCoded = false, decode = (coded) => coded } = same
      test(`${name} (${path})`, async () => {
        const accepts = isCoded ? CODED : IDENTITY
        const theirs = await curl(newHome().root, '-L', '-f', ...AGENT, ...accepts, ...curls, `${server.url}${path}`)
        const row = lines.get(same)?.()
        expect([row?.outcome === 'downloaded', row?.http_code]).toEqual([theirs.code === 0, theirs.status])
        if (theirs.code !== 0) return
        // curl counts the answer to a challenge as a redirect.
        expect(row?.num_redirects).toBe(curls.some((arg) => /digest|anyauth/.test(arg)) ? 0 : theirs.redirects)
        const ourBytes = bytes.get(same)?.() ?? Buffer.alloc(0)
        expect(decode(ourBytes).toString('latin1')).toBe(decode(theirs.body).toString('latin1'))
      })
    }

    for (const disposition of ['attachment;filename=plain.txt', 'attachment; filename="with blank.txt"', 'inline']) {
      test(`Content-Disposition: ${disposition}`, async () => {
        const measure = newHome()
        const url = `${server.url}/response-headers?Content-Disposition=${encodeURIComponent(disposition)}`
        expect((await curl(measure.out, '-OJ', ...AGENT, ...IDENTITY, url)).code).toBe(0)
        const ended = await run({ list: url, args: [...ONCE, ...AGENT, '--content-disposition'] })
        expect([ended.code, ended.files]).toEqual([0, filesIn(measure.out)])
        for (const name of ended.files) {
          expect(ended.bytes(name).equals(readFileSync(join(measure.out, name)))).toBe(true)
        }
      })
    }

    test('/cache with what it said itself is not sent again', async () => {
      const url = `${server.url}/cache`
      const theirs = await curl(newHome().root, '-z', 'Mon, 05 Jan 2026 09:00:00 GMT', url)
      const home = newHome()
      const first = await run({ home, list: url, args: ONCE })
      const again = await run({ home, list: url, args: ONCE })
      expect([first.row(1).outcome, again.row(1).outcome, theirs.status]).toEqual(['downloaded', 'unchanged', 304])
      expect(again.row(1).size_download).toBe(theirs.body.length)
    })
  })

  test('an ETag that is the same tomorrow moves no body', async () => {
    const list = `${server.url}/etag/tomorrow`
    const first = await run({ list, args: ONCE })
    expect([first.row(1).outcome, first.row(1).etag]).toEqual(['downloaded', 'tomorrow'])
    const second = await run({ home: first.home, list, args: ONCE })
    // httpbin sends the ETag without its quotes, which is none by the rules, and knows it again all the same.
    expect(second.row(1)).toMatchObject({ outcome: 'unchanged', http_code: 304, size_download: 0 })
    const ranged = `${server.url}/range/2000`
    const third = await run({ home: first.home, list: ranged, args: ONCE })
    const fourth = await run({ home: first.home, list: ranged, args: ONCE })
    expect([third.row(1).proof, fourth.row(1).size]).toEqual(['length', 2000])
    expect(fourth.bytes('2000').equals(third.bytes('2000'))).toBe(true)
  })
})
