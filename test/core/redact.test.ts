// Decides whether secrets are kept from view.

import { describe, expect, test } from 'vitest'
import { quoted, redactText, redactUrl } from '../../src/core/redact.ts'
import fc from '../fixtures/property.ts'

describe('redactUrl', () => {
  test.each([
    ['https://user:pass@host/x', 'https://***@host/x'],
    ['https://user@host/x', 'https://***@host/x'],
    ['//user:pass@host/x', '//***@host/x'],
    ['https:\\\\user:pass@host', 'https:\\\\***@host'],
    ['https:/user:pass@host/x', 'https:/***@host/x'],
    ['https:user:pass@host/x', '***@host/x'],
    ['user:pass@host/x', '***@host/x'],
    ['https://user:p@ss@host/x', 'https://***@host/x'],
    ['https://user:my pass@host/x', 'https://***@host/x'],
    ['https://user:a/b?c#d@host/x', 'https://***@host/x'],
    ['GET http://a:b@h/ then http://c:d@i/', 'GET http://***@h/ then http://***@i/'],
  ])('masks the userinfo of %s', (given, shown) => {
    expect(redactUrl(given)).toBe(shown)
  })

  test.each([
    ['https://h/?token=abc', 'https://h/?token=***'],
    ['https://h/?a=1&X-Amz-Date=2&b=2', 'https://h/?a=1&X-Amz-Date=***&b=2'],
    ['https://h/?MyAccessKeyId=a;b?c&d=e', 'https://h/?MyAccessKeyId=***&d=e'],
    ['https://h/?a=1;sig=b', 'https://h/?a=1;sig=***'],
    ['https://h/#access_token=b', 'https://h/#access_token=***'],
    ['https://h/?%74oken=abc', 'https://h/?%74oken=***'],
    ['https://h/;jsessionid=abc/x', 'https://h/;jsessionid=***'],
    ['no url ?password=x', 'no url ?password=***'],
  ])('masks the secret value of %s', (given, shown) => {
    expect(redactUrl(given)).toBe(shown)
  })

  test.each([
    'signature',
    'secret',
    'passwd',
    'pwd',
    'auth',
    'credential',
    'session',
    'code',
    'jwt',
    'sas',
    'hmac',
    'policy',
  ])('takes %s for a secret in any case and inside a longer key', (key) => {
    expect(redactUrl(`https://h/?a=b&x_${key.toUpperCase()}_1=hush`)).not.toContain('hush')
  })

  test.each([
    'https://h/@scope/pkg?a=b',
    'https://[::1]:80/@x',
    'https://h:8080/@x',
    'https://h/?x-token',
    'https://h/?=a',
    '',
  ])('leaves %j as it is', (text) => {
    expect(redactUrl(text)).toBe(text)
  })

  test('a secret never shows, whatever surrounds it in the URL', () => {
    const noise = fc.stringMatching(/^[a-z0-9 :;%.]*$/)
    fc.assert(
      fc.property(noise, noise, noise, (before, after, tail) => {
        const url = `https://${before}:CANARY${after}@host/${tail}?api_key=${before}CANARY${after}&a=1`
        expect(redactUrl(url)).not.toContain('CANARY')
      }),
    )
  })

  test('masking twice changes nothing more', () => {
    const text = fc.string({
      unit: fc.constantFrom('https://', 'a', ':', '@', '/', '?', '&', ';', '#', '=', 'token', ' '),
    })
    fc.assert(fc.property(text, (given) => void expect(redactUrl(redactUrl(given))).toBe(redactUrl(given))))
  })

  test('hostile texts take no time to speak of', () => {
    const startedMs = performance.now()
    for (const part of ['http://', 'https:/', 'https:a:', '/', '//a', '?token', ':@', '%', 'a:', '//a:b']) {
      redactUrl(part.repeat(60_000 / part.length))
      redactUrl(`${part.repeat(60_000 / part.length)}@`)
    }
    // Quadratic patterns took seconds here.
    expect(performance.now() - startedMs).toBeLessThan(2000)
  })
})

test('what is quoted is redacted before it is cut', () => {
  expect(quoted(`https://u:${'p'.repeat(300)}@h/`)).toBe('"https://***@h/"')
  expect(quoted('a\u202e'.repeat(300))).toMatch(/^"(?:a\\u202e)+a?[\\u20e]*…"$/)
})

test.each([
  ['https://h/login?url=https%3A%2F%2Fu%3Ap%40h2%2Fx&page=2', 'https://h/login?url=***&page=2'],
  ['https://h/login?url=https%3A%2F%2Fh2%2Fx%3Fpage%3D1%26token%3Dabc', 'https://h/login?url=***'],
  ['https://h/login?url=https%3A%2F%2Fh2%2Fx%3Fpage%3D1', 'https://h/login?url=https%3A%2F%2Fh2%2Fx%3Fpage%3D1'],
])('a secret in a URL inside a URL is masked with it: %s', (url, shown) => {
  expect(redactUrl(url)).toBe(shown)
})

test('every URL in a longer text is redacted, and the text around it stays', () => {
  expect(redactText('fetch "https://u:p@h/a?token=x" failed, then http://h/b?page=1')).toBe(
    'fetch "https://***@h/a?token=***" failed, then http://h/b?page=1',
  )
  expect(redactText('by socks5h://u:p@h:1080 and socks5://u:p@[::1]')).toBe(
    'by socks5h://***@h:1080 and socks5://***@[::1]',
  )
})
