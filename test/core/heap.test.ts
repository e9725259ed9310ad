// Decides whether the heap gives things back in order.

import { expect, test } from 'vitest'
import { Heap } from '../../src/core/heap.ts'
import fc from '../fixtures/property.ts'

test('pushes and pops in any mixture behave like a sorted list', () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.integer({ min: -50, max: 50 })), { maxLength: 200 }), (operations) => {
      const heap = new Heap<number>((a, b) => a < b)
      const sorted: number[] = []
      for (const pushed of operations) {
        if (pushed === null) expect(heap.pop()).toBe(sorted.shift())
        else {
          heap.push(pushed)
          sorted.push(pushed)
          sorted.sort((a, b) => a - b)
        }
        expect([heap.size, heap.peek()]).toEqual([sorted.length, sorted[0]])
      }
      const rest = Array.from({ length: heap.size }, () => heap.pop())
      expect(rest).toEqual(sorted)
      expect(heap.pop()).toBeUndefined()
    }),
  )
})
