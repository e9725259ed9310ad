// Stop rules in whole runs: what still runs, what never begins, and that every job has one outcome whatever else happens.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { exitCode } from '../../src/cli/exit-code.ts'
import type { RunEvent } from '../../src/core/event.ts'
import { parseHalt } from '../../src/core/halt.ts'
import type { Settings } from '../../src/supervisor/settings.ts'
import fc from '../fixtures/property.ts'
import { byName, LATE_MS } from './scripted-children.ts'
import { advance, advanceUntil, fakeTime, run as runBelow } from './scripted-run.ts'

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-halt-'))
  fakeTime()
})
afterEach(() => {
  vi.useRealTimers()
  rmSync(dir, { recursive: true, force: true })
})

const BEGINNINGS: ReadonlySet<string> = new Set<RunEvent['type']>(['job-started', 'retry-planned'])

/** Files at a host of their own each, so that no host's health plays a part; `name@host` for one that does. */
const lineOf = (name: string) => {
  const [file = '', host = `${name}.test`] = name.split('@')
  return `http://${host}/${file}`
}

async function start(names: readonly string[], rule: string, changes: Partial<Settings> = {}) {
  const halt = parseHalt(rule)
  if (halt === undefined) throw new Error(`${rule} is no rule`)
  const lines = names.map((name) => (name.startsWith('http') ? name : lineOf(name)))
  const it = await runBelow(dir, lines, () => byName, {
    jobs: 4,
    maxPerHost: 4,
    tries: 3,
    fsync: 'none',
    halt,
    ...changes,
  })
  return {
    ...it,
    /** How each ended, by its name. */
    outcomes: () => Object.fromEntries(it.rows().map(({ out, outcome }) => [out, outcome])),
    stops: () => it.report.stops.map(({ cause, reason }) => `${cause}: ${reason}`),
    code: () => exitCode(it.report, it.differences()),
    begunAfterStop() {
      const stop = it.events.findIndex(({ type }) => type === 'stopping')
      return stop < 0 ? 'no stop' : it.events.slice(stop).filter(({ type }) => BEGINNINGS.has(type)).length
    },
    has: (type: RunEvent['type'], index?: number) =>
      it.events.some(
        (event) => event.type === type && (index === undefined || ('index' in event && event.index === index)),
      ),
  }
}

async function ended(names: readonly string[], rule: string, changes: Partial<Settings> = {}) {
  const it = await start(names, rule, changes)
  await it.untilDone()
  expect(it.differences()).toEqual([])
  return it
}

const numbered = (name: string, count: number) => Array.from({ length: count }, (_, n) => `${name}${n}`)

describe('soon', () => {
  test('what runs comes to its end, and nothing else begins', async () => {
    const it = await ended(['late1', 'missing1', 'missing2', 'late2', ...numbered('ok', 6)], 'soon,fail=2', { jobs: 4 })
    expect(it.outcomes()).toMatchObject({
      late1: 'downloaded',
      late2: 'downloaded',
      missing1: 'failed',
      missing2: 'failed',
    })
    expect(it.report.totals['not-started']).toBeGreaterThanOrEqual(5)
    expect(it.stops()).toEqual(['halt: 2 of 10 jobs failed (--halt soon,fail=2)'])
    expect(it.code()).toBe(8)
  })

  test('a retry is not begun: not that of what waits for one, nor that of what fails afterwards', async () => {
    const names = ['busy1', 'late1', 'stuck1', 'missing1', ...numbered('ok', 3)]
    const it = await ended(names, 'soon,fail=1', { retryDelayMs: 60_000, hangTimeoutMs: 900, killAfterMs: 0 })
    expect(it.rows().find(({ out }) => out === 'busy1')).toMatchObject({
      outcome: 'failed',
      failure: { kind: 'http-status', status: 503 },
      attempts: [{ n: 1 }],
    })
    expect(it.rows().find(({ out }) => out === 'stuck1')).toMatchObject({
      outcome: 'killed',
      failure: { kind: 'hang' },
      attempts: [{ n: 1 }],
    })
    expect(it.begunAfterStop()).toBe(0)
  })

  test('a mirror is not begun either', async () => {
    const mirrors = `${lineOf('stuck1')}\thttp://mirror.test/ok1`
    const it = await ended(['missing1', mirrors, 'late1'], 'soon,fail=1', {
      jobs: 2,
      hangTimeoutMs: 900,
      killAfterMs: 0,
    })
    expect(it.outcomes()).toMatchObject({ missing1: 'failed', stuck1: 'killed' })
    expect(it.begunAfterStop()).toBe(0)
  })

  test('what failed at one mirror and waits for another is said of the one that was asked', async () => {
    const waits = `${lineOf('missing1')}\thttp://mirror.test/ok1`
    const it = await ended(['late1@mirror.test', waits, 'missing2'], 'soon,fail=1', { jobs: 2, maxPerHost: 1 })
    expect(it.rows().find(({ line }) => line === 2)).toMatchObject({ outcome: 'failed', url: lineOf('missing1') })
    expect(it.outcomes()).toMatchObject({ late1: 'downloaded', missing2: 'failed' })
  })

  test('a share of the list counts from three failures on', async () => {
    const names = [...numbered('missing', 3), ...numbered('ok', 27)]
    const it = await ended(names, 'soon,fail=10%', { jobs: 1 })
    expect(it.report.totals).toMatchObject({ failed: 3, 'not-started': 27 })
    expect(it.stops()).toEqual(['halt: 3 of 30 jobs failed (--halt soon,fail=10%)'])
    const few = await ended([...numbered('missing', 2), ...numbered('ok', 8)], 'soon,fail=10%', { jobs: 1 })
    expect(few.report.totals).toMatchObject({ failed: 2, downloaded: 8 })
  })

  test('bad lines do not count: --keep-going says to go on in spite of them', async () => {
    const it = await ended(['http://', 'ok1', 'http://', 'ok2'], 'soon,fail=2')
    expect(it.report.totals).toMatchObject({ failed: 2, downloaded: 2 })
    expect([it.stops(), it.code()]).toEqual([[], 1])
  })

  test('the last job stops nothing', async () => {
    const it = await ended(['ok1', 'missing1'], 'soon,fail=1', { jobs: 1 })
    expect([it.stops(), it.code()]).toEqual([[], 8])
    const bad = await ended(['http://'], 'now,fail=100%')
    expect([bad.stops(), bad.code()]).toEqual([[], 1])
  })

  test('cancelled jobs are no failures', async () => {
    const it = await start(['stuck1', 'stuck2', 'stuck3'], 'now,fail=1')
    await advanceUntil(() => it.has('attempt-started', 2), 10)
    it.controls.interrupt('SIGTERM')
    await it.untilDone()
    expect(it.stops()).toEqual(['signal: cancelled by SIGTERM'])
    expect(it.report.totals).toMatchObject({ cancelled: 3 })
  })

  test('a host that is given up fails its jobs at once, and the rest of the list does not begin', async () => {
    const names = [...numbered('gone', 40).map((name) => `${name}@down.test`), ...numbered('late', 9)]
    const it = await ended(names, 'soon,fail=30', { jobs: 2, tries: 1, retryDelayMs: 10 })
    expect(it.stops()).toEqual([expect.stringMatching(/^halt: \d+ of 49 jobs failed/)])
    expect(it.begunAfterStop()).toBe(0)
    expect(it.report.totals.failed).toBe(40)
    expect(it.code()).toBe(4)
  })

  test.each([
    ['a signal', (it: Awaited<ReturnType<typeof start>>) => it.controls.interrupt('SIGTERM'), {}, 143, 'cancelled'],
    ['the deadline of the run', () => {}, { runDeadlineMs: 3000 }, 8, 'killed'],
    ['a deadline of its own', () => {}, { deadlineMs: 3000 }, 8, 'killed'],
  ] as const)('what still runs afterwards is ended by %s', async (_, end, changes, code, outcome) => {
    const it = await start(['stuck1', 'missing1', 'ok1', 'ok2'], 'soon,fail=1', { jobs: 2, ...changes })
    await advanceUntil(() => it.has('stopping'), 0)
    await advance(1000)
    expect(it.outcomes()).not.toHaveProperty('stuck1')
    end(it)
    await it.untilDone()
    expect([it.outcomes()['stuck1'], it.code(), it.differences()]).toEqual([outcome, code, []])
    expect(it.children[0]?.signals).toEqual(['SIGTERM'])
  })
})

describe('now', () => {
  test('what runs is ended and joined, and nothing else begins', async () => {
    const it = await ended(['late1', 'stuck1', 'missing1', ...numbered('ok', 3)], 'now,fail=1', { jobs: 3 })
    expect(it.outcomes()).toEqual({ late1: 'cancelled', stuck1: 'cancelled', missing1: 'failed' })
    expect(it.report.totals['not-started']).toBe(3)
    expect(it.rows().find(({ out }) => out === 'late1')?.time_total).toBeLessThan(LATE_MS / 1000)
    expect([it.begunAfterStop(), it.code()]).toEqual([0, 8])
  })

  test('a job that waits for its retry keeps the failure that it waits for', async () => {
    const it = await ended(['busy1', 'stuck1', 'late1', 'missing1'], 'now,fail=1', {
      jobs: 1,
      retryDelayMs: 60_000,
      hangTimeoutMs: 900,
    })
    expect(it.rows().find(({ out }) => out === 'busy1')).toMatchObject({ outcome: 'failed', failure: { status: 503 } })
  })
})

test('whatever the list and the rule: the run ends, and every job has one outcome', async () => {
  const kinds = ['ok', 'late', 'missing', 'busy', 'reset', 'gone', 'crash', 'stuck', 'http://'] as const
  const job = fc.tuple(fc.constantFrom(...kinds), fc.constantFrom('', '@a.test', '@b.test'))
  await fc.assert(
    fc.asyncProperty(
      fc.array(job, { minLength: 1, maxLength: 25 }),
      fc.tuple(fc.constantFrom('soon', 'now'), fc.integer({ min: 1, max: 20 }), fc.constantFrom('', '%')),
      fc.record({ jobs: fc.integer({ min: 1, max: 6 }), tries: fc.integer({ min: 1, max: 3 }) }),
      fc.option(fc.integer({ min: 0, max: 20_000 })),
      async (jobs, [when, fail, percent], changes, signalAfterMs) => {
        rmSync(join(dir, 'out'), { recursive: true, force: true })
        const names = jobs.map(([kind, host], n) => (kind === 'http://' ? kind : `${kind}${n}${host}`))
        const rest = { hangTimeoutMs: 3000, stallMs: 4000, retryDelayMs: 100, killAfterMs: 100 }
        const it = await start(names, `${when},fail=${fail}${percent}`, { ...changes, ...rest })
        if (signalAfterMs !== null) setTimeout(() => it.controls.interrupt('SIGTERM'), signalAfterMs)
        await it.untilDone()
        expect(it.differences()).toEqual([])
        expect([0, 'no stop']).toContain(it.begunAfterStop())
      },
    ),
    { numRuns: 60 },
  )
})
