// What a comparison comes to in words.

import { expect, test } from 'vitest'
import type { FaultMatrix } from '../../src/compare/result.ts'
import { headline, threadsWin } from '../../src/compare/sentence.ts'
import { cell, cost } from './example.ts'

const spread = (median: number) => ({ median, min: median, max: median })

test('the sentence has the price, its share of a download, and what concurrency brought', () => {
  const costs = [
    cost('process', { isolation_cpu_ms_per_url: 55.04, isolation_share: 0.934 }),
    cost('inline', { ratio_to_sequential: 0.25 }),
    cost('sequential', { ratio_to_sequential: 1 }),
  ]
  expect(headline({ costs, faults: null })).toBe(
    'processes cost 55 ms CPU a URL, 93 % of the median download; concurrency was 4 × faster than one after another',
  )
})

test('what was not measured is not said', () => {
  expect(headline({ costs: [], faults: null })).toBe('')
  expect(headline({ costs: [cost('sequential')], faults: null })).toBe('')
  const alone = cost('thread', { isolation_cpu_ms_per_url: 12.34, ratio_to_sequential: null })
  expect(headline({ costs: [alone], faults: null })).toBe('threads cost 12.3 ms CPU a URL')
})

test('of faults it says how many each mode came through, and the worst loss', () => {
  const faults: FaultMatrix = {
    files: 50,
    line: 25,
    modes: ['process', 'thread'],
    rows: [
      { fault: 'error', title: '', band: 'polite', cells: [cell('process'), cell('thread')] },
      {
        fault: 'segv',
        title: '',
        band: 'machine',
        cells: [cell('process'), cell('thread', { fate: 'died', files_final: 24 })],
      },
    ],
  }
  expect(headline({ costs: [], faults })).toBe(
    'processes came through 2 of 2 faults; threads came through 1 of 2 faults, at worst 24 files of 50',
  )
})

test('threads are praised for what they win, and for nothing else', () => {
  const process = cost('process', {
    unit_start_ms: spread(60),
    peak_pss_bytes: spread(200 * 2 ** 20),
    cpu_ms: spread(3000),
  })
  const thread = cost('thread', {
    unit_start_ms: spread(20.5),
    peak_pss_bytes: spread(90 * 2 ** 20),
    cpu_ms: spread(3100),
  })
  expect(threadsWin({ costs: [process, thread], faults: null })).toBe(
    'threads win where nothing breaks: starting one 20.5 ms instead of 60 ms, memory 90 MiB instead of 200 MiB',
  )
  const swapped = [
    { ...thread, mode: 'process' as const },
    { ...process, mode: 'thread' as const },
  ]
  expect(threadsWin({ costs: swapped, faults: null })).toBe(
    'threads win where nothing breaks: CPU 3.00 s instead of 3.10 s',
  )
  expect(threadsWin({ costs: [process, { ...process, mode: 'thread' }], faults: null })).toBe('')
  expect(threadsWin({ costs: [thread], faults: null })).toBe('')
})
