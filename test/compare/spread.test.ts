// What several measurements come to.

import { expect, test } from 'vitest'
import { medianOf, spreadIfAll, spreadOf } from '../../src/compare/spread.ts'

test('the median of an even number is the mean of the two in the middle', () => {
  expect(medianOf([10, 1, 2])).toBe(2)
  expect(medianOf([4, 1, 2, 10])).toBe(3)
})

test('the median of nothing is a mistake of the caller', () => {
  expect(() => medianOf([])).toThrow('the median of nothing')
})

test('a spread has the extremes', () => {
  expect(spreadOf([3, 9, 4])).toEqual({ median: 4, min: 3, max: 9 })
})

test('what one run could not tell is not told of all', () => {
  expect(spreadIfAll([3, null, 4])).toBeNull()
  expect(spreadIfAll([])).toBeNull()
  expect(spreadIfAll([3, 4])?.median).toBe(3.5)
})
