// Proves that cookies are kept for the run and in curl's file, and go where a browser would send them. Knows nothing of
// the jar's insides: servers tell what came, and curl reads what was saved.
import { chmodSync, existsSync, lstatSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { curl } from '../fixtures/curl.ts'
import { type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { findHttpbin, findProgram, requireServer, startHttpbin, type TestServer } from '../fixtures/servers.ts'
import { newHome, ONCE, run, start } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

/** One after the other, so that what one is given the next can have. */
const IN_ORDER = [...ONCE, '-j', '1'] as const

const setting = (path: string, ...cookies: readonly string[]) =>
  `${path}?${cookies.map((cookie) => `value=${encodeURIComponent(cookie)}`).join('&')}`

/** What came as Cookie with the last request of that path. */
const cameWith = (path: string) => server.requests.findLast((each) => each.path === path)?.headers['cookie']

describe('--cookies', () => {
  test('what one child is given another one sends, for as long as the run lasts', async () => {
    const home = newHome()
    const list = [
      server.url(setting('/set-cookie/first', 'a=1; Path=/', 'b=2; Path=/')),
      server.url('/echo-headers/then'),
    ]
    const ended = await run({ home, list: list.join('\n'), args: [...IN_ORDER, '--cookies'] })
    expect([ended.code, ended.stderr, cameWith('/echo-headers/then')]).toEqual([0, '', 'a=1; b=2'])
    expect(ended.report.totals).toMatchObject({ spawned: 2 })
    await run({ home, list: server.url('/echo-headers/after'), args: [...IN_ORDER, '--cookies'] })
    expect(cameWith('/echo-headers/after')).toBeUndefined()
  })

  test('without it none is kept, not even over a redirect', async () => {
    const list = [server.url(`${setting('/set-cookie/off', 'a=1; Path=/')}&url=/echo-headers/off`)]
    await run({ list: list.join('\n'), args: IN_ORDER })
    expect([server.hits('/echo-headers/off'), cameWith('/echo-headers/off')]).toEqual([1, undefined])
  })

  test('over a redirect they come along; a Cookie of the caller stands before them', async () => {
    const list = [server.url(`${setting('/set-cookie/hop', 'a=1; Path=/')}&url=/echo-headers/hop`)]
    await run({ list: list.join('\n'), args: [...IN_ORDER, '--cookies', '-H', 'Cookie: own=0'] })
    expect(cameWith('/echo-headers/hop')).toBe('own=0; a=1')
  })

  test('domain, path, Secure and public suffixes mean what they mean to a browser', async () => {
    // The server stands in for a proxy that knows every host.
    const ask = (host: string, path: string) => `http://${host}${path}`
    const list = [
      ask('www.shop.example.com', setting('/set-cookie/1', 'host=1', 'wide=1; Domain=shop.example.com; Path=/')),
      ask('www.shop.example.com', setting('/set-cookie/2', 'suffix=1; Domain=com', 'foreign=1; Domain=other.com')),
      ask('shop.co.uk', setting('/set-cookie/3', 'suffix=1; Domain=co.uk; Path=/')),
      ask(
        'www.shop.example.com',
        setting('/set-cookie/4', 'secure=1; Secure; Path=/', 'deep=1; Path=/echo-headers/deep'),
      ),
      ask('www.shop.example.com', '/echo-headers/same'),
      ask('api.shop.example.com', '/echo-headers/sister'),
      ask('shop.example.com.evil.com', '/echo-headers/lookalike'),
      ask('other.co.uk', '/echo-headers/neighbour'),
      ask('www.shop.example.com', '/echo-headers/deep/er'),
      ask('www.shop.example.com:8080', setting('/set-cookie/5', 'port=1; Path=/')),
      ask('www.shop.example.com', '/echo-headers/other-port'),
    ]
    const ended = await run({
      list: list.join('\n'),
      args: [...IN_ORDER, '--cookies', '--proxy', server.url('')],
    })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(cameWith('/echo-headers/same')).toBe('wide=1')
    expect(cameWith('/echo-headers/sister')).toBe('wide=1')
    expect(cameWith('/echo-headers/lookalike')).toBeUndefined()
    expect(cameWith('/echo-headers/neighbour')).toBeUndefined()
    expect(cameWith('/echo-headers/deep/er')?.split('; ').sort()).toEqual(['deep=1', 'wide=1'])
    expect(cameWith('/echo-headers/other-port')?.split('; ').sort()).toEqual(['port=1', 'wide=1'])
  })

  test('a server that sends thousands, large and broken ones disturbs nothing', async () => {
    const many = Array.from({ length: 400 }, (_, n) => `many${n}=${'x'.repeat(200)}; Path=/`)
    const odd = [`huge=${'x'.repeat(6000)}; Path=/`, 'bad name=1; Path=/', '=; ;;', 'ok=1; Path=/; Max-Age=60']
    const list = [
      server.url(setting('/set-cookie/many', ...many.slice(0, 200))),
      server.url(setting('/set-cookie/more', ...many.slice(200))),
      server.url(setting('/set-cookie/odd', ...odd)),
      server.url('/echo-headers/full'),
    ]
    const ended = await run({ list: list.join('\n'), args: [...IN_ORDER, '--cookies'] })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    const cookie = cameWith('/echo-headers/full') ?? ''
    expect(cookie.length).toBeLessThanOrEqual(8192)
    expect(cookie.length).toBeGreaterThan(4000)
    expect(cookie).not.toMatch(/huge=|\p{Cc}/u)
  })
})

describe('--cookie-jar', () => {
  test('it is loaded and saved, private, in place of what was there, and a run begins where the last one ended', async () => {
    const home = newHome()
    const jar = home.at('cookies.txt')
    const args = [...IN_ORDER, '--cookie-jar', jar]
    const set = await run({
      home,
      list: server.url(setting('/set-cookie/jar', 'kept=1; Path=/; Max-Age=3600', 'session=2; Path=/')),
      args,
    })
    expect([set.code, set.stderr, (lstatSync(jar).mode & 0o777).toString(8)]).toEqual([0, '', '600'])
    expect(readFileSync(jar, 'utf8')).toMatch(/^# (Netscape )?HTTP Cookie File/)
    await run({ home, list: server.url('/echo-headers/jar'), args })
    expect(cameWith('/echo-headers/jar')?.split('; ').sort()).toEqual(['kept=1', 'session=2'])
    await run({ home, list: server.url(setting('/set-cookie/gone', 'kept=; Path=/; Max-Age=0')), args })
    await run({ home, list: server.url('/echo-headers/less'), args })
    expect(cameWith('/echo-headers/less')).toBe('session=2')
  })

  test('a Secure cookie goes over TLS only, and each to its own host and all below where that was said', async () => {
    const home = newHome()
    const jar = home.at('cookies.txt')
    const row = (...fields: readonly string[]) => `${fields.join('\t')}\n`
    writeFileSync(
      jar,
      `# Netscape HTTP Cookie File\n\n${row('.example.com', 'TRUE', '/', 'FALSE', '0', 'wide', '1')}${row('shop.example.com', 'FALSE', '/', 'TRUE', '0', 'secure', '2')}#HttpOnly_${row('shop.example.com', 'FALSE', '/', 'FALSE', '0', 'narrow', '3')}${row('shop.example.com', 'FALSE', '/', 'FALSE', '1', 'expired', '4')}`,
      { mode: 0o600 },
    )
    const list = ['shop.example.com', 'api.shop.example.com', 'example.org'].map(
      (host) => `http://${host}/echo-headers/${host}`,
    )
    const ended = await run({
      home,
      list: list.join('\n'),
      args: [...IN_ORDER, '--cookie-jar', jar, '--proxy', server.url('')],
    })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    const came = (host: string) => cameWith(`/echo-headers/${host}`)?.split('; ').sort()
    expect(['shop.example.com', 'api.shop.example.com', 'example.org'].map(came)).toEqual([
      ['narrow=3', 'wide=1'],
      ['wide=1'],
      undefined,
    ])
    const saved = readFileSync(jar, 'utf8')
    expect(saved).toContain(row('shop.example.com', 'FALSE', '/', 'TRUE', '0', 'secure', '2'))
    expect(saved).toContain(`#HttpOnly_${row('shop.example.com', 'FALSE', '/', 'FALSE', '0', 'narrow', '3')}`)
    expect(saved).not.toContain('expired')
  })

  test('[threat:readable-secrets] a jar that others can read is refused before a byte moves, with what to do', async () => {
    const home = newHome()
    const jar = home.at('cookies.txt')
    writeFileSync(jar, '127.0.0.1\tFALSE\t/\tFALSE\t0\tname\tv4lue\n')
    chmodSync(jar, 0o644)
    const before = server.requests.length
    const ended = await run({ home, list: server.url('/echo-headers/x'), args: ['--cookie-jar', jar] })
    expect([ended.code, ended.stderr]).toEqual([78, expect.stringContaining(`chmod 600 ${jar}`)])
    expect(ended.stderr).not.toContain('v4lue')
    expect(server.requests.length - before).toBe(0)
  })

  test('it is saved when the run is stopped or fails, too', async () => {
    const home = newHome()
    const args = [...IN_ORDER, '-T', '10s', '--cookie-jar', home.at('cookies.txt')]
    const list = `${server.url(setting('/set-cookie/early', 'early=1; Path=/'))}\n${server.url('/slow/late?size=90000')}\n`
    const running = start({ home, list, args })
    await running.event('response', ({ line }) => line === 2)
    running.process.kill('SIGINT')
    expect((await running.ended).code).toBe(130)
    const failing = await run({ home, list: server.url('/status/404/echo'), args })
    expect([failing.code, cameWith('/status/404/echo')]).toEqual([8, 'early=1'])
  })

  test('two runs that overlap lose nothing of each other', async () => {
    const home = newHome()
    const args = [...ONCE, '-T', '10s', '--cookie-jar', home.at('cookies.txt')]
    const set = (name: string) => server.url(setting(`/set-cookie/${name}`, `${name}=1; Path=/`))
    const long = start({ home, list: `${set('long')}\n${server.url('/slow/rest?size=20000&rate=20000')}\n`, args })
    await long.event('response', ({ line }) => line === 2)
    const short = await run({ home: newHome(), list: set('short'), args })
    expect([short.code, (await long.ended).code]).toEqual([0, 0])
    await run({ home, list: server.url('/echo-headers/both'), args })
    expect(cameWith('/echo-headers/both')?.split('; ').sort()).toEqual(['long=1', 'short=1'])
  })

  test('it is never written through a link', async () => {
    const home = newHome()
    const victim = home.at('victim')
    const jar = home.at('cookies.txt')
    writeFileSync(victim, '', { mode: 0o600 })
    symlinkSync(victim, jar)
    await run({
      home,
      list: server.url(setting('/set-cookie/link', 'a=1; Path=/')),
      args: [...ONCE, '--cookie-jar', jar],
    })
    expect(readFileSync(victim, 'utf8')).toBe('')
  })

  test('a jar that cannot be saved is told at the end and is the exit code where all else went well', async () => {
    const home = newHome()
    const jar = home.at('nowhere/cookies.txt')
    const list = server.url(setting('/set-cookie/unsaved', 'a=1; Path=/'))
    const ended = await run({ home, list, args: [...ONCE, '--cookie-jar', jar] })
    expect([ended.code, existsSync(jar)]).not.toEqual([0, false])
    expect(ended.stderr).toContain(jar)
  })
})

describe.skipIf(!requireServer('httpbin', findHttpbin()) || !requireServer('curl', findProgram('curl')))(
  'the jar and curl',
  () => {
    let httpbin: TestServer
    beforeAll(async () => {
      httpbin = await startHttpbin()
    })
    afterAll(() => httpbin?.stop())

    const cookiesOf = (body: Buffer): unknown => JSON.parse(body.toString())
    const given = { cookies: { a: '1', b: 'two words' } }
    const set = () => `${httpbin.url}/cookies/set?a=1&b=two%20words`

    test('curl sends what mpdl has saved', async () => {
      const home = newHome()
      const jar = home.at('jar')
      const ended = await run({ home, list: `${set()}\n out=x`, args: [...ONCE, '--cookie-jar', jar] })
      expect([ended.code, cookiesOf(ended.bytes('x'))]).toEqual([0, given])
      const reply = await curl(home.root, '-b', jar, `${httpbin.url}/cookies`)
      expect(cookiesOf(reply.body)).toEqual(given)
    })

    test('mpdl sends what curl has saved', async () => {
      const home = newHome()
      const jar = home.at('jar')
      expect((await curl(home.root, '-L', '-c', jar, set())).status).toBe(200)
      chmodSync(jar, 0o600)
      const ended = await run({ home, list: `${httpbin.url}/cookies\n out=x`, args: [...ONCE, '--cookie-jar', jar] })
      expect([ended.code, cookiesOf(ended.bytes('x'))]).toEqual([0, given])
      const again = await curl(home.root, '-b', jar, `${httpbin.url}/cookies`)
      expect(cookiesOf(again.body)).toEqual(given)
    })
  },
)
