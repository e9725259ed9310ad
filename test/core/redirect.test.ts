// Decides whether a redirect can lead astray: to another scheme, in circles, or with secrets to another origin.

import { describe, expect, test } from 'vitest'
import { describe as tell } from '../../src/core/failure.ts'
import type { EntryOptions, Job } from '../../src/core/job.ts'
import { decideHop, headersFor, hostOf } from '../../src/core/redirect.ts'
import { requestFor, urlKey } from '../../src/core/request.ts'

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
    const credentials = { origin: new URL(from).origin, headers: secrets }
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
    runHeaders: readonly (readonly [string, string])[] = [],
  ) => {
    const job: Job = { index: 0, line: 1, id: 'id', urls: [requestedUrl], target: 'x', options }
    const { headers, ...rest } = requestFor(
      url,
      { kind: 'whole' },
      { job, requestedUrl, runHeaders, userAgent: 'mpdl' },
    )
    return { ...rest, headers: Object.fromEntries(headers) }
  }
  const PLAIN = { 'User-Agent': 'mpdl', Accept: '*/*', 'Accept-Encoding': 'identity' }
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

  test('carries no credentials and no fragment in its URL', () => {
    expect(requested('https://me:p%40ss@h/x?y#z')).toEqual({
      url: 'https://h/x?y',
      headers: { ...PLAIN, Authorization: basic('me:p@ss') },
    })
  })

  test('takes the user of the options before that of the URL, in UTF-8', () => {
    const { headers } = requested('https://me:old@h/', { user: 'Jürgen', password: '€' })
    expect(headers.Authorization).toBe(basic('Jürgen:€'))
  })

  test('takes a password that is no escape as it is', () => {
    expect(requested('https://me:100%@h/').headers.Authorization).toBe(basic('me:100%'))
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
      [
        ['X-Api-Key', 'run'],
        ['Accept', 'text/html'],
        ['Authorization', 'Bearer t'],
      ],
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
    const options = { user: 'me', password: 'canary', headers: [['Cookie', 'canary']] } as const
    const runHeaders = [['X-Api-Key', 'canary']] as const
    for (const url of ['http://h/', 'https://h:444/', 'https://sub.h/', 'https://i/']) {
      expect(requested(url, options, 'https://h/', runHeaders)).toEqual({ url, headers: PLAIN })
    }
    expect(requested('https://h/there', options, 'https://h/', runHeaders).headers).toMatchObject({
      Authorization: basic('me:canary'),
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
