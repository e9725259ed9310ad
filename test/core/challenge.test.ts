// What servers ask for is understood however they write it, and the strongest of it is answered.

import { describe, expect, test } from 'vitest'
import { chooseChallenge, parseChallenges } from '../../src/core/challenge.ts'
import fc from '../fixtures/property.ts'

const parse = (...values: string[]) =>
  parseChallenges(
    values.map((value) => ['WWW-Authenticate', value] as const),
    'www-authenticate',
  )
/** Short to compare: `[scheme, {parameters}]`, and the token behind the scheme where there is one. */
const shown = (...values: string[]) =>
  parse(...values).map(({ scheme, parameters, token68 }) => [
    scheme,
    Object.fromEntries(parameters),
    ...(token68 === undefined ? [] : [token68]),
  ])

describe('parseChallenges', () => {
  test('reads the example of RFC 9110 §11.6.1', () => {
    expect(shown('Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""')).toEqual([
      ['Basic', { realm: 'simple' }],
      ['Newauth', { realm: 'apps', type: '1', title: 'Login to "apps"' }],
    ])
  })

  test('reads several headers in order, and none of another name', () => {
    const headers = [
      ['www-authenticate', 'Negotiate'],
      ['Proxy-Authenticate', 'Basic realm="p"'],
      ['WWW-AUTHENTICATE', 'Basic realm="o"'],
    ] as const
    expect(parseChallenges(headers, 'www-authenticate').map(({ scheme }) => scheme)).toEqual(['Negotiate', 'Basic'])
    expect(parseChallenges(headers, 'proxy-authenticate').map(({ scheme }) => scheme)).toEqual(['Basic'])
  })

  test.each<[text: string, expected: unknown]>([
    ['', []],
    [' , ,', []],
    ['Negotiate', [['Negotiate', {}]]],
    [
      'Negotiate YII+/-._~=, NTLM',
      [
        ['Negotiate', {}, 'YII+/-._~='],
        ['NTLM', {}],
      ],
    ],
    [
      'Basic, Digest nonce=n',
      [
        ['Basic', {}],
        ['Digest', { nonce: 'n' }],
      ],
    ],
    [',Basic\trealm\t =  "a" ,,charset=UTF-8 ,', [['Basic', { realm: 'a', charset: 'UTF-8' }]]],
    ['Basic realm="a, Digest nonce=\\"n\\""', [['Basic', { realm: 'a, Digest nonce="n"' }]]],
    [
      'Basic realm="a" Digest nonce="n"',
      [
        ['Basic', { realm: 'a' }],
        ['Digest', { nonce: 'n' }],
      ],
    ],
    ['Basic REALM="a", realm="b"', [['Basic', { realm: 'a' }]]],
    ['Basic realm="", x=, y="z"', [['Basic', { realm: '', x: '', y: 'z' }]]],
    ['Basic realm=my/realm@host:80, y=1', [['Basic', { realm: 'my/realm@host:80', y: '1' }]]],
    ['Basic realm="Zugang f\xfcr"', [['Basic', { realm: 'Zugang f\xfcr' }]]],
    ['realm="of nobody", Basic realm="a"', [['Basic', { realm: 'a' }]]],
  ])('reads %j', (text, expected) => {
    expect(shown(text)).toEqual(expected)
  })

  test.each([
    ['a quotation mark without end', 'Basic realm="a", Digest nonce="n", realm="b'],
    ['a control character', 'Basic realm="a", Digest nonce="n", realm="b\x01"'],
    ['what is no list at all', 'Basic realm="a", {"Digest": 1}'],
  ])('stops at %s and keeps what came before', (_, text) => {
    expect(parse(text)[0]?.parameters.get('realm')).toBe('a')
    expect(chooseChallenge(parse(text), 'any')).toEqual({ scheme: 'basic' })
  })

  test('whatever is written is read back', () => {
    const token = fc.stringMatching(/^[a-z!#$%&'*+.^_`|~-]{1,8}$/)
    const value = fc.string({ unit: fc.constantFrom('\t', ' ', '"', '\\', ',', '=', 'a', '~', '\x80', '\xff') })
    const challenge = fc.tuple(token, fc.uniqueArray(fc.tuple(token, value), { selector: ([name]) => name }))
    fc.assert(
      fc.property(fc.array(challenge), fc.constantFrom(',', ', ', ' ,\t'), (challenges, comma) => {
        const text = challenges.map(([scheme, parameters]) => {
          const pairs = parameters.map(([name, text]) => `${name}="${text.replace(/["\\]/g, '\\$&')}"`)
          return `${scheme} ${pairs.join(comma)}`
        })
        const read = parse(text.join(comma)).map(({ scheme, parameters }) => [scheme, [...parameters]])
        expect(read).toEqual(challenges)
      }),
    )
  })

  test('never throws, and takes what stands there at most once', () => {
    const piece = fc.constantFrom('Basic', 'Digest', ' ', '"', '\\', ',', '=', 'realm="a"', '\t', 'a=b', '\0', '\u00fc')
    fc.assert(
      fc.property(
        fc.array(piece).map((pieces) => pieces.join('')),
        (text) => {
          const taken = parse(text).flatMap(({ scheme, parameters }) => [scheme, ...[...parameters].flat()])
          expect(taken.join('').length).toBeLessThanOrEqual(text.length)
        },
      ),
    )
  })

  // Far more than the 64 KiB a head may have: quadratic time would take minutes, which the test's own limit notices.
  test.each([
    ['spaces', 'Basic', ' '],
    ['spaces behind a name', 'Basic realm', ' '],
    ['quotes', 'Basic realm=', '"'],
    ['backslashes', 'Basic realm="', '\\'],
    ['one long token', 'Basic ', 'a'],
    ['equals signs', 'Basic a', '='],
    ['commas', 'Basic', ','],
    ['schemes', '', 'a '],
    ['parameters', 'Basic ', 'a=b,'],
    ['empty parameters', 'Basic ', 'a = '],
    ['open quotes', 'Basic ', 'a="b '],
  ])('reads two million characters of %s in one pass', (_, start, repeated) => {
    expect(parse(start + repeated.repeat(2e6 / repeated.length))).toBeInstanceOf(Array)
  })
})

describe('chooseChallenge', () => {
  const digest = (more: string) => `Digest realm="r", nonce="n", ${more}`
  const choose = (mode: 'default' | 'any' | 'basic' | 'digest', ...values: string[]) =>
    chooseChallenge(parse(...values), mode)

  test('takes SHA-256 before SHA-512-256 before MD5 before Basic, in whatever order they come', () => {
    const offers = [
      'Basic realm="r"',
      digest('algorithm=MD5'),
      digest('algorithm=SHA-512-256'),
      digest('algorithm=SHA-256'),
    ]
    expect(choose('any', ...offers)).toMatchObject({ algorithm: 'SHA-256' })
    expect(choose('any', ...offers.slice(0, 3).reverse())).toMatchObject({ algorithm: 'SHA-512-256' })
    expect(choose('default', ...offers.slice(0, 2))).toMatchObject({ algorithm: 'MD5' })
    expect(choose('default', offers[0] ?? '')).toEqual({ scheme: 'basic' })
  })

  test('of equally strong ones takes the first', () => {
    expect(choose('any', 'Digest realm="a", nonce="1", Digest realm="b", nonce="2"')).toMatchObject({ realm: 'a' })
  })

  test('takes only what the mode asks for', () => {
    const offer = `${digest('qop=auth')}, Basic realm="r"`
    expect(choose('basic', offer)).toEqual({ scheme: 'basic' })
    expect(choose('digest', offer)).toMatchObject({ scheme: 'digest' })
    expect(choose('digest', 'Basic realm="r"')).toBeUndefined()
    expect(choose('basic', digest('qop=auth'))).toBeUndefined()
  })

  test('reads all that an answer needs', () => {
    const text = 'DIGEST realm="r", nonce="n", opaque="o", QOP="auth-int, Auth", algorithm=sha-256-Sess, stale=TRUE, '
    expect(choose('any', `${text}userhash=true, charset=utf-8`)).toEqual({
      scheme: 'digest',
      realm: 'r',
      nonce: 'n',
      opaque: 'o',
      algorithm: 'SHA-256',
      algorithmName: 'sha-256-Sess',
      isSession: true,
      qop: 'auth',
      isStale: true,
      hashesUser: true,
      isUtf8: true,
    })
  })

  test('what is left unsaid is MD5 of the old kind', () => {
    expect(choose('any', 'Digest realm="r", nonce="n"')).toEqual({
      scheme: 'digest',
      realm: 'r',
      nonce: 'n',
      algorithm: 'MD5',
      isSession: false,
      qop: undefined,
      isStale: false,
      hashesUser: false,
      isUtf8: false,
    })
  })

  test.each([
    ['an algorithm it does not know', digest('algorithm=SHA-1, qop="auth"')],
    ['an algorithm that only begins like one', digest('algorithm=MD5-session, qop="auth"')],
    ['a qop it does not know', digest('qop="auth-more"')],
    ['a session without qop', digest('algorithm=MD5-sess')],
    ['no realm', 'Digest nonce="n", qop="auth"'],
    ['no nonce', 'Digest realm="r", qop="auth"'],
    ['a scheme it does not know', 'Bearer realm="r"'],
  ])('skips %s', (_, text) => {
    expect(choose('any', text)).toBeUndefined()
    expect(choose('any', text, 'Basic realm="r"')).toEqual({ scheme: 'basic' })
  })
})
