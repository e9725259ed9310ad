// The values of the standards themselves, and what happens to names that do not fit into a header.

import { createHash } from 'node:crypto'
import { validateHeaderValue } from 'node:http'
import { describe, expect, test } from 'vitest'
import { chooseChallenge, parseChallenges } from '../../src/core/challenge.ts'
import { type DigestHash, digestAuthorization } from '../../src/core/digest-auth.ts'
import fc from '../fixtures/property.ts'

const NAMES = { MD5: 'md5', 'SHA-256': 'sha256', 'SHA-512-256': 'sha512-256' }
const hash: DigestHash = (algorithm, bytes) =>
  createHash(NAMES[algorithm]).update(Buffer.from(bytes, 'latin1')).digest('hex')

function answer(challengeText: string, request: Partial<Parameters<typeof digestAuthorization>[1]> = {}): string {
  const challenge = chooseChallenge(
    parseChallenges([['WWW-Authenticate', challengeText]], 'www-authenticate'),
    'digest',
  )
  if (challenge?.scheme !== 'digest') throw new Error(`not answerable: ${challengeText}`)
  const user = { user: 'Mufasa', password: 'Circle of Life' }
  const whole = { method: 'GET', uri: '/dir/index.html', user, cnonce: 'c', nonceCount: 1, ...request }
  return digestAuthorization(challenge, whole, hash)
}

/** An answer is written like a challenge. */
const parametersOf = (text: string) =>
  Object.fromEntries(parseChallenges([['WWW-Authenticate', text]], 'www-authenticate')[0]?.parameters ?? [])

const RFC_7616 =
  'realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", ' +
  'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
const RFC_7616_CNONCE = 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ'

describe('digestAuthorization', () => {
  test('is RFC 7616 §3.9.1 with SHA-256, word for word', () => {
    expect(answer(`Digest algorithm=SHA-256, ${RFC_7616}`, { cnonce: RFC_7616_CNONCE })).toBe(
      'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=SHA-256, ' +
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, ' +
        'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, ' +
        'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", ' +
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"',
    )
  })

  test('is RFC 7616 §3.9.1 with MD5', () => {
    expect(answer(`Digest algorithm=MD5, ${RFC_7616}`, { cnonce: RFC_7616_CNONCE })).toContain(
      'response="8ca523f5e9506fed4657c9700eebdbec"',
    )
  })

  test('is RFC 7616 §3.9.2 as corrected by erratum 4897, user name hashed', () => {
    const challenge =
      'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, ' +
      'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", ' +
      'charset=UTF-8, userhash=true'
    const user = { user: 'J\u00e4s\u00f8n Doe', password: 'Secret, or not?' }
    const request = { uri: '/doe.json', user, cnonce: 'NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v' }
    expect(parametersOf(answer(challenge, request))).toMatchObject({
      username: '793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b',
      response: '3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5',
      userhash: 'true',
    })
  })

  test('is RFC 2617 §3.5, which names no algorithm', () => {
    const challenge =
      'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", ' +
      'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    const text = answer(challenge, { user: { user: 'Mufasa', password: 'Circle Of Life' }, cnonce: '0a4f113b' })
    expect(text).toContain('response="6629fae49393a05397450978507c4ef1"')
    expect(text).not.toContain('algorithm')
  })

  test('without qop is RFC 2069 as corrected by its errata, without count and cnonce', () => {
    const challenge =
      'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", ' +
      'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    const user = { user: 'Mufasa', password: 'CircleOfLife' }
    const parameters = parametersOf(answer(challenge, { user }))
    expect(parameters).toMatchObject({ response: '1949323746fe6a43ef61f9606e7febea' })
    expect(Object.keys(parameters)).toEqual(['username', 'realm', 'uri', 'nonce', 'response', 'opaque'])
  })

  test('a session is keyed with nonce and cnonce', () => {
    const { response } = parametersOf(answer('Digest realm="r", nonce="n", qop="auth", algorithm=MD5-sess'))
    const ha1 = hash('MD5', `${hash('MD5', 'Mufasa:r:Circle of Life')}:n:c`)
    expect(response).toBe(hash('MD5', `${ha1}:n:00000001:c:auth:${hash('MD5', 'GET:/dir/index.html')}`))
  })

  test('the count is hexadecimal', () => {
    expect(answer('Digest realm="r", nonce="n", qop="auth"', { nonceCount: 0x1a2b })).toContain('nc=00001a2b,')
  })

  // The responses are those of curl 7.88 for the same challenge, user and cnonce.
  test('where the body counts too, it is the empty one of a GET', () => {
    const a1 = hash('MD5', 'u:r:p')
    const a2 = hash('MD5', `GET:/x:${hash('MD5', '')}`)
    const text = answer('Digest realm="r", nonce="n", qop="auth-int"', {
      user: { user: 'u', password: 'p' },
      cnonce: 'c',
      uri: '/x',
    })
    expect(text).toContain(`qop=auth-int, response="${hash('MD5', `${a1}:n:00000001:c:auth-int:${a2}`)}"`)
  })

  test('quotes and backslashes are escaped between quotes and hashed as they are', () => {
    const user = { user: 'J"\u00e4\\s', password: 'p\u00e4' }
    const challenge = 'Digest realm="a\\"b\\\\c", nonce="n1", qop="auth", opaque="\\"o"'
    const cnonce = 'MDgwMWM4OTMwNjgxODgxNjFhMDliZGYzOGY3NGVjZGY='
    const text = answer(challenge, { user, cnonce, uri: '/d?a=\\b"c' })
    expect(text).toContain('username="J\\"\u00c3\u00a4\\\\s", realm="a\\"b\\\\c", uri="/d?a=\\\\b\\"c", nonce="n1"')
    expect(text).toContain('response="05c710074b77bf5683f6ff1c85c0c941", opaque="\\"o"')
  })

  test.each([
    ['', 'J\u00e4s\u00f8n', 'username="J\u00c3\u00a4s\u00c3\u00b8n"'],
    [', charset=UTF-8', 'Jason', 'username="Jason"'],
    [', charset=UTF-8', 'J\u00e4s\u00f8n Doe', "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe"],
    [', charset=UTF-8', 'Ja\u0308son', "username*=UTF-8''J%C3%A4son"],
    ['', 'a\r\nX-Evil: "\u2028\ud800', "username*=UTF-8''a%0D%0AX-Evil%3A%20%22%E2%80%A8%EF%BF%BD"],
    [', userhash=true', 'Jason', `username="${hash('MD5', 'Jason:r')}"`],
  ])('with challenge %j the user %j is said as %s', (more, user, expected) => {
    const text = answer(`Digest realm="r", nonce="n", qop="auth"${more}`, { user: { user, password: '' } })
    expect(text.startsWith(`Digest ${expected}, realm=`)).toBe(true)
    expect(text.endsWith('userhash=true')).toBe(more.includes('userhash'))
  })

  test('whoever asks whatever, Node sends it, and the password is not in it', () => {
    const text = fc.string({ unit: fc.nat(0xffff).map((code) => String.fromCharCode(code)) })
    const bytes = fc.string({ unit: fc.constantFrom('\t', ' ', '"', '\\', ',', '=', 'a', '~', '\x80', '\xff') })
    fc.assert(
      fc.property(text, bytes, fc.boolean(), fc.boolean(), (user, realm, isUtf8, hashesUser) => {
        const challenge = {
          scheme: 'digest',
          realm,
          nonce: realm,
          opaque: realm,
          algorithm: 'SHA-256',
          isSession: false,
          qop: 'auth',
          isStale: false,
          hashesUser,
          isUtf8,
        } as const
        const request = { method: 'GET', uri: '/', user: { user, password: 'CANARY' }, cnonce: 'c', nonceCount: 1 }
        const value = digestAuthorization(challenge, request, hash)
        validateHeaderValue('Authorization', value)
        expect(parametersOf(value)).toMatchObject({ realm, nonce: realm, opaque: realm })
        expect(value).not.toContain('CANARY')
      }),
    )
  })
})
