import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Outcome } from '../../src/core/event.ts'
import { OUTCOMES } from '../../src/core/event.ts'
import type { RunState } from '../../src/core/run-state.ts'
import { runJson, runLines, type ShownRun, staleText } from '../../src/reporters/runs.ts'
import { runHeader } from '../events.ts'
import fc from '../fixtures/property.ts'

const zone = process.env['TZ']
beforeAll(() => {
  process.env['TZ'] = 'UTC'
})
afterAll(() => {
  if (zone === undefined) delete process.env['TZ']
  else process.env['TZ'] = zone
})

const HOUR = 3_600_000
const NOW = Date.UTC(2026, 10, 21, 7, 0, 0)

function totals(some: Partial<Record<Outcome, number>>): Record<Outcome, number> {
  const all: Record<Outcome, number> = {
    downloaded: 0,
    unchanged: 0,
    skipped: 0,
    failed: 0,
    killed: 0,
    crashed: 0,
    abandoned: 0,
    cancelled: 0,
    'not-started': 0,
  }
  return { ...all, ...some }
}

/** A run of a minute that began so many hours ago. */
function shown(state: RunState, hoursAgo: number, changes: Partial<ShownRun> = {}): ShownRun {
  const started = NOW - hoursAgo * HOUR
  const hasEnd = state === 'good' || state === 'trouble'
  return {
    path: '/logs/a.ndjson',
    run: runHeader({ started, id: `run-${hoursAgo}`, host: 'elsewhere' }),
    ended: hasEnd ? { at: started + 60_000, signal: null } : null,
    totals: hasEnd ? totals(state === 'good' ? { downloaded: 100 } : { downloaded: 97, failed: 3 }) : null,
    isGood: state === 'good',
    isPartial: false,
    state,
    ...changes,
  }
}

describe('the list of runs', () => {
  test('says when, how long, and what came of each', () => {
    const id = '20261121T045000Z-4f3a1b'
    const again = runHeader({ id, started: NOW - 2 * HOUR, argv: ['retry-failed', '-d', 'x'], mode: 'pool' })
    const list = [
      shown('running', 1),
      shown('trouble', 2, { run: again, ended: { at: NOW - HOUR, signal: 'SIGTERM' } }),
      shown('good', 25),
      shown('died', 49),
      shown('unknown', 73),
      shown('trouble', 97, { totals: null }),
      shown('good', 121, { totals: totals({}) }),
    ]
    expect(runLines(list, NOW, false)).toEqual([
      'state    began                   took  mode     run',
      'running  2026-11-21 06:00:00       1h  process  run-1',
      '         100 jobs, pid 4242',
      'trouble  2026-11-21 05:00:00       1h  pool     20261121T045000Z-4f3a1b',
      '         100 = 97 downloaded + 3 failed, stopped by SIGTERM, retry-failed',
      'good     2026-11-20 06:00:00       1m  process  run-25',
      '         100 = 100 downloaded',
      'died     2026-11-19 06:00:00        -  process  run-49',
      '         100 jobs, no end',
      'unknown  2026-11-18 06:00:00        -  process  run-73',
      '         100 jobs, no end, on elsewhere',
      'trouble  2026-11-17 06:00:00       1m  process  run-97',
      '         without sums',
      'good     2026-11-16 06:00:00       1m  process  run-121',
      '         no jobs',
    ])
  })

  test('names lists and directories where they differ', () => {
    const typed = runHeader({ started: NOW, list: { name: 'command line', path: null, jobs: 1, lines: 1 } })
    expect(
      runLines([shown('good', 1), shown('good', 0, { run: typed })], NOW, true).filter((_, i) => i % 3 === 2),
    ).toEqual([
      '         /home/someone/list.txt into /home/someone/files',
      '         command line into /home/someone/files',
    ])
  })

  test('keeps to 78 columns and lets nothing from a log move the cursor', () => {
    const words = fc.array(fc.string({ maxLength: 30 }), { maxLength: 12 }).map((parts) => parts.join(' \u001b\u202e'))
    fc.assert(
      fc.property(words, words, fc.constantFrom<RunState>('good', 'trouble', 'died', 'unknown'), (path, dir, state) => {
        const list = { name: 'x', path, jobs: 1e9, lines: 1 }
        const run = runHeader({ id: '20261121T045000Z-4f3a1b', list, dir, host: path })
        const every = totals(Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 1_000_000])))
        for (const line of runLines([{ ...shown(state, 3), run, totals: every }], NOW, true)) {
          // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there.
          expect(line).not.toMatch(/[\u0000-\u001f\u202e]/)
          const words = line.trim().split(' ')
          // A name is never cut.
          if (Math.max(...words.map((word) => word.length)) < 60) expect(line.length).toBeLessThanOrEqual(78)
        }
      }),
    )
  })

  test('is one object a line for machines', () => {
    const { run } = shown('trouble', 2)
    expect(JSON.parse(runJson(shown('trouble', 2)))).toEqual({
      id: 'run-2',
      mode: 'process',
      list: run.list,
      dir: '/home/someone/files',
      pid: 4242,
      host: 'elsewhere',
      started: NOW - 2 * HOUR,
      ended: NOW - 2 * HOUR + 60_000,
      signal: null,
      totals: totals({ downloaded: 97, failed: 3 }),
      is_good: false,
      state: 'trouble',
      log: '/logs/a.ndjson',
    })
    expect(JSON.parse(runJson(shown('running', 1)))).toMatchObject({ ended: null, signal: null, totals: null })
  })
})

describe('that the last good run is too long ago', () => {
  test.each<[string, readonly ShownRun[], string]>([
    ['with no run at all', [], 'no run is known'],
    [
      'with none that was good',
      [shown('trouble', 5)],
      'no good run is known; the last one, of 2026-11-21 02:00:00, ended with 100 = 97 downloaded + 3 failed (mpdl report run-5)',
    ],
    ['with none since', [shown('good', 50)], 'no good run since 2026-11-19 05:01:00, 2d1h ago; none was begun since'],
    [
      'with one that died',
      [shown('died', 5), shown('trouble', 29), shown('good', 53)],
      'no good run since 2026-11-19 02:01:00, 2d4h ago; the last one, of 2026-11-21 02:00:00, died (mpdl report run-5)',
    ],
    [
      'with one on another machine',
      [shown('unknown', 5)],
      'no good run is known; the last one, of 2026-11-21 02:00:00, has no end, on elsewhere (mpdl report run-5)',
    ],
    [
      'while one is going on',
      [shown('running', 5), shown('trouble', 29), shown('good', 53)],
      'no good run since 2026-11-19 02:01:00, 2d4h ago; ' +
        'the last one, of 2026-11-20 02:00:00, ended with 100 = 97 downloaded + 3 failed (mpdl report run-29); ' +
        'one is going on since 2026-11-21 02:00:00 (pid 4242)',
    ],
    [
      'while the only one is going on',
      [shown('running', 5)],
      'no good run is known; one is going on since 2026-11-21 02:00:00 (pid 4242)',
    ],
    [
      'while one is going on since the last good one',
      [shown('running', 5), shown('good', 53)],
      'no good run since 2026-11-19 02:01:00, 2d4h ago; one is going on since 2026-11-21 02:00:00 (pid 4242)',
    ],
    [
      'by a clock that was set back',
      [shown('good', -240)],
      'no good run since 2026-12-01 07:01:00, 10d1m ahead of the clock; none was begun since',
    ],
    [
      'but not by one that was wrong for a night',
      [shown('good', -240), shown('good', 53)],
      'no good run since 2026-11-19 02:01:00, 2d4h ago; the last one, of 2026-12-01 07:00:00, ' +
        'ended with 100 = 100 downloaded (mpdl report run--240)',
    ],
  ])('is told %s', (_, runs, text) => {
    expect(staleText(runs, NOW)).toBe(text)
  })
})
