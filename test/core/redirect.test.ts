// Decides whether a redirect can lead astray: to another scheme, in circles, or with secrets to another origin.

import { describe, expect, test } from 'vitest'
import { describe as tell } from '../../src/core/failure.ts'
import { decideHop, headersFor, hostOf } from '../../src/core/redirect.ts'

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
