// Proves what every kind of bad answer amounts to, in one run of the built program. Knows nothing of mpdl's insides.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Outcome } from '../../src/core/event.ts'
import type { FailureKind } from '../../src/core/failure.ts'
import { bodyOf, type FaultServer, startBlackhole, startFaultServer, startRefused } from '../fixtures/fault-server.ts'
import { type Certificates, selfSignedCa } from '../fixtures/servers.ts'
import { type Ended, ONCE, QUICK, run } from './run-mpdl.ts'

type Fault = {
  /** Begins with the kind in brackets; the coverage test reads it. */
  readonly name: string
  readonly path: string
  readonly kind: FailureKind
  readonly outcome?: Outcome
  readonly says: RegExp
  readonly keptBytes?: number
}

const HALF = 50_000

// Each target's name is unique, so that one run can hold them all.
const FAULTS: readonly Fault[] = [
  {
    name: '[truncated] a body that ends before its Content-Length keeps all that came',
    path: '/truncated/truncated.bin',
    kind: 'truncated',
    says: /^the connection ended after 48\.8 KiB of 97\.7 KiB$/,
    keptBytes: HALF,
  },
  {
    name: '[truncated] a reset in the middle of a body',
    path: '/reset/reset.bin',
    kind: 'truncated',
    says: /^the connection ended after 48\.8 KiB of 97\.7 KiB$/,
    keptBytes: HALF,
  },
  {
    name: '[truncated] a reset in a body that only its end delimits is no end',
    path: '/reset-close-delimited/reset-close-delimited.bin',
    kind: 'truncated',
    says: /^the connection broke after 48\.8 KiB of unknown length$/,
    keptBytes: HALF,
  },
  {
    name: '[truncated] chunks that stop without the last one',
    path: '/chunked-truncated/chunked-truncated.bin',
    kind: 'truncated',
    says: /^the connection broke after 48\.8 KiB of unknown length$/,
    keptBytes: HALF,
  },
  {
    name: '[network] a reset instead of an answer',
    path: '/reset-headers/reset-headers.bin',
    kind: 'network',
    says: /^127\.0\.0\.1:\d+: the connection was reset \(ECONNRESET\)$/,
  },
  {
    name: '[network] a close instead of an answer',
    path: '/empty-reply/empty-reply.bin',
    kind: 'network',
    says: /^127\.0\.0\.1:\d+: the server closed the connection without an answer \(EMPTY_REPLY\)$/,
  },
  {
    name: '[stall] [threat:endless] a body that stands still',
    path: '/stall/stall.bin',
    kind: 'stall',
    outcome: 'killed',
    says: /^STALLED no body bytes for 300ms$/,
    keptBytes: HALF,
  },
  {
    name: '[headers-timeout] [threat:endless] an answer that never comes',
    path: '/stall-headers/stall-headers.bin',
    kind: 'headers-timeout',
    says: /^no answer within 1\.5s of the request \(five times --timeout\)$/,
  },
  {
    name: '[protocol] a switch of protocols that nobody asked for',
    path: '/101/switching.bin',
    kind: 'protocol',
    says: /^the server broke HTTP: it switched protocols/,
  },
  {
    name: '[too-slow] [threat:endless] a drip of bytes',
    path: '/slow/slow.bin?size=100000&rate=3000',
    kind: 'too-slow',
    outcome: 'killed',
    says: /^SLOW [1-3]\.\d+ KiB\/s over 1s \(--min-speed\)$/,
  },
  {
    name: '[too-large] [threat:endless] a body without an end is stopped at the limit',
    path: '/endless/endless.bin',
    kind: 'too-large',
    says: /^the body is more than --max-filesize 3\.00 MiB$/,
  },
  {
    name: '[too-large] a length above the limit moves no body',
    path: '/ok/too-large.bin?size=4000000',
    kind: 'too-large',
    says: /^3\.81 MiB is more than --max-filesize 3\.00 MiB$/,
    keptBytes: 0,
  },
  {
    name: '[protocol] [threat:endless] headers without an end',
    path: '/endless-headers/endless-headers.bin',
    kind: 'protocol',
    says: /headers are larger than 64 KiB \(HPE_HEADER_OVERFLOW\)$/,
  },
  {
    name: '[protocol] 80 KiB of headers',
    path: '/huge-headers/huge-80.bin?kb=80',
    kind: 'protocol',
    says: /HPE_HEADER_OVERFLOW/,
  },
  {
    name: '[protocol] a chunk whose size is no number',
    path: '/badchunk/badchunk.bin',
    kind: 'protocol',
    says: /^the server broke HTTP: a chunk of the body is malformed \(HPE_INVALID_CHUNK_SIZE\)$/,
  },
  {
    name: '[protocol] an answer that is SSH',
    path: '/garbage/garbage.bin',
    kind: 'protocol',
    says: /the answer is not HTTP \(HPE_INVALID_CONSTANT\)$/,
  },
  {
    name: '[protocol] an answer without a header',
    path: '/http09/http09.bin',
    kind: 'protocol',
    says: /the answer is not HTTP/,
  },
  {
    name: '[protocol] lines that end in a bare LF',
    path: '/bare-lf/bare-lf.bin',
    kind: 'protocol',
    says: /the lines of the answer end wrongly \(HPE_CR_EXPECTED\)$/,
  },
  {
    name: '[protocol] two lengths that differ',
    path: '/conflicting-length/conflicting.bin',
    kind: 'protocol',
    says: /Content-Length was given twice/,
  },
  {
    name: '[protocol] a length beside chunks, as request smugglers send',
    path: '/cl-and-te/cl-and-te.bin',
    kind: 'protocol',
    says: /Transfer-Encoding is malformed/,
  },
  {
    name: '[protocol] [threat:injection] an escape character in a header',
    path: '/hostile-headers/escape.bin?escape',
    kind: 'protocol',
    says: /^the server broke HTTP: a header is malformed \(HPE_INVALID_HEADER_TOKEN\)$/,
  },
  {
    name: '[protocol] [threat:injection] a bare CR in a header',
    path: '/hostile-headers/cr.bin?cr',
    kind: 'protocol',
    says: /^the server broke HTTP: a header is malformed \(HPE_INVALID_HEADER_TOKEN\)$/,
  },
  {
    name: '[protocol] a range that nobody asked for',
    path: '/206-unasked/partial.bin',
    kind: 'protocol',
    says: /it sent a range nobody asked for \(206\)/,
  },
  {
    name: '[protocol] "not modified" to a question nobody asked',
    path: '/304-unasked/not-modified.bin',
    kind: 'protocol',
    says: /it said "not modified" though nothing was asked/,
  },
  { name: '[http-status] 404', path: '/status/404', kind: 'http-status', says: /^HTTP 404 Not Found$/ },
  { name: '[http-status] 500', path: '/status/500', kind: 'http-status', says: /^HTTP 500 Internal Server Error$/ },
  {
    name: '[http-status] 204 has no body and is no file',
    path: '/204/no-content.bin',
    kind: 'http-status',
    says: /^HTTP 204 No Content$/,
  },
  {
    name: '[unauthorized] 401 names the scheme that is wanted',
    path: '/auth-echo/unauthorized.bin',
    kind: 'unauthorized',
    says: /^HTTP 401 Unauthorized: the server wants credentials \(Basic\); -u USER or user= gives them$/,
  },
  {
    name: '[unauthorized] 407',
    path: '/status/407',
    kind: 'unauthorized',
    says: /^HTTP 407 Proxy Authentication Required: the proxy wants credentials$/,
  },
  {
    name: '[too-many-redirects] [threat:endless] redirects in a circle',
    path: '/redirect-loop/0',
    kind: 'too-many-redirects',
    says: /^more than 20 redirects \(--max-redirects\)$/,
  },
  {
    name: '[redirect-refused] a redirect to a local file',
    path: '/redirect-hostile/to-file.bin?kind=file',
    kind: 'redirect-refused',
    says: /^redirect to file:\/\/\/etc\/passwd refused: only http and https are followed$/,
  },
  {
    name: '[redirect-refused] a redirect to data:',
    path: '/redirect-hostile/to-data.bin?kind=data',
    kind: 'redirect-refused',
    says: /^redirect to data:text\/plain,hello refused: only http and https are followed$/,
  },
  {
    name: '[redirect-refused] a redirect to javascript:',
    path: '/redirect-hostile/to-javascript.bin?kind=javascript',
    kind: 'redirect-refused',
    says: /only http and https are followed$/,
  },
  {
    name: '[redirect-refused] a redirect to two slashes',
    path: '/redirect-hostile/to-slashes.bin?kind=slashes',
    kind: 'redirect-refused',
    says: /^redirect to \/\/ refused: it is no URL$/,
  },
  {
    name: '[redirect-refused] a redirect to port 99999',
    path: '/redirect-hostile/to-port.bin?kind=port',
    kind: 'redirect-refused',
    says: /it is no URL$/,
  },
  {
    name: '[redirect-refused] an empty Location',
    path: '/redirect-hostile/to-empty.bin?kind=empty',
    kind: 'redirect-refused',
    says: /^redirect to \(nothing\) refused: the server named no Location$/,
  },
  {
    name: '[redirect-refused] a redirect without a Location',
    path: '/redirect-hostile/to-missing.bin?kind=missing',
    kind: 'redirect-refused',
    says: /the server named no Location$/,
  },
  {
    name: '[connect-refused] a redirect with credentials to a port where nobody listens; they are not used',
    path: '/redirect-hostile/to-credentials.bin?kind=credentials',
    kind: 'connect-refused',
    says: /^connection refused by 127\.0\.0\.1:1$/,
  },
]

/** What looks odd and is a download all the same. */
const GOOD: readonly {
  readonly name: string
  readonly path: string
  readonly proof: string
  readonly sizeBytes?: number
}[] = [
  { name: 'a plain answer', path: '/ok/plain.bin', proof: 'length' },
  { name: 'an answer in chunks is unverified', path: '/chunked/chunked.bin', proof: 'unverified' },
  { name: 'an answer that its end delimits is unverified', path: '/close-delimited/closed.bin', proof: 'unverified' },
  {
    name: 'a body longer than its length is its first Content-Length bytes',
    path: '/overlong/overlong.bin',
    proof: 'length',
  },
  {
    name: 'a short body longer than its length, all in one packet',
    path: '/overlong/overlong-short.bin?size=50',
    proof: 'length',
    sizeBytes: 50,
  },
  { name: '40 KiB of headers', path: '/huge-headers/huge-40.bin?kb=40', proof: 'length' },
  { name: '[threat:injection] escapes in the reason phrase', path: '/hostile-headers/hostile.bin', proof: 'length' },
  { name: 'early hints before the answer', path: '/103/early.bin', proof: 'length' },
  { name: 'an empty file', path: '/ok/empty.bin?size=0', proof: 'length', sizeBytes: 0 },
  { name: 'five redirects', path: '/redirect/5/', proof: 'length' },
  { name: 'a slow but steady answer', path: '/slow/steady.bin?size=8000&rate=20000', proof: 'length', sizeBytes: 8000 },
]

let server: FaultServer
let refused: Awaited<ReturnType<typeof startRefused>>
let blackhole: Awaited<ReturnType<typeof startBlackhole>>
let ended: Ended
const lineOf = new Map<string, number>()

beforeAll(async () => {
  ;[server, refused, blackhole] = await Promise.all([startFaultServer(), startRefused(), startBlackhole()])
  const urls = [
    ...[...FAULTS, ...GOOD].map(({ path }) => server.url(path)),
    `http://127.0.0.1:${refused.port}/refused.bin`,
    `http://127.0.0.1:${blackhole.port}/blackhole.bin`,
    'http://nowhere.invalid/unknown-host.bin',
    server.url('/encoding-gzip-forced/forced.bin'),
    server.url('/html-for-pdf.pdf'),
  ]
  for (const [i, url] of urls.entries()) lineOf.set(url, i + 1)
  const limits = ['--max-filesize', '3M', '--connect-timeout', '1s', '--min-speed', '5K/1s']
  ended = await run({ list: urls.join('\n'), args: [...ONCE, ...limits] })
})
afterAll(() => Promise.all([server, refused, blackhole].map((each) => each?.stop())))

const rowOf = (url: string) => ended.row(lineOf.get(url) ?? 0)

describe('a bad answer', () => {
  for (const { name, path, kind, outcome = 'failed', says, keptBytes } of FAULTS) {
    test(`${name} (${path.split('?')[0]})`, () => {
      const row = rowOf(server.url(path))
      expect(row).toMatchObject({ failure: { kind }, outcome, size: null, proof: null })
      expect(row.reason).toMatch(says)
      expect(ended.seen, 'the final name never exists').not.toContain(row.out)
      if (keptBytes !== undefined) expect(row.kept).toBe(keptBytes)
      // What was kept is there, is private and is a prefix of the truth; what was not leaves nothing.
      const part = `${row.out}.part`
      expect(ended.files.includes(part)).toBe(row.kept > 0)
      if (row.kept > 0 && kind !== 'too-large') {
        expect(ended.bytes(part).equals(bodyOf(100_000).subarray(0, row.kept))).toBe(true)
      }
    })
  }

  test('[too-large] an endless body never reaches beyond the limit', () => {
    const row = rowOf(server.url('/endless/endless.bin'))
    expect(row.size_download).toBeLessThanOrEqual(3 * 2 ** 20)
  })

  test('[connect-refused] a port where nobody listens', () => {
    const row = rowOf(`http://127.0.0.1:${refused.port}/refused.bin`)
    expect(row).toMatchObject({ failure: { kind: 'connect-refused' }, outcome: 'failed' })
    expect(row.reason).toBe(`connection refused by 127.0.0.1:${refused.port}`)
  })

  test('[connect-timeout] a port where connecting never ends', () => {
    const row = rowOf(`http://127.0.0.1:${blackhole.port}/blackhole.bin`)
    expect(row).toMatchObject({ failure: { kind: 'connect-timeout' }, outcome: 'failed' })
    expect(row.reason).toBe(`no connection to 127.0.0.1:${blackhole.port} within 1s (--connect-timeout)`)
  })

  test('[unknown-host] a name that nobody has', () => {
    const row = rowOf('http://nowhere.invalid/unknown-host.bin')
    expect(row).toMatchObject({ failure: { kind: 'unknown-host', host: 'nowhere.invalid' }, outcome: 'failed' })
    expect(row.reason).toMatch(/nowhere\.invalid$/)
  })
})

describe('an odd answer that is a download', () => {
  for (const { name, path, proof, sizeBytes = 100_000 } of GOOD) {
    test(`${name} (${path.split('?')[0]})`, () => {
      const row = rowOf(server.url(path))
      expect(row).toMatchObject({ outcome: 'downloaded', proof, size: sizeBytes, failure: null, reason: null })
      expect(ended.bytes(row.out).equals(bodyOf(sizeBytes))).toBe(true)
    })
  }

  test('[threat:bomb] gzip that nobody asked for is stored as it came', () => {
    const row = rowOf(server.url('/encoding-gzip-forced/forced.bin'))
    expect(row).toMatchObject({ outcome: 'downloaded', proof: 'length' })
    expect(row.size).toBe(ended.bytes('forced.bin').length)
    expect(gunzipSync(ended.bytes('forced.bin')).equals(bodyOf(100_000))).toBe(true)
  })

  test('HTML where the name promises a PDF is a warning', () => {
    const row = rowOf(server.url('/html-for-pdf.pdf'))
    expect(row.outcome).toBe('downloaded')
    expect(row.warnings).toEqual(['the server sent HTML, which is hardly what the name promises'])
    expect(ended.stderr).toContain('the server sent HTML')
  })
})

describe('the run around them', () => {
  test('the sums add up, and the lowest class is the exit code', () => {
    const { totals } = ended.report
    expect(ended.code).toBe(4)
    expect(ended.report.exit_code).toBe(4)
    expect(totals['jobs']).toBe(lineOf.size)
    expect(totals['spawned']).toBe(totals['reaped'])
    expect(ended.report.jobs).toHaveLength(lineOf.size)
    expect(ended.stdout).toBe('')
    expect(ended.stderr).not.toContain('DO NOT ADD UP')
  })

  test('a part is private; its mode is widened only when it is whole and gets its name', () => {
    expect([...ended.partModes].map((mode) => mode.toString(8)).sort()).toEqual(['600', '644'])
  })

  test('[threat:rejected-bytes] where everything fails, no final name and no public part is ever seen', async () => {
    const paths = FAULTS.filter(({ kind }) => kind !== 'headers-timeout' && kind !== 'too-slow').map(({ path }) => path)
    const all = await run({
      list: paths.map((path) => server.url(path)).join('\n'),
      args: [...ONCE, '--max-filesize', '3M'],
    })
    const names = new Set(all.report.jobs.map(({ out }) => out))
    expect([...all.seen].filter((name) => names.has(name))).toEqual([])
    expect([...all.seen].filter((name) => !/\.part(\.json~?)?$/.test(name))).toEqual([])
    expect([...all.partModes]).toEqual([0o600])
  })

  test('each class of failure alone has its own exit code', async () => {
    const cases: readonly (readonly [path: string, code: number])[] = [
      ['/truncated/x', 4],
      ['/auth-echo/x', 6],
      ['/garbage/x', 7],
      ['/redirect-hostile/x?kind=file', 7],
      ['/status/404', 8],
      ['/stall/x', 10],
      ['/ok/x?size=5000000', 1],
      ['/ok/x', 0],
    ]
    for (const [path, code] of cases) {
      const one = await run({ operands: [server.url(path)], args: [...ONCE, '--max-filesize', '3M'] })
      expect([path, one.code]).toEqual([path, code])
      if (code === 0) expect([one.stdout, one.stderr]).toEqual(['', ''])
      else expect(one.stderr).toMatch(/^mpdl: 1 = 1 /)
    }
  })
})

describe('TLS', () => {
  let certificates: Certificates
  let servers: FaultServer[]
  beforeAll(async () => {
    certificates = selfSignedCa()
    const key = readFileSync(certificates.keyPath)
    const { certPath, expiredCertPath, wrongHostCertPath, untrustedCertPath } = certificates
    servers = await Promise.all(
      [certPath, expiredCertPath, wrongHostCertPath, untrustedCertPath].map((path) =>
        startFaultServer({ tls: { key, cert: readFileSync(path) } }),
      ),
    )
  })
  afterAll(async () => {
    await Promise.all(servers.map((each) => each.stop()))
    certificates.remove()
  })

  test('[tls] certificates that are expired, of another host or self-signed are refused, each by its name', async () => {
    const plain = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n').on('error', () => {}))
    await once(plain.listen(0, '127.0.0.1'), 'listening')
    const address = plain.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const urls = [...servers.map((each, i) => each.url(`/ok/tls-${i}`)), `https://127.0.0.1:${port}/plain-port`]
    const tls = await run({ list: urls.join('\n'), args: [...QUICK, '--cacert', certificates.caPath] })
    plain.close()
    expect(tls.row(1)).toMatchObject({ outcome: 'downloaded', proof: 'length' })
    expect(tls.row(2)).toMatchObject({ outcome: 'failed', failure: { kind: 'tls', code: 'CERT_HAS_EXPIRED' } })
    expect(tls.row(3).failure).toMatchObject({ kind: 'tls', code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
    expect(tls.row(4).failure).toMatchObject({ kind: 'tls', code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
    expect(tls.row(5).failure).toMatchObject({ kind: 'tls' })
    expect(tls.row(5).reason).toMatch(/the server does not speak TLS on this port \(did you mean http:\/\/\?\)/)
    expect(tls.code).toBe(5)
    for (const line of [2, 3, 4, 5]) {
      expect(tls.row(line).attempts, 'a certificate does not get better by asking again').toHaveLength(1)
      expect(tls.seen).not.toContain(tls.row(line).out)
    }
  })

  test('a redirect from http to https trusts --cacert as well', async () => {
    const [good] = servers
    const there = encodeURIComponent(good?.url('/ok/there') ?? '')
    const args = [...ONCE, '--cacert', certificates.caPath]
    const ended = await run({ operands: [server.url(`/redirect-to/here?url=${there}`)], args })
    expect(ended.row(1)).toMatchObject({ outcome: 'downloaded', out: 'here', num_redirects: 1, remote_ip: '127.0.0.1' })
  })

  test('[tls] without --cacert an own CA is unknown', async () => {
    const [good] = servers
    const tls = await run({ operands: [good?.url('/ok/tls') ?? ''], args: QUICK })
    expect(tls.code).toBe(5)
    expect(tls.row(1).reason).toMatch(/issuer of the certificate is unknown \(trust it with --cacert FILE\)/)
  })
})
