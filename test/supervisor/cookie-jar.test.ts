// Decides whether the jar keeps, sends and stores what a browser would, and no more than it may.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:http'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { parseCookieFile } from '../../src/core/cookie-file.ts'
import { detectHardening } from '../../src/isolation/hardening.ts'
import { type CookieJar, openCookieJar } from '../../src/supervisor/cookie-jar.ts'
import fc from '../fixtures/property.ts'
import { findProgram, requireServer } from '../fixtures/servers.ts'

let dir: string
let file: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-test-'))
  file = join(dir, 'cookies.txt')
})
afterEach(() => {
  vi.useRealTimers()
  rmSync(dir, { recursive: true, force: true })
})

async function opened(cookies: 'run' | { readonly file: string } = 'run'): Promise<CookieJar> {
  const result = await openCookieJar(cookies, detectHardening())
  if (!result.ok) throw new Error(result.problem)
  return result.jar
}

async function problemOf(path: string): Promise<string> {
  const result = await openCookieJar({ file: path }, detectHardening())
  return result.ok ? '' : result.problem.replaceAll(dir, 'DIR')
}

const write = (text: string, path = file) => writeFileSync(path, text, { mode: 0o600 })
const stored = () => {
  const { cookies, errors } = parseCookieFile(readFileSync(file, 'latin1'))
  expect(errors).toEqual([])
  return cookies
}
const names = (header: string | undefined) => header?.split('; ').map((pair) => pair.split('=')[0])

describe('what is sent', () => {
  test.each([
    ['to the host that set it', 'https://h.example/', 'a=1', 'https://h.example/x', 'a=1'],
    ['not to another host', 'https://h.example/', 'a=1', 'https://g.example/', undefined],
    ['not to a host below it', 'https://h.org/', 'a=1', 'https://www.h.org/', undefined],
    ['to hosts below its domain', 'https://www.h.org/', 'a=1; Domain=.h.org', 'https://ftp.h.org/', 'a=1'],
    ['to every port', 'http://h.org:8080/', 'a=1', 'http://h.org:9090/', 'a=1'],
    ['below its path', 'https://h.org/', 'a=1; Path=/x', 'https://h.org/x/y', 'a=1'],
    ['not beside its path', 'https://h.org/', 'a=1; Path=/x', 'https://h.org/xy', undefined],
    ['in the directory that set it', 'https://h.org/x/y', 'a=1', 'https://h.org/x/z', 'a=1'],
    ['not above that directory', 'https://h.org/x/y', 'a=1', 'https://h.org/', undefined],
    ['where the path is escaped', 'https://h.org/a%20b/c', 'a=1', 'https://h.org/a%20b/d', 'a=1'],
    ['not where an escape would mean the path', 'https://h.org/', 'a=1; Path=/a b', 'https://h.org/a%20b', undefined],
    ['over TLS', 'https://h.org/', 'a=1; Secure', 'https://h.org/', 'a=1'],
    ['only over TLS', 'https://h.org/', 'a=1; Secure', 'http://h.org/', undefined],
    ['to this machine without TLS', 'http://localhost/', 'a=1; Secure', 'http://localhost/', 'a=1'],
    ['whatever SameSite says', 'https://h.org/', 'a=1; SameSite=Strict', 'https://h.org/', 'a=1'],
    ['without being shown to scripts', 'https://h.org/', 'a=1; HttpOnly', 'https://h.org/', 'a=1'],
    ['to an IPv4 address', 'http://192.0.2.1/', 'a=1', 'http://192.0.2.1/', 'a=1'],
    ['not to another address', 'http://192.0.2.1/', 'a=1; Domain=2.1', 'http://192.0.2.1/', undefined],
    ['to an IPv6 address', 'http://[2001:db8::1]/', 'a=1', 'http://[2001:db8:0::1]/', 'a=1'],
    ['to a name without dots', 'http://intranet/', 'a=1', 'http://intranet/', 'a=1'],
    ['to a name without dots that names itself', 'http://wiki/', 'a=1; Domain=wiki', 'http://wiki/', 'a=1'],
    ['not below such a name', 'http://wiki/', 'a=1; Domain=wiki', 'http://b.wiki/', undefined],
    ['to a name with an underscore', 'http://my_host.h.org/', 'a=1; Domain=h.org', 'http://my_host.h.org/', 'a=1'],
    ['as it came, quotes too', 'https://h.org/', 'a="x y"', 'https://h.org/', 'a="x y"'],
    ['in bytes beyond ASCII', 'https://h.org/', 'a=\xe9', 'https://h.org/', 'a=\xe9'],
  ])('a cookie goes %s', async (_, from, setCookie, to, header) => {
    const jar = await opened()
    jar.receive(from, [setCookie])
    expect(jar.headerFor(to)).toBe(header)
  })

  test('the longest path comes first, then the oldest', async () => {
    const jar = await opened()
    jar.receive('https://h.org/', ['a=1; Path=/', 'b=2; Path=/x', 'c=3; Path=/'])
    expect(jar.headerFor('https://h.org/x')).toBe('b=2; a=1; c=3')
  })

  test('a header stays within what servers take, and the shortest paths are left out', async () => {
    const jar = await opened()
    const long = 'v'.repeat(3000)
    jar.receive('https://h.org/', [`a=${long}; Path=/`, `b=${long}; Path=/x`, `c=${long}; Path=/x/y`, 'd=4; Path=/'])
    const header = jar.headerFor('https://h.org/x/y')
    expect(names(header)).toEqual(['c', 'b', 'd'])
    expect(`Cookie: ${header}\r\n`.length).toBeLessThan(8192)
  })

  test.each(['test', 'local', 'example', 'localhost', 'invalid'])(
    'a host called %s is asked without trouble',
    async (host) => {
      const jar = await opened()
      jar.receive(`http://${host}/`, ['a=1'])
      expect(() => jar.headerFor(`http://${host}/`)).not.toThrow()
    },
  )
})

describe('what is dropped', () => {
  test.each([
    ['for another host', 'https://h.org/', 'a=1; Domain=g.org'],
    ['for a host below', 'https://h.org/', 'a=1; Domain=www.h.org'],
    ['for a public suffix', 'https://h.co.uk/', 'a=1; Domain=co.uk'],
    ['for a private suffix', 'https://h.github.io/', 'a=1; Domain=github.io'],
    ['that is Secure but came without TLS', 'http://h.org/', 'a=1; Secure'],
    ['called __Secure- that is not', 'https://h.org/', '__Secure-a=1'],
    ['called __Host- with a domain', 'https://h.org/', '__Host-a=1; Secure; Path=/; Domain=h.org'],
    ['without a name', 'https://h.org/', '=1'],
    ['without =', 'https://h.org/', 'a'],
    ['that is empty', 'https://h.org/', ''],
    ['with a control character in its value', 'https://h.org/', 'a=1\x7f2'],
    ['with a TAB in its value', 'https://h.org/', 'a=1\t2'],
    ['with a TAB in its path', 'https://h.org/', 'a=1; Path=/\tTRUE'],
    ['with a value that no header can carry', 'https://h.org/', 'a=\u4e2d'],
    ['that has expired', 'https://h.org/', 'a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT'],
    ['of 4,097 bytes', 'https://h.org/', `a=${'1'.repeat(4095)}`],
  ])('a cookie %s', async (_, url, setCookie) => {
    const jar = await opened({ file })
    jar.receive(url, [setCookie])
    expect(jar.headerFor(url)).toBeUndefined()
    expect(await jar.save()).toBeUndefined()
    expect(stored()).toEqual([])
  })

  test('a cookie of 4,096 bytes is kept, and so is one with the prefixes’ conditions', async () => {
    const jar = await opened()
    jar.receive('https://h.org/', [`a=${'1'.repeat(4094)}`, '__Host-b=1; Secure; Path=/', '__Secure-c=1; Secure'])
    expect(names(jar.headerFor('https://h.org/'))).toEqual(['a', '__Host-b', '__Secure-c'])
  })

  test('a path with an escaped line’s end brings no line of its own into the file', async () => {
    const jar = await opened({ file })
    jar.receive('https://h.org/%0ag.org%09FALSE%09/%09FALSE%090%09evil%091%0a/x', ['a=1'])
    await jar.save()
    expect(stored()).toMatchObject([{ domain: 'h.org', name: 'a' }])
  })

  test('what came over TLS is not replaced over http', async () => {
    const jar = await opened()
    jar.receive('https://h.org/', ['a=1; Secure', 'b=1'])
    jar.receive('http://www.h.org/', ['a=2; Domain=h.org'])
    jar.receive('http://h.org/', ['a=2', 'b=2'])
    expect(jar.headerFor('https://h.org/')).toBe('a=1; b=2')
    jar.receive('https://h.org/', ['a=3'])
    expect(jar.headerFor('https://h.org/')).toBe('a=3; b=2')
  })
})

test('nothing a server or a file says makes the jar stumble', async () => {
  const word = fc.string({
    unit: fc.constantFrom(
      'a',
      'h',
      '.',
      '%',
      ':',
      '[',
      ' ',
      ';',
      '=',
      '"',
      '\xe9',
      '\t',
      '\n',
      '_',
      '/',
      '-',
      '0',
      '1',
    ),
    maxLength: 12,
  })
  const part = fc.constantFrom(
    '=1',
    '; Domain=',
    '; Path=',
    '; Path=/',
    '; Max-Age=',
    '; Expires=',
    '; Secure',
    '__proto__',
  )
  const setCookie = fc.array(fc.oneof(part, word), { maxLength: 8 }).map((parts) => parts.join(''))
  const host = fc.constantFrom('h.a', 'a', '[fe80::1]', '1.1.1.1', 'h.a.', 'co.uk', 'x_y.h.a', 'localhost', 'test')
  const url = fc
    .tuple(fc.constantFrom('http', 'https'), host, word)
    .map(([scheme, on, path]) => `${scheme}://${on}/${path}`)
  write(['%', '\xe9', '__proto__', 'fe80::1%a', 'co.uk', 'h.a'].map((on) => `${on}\tTRUE\t/\tTRUE\t0\ta\t1\n`).join(''))
  const jar = await opened({ file })
  fc.assert(
    fc.property(url, fc.array(setCookie, { maxLength: 4 }), url, (from, setCookies, to) => {
      jar.receive(from, setCookies)
      const header = jar.headerFor(to)
      expect(header ?? '').toMatch(/^[\x20-\x7e\x80-\xff]*$/)
    }),
    { numRuns: 1000, examples: [['http://h.a/', ['a=1; Domain=fe80::1%a', 'a=1; Domain=\xe9 %'], 'http://h.a/']] },
  )
  expect(await jar.save()).toBeUndefined()
  expect(stored().length).toBeGreaterThan(6)
})

describe('time', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.UTC(2030, 0, 1) })
  })

  test('a cookie expires during the run, however often it was used', async () => {
    const jar = await opened()
    jar.receive('https://h.org/', ['a=1; Max-Age=10', 'b=1; Expires=Tue, 01 Jan 2030 00:00:10 GMT', 'c=1'])
    vi.setSystemTime(Date.UTC(2030, 0, 1, 0, 0, 9))
    expect(names(jar.headerFor('https://h.org/'))).toEqual(['a', 'b', 'c'])
    vi.setSystemTime(Date.UTC(2030, 0, 1, 0, 0, 10))
    expect(jar.headerFor('https://h.org/')).toBe('c=1')
  })

  test.each(['Max-Age=0', 'Max-Age=-5', 'Expires=Thu, 01 Jan 1970 00:00:00 GMT'])('%s takes it back', async (age) => {
    const jar = await opened()
    jar.receive('https://h.org/', ['a=1; Max-Age=99999999999999999999'])
    expect(jar.headerFor('https://h.org/')).toBe('a=1')
    jar.receive('https://h.org/', [`a=1; ${age}`])
    expect(jar.headerFor('https://h.org/')).toBeUndefined()
  })

  test('the file gets what lives and what ends with the session, and nothing that has expired', async () => {
    write(`h.org\tFALSE\t/\tFALSE\t${Date.UTC(2030, 0, 1) / 1000}\told\t1\n`)
    const jar = await opened({ file })
    jar.receive('https://h.org/', ['a=1; Max-Age=10', 'b=1; Max-Age=1', 'c=1'])
    vi.setSystemTime(Date.UTC(2030, 0, 1, 0, 0, 1))
    await jar.save()
    expect(stored()).toMatchObject([
      { name: 'a', expiresS: Date.UTC(2030, 0, 1, 0, 0, 10) / 1000 },
      { name: 'c', expiresS: 0 },
    ])
  })
})

describe('bounds', () => {
  const flood = (jar: CookieJar, url: string, count: number, prefix: string) => {
    for (let at = 0; at < count; at += 100) {
      jar.receive(
        url,
        Array.from({ length: 100 }, (_, i) => `${prefix}${at + i}=1; Path=/${prefix}${at + i}`),
      )
    }
  }

  test('a site keeps its 180 latest cookies, on however many hosts, and costs other sites none', async () => {
    const jar = await opened({ file })
    jar.receive('https://other.org/', ['kept=1'])
    flood(jar, 'https://a.evil.com/', 500, 'a')
    flood(jar, 'https://b.evil.com/', 500, 'b')
    await jar.save()
    const evil = stored().filter(({ domain }) => domain.endsWith('evil.com'))
    expect(evil.length).toBe(180)
    expect(evil.at(-1)).toMatchObject({ domain: 'b.evil.com', name: 'b499' })
    expect(jar.headerFor('https://other.org/')).toBe('kept=1')
  })

  test('ten thousand cookies of 4 KB leave little behind, their paths neither', async () => {
    setFlagsFromString('--expose-gc')
    const heapBytes = () => {
      runInNewContext('gc')()
      return process.memoryUsage().heapUsed
    }
    const jar = await opened()
    const before = heapBytes()
    const half = 'x'.repeat(2000)
    for (let i = 0; i < 10_000; i += 20) {
      jar.receive(
        'https://evil.com/',
        Array.from({ length: 20 }, (_, k) => `${i + k}=${half}; Path=/${i + k}${half}`),
      )
    }
    expect(heapBytes() - before).toBeLessThan(4 * 2 ** 20)
    expect(jar.headerFor(`https://evil.com/9999${half}`)).toBe(`9999=${half}`)
  })

  test('all sites together keep 3,000, and what was used lately stays', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1000 })
    const jar = await opened({ file })
    jar.receive('https://used.org/', ['used=1'])
    jar.receive('https://unused.org/', ['unused=1'])
    vi.setSystemTime(2000)
    for (let i = 0; i < 15; i++) flood(jar, `https://site${i}.org/`, 200, 's')
    vi.setSystemTime(3000)
    expect(jar.headerFor('https://used.org/')).toBe('used=1')
    for (let i = 15; i < 18; i++) flood(jar, `https://site${i}.org/`, 200, 's')
    await jar.save()
    expect(stored().length).toBe(3000)
    expect(jar.headerFor('https://used.org/')).toBe('used=1')
    expect(jar.headerFor('https://unused.org/')).toBeUndefined()
  })
})

describe('the file', () => {
  test('is written anew where there was none, readable by its owner only', async () => {
    const jar = await opened({ file })
    expect(existsSync(file)).toBe(false)
    jar.receive('https://h.org/x/', ['a=1; Secure; HttpOnly', 'b=\xe9; Domain=h.org; Path=/; Max-Age=1000'])
    expect(await jar.save()).toBeUndefined()
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readdirSync(dir)).toEqual(['cookies.txt'])
    const again = await opened({ file })
    expect(again.headerFor('https://h.org/x/')).toBe('a=1; b=\xe9')
    expect(again.headerFor('http://www.h.org/x/')).toBe('b=\xe9')
  })

  test('is no business of a jar that lasts for the run', async () => {
    const jar = await opened()
    jar.receive('https://h.org/', ['a=1'])
    expect(await jar.save()).toBeUndefined()
  })

  test('keeps what another run wrote meanwhile', async () => {
    write('h.org\tFALSE\t/\tFALSE\t0\tboth\t0\nh.org\tFALSE\t/\tFALSE\t0\tgone\t0\n')
    const [first, second] = [await opened({ file }), await opened({ file })]
    first.receive('https://h.org/', ['both=first', 'first=1'])
    second.receive('https://h.org/', ['both=second', 'second=1', 'gone=; Max-Age=0'])
    await first.save()
    await second.save()
    expect(stored().map(({ name, value }) => `${name}=${value}`)).toEqual(['both=second', 'first=1', 'second=1'])
  })

  test('loses nothing when many runs save at the same time', async () => {
    const module = (path: string) => JSON.stringify(join(import.meta.dirname, '../../src', path))
    const script = (name: string) => `
      const { openCookieJar } = await import(${module('supervisor/cookie-jar.ts')})
      const { detectHardening } = await import(${module('isolation/hardening.ts')})
      const { jar } = await openCookieJar({ file: process.env.JAR }, detectHardening())
      jar.receive('https://h.org/', ['${name}=1'])
      process.stdout.write('ready')
      process.stdin.once('data', async () => process.exit((await jar.save()) === undefined ? 0 : 1))`
    const runs = Array.from({ length: 6 }, (_, n) =>
      spawn(process.execPath, ['--input-type=module', '-e', script(`k${n}`)], {
        env: { ...process.env, JAR: file },
        stdio: ['pipe', 'pipe', 'inherit'],
      }),
    )
    await Promise.all(runs.map(({ stdout }) => once(stdout, 'data')))
    const ends = runs.map((child) => once(child, 'exit'))
    for (const { stdin } of runs) stdin.end('go')
    expect(await Promise.all(ends)).toEqual(Array(6).fill([0, null]))
    const kept = stored().map(({ name }) => name)
    expect(kept.sort()).toEqual(['k0', 'k1', 'k2', 'k3', 'k4', 'k5'])
  })

  test('gets what changed since it was saved last, and keeps the rest as another run left it', async () => {
    const [first, second] = [await opened({ file }), await opened({ file })]
    first.receive('https://h.org/', ['a=1', 'b=1'])
    await first.save()
    write('h.org\tFALSE\t/\tFALSE\t0\ta\t2\nh.org\tFALSE\t/\tFALSE\t0\tc\t2\n')
    first.receive('https://h.org/', ['d=1'])
    await first.save()
    await second.save()
    expect(stored().map(({ name, value }) => `${name}=${value}`)).toEqual(['a=2', 'c=2', 'd=1'])
  })

  test('with a cookie for a public suffix gives it to no host', async () => {
    write('.org\tTRUE\t/\tFALSE\t0\ta\t1\n')
    expect((await opened({ file })).headerFor('https://h.org/')).toBeUndefined()
  })

  test.each([0o640, 0o604, 0o620, 0o666])('is refused with mode %o and the fix', async (mode) => {
    write('')
    chmodSync(file, mode)
    expect(await problemOf(file)).toBe(
      'DIR/cookies.txt is open to other users, and holds secrets; run chmod 600 DIR/cookies.txt',
    )
  })

  test.skipIf(process.getuid?.() !== 0)('is refused when it is somebody else’s', async () => {
    write('')
    chownSync(file, 12_345, 12_345)
    expect(await problemOf(file)).toBe('DIR/cookies.txt belongs to another user; use one of your own')
  })

  test('is refused when it is none', async () => {
    symlinkSync('elsewhere', file)
    expect(await problemOf(file)).toBe('DIR/cookies.txt is a symbolic link; mpdl does not write through links')
    mkdirSync(join(dir, 'd'))
    expect(await problemOf(join(dir, 'd'))).toBe('DIR/d is no plain file')
    expect(await problemOf(join(dir, 'missing', 'cookies.txt'))).toBe(
      'DIR/missing/cookies.txt cannot be written: its directory is missing or not writable (ENOENT)',
    )
  })

  test('with wrong lines is refused, so that saving loses none, and no value is told', async () => {
    write(`# comment\n${'S3CRET\n'.repeat(2)}`)
    expect(await problemOf(file)).toBe(
      'DIR/cookies.txt line 2 has 1 instead of 7 fields between TABs; ' +
        'DIR/cookies.txt line 3 has 1 instead of 7 fields between TABs; correct or remove that',
    )
    write('S3CRET\n'.repeat(9))
    expect(await problemOf(file)).toMatch(/line 5 has .*; correct or remove these and 4 more$/)
  })

  test('that became a link meanwhile is not written through', async () => {
    const jar = await opened({ file })
    jar.receive('https://h.org/', ['a=1'])
    const elsewhere = join(dir, 'elsewhere')
    write('precious', elsewhere)
    symlinkSync(elsewhere, file)
    expect(await jar.save()).toContain('is a symbolic link')
    expect(readFileSync(elsewhere, 'utf8')).toBe('precious')
  })

  test('stays as it was when the disk refuses, and the sentence says so', async () => {
    write('h.org\tFALSE\t/\tFALSE\t0\ta\t1\n')
    const jar = await opened({ file })
    // A directory where the temporary file should go is refused even to root.
    mkdirSync(`${file}.${process.pid}~`)
    expect((await jar.save())?.replaceAll(dir, 'DIR')).toMatch(/^cannot write DIR\/cookies\.txt: /)
    expect(stored()).toMatchObject([{ name: 'a' }])
  })
})

describe.skipIf(!requireServer('curl', findProgram('curl')))('curl', () => {
  const curl = promisify(execFile)
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each?.map(({ address }) => address))
  const hosts = ['localhost', '127.0.0.1', ...(addresses.includes('::1') ? ['[::1]'] : [])]
  let server: Server
  let url: string
  let asked: (string | undefined)[]

  beforeEach(async () => {
    asked = []
    server = createServer((request, response) => {
      asked.push(request.headers.cookie)
      const cookies = ['a=1', 'b="x y"; Path=/; Max-Age=1000; HttpOnly', 'e=; Path=/', 'u=\xe9; Path=/']
      const forever = 'f=1; Path=/; Max-Age=99999999999999999999'
      response.setHeader('Set-Cookie', [...cookies, forever, 's=1; Path=/; Secure', 'd=1; Domain=localhost; Path=/'])
      response.end()
    })
    server.listen(0)
    await once(server, 'listening')
    const address = server.address()
    url = `:${typeof address === 'object' ? address?.port : ''}/x/y`
  })
  afterEach(() => {
    server.close()
  })

  test.each(hosts)('writes what is read here, and reads what is written, of %s', async (host) => {
    const target = `http://${host}${url}`
    const sorted = (header: string | undefined) => header?.split('; ').sort()
    await curl('curl', ['-s', '-c', file, target])
    chmodSync(file, 0o600)
    const jar = await opened({ file })
    await curl('curl', ['-s', '-b', file, target])
    expect(asked[1]).toContain('a=1')
    expect(sorted(jar.headerFor(target))).toEqual(sorted(asked[1]))
    const own = join(dir, 'own.txt')
    const other = await opened({ file: own })
    const { headers } = await fetch(target)
    other.receive(target, headers.getSetCookie())
    expect(await other.save()).toBeUndefined()
    await curl('curl', ['-s', '-b', own, target])
    expect(sorted(asked[3])).toEqual(sorted(asked[1]))
  })
})
