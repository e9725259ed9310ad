// Decides whether timers fire once, in order, and never because the machine itself stood still.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { DeadlineHandle } from '../../src/supervisor/deadlines.ts'
import { Deadlines, TICK_MS } from '../../src/supervisor/deadlines.ts'
import type { World } from '../../src/supervisor/world.ts'

/** Time that passed without any timer of ours running: the machine, or this process, was stopped. */
let stoodStillMs = 0
const world: World = { nowMs: () => 0, monotonicMs: () => Date.now() + stoodStillMs, random: () => 0 }

let fired: string[] = []
let ticks = 0
let gaps: number[] = []
let deadlines: Deadlines

function handle(): DeadlineHandle<'a' | 'b' | 'c'> {
  return deadlines.handle((timer) => fired.push(timer))
}

beforeEach(() => {
  vi.useFakeTimers({ now: 0 })
  stoodStillMs = 0
  fired = []
  ticks = 0
  gaps = []
  deadlines = new Deadlines(
    world,
    () => ticks++,
    (gapMs) => gaps.push(gapMs),
  )
})

afterEach(() => {
  deadlines.close()
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

test('timers fire once, when they are due, in order of their times', () => {
  const timers = handle()
  timers.arm('b', 200)
  timers.arm('a', 100)
  vi.advanceTimersByTime(99)
  expect(fired).toEqual([])
  vi.advanceTimersByTime(1)
  expect(fired).toEqual(['a'])
  vi.advanceTimersByTime(10_000)
  expect(fired).toEqual(['a', 'b'])
})

test('a timer that is armed again fires at its new time only', () => {
  const timers = handle()
  timers.arm('a', 100)
  vi.advanceTimersByTime(50)
  timers.arm('a', 100)
  vi.advanceTimersByTime(99)
  expect(fired).toEqual([])
  timers.arm('a', 10)
  vi.advanceTimersByTime(10)
  expect(fired).toEqual(['a'])
})

test('what was disarmed or cleared does not fire, and handles do not touch each other', () => {
  const [one, other] = [handle(), handle()]
  one.arm('a', 100)
  one.arm('b', 100)
  other.arm('b', 100)
  other.arm('c', 150)
  one.disarm('a')
  one.disarm('c')
  one.clear()
  vi.advanceTimersByTime(1000)
  expect(fired).toEqual(['b', 'c'])
})

test('one that fires may disarm another that is due at the same moment, and arm itself anew', () => {
  let n = 0
  const timers = deadlines.handle<'a' | 'b'>((timer) => {
    fired.push(timer)
    timers.disarm('b')
    if (++n < 3) timers.arm('a', 100)
  })
  timers.arm('a', 100)
  timers.arm('b', 100)
  vi.advanceTimersByTime(1000)
  expect(fired).toEqual(['a', 'a', 'a'])
})

test('a wait of zero or less fires at once, though never inside arm', () => {
  const timers = handle()
  timers.arm('a', 0)
  timers.arm('b', -5)
  expect(fired).toEqual([])
  vi.advanceTimersByTime(1)
  expect(fired.toSorted()).toEqual(['a', 'b'])
})

test('each second is a tick', () => {
  vi.advanceTimersByTime(10 * TICK_MS)
  expect([ticks, gaps]).toEqual([10, []])
})

test('after the machine stood still what is late is armed anew and nobody is killed for it', () => {
  const timers = handle()
  timers.arm('a', 500)
  timers.arm('b', 30_000)
  vi.advanceTimersByTime(400)
  stoodStillMs = 3_600_000
  vi.advanceTimersByTime(100)
  expect(fired).toEqual([])
  expect(gaps).toHaveLength(1)
  expect(gaps[0]).toBeGreaterThanOrEqual(3_600_000)
  vi.advanceTimersByTime(1000)
  expect(fired).toEqual(['a'])
  vi.advanceTimersByTime(31_000)
  expect(fired).toEqual(['a', 'b'])
  expect(gaps).toHaveLength(1)
})

test('the gap is noticed by the tick as well as by a timer, and once', () => {
  stoodStillMs = 10_000
  vi.advanceTimersByTime(TICK_MS)
  expect(gaps).toEqual([11_000])
  vi.advanceTimersByTime(10 * TICK_MS)
  expect(gaps).toHaveLength(1)
})

test('a tick that is a little late is no gap, and its timers fire', () => {
  const timers = handle()
  timers.arm('a', 500)
  stoodStillMs = 2500
  vi.advanceTimersByTime(TICK_MS)
  expect([fired, gaps]).toEqual([['a'], []])
})

test('a timer armed after the gap, but before the tick that notices it, is not put off by the gap', () => {
  const timers = handle()
  vi.advanceTimersByTime(500)
  stoodStillMs = 3_600_000
  // A message of a child can be handled before the first late timer.
  timers.arm('a', 3000)
  vi.advanceTimersByTime(4000)
  expect(fired).toEqual(['a'])
})

test('a wait longer than timers of Node can be is slept through in parts', () => {
  const timers = handle()
  const slept = vi.spyOn(globalThis, 'setTimeout')
  timers.arm('a', 2 ** 32)
  vi.advanceTimersByTime(10_000)
  expect(slept.mock.calls.length).toBe(1)
  for (const [, ms] of slept.mock.calls) expect(ms).toBeLessThan(2 ** 31)
  slept.mockRestore()
  timers.disarm('a')
})

test('closed is silent', () => {
  handle().arm('a', 100)
  deadlines.close()
  vi.advanceTimersByTime(10_000)
  expect([fired, ticks]).toEqual([[], 0])
})
