// Decides whether many rows of one fate are told in few words and none is lost or told twice.

import { expect, test } from 'vitest'
import { lineRanges } from '../../src/supervisor/line-ranges.ts'
import fc from '../fixtures/property.ts'

const lineOf = (index: number) => index * 2 + 1

test('neighbours become one range of lines', () => {
  expect([...lineRanges([0, 1, 2, 5, 7, 8], lineOf)]).toEqual([
    {
      count: 6,
      lines: [
        [1, 5],
        [11, 11],
        [15, 17],
      ],
    },
  ])
})

test('none is no event', () => {
  expect([...lineRanges([], lineOf)]).toEqual([])
})

test('an event has at most a thousand ranges', () => {
  const batches = [
    ...lineRanges(
      Array.from({ length: 2500 }, (_, i) => 2 * i),
      lineOf,
    ),
  ]
  expect(batches.map(({ lines }) => lines.length)).toEqual([1000, 1000, 500])
  expect(batches.map(({ count }) => count)).toEqual([1000, 1000, 500])
})

test('any rows come out exactly once and in order', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 200 }), (isMember) => {
      const indexes = isMember.flatMap((is, index) => (is ? [index] : []))
      const batches = [...lineRanges(indexes, (index) => index)]
      const told = batches.flatMap(({ lines }) =>
        lines.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i)),
      )
      expect(told).toEqual(indexes)
      expect(batches.reduce((sum, { count }) => sum + count, 0)).toBe(told.length)
    }),
  )
})
