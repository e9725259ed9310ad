// Decides whether every URL gets a safe, stable name.

import { describe, expect, test } from 'vitest'
import {
  destination,
  foldKey,
  MAX_NAME_BYTES,
  type NamingRules,
  numbered,
  safeComponent,
} from '../../src/core/destination.ts'
import type { EntryOptions } from '../../src/core/job.ts'
import { parseRow } from '../../src/core/url-list.ts'
import fc from '../fixtures/property.ts'

const FLAT: NamingRules = { names: 'flat', queryNames: false }
const RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)/i

function nameOf(url: string, rules: Partial<NamingRules> = {}, options: EntryOptions = {}, ordinal = 1): string {
  const row = parseRow(1, [url])
  if (!row.ok) throw new Error(row.errors[0]?.problem)
  return destination({ urls: row.entry.urls, options }, ordinal, { ...FLAT, ...rules })
}

/** Strings rich in what breaks names. */
const nasty = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.oneof(
      fc.constantFrom(...'./\\:*?"<>|~- %\0\u001f\u007f\u009b', '\u0301', '\u0307', '\u0338', '\ud800', '\udc00'),
      fc.constantFrom(
        '\u202e',
        '\u200b',
        '\ufeff',
        '\u2028',
        '\u061c',
        '\u2066',
        'con',
        'NUL',
        'com¹',
        '.txt',
        '..',
        'é',
      ),
      fc.constantFrom('e\u0301', '😀', '%2F', '%2e', 'C', 'F', '한', '\u1112', '\u1161', '\u00a0', '\u3000'),
    ),
    maxLength: 60,
  }),
  fc.string({ unit: 'grapheme', minLength: 100, maxLength: 400 }),
)

function expectSafe(component: string): void {
  expect(Buffer.byteLength(component)).toBeLessThanOrEqual(MAX_NAME_BYTES)
  expect(['', '.', '..']).not.toContain(component)
  expect(component).toBe(component.normalize('NFC'))
  expect(component.isWellFormed()).toBe(true)
  expect(component).not.toMatch(/[\p{Cc}\u200b-\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\u061c\ufeff/\\<>:"|?*]/u)
  expect(component).not.toMatch(/^[.\-~ ]|[. ]$/)
  expect(component).not.toMatch(RESERVED)
}

describe('safeComponent', () => {
  test('always gives one safe component', () => {
    fc.assert(
      fc.property(nasty, (text) => expectSafe(safeComponent(text))),
      { numRuns: 2000 },
    )
  })

  test('leaves what it made as it is', () => {
    fc.assert(
      fc.property(nasty, (text) => void expect(safeComponent(safeComponent(text))).toBe(safeComponent(text))),
      { numRuns: 2000 },
    )
  })

  test.each([
    ['report (final) v1.2+b@x,y=[1].pdf', 'report (final) v1.2+b@x,y=[1].pdf'],
    ['', 'index.html'],
    ['.bashrc', '%2Ebashrc'],
    ['..', '%2E%2E'],
    ['.-~ x', '%2E%2D%7E%20x'],
    ['x. .', 'x%2E%20%2E'],
    ['a/b\\c', 'a%2Fb%5Cc'],
    ['a\0b\u001b[m', 'a%00b%1B[m'],
    ['a\u009bb', 'a%C2%9Bb'],
    ['invoice\u202efdp.exe', 'invoice%E2%80%AEfdp.exe'],
    ['a\u2028b\ufeffc\u200dd', 'a%E2%80%A8b%EF%BB%BFc%E2%80%8Dd'],
    ['<a>:"|?*', '%3Ca%3E%3A%22%7C%3F%2A'],
    ['con', '%63on'],
    ['Con.tar.gz', '%43on.tar.gz'],
    ['NUL .txt', '%4EUL .txt'],
    ['com1.log', '%63om1.log'],
    ['LPT³', '%4CPT³'],
    ['console', 'console'],
    ['com10', 'com10'],
    ['cafe\u0301', 'café'],
    ['a\ud800b', 'a\ufffdb'],
    // %1F would become %1Ḟ under NFC.
    ['\u001f\u0307', '%1F%CC%87'],
    ['.\u0301a', '%2E%CC%81a'],
    ['50%', '50%'],
  ])('%j becomes %j', (given, name) => {
    expect(safeComponent(given)).toBe(name)
  })

  test('a long name keeps its extension and stays different from its neighbours', () => {
    const one = safeComponent(`${'x'.repeat(300)}1.parquet`)
    const two = safeComponent(`${'x'.repeat(300)}2.parquet`)
    expect(one).toMatch(/^x+~[0-9a-f]{8}\.parquet$/)
    expect(Buffer.byteLength(one)).toBe(MAX_NAME_BYTES)
    expect(one).not.toBe(two)
  })

  test('a long name is cut between code points, never inside an escape', () => {
    const wide = safeComponent(`${'😀'.repeat(100)}.txt`)
    expect(wide).toMatch(/^(?:😀)+~[0-9a-f]{8}\.txt$/u)
    expect(safeComponent('\u0001'.repeat(120))).toMatch(/^(?:%01)+~[0-9a-f]{8}$/)
  })

  test('an extension too long to be one is cut with the rest', () => {
    expect(safeComponent(`x.${'y'.repeat(300)}`)).toMatch(/^x\.y+~[0-9a-f]{8}$/)
  })
})

describe('names from URLs', () => {
  test.each([
    ['https://h/', 'index.html'],
    ['https://h', 'index.html'],
    ['https://h/a/b/', 'index.html'],
    ['https://h/a/report.pdf?x=/y#z', 'report.pdf'],
    ['https://h/a%20b.txt', 'a b.txt'],
    ['https://h/caf%C3%A9', 'café'],
    ['https://h/caf%E9.txt', 'caf%E9.txt'],
    ['https://h/%E9%C3%A9%F0%9F%98%80%FF%C0%AF', '%E9é😀%FF%C0%AF'],
    ['https://h/%C3', '%C3'],
    ['https://h/..%2f..%2fetc%2fpasswd', '%2E%2E%2F..%2Fetc%2Fpasswd'],
    ['https://h/%2e%2e/x', 'x'],
    ['https://h/a%00b', 'a%00b'],
    ['https://h/100%', '100%'],
    ['https://u:p@h/@x', '@x'],
    ['https://h/?a=https://other/evil.sh', 'index.html'],
  ])('%s is saved as %s', (url, name) => {
    expect(nameOf(url)).toBe(name)
  })

  test('the query is kept, escaped, where asked for', () => {
    const rules = { queryNames: true }
    expect(nameOf('https://h/get.php?id=7&f=a/b', rules)).toBe('get.php%3Fid=7&f=a%2Fb')
    expect(nameOf('https://h/?id=%2F', rules)).toBe('index.html%3Fid=%2F')
    expect(nameOf('https://h/x?', rules)).toBe('x')
    expect(nameOf('https://h/a/b?c=d/e', { ...rules, names: 'tree' })).toBe('h/a/b%3Fc=d%2Fe')
  })

  test('tree mirrors host and path', () => {
    const rules = { names: 'tree' } as const
    expect(nameOf('https://example.com/a/b%2Fc/d.txt', rules)).toBe('example.com/a/b%2Fc/d.txt')
    expect(nameOf('http://example.com:8080//a//', rules)).toBe('example.com%3A8080/a/index.html')
    expect(nameOf('http://u:p@[::1]/x', rules)).toBe('[%3A%3A1]/x')
    expect(nameOf('https://münchen.example/.git/x', rules)).toBe('xn--mnchen-3ya.example/%2Egit/x')
    expect(nameOf('https://h/', rules)).toBe('h/index.html')
  })

  test('host puts host and path into one name', () => {
    const rules = { names: 'host' } as const
    expect(nameOf('https://example.com/a/b/c.txt', rules)).toBe('example.com__a__b__c.txt')
    expect(nameOf('https://example.com:444/a/', rules)).toBe('example.com%3A444__a__index.html')
    expect(nameOf('https://h', rules)).toBe('h__index.html')
  })

  test('no URL leads out of the directory, whatever the rules', () => {
    const url = fc.oneof(
      fc.webUrl({ withQueryParameters: true }),
      nasty.map((text) => `https://h/${text}`),
      fc
        .array(fc.constantFrom('..', '%2e%2e', '.', '', '%2f', '%00', '%5c', 'a', '?', '%ff'), { maxLength: 12 })
        .map((parts) => `https://h/${parts.join('/')}`),
    )
    const names = fc.constantFrom('flat', 'tree', 'host') satisfies fc.Arbitrary<NamingRules['names']>
    fc.assert(
      fc.property(url, names, fc.boolean(), (text, mode, queryNames) => {
        const row = parseRow(1, [text])
        fc.pre(row.ok)
        if (!row.ok) return
        const path = destination(row.entry, 1, { names: mode, queryNames })
        const components = path.split('/')
        for (const component of components) expectSafe(component)
        if (mode !== 'tree') expect(components).toHaveLength(1)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('names that were given', () => {
  test('out= wins over the URL, every component made safe', () => {
    expect(nameOf('https://h/x', {}, { out: 'a/./b//-c' })).toBe('a/b/%2Dc')
    expect(nameOf('https://h/x', { names: 'tree' }, { out: 'y' })).toBe('y')
    expect(nameOf('https://h/x', { outPattern: '%n' }, { out: 'y' })).toBe('y')
  })

  test('dir= stands in for the directories of tree', () => {
    expect(nameOf('https://h/a/x', { names: 'tree' }, { dir: 'd/e' })).toBe('d/e/x')
    expect(nameOf('https://h/a/x', { names: 'host' }, { dir: 'd' })).toBe('d/h__a__x')
    expect(nameOf('https://h/a/x', {}, { dir: 'd', out: 'b/y' })).toBe('d/b/y')
    expect(nameOf('https://h/a/x', {}, { dir: '.' })).toBe('x')
  })

  test('unchecked options cannot lead out either', () => {
    expect(nameOf('https://h/x', {}, { dir: '../..', out: '/../etc/passwd' })).toBe('%2E%2E/%2E%2E/%2E%2E/etc/passwd')
    expect(nameOf('https://h/x', {}, { out: './' })).toBe('index.html')
  })

  test('a pattern numbers from the ordinal', () => {
    expect(nameOf('https://h/x', { outPattern: 'image-%n.jpg' }, {}, 17)).toBe('image-17.jpg')
    expect(nameOf('https://h/x', { outPattern: '100%%n-%n%x' }, {}, 2)).toBe('100%n-2%x')
    expect(nameOf('https://h/x', { outPattern: 'p/%n' }, { dir: 'd' }, 3)).toBe('d/p/3')
  })
})

describe('numbered', () => {
  test.each([
    ['a/b.tar.gz', 1, 'a/b.tar.1.gz'],
    ['report.pdf', 12, 'report.12.pdf'],
    ['a.b/README', 1, 'a.b/README.1'],
    ['%2Ebashrc', 1, '%2Ebashrc.1'],
  ])('%s, %i is %s', (path, n, expected) => {
    expect(numbered(path, n)).toBe(expected)
  })

  test('stays safe and differs from the name and from other numbers', () => {
    const positive = fc.integer({ min: 1, max: 2 ** 31 })
    fc.assert(
      fc.property(nasty.map(safeComponent), positive, positive, (name, n, m) => {
        expectSafe(numbered(name, n))
        expect(numbered(name, n)).not.toBe(name)
        if (n !== m) expect(numbered(name, n)).not.toBe(numbered(name, m))
      }),
      { numRuns: 1000 },
    )
  })

  test('long names that differ only at their ends stay different', () => {
    expect(numbered(safeComponent('x'.repeat(300)), 1)).not.toBe(numbered(safeComponent('x'.repeat(301)), 1))
  })
})

describe('foldKey', () => {
  test.each([
    ['Report.PDF', 'report.pdf'],
    ['É', 'e\u0301'],
    ['ΑΣ', 'ασ'],
    ['ς', 'σ'],
    ['STRASSE', 'straße'],
  ])('%s and %s are one', (a, b) => {
    expect(foldKey(a)).toBe(foldKey(b))
  })

  test('case never matters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(foldKey(text.toUpperCase())).toBe(foldKey(text))
        expect(foldKey(text)).toBe(foldKey(text).normalize('NFC'))
      }),
    )
  })
})
