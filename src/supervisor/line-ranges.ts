// Gathers many rows of one fate into ranges of lines in batches of bounded size, and finds the rows of such ranges
// again.

import type { LineRange } from '../core/event.ts'
import type { JobList } from './job-list.ts'

const RANGES_PER_BATCH = 1000

/** Ascending indexes of rows → ranges of neighbouring ones, as lines `[first, last]`, at most 1,000 a batch. */
export function* lineRanges(
  indexes: Iterable<number>,
  lineOf: (index: number) => number,
): Generator<{ count: number; lines: LineRange[] }> {
  let lines: LineRange[] = []
  let count = 0
  let open: { first: number; last: number } | undefined
  for (const index of indexes) {
    if (open !== undefined && index === open.last + 1) open.last = index
    else {
      if (open !== undefined) lines.push([lineOf(open.first), lineOf(open.last)])
      open = { first: index, last: index }
      if (lines.length >= RANGES_PER_BATCH) {
        yield { count, lines }
        lines = []
        count = 0
      }
    }
    count++
  }
  if (open === undefined) return
  lines.push([lineOf(open.first), lineOf(open.last)])
  yield { count, lines }
}

/** The indexes of the rows that stand on these lines. */
export function* indexesOf(list: JobList, lines: readonly LineRange[]): Generator<number> {
  for (const [first, last] of lines) {
    for (let index = indexOfLine(list, first); index < list.size && list.lineOf(index) <= last; index++) yield index
  }
}

/** The first row that does not stand above the line. */
function indexOfLine(list: JobList, line: number): number {
  let low = 0
  let high = list.size
  while (low < high) {
    const middle = (low + high) >> 1
    if (list.lineOf(middle) < line) low = middle + 1
    else high = middle
  }
  return low
}
