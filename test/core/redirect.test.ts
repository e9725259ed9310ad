// Decides whether a redirect can lead astray: to another scheme, in circles, or with secrets to another origin.

import { describe, expect, test } from 'vitest'
import { describe as tell } from '../../src/core/failure.ts'
import type { EntryOptions, Job } from '../../src/core/job.ts'
import { decideHop, headersFor, hostOf } from '../../src/core/redirect.ts'
import { requestFor, type Sender, urlKey } from '../../src/core/request.ts'
import type { Ask } from '../../src/core/response.ts'

const FROM = 'https://example.com/a/b?c=d'
const go = (location: string, from = FROM) => decideHop(from, location, 0, 20)

describe('a Location', () => {
  test.each([
    ['https://example.com/x', 'https://example.com/x', 'example.com:443'],
    ['http://example.com/x', 'http://example.com/x', 'example.com:80'],
    ['//other.example/x', 'https://other.example/x', 'other.example:443'],
    ['/x', 'https://example.com/x', 'example.com:443'],
    ['x', 'https://example.com/a/x', 'example.com:443'],
    ['../x', 'https://example.com/x', 'example.com:443'],
    ['../../../../x', 'https://example.com/x', 'example.com:443'],
    ['?x=1', 'https://example.com/a/b?x=1', 'example.com:443'],
    ['#top', 'https://example.com/a/b?c=d', 'example.com:443'],
    ['https://example.com:8443/x#f', 'https://example.com:8443/x', 'example.com:8443'],
    ['HTTPS://EXAMPLE.com:443/x', 'https://example.com/x', 'example.com:443'],
    ['http://[::1]:8080/x', 'http://[::1]:8080/x', '[::1]:8080'],
  ])('%s is followed', (location, url, host) => {
    expect(go(location)).toEqual({ do: 'go', url, host })
  })

  test.each([
    'file:///etc/passwd',
    'data:text/plain,hello',
    'javascript:alert(1)',
    'ftp://example.com/x',
    'gopher://example.com/x',
    'blob:https://example.com/x',
    'ws://example.com/x',
    'view-source:https://example.com/',
  ])('%s is refused', (location) => {
    expect(go(location)).toMatchObject({ do: 'refuse', failure: { kind: 'redirect-refused' } })
  })

  test.each(['http://', 'https://exa mple.com/', 'http://host:99999/', 'http://[::1/'])('%s is no URL', (location) => {
    expect(go(location)).toMatchObject({ do: 'refuse', failure: { reason: 'it is no URL' } })
  })

  test('cannot bring credentials of its own', () => {
    expect(go('https://user:secret@other.example/x')).toEqual({
      do: 'go',
      url: 'https://other.example/x',
      host: 'other.example:443',
    })
  })

  test('that is refused is told without its secrets and not at length', () => {
    const hop = go(`ftp://user:hunter2@h/?token=hunter2&x=${'y'.repeat(5000)}`)
    const told = hop.do === 'refuse' ? tell(hop.failure) : ''
    expect(told).toContain('ftp://***@h/')
    expect(told).not.toContain('hunter2')
    expect(told.length).toBeLessThanOrEqual(300)
  })
})

test('the limit is the number of hops that are followed', () => {
  const hop = (hopsSoFar: number, maxHops: number) => decideHop(FROM, '/x', hopsSoFar, maxHops).do
  expect(hop(19, 20)).toBe('go')
  expect(decideHop(FROM, '/x', 20, 20)).toEqual({ do: 'refuse', failure: { kind: 'too-many-redirects', limit: 20 } })
  expect(hop(0, 0)).toBe('refuse')
})

test('a host is named with its port, so that http and https are two', () => {
  expect(hostOf(new URL('http://h/'))).toBe('h:80')
  expect(hostOf(new URL('https://h/'))).toBe('h:443')
  expect(hostOf(new URL('http://h:443/'))).toBe('h:443')
})

describe('the headers of the caller', () => {
  const secrets = [
    ['Authorization', 'Basic eDp5'],
    ['Cookie', 'a=b'],
    ['X-Api-Key', 'k'],
    ['Proxy-Authorization', 'Basic eDp5'],
  ] as const
  const origins = ['http', 'https'].flatMap((scheme) =>
    ['example.com', 'sub.example.com', 'example.com.', 'example.org'].flatMap((host) =>
      ['', ':8080', ':443', ':80'].map((port) => `${scheme}://${host}${port}`),
    ),
  )

  test.each(origins)('for %s arrive at no other origin', (from) => {
    const credentials = { url: `${from}/start`, headers: secrets }
    for (const to of origins) {
      const hop = decideHop(`${from}/start`, `${to}/x`, 0, 20)
      if (hop.do === 'refuse') expect.unreachable(to)
      const isSame = new URL(from).origin === new URL(to).origin
      expect([to, headersFor(hop.url, credentials)]).toEqual([to, isSame ? secrets : []])
    }
  })
})

describe('the request', () => {
  const requested = (
    url: string,
    options: EntryOptions = {},
    requestedUrl = url,
    more: Partial<Sender> = {},
    ask: Ask = { kind: 'whole' },
  ) => {
    const job: Job = { index: 0, line: 1, id: 'id', urls: [requestedUrl], target: 'x', options }
    const nothing = { runHeaders: [], authorization: undefined, cookie: undefined, decodes: false }
    const { headers, ...rest } = requestFor(url, ask, { ...nothing, job, requestedUrl, userAgent: 'mpdl', ...more })
    return { ...rest, headers: Object.fromEntries(headers) }
  }
  const PLAIN = { 'User-Agent': 'mpdl', Accept: '*/*', 'Accept-Encoding': 'identity' }

  test('carries no credentials and no fragment in its URL', () => {
    expect(requested('https://me:p%40ss@h/x?y#z')).toEqual({ method: 'GET', url: 'https://h/x?y', headers: PLAIN })
  })

  test('that only looks has no body to answer with', () => {
    const ask = { kind: 'if-newer', sizeBytes: 1, modifiedMs: 0 } as const
    expect(requested('https://h/', {}, 'https://h/', {}, ask).method).toBe('HEAD')
  })

  test('may be answered with a coding only where the whole file comes, and only when that is decoded', () => {
    const coding = (ask: Ask, decodes: boolean) =>
      requested('https://h/', {}, 'https://h/', { decodes }, ask).headers['Accept-Encoding']
    const validator = { etag: '"v"' }
    const target: Ask = { kind: 'if-changed', of: 'target', validator }
    expect([coding({ kind: 'whole' }, true), coding(target, true)]).toEqual(['gzip, deflate, br', 'gzip, deflate, br'])
    const others: Ask[] = [
      { kind: 'rest', offsetBytes: 1, validator },
      { kind: 'continue', offsetBytes: 1, writtenAtMs: 0 },
      { kind: 'if-changed', of: 'part', validator },
      { kind: 'if-newer', sizeBytes: 1, modifiedMs: 0 },
    ]
    for (const ask of others) expect(coding(ask, true)).toBe('identity')
    expect([coding({ kind: 'whole' }, false), coding(target, false)]).toEqual(['identity', 'identity'])
  })

  test('says who asks as it is told, unless the caller says it in words of his own', () => {
    const more = { authorization: 'Basic eDp5' }
    expect(requested('https://h/', {}, 'https://h/', more).headers.Authorization).toBe('Basic eDp5')
    const options: EntryOptions = { headers: [['authorization', 'Bearer t']] }
    expect(requested('https://h/', options, 'https://h/', more).headers).toEqual({
      ...PLAIN,
      authorization: 'Bearer t',
    })
  })

  test('has one Cookie, the caller’s before those of the jar, which alone may go to another origin', () => {
    const options: EntryOptions = { headers: [['cookie', 'a=1']] }
    const more = { cookie: 'b=2; c=3' }
    expect(requested('https://h/', options, 'https://h/', more).headers).toEqual({ ...PLAIN, Cookie: 'a=1; b=2; c=3' })
    expect(requested('https://i/', options, 'https://h/', more).headers).toEqual({ ...PLAIN, Cookie: 'b=2; c=3' })
  })

  test('prefers what was said of this job to what was said of all, and its own needs to both', () => {
    const { headers } = requested(
      'https://h/',
      {
        headers: [
          ['x-api-key', 'job'],
          ['accept-encoding', 'br'],
        ],
      },
      'https://h/',
      {
        runHeaders: [
          ['X-Api-Key', 'run'],
          ['Accept', 'text/html'],
          ['Authorization', 'Bearer t'],
        ],
      },
    )
    expect(headers).toEqual({
      'User-Agent': 'mpdl',
      Accept: 'text/html',
      Authorization: 'Bearer t',
      'x-api-key': 'job',
      'Accept-Encoding': 'identity',
    })
  })

  test('to another origin says nothing of the caller, and to the first one again all', () => {
    const options = { headers: [['Cookie', 'canary']] } as const
    const runHeaders = [['X-Api-Key', 'canary']] as const
    for (const url of ['http://h/', 'https://h:444/', 'https://sub.h/', 'https://i/']) {
      expect(requested(url, options, 'https://h/', { runHeaders })).toEqual({ method: 'GET', url, headers: PLAIN })
    }
    expect(requested('https://h/there', options, 'https://h/', { runHeaders }).headers).toMatchObject({
      Cookie: 'canary',
      'X-Api-Key': 'canary',
    })
  })

  test('is of the same file whatever its query and credentials', () => {
    expect(urlKey('https://a:b@h/x?token=1#f')).toBe(urlKey('https://h/x?token=2'))
    expect(urlKey('https://h/x')).not.toBe(urlKey('https://h/y'))
    expect(urlKey('https://h/x')).not.toBe(urlKey('http://h/x'))
  })
})
