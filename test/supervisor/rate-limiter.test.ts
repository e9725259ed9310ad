// Decides whether --limit-rate is shared out fairly among those who transfer, and never exceeded.

import { beforeEach, expect, test } from 'vitest'
import type { Limited } from '../../src/supervisor/rate-limiter.ts'
import { RateLimiter } from '../../src/supervisor/rate-limiter.ts'
import fc from '../fixtures/property.ts'

class Child implements Limited {
  positionBytes = 0
  readonly told: number[] = []

  setRate(bytesPerSecond: number): void {
    this.told.push(bytesPerSecond)
  }

  get rate(): number {
    return this.told.at(-1) ?? 0
  }
}

let nowMs = 0
let limiter: RateLimiter

beforeEach(() => {
  nowMs = 0
  limiter = new RateLimiter(1000, () => nowMs)
})

/** A second passes in which each child moves so many bytes, and the limiter looks. */
function second(moved: readonly (readonly [Child, number])[] = []): void {
  nowMs += 1000
  for (const [child, bytes] of moved) child.positionBytes += bytes
  limiter.tick()
}

function added(count: number): Child[] {
  const children = Array.from({ length: count }, () => new Child())
  for (const child of children) limiter.add(child)
  return children
}

test('shares are equal, and are told anew as children come and go', () => {
  const [a, b, c] = added(3) as [Child, Child, Child]
  expect([a.told, b.told, c.told]).toEqual([[1000, 500, 333], [500, 333], [334]])
  limiter.remove(b)
  expect([a.rate, b.rate, c.rate]).toEqual([500, 333, 500])
  limiter.remove(c)
  // The least that it ever had, be its share larger now.
  expect([limiter.leastOf(a), limiter.leastOf(b)]).toEqual([1000 / 3, undefined])
})

test('one that was never added may go without a word', () => {
  const [a] = added(1) as [Child]
  limiter.remove(new Child())
  expect(a.told).toEqual([1000])
})

test('who does not use its share leaves room to the others', () => {
  const [modest, greedy] = added(2) as [Child, Child]
  second([
    [modest, 100],
    [greedy, 500],
  ])
  // The first second began with another share: it says nothing yet.
  expect([modest.rate, greedy.rate]).toEqual([500, 500])
  second([
    [modest, 100],
    [greedy, 500],
  ])
  expect([modest.rate, greedy.rate]).toEqual([125, 875])
})

test('who uses up what it was left with gets its full share again', () => {
  const [modest, greedy] = added(2) as [Child, Child]
  for (let n = 0; n < 2; n++) {
    second([
      [modest, 100],
      [greedy, 500],
    ])
  }
  for (let n = 0; n < 2; n++) {
    second([
      [modest, modest.rate],
      [greedy, greedy.rate],
    ])
  }
  expect([modest.rate, greedy.rate]).toEqual([500, 500])
})

test('who stands still may still begin', () => {
  const [idle, greedy] = added(2) as [Child, Child]
  for (let n = 0; n < 3; n++) second([[greedy, greedy.rate]])
  expect([idle.rate, greedy.rate]).toEqual([1, 999])
})

test('nothing is told when nothing changes by a hundredth', () => {
  const [modest, greedy] = added(2) as [Child, Child]
  for (let n = 0; n < 2; n++) {
    second([
      [modest, 100],
      [greedy, greedy.rate],
    ])
  }
  const before = [[...modest.told], [...greedy.told]]
  second([
    [modest, 100],
    [greedy, 875],
  ])
  second([
    [modest, 99.5],
    [greedy, 875],
  ])
  expect([modest.told, greedy.told]).toEqual(before)
})

test('a look too soon after the last one says nothing', () => {
  const [a, b] = added(2) as [Child, Child]
  second([[a, 500]])
  nowMs += 100
  limiter.tick()
  expect([a.told.length, b.told.length]).toEqual([2, 1])
})

test('what all of them may do together never exceeds the limit, whoever comes, goes or dawdles', () => {
  const happening = fc.oneof(
    fc.record({ come: fc.integer({ min: 1, max: 150 }) }),
    fc.record({ go: fc.nat() }),
    // Of its share, now and then hardly other than the second before.
    fc.record({ uses: fc.array(fc.constantFrom(0, 0.5, 0.79, 0.795, 0.8, 1), { minLength: 1, maxLength: 5 }) }),
  )
  fc.assert(
    fc.property(fc.integer({ min: 10_000, max: 1e9 }), fc.array(happening, { maxLength: 12 }), (limit, happenings) => {
      limiter = new RateLimiter(limit, () => nowMs)
      const children: Child[] = []
      for (const it of happenings) {
        if ('come' in it) children.push(...added(it.come))
        else if ('go' in it) {
          for (const gone of children.splice(it.go % Math.max(1, children.length), 1)) limiter.remove(gone)
        } else second(children.map((child, n) => [child, child.rate * (it.uses[n % it.uses.length] ?? 0)]))
        expect(children.reduce((sum, { rate }) => sum + rate, 0)).toBeLessThanOrEqual(limit)
      }
    }),
    { numRuns: 300 },
  )
})
