// Gathers many rows of one fate into ranges of lines, and hands them out in events of bounded size.

import type { LineRange } from '../core/event.ts'

const RANGES_PER_EVENT = 1000

/**
 * `isMember(index)` in list order → ranges of neighbouring members, as lines `[first, last]`, at most 1,000 a batch.
 */
export function* lineRanges(
  size: number,
  lineOf: (index: number) => number,
  isMember: (index: number) => boolean,
): Generator<{ count: number; lines: LineRange[] }> {
  let batch: { count: number; lines: LineRange[] } = { count: 0, lines: [] }
  for (let index = 0; index < size; ) {
    if (!isMember(index)) {
      index++
      continue
    }
    const first = index
    while (index < size && isMember(index)) index++
    batch.lines.push([lineOf(first), lineOf(index - 1)])
    batch.count += index - first
    if (batch.lines.length >= RANGES_PER_EVENT) {
      yield batch
      batch = { count: 0, lines: [] }
    }
  }
  if (batch.count > 0) yield batch
}
