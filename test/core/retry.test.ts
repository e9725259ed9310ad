// Decides whether failed jobs are tried again as long as it helps, as late as it should be, and no longer.

import { describe, expect, test } from 'vitest'
import type { Failure } from '../../src/core/failure.ts'
import { isTransient } from '../../src/core/failure.ts'
import type { RetryDecision, RetryHistory } from '../../src/core/retry.ts'
import { backoffMs, decideRetry } from '../../src/core/retry.ts'
import fc from '../fixtures/property.ts'

const POLICY = { tries: 5, retryDelayMs: 2000, retryAfterMaxMs: 600_000 }
const NOW = 1_000_000
const RESET: Failure = { kind: 'network', code: 'ECONNRESET', host: 'h' }
const NOT_FOUND: Failure = { kind: 'http-status', status: 404 }
const busy = (retryAfterMs?: number): Failure => ({
  kind: 'http-status',
  status: 503,
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
})
const CHECKSUM: Failure = { kind: 'checksum', algorithm: 'sha-256', expected: 'a', actual: 'b' }

function decide(
  failure: Failure,
  history: Partial<RetryHistory> = {},
  at: { random?: number; deadlineAtMs?: number } = {},
): RetryDecision {
  return decideRetry(
    failure,
    { mirror: 0, countedTries: [0], isJoined: false, hasAdvanced: false, ...history },
    POLICY,
    {
      nowMs: NOW,
      random: 0.999,
      ...at,
    },
  )
}

describe('the wait', () => {
  test('is at most 2, 8, 32, 120, 120 seconds', () => {
    expect([1, 2, 3, 4, 5, 50].map((n) => backoffMs(2000, n))).toEqual([2000, 8000, 32_000, 120_000, 120_000, 120_000])
  })

  test('is never shorter than a delay that was asked to be longer', () => {
    expect(backoffMs(300_000, 1)).toBe(300_000)
    expect(backoffMs(300_000, 3)).toBe(300_000)
  })

  test.each([
    [0, 2000],
    [1, 8000],
    [2, 32_000],
    [3, 120_000],
  ])('after %i earlier tries is anything from 0 to %i ms', (used, most) => {
    const waits = [0, 0.5, 0.999].map((random) => {
      const decision = decide(RESET, { countedTries: [used] }, { random })
      return decision.do === 'retry' ? decision.waitMs : Number.NaN
    })
    expect(waits).toEqual([0, most / 2, Math.round(most * 0.999)])
  })
})

describe('tries', () => {
  test('a transient failure uses one and is followed by another until none is left', () => {
    expect(decide(RESET, { countedTries: [3] })).toMatchObject({ do: 'retry', countedTries: [4], startOver: false })
    expect(decide(RESET, { countedTries: [4] })).toEqual({ do: 'give-up', failure: RESET })
  })

  test('a final failure is final where there is no mirror', () => {
    expect(decide(NOT_FOUND)).toEqual({ do: 'give-up', failure: NOT_FOUND })
  })

  test.each([
    { kind: 'disk-full', path: 'a' },
    { kind: 'locked', path: 'a' },
    { kind: 'target-is-symlink', path: 'a' },
    { kind: 'too-large', limitBytes: 1 },
    { kind: 'cancelled', signal: 'SIGINT' },
    { kind: 'stopped', reason: 'x' },
    { kind: 'deadline', afterMs: 1 },
    { kind: 'run-deadline', afterMs: 1 },
    { kind: 'abandoned', pid: 1, afterMs: 1 },
  ] as const)('what is wrong here and not there ($kind) helps no mirror', (failure) => {
    expect(decide(failure, { countedTries: [0, 0] })).toEqual({ do: 'give-up', failure })
  })
})

describe('an attempt that brought the file a good deal further', () => {
  test('uses no try, not even the last one', () => {
    expect(decide(RESET, { countedTries: [4], hasAdvanced: true })).toMatchObject({ do: 'retry', countedTries: [4] })
    expect(decide(RESET, { countedTries: [0], hasAdvanced: true })).toMatchObject({ do: 'retry', countedTries: [0] })
  })

  test('is followed by a wait all the same: as after the tries that were used, at least as after one', () => {
    const waits = [0, 1, 2, 3].map((used) => {
      const decision = decide(RESET, { countedTries: [used], hasAdvanced: true }, { random: 0.5 })
      return decision.do === 'retry' ? decision.waitMs : Number.NaN
    })
    expect(waits).toEqual([1000, 1000, 4000, 16_000])
  })

  test('waits also before a mirror that had no turn yet', () => {
    expect(decide(RESET, { countedTries: [0, 0], hasAdvanced: true }, { random: 0.5 })).toMatchObject({
      mirror: 1,
      waitMs: 1000,
      countedTries: [0, 0],
    })
  })

  test('uses a try when its bytes are not to be trusted', () => {
    expect(decide(CHECKSUM, { isJoined: true, hasAdvanced: true })).toMatchObject({
      do: 'retry',
      startOver: true,
      waitMs: 0,
      countedTries: [1],
    })
    expect(decide(CHECKSUM, { isJoined: true, hasAdvanced: true, countedTries: [4] }).do).toBe('give-up')
  })

  test('is no reason to ask again for what is gone', () => {
    expect(decide(NOT_FOUND, { hasAdvanced: true })).toEqual({ do: 'give-up', failure: NOT_FOUND })
  })
})

describe('mirrors', () => {
  test('a final failure drops its mirror and goes to the next at once', () => {
    expect(decide(NOT_FOUND, { countedTries: [0, 0] })).toEqual({
      do: 'retry',
      waitMs: 0,
      mirror: 1,
      startOver: false,
      countedTries: [Number.POSITIVE_INFINITY, 0],
    })
    expect(decide(NOT_FOUND, { mirror: 1, countedTries: [Number.POSITIVE_INFINITY, 0] }).do).toBe('give-up')
  })

  test('transient failures go round, and wait only when all had their turn', () => {
    let history: RetryHistory = { mirror: 0, countedTries: [0, 0, 0], isJoined: false, hasAdvanced: false }
    const seen: [mirror: number, isWaiting: boolean][] = []
    for (;;) {
      const decision = decideRetry(RESET, history, { ...POLICY, tries: 2 }, { nowMs: NOW, random: 0.5 })
      if (decision.do === 'give-up') break
      seen.push([decision.mirror, decision.waitMs > 0])
      history = { ...history, mirror: decision.mirror, countedTries: decision.countedTries }
    }
    expect(seen).toEqual([
      [1, false],
      [2, false],
      [0, true],
      [1, true],
      [2, true],
    ])
  })

  test('a mirror that asked for patience does not delay the next one', () => {
    expect(decide(busy(3_600_000), { countedTries: [0, 0] })).toMatchObject({ do: 'retry', mirror: 1, waitMs: 0 })
  })
})

describe('Retry-After', () => {
  test('is obeyed, plus a little', () => {
    expect(decide(busy(60_000), {}, { random: 0 })).toMatchObject({ do: 'retry', waitMs: 60_000 })
    expect(decide(busy(60_000))).toMatchObject({ do: 'retry', waitMs: 60_999 })
    expect(decide(busy(1000))).toMatchObject({ do: 'retry', waitMs: 1100 })
  })

  test('longer than allowed fails as try later', () => {
    expect(decide(busy(600_000)).do).toBe('retry')
    expect(decide(busy(600_001))).toEqual({
      do: 'give-up',
      failure: { kind: 'try-later', status: 503, waitMs: 600_001, atMs: NOW + 600_001 },
    })
  })

  test('that would pass the deadline fails as try later, and not begun', () => {
    expect(decide(busy(60_000), {}, { random: 0, deadlineAtMs: NOW + 60_001 }).do).toBe('retry')
    expect(decide(busy(60_000), {}, { random: 0, deadlineAtMs: NOW + 60_000 })).toEqual({
      do: 'give-up',
      failure: { kind: 'try-later', status: 503, waitMs: 60_000, atMs: NOW + 60_000 },
    })
  })
})

test('a backoff that would pass the deadline is not begun either', () => {
  expect(decide(RESET, {}, { deadlineAtMs: NOW + 1000 })).toEqual({ do: 'give-up', failure: RESET })
  expect(decide(RESET, {}, { deadlineAtMs: NOW + 1000, random: 0.1 }).do).toBe('retry')
})

describe('integrity', () => {
  test('a wrong checksum of joined bytes is followed by one whole transfer', () => {
    expect(decide(CHECKSUM, { isJoined: true })).toEqual({
      do: 'retry',
      waitMs: 0,
      mirror: 0,
      startOver: true,
      countedTries: [1],
    })
    expect(decide(CHECKSUM, { countedTries: [1] })).toEqual({ do: 'give-up', failure: CHECKSUM })
  })

  test('a wrong checksum of a whole transfer goes to the next mirror, from the start', () => {
    expect(decide(CHECKSUM, { countedTries: [0, 0] })).toMatchObject({ do: 'retry', mirror: 1, startOver: true })
  })

  test.each([{ kind: 'length', expectedBytes: 2, actualBytes: 1 }] as const)('$kind starts over', (failure) => {
    expect(decide(failure)).toMatchObject({ do: 'retry', startOver: true, waitMs: 0 })
  })
})

test('whatever fails, it ends: within the tries of all mirrors together', () => {
  const failures = fc.oneof(
    fc.constantFrom<Failure>(RESET, NOT_FOUND, CHECKSUM, { kind: 'hang', afterMs: 1 }),
    fc.nat(1_000_000).map(busy),
    fc.integer({ min: 100, max: 599 }).map((status): Failure => ({ kind: 'http-status', status })),
  )
  fc.assert(
    fc.property(
      fc.infiniteStream(fc.tuple(failures, fc.boolean())),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 4 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (stream, tries, mirrors, random) => {
        const countedTries = Array<number>(mirrors).fill(0)
        let history: RetryHistory = { mirror: 0, countedTries, isJoined: true, hasAdvanced: false }
        // A file has an end, so it can be brought further a few times only.
        let advances = 4
        for (let attempts = 1; ; attempts++) {
          expect(attempts).toBeLessThanOrEqual(tries * mirrors + 4)
          const [failure, hasAdvanced] = stream.next().value ?? [RESET, false]
          history = { ...history, hasAdvanced: hasAdvanced && advances-- > 0 }
          const decision = decideRetry(failure, history, { ...POLICY, tries }, { nowMs: 0, random })
          if (decision.do === 'give-up') {
            expect(decision.failure === failure || decision.failure.kind === 'try-later').toBe(true)
            return
          }
          expect(decision.waitMs).toBeGreaterThanOrEqual(0)
          expect(decision.waitMs).toBeLessThanOrEqual(POLICY.retryAfterMaxMs + 1000)
          // A mirror that failed for good is not asked again.
          if (!isTransient(failure) && failure.kind !== 'checksum') expect(decision.mirror).not.toBe(history.mirror)
          history = { ...history, mirror: decision.mirror, countedTries: decision.countedTries }
        }
      },
    ),
  )
})
