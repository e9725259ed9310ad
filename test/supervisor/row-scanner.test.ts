// Decides whether rows are cut where they end, however their bytes come.

import { expect, test } from 'vitest'
import type { ListText } from '../../src/supervisor/list-text.ts'
import { parseRawRow, type RawRow, RowScanner } from '../../src/supervisor/row-scanner.ts'
import fc from '../fixtures/property.ts'

/** The bytes in pieces of the given lengths, over and over. */
function dripping(bytes: Buffer, pieces: readonly number[]): ListText {
  let turn = 0
  return {
    readInto: (buffer, at, offset) => {
      const length = pieces[turn++ % pieces.length] ?? 1
      return bytes.copy(buffer, at, offset, Math.min(bytes.length, offset + length))
    },
    read: (offset, length) => bytes.subarray(offset, offset + length),
    close: () => {},
  }
}

function rowsOf(text: string, pieces: readonly number[] = [1 << 20]): { rows: RawRow[]; lineCount: number } {
  const rows: RawRow[] = []
  const bytes = Buffer.from(text)
  const source = dripping(bytes, pieces)
  const scan = new RowScanner((row) => rows.push(row))
  for (let offset = 0, count = -1; count !== 0; offset += count) {
    count = scan.fill(source, offset)
    // A pause at every line: each must go on where it stopped.
    while (scan.step(count === 0, scan.lineCount + 1));
  }
  return { rows, lineCount: scan.lineCount }
}

test('a row ends with its last option line, comments between included, those behind it not', () => {
  const { rows, lineCount } = rowsOf('# head\na\n o=1\n# between\n\n p=2\n# behind\nb\n\n')
  expect(rows).toEqual([
    { line: 2, offset: 7, text: 'a\n o=1\n# between\n\n p=2' },
    { line: 8, offset: 39, text: 'b' },
  ])
  expect(lineCount).toBe(9)
})

test('an option line above all jobs is a row of its own', () => {
  expect(rowsOf(' o=1\n p=2\na').rows.map(({ text }) => text)).toEqual([' o=1\n p=2', 'a'])
})

test('however the bytes come, the rows are the same and stand where their offsets say', () => {
  const line = fc.constantFrom('', '# c', 'a', 'https://h/\u00e4', ' o=1', '\tp=2', '\r', ' ', '😀', 'x'.repeat(300))
  const pieces = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(fc.array(line), pieces, fc.boolean(), (lines, lengths, hasMark) => {
      const text = (hasMark ? '\uFEFF' : '') + lines.join('\n')
      // A file never gives less than the three bytes of its mark.
      const dripped = rowsOf(text, lengths[0] !== undefined && lengths[0] < 3 ? [3, ...lengths] : lengths)
      expect(dripped).toEqual(rowsOf(text))
      const bytes = Buffer.from(text)
      for (const row of dripped.rows) {
        expect(bytes.toString('latin1', row.offset, row.offset + row.text.length)).toBe(row.text)
      }
    }),
  )
})

test('a row that cannot be shown as text says so by its line', () => {
  expect(parseRawRow(5, 'https://h/\xff')).toEqual({
    ok: false,
    errors: [{ line: 5, problem: 'is not valid UTF-8; save the list as UTF-8' }],
  })
  expect(parseRawRow(5, `https://h/x\n out=\xc3\xa4`)).toEqual({
    ok: true,
    entry: { line: 5, urls: ['https://h/x'], options: { out: '\u00e4' } },
  })
})
