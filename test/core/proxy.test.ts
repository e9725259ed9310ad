// Decides whether proxies are read as curl reads them, and whether what is wrong with one is told without its password.

import { describe, expect, test } from 'vitest'
import { noProxyOf, parseProxy, proxiesFromEnvironment, proxyLabel, routeOf } from '../../src/core/proxy.ts'
import fc from '../fixtures/property.ts'

describe('parseProxy', () => {
  test.each([
    ['http://proxy.example:3128', 'http://proxy.example:3128'],
    ['HTTPS://Proxy.Example:8443/', 'https://proxy.example:8443'],
    ['socks5://127.0.0.1:9050', 'socks5://127.0.0.1:9050'],
    ['socks5h://[0::1]:9050', 'socks5h://[::1]:9050'],
    ['http://bücher.example:80', 'http://xn--bcher-kva.example:80'],
    [' http://p:1 ', 'http://p:1'],
  ])('%s is %s', (given, url) => {
    expect(parseProxy(given)).toEqual({ ok: true, url })
  })

  test.each([
    ['http://p', 'http://p:1080'],
    ['p', 'http://p:1080'],
    ['socks5h://p', 'socks5h://p:1080'],
    ['https://p', 'https://p:443'],
    ['http://p:80', 'http://p:80'],
    ['https://p:80', 'https://p:80'],
    ['p:8080', 'http://p:8080'],
    ['user:secret@p', 'http://user:secret@p:1080'],
  ])('%s without port or scheme is curl’s %s', (given, url) => {
    expect(parseProxy(given)).toEqual({ ok: true, url })
  })

  test.each([
    ['http://user:secret@p:1', 'http://user:secret@p:1'],
    ['http://user@p:1', 'http://user@p:1'],
    ['http://:secret@p:1', 'http://:secret@p:1'],
    ['http://us%40er:se%3Acret@p:1', 'http://us%40er:se%3Acret@p:1'],
    ['http://user:s@cr t@p:1', 'http://user:s%40cr%20t@p:1'],
  ])('the credentials of %s stay percent-encoded', (given, url) => {
    expect(parseProxy(given)).toEqual({ ok: true, url })
  })

  test.each([
    ['', 'proxy is no valid URL; write http://host:port'],
    ['http://', 'proxy is no valid URL; write http://host:port'],
    ['http://user:secret@', 'proxy is no valid URL; write http://host:port'],
    ['http://:3128', 'proxy is no valid URL; write http://host:port'],
    ['http://p:99999', 'proxy is no valid URL; write http://host:port'],
    ['http://user:secret', 'proxy is no valid URL; write http://host:port'],
    ['http://user:sec\tret@p:1', 'proxy is no valid URL; write http://host:port'],
    ['http://p:1/secret', 'proxy has a path; write http://host:port, and / ? # of a password as %2F %3F %23'],
    ['http://u:1/secret@p:1', 'proxy has a path; write http://host:port, and / ? # of a password as %2F %3F %23'],
    ['http://p:1?secret', 'proxy has a path; write http://host:port, and / ? # of a password as %2F %3F %23'],
    ['http://u:50%secret@p:1', 'proxy has a user or password with a % that is no %XX; write % as %25'],
    ['socks://p:1', 'proxy is "socks:"; write socks5:// to look names up here or socks5h:// to let the proxy do it'],
    [
      'socks4a://p:1',
      'proxy is "socks4a:", which has no passwords and no IPv6; known are http, https, socks5 and socks5h',
    ],
    ['ftp://u:secret@p:1', 'proxy is "ftp:"; known are http, https, socks5 and socks5h'],
  ])('%j is refused: %s', (given, problem) => {
    expect(parseProxy(given)).toEqual({ ok: false, problem })
  })

  test('no problem ever repeats a password', () => {
    const around = fc.string({
      unit: fc.constantFrom('a', ':', '@', '/', '\\', '?', '#', '%', '[', ' ', '\n'),
      maxLength: 6,
    })
    const scheme = fc.constantFrom('', 'http://', 'socks://', 'ftp://', 'socks5:', '//')
    fc.assert(
      fc.property(scheme, around, around, fc.constantFrom('', '@p', '@p:1', '@'), (before, left, right, after) => {
        const result = parseProxy(`${before}user:${left}S3CRET${right}${after}`)
        expect(result.ok ? '' : result.problem).not.toContain('S3CRET')
      }),
    )
  })

  test('what it makes is read as the same again', () => {
    fc.assert(
      fc.property(fc.webAuthority({ withUserInfo: true, withIPv4: true, withPort: true }), (authority) => {
        const first = parseProxy(authority)
        if (first.ok) expect(parseProxy(first.url)).toEqual(first)
      }),
    )
  })
})

describe('proxyLabel', () => {
  test.each([
    ['http://user:secret@p:80', 'p:80'],
    ['https://p:443', 'p:443'],
    ['socks5h://[::1]:1080', '[::1]:1080'],
  ])('%s is %s', (url, label) => {
    expect(proxyLabel(url)).toBe(label)
  })
})

describe('proxiesFromEnvironment', () => {
  test('an empty environment asks for none', () => {
    expect(proxiesFromEnvironment({})).toEqual({ ok: true, rules: { noProxy: '' } })
  })

  test.each([
    [
      { http_proxy: 'p:1', https_proxy: 'http://q:2' },
      { http: 'http://p:1', https: 'http://q:2' },
    ],
    [{ https_proxy: 'lower:1', HTTPS_PROXY: 'upper:1' }, { https: 'http://lower:1' }],
    [{ https_proxy: '', HTTPS_PROXY: 'upper:1' }, { https: 'http://upper:1' }],
    [{ ALL_PROXY: 'socks5h://a:1' }, { http: 'socks5h://a:1', https: 'socks5h://a:1' }],
    [
      { all_proxy: 'lower:1', ALL_PROXY: 'upper:1', http_proxy: 'p:1' },
      { http: 'http://p:1', https: 'http://lower:1' },
    ],
  ])('%j gives what curl takes', (env, rules) => {
    expect(proxiesFromEnvironment(env)).toEqual({ ok: true, rules: { ...rules, noProxy: '' } })
  })

  test('HTTP_PROXY in upper case is a header that a CGI program’s client sent', () => {
    expect(proxiesFromEnvironment({ HTTP_PROXY: 'evil:1' })).toEqual({ ok: true, rules: { noProxy: '' } })
  })

  test('a wrong one is named and not quoted', () => {
    expect(proxiesFromEnvironment({ HTTPS_PROXY: 'http://u:S3CRET' })).toEqual({
      ok: false,
      problem: 'HTTPS_PROXY: proxy is no valid URL; write http://host:port',
    })
  })

  test('NO_PROXY comes along, lower case first', () => {
    expect(proxiesFromEnvironment({ NO_PROXY: 'upper' })).toEqual({ ok: true, rules: { noProxy: 'upper' } })
    expect(noProxyOf({ no_proxy: 'lower', NO_PROXY: 'upper' })).toBe('lower')
  })
})

test.each([
  [undefined, 'h.test:443'],
  ['none', 'h.test:443 directly'],
  ['http://u:canary@p.test:3128', 'h.test:443 by proxy p.test:3128'],
])('a host that is reached by %s is known as %s', (proxy, route) => {
  expect(routeOf('h.test:443', proxy)).toBe(route)
})
