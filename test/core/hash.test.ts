// Decides whether fingerprints are stable and spread well enough for identities.

import { describe, expect, test } from 'vitest'
import { fingerprint, hash64 } from '../../src/core/hash.ts'
import fc from '../fixtures/property.ts'

describe('hash64', () => {
  test('both halves are unsigned 32-bit numbers', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        for (const half of hash64(text)) {
          expect(Number.isInteger(half)).toBe(true)
          expect(half).toBeGreaterThanOrEqual(0)
          expect(half).toBeLessThan(2 ** 32)
        }
      }),
    )
  })

  test('the same text has the same hash however it was put together', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => void expect(hash64(a + b)).toEqual(hash64([a, b].join('')))),
    )
  })

  test('no two of 200,000 similar names collide', () => {
    const names = Array.from({ length: 200_000 }, (_, i) => `files/part-${i}.bin`)
    expect(new Set(names.map(fingerprint)).size).toBe(names.length)
  })

  test('the low bits fill a table evenly, as probing needs', () => {
    const slots = new Uint32Array(1024)
    for (let i = 0; i < 102_400; i++) {
      const slot = hash64(`https://host/${i}`)[1] & 1023
      slots[slot] = (slots[slot] ?? 0) + 1
    }
    expect(Math.max(...slots)).toBeLessThan(170)
    expect(Math.min(...slots)).toBeGreaterThan(40)
  })
})

describe('fingerprint', () => {
  test('is 16 hexadecimal digits, leading zeros kept', () => {
    fc.assert(fc.property(fc.string(), (text) => void expect(fingerprint(text)).toMatch(/^[0-9a-f]{16}$/)))
  })

  test('never changes: parts on disk are found by it', () => {
    expect(['', 'a', 'reports/2024.pdf'].map(fingerprint)).toMatchInlineSnapshot(`
      [
        "488bdcb81aee8d83",
        "501c2ba782c97901",
        "eaea595d2320ae8e",
      ]
    `)
  })
})
