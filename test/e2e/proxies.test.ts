// Proves that every kind of proxy brings the same bytes, is asked only when it should be, and is named when it is to
// blame. Real proxies; knows nothing of how they are spoken to.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, sha256Of, startFaultServer, startRefused } from '../fixtures/fault-server.ts'
import {
  type ProxyOptions,
  startMicrosocks,
  startNpmProxy,
  startTinyproxy,
  type TestProxy,
  withLogin,
} from '../fixtures/proxies.ts'
import { type Certificates, findProgram, requireServer, selfSignedCa } from '../fixtures/servers.ts'
import { type Ended, newHome, ONCE, run, start } from './run-mpdl.ts'

const MIB = 2 ** 20
const login = { user: 'alice', password: 'p@ss:w/rd' }

let certificates: Certificates
let plain: FaultServer
let secure: FaultServer
let trust: readonly string[]
beforeAll(async () => {
  certificates = selfSignedCa()
  const tls = { key: readFileSync(certificates.keyPath), cert: readFileSync(certificates.certPath) }
  ;[plain, secure] = await Promise.all([startFaultServer(), startFaultServer({ tls })])
  trust = [...ONCE, '-T', '10s', '--cacert', certificates.caPath]
})
afterAll(async () => {
  await Promise.all([plain?.stop(), secure?.stop()])
  certificates?.remove()
})

/** In one piece, in chunks, without an end, around the corner: each plain and over TLS. */
const SMALL: readonly (readonly [path: string, body: Buffer])[] = [
  ['/ok/small', bodyOf(100_000)],
  ['/chunked/chunks?size=300000', bodyOf(300_000)],
  ['/close-delimited/open-end?size=50000', bodyOf(50_000)],
  ['/redirect/2/turned?size=5000', bodyOf(5000)],
]
const LARGE = [`/slow/large?size=${8 * MIB}&seed=7&rate=${4 * MIB}`, bodyOf(8 * MIB, 7)] as const
const listOf = (files: typeof SMALL) =>
  [plain, secure]
    .flatMap((server, n) => files.map(([path], i) => `${server.url(path)}\n out=file-${n}-${i}\n`))
    .join('')
const expectSameBytes = (ended: Ended, files: typeof SMALL) => {
  expect([ended.code, ended.stderr]).toEqual([0, ''])
  for (const n of [0, 1]) {
    for (const [i, [path, body]] of files.entries()) {
      expect([n, path, sha256Of(ended.bytes(`file-${n}-${i}`))]).toEqual([n, path, sha256Of(body)])
    }
  }
}

type Kind = {
  readonly name: string
  readonly scheme: string
  readonly start: (options: ProxyOptions) => Promise<TestProxy>
  readonly isThere: boolean
}
const hasTinyproxy = requireServer('tinyproxy', findProgram('tinyproxy'))
const hasMicrosocks = requireServer('microsocks', findProgram('microsocks'))
const KINDS: readonly Kind[] = [
  { name: 'http', scheme: 'http', start: (options) => startNpmProxy(options), isThere: true },
  {
    name: 'https',
    scheme: 'https',
    start: (options) => startNpmProxy({ ...options, tls: certificates }),
    isThere: true,
  },
  { name: 'tinyproxy', scheme: 'http', start: startTinyproxy, isThere: hasTinyproxy },
  { name: 'socks5', scheme: 'socks5', start: startMicrosocks, isThere: hasMicrosocks },
  { name: 'socks5h', scheme: 'socks5h', start: startMicrosocks, isThere: hasMicrosocks },
]
const schemed = (url: string, scheme: string) => url.replace(/^\w+/, scheme)

for (const { name, scheme, start: startProxy, isThere } of KINDS) {
  describe.skipIf(!isThere)(`through ${name}`, () => {
    let open: TestProxy
    let guarded: TestProxy
    // tinyproxy takes no such password.
    const mine = name === 'tinyproxy' ? { ...login, password: 's3cret' } : login
    beforeAll(async () => {
      ;[open, guarded] = await Promise.all([startProxy({}), startProxy({ login: mine })])
    })
    afterAll(() => Promise.all([open?.stop(), guarded?.stop()]))

    test('a list comes with the same bytes as without a proxy, segments included', async () => {
      const before = plain.requests.length
      const args = [...trust, '--proxy', schemed(open.url, scheme), '-k', '1M', '-j', '16', '--max-per-host', '8']
      const files = [...SMALL, LARGE]
      const ended = await run({ list: listOf(files), args })
      expectSameBytes(ended, files)
      expect(plain.requests.length).toBeGreaterThan(before)
      await expect.poll(() => open.asked().length).toBeGreaterThanOrEqual(2 * files.length)
      const large = ended.report.jobs.filter(({ url }) => url.includes('large'))
      for (const { attempts } of large) expect(attempts.length).toBeGreaterThan(1)
    })

    test('with a password, and not with another', async () => {
      const proxy = schemed(withLogin(guarded.url, mine), scheme)
      expectSameBytes(await run({ list: listOf(SMALL), args: [...trust, '--proxy', proxy] }), SMALL)
      const before = plain.requests.length + secure.requests.length
      const wrong = schemed(withLogin(guarded.url, { ...mine, password: 'wr0ng' }), scheme)
      const list = `${plain.url('/ok/a')}\n${secure.url('/ok/b')}\n`
      for (const given of [wrong, schemed(guarded.url, scheme)]) {
        const ended = await run({ list, args: [...trust, '--proxy', given] })
        expect(ended.report.jobs.map(({ outcome }) => outcome)).toEqual(['failed', 'failed'])
        for (const { failure, reason } of ended.report.jobs) {
          if (scheme.startsWith('socks'))
            expect(failure).toMatchObject({ kind: 'proxy', proxy: `127.0.0.1:${guarded.port}` })
          // tinyproxy answers a wrong password with the 401 of a server.
          else if (name === 'tinyproxy' && given === wrong) expect(failure).toMatchObject({ status: 401 })
          else expect(failure).toMatchObject({ kind: 'unauthorized', status: 407 })
          expect(reason).toMatch(failure?.kind === 'unauthorized' && failure.status === 401 ? /server/ : /proxy/)
          expect(ended.stderr + JSON.stringify(ended.report)).not.toContain('wr0ng')
        }
      }
      expect(plain.requests.length + secure.requests.length - before).toBe(0)
    })

    test('what breaks off is resumed, and a limit of the rate is kept', async () => {
      const list = `${plain.url(`/truncate-once/${name}?size=400000`)}\n out=cut\n${secure.url('/ok/paced?size=300000')}\n`
      // npm's proxy hides that the server has gone: only the silence tells.
      const args = [...trust, '-T', '1s', '-t', '3', '--proxy', schemed(open.url, scheme), '--limit-rate', '300K']
      const ended = await run({ list, args })
      expect(ended.code).toBe(0)
      expect(ended.bytes('cut').equals(bodyOf(400_000))).toBe(true)
      expect(ended.bytes('paced').equals(bodyOf(300_000))).toBe(true)
      expect(ended.row(1).attempts[1]?.resumed_from).toBeGreaterThan(0)
      // A second's worth may be let through at once.
      expect(ended.ms).toBeGreaterThan(((700_000 / 300 / 1024) * 1000) / 3)
    })
  })
}

describe('which way a request goes', () => {
  let first: TestProxy
  let second: TestProxy
  beforeAll(async () => {
    ;[first, second] = await Promise.all([startNpmProxy(), startNpmProxy()])
  })
  afterAll(() => Promise.all([first?.stop(), second?.stop()]))

  /** Which proxy was asked for it: `first`, `second`, or neither. */
  async function way(
    name: string,
    options: { args?: readonly string[]; env?: Record<string, string>; line?: string; url?: string },
  ) {
    const url = options.url ?? plain.url(`/ok/${name}`)
    const list = `${url}\n${options.line === undefined ? '' : ` ${options.line}\n`}`
    const before = [first.asked().length, second.asked().length]
    const ended = await run({
      list,
      args: [...trust, ...(options.args ?? [])],
      ...(options.env ? { env: options.env } : {}),
    })
    expect([name, ended.code, ended.stderr]).toEqual([name, 0, ''])
    const asked = [first.asked().length - (before[0] ?? 0), second.asked().length - (before[1] ?? 0)]
    return asked[0] === 1 && asked[1] === 0
      ? 'first'
      : asked[0] === 0 && asked[1] === 1
        ? 'second'
        : asked[0] === 0
          ? 'directly'
          : asked
  }

  test('the environment names one, by scheme; lower case wins; the option and the list know better', async () => {
    const env = { http_proxy: first.url, https_proxy: second.url }
    const overTls = secure.url('/ok/tls')
    expect(await way('http', { env })).toBe('first')
    expect(await way('https', { env, url: overTls })).toBe('second')
    expect(await way('all', { env: { ALL_PROXY: second.url } })).toBe('second')
    expect(await way('upper', { env: { HTTPS_PROXY: first.url, https_proxy: second.url }, url: overTls })).toBe(
      'second',
    )
    expect(await way('cgi', { env: { HTTP_PROXY: first.url } })).toBe('directly')
    expect(await way('option', { env, args: ['--proxy', second.url] })).toBe('second')
    expect(await way('mpdl', { env: { ...env, MPDL_PROXY: second.url } })).toBe('second')
    expect(await way('list', { env, args: ['--proxy', second.url], line: `proxy=${first.url}` })).toBe('first')
    expect(await way('none', { args: ['--proxy', second.url], line: 'proxy=none' })).toBe('directly')
    expect(await way('no-proxy', { env, args: ['--no-proxy'] })).toBe('directly')
    expect(await way('without-scheme', { env: { http_proxy: `127.0.0.1:${first.port}` } })).toBe('first')
  })

  test('NO_PROXY names hosts, domains, ports and networks that are asked directly', async () => {
    const byName = plain.url('/ok/named').replace('127.0.0.1', 'localhost')
    for (const [noProxy, expected, url] of [
      ['127.0.0.1', 'directly', undefined],
      ['*', 'directly', undefined],
      ['127.0.0.0/8', 'directly', undefined],
      ['10.0.0.0/8, 128.0.0.1', 'first', undefined],
      [`127.0.0.1:${plain.port}`, 'directly', undefined],
      ['127.0.0.1:1', 'first', undefined],
      ['.localhost', 'directly', byName],
      ['host,LocalHost', 'directly', byName],
      ['ocalhost', 'first', byName],
    ] as const) {
      for (const variable of ['NO_PROXY', 'no_proxy']) {
        const env = { http_proxy: first.url, [variable]: noProxy }
        expect([noProxy, await way('no', { env, ...(url ? { url } : {}) })]).toEqual([noProxy, expected])
      }
    }
    expect(await way('option', { env: { NO_PROXY: '127.0.0.1' }, args: ['--proxy', first.url] })).toBe('directly')
  })

  test('a redirect is judged anew', async () => {
    const url = plain.url(`/redirect-to/turn?url=${encodeURIComponent(secure.url('/ok/turned'))}`)
    const ended = await run({ list: url, args: trust, env: { http_proxy: first.url, https_proxy: second.url } })
    expect(ended.code).toBe(0)
    expect(first.asked().at(-1)).toBe(`GET ${url}`)
    expect(second.asked().at(-1)).toBe(`CONNECT 127.0.0.1:${secure.port}`)
  })

  test('a mistyped proxy is an error before a byte moves, and its password is not told', async () => {
    const before = plain.requests.length
    for (const given of [
      'socks4://127.0.0.1:1',
      'ftp://u:s3cret@127.0.0.1',
      'http://u:s3cret@',
      'http://u:s3cret@h/path',
    ]) {
      const option = await run({ list: plain.url('/ok/x'), args: ['--proxy', given] })
      expect([given, option.code, option.stderr]).toEqual([given, 64, expect.stringContaining('--proxy')])
      const line = await run({ list: `${plain.url('/ok/x')}\n proxy=${given}\n`, args: [] })
      expect([given, line.code, line.stderr]).toEqual([given, 65, expect.stringContaining('line 2')])
      expect(option.stderr + line.stderr).not.toContain('s3cret')
    }
    expect(plain.requests.length - before).toBe(0)
  })
})

describe('a proxy that is to blame', () => {
  test('[proxy] a dead one is named, not the server behind it, and it is asked again', async () => {
    const refused = await startRefused()
    for (const scheme of ['http', 'https', 'socks5', 'socks5h']) {
      const list = `${plain.url('/ok/a')}\n${secure.url('/ok/b')}\n`
      const args = [...trust, '-t', '2', '--proxy', `${scheme}://u:s3cret@127.0.0.1:${refused.port}`]
      const ended = await run({ list, args })
      expect([scheme, ended.code]).toEqual([scheme, 4])
      for (const { failure, reason, attempts } of ended.report.jobs) {
        expect(failure).toMatchObject({ kind: 'proxy', proxy: `127.0.0.1:${refused.port}` })
        expect([scheme, reason, attempts.length]).toEqual([
          scheme,
          `proxy 127.0.0.1:${refused.port}: connection refused (ECONNREFUSED)`,
          2,
        ])
      }
      expect(ended.stderr).not.toContain('s3cret')
    }
    await refused.stop()
  })

  test('[proxy] a dead one is no reason to give up the server: who asks that directly is served', async () => {
    const refused = await startRefused()
    const dead = Array.from(
      { length: 9 },
      (_, n) => `${plain.url(`/ok/${n}`)}\n proxy=http://127.0.0.1:${refused.port}\n`,
    )
    const list = `${dead.join('')}${plain.url('/ok/directly')}\n`
    const ended = await run({ list, args: [...ONCE, '-j', '1'] })
    expect(ended.report.totals).toMatchObject({ downloaded: 1, failed: 9 })
    expect(ended.stderr).not.toContain(`host 127.0.0.1:${plain.port} is down`)
    await refused.stop()
  })

  test.skipIf(!hasTinyproxy)('[proxy] one that refuses CONNECT is named with its answer', async () => {
    const strict = await startTinyproxy({ connectPort: 1 })
    const ended = await run({ list: secure.url('/ok/x'), args: [...trust, '--proxy', strict.url] })
    expect(ended.row(1).failure).toMatchObject({ kind: 'proxy', proxy: `127.0.0.1:${strict.port}`, status: 403 })
    expect(ended.row(1).reason).toBe(`proxy 127.0.0.1:${strict.port} refused: HTTP 403 Forbidden`)
    expect(ended.code).toBe(4)
    await strict.stop()
  })

  test('one that speaks another language than was said is named, whatever it says', async () => {
    const [plainProxy, tlsProxy] = await Promise.all([startNpmProxy(), startNpmProxy({ tls: certificates })])
    for (const [scheme, proxy] of [
      ['http', tlsProxy],
      ['https', plainProxy],
      ['socks5', plainProxy],
      ['socks5h', tlsProxy],
    ] as const) {
      const args = [...trust, '-T', '1s', '--connect-timeout', '1s', '--proxy', schemed(proxy.url, scheme)]
      const ended = await run({ list: `${plain.url('/ok/a')}\n${secure.url('/ok/b')}\n`, args })
      for (const { reason } of ended.report.jobs) {
        expect([scheme, reason]).toEqual([scheme, expect.stringContaining(`127.0.0.1:${proxy.port}`)])
      }
    }
    await Promise.all([plainProxy.stop(), tlsProxy.stop()])
  })

  test('[connect-timeout] one that takes the call and says nothing is ended by the time for connecting', async () => {
    const silent = createServer((socket) => socket.on('error', () => {}))
    await once(silent.listen(0, '127.0.0.1'), 'listening')
    const address = silent.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const args = [...trust, '--connect-timeout', '500ms', '--proxy', `http://127.0.0.1:${port}`]
    const ended = await run({ list: secure.url('/ok/x'), args })
    silent.close()
    expect([ended.code, ended.kind(1)]).toEqual([4, 'connect-timeout'])
  })

  test('an https:// proxy whose certificate nobody vouches for gets no password', async () => {
    const untrusted = await startNpmProxy({ tls: certificates, login })
    for (const extra of [[], ['--insecure']]) {
      const args = [...ONCE, ...extra, '--proxy', withLogin(untrusted.url, login)]
      const ended = await run({ list: `${plain.url('/ok/a')}\n${secure.url('/ok/b')}`, args })
      expect([ended.code, ended.report.totals['failed']]).toEqual([ended.code, 2])
      for (const { reason } of ended.report.jobs)
        expect(reason).toMatch(new RegExp(`proxy.*:${untrusted.port}|:${untrusted.port}`))
    }
    expect(untrusted.asked()).toEqual([])
    await untrusted.stop()
  })

  test.skipIf(!hasMicrosocks)('[proxy] a dead server behind SOCKS is told by the proxy', async () => {
    const socks = await startMicrosocks()
    const refused = await startRefused()
    const ended = await run({
      list: `http://127.0.0.1:${refused.port}/x`,
      args: [...trust, '--proxy', socks.url],
    })
    expect(ended.row(1).failure).toMatchObject({ kind: 'proxy', proxy: `127.0.0.1:${socks.port}` })
    await Promise.all([socks.stop(), refused.stop()])
  })

  // curl's CVE-2023-38545 began with a long name that was looked up here after all.
  test.skipIf(!hasMicrosocks)(
    '[proxy] [threat:socks-name] a name over 255 bytes is an error: neither cut, nor looked up here, nor sent',
    async () => {
      const socks = await startMicrosocks()
      const long = `${'a'.repeat(50)}.`.repeat(6)
      const list = `http://${long}example/x\nhttp://${'b'.repeat(256)}/y\n`
      for (const scheme of ['socks5h', 'socks5']) {
        const ended = await run({ list, args: [...trust, '--proxy', schemed(socks.url, scheme)] })
        for (const { failure, reason } of ended.report.jobs) {
          expect([scheme, failure]).toEqual([scheme, expect.objectContaining({ kind: 'proxy', code: 'name-too-long' })])
          expect(reason).toMatch(/255 bytes/)
        }
      }
      expect(socks.asked()).toEqual([])
      await socks.stop()
    },
  )

  test.skipIf(!hasMicrosocks)('socks5 looks names up here, socks5h sends them', async () => {
    const socks = await startMicrosocks()
    const byName = (path: string) => plain.url(path).replace('127.0.0.1', 'localhost')
    for (const scheme of ['socks5', 'socks5h']) {
      const ended = await run({
        list: byName(`/ok/${scheme}`),
        args: [...trust, '--proxy', schemed(socks.url, scheme)],
      })
      expect([scheme, ended.code]).toEqual([scheme, 0])
    }
    expect(socks.asked()).toEqual([`127.0.0.1:${plain.port}`, `localhost:${plain.port}`])
    await socks.stop()
  })

  test('a run killed in the middle of a download through a proxy goes on through it', async () => {
    const proxy = await startNpmProxy()
    const home = newHome()
    const list = secure.url('/slow/kept?size=200000&rate=100000')
    const running = start({ home, list, args: [...trust, '--proxy', proxy.url] })
    await running.event('response')
    const noted = () => running.event('attempt-ended').catch(() => undefined)
    running.process.kill('SIGTERM')
    await noted()
    await running.ended
    const again = await run({
      home,
      list: list.replace('rate=100000', 'rate=900000'),
      args: [...trust, '--proxy', proxy.url],
    })
    expect([again.code, again.bytes('kept').equals(bodyOf(200_000))]).toEqual([0, true])
    expect(proxy.asked()).toHaveLength(2)
    await proxy.stop()
  })
})
