// Decides whether a cookies.txt means the same after it was read and written.

import { describe, expect, test } from 'vitest'
import { type CookieRecord, formatCookieFile, mergeCookies, parseCookieFile } from '../../src/core/cookie-file.ts'
import fc from '../fixtures/property.ts'

const cookie = (change: Partial<CookieRecord> = {}): CookieRecord => ({
  domain: 'example.com',
  isHostOnly: true,
  path: '/',
  isSecure: false,
  isHttpOnly: false,
  expiresS: 0,
  name: 'a',
  value: '1',
  ...change,
})

const parsed = (line: string) => parseCookieFile(line).cookies

describe('parseCookieFile', () => {
  test('reads what curl writes', () => {
    const text = [
      '# Netscape HTTP Cookie File',
      '# https://curl.se/docs/http-cookies.html',
      '',
      'example.com\tFALSE\t/\tFALSE\t0\ta\t1',
      '#HttpOnly_.example.com\tTRUE\t/x\tTRUE\t1795250282\tb\t"x y"',
      '',
    ].join('\n')
    expect(parseCookieFile(text)).toEqual({
      cookies: [
        cookie(),
        cookie({
          isHostOnly: false,
          path: '/x',
          isSecure: true,
          isHttpOnly: true,
          expiresS: 1_795_250_282,
          name: 'b',
          value: '"x y"',
        }),
      ],
      errors: [],
    })
  })

  test('lines may end as on Windows', () => {
    expect(parsed('# comment\r\n\r\nexample.com\tFALSE\t/\tFALSE\t0\ta\t1\r\n')).toEqual([cookie()])
  })

  test('an empty value may have lost the TAB before it', () => {
    expect(parsed('example.com\tFALSE\t/\tFALSE\t0\ta\t')).toEqual([cookie({ value: '' })])
    expect(parsed('example.com\tFALSE\t/\tFALSE\t0\ta')).toEqual([cookie({ value: '' })])
  })

  test('curl’s for ever is as long as a Date lasts', () => {
    const [forever] = parsed('example.com\tFALSE\t/\tFALSE\t9223372036854775807\ta\t1')
    expect(new Date((forever?.expiresS ?? 0) * 1000).getTime()).toBe(8.64e15)
  })

  test.each([
    ['S3CRET', 'has 1 instead of 7 fields between TABs'],
    ['example.com FALSE / FALSE 0 a S3CRET', 'has 1 instead of 7 fields between TABs'],
    ['example.com\tFALSE\t/\tFALSE\t0\ta\tS3\tCRET', 'has 8 instead of 7 fields between TABs'],
    ['example.com\tFALSE\t/\tFALSE\t0\ta\tS3\x1bCRET', 'has a control character'],
    ['example.com\tFALSE\t/\tFALSE\t0\ta\tS3\rCRET', 'has a control character'],
    ['.\tFALSE\t/\tFALSE\t0\ta\tS3CRET', 'has no domain in field 1'],
    ['https://example.com/\tFALSE\t/\tFALSE\t0\ta\tS3CRET', 'has no domain in field 1'],
    ['example.com\tS3CRET\t/\tFALSE\t0\ta\t1', 'has neither TRUE nor FALSE in field 2'],
    ['example.com\tFALSE\tS3CRET\tFALSE\t0\ta\t1', 'has no path that begins with / in field 3'],
    ['example.com\tFALSE\t/\tS3CRET\t0\ta\t1', 'has neither TRUE nor FALSE in field 4'],
    ['example.com\tFALSE\t/\tFALSE\tS3CRET\ta\t1', 'has no whole number of seconds in field 5'],
    ['example.com\tFALSE\t/\tFALSE\t0\t\tS3CRET', 'has no name in field 6'],
  ])('%j is told by its line and not quoted', (line, problem) => {
    expect(parseCookieFile(`# comment\n${line}\n`)).toEqual({ cookies: [], errors: [{ line: 2, problem }] })
  })
})

const word = fc.string({ unit: fc.constantFrom('a', 'b', '=', '"', ' ', '#', '\xe9', '\x80', '%'), maxLength: 8 })
const anyCookie = fc.record({
  domain: fc.constantFrom('example.com', 'localhost', '127.0.0.1', '::1'),
  isHostOnly: fc.boolean(),
  path: word.map((text) => `/${text}`),
  isSecure: fc.boolean(),
  isHttpOnly: fc.boolean(),
  expiresS: fc.constantFrom(0, 1, 1_795_250_282, 8.64e12),
  name: word.map((text) => `n${text}`),
  value: word,
})

test('what is written is read as the same', () => {
  fc.assert(
    fc.property(fc.array(anyCookie), (cookies) => {
      expect(parseCookieFile(formatCookieFile(cookies))).toEqual({ cookies, errors: [] })
    }),
  )
})

describe('mergeCookies', () => {
  const old = cookie({ name: 'old' })
  const changed = cookie({ name: 'old', value: '2' })
  const other = cookie({ name: 'other' })
  const mine = cookie({ name: 'mine' })

  test.each([
    ['a file nobody touched becomes what this run has', [old], [changed, mine], [old], [changed, mine]],
    ['what another run added stays', [old], [old, mine], [old, other], [old, other, mine]],
    ['what another run changed stays', [old], [old], [changed], [changed]],
    [
      'what both changed is as this run has it',
      [old],
      [cookie({ name: 'old', value: '3' })],
      [changed],
      [cookie({ name: 'old', value: '3' })],
    ],
    ['what this run lost goes', [old, other], [other], [old, other], [other]],
    ['what this run lost and another changed stays', [old], [], [changed], [changed]],
    ['what another run lost stays lost', [old], [old], [], []],
  ])('%s', (_, before, now, onDisk, merged) => {
    expect(mergeCookies(before, now, onDisk)).toEqual(merged)
  })

  test('cookies differ by name, domain and path, not by anything else', () => {
    const below = cookie({ path: '/x' })
    const elsewhere = cookie({ domain: 'example.org' })
    const flags = cookie({ isSecure: true, isHttpOnly: true, expiresS: 5, value: '2', isHostOnly: false })
    expect(mergeCookies([], [flags], [cookie(), below, elsewhere])).toEqual([flags, below, elsewhere])
  })
})
