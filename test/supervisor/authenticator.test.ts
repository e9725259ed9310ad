// Who is told the password, how a 401 is answered, and what is said where that did not help.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseChallenges } from '../../src/core/challenge.ts'
import type { AuthMode } from '../../src/core/credentials.ts'
import type { EntryOptions, Job } from '../../src/core/job.ts'
import type { Headers } from '../../src/core/validator.ts'
import { Authenticator, type AuthenticatorOptions, type Login } from '../../src/supervisor/authenticator.ts'
import fc from '../fixtures/property.ts'

const URL_A = 'http://h.example/a?b=1'
const USER = { user: 'u', password: 'CANARY' }
const BASIC = `Basic ${btoa('u:CANARY')}`

let dir = ''
let netrcFile = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-auth-'))
  netrcFile = join(dir, 'netrc')
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

function authenticator(mode: AuthMode, more: Partial<AuthenticatorOptions> = {}): Authenticator {
  let count = 0
  const cnonce = () => `cnonce${++count}`
  return new Authenticator({ mode, user: USER, netrc: { file: netrcFile, isOn: false }, cnonce, ...more })
}

function loginFor(to: Authenticator, url = URL_A, options: EntryOptions = {}): Login {
  const job: Job = { index: 0, line: 1, id: '0', urls: [url], target: 'f', options }
  return to.login(job, url)
}

const says = (...challenges: string[]): Headers => challenges.map((value) => ['WWW-Authenticate', value])
const digest = (nonce: string, more = '') => `Digest realm="r", nonce="${nonce}", qop="auth"${more}`

/** What is sent, in short: the scheme, and for Digest nonce, count and cnonce. */
function sent(login: Login, url = URL_A): string {
  const value = login.authorizationFor(url, 'GET')
  const [said] = parseChallenges([['WWW-Authenticate', value ?? '']], 'www-authenticate')
  const { scheme = 'nothing', parameters } = said ?? {}
  const details = ['nonce', 'nc', 'cnonce'].map((name) => parameters?.get(name) ?? '')
  return [scheme, ...(scheme === 'Digest' ? details : [])].join(' ')
}

describe('before a challenge', () => {
  test.each<[AuthMode, string | undefined]>([
    ['default', BASIC],
    ['basic', BASIC],
    ['any', undefined],
    ['digest', undefined],
  ])('--auth %s sends %s', (mode, expected) => {
    expect(loginFor(authenticator(mode)).authorizationFor(URL_A, 'GET')).toBe(expected)
  })

  test('nothing is said without credentials', () => {
    expect(sent(loginFor(authenticator('default', { user: undefined })))).toBe('nothing')
  })

  test('user and password are sent as UTF-8', () => {
    const login = loginFor(authenticator('default'), 'http://%C3%A4:%E2%82%AC@h.example/')
    expect(login.authorizationFor('http://h.example/', 'GET')).toBe('Basic w6Q64oKs')
  })
})

test.each([
  'https://h.example/a',
  'http://h.example:8080/a',
  'http://other.example/a',
  'http://sub.h.example/a',
  'http://h.example.evil.example/a',
])('%s is told nothing, asked or not, before a challenge or after one', (url) => {
  for (const mode of ['default', 'any', 'basic', 'digest'] as const) {
    const login = loginFor(authenticator(mode))
    expect(sent(login, url)).toBe('nothing')
    expect(login.onUnauthorized(url, says('Basic realm="r"', digest('n')))).toBe(false)
    expect(sent(login, url)).toBe('nothing')
    expect(login.hintFor(url)).toBe('credentials are for http://h.example only')
    expect(login.onUnauthorized(URL_A, says(digest('n'), 'Basic realm="r"'))).toBe(true)
    expect(sent(login, url)).toBe('nothing')
  }
})

describe('a challenge', () => {
  test('is answered for method, path and query', () => {
    const login = loginFor(authenticator('default'))
    sent(login)
    expect(login.onUnauthorized(URL_A, says('Basic realm="r"', digest('n')))).toBe(true)
    // md5 of md5(u:r:CANARY):n:00000001:cnonce1:auth:md5(HEAD:/a?b=1), with md5sum.
    expect(login.authorizationFor(URL_A, 'HEAD')).toBe(
      'Digest username="u", realm="r", uri="/a?b=1", nonce="n", nc=00000001, cnonce="cnonce1", qop=auth, ' +
        'response="1ac7c9ec32338ac525ba0c76407b5815"',
    )
  })

  test('of Basic is answered under --auth any, and then known', () => {
    const to = authenticator('any')
    const login = loginFor(to)
    expect(sent(login)).toBe('nothing')
    expect(login.onUnauthorized(URL_A, says('Basic realm="r"'))).toBe(true)
    expect(sent(login)).toBe('Basic')
    expect(sent(loginFor(to))).toBe('Basic')
  })

  test('spares later conversations theirs, and no count comes twice for a nonce', () => {
    const to = authenticator('digest')
    const [first, second] = [loginFor(to), loginFor(to)]
    first.onUnauthorized(URL_A, says(digest('n')))
    expect(sent(first)).toBe('Digest n 00000001 cnonce1')
    expect(sent(second)).toBe('Digest n 00000002 cnonce1')
    expect(sent(first)).toBe('Digest n 00000003 cnonce1')
    expect(sent(loginFor(to, 'http://other.example/'), 'http://other.example/')).toBe('nothing')
  })

  test('with a nonce that others have already goes on with its count', () => {
    const to = authenticator('digest')
    const [first, second] = [loginFor(to), loginFor(to)]
    first.onUnauthorized(URL_A, says(digest('n')))
    second.onUnauthorized(URL_A, says(digest('n')))
    expect(sent(first)).toBe('Digest n 00000001 cnonce1')
    expect(sent(second)).toBe('Digest n 00000002 cnonce1')
  })

  test('makes no count of a nonce come twice, whoever is challenged with which', () => {
    const step = fc.record({ child: fc.nat(3), nonce: fc.nat(2), isStale: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const to = authenticator('digest')
        const children = [0, 1, 2, 3].map(() => loginFor(to))
        const said = steps.flatMap(({ child, nonce, isStale }) => {
          const login = children[child] ?? loginFor(to)
          login.onUnauthorized(URL_A, says(digest(`n${nonce}`, `, stale=${isStale}`)))
          return [sent(login), sent(login)]
        })
        expect(new Set(said).size).toBe(said.length)
      }),
    )
  })

  test('is answered with its own nonce, whatever others were given meanwhile', () => {
    const to = authenticator('digest')
    const [first, second] = [loginFor(to), loginFor(to)]
    first.onUnauthorized(URL_A, says(digest('n1')))
    second.onUnauthorized(URL_A, says(digest('n2')))
    expect(sent(first)).toBe('Digest n1 00000001 cnonce1')
    expect(sent(second)).toBe('Digest n2 00000001 cnonce2')
    expect(sent(loginFor(to))).toBe('Digest n2 00000002 cnonce2')
  })

  test('that refuses a remembered nonce is answered', () => {
    const to = authenticator('digest')
    loginFor(to).onUnauthorized(URL_A, says(digest('old')))
    const login = loginFor(to)
    expect(sent(login)).toBe('Digest old 00000001 cnonce1')
    expect(login.onUnauthorized(URL_A, says(digest('new')))).toBe(true)
    expect(sent(login)).toBe('Digest new 00000001 cnonce2')
  })

  test('that refuses its own answer means a wrong password, unless only the nonce was stale', () => {
    const login = loginFor(authenticator('digest'))
    login.onUnauthorized(URL_A, says(digest('n1')))
    sent(login)
    expect(login.onUnauthorized(URL_A, says(digest('n2', ', stale=true')))).toBe(true)
    expect(sent(login)).toBe('Digest n2 00000001 cnonce2')
    expect(login.onUnauthorized(URL_A, says(digest('n3')))).toBe(false)
    expect(login.hintFor(URL_A)).toBe('the password was refused')
  })

  test('after a redirect within the origin is another one', () => {
    const login = loginFor(authenticator('digest'))
    login.onUnauthorized(URL_A, says(digest('n1')))
    sent(login)
    const next = 'http://h.example/elsewhere'
    expect(sent(login, next)).toBe('Digest n1 00000002 cnonce1')
    expect(login.onUnauthorized(next, says(digest('n2')))).toBe(true)
    expect(sent(login, next)).toBe('Digest n2 00000001 cnonce2')
  })

  test('is answered three times in a conversation and no more', () => {
    const login = loginFor(authenticator('digest'))
    const answers = [1, 2, 3, 4].map((n) => {
      sent(login)
      return login.onUnauthorized(URL_A, says(digest(`n${n}`, ', stale=true')))
    })
    expect(answers).toEqual([true, true, true, false])
    expect(login.hintFor(URL_A)).toBe('3 answers were refused')
  })

  test('is forgotten for the oldest of very many hosts', () => {
    const to = authenticator('digest')
    const url = (host: number) => `http://h${host}.example/`
    for (let host = 0; host <= 256; host++) {
      loginFor(to, url(host)).onUnauthorized(url(host), says(digest(`n${host}`)))
    }
    expect(sent(loginFor(to, url(0)), url(0))).toBe('nothing')
    expect(sent(loginFor(to, url(1)), url(1))).toBe('Digest n1 00000001 cnonce2')
  })
})

describe('the hint', () => {
  /** Of a conversation whose first request gets these challenges. */
  function hint(login: Login, ...challenges: string[]): string | undefined {
    sent(login)
    expect(login.onUnauthorized(URL_A, says(...challenges))).toBe(false)
    return login.hintFor(URL_A)
  }
  const anonymous = (more: Partial<AuthenticatorOptions> = {}) =>
    loginFor(authenticator('default', { user: undefined, ...more }))
  const writeNetrc = (mode: number) => writeFileSync(netrcFile, 'machine h.example login u password CANARY', { mode })

  test('tells that the password was refused', () => {
    expect(hint(loginFor(authenticator('default')), 'Basic realm="r"')).toBe('the password was refused')
    expect(hint(loginFor(authenticator('default')))).toBe('the password was refused')
  })

  test('tells that there was none', () => {
    expect(hint(loginFor(authenticator('default'), 'http://else@h.example/a'), 'Basic')).toBe('no password was given')
    expect(hint(anonymous(), 'Basic')).toBe('-u USER or user= gives them')
  })

  test('tells nothing of a netrc that was used and has no password', () => {
    writeFileSync(netrcFile, 'machine h.example login u', { mode: 0o600 })
    expect(hint(anonymous({ netrc: { file: netrcFile, isOn: true } }), 'Basic')).toBe('no password was given')
  })

  test('tells of a netrc that was not asked for, if it has an entry and may be read', () => {
    expect(hint(anonymous(), 'Basic')).toBe('-u USER or user= gives them')
    writeNetrc(0o600)
    const found = `${netrcFile} has an entry for it (--netrc)`
    expect(hint(anonymous(), 'Basic')).toBe(found)
    expect(hint(loginFor(authenticator('default', { user: undefined }), 'http://u@h.example/a'), 'Basic')).toBe(found)
    rmSync(netrcFile)
    writeNetrc(0o644)
    expect(hint(anonymous(), 'Basic')).toBe('-u USER or user= gives them')
  })

  test('tells what the server offers where that is not answered', () => {
    expect(hint(loginFor(authenticator('digest')), 'Basic realm="r"')).toBe(
      'the server offers only Basic, and --auth is digest',
    )
    expect(hint(loginFor(authenticator('any')), 'Negotiate, NTLM, Negotiate', digest('n', ', algorithm=SHA-3'))).toBe(
      'the server offers only Negotiate, NTLM, Digest, in no form that can be answered',
    )
    expect(hint(anonymous(), 'Negotiate')).toBe('the server offers only Negotiate, in no form that can be answered')
    expect(hint(loginFor(authenticator('any')))).toBe('the server does not say how to give them')
  })

  test('is short whatever the server says', () => {
    expect(hint(anonymous(), 'X'.repeat(60_000))?.length).toBeLessThan(200)
  })
})

describe('netrc', () => {
  test('is used where it was asked for, and read once', () => {
    writeFileSync(netrcFile, 'machine h.example login u password CANARY', { mode: 0o600 })
    const to = authenticator('default', { user: undefined, netrc: { file: netrcFile, isOn: true } })
    expect(loginFor(to).authorizationFor(URL_A, 'GET')).toBe(BASIC)
    rmSync(netrcFile)
    expect(loginFor(to).authorizationFor(URL_A, 'GET')).toBe(BASIC)
    expect(sent(loginFor(to, 'http://other.example/'), 'http://other.example/')).toBe('nothing')
  })
})

describe('where a redirect leads', () => {
  test.each(['https://login.example/', 'http://h.example:8080/', 'https://h.example/'])(
    'nothing is said, not even what netrc has for that host: %s',
    (to) => {
      const entries = ['login.example', 'h.example'].map((host) => `machine ${host} login me password THEIRS\n`)
      writeFileSync(netrcFile, entries.join(''), { mode: 0o600 })
      const login = loginFor(authenticator('default', { netrc: { file: netrcFile, isOn: true } }))
      expect(sent(login)).toBe('Basic')
      const said = [
        login.authorizationFor(to, 'GET'),
        login.onUnauthorized(to, says('Basic realm="r"')),
        login.hintFor(to),
      ]
      expect(said).toEqual([undefined, false, 'credentials are for http://h.example only'])
    },
  )
})
