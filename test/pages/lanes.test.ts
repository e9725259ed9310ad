import { describe, expect, test } from 'vitest'
import { type Bar, condensed, freeLanes } from '../../src/pages/client/lanes.ts'

const bar = (from_ms: number, to_ms: number, changes: Partial<Bar> = {}): Bar => ({
  lane: '0',
  from_ms,
  ready_ms: from_ms,
  to_ms,
  look: 'done',
  isRetry: false,
  text: 'one',
  count: 1,
  ...changes,
})

test('an attempt takes the lowest slot that is free when it begins', () => {
  const spans = [bar(0, 10), bar(0, 4), bar(2, 9), bar(4, 6), bar(10, 11)]
  expect(freeLanes(spans)).toEqual([0, 1, 2, 1, 0])
})

describe('a picture has as many bars as it has room for', () => {
  test('neighbours of one look that are too narrow become one', () => {
    expect(condensed([bar(0, 2), bar(2, 4), bar(4, 6)], 10)).toEqual([
      bar(0, 6, { count: 3, text: '3 attempts, done' }),
    ])
  })

  test('ten thousand attempts become a few', () => {
    const many = Array.from({ length: 10_000 }, (_, i) => bar(i, i + 1))
    const some = condensed(many, 10)
    expect(some.length).toBe(1)
    expect(some[0]).toMatchObject({ from_ms: 0, to_ms: 10_000, count: 10_000 })
  })

  test.each([
    ['another look', bar(2, 4, { look: 'killed' })],
    ['a retry', bar(2, 4, { isRetry: true })],
    ['another slot', bar(2, 4, { lane: '1' })],
    ['a gap one can see', bar(20, 21)],
    ['a bar that is wide enough', bar(2, 60)],
  ])('%s stays apart', (_, other) => {
    expect(condensed([bar(0, 2), other], 10)).toEqual([bar(0, 2), other])
  })
})
