// What a comparison looks like on terminals of several widths.

import { describe, expect, test } from 'vitest'
import { cellText, comparisonLines, segmentBar, wordedCellText } from '../../src/compare/render.ts'
import { COMPARE_MODES, type Comparison, FAULT_BANDS, type RunFate } from '../../src/compare/result.ts'
import { wrapWords } from '../../src/reporters/summary.ts'
import { cell, cost } from './example.ts'

const FATES: readonly RunFate[] = ['well', 'well', 'died', 'never-ended', 'lied']

const comparison: Comparison = {
  schema: 1,
  version: '0.1.0',
  started: 0,
  ended: 1,
  machine: { cpu: 'x', cores: 2, memory_bytes: 1, system: 'Linux', node: 'v26' },
  argv: [],
  list: { name: 'the sample', jobs: 50, bytes: 6_000_000, latency_ms: 50 },
  jobs: 8,
  repeat: 5,
  sentence: 'processes cost 55 ms CPU a URL',
  costs: COMPARE_MODES.map((mode) => cost(mode, { isolation_cpu_ms_per_url: mode === 'process' ? 55.2 : null })),
  faults: {
    files: 50,
    line: 25,
    modes: COMPARE_MODES,
    rows: FAULT_BANDS.map((band) => ({
      fault: band,
      title: 'memory beyond the heap',
      band,
      cells: COMPARE_MODES.map((mode, i) =>
        cell(mode, { fate: FATES[i] ?? 'well', noticed_ms: i === 3 ? null : 2000 }),
      ),
    })),
  },
  demonstrations: {
    cpu_bound: COMPARE_MODES.map((mode) => ({ mode, wall_ms: 1000, cpu_ms: 1900, busy_cores: 1.9 })),
    killed_lock_holder: [{ mode: 'thread', is_still_locked: true, text: 'Nobody is left to give it back.' }],
    connections: {
      size_bytes: 100,
      rows: [{ connections: 4, limit_bytes_per_s: 1024, wall_ms: { median: 1, min: 1, max: 1 }, bytes_per_s: 1 }],
      maps: [{ label: 'before', size_bytes: 100, ranges: [[0, 50]] }],
      refetched_bytes: 2 ** 20,
    },
  },
  not_solved: ['The disk is shared.'],
}

const at = (columns: number) =>
  comparisonLines(comparison, { columns, wrap: (text) => wrapWords(text.split(' '), columns, '  ') })

describe('width', () => {
  test.each([80, 100, 200])('at %i columns there are tables and no line is too long', (columns) => {
    const lines = at(columns)
    expect(lines.filter((line) => line.length > columns)).toEqual([])
    const shown =
      columns < 100
        ? /49→50 ✓ +49→50 ✓ +49→50 ✗ +49→50 ∞ +49→50 !$/
        : / 50 ✗ run died +50 ∞ never ended +50 ! ended and lied$/
    expect(lines.find((line) => line.startsWith('memory beyond'))).toMatch(shown)
    expect(lines.find((line) => line.startsWith('process '))).toContain('1.00 (0.90–1.20)')
  })

  test('at 40 columns each value has a line of its own', () => {
    const lines = at(40)
    expect(lines.filter((line) => line.length > 40)).toEqual([])
    expect(lines).toContain('  sequential 49→50 !')
    expect(lines).toContain('  memory      100 MiB')
  })
})

describe('contents', () => {
  const lines = at(80)

  test('bands lead from what all survive to what a process survives, then come prices', () => {
    expect(lines.filter((line) => line.startsWith('— '))).toEqual([
      '— a polite failure',
      '— JavaScript goes wrong: threads hold',
      '— the machine goes wrong: only processes hold',
      '— price per URL',
      '— afterwards',
    ])
    expect(lines.find((line) => line.startsWith('CPU for isolation'))).toMatch(/55\.2 ms( +-){4}$/)
  })

  test('what was never noticed says so, and the sentence and what is not solved come last', () => {
    expect(lines.find((line) => line.startsWith('noticed'))).toMatch(/2s +2s +2s +never +2s$/)
    expect(lines.slice(-4)).toEqual([
      'processes cost 55 ms CPU a URL',
      '',
      'What even processes do not solve:',
      'The disk is shared.',
    ])
  })

  test('what was not asked for is not there', () => {
    const bare: Comparison = { ...comparison, costs: [], demonstrations: null, faults: null, sentence: '' }
    expect(comparisonLines(bare, { columns: 80, wrap: (text) => [text] })).toEqual([])
  })
})

test('a run that ended well without all files is told from one that has them', () => {
  expect(cellText(cell('process', { files_first: 44, files_final: 47 }), 50)).toBe('44→47 ◐')
  expect(cellText(cell('process'), 50)).toBe('49→50 ✓')
})

test('what did not end well is said in words where there is room for them', () => {
  expect(wordedCellText(cell('inline', { files_first: 24, files_final: 24, fate: 'died' }), 50)).toBe('24 ✗ run died')
  expect(wordedCellText(cell('inline', { files_final: 24, fate: 'never-ended' }), 50)).toBe('24 ∞ never ended')
  expect(wordedCellText(cell('inline', { files_final: 24, fate: 'lied' }), 50)).toBe('24 ! ended and lied')
  expect(wordedCellText(cell('process'), 50)).toBe('49→50 ✓')
  const shown = (columns: number) => comparisonLines(comparison, { columns, wrap: (text) => [text] }).join('\n')
  expect(
    [shown(80), shown(200)].map((text) => /\d [✗∞!] (?:run died|never ended|ended and lied)$/m.test(text)),
  ).toEqual([false, true])
})

test('a segment map shows what is there, what is in part, and what is not', () => {
  expect(
    segmentBar(
      [
        [0, 40],
        [60, 65],
      ],
      100,
      10,
    ),
  ).toBe('████··▒···')
  expect(segmentBar([], 100, 4)).toBe('····')
  expect(segmentBar([[0, 100]], 100, 4)).toBe('████')
})
