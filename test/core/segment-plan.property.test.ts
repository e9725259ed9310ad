// Decides whether any interleaving of children that share a file brings each of its bytes once, and comes to an end.

import { describe, expect, test } from 'vitest'
import fc from '../fixtures/property.ts'
import type { Reply } from '../fixtures/segment-world.ts'
import { SegmentWorld } from '../fixtures/segment-world.ts'

type Operation =
  | { readonly do: 'share'; readonly children: number; readonly leastBytes: number }
  | { readonly do: 'reply'; readonly which: number; readonly reply: Reply }
  | { readonly do: 'hear' | 'beat' | 'break-off'; readonly which: number }
  | { readonly do: 'obey'; readonly which: number; readonly slackBytes: number }
  | { readonly do: 'write'; readonly which: number; readonly bytes: number }
  | { readonly do: 'crash'; readonly which: number; readonly lost: number }
  | { readonly do: 'lie'; readonly which: number; readonly isTooFar: boolean; readonly kind: 'beat' | 'limited' }
  | { readonly do: 'retry' }
  | { readonly do: 'resume'; readonly age: number }

const which = fc.nat(99)
const smooth: fc.WeightedArbitrary<Operation>[] = [
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('share'),
      children: fc.integer({ min: 1, max: 4 }),
      leastBytes: fc.integer({ min: 1, max: 12 }),
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('reply'), which, reply: fc.constant('fits') }) },
  { weight: 24, arbitrary: fc.record({ do: fc.constant('hear'), which }) },
  { weight: 16, arbitrary: fc.record({ do: fc.constant('obey'), which, slackBytes: fc.constant(0) }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('write'), which, bytes: fc.integer({ min: 1, max: 20 }) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('beat'), which }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('retry') }) },
]
const faults: fc.WeightedArbitrary<Operation>[] = [
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('reply'), which, reply: fc.constantFrom<Reply>('whole', 'refused') }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('obey'), which, slackBytes: fc.nat(30) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('break-off'), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('crash'), which, lost: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('resume'), age: fc.nat(9) }) },
]
const lies: fc.WeightedArbitrary<Operation>[] = [
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('lie'),
      which,
      isTooFar: fc.boolean(),
      kind: fc.constantFrom('beat', 'limited'),
    }),
  },
]

function perform(world: SegmentWorld, what: Operation): void {
  switch (what.do) {
    case 'share':
      return world.share(what.children, what.leastBytes)
    case 'reply':
      return world.reply(what.which, what.reply)
    case 'hear':
      return world.hear(what.which)
    case 'obey':
      return world.obey(what.which, what.slackBytes)
    case 'write':
      return world.write(what.which, what.bytes)
    case 'beat':
      return world.beat(what.which)
    case 'break-off':
      return world.breakOff(what.which)
    case 'crash':
      return world.crash(what.which, what.lost)
    case 'lie':
      return world.lie(what.which, what.isTooFar, what.kind)
    case 'retry':
      return world.retry()
    case 'resume':
      return world.resume(what.age)
  }
}

function playAll(...operations: fc.WeightedArbitrary<Operation>[]): void {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200 }),
      fc.array(fc.oneof(...operations), { maxLength: 300, size: 'max' }),
      (sizeBytes, history) => {
        const world = new SegmentWorld(sizeBytes)
        world.retry()
        for (const what of history) {
          perform(world, what)
          world.check()
        }
        world.settle()
        expect(world.isOver).toBe(true)
      },
    ),
    { numRuns: 500 },
  )
}

describe('whatever crosses whatever on the wires, each byte is written once and all are there in the end', () => {
  test('when nothing goes wrong', () => playAll(...smooth))

  test('when servers refuse, connections break, children die and the run is started anew', () => {
    playAll(...smooth, ...faults)
  })

  test('when children also say what cannot be', () => playAll(...smooth, ...faults, ...lies))
})
