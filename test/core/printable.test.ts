import fc from 'fast-check'
import { expect, test } from 'vitest'
import { printable, printableAscii, printableJson } from '../../src/core/printable.ts'

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
