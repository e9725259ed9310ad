// Proves who is let in, with which words, and what is said to those who are not. Real servers check the answers.
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import {
  findHttpbin,
  findProgram,
  type NginxServer,
  requireServer,
  startHttpbin,
  startNginx,
  type TestServer,
} from '../fixtures/servers.ts'
import { type Ended, type Home, newHome, ONCE, run } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

/** As a request of `path` brought it, oldest first. */
const authorizations = (path: string) =>
  server.requests.filter((each) => each.path === path).map(({ headers }) => headers['authorization'])
const basic = (userPassword: string) => `Basic ${Buffer.from(userPassword).toString('base64')}`

/** A netrc in this home, with the given mode. */
function netrcIn(home: Home, text: string, mode = 0o600): string {
  const path = home.at('.netrc')
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

describe.skipIf(!requireServer('nginx', findProgram('nginx')))('Basic, checked by nginx', () => {
  let root: string
  let nginx: NginxServer
  const WHOLE = bodyOf(50_000)
  const PASSWORD = 's3cret:with:colons'
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'mpdl-e2e-www-'))
    for (const name of ['a', 'b', 'c', 'd']) writeFileSync(join(root, name), WHOLE)
    const users = join(root, 'users')
    // Hashed, because a colon would end a plain one.
    const hashed = (password: string) => execFileSync('openssl', ['passwd', '-apr1', password]).toString()
    writeFileSync(users, `alice:${hashed(PASSWORD)}bob:${hashed('pässwörd')}`)
    nginx = await startNginx({ root, extraConf: `auth_basic "mpdl"; auth_basic_user_file ${users};` })
  })
  afterAll(async () => {
    await nginx?.stop()
    rmSync(root, { recursive: true, force: true })
  })

  const at = (name: string, userinfo = '') => `${nginx.url.replace('//', `//${userinfo}`)}/${name}`

  test('-u, the URL, the list and netrc all open the door', async () => {
    const home = newHome()
    netrcIn(home, `machine 127.0.0.1 login alice password ${PASSWORD}\n`)
    const list = [
      at('a'),
      at('b', `bob:${encodeURIComponent('pässwörd')}@`),
      at('c'),
      ' user=bob',
      ' password=pässwörd',
    ].join('\n')
    const ended = await run({ home, list, args: [...ONCE, '-u', `alice:${PASSWORD}`] })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    for (const name of ['a', 'b', 'c']) expect([name, ended.bytes(name).equals(WHOLE)]).toEqual([name, true])
    const byNetrc = await run({ home, list: at('d'), args: [...ONCE, '--netrc'] })
    expect([byNetrc.code, byNetrc.bytes('d').equals(WHOLE)]).toEqual([0, true])
  })

  test('MPDL_USER keeps the password out of the command line', async () => {
    const ended = await run({ list: at('a'), args: ONCE, env: { MPDL_USER: `alice:${PASSWORD}` } })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
  })

  test('[unauthorized] who is refused hears why: no credentials, wrong ones, or ones that lie in netrc', async () => {
    const home = newHome()
    const refused = async (args: readonly string[]): Promise<Ended> => {
      const ended = await run({ home, list: at('a'), args: [...ONCE, ...args] })
      expect([ended.code, ended.kind(1), ended.row(1).attempts.length]).toEqual([6, 'unauthorized', 1])
      expect([...ended.seen].filter((name) => name === 'a')).toEqual([])
      return ended
    }
    expect((await refused([])).row(1).reason).toMatch(
      /^HTTP 401 Unauthorized: the server wants credentials \(Basic\); .*-u/,
    )
    expect((await refused(['-u', 'alice:wrong'])).row(1).reason).toMatch(/; the password was refused/)
    netrcIn(home, `machine 127.0.0.1 login alice password ${PASSWORD}\n`)
    expect((await refused([])).row(1).reason).toMatch(/netrc has an entry for it \(--netrc\)/)
    expect((await refused(['-u', `alice:${PASSWORD}`, '--auth', 'digest'])).row(1).reason).toMatch(/Basic/)
  })
})

describe('netrc', () => {
  test('[threat:readable-secrets] one that others can read, or that is not there, is refused before a byte moves, with what to do', async () => {
    const home = newHome()
    const before = server.requests.length
    const list = server.url('/auth-echo/x')
    const missing = await run({ home, list, args: ['--netrc'] })
    expect([missing.code, missing.stderr]).toEqual([78, expect.stringContaining(home.at('.netrc'))])
    const path = netrcIn(home, 'machine 127.0.0.1 login alice password s3cret\n', 0o640)
    const open = await run({ home, list, args: ['--netrc'] })
    expect([open.code, open.stderr]).toEqual([78, expect.stringContaining(`chmod 600 ${path}`)])
    expect(open.stderr).not.toContain('s3cret')
    expect(server.requests.length - before).toBe(0)
  })

  test('--netrc-file is another file, and the entry is that of the host; others get the default', async () => {
    const home = newHome()
    const path = home.at('my netrc')
    writeFileSync(path, 'machine 127.0.0.1\n  login alice password "a \\"b"\ndefault login bob password c\n', {
      mode: 0o600,
    })
    const byName = server.url('/auth-echo/by-name').replace('127.0.0.1', 'localhost')
    const list = `${server.url('/auth-echo/by-address')}\n${byName}\n${server.url('/auth-echo/own')}\n user=carol\n password=d`
    const ended = await run({ home, list, args: [...ONCE, '--netrc-file', path] })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(authorizations('/auth-echo/by-address')).toEqual([basic('alice:a "b')])
    expect(authorizations('/auth-echo/by-name')).toEqual([basic('bob:c')])
    expect(authorizations('/auth-echo/own')).toEqual([basic('carol:d')])
  })
})

describe('which words are said when', () => {
  test('Basic at once by default; with --auth any and --auth digest nothing before the challenge', async () => {
    const list = (name: string) => server.url(`/auth-echo/${name}`)
    for (const [name, args, said] of [
      ['default', [], [basic('u:p')]],
      ['basic', ['--auth', 'basic'], [basic('u:p')]],
      ['any', ['--auth', 'any'], [undefined, basic('u:p')]],
      ['digest', ['--auth', 'digest'], [undefined]],
    ] as const) {
      await run({ list: list(name), args: [...ONCE, '-u', 'u:p', ...args] })
      expect([name, authorizations(`/auth-echo/${name}`)]).toEqual([name, said])
    }
  })

  test('an Authorization of the caller is sent as it is, whatever -u says', async () => {
    const args = [...ONCE, '-u', 'u:p', '-H', 'Authorization: Bearer t0ken']
    await run({ list: server.url('/auth-echo/own-words'), args })
    expect(authorizations('/auth-echo/own-words')).toEqual(['Bearer t0ken'])
  })

  test('a digest challenge is answered once and remembered: later jobs are let in at once, with a count of their own', async () => {
    // The query is part of what is signed.
    const paths = [1, 2, 3, 4].map((n) => `/digest/${n}?a=${n}&b`)
    const list = paths.map((path) => server.url(path)).join('\n')
    const ended = await run({ list, args: [...ONCE, '-j', '1', '-u', 'u:p', '--auth', 'digest'] })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    const said = paths.map(authorizations)
    expect(said.map((each) => each.length)).toEqual([2, 1, 1, 1])
    const counts = said.flat().flatMap((each) => /nc=([0-9a-f]{8})/.exec(each ?? '')?.[1] ?? [])
    expect(counts).toEqual(['00000001', '00000002', '00000003', '00000004'])
    for (const [n, path] of paths.entries()) expect(said[n]?.at(-1)).toContain(`uri="${path}"`)
  })

  test('children that use one challenge at the same time never use one count twice', async () => {
    const list = Array.from({ length: 12 }, (_, n) => server.url(`/digest/at-once-${n}`)).join('\n')
    const ended = await run({ list, args: [...ONCE, '-j', '6', '-u', 'u:p', '--auth', 'any'] })
    expect(ended.code).toBe(0)
    const used = server.requests.flatMap(({ path, headers }) => {
      const count = /nonce="([^"]*)".*nc=([0-9a-f]{8})/.exec(headers['authorization'] ?? '')
      return path.includes('at-once') && count !== null ? [`${count[1]} ${count[2]}`] : []
    })
    expect(used.length).toBeGreaterThanOrEqual(12)
    expect(new Set(used).size).toBe(used.length)
  })

  test('a password that is missing is not asked for where there is no terminal: that is said, and nothing moves', async () => {
    const before = server.requests.length
    const ended = await run({ list: server.url('/auth-echo/x'), args: ['-u', 'alice'], wrap: ['setsid', '-w'] })
    expect([ended.code, ended.stderr]).toEqual([64, expect.stringMatching(/MPDL_USER/)])
    expect(server.requests.length - before).toBe(0)
  })
})

describe.skipIf(!requireServer('httpbin', findHttpbin()))('digest, checked by httpbin', () => {
  let httpbin: TestServer
  beforeAll(async () => {
    httpbin = await startHttpbin()
  })
  afterAll(() => httpbin?.stop())

  test('[unauthorized] a wrong password is refused once, and once is enough', async () => {
    const list = `${httpbin.url}/digest-auth/auth/u/p/SHA-256`
    const ended = await run({ list, args: [...ONCE, '-u', 'u:wrong', '-t', '3'] })
    expect([ended.code, ended.kind(1), ended.row(1).attempts.length]).toEqual([6, 'unauthorized', 1])
    expect(ended.row(1).reason).toMatch(/\(Digest\); the password was refused/)
  })

  test('a stale nonce is replaced in the middle of a list', async () => {
    // httpbin counts down in a cookie how often a nonce may be used.
    const list = Array.from({ length: 6 }, (_, n) => `${httpbin.url}/digest-auth/auth/u/p/SHA-256/2\n out=${n}`).join(
      '\n',
    )
    const ended = await run({ list, args: [...ONCE, '-j', '1', '-u', 'u:p', '--auth', 'digest', '--cookies'] })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(ended.report.totals).toMatchObject({ downloaded: 6, retries: 0 })
  })

  test('a colon is part of the password', async () => {
    const list = `${httpbin.url}/digest-auth/auth/u/p:q/MD5`
    const ended = await run({ list, args: [...ONCE, '-u', 'u:p:q', '--auth', 'digest'] })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
  })
})
