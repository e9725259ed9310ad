// Proves that a rate holds from the first byte on, whatever the timers do. Time is a number here.

import { describe, expect, test } from 'vitest'
import { TokenBucket } from '../../src/core/token-bucket.ts'
import fc from '../fixtures/property.ts'

/** Takes whatever may pass for a minute, waiting as told plus the lateness of each timer. */
function drain(bucket: TokenBucket, lateMs: (n: number) => number): { bytes: number; nowMs: number } {
  let taken = 0
  for (let nowMs = 0, n = 0; ; n++) {
    const bytes = bucket.available(nowMs)
    bucket.spend(bytes)
    taken += bytes
    if (nowMs >= 60_000) return { bytes: taken, nowMs }
    nowMs += Math.max(1, bucket.waitMs(1e9, nowMs)) + lateMs(n)
  }
}

describe('a bucket with a rate', () => {
  test('starts empty', () => {
    const bucket = new TokenBucket(1000, 5000)
    expect(bucket.available(5000)).toBe(0)
    expect(bucket.available(5001)).toBe(1)
  })

  test('lets pass what time has earned, and never more than a quarter of a second of it at once', () => {
    const bucket = new TokenBucket(1000, 0)
    expect(bucket.available(100)).toBe(100)
    expect(bucket.available(200)).toBe(200)
    expect(bucket.available(10_000)).toBe(251)
    bucket.spend(251)
    expect(bucket.available(10_000)).toBe(0)
  })

  test('carries fractions of bytes', () => {
    const bucket = new TokenBucket(1, 0)
    expect(bucket.available(999)).toBe(0)
    expect(bucket.available(1100)).toBe(1)
    bucket.spend(1)
    expect(bucket.available(1999)).toBe(0)
    expect(bucket.available(2001)).toBe(1)
  })

  test('is waited for until the wanted bytes are earned, or as many as are worth waking up for', () => {
    const bucket = new TokenBucket(1000, 0)
    expect(bucket.waitMs(10, 0)).toBe(10)
    expect(bucket.waitMs(1_000_000, 0)).toBe(50)
    expect(bucket.waitMs(1_000_000, 49.5)).toBe(1)
    expect(bucket.waitMs(10, 49.5)).toBe(0)
    expect(new TokenBucket(2, 0).waitMs(10, 0)).toBe(500)
  })

  test('gives nobody a burst when the rate falls, and keeps what was saved when it rises', () => {
    const bucket = new TokenBucket(1_000_000, 0)
    bucket.setRate(1000, 250)
    expect(bucket.available(250)).toBe(251)
    bucket.setRate(1_000_000, 250)
    expect(bucket.available(250)).toBe(251)
    expect(bucket.available(251)).toBe(1251)
  })

  test('loses no byte in a minute, with timers late by less than a fifth of a second', () => {
    // A wait is rounded up to a whole millisecond, which is the one that is missing from 200.
    const rate = fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 100, max: 10 ** 9 }))
    fc.assert(
      fc.property(rate, fc.array(fc.integer({ min: 0, max: 199 }), { minLength: 1 }), (bytesPerSecond, late) => {
        const { bytes, nowMs } = drain(new TokenBucket(bytesPerSecond, 0), (n) => late[n % late.length] ?? 0)
        const earned = (bytesPerSecond * nowMs) / 1000
        expect(bytes).toBeLessThanOrEqual(earned)
        expect(bytes).toBeGreaterThanOrEqual(earned - 1.001)
      }),
    )
  })
})

describe('a bucket without a rate', () => {
  test('lets everything pass at once', () => {
    const bucket = new TokenBucket(null, 0)
    expect(bucket.available(0)).toBe(Number.POSITIVE_INFINITY)
    bucket.spend(10 ** 12)
    expect(bucket.available(0)).toBe(Number.POSITIVE_INFINITY)
    expect(bucket.waitMs(10 ** 12, 0)).toBe(0)
  })

  test('saves nothing up for the rate it gets', () => {
    const bucket = new TokenBucket(null, 0)
    bucket.spend(10 ** 12)
    bucket.setRate(1000, 60_000)
    expect(bucket.available(60_000)).toBe(0)
    expect(bucket.available(60_001)).toBe(1)
  })

  test('may lose its rate, and everything passes', () => {
    const bucket = new TokenBucket(1, 0)
    bucket.setRate(null, 1)
    expect(bucket.available(1)).toBe(Number.POSITIVE_INFINITY)
  })
})
