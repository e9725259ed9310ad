// Decides whether a host is treated with patience and yet never waited for without end.

import { describe, expect, test } from 'vitest'
import type { Failure } from '../../src/core/failure.ts'
import type { HostHealth, HostInput, HostRules, HostVerdict } from '../../src/core/host.ts'
import { capOf, freshHost, hostInputOf, judgeHost } from '../../src/core/host.ts'
import fc from '../fixtures/property.ts'

const RULES: HostRules = { maxPerHost: 6, retryDelayMs: 2000, retryAfterMaxMs: 600_000 }
const NOW = 1_000_000
const FRESH = freshHost(RULES)
const refused = (job: number, retryAfterMs?: number): HostInput => ({
  on: 'refused',
  job,
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
})
const unreachable = (isProbe = false): HostInput => ({ on: 'connect-failure', cause: 'refused', isProbe })
const SUCCESS: HostInput = { on: 'success' }
const ANSWERED: HostInput = { on: 'answered' }

/** Judges the inputs one after the other; the last verdict. */
function judged(inputs: readonly HostInput[], othersRunning = 0, from = FRESH): HostVerdict {
  let verdict: HostVerdict = { health: from, isUncounted: false }
  for (const input of inputs) verdict = judgeHost(verdict.health, input, RULES, { nowMs: NOW, othersRunning })
  return verdict
}

describe('a host that refuses', () => {
  test('while others run is only full: its cap falls and no try is counted', () => {
    const { health, isUncounted, change } = judged([refused(1)], 5)
    expect([health.cap, isUncounted, change]).toEqual([5, true, 'cap-lowered'])
    expect(health.pausedUntilMs).toBe(0)
  })

  test('gets no more than it demonstrably bears, and never less than one', () => {
    expect(judged([refused(1)], 2).health.cap).toBe(2)
    expect(judged([refused(1), refused(2), refused(3)], 1).health.cap).toBe(1)
    expect(
      judged(
        Array.from({ length: 10 }, (_, job) => refused(job)),
        5,
      ).health.cap,
    ).toBe(1)
  })

  test('with Retry-After is paused at once when nothing else runs', () => {
    const { health, isUncounted, change } = judged([refused(1, 60_000)])
    expect([health.pausedUntilMs, isUncounted, change]).toEqual([NOW + 60_000, false, 'paused'])
  })

  test('with a Retry-After beyond the limit is not waited for', () => {
    expect(judged([refused(1, 600_000)]).change).toBe('paused')
    expect(judged([refused(1, 600_001)]).change).toBeUndefined()
  })

  test('three different jobs in a row is paused, the same job thrice is not', () => {
    expect(judged([refused(1), refused(2)]).change).toBeUndefined()
    expect(judged([refused(1), refused(2), refused(3)])).toMatchObject({
      change: 'paused',
      health: { pausedUntilMs: NOW + 2000, refusedJobs: [] },
    })
    expect(judged([refused(1), refused(1), refused(1)]).change).toBeUndefined()
  })

  test('again and again is paused four times as long each time, up to two minutes', () => {
    let health = FRESH
    const waits = Array.from({ length: 6 }, () => {
      health = judged([refused(1), refused(2), refused(3)], 0, { ...health, pausedUntilMs: 0 }).health
      return health.pausedUntilMs - NOW
    })
    expect(waits).toEqual([2000, 8000, 32_000, 120_000, 120_000, 120_000])
  })

  test('a pause is never cut short by a shorter one', () => {
    expect(judged([refused(1, 60_000), refused(2, 1000)]).health.pausedUntilMs).toBe(NOW + 60_000)
  })

  test.each([SUCCESS, ANSWERED])('any other answer between ($on) begins the count anew', (between) => {
    expect(judged([refused(1), refused(2), between, refused(3)]).change).toBeUndefined()
  })
})

describe('a host that cannot be reached', () => {
  const five = Array.from({ length: 5 }, () => unreachable())

  test('five times in a row is paused, and then one job alone finds out', () => {
    expect(judged(five.slice(1)).change).toBeUndefined()
    const { health, change, isUncounted } = judged(five)
    expect([change, isUncounted, health.pausedUntilMs, capOf(health)]).toEqual(['paused', false, NOW + 2000, 1])
  })

  test.each([SUCCESS, ANSWERED, refused(1)])('an answer between ($on) begins the count anew', (between) => {
    expect(judged([...five.slice(1), between, unreachable()]).change).toBeUndefined()
  })

  test('a transfer that was under way when the pause began says nothing new', () => {
    const { health } = judged(five)
    expect(judged([unreachable()], 0, health)).toEqual({ health, isUncounted: false })
  })

  test('after three failed probes is down, and says why', () => {
    const probes = [unreachable(true), unreachable(true), unreachable(true)]
    expect(judged([...five, ...probes.slice(1)])).toMatchObject({
      change: 'paused',
      health: { pausedUntilMs: NOW + 32_000 },
    })
    expect(judged([...five, ...probes])).toMatchObject({ change: 'down', health: { downBecause: 'refused' } })
  })

  test.each([SUCCESS, ANSWERED, refused(7)])('a probe that gets an answer ($on) ends the probing', (answer) => {
    const { health } = judged([...five, unreachable(true), answer])
    expect([health.isProbing, health.failedProbes, capOf(health)]).toEqual([false, 0, 6])
  })
})

describe('a success', () => {
  test('forgets refusals and pauses counted so far, but not the cap', () => {
    const low = judged([refused(1)], 3).health
    expect(judged([refused(2), SUCCESS], 0, low).health).toEqual({ ...FRESH, cap: 3, successesInRow: 1 })
  })

  test('twenty in a row raise a lowered cap by one, up to the limit', () => {
    const twenty = Array.from({ length: 20 }, () => SUCCESS)
    const low = judged([refused(1)], 3).health
    expect(judged(twenty.slice(1), 0, low).health.cap).toBe(3)
    expect(judged(twenty, 0, low).health.cap).toBe(4)
    expect(judged(twenty).health.cap).toBe(6)
    expect(judged([...twenty.slice(1), refused(1), SUCCESS], 0, low).health.cap).toBe(3)
  })
})

const inputs: fc.Arbitrary<HostInput> = fc.oneof(
  fc.constantFrom(SUCCESS, ANSWERED),
  fc.tuple(fc.nat(9), fc.option(fc.nat(900_000), { nil: undefined })).map(([job, after_]) => refused(job, after_)),
  fc.boolean().map(unreachable),
)

test('whatever happens, the cap stays between one and the limit, and no pause is longer than allowed', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(inputs, fc.nat(7), fc.nat(100_000)), { maxLength: 80 }), (happened) => {
      let health: HostHealth = FRESH
      let nowMs = 0
      for (const [input, othersRunning, passedMs] of happened) {
        nowMs += passedMs
        const before = health
        const verdict = judgeHost(health, input, RULES, { nowMs, othersRunning })
        health = verdict.health
        expect(health.cap).toBeGreaterThanOrEqual(1)
        expect(health.cap).toBeLessThanOrEqual(6)
        expect(health.pausedUntilMs).toBeGreaterThanOrEqual(before.pausedUntilMs)
        expect(Math.max(0, health.pausedUntilMs - nowMs)).toBeLessThanOrEqual(600_000)
        expect(verdict.change === 'paused').toBe(health.pauses > before.pauses)
        expect(verdict.isUncounted).toBe(input.on === 'refused' && othersRunning > 0)
      }
    }),
  )
})

test('an uncounted refusal cannot repeat for ever: each leaves room for fewer, and the last one counts', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 0, max: 30 }), (maxPerHost, bears) => {
      const rules = { ...RULES, maxPerHost }
      let health = freshHost(rules)
      let running = 0
      let uncounted = 0
      // The host bears `bears` at once and refuses whatever is started beyond; nothing ever ends.
      for (;;) {
        if (running >= capOf(health)) break
        running++
        if (running <= bears) continue
        running--
        const verdict = judgeHost(health, refused(running), rules, { nowMs: NOW, othersRunning: running })
        health = verdict.health
        if (!verdict.isUncounted) break
        uncounted++
        expect(uncounted).toBeLessThanOrEqual(maxPerHost)
      }
      if (bears > 0) expect(running).toBe(Math.min(bears, maxPerHost))
    }),
  )
})

describe('the end of a transfer', () => {
  const start = { index: 7, isProbe: true }
  const failed = (failure: Failure) => hostInputOf({ ok: false, failure }, start)

  test.each(['downloaded', 'unchanged'])('that was %s speaks for its host', (outcome) => {
    expect(hostInputOf({ ok: true, outcome }, start)).toEqual(SUCCESS)
  })

  test.each<[Failure, HostInput | undefined]>([
    [
      { kind: 'connect-refused', host: 'h' },
      { on: 'connect-failure', cause: 'connection refused by h', isProbe: true },
    ],
    [{ kind: 'http-status', status: 429 }, refused(7)],
    [{ kind: 'http-status', status: 503, retryAfterMs: 5 }, refused(7, 5)],
    [{ kind: 'http-status', status: 404 }, ANSWERED],
    [{ kind: 'http-status', status: 500, retryAfterMs: 5 }, ANSWERED],
    [{ kind: 'unauthorized', status: 401 }, ANSWERED],
    [{ kind: 'tls', code: 'CERT_HAS_EXPIRED', host: 'h' }, ANSWERED],
    [{ kind: 'protocol', code: 'HPE_INVALID_CONSTANT' }, ANSWERED],
    [{ kind: 'truncated', receivedBytes: 1 }, ANSWERED],
    [{ kind: 'disk-full', path: 'a' }, undefined],
    [{ kind: 'hang', afterMs: 1 }, undefined],
    [{ kind: 'cancelled', signal: 'SIGINT' }, undefined],
    [{ kind: 'exit-without-result', exitCode: 0 }, undefined],
  ])('by %j says what it can of its host', (failure, input) => {
    expect(failed(failure)).toEqual(input)
  })

  test('that asked no host says nothing', () => {
    expect(hostInputOf({ ok: true, outcome: 'skipped' }, start)).toBeUndefined()
  })
})
