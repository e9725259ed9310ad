// Decides whether text from anywhere can be looked at without harm.

import { expect, test } from 'vitest'
import { excerpt, printable, printableAscii, printableJson } from '../../src/core/printable.ts'
import fc from '../fixtures/property.ts'

const DANGEROUS = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u

test('what a terminal would obey is spelled out', () => {
  expect(printable('a\x1b[2Jb\r\n\x7f\x9b')).toBe('a\\x1b[2Jb\\x0d\\x0a\\x7f\\x9b')
  expect(printable('x\u202egpj.exe\u2066\u2028\u{e0041}')).toBe('x\\u202egpj.exe\\u2066\\u2028\\u{e0041}')
  expect(printable('half \ud800 pair')).toBe('half \\ud800 pair')
})

test('ordinary names of the world stay as they are', () => {
  const names = ['日本語.txt', 'ملف.zip', 'می‌خواهم', '👨‍👩‍👧.png', 'naïve.pdf', 'a\\b']
  for (const name of names) expect(printable(name)).toBe(name)
})

test('no text whatever brings a control to the screen', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(printable(text)).not.toMatch(DANGEROUS)
      expect(printableAscii(text)).toMatch(/^[\x20-\x7e]*$/)
      expect(printableAscii(printable(text))).toMatch(/^[\x20-\x7e]*$/)
    }),
  )
})

test('JSON made safe to look at still means the same', () => {
  expect(printableJson('"\u202e\u{e0041}\x7f"')).toBe('"\\u202e\\udb40\\udc41\\u007f"')
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const safe = printableJson(JSON.stringify({ [text]: text }))
      expect(safe).not.toMatch(DANGEROUS)
      expect(JSON.parse(safe)).toEqual({ [text]: text })
    }),
  )
})

test('an excerpt is cut between code points, after escaping', () => {
  expect(excerpt('😀'.repeat(200), 10)).toBe(`${'😀'.repeat(9)}…`)
  expect(excerpt('x'.repeat(100))).toBe('x'.repeat(100))
  expect(excerpt('x'.repeat(101))).toBe(`${'x'.repeat(99)}…`)
  expect(Array.from(excerpt('\u0000'.repeat(1000)))).toHaveLength(100)
})

test('whatever the text and wherever it is cut, an excerpt is printable and short', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), fc.integer({ min: 1, max: 60 }), (text, limit) => {
      const shown = excerpt(text, limit)
      expect(shown).not.toMatch(DANGEROUS)
      expect(shown.isWellFormed()).toBe(true)
      expect(Array.from(shown).length).toBeLessThanOrEqual(limit)
      expect(shown === printable(text) || (shown.endsWith('…') && printable(text).startsWith(shown.slice(0, -1)))).toBe(
        true,
      )
    }),
  )
})
