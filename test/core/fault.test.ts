// Decides whether only faults that exist can be rehearsed.

import { expect, test } from 'vitest'
import { FAULTS, isFault } from '../../src/core/fault.ts'

test('every fault is known by its name and told in one line', () => {
  for (const [name, told] of Object.entries(FAULTS)) {
    expect(isFault(name)).toBe(true)
    expect(told).toMatch(/^[^\n]{10,100}$/)
  }
})

test.each(['', 'SPIN', 'spin ', 'constructor', '__proto__', 'toString', 'hasOwnProperty'])('%j is no fault', (name) => {
  expect(isFault(name)).toBe(false)
})
