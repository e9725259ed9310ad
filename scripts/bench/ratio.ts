// Decides what measurements may be said to show: how many it takes for a ratio, and how large a difference must be to
// count. Knows nothing of how they came about.

import { medianOf } from '../../src/compare/spread.ts'
import type { ToolResult } from './result.ts'

/** One or two rounds may be two accidents. */
export const MIN_ROUNDS = 3
/** What differs by less is as fast. */
const TIE_FACTOR = 1.2

export const METRICS = ['wall', 'cpu', 'memory'] as const
export type Metric = (typeof METRICS)[number]

export function valuesOf({ runs, peak_pss_bytes }: ToolResult, metric: Metric): readonly number[] {
  if (metric === 'memory') return peak_pss_bytes
  return runs.map(({ wall_ms, cpu_ms }) => (metric === 'wall' ? wall_ms : cpu_ms))
}

/** Median over median; undefined where either has too few rounds, or nothing to divide by. */
export function ratioOf(values: readonly number[], toValues: readonly number[]): number | undefined {
  if (Math.min(values.length, toValues.length) < MIN_ROUNDS) return undefined
  const divisor = medianOf(toValues)
  return divisor === 0 ? undefined : medianOf(values) / divisor
}

export const isTie = (ratio: number) => ratio < TIE_FACTOR && ratio > 1 / TIE_FACTOR

/** In that metric. One that ever brought wrong files is not what anybody should be as fast as. */
export function bestPeer(tools: readonly ToolResult[], metric: Metric): ToolResult | undefined {
  const median = (tool: ToolResult) => medianOf(valuesOf(tool, metric))
  return tools
    .filter(({ kind, wrong }) => kind === 'peer' && wrong.length === 0)
    .filter((tool) => valuesOf(tool, metric).length > 0)
    .reduce<ToolResult | undefined>(
      (best, tool) => (best === undefined || median(tool) < median(best) ? tool : best),
      undefined,
    )
}
