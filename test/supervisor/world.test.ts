// The edge of time: clocks that jump and machines that sleep, alone and in the middle of a run.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { elapsedMs } from '../../src/core/report.ts'
import type { Settings } from '../../src/supervisor/settings.ts'
import { steady, withSleep } from '../../src/supervisor/world.ts'
import { byName, LATE_MS } from './scripted-children.ts'
import { advance, advanceUntil, fakeTime, fakeWorld, run } from './scripted-run.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const YEAR_MS = 365 * DAY_MS

describe('the monotonic clock', () => {
  let ticksMs = 0
  let sleptMs = 0
  let coarseMs = 0
  beforeEach(() => {
    ticksMs = 1000
    sleptMs = 0
    coarseMs = 0
  })
  const clock = () =>
    withSleep(
      () => ticksMs,
      () => 5_000_000 + ticksMs + sleptMs + coarseMs,
    )

  test('counts the time that the machine slept, once it is looked for', () => {
    const nowMs = clock()
    ticksMs += 10_000
    expect(nowMs()).toBe(11_000)
    sleptMs = HOUR_MS
    ticksMs += 500
    expect(nowMs()).toBe(11_500 + HOUR_MS)
    sleptMs += HOUR_MS
    ticksMs += 500
    expect(nowMs()).toBe(12_000 + 2 * HOUR_MS)
  })

  test('is not moved by the coarseness of the uptime, nor back by that of another machine', () => {
    const nowMs = clock()
    for (const drift of [10, -10, 990, -HOUR_MS, -HOUR_MS]) {
      coarseMs = drift
      ticksMs += 500
      expect(nowMs()).toBe(ticksMs)
    }
    sleptMs = HOUR_MS
    ticksMs += 500
    expect(nowMs()).toBe(ticksMs + HOUR_MS)
  })
})

test('the clock of a run begins with the wall and follows what really passes', () => {
  let [wallMs, monotonicMs] = [YEAR_MS, 70.25]
  const { nowMs } = steady({ nowMs: () => wallMs, monotonicMs: () => monotonicMs, random: () => 0 })
  wallMs -= DAY_MS
  monotonicMs += 1000
  expect(nowMs()).toBe(YEAR_MS + 1000)
})

describe('a run', () => {
  let dir = ''
  let jumpedMs = 0
  let sleptMs = 0
  const world = {
    nowMs: () => fakeWorld.nowMs() + jumpedMs,
    monotonicMs: () => fakeWorld.monotonicMs() + sleptMs,
    random: () => 0.5,
  }
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'mpdl-time-'))
    jumpedMs = 0
    sleptMs = 0
    fakeTime()
  })
  afterEach(() => {
    vi.useRealTimers()
    vi.restoreAllMocks()
    rmSync(dir, { recursive: true, force: true })
  })

  const start = async (names: readonly string[], changes: Partial<Settings>) => {
    const lines = names.map((name) => `http://${name}.test/${name}`)
    const it = await run(
      dir,
      lines,
      () => byName,
      { jobs: names.length, tries: 2, fsync: 'none', ...changes },
      { world },
    )
    const startedAtMs = performance.now()
    // The parts are opened by the disk, which knows nothing of this time.
    await advanceUntil(() => it.children.length >= (changes.jobs ?? names.length), 0)
    return { ...it, passedMs: () => performance.now() - startedAtMs }
  }
  const outcomes = (it: Awaited<ReturnType<typeof start>>) =>
    Object.fromEntries(it.rows().map(({ out, outcome, attempts }) => [out, `${outcome} ${attempts.length}`]))

  describe.each([
    ['a day forward', DAY_MS],
    ['a year back', -YEAR_MS],
  ])('whose clock is put %s', (_, jumpMs) => {
    test('waits, times out and tells the same times as ever', async () => {
      const names = ['late1', 'stuck1', 'busy1', 'ok1']
      const it = await start(names, { connectTimeoutMs: 8000, retryDelayMs: 6000, deadlineMs: HOUR_MS })
      await advance(1000)
      jumpedMs = jumpMs
      await it.untilDone()
      expect(outcomes(it)).toEqual({
        late1: 'downloaded 1',
        stuck1: 'failed 2',
        busy1: 'failed 2',
        ok1: 'downloaded 1',
      })
      expect(it.differences()).toEqual([])
      const runMs = it.passedMs()
      expect(elapsedMs(it.report)).toBeGreaterThan(LATE_MS)
      expect(elapsedMs(it.report)).toBeLessThanOrEqual(runMs)
      for (const { time_total, attempts } of it.rows()) {
        expect(time_total).toBeGreaterThanOrEqual(0)
        expect(time_total * 1000).toBeLessThanOrEqual(runMs)
        for (const { started, ended } of attempts)
          expect([ended - started >= 0, ended - started < runMs]).toEqual([true, true])
      }
      const times = it.events.map(({ at }) => at)
      expect(times).toEqual(times.toSorted((a, b) => a - b))
    })

    test('ends at its deadline, neither before nor after', async () => {
      const it = await start(['stuck1'], { runDeadlineMs: 5000 })
      await advance(1000)
      jumpedMs = jumpMs
      await advance(3900)
      expect(it.children[0]?.signals).toEqual([])
      await advance(200)
      expect(it.children[0]?.signals).toEqual(['SIGTERM'])
      await it.untilDone()
      expect(it.report.stops).toMatchObject([{ cause: 'run-deadline' }])
    })
  })

  test('that reads its list while the clock is put back has no more time for it', async () => {
    vi.spyOn(world, 'nowMs').mockReturnValueOnce(fakeWorld.nowMs() + YEAR_MS)
    const it = await start(['stuck1'], { runDeadlineMs: 5000 })
    expect(it.events[0]).toMatchObject({ run: { started: expect.toSatisfy((ms: number) => ms > fakeWorld.nowMs()) } })
    await advanceUntil(() => it.children[0]?.signals.length === 1, 100)
    expect(Math.abs(it.passedMs() - 5000)).toBeLessThan(500)
    await it.untilDone()
  })

  test('whose machine sleeps goes on afterwards as if it had not, and says so', async () => {
    const it = await start(['late1', 'stuck1'], { hangTimeoutMs: 2000, connectTimeoutMs: 20_000, tries: 1 })
    await advance(1500)
    sleptMs = HOUR_MS
    await it.untilDone()
    expect(outcomes(it)).toEqual({ late1: 'downloaded 1', stuck1: 'failed 1' })
    expect(it.rows().find(({ out }) => out === 'stuck1')?.failure).toMatchObject({ kind: 'connect-timeout' })
    expect(it.passedMs()).toBeGreaterThan(19_000)
    expect(it.report.suspended).toMatchObject({ count: 1 })
    expect(elapsedMs(it.report)).toBeGreaterThan(HOUR_MS)
    expect(it.differences()).toEqual([])
  })

  test('whose deadline passes while its machine sleeps ends as soon as it wakes', async () => {
    const it = await start(['stuck1', 'busy1'], { runDeadlineMs: HOUR_MS / 2, retryDelayMs: 2 * HOUR_MS, jobs: 1 })
    await advance(1500)
    sleptMs = HOUR_MS
    await advanceUntil(() => it.report.stops.length > 0, 100)
    expect(it.passedMs()).toBeLessThan(4000)
    await it.untilDone()
    expect(it.report.stops).toMatchObject([{ cause: 'run-deadline' }])
    expect(it.differences()).toEqual([])
  })
})
