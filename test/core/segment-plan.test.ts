// Decides how missing bytes are shared out, and who starts where: one situation after the other.

import { describe, expect, test } from 'vitest'
import type { Range } from '../../src/core/segment.ts'
import { SegmentPlan } from '../../src/core/segment-plan.ts'
import fc from '../fixtures/property.ts'

const one = () => 1

/** A plan in which child 1 receives all that is missing from a file of 100 bytes, as far as it came. */
function begun(position = 0): SegmentPlan {
  const plan = new SegmentPlan(100, [])
  plan.receive(1, [0, 100])
  plan.advanced(1, position)
  return plan
}

/** Children that receive these ranges, from 1 on, of a file in which all else is there. */
function receiving(ranges: readonly Range[], sizeBytes: number): SegmentPlan {
  const ends = [0, ...ranges.map(([, end]) => end)]
  const starts = [...ranges.map(([start]) => start), sizeBytes]
  const completed = starts.map((start, n): Range => [ends[n] ?? 0, start]).filter(([start, end]) => end > start)
  const plan = new SegmentPlan(sizeBytes, completed)
  for (const [n, range] of ranges.entries()) plan.receive(n + 1, range)
  return plan
}

describe('what is offered', () => {
  test('divides the remainder evenly among the one that receives and those that are idle', () => {
    expect(begun(20).offers(3, one)).toEqual([
      [40, 60],
      [60, 80],
      [80, 100],
    ])
  })

  test('to one more child is half of the largest remainder', () => {
    const plan = receiving(
      [
        [0, 20],
        [30, 90],
        [95, 100],
      ],
      100,
    )
    expect(plan.offers(1, one)).toEqual([[60, 90]])
  })

  test('is what nobody is on, before anything is taken from anybody', () => {
    const plan = new SegmentPlan(100, [[8, 90]])
    plan.receive(1, [90, 100])
    expect(plan.offers(1, one)).toEqual([[0, 8]])
    expect(plan.offers(2, one)).toEqual([
      [0, 8],
      [95, 100],
    ])
  })

  test('is each hole once, and shares of it when no other is left', () => {
    const plan = new SegmentPlan(100, [
      [40, 50],
      [60, 100],
    ])
    expect(plan.offers(2, one)).toEqual([
      [0, 40],
      [50, 60],
    ])
    expect(plan.offers(3, one)).toEqual([
      [0, 20],
      [20, 40],
      [50, 60],
    ])
  })

  test('leaves everybody a share that is worth a child', () => {
    expect(begun(20).offers(9, () => 21)).toEqual([
      [46, 73],
      [73, 100],
    ])
    expect(begun(20).offers(9, () => 40)).toEqual([[60, 100]])
    expect(begun(20).offers(9, () => 41)).toEqual([])
  })

  test('asks of a fast child more than of a slow one', () => {
    const plan = receiving(
      [
        [0, 50],
        [50, 100],
      ],
      100,
    )
    expect(plan.offers(1, (id) => (id === 1 ? 26 : 1))).toEqual([[75, 100]])
  })

  test('is a hole however small: somebody has to bring it', () => {
    expect(new SegmentPlan(100, [[0, 99]]).offers(2, () => 50)).toEqual([[99, 100]])
  })

  test('is never what was promised, from then on until the one it was promised to has ended', () => {
    const plan = begun()
    plan.ask(2, [50, 100])
    expect(plan.offers(1, one)).toEqual([[25, 50]])
    plan.ask(3, [25, 50])
    plan.confirmed(3)
    expect(plan.offers(1, one)).toEqual([[12, 25]])
    plan.ended(2)
    plan.ended(3)
    expect(plan.offers(1, one)).toEqual([[50, 100]])
  })

  test('is nothing of one who has reached what it promised', () => {
    const plan = begun()
    plan.ask(2, [50, 100])
    plan.advanced(1, 60)
    expect(plan.offers(4, one)).toEqual([])
  })

  test('is nothing where nothing is missing, or nobody knows how much', () => {
    expect(begun(100).offers(4, one)).toEqual([])
    const endless = new SegmentPlan(undefined, [])
    endless.receive(1, [0, Number.POSITIVE_INFINITY])
    expect(endless.offers(4, one)).toEqual([])
  })

  test('makes the largest share as small as it can be', () => {
    const owner = fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 40 }))
    fc.assert(
      fc.property(
        fc.array(owner, { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 4 }),
        (owners, children) => {
          const ranges: Range[] = []
          for (const [gap, bytes] of owners) {
            const start = (ranges.at(-1)?.[1] ?? 0) + gap
            ranges.push([start, start + bytes])
          }
          const sizeBytes = ranges.at(-1)?.[1] ?? 0
          const offers = receiving(ranges, sizeBytes).offers(children, one)
          const shares = ranges.flatMap(([start, end]) => {
            const cuts = offers.map(([cut]) => cut).filter((cut) => cut >= start && cut < end)
            const bounds = [start, ...cuts, end]
            return cuts.map((cut, n) => cut - (bounds[n] ?? 0)).concat(end - (bounds.at(-2) ?? 0))
          })
          expect(Math.max(...shares)).toBe(leastLargestShare(ranges, children))
        },
      ),
    )
  })
})

/** By trying all there is: how large the largest share must be when up to `children` more help. */
function leastLargestShare(ranges: readonly Range[], children: number): number {
  const [range, ...others] = ranges
  if (range === undefined) return 0
  const bytes = range[1] - range[0]
  const choices = Array.from({ length: Math.min(children, bytes - 1) + 1 }, (_, more) =>
    Math.max(Math.ceil(bytes / (more + 1)), leastLargestShare(others, children - more)),
  )
  return Math.min(...choices)
}

describe('an answer that fits', () => {
  test('to a child that nobody is in the way of is received as it is', () => {
    const plan = new SegmentPlan(100, [[0, 50]])
    plan.ask(1, [50, 100])
    expect(plan.confirmed(1)).toEqual({ do: 'receive', id: 1, range: [50, 100], skipBytes: 0 })
    expect(plan.remainderOf(1)).toEqual([50, 100])
  })

  test('makes the one that is on these bytes give them up, and not before', () => {
    const plan = begun(20)
    plan.ask(2, [60, 100])
    expect(plan.remainderOf(1)).toEqual([20, 100])
    expect(plan.confirmed(2)).toEqual({ do: 'limit', id: 1, endBytes: 60 })
    expect(plan.remainderOf(2)).toBeUndefined()
    expect(plan.limited(1, 60)).toEqual([{ do: 'receive', id: 2, range: [60, 100], skipBytes: 0 }])
    expect([plan.remainderOf(1), plan.remainderOf(2)]).toEqual([
      [20, 60],
      [60, 100],
    ])
  })

  test('begins where the former owner really stopped', () => {
    const plan = begun(20)
    plan.ask(2, [60, 100])
    plan.confirmed(2)
    expect(plan.limited(1, 77)).toEqual([{ do: 'receive', id: 2, range: [77, 100], skipBytes: 17 }])
  })

  test('that came too late is dropped, be it that the owner is past its end or says so', () => {
    const late = begun()
    late.ask(2, [20, 40])
    late.advanced(1, 40)
    expect(late.confirmed(2)).toEqual({ do: 'drop', id: 2 })

    const crossing = begun()
    crossing.ask(2, [20, 40])
    crossing.confirmed(2)
    expect(crossing.limited(1, 40)).toEqual([{ do: 'drop', id: 2 }])
  })

  test('asks the owner for no more than it has left', () => {
    const plan = begun()
    plan.ask(2, [20, 40])
    plan.advanced(1, 30)
    expect(plan.confirmed(2)).toEqual({ do: 'limit', id: 1, endBytes: 30 })
  })

  test('may come in any order: several that inherit from one owner get what they asked for', () => {
    const plan = begun()
    for (const [id, range] of [
      [2, [25, 50]],
      [3, [50, 75]],
      [4, [75, 100]],
    ] as const) {
      plan.ask(id, range)
    }
    expect([3, 2, 4].map((id) => plan.confirmed(id))).toEqual([
      { do: 'limit', id: 1, endBytes: 50 },
      { do: 'limit', id: 1, endBytes: 25 },
      { do: 'limit', id: 1, endBytes: 75 },
    ])
    // The child answers in the order it was asked, and its end never grows.
    expect([50, 25, 25].map((endBytes) => plan.limited(1, endBytes))).toEqual([
      [{ do: 'receive', id: 3, range: [50, 75], skipBytes: 0 }],
      [{ do: 'receive', id: 2, range: [25, 50], skipBytes: 0 }],
      [{ do: 'receive', id: 4, range: [75, 100], skipBytes: 0 }],
    ])
  })
})

describe('when an owner is gone', () => {
  test('those that wait for it begin where it stopped, as far as that is known', () => {
    const plan = begun()
    plan.ask(2, [25, 50])
    plan.ask(3, [50, 100])
    plan.confirmed(2)
    plan.confirmed(3)
    plan.advanced(1, 30)
    expect(plan.ended(1)).toEqual([
      { do: 'receive', id: 2, range: [30, 50], skipBytes: 5 },
      { do: 'receive', id: 3, range: [50, 100], skipBytes: 0 },
    ])
  })

  test('those that it has made superfluous are dropped', () => {
    const plan = begun()
    plan.ask(2, [25, 50])
    plan.confirmed(2)
    plan.advanced(1, 100)
    expect(plan.ended(1)).toEqual([{ do: 'drop', id: 2 }])
    expect(plan.isComplete).toBe(true)
  })

  test('what it left undone is offered, except what was promised', () => {
    const plan = begun(20)
    plan.ask(2, [60, 100])
    expect(plan.ended(1)).toEqual([])
    expect(plan.offers(1, one)).toEqual([[20, 60]])
  })
})

test('a hole is one hole, though one who brought its share of it has not left yet', () => {
  const plan = begun()
  plan.ask(2, [40, 100])
  plan.confirmed(2)
  plan.limited(1, 40)
  plan.ended(1)
  plan.ask(3, [70, 100])
  plan.confirmed(3)
  plan.limited(2, 40)
  plan.ended(3)
  expect(plan.remainderOf(2)).toEqual([40, 40])
  expect(plan.offers(1, one)).toEqual([[0, 100]])
})

test('what an heir that died gave up for is offered anew, also when the owner answers only then', () => {
  const plan = begun()
  plan.ask(2, [60, 100])
  plan.confirmed(2)
  expect(plan.ended(2)).toEqual([])
  expect(plan.limited(1, 60)).toEqual([])
  expect(plan.offers(1, one)).toEqual([[60, 100]])
})

describe('what cannot be is not believed', () => {
  const limited = () => {
    const plan = begun(20)
    plan.ask(2, [60, 100])
    plan.confirmed(2)
    return plan
  }

  test.each([
    ['an end it has passed', 19],
    ['an end it never had', 101],
  ])('%s, and who waits for the liar inherits from it all the same', (_, endBytes) => {
    const plan = limited()
    expect(plan.limited(1, endBytes)).toBeUndefined()
    expect(plan.ended(1)).toEqual([{ do: 'receive', id: 2, range: [60, 100], skipBytes: 0 }])
  })

  test('an end nobody asked for', () => {
    const plan = limited()
    expect(plan.limited(2, 70)).toBeUndefined()
    expect(plan.limited(1, 60)).toHaveLength(1)
    expect(plan.limited(1, 60)).toBeUndefined()
  })

  test.each([
    ['bytes before its own', 1, 19],
    ['bytes behind its own', 1, 101],
    ['bytes of one that does not receive', 2, 61],
  ])('%s', (_, id, position) => {
    const plan = limited()
    expect(plan.advanced(id, position)).toBe(false)
    expect(plan.completed).toEqual([[0, 20]])
  })

  test('bytes behind the end it has agreed to', () => {
    const plan = limited()
    plan.limited(1, 60)
    expect(plan.advanced(1, 61)).toBe(false)
    expect(plan.advanced(1, 60)).toBe(true)
  })
})

test('complete is a file whose size is known and whose bytes are all there', () => {
  expect(begun(99).isComplete).toBe(false)
  expect(begun(100).isComplete).toBe(true)
  expect(new SegmentPlan(0, []).isComplete).toBe(true)
  const endless = new SegmentPlan(undefined, [])
  endless.receive(1, [0, Number.POSITIVE_INFINITY])
  expect(endless.advanced(1, 1000)).toBe(true)
  expect([endless.isComplete, endless.completed]).toEqual([false, [[0, 1000]]])
})

test('a child is in a plan once, and nothing is known of one that is not', () => {
  const plan = begun()
  expect(() => plan.ask(1, [50, 100])).toThrow('segment 1 is in this plan already')
  expect(() => plan.confirmed(7)).toThrow('segment 7 is not in this plan')
  expect(plan.remainderOf(7)).toBeUndefined()
})
