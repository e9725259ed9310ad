// Decides whether what is remembered of a list comes back as it was or not at all, and what a run makes of it.

import { describe, expect, test } from 'vitest'
import { fingerprint } from '../../src/core/hash.ts'
import type { Became, IdTable, ListMemory, UpdateOptions } from '../../src/core/list-memory.ts'
import {
  becameOf,
  decodeMemory,
  encodeMemory,
  IdTableBuilder,
  idOf,
  isBlank,
  MemoryUpdate,
  NO_MEMORY,
  positionOf,
  REMIND_AFTER_MS,
  ranking,
} from '../../src/core/list-memory.ts'
import fc from '../fixtures/property.ts'

const NIGHT_MS = 24 * 3_600_000
const START_S = 1_800_000_000
const START_MS = START_S * 1000

function table(entries: Iterable<readonly [bigint, number]>): IdTable {
  const builder = new IdTableBuilder()
  for (const [id, value] of entries) builder.add(id, value)
  return builder.build()
}

const entriesOf = ({ ids, values }: IdTable) => Array.from(ids, (id, n): [bigint, number] => [id, values[n] ?? -1])

const memory = (parts: Partial<ListMemory>): ListMemory => ({ ...NO_MEMORY, ...parts })

const anyId = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const anyValue = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const anyTable = fc.uniqueArray(fc.tuple(anyId, anyValue), { selector: ([id]) => id, maxLength: 200 }).map(table)
const anyMemory: fc.Arbitrary<ListMemory> = fc.record({
  undone: anyTable,
  failing: anyTable,
  stops: fc
    .uniqueArray(fc.tuple(fc.constantFrom('signal', 'run-deadline', 'disk-full', 'crash-loop', 'halt'), anyValue), {
      selector: ([cause]) => cause,
    })
    .map((stops) => new Map(stops)),
  lastGoodMs: fc.option(fc.integer({ min: 0 })),
  openRun: fc.option(
    fc.record({ id: fc.string({ unit: 'binary' }), log: fc.option(fc.string()), isPartial: fc.boolean() }),
  ),
})

const small = memory({
  undone: table([
    [7n, 1],
    [2n ** 63n, 3],
    [5n, 0],
  ]),
  failing: table([[9n, START_S]]),
  stops: new Map([['run-deadline', START_S]]),
  lastGoodMs: START_MS,
  openRun: { id: 'r', log: '/logs/r.ndjson', isPartial: false },
})

describe('ids', () => {
  test('16 hexadecimal digits are an id, nothing else is', () => {
    expect(idOf('00000000000000ff')).toBe(255n)
    expect(idOf(fingerprint('a.pdf'))?.toString(16).padStart(16, '0')).toBe(fingerprint('a.pdf'))
    for (const text of ['', 'ff', '00000000000000FF', '00000000000000fg', '00000000000000ff0', ' 0000000000000ff']) {
      expect(idOf(text), text).toBeUndefined()
    }
  })

  test('a table has every id once it was given, in order, each with its value', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(anyId, anyValue), { selector: ([id]) => id, maxLength: 500 }), (entries) => {
        const expected = entries.toSorted(([a], [b]) => (a < b ? -1 : 1))
        expect(entriesOf(table(entries))).toEqual(expected)
      }),
    )
  })

  test('a table has room for more than anybody thought of', () => {
    const entries = Array.from({ length: 1000 }, (_, n): [bigint, number] => [BigInt(n), n * 7])
    expect(entriesOf(table(entries.toReversed()))).toEqual(entries)
  })

  test('an id is found where it is and nowhere else', () => {
    fc.assert(
      fc.property(fc.uniqueArray(anyId, { maxLength: 300 }), anyId, (list, other) => {
        const ids = BigUint64Array.from(list).sort()
        for (const id of list) expect(ids[positionOf(ids, id)]).toBe(id)
        expect(positionOf(ids, other)).toBe(ids.indexOf(other))
      }),
    )
  })
})

describe('as bytes', () => {
  test('what was encoded is decoded', () => {
    fc.assert(
      fc.property(anyMemory, (before) => {
        expect(decodeMemory(encodeMemory(before))).toEqual(before)
      }),
    )
  })

  test('and from the middle of a larger buffer, too', () => {
    const bytes = encodeMemory(small)
    const larger = Buffer.alloc(bytes.length + 3)
    larger.set(bytes, 3)
    expect(decodeMemory(larger.subarray(3))).toEqual(small)
  })

  test('a person can read the first line', () => {
    const line = Buffer.from(encodeMemory(small)).toString('latin1').split('\n')[0] ?? ''
    expect(JSON.parse(line)).toEqual({
      mpdl_list: 1,
      undone: 3,
      failing: 1,
      stops: [['run-deadline', START_S]],
      last_good: START_MS,
      open_run: { id: 'r', log: '/logs/r.ndjson', is_partial: false },
    })
  })

  test('no byte can be damaged unnoticed', () => {
    const bytes = encodeMemory(small)
    for (let at = 0; at < bytes.length; at++) {
      for (const flip of [1, 2, 0x20, 0x80, 0xff]) {
        const damaged = bytes.slice()
        damaged[at] = (damaged[at] ?? 0) ^ flip
        expect(decodeMemory(damaged), `byte ${at}`).toBeUndefined()
      }
    }
  })

  test('nor can it be cut, lengthened or begun elsewhere', () => {
    const bytes = encodeMemory(small)
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeMemory(bytes.subarray(0, length)), `${length}`).toBeUndefined()
      expect(decodeMemory(bytes.subarray(length + 1)), `${length}`).toBeUndefined()
    }
    for (const more of [1, 8, 16]) expect(decodeMemory(Buffer.concat([bytes, Buffer.alloc(more)]))).toBeUndefined()
  })

  test('strange bytes are no memory', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(decodeMemory(bytes)).toBeUndefined()
      }),
    )
  })

  const good = { mpdl_list: 1, undone: 0, failing: 0, stops: [], last_good: null, open_run: null }
  test.each([
    ['no JSON', '{'],
    ['no object', 'null'],
    ['another version', JSON.stringify({ ...good, mpdl_list: 2 })],
    ['a negative count', JSON.stringify({ ...good, undone: -1, failing: 1 })],
    ['a broken count', JSON.stringify({ ...good, failing: 0.5 })],
    ['more ids than there are', JSON.stringify({ ...good, undone: 1 })],
    ['more ids than a number holds', JSON.stringify({ ...good, undone: Number.MAX_SAFE_INTEGER })],
    ['stops that are none', JSON.stringify({ ...good, stops: {} })],
    ['a stop without its time', JSON.stringify({ ...good, stops: [['halt']] })],
    ['a stop of an unknown cause', JSON.stringify({ ...good, stops: [['boredom', 1]] })],
    ['a time that is a word', JSON.stringify({ ...good, last_good: 'yesterday' })],
    ['a run that is a word', JSON.stringify({ ...good, open_run: 'r' })],
    ['a run without its id', JSON.stringify({ ...good, open_run: { log: null, is_partial: true } })],
    ['a log that is a number', JSON.stringify({ ...good, open_run: { id: 'r', log: 1, is_partial: true } })],
  ])('a header with %s is refused although its checksum is right', (_, header) => {
    expect(decodeMemory(withChecksum(JSON.stringify(good)))).toEqual(NO_MEMORY)
    expect(decodeMemory(withChecksum(header))).toBeUndefined()
  })
})

/** Of another header: the checksum that {@link encodeMemory} gives to these words. */
function withChecksum(header: string): Uint8Array {
  const json = Buffer.from(header)
  const bytes = Buffer.alloc(Math.ceil((json.length + 1) / 8) * 8 + 8, 0x20)
  json.copy(bytes)
  bytes[bytes.length - 9] = 0x0a
  let a = 0x9e3779b9
  let b = 0x7f4a7c15
  for (let at = 0; at < bytes.length - 8; at += 4) {
    const word = bytes.readUInt32LE(at)
    a = Math.imul(a ^ word, 0x85ebca6b)
    a ^= a >>> 15
    b = Math.imul(b ^ word, 0xc2b2ae35)
    b ^= b >>> 13
  }
  bytes.writeUInt32LE(a >>> 0, bytes.length - 8)
  bytes.writeUInt32LE(b >>> 0, bytes.length - 4)
  return bytes
}

describe('what became of a job', () => {
  test('what the end of the run did to it says nothing of the job', () => {
    expect(becameOf('downloaded', null)).toBe('well')
    expect(becameOf('unchanged', null)).toBe('well')
    expect(becameOf('skipped', null)).toBe('well')
    expect(becameOf('not-started', null)).toBe('not-started')
    expect(becameOf('failed', { kind: 'list-changed' })).toBe('failed')
    expect(becameOf('crashed', null)).toBe('failed')
    expect(becameOf('killed', { kind: 'deadline', afterMs: 1 })).toBe('failed')
    expect(becameOf('killed', { kind: 'run-deadline', afterMs: 1 })).toBe('cut-short')
    expect(becameOf('cancelled', { kind: 'stopped', reason: 'halt' })).toBe('cut-short')
    expect(becameOf('cancelled', { kind: 'cancelled', signal: 'SIGTERM' })).toBe('cut-short')
  })
})

/** A night of a list whose jobs are 1n, 2n, … */
function night(
  before: ListMemory,
  ends: Readonly<Record<number, Became>>,
  { atMs = START_MS, isGood = false, isPartial = false, told = 'new' }: Partial<UpdateOptions> & NightEnd = {},
) {
  const update = new MemoryUpdate(before, { isPartial, told })
  const news = Object.entries(ends).map(([id, became]) => update.take(BigInt(id), became, atMs))
  return { news, after: update.finish({ atMs, isGood }) }
}
interface NightEnd {
  readonly atMs?: number
  readonly isGood?: boolean
}

describe('from run to run', () => {
  test('a job is told of when it begins to fail, once a week while it does, and when it recovers', () => {
    let before = NO_MEMORY
    const told = Array.from({ length: 17 }, (_, n) => {
      const became = n === 0 || n === 16 ? 'well' : 'failed'
      // No night ends at the second of the one before.
      const atMs = START_MS + n * NIGHT_MS - n * 60_000
      const { news, after } = night(before, { 1: became }, { atMs })
      before = after
      return news[0]
    })
    const known = Array.from({ length: 6 }, () => 'known')
    expect(told).toEqual([undefined, 'fresh', ...known, 'due', ...known, 'due', 'recovered'])
  })

  test('what failed and is not tried is neither told of nor forgotten', () => {
    const failing = table([[1n, START_S - 60]])
    for (const became of ['not-started', 'cut-short'] as const) {
      const { news, after } = night(memory({ failing }), { 1: became })
      expect(news).toEqual([undefined])
      expect(after.failing).toEqual(failing)
    }
  })

  test('who is told of all is reminded a week after the last time, not after the first', () => {
    const before = memory({ failing: table([[1n, START_S]]) })
    const atMs = START_MS + 5 * NIGHT_MS
    const { after } = night(before, { 1: 'failed' }, { atMs, told: 'all' })
    expect(entriesOf(after.failing)).toEqual([[1n, START_S + (5 * NIGHT_MS) / 1000]])
    expect(night(after, { 1: 'failed' }, { atMs: atMs + REMIND_AFTER_MS - 1000 }).news).toEqual(['known'])
    expect(night(after, { 1: 'failed' }, { atMs: atMs + REMIND_AFTER_MS }).news).toEqual(['due'])
  })

  test('a clock that was set back does not put the reminder off for years', () => {
    const before = memory({ failing: table([[1n, START_S + 1e8]]) })
    const { news, after } = night(before, { 1: 'failed' })
    expect(news).toEqual(['known'])
    expect(entriesOf(after.failing)).toEqual([[1n, START_S]])
  })

  test('times that no clock of ours shows are the nearest there are', () => {
    expect(entriesOf(night(NO_MEMORY, { 1: 'failed' }, { atMs: -5000 }).after.failing)).toEqual([[1n, 0]])
    expect(entriesOf(night(NO_MEMORY, { 1: 'failed' }, { atMs: 1e15 }).after.failing)).toEqual([[1n, 2 ** 32 - 1]])
  })

  test('the runs are counted in which a job has not come to its end, until it does', () => {
    let { after } = night(NO_MEMORY, { 1: 'not-started', 2: 'not-started', 3: 'cut-short', 4: 'cut-short' })
    after = night(after, { 1: 'not-started', 2: 'well', 3: 'not-started', 4: 'failed' }).after
    expect(entriesOf(after.undone)).toEqual([
      [1n, 5],
      [3n, 5],
    ])
    for (let n = 0; n < 200; n++) after = night(after, { 1: 'not-started' }).after
    expect(entriesOf(after.undone)).toEqual([[1n, 201]])
  })

  test('a full run forgets what stands in the list no more, a partial one nothing that it did not run', () => {
    const before = memory({
      undone: table([
        [1n, 2],
        [2n, 1],
      ]),
      failing: table([
        [3n, START_S],
        [4n, START_S],
      ]),
    })
    const ends = { 1: 'well', 3: 'well' } as const
    const full = night(before, ends).after
    expect([entriesOf(full.undone), entriesOf(full.failing)]).toEqual([[], []])
    const partial = night(before, ends, { isPartial: true }).after
    expect(entriesOf(partial.undone)).toEqual([[2n, 1]])
    expect(entriesOf(partial.failing)).toEqual([[4n, START_S]])
  })

  test('all was well when a full run was good, or a partial one that left nothing undone', () => {
    const before = memory({ undone: table([[2n, 1]]), stops: new Map([['halt', START_S]]), lastGoodMs: 5 })
    expect(night(before, { 1: 'well' }, { isGood: true }).after.lastGoodMs).toBe(START_MS)
    expect(night(before, { 1: 'failed' }).after.lastGoodMs).toBe(5)
    const some = night(before, { 1: 'well' }, { isGood: true, isPartial: true }).after
    expect([some.lastGoodMs, some.stops]).toEqual([5, before.stops])
    const last = night(before, { 2: 'well' }, { isGood: true, isPartial: true }).after
    expect([last.lastGoodMs, last.stops]).toEqual([START_MS, new Map()])
  })

  test('a run that is always ended by its window is told of once a week, one that somebody ends each time', () => {
    let before = NO_MEMORY
    const told = Array.from({ length: 9 }, (_, n) => {
      const update = new MemoryUpdate(before, { isPartial: false, told: 'new' })
      const atMs = START_MS + n * NIGHT_MS
      const heard = [update.stop('run-deadline', atMs), update.stop('signal', atMs)]
      before = update.finish({ atMs, isGood: false })
      return heard
    })
    const expected = ['fresh', ...Array.from({ length: 6 }, () => 'known'), 'due', 'known']
    expect(told).toEqual(expected.map((novelty) => [novelty, 'fresh']))
  })

  test('of a run that was killed nobody has heard, so its failures are news the next time', () => {
    const before = memory({ failing: table([[1n, START_S]]), stops: new Map([['run-deadline', START_S]]) })
    const ends = { 1: 'well', 2: 'failed', 3: 'not-started', 4: 'well' } as const
    const { news, after } = night(before, ends, { told: 'nothing' })
    expect(news).toEqual([undefined, undefined, undefined, undefined])
    expect(after.stops).toEqual(before.stops)
    expect(entriesOf(after.failing)).toEqual([[1n, START_S]])
    expect(entriesOf(after.undone)).toEqual([
      [2n, 2],
      [3n, 3],
    ])
    expect(night(after, { 1: 'well', 2: 'failed' }).news).toEqual(['recovered', 'fresh'])
  })
})

describe('what comes first', () => {
  const orderAfter = (nights: readonly Readonly<Record<number, Became>>[], ids: readonly bigint[]) => {
    const rankOf = ranking(nights.reduce((before, ends) => night(before, ends).after, NO_MEMORY))
    return ids.map((id) => rankOf?.(id))
  }

  test('what had not started, then what was begun or fails, then the rest', () => {
    const ends = { 1: 'not-started', 2: 'cut-short', 3: 'failed', 4: 'well' } as const
    expect(orderAfter([ends], [1n, 2n, 3n, 4n, 5n])).toEqual([0, 1, 1, 2, 2])
    expect(orderAfter([{ 1: 'well', 2: 'failed' }], [1n, 2n])).toEqual([2, 1])
  })

  test('what has waited for several runs comes before what waits since the last', () => {
    const first = { 1: 'not-started', 2: 'not-started', 3: 'cut-short', 4: 'well', 5: 'well' } as const
    const second = { 1: 'well', 2: 'not-started', 3: 'cut-short', 4: 'not-started', 5: 'cut-short' } as const
    expect(orderAfter([first, second], [2n, 3n, 4n, 5n, 1n])).toEqual([0, 1, 2, 3, 4])
  })

  test('what fails has not started when it did not', () => {
    expect(orderAfter([{ 1: 'failed' }, { 1: 'not-started', 2: 'not-started' }], [1n, 2n])).toEqual([0, 0])
  })

  test('where nothing is undone nor fails, the list stands as it is', () => {
    expect(ranking(memory({ lastGoodMs: START_MS, stops: new Map([['halt', START_S]]) }))).toBeUndefined()
  })

  test('what cannot be told from others belongs to the rest', () => {
    expect(ranking(memory({ failing: table([[1n, START_S]]) }))?.(undefined)).toBe(2)
  })

  test('a window that is always too short gets to every job in turn', () => {
    const jobs = 20
    const fit = 3
    let before = NO_MEMORY
    const starts = new Map<number, number>()
    const nights = 14
    for (let n = 0; n < nights; n++) {
      const rankOf = ranking(before)
      const order = Array.from({ length: jobs }, (_, id) => id).sort(
        (a, b) => (rankOf?.(BigInt(a)) ?? 0) - (rankOf?.(BigInt(b)) ?? 0) || a - b,
      )
      const becameAt = (at: number): Became => (at < fit ? 'well' : at === fit ? 'cut-short' : 'not-started')
      const ends = order.map((id, at): [number, Became] => [id, becameAt(at)])
      for (const [id, became] of ends) if (became === 'well') starts.set(id, (starts.get(id) ?? 0) + 1)
      before = night(before, Object.fromEntries(ends)).after
    }
    expect([...starts.values()].toSorted().at(-1)).toBeLessThanOrEqual(Math.ceil((nights * fit) / jobs))
    expect(starts.size).toBe(jobs)
  })
})

test('a memory of jobs or stops is not blank, one of a good run is', () => {
  const table: IdTable = { ids: BigUint64Array.of(1n), values: Uint32Array.of(1) }
  expect([NO_MEMORY, memory({ lastGoodMs: 1 })].map(isBlank)).toEqual([true, true])
  expect(
    [memory({ undone: table }), memory({ failing: table }), memory({ stops: new Map([['run-deadline', 1]]) })].map(
      isBlank,
    ),
  ).toEqual([false, false, false])
})
