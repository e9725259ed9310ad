// Decides what several measurements come to. Knows nothing of what was measured.

import type { Spread } from './result.ts'

/** Of an even number the mean of the two in the middle. Throws where there is nothing to be in the middle of. */
export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const low = sorted[Math.floor((sorted.length - 1) / 2)]
  const high = sorted[Math.floor(sorted.length / 2)]
  if (low === undefined || high === undefined) throw new Error('the median of nothing')
  return (low + high) / 2
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: medianOf(values), min: Math.min(...values), max: Math.max(...values) }
}

/** Null unless every run could tell. */
export function spreadIfAll(values: readonly (number | null)[]): Spread | null {
  const known = values.filter((value) => value !== null)
  return known.length === values.length && known.length > 0 ? spreadOf(known) : null
}
