import { describe, expect, test } from 'vitest'
import type { FaultCell, FaultRow } from '../../src/compare/result.ts'
import { edgesOf, killLine, remarkOf, sentenceOf, verdictOf } from '../../src/pages/client/verdict.ts'
import { comparison } from './example.ts'

const rows = comparison.faults?.rows ?? []
const cellOf = (fault: string, mode: string): FaultCell => {
  const cell = rows.find((row) => row.fault === fault)?.cells.find((each) => each.mode === mode)
  if (cell === undefined) throw new Error(`no ${fault} under ${mode}`)
  return cell
}

describe('a cell says in a few signs what happened', () => {
  test.each([
    ['loop', 'process', '49→50 ✓', '2,012\u00a0ms'],
    ['descriptors', 'thread', '31→44 ◐', '11\u00a0ms'],
    ['segv', 'thread', '✗ run died', '8→8 · SIGSEGV'],
    ['loop', 'inline', '∞ never ended', '41→41'],
    ['exit0', 'inline', '! ended and lied', '9→9 · exit 0'],
    ['stop', 'thread', '∞ never ended', '8→8 · 1 left behind'],
  ])('%s under %s: %s', (fault, mode, verdict, remark) => {
    const cell = cellOf(fault, mode)
    expect(verdictOf(cell, 50)).toBe(verdict)
    expect(remarkOf(cell)).toBe(remark)
  })

  test('and in one sentence for whoever does not see it', () => {
    expect(sentenceOf(cellOf('segv', 'thread'), 'SIGSEGV', 50)).toBe(
      'SIGSEGV, thread: the run died, SIGSEGV; 8 of 50 files after the first attempt, 8 after retries; ' +
        'culprit not named; never noticed',
    )
  })
})

test('the frontier runs where holding ends, and nowhere else', () => {
  const edges = (fault: string) => {
    const row = rows.findIndex((each: FaultRow) => each.fault === fault)
    return [0, 1, 2, 3, 4].map((column) => {
      const { right, below } = edgesOf(rows, row, column, 50)
      return (right ? '|' : ' ') + (below ? '_' : ' ')
    })
  }
  expect(edges('error')).toEqual(['  ', '  ', '  ', ' _', ' _'])
  expect(edges('loop')).toEqual(['  ', '  ', '| ', '  ', '  '])
  expect(edges('heap')).toEqual(['  ', '  ', '|_', '  ', '  '])
  expect(edges('segv')).toEqual(['  ', '| ', '  ', '  ', '  '])
})

test('a kill is told on one line, with the time between its moments', () => {
  expect(killLine(cellOf('stop', 'process').kill_timeline).replaceAll('\u00a0', ' ')).toBe(
    'fault │ silence 2,004 ms │ noticed │ decision 2 ms │ SIGTERM │ grace 200 ms │ SIGKILL │ reaping 7 ms │ joined │ ' +
      'wait 124 ms │ tried again │ the next attempt 109 ms │ joined │ the rest of the run 1,000 ms │ run ended',
  )
})
