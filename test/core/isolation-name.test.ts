// Decides which isolation a run gets when nobody chose.

import { expect, test } from 'vitest'
import { chooseIsolation, ISOLATIONS } from '../../src/core/isolation-name.ts'

test.each([
  [1, 'process'],
  [100, 'process'],
  [101, 'pool'],
  [1_000_000, 'pool'],
] as const)('auto gives a list of %i jobs %s', (jobs, expected) => {
  expect(chooseIsolation('auto', jobs)).toBe(expected)
})

test.each(ISOLATIONS)('who asks for %s gets it, however long the list', (wanted) => {
  expect(chooseIsolation(wanted, 1)).toBe(wanted)
  expect(chooseIsolation(wanted, 1_000_000)).toBe(wanted)
})
