// What runs come to: lanes, first bytes, and the price of isolation.

import { describe, expect, test } from 'vitest'
import { costsOf, lanesOf, measureRun, type RunMeasure } from '../../src/compare/measure.ts'
import type { CompareMode } from '../../src/compare/result.ts'
import { attempt, jobEnded, START } from '../events.ts'
import { accepted, attemptEnded, attemptStarted } from './example.ts'

const seen = { startedMs: START - 100, wallMs: 2000, cpuMs: 900, peakPssBytes: 5000 }

describe('one run', () => {
  test('the first byte is counted from the start of the program, boot and all', () => {
    const events = [attemptStarted(1, 50), accepted(1, 200), accepted(2, 300)]
    expect(measureRun('process', { ...seen, events }).firstByteMs).toBe(300)
  })

  test('an answer that was not taken is no first byte', () => {
    const refused = { ...accepted(1, 100), answer: 'HTTP 503 Service Unavailable' }
    expect(measureRun('process', { ...seen, events: [refused, accepted(1, 400)] }).firstByteMs).toBe(500)
    expect(measureRun('process', { ...seen, events: [refused] }).firstByteMs).toBe(2000)
  })

  test('bytes and jobs are those of its rows; units and downloads have medians', () => {
    const events = [
      attemptEnded(1, 60, { boot_ms: 40 }),
      attemptEnded(2, 90, { boot_ms: 44 }),
      attemptEnded(3, 500, { boot_ms: null, result: 'failed', failure: { kind: 'hang', afterMs: 500 } }),
      jobEnded({ line: 1, size: 100 }),
      jobEnded({ line: 2, size: 250 }),
    ]
    const measure = measureRun('process', { ...seen, events })
    expect(measure).toMatchObject({ jobs: 2, bytes: 350, unitStartMs: 42, downloadMs: 75 })
  })

  test('where nothing was done there is nothing to take a median of', () => {
    expect(measureRun('thread', { ...seen, events: [] })).toMatchObject({ unitStartMs: null, downloadMs: null })
  })
})

describe('lanes', () => {
  const bar = (line: number, from: number, to: number, boot = 0) =>
    attemptEnded(line, to, { ...attempt(), started: START + from, ended: START + to, boot_ms: boot })

  test('attempts that overlap have lanes of their own, and a free lane is taken again', () => {
    const lanes = lanesOf([bar(2, 50, 80), bar(1, 0, 100), bar(3, 80, 120)], START)
    expect(lanes.map(({ line, lane, from_ms, to_ms }) => [line, lane, from_ms, to_ms])).toEqual([
      [1, 0, 0, 100],
      [2, 1, 50, 80],
      [3, 1, 80, 120],
    ])
  })

  test('a bar tells when its unit was ready, never after its end', () => {
    expect(lanesOf([bar(1, 0, 100, 40), bar(2, 100, 130, 50)], START).map(({ ready_ms }) => ready_ms)).toEqual([
      40, 130,
    ])
  })

  test('what was killed and what crashed is told from what failed, and later attempts are retries', () => {
    const events = [
      attemptEnded(1, 10, { result: 'failed', failure: { kind: 'hang', afterMs: 10 } }),
      attemptEnded(2, 10, { result: 'failed', failure: { kind: 'crash-signal', signal: 'SIGSEGV' }, n: 2 }),
      attemptEnded(3, 10, { result: 'failed', failure: { kind: 'http-status', status: 404 } }),
      attemptEnded(4, 10, { result: 'unchanged' }),
    ]
    expect(lanesOf(events, START).map(({ result, is_retry }) => [result, is_retry])).toEqual([
      ['killed', false],
      ['crashed', true],
      ['failed', false],
      ['unchanged', false],
    ])
  })
})

describe('modes', () => {
  const run = (mode: CompareMode, changes: Partial<RunMeasure> = {}): RunMeasure => ({
    mode,
    wallMs: 1000,
    cpuMs: 500,
    peakPssBytes: 1000,
    firstByteMs: 100,
    unitStartMs: 1,
    downloadMs: 50,
    jobs: 10,
    bytes: 1000,
    lanes: [],
    ...changes,
  })

  test('they come from the strongest to the weakest, whatever the order of their runs', () => {
    const costs = costsOf([run('sequential'), run('thread'), run('process')])
    expect(costs.map(({ mode }) => mode)).toEqual(['process', 'thread', 'sequential'])
  })

  test('isolation costs a URL what the whole tree used more than inline, shared out', () => {
    const runs = [run('process', { cpuMs: 1100, downloadMs: 90 }), run('inline'), run('sequential', { downloadMs: 40 })]
    const [process, inline, sequential] = costsOf(runs)
    expect(process?.isolation_cpu_ms_per_url).toBe(60)
    // The share is of a download that nothing held up.
    expect(process?.isolation_share).toBe(1.5)
    expect(inline?.isolation_cpu_ms_per_url).toBeNull()
    expect(sequential?.isolation_cpu_ms_per_url).toBeNull()
  })

  test('without inline or sequential nothing is said of what they are needed for', () => {
    const [process] = costsOf([run('process')])
    expect(process).toMatchObject({ ratio_to_sequential: null, isolation_cpu_ms_per_url: null, isolation_share: null })
  })

  test('ratios are of medians, and the lanes are those of the run in the middle', () => {
    const lane = {
      lane: 0,
      line: 1,
      name: '',
      from_ms: 0,
      to_ms: 1,
      ready_ms: 0,
      result: 'done',
      is_retry: false,
    } as const
    const runs = [
      run('pool', { wallMs: 900 }),
      run('pool', { wallMs: 500, lanes: [lane] }),
      run('pool', { wallMs: 400 }),
      run('sequential', { wallMs: 2000 }),
    ]
    const [pool] = costsOf(runs)
    expect(pool).toMatchObject({
      ratio_to_sequential: 0.25,
      lanes: [lane],
      wall_ms: { median: 500, min: 400, max: 900 },
    })
    expect(pool?.files_per_s.median).toBe(20)
  })
})
