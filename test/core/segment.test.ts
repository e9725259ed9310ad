// Decides whether ranges of bytes are added up as sets of bytes are.

import { expect, test } from 'vitest'
import type { Range } from '../../src/core/segment.ts'
import {
  addRange,
  areSoundRanges,
  contiguousBytes,
  missingRanges,
  tiles,
  totalBytes,
  without,
} from '../../src/core/segment.ts'
import fc from '../fixtures/property.ts'

const SIZE = 40
const range = fc.tuple(fc.nat(SIZE), fc.nat(SIZE)).map(([a, b]): Range => [a, b])
const collect = (added: readonly Range[]) => added.reduce<readonly Range[]>(addRange, [])

function bytesOf(ranges: readonly Range[]): Set<number> {
  const bytes = new Set<number>()
  for (const [start, end] of ranges) for (let at = start; at < end; at++) bytes.add(at)
  return bytes
}

const except = (bytes: Set<number>, others: Set<number>) => new Set([...bytes].filter((at) => !others.has(at)))

test('ranges added one after the other stay sorted, disjoint, and hold exactly the bytes that were added', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 20 }), (added) => {
      const ranges = collect(added)
      expect(areSoundRanges(ranges, SIZE)).toBe(true)
      expect(bytesOf(ranges)).toEqual(bytesOf(added))
    }),
  )
})

test('the order of adding does not matter', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), (added) => {
      expect(collect(added.toReversed())).toEqual(collect(added))
    }),
  )
})

test('adding changes no list it was given', () => {
  const before: readonly Range[] = Object.freeze([Object.freeze([0, 5] as const)])
  expect(addRange(before, [5, 9])).toEqual([[0, 9]])
  expect(addRange(before, [7, 7])).toEqual([[0, 5]])
  expect(addRange(before, [7, 3])).toEqual([[0, 5]])
})

test('the bytes from 0 on end at the first hole, and tiles means: none is missing and none too many', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), fc.nat(SIZE), (added, size) => {
      const ranges = collect(added)
      const bytes = bytesOf(ranges)
      let hole = 0
      while (bytes.has(hole)) hole++
      expect(contiguousBytes(ranges)).toBe(hole)
      expect(tiles(ranges, size)).toBe(hole === size && bytes.size === size)
    }),
  )
})

test.each<[string, readonly Range[], number | undefined]>([
  [
    'overlap',
    [
      [0, 5],
      [4, 9],
    ],
    10,
  ],
  [
    'touch, which addRange never leaves',
    [
      [0, 5],
      [5, 9],
    ],
    10,
  ],
  [
    'are out of order',
    [
      [5, 9],
      [0, 2],
    ],
    10,
  ],
  ['are empty', [[3, 3]], 10],
  ['run backwards', [[5, 3]], 10],
  ['begin before 0', [[-1, 3]], 10],
  ['end past the size', [[0, 11]], 10],
  ['are fractions', [[0, 1.5]], 10],
  ['are beyond counting', [[0, 2 ** 60]], undefined],
  ['are no numbers', [[Number.NaN, 3]], undefined],
])('ranges that %s are not sound', (_, ranges, size) => {
  expect(areSoundRanges(ranges, size)).toBe(false)
})

test('no ranges are sound, and so are those of an unknown size', () => {
  expect(areSoundRanges([], 0)).toBe(true)
  expect(
    areSoundRanges(
      [
        [0, 5],
        [6, 9],
      ],
      undefined,
    ),
  ).toBe(true)
})

test('how many bytes there are, what lies outside a range, and what is missing: as sets of bytes have it', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), range, fc.nat(SIZE), (added, [a, b], size) => {
      const ranges = collect(added)
      const bytes = bytesOf(ranges)
      expect(totalBytes(ranges)).toBe(bytes.size)

      const cut: Range = [Math.min(a, b), Math.max(a, b)]
      const outside = without(ranges, cut)
      expect(areSoundRanges(outside, SIZE)).toBe(true)
      expect(bytesOf(outside)).toEqual(except(bytes, bytesOf([cut])))

      const missing = missingRanges(ranges, size)
      expect(areSoundRanges(missing, size)).toBe(true)
      expect(bytesOf(missing)).toEqual(except(bytesOf([[0, size]]), bytes))
      expect(tiles(ranges, size)).toBe(missing.length === 0 && bytes.size === size)
    }),
  )
})

test('of a file without a known size everything behind what is there is missing', () => {
  expect(missingRanges([[3, 5]], Number.POSITIVE_INFINITY)).toEqual([
    [0, 3],
    [5, Number.POSITIVE_INFINITY],
  ])
})
