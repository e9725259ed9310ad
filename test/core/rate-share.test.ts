// Decides whether a limit is shared out fairly, kept, and not wasted on those who cannot use their share.

import { expect, test } from 'vitest'
import type { RateUse } from '../../src/core/rate-share.ts'
import { shareRate } from '../../src/core/rate-share.ts'
import fc from '../fixtures/property.ts'

const NEW: RateUse = { allowed: undefined, used: 0 }
const busy = (rate: number): RateUse => ({ allowed: rate, used: rate })
const sum = (rates: readonly number[]) => rates.reduce((total, rate) => total + rate, 0)

/** What it may have at most: nothing is kept from one that uses what it has. */
const wishOf = ({ allowed, used }: RateUse) =>
  allowed === undefined || used >= allowed * 0.85 ? Number.POSITIVE_INFINITY : used * 1.25

test('those who have just come share equally, whole bytes', () => {
  expect(shareRate(900, [NEW, NEW, NEW])).toEqual([300, 300, 300])
  expect(sum(shareRate(1000, [NEW, NEW, NEW]))).toBe(1000)
  expect(shareRate(1000, [])).toEqual([])
})

test('who cannot use its share gets what it uses and a quarter more, the others share the rest', () => {
  expect(shareRate(1000, [{ allowed: 500, used: 80 }, busy(500)])).toEqual([100, 900])
  expect(shareRate(1000, [busy(400), { allowed: 200, used: 80 }, busy(400)])).toEqual([450, 100, 450])
})

test('who uses its small share up is no longer held to it', () => {
  expect(shareRate(1000, [{ allowed: 100, used: 85 }, busy(900)])).toEqual([500, 500])
  expect(shareRate(1000, [{ allowed: 100, used: 84 }, busy(900)])).toEqual([105, 895])
})

test('one that is held up and then is not has its equal share back after one look', () => {
  const [small = 0, large = 0] = shareRate(1000, [{ allowed: 500, used: 40 }, busy(500)])
  expect([small, large]).toEqual([50, 950])
  expect(shareRate(1000, [busy(small), busy(large)])).toEqual([500, 500])
})

test('nobody is stopped altogether, however small the limit', () => {
  expect(shareRate(2, [NEW, NEW, NEW])).toEqual([1, 1, 1])
  expect(shareRate(100, [{ allowed: 50, used: 0 }, NEW])).toEqual([1, 99])
})

const use: fc.Arbitrary<RateUse> = fc.oneof(
  fc.constant(NEW),
  fc.record({ allowed: fc.integer({ min: 1, max: 5000 }), used: fc.double({ min: 0, max: 6000, noNaN: true }) }),
)

test('any limit is kept, used up as far as anybody can, and max-min fair', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), fc.array(use, { maxLength: 12 }), (limit, uses) => {
      const shares = shareRate(limit, uses)
      expect(shares).toHaveLength(uses.length)
      expect(shares.every((share) => Number.isInteger(share) && share >= 1)).toBe(true)
      expect(sum(shares)).toBeLessThanOrEqual(Math.max(limit, uses.length))

      const wishes = uses.map(wishOf)
      const most = Math.max(0, ...shares)
      for (const [n, wish] of wishes.entries()) {
        const share = shares[n] ?? 0
        expect(share).toBeLessThanOrEqual(Math.max(1, wish))
        // Whoever gets less than it could use gets as much as anybody, but for a byte that cannot be divided.
        if (share < Math.floor(wish)) expect(share).toBeGreaterThanOrEqual(most - 1)
      }
      if (wishes.includes(Number.POSITIVE_INFINITY)) expect(sum(shares)).toBeGreaterThanOrEqual(limit)
    }),
    { numRuns: 1000 },
  )
})
