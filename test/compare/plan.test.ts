// The order of runs, and how a mode is asked for.

import { expect, test } from 'vitest'
import { downloadsPerUrl, interleave, isolationArgs } from '../../src/compare/plan.ts'

test('every round has each mode once and begins with another one', () => {
  expect(interleave(['a', 'b', 'c'], 4)).toEqual([
    ['a', 'b', 'c'],
    ['b', 'c', 'a'],
    ['c', 'a', 'b'],
    ['a', 'b', 'c'],
  ])
  expect(interleave(['a'], 0)).toEqual([])
})

test('one after another is inline with one job', () => {
  expect(isolationArgs('sequential')).toEqual(['--isolate=inline', '--jobs=1'])
  expect(isolationArgs('pool')).toEqual(['--isolate=pool'])
})

test('what is said before counts warm-ups, both runs of a cell and the one without a fault', () => {
  expect(downloadsPerUrl(5, 6, 0)).toBe(30)
  expect(downloadsPerUrl(5, 0, 15)).toBe(151)
})
