// Gathers many rows of one fate into ranges of lines, and hands them out in batches of bounded size.

import type { LineRange } from '../core/event.ts'

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
