// Decides whether a conversation says to each origin what belongs to it, and answers every head as the rules want.

import { describe, expect, test } from 'vitest'
import type { Failure } from '../../src/core/failure.ts'
import type { Job } from '../../src/core/job.ts'
import type { Ask } from '../../src/core/response.ts'
import { defaultSettings } from '../../src/defaults.ts'
import type { ChildMessage, Command } from '../../src/protocol/message.ts'
import type { Login } from '../../src/supervisor/authenticator.ts'
import { SILENT_LOGIN } from '../../src/supervisor/authenticator.ts'
import type { CookieJar } from '../../src/supervisor/cookie-jar.ts'
import type { Fit } from '../../src/supervisor/exchange.ts'
import { Exchange } from '../../src/supervisor/exchange.ts'
import type { Settings } from '../../src/supervisor/settings.ts'

const URL_ASKED = 'https://me:secret@h.test/x?y'

interface Given {
  readonly ask?: Ask
  readonly settings?: Partial<Settings>
  readonly options?: Job['options']
  readonly login?: Login
  readonly cookies?: CookieJar
}

function converse({ ask = { kind: 'whole' }, settings = {}, options = {}, login = SILENT_LOGIN, cookies }: Given = {}) {
  const job: Job = { index: 0, line: 1, id: 'id', urls: [URL_ASKED], target: 'x', options }
  const sent: Command[] = []
  const answers: string[] = []
  const fits: Fit[] = []
  const exchange = new Exchange({
    job,
    requestedUrl: URL_ASKED,
    ask,
    mayStartOver: true,
    settings: { ...defaultSettings(), userAgent: 'mpdl', ...settings },
    login,
    cookies,
    nowMs: () => 0,
    send: (command) => sent.push(command),
    onPhase: () => {},
    onHop: () => true,
    onFit: (answer) => fits.push(answer),
    onAnswer: (status, sentence) => answers.push(`${status} ${sentence}`),
  })
  const head = (status: number, headers: [string, string][] = []) =>
    exchange.onHead({ type: 'head', status, headers, remoteAddress: null, timings: {} } satisfies ChildMessage)
  return { exchange, sent, answers, fits, head }
}

/** The last request after the first, as it was sent. */
function lastGo(sent: readonly Command[]) {
  const last = sent.at(-1)
  if (last?.type !== 'go') throw new Error(`the last command is ${last?.type}`)
  return { ...last, headers: Object.fromEntries(last.headers) }
}

describe('a challenge', () => {
  const login: Login = {
    authorizationFor: (url, method) => `for ${method} ${url}`,
    onUnauthorized: (_, headers) => headers.some(([, value]) => value === 'again'),
    hintFor: (url) => `hint for ${new URL(url).host}`,
  }

  test('that can be answered leads to the same request with the answer', () => {
    const { exchange, head, sent } = converse({ login })
    expect(Object.fromEntries(exchange.request().headers)).toMatchObject({ Authorization: `for GET ${URL_ASKED}` })
    head(401, [['www-authenticate', 'again']])
    expect(lastGo(sent)).toMatchObject({ url: 'https://h.test/x?y', method: 'GET' })
    expect(exchange.isAsking).toBe(true)
  })

  test('that cannot is the failure, with what might help', () => {
    const { exchange, head, sent } = converse({ login })
    head(401, [['www-authenticate', 'Digest realm="r"']])
    expect(sent).toEqual([{ type: 'refuse' }])
    const failure: Failure = { kind: 'unauthorized', status: 401, scheme: 'Digest', hint: 'hint for h.test' }
    expect(exchange.failure).toEqual(failure)
  })

  test('of a proxy is not answered with what the server may know', () => {
    const { exchange, head } = converse({ login })
    head(407, [['proxy-authenticate', 'again']])
    expect(exchange.failure).toEqual({ kind: 'unauthorized', status: 407, scheme: 'again' })
  })

  test.each([
    ['http://p.test:1', 'Basic', 'give them in its URL, as http://user:password@host:port'],
    ['http://u:canary@p.test:1', 'Basic', 'those in its URL were refused'],
    ['http://u:canary@p.test:1', 'NTLM', 'mpdl tells a proxy who it is in no way but Basic'],
  ])('of the proxy %s that wants %s says what might help', (proxy, scheme, hint) => {
    const { exchange, head } = converse({ settings: { proxies: { https: proxy, noProxy: '' } } })
    head(407, [['proxy-authenticate', `${scheme} realm="r"`]])
    expect(exchange.failure).toEqual({ kind: 'unauthorized', status: 407, scheme, hint })
    expect(exchange.withHint({ kind: 'unauthorized', status: 407 })).toHaveProperty('hint')
  })

  test('to a look is answered with a look', () => {
    const { head, sent } = converse({ login, ask: { kind: 'if-newer', sizeBytes: 1, modifiedMs: 0 } })
    head(401, [['www-authenticate', 'again']])
    expect(lastGo(sent)).toMatchObject({ method: 'HEAD', headers: { Authorization: `for HEAD ${URL_ASKED}` } })
  })
})

describe('cookies', () => {
  test('are kept from every response, redirects included, and asked for with every request', () => {
    const received: string[][] = []
    const cookies: CookieJar = {
      headerFor: (url) => `of=${new URL(url).host}`,
      receive: (url, setCookies) => received.push([url, ...setCookies]),
      save: () => Promise.resolve(undefined),
    }
    const { exchange, head, sent } = converse({ cookies })
    expect(exchange.request().headers).toContainEqual(['Cookie', 'of=h.test'])
    head(302, [
      ['Set-Cookie', 'a=1'],
      ['Location', 'https://other.test/'],
      ['set-cookie', 'b=2'],
    ])
    expect(lastGo(sent).headers).toMatchObject({ Cookie: 'of=other.test' })
    head(404)
    expect(received).toEqual([[URL_ASKED, 'a=1', 'b=2']])
  })
})

describe('another origin', () => {
  const clientCertificate = { cert: 'CERT', key: 'KEY' }

  test.each(['https://other.test/', 'https://h.test:8443/', 'http://h.test/'])(
    'sees nothing of who asks: %s',
    (location) => {
      const { exchange, head, sent } = converse({
        settings: { clientCertificate, headers: [['X-Api-Key', 'canary']] },
        options: { headers: [['Cookie', 'canary']] },
      })
      expect(exchange.request()).toMatchObject({ clientCertificate })
      expect(JSON.stringify(exchange.request())).toContain('canary')
      head(302, [['location', location]])
      expect(sent).toHaveLength(1)
      expect(JSON.stringify(sent)).not.toMatch(/canary|CERT|KEY|secret/)
      head(302, [['location', 'https://h.test/back']])
      expect(lastGo(sent)).toMatchObject({ clientCertificate, headers: { Cookie: 'canary', 'X-Api-Key': 'canary' } })
    },
  )

  test('may be asked by another proxy', () => {
    const proxies = { http: 'http://plain:1', https: 'socks5h://u:p@secure:2', noProxy: 'direct.test' }
    const { exchange, head, sent } = converse({ settings: { proxies } })
    expect(exchange.request().proxy).toBe('socks5h://u:p@secure:2')
    head(302, [['location', 'http://other.test/']])
    expect(lastGo(sent).proxy).toMatch(/^http:\/\/plain:1\/?$/)
    head(302, [['location', 'http://direct.test/']])
    expect(lastGo(sent)).not.toHaveProperty('proxy')
  })

  test('is asked directly where the entry says so', () => {
    const proxies = { http: 'http://plain:1', https: 'http://secure:2', noProxy: '' }
    const { exchange } = converse({ settings: { proxies }, options: { proxy: 'none' } })
    expect(exchange.request()).not.toHaveProperty('proxy')
  })
})

describe('a body that comes coded', () => {
  const settings = { decodes: true, maxFileSizeBytes: 1000 }

  test('is received decoded, in one piece, up to the most that is allowed', () => {
    const { exchange, head, sent, answers, fits } = converse({ settings })
    expect(Object.fromEntries(exchange.request().headers)).toMatchObject({ 'Accept-Encoding': 'gzip, deflate, br' })
    head(200, [
      ['content-encoding', 'br'],
      ['content-length', '5000'],
      ['etag', '"v"'],
      ['accept-ranges', 'bytes'],
    ])
    expect(fits).toMatchObject([{ coding: 'br', isRangeable: false }])
    exchange.receive([0, Number.POSITIVE_INFINITY], 0)
    expect(sent).toEqual([
      { type: 'receive', offsetBytes: 0, lengthBytes: null, skipBytes: 0, maxBytes: 1000, coding: 'br' },
    ])
    expect(answers.join()).toMatch(/decoded from br: in one piece, and not to be resumed/)
    expect(exchange.facts).toMatchObject({ decodedFrom: 'br', contentEncoding: 'br' })
    expect(exchange).toMatchObject({ coding: 'br', hasAnnouncedEnd: true, validator: { etag: '"v"' } })
  })

  test('of no announced length has no announced end', () => {
    const { exchange, head } = converse({ settings })
    head(200, [['content-encoding', 'gzip']])
    expect(exchange.hasAnnouncedEnd).toBe(false)
  })
})

test('what the server calls the file is known once its bytes are taken, and not of a redirect', () => {
  const { exchange, head } = converse()
  const name: [string, string] = ['Content-Disposition', 'attachment; filename=a.pdf']
  head(302, [['location', '/there'], name])
  expect([exchange.contentDisposition, exchange.validator]).toEqual([undefined, undefined])
  head(200, [name])
  expect(exchange.contentDisposition).toBe(name[1])
})

test('a look that finds an older file becomes a request for the whole, one that does not leaves it', () => {
  const ask: Ask = { kind: 'if-newer', sizeBytes: 10, modifiedMs: 0 }
  const older = converse({ ask })
  older.head(200, [['content-length', '10']])
  expect(lastGo(older.sent)).toMatchObject({ method: 'GET' })
  const same = converse({ ask })
  same.head(200, [
    ['content-length', '10'],
    ['last-modified', new Date(0).toUTCString()],
  ])
  expect([same.sent, same.exchange.unchanged]).toEqual([[{ type: 'refuse' }], 'target'])
})
