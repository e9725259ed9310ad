// Decides whether what was added under a fingerprint is found, and nothing else.

import { expect, test } from 'vitest'
import { ABSENT, PrintTable } from '../../src/supervisor/print-table.ts'
import fc from '../fixtures/property.ts'

const WORD = 2 ** 32 - 1

test('prints that differ in one half only are different', () => {
  const table = new PrintTable()
  table.add(1, 2, 7)
  table.add(0, 2, 8)
  table.add(1, 0, 9)
  const find = (high: number, low: number) => table.find(high, low, () => true)
  expect([find(1, 2), find(0, 2), find(1, 0), find(0, 0), find(2, 2)]).toEqual([7, 8, 9, ABSENT, ABSENT])
})

test('values of one print are told apart by the caller', () => {
  const table = new PrintTable()
  for (const value of [0, 1, 2]) table.add(WORD, WORD, value)
  expect([0, 1, 2, 3].map((value) => table.find(WORD, WORD, (found) => found === value))).toEqual([0, 1, 2, ABSENT])
})

test('it grows, whatever the prints, and agrees with a map', () => {
  // Few low halves: most prints meet in one place.
  const print = fc.tuple(fc.integer({ min: 0, max: 40 }), fc.constantFrom(0, 1023, 1024, WORD - 1, WORD))
  fc.assert(
    fc.property(
      fc.uniqueArray(print, { selector: String, maxLength: 200 }),
      fc.integer({ max: 5000, min: 0 }),
      (prints, more) => {
        const table = new PrintTable()
        for (const [i, [high, low]] of prints.entries()) table.add(high, low, i)
        for (let i = 0; i < more; i++) table.add(1000 + i, Math.imul(i, 2654435761) >>> 0, 1_000_000 + i)
        for (const [i, [high, low]] of prints.entries()) expect(table.find(high, low, () => true)).toBe(i)
        expect(table.find(999, 0, () => true)).toBe(ABSENT)
      },
    ),
    { numRuns: 50 },
  )
})
