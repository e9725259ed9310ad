// Decides whether mpdl has become slower: its ratios to the peers now against those of a committed baseline. Knows
// nothing of the machine: times are not compared.

import { METRICS, type Metric, ratioOf, valuesOf } from './ratio.ts'
import type { BenchResult, ToolResult } from './result.ts'

/** Worse by more than this is no noise. */
const ALLOWED_FACTOR = 1.25

/** `big tmpfs mpdl-pool wall` → how many times as much as each peer. */
export interface Baseline {
  readonly schema: 1
  readonly date: string
  /** Ratios of other sizes are other ratios. */
  readonly scale: number
  readonly ratios: Readonly<Record<string, Readonly<Record<string, number>>>>
}

export interface Comparison {
  /** A sentence each. */
  readonly worse: readonly string[]
  readonly compared: number
  /** What the baseline knows and this run has measured too little of. */
  readonly missing: readonly string[]
}

export function baselineOf(result: BenchResult): Baseline {
  const rows = result.workloads.flatMap(({ workload, place, tools }) =>
    tools
      .filter(({ kind }) => kind === 'mpdl')
      .flatMap((tool) =>
        METRICS.map(
          (metric) => [`${workload} ${place} ${tool.tool} ${metric}`, ratiosTo(tools, tool, metric)] as const,
        ),
      ),
  )
  return {
    schema: 1,
    date: result.started_at.slice(0, 10),
    scale: result.scale,
    ratios: Object.fromEntries(rows.filter(([, ratios]) => Object.keys(ratios).length > 0)),
  }
}

/** What was not measured now stays as it was, unless it was of other sizes. */
export function updated(before: Baseline | undefined, result: BenchResult): Baseline {
  const now = baselineOf(result)
  return before?.scale === now.scale ? { ...now, ratios: { ...before.ratios, ...now.ratios } } : now
}

function ratiosTo(tools: readonly ToolResult[], tool: ToolResult, metric: Metric): Record<string, number> {
  const peers = tools.filter(({ kind, wrong }) => kind === 'peer' && wrong.length === 0)
  return Object.fromEntries(
    peers.flatMap((peer) => {
      const ratio = ratioOf(valuesOf(tool, metric), valuesOf(peer, metric))
      return ratio === undefined ? [] : [[peer.tool, Number(ratio.toPrecision(4))]]
    }),
  )
}

/** Each ratio to the best of the peers that both know. Throws where nothing can be compared at all. */
export function compareWith(baseline: Baseline, result: BenchResult): Comparison {
  if (baseline.scale !== result.scale) {
    throw new Error(`the baseline was measured with --scale ${baseline.scale}, this is --scale ${result.scale}`)
  }
  const now = baselineOf(result).ratios
  const measured = new Set(result.workloads.map(({ workload, place }) => `${workload} ${place}`))
  // What was not asked for is not missing.
  const wanted = Object.entries(baseline.ratios).filter(([key]) => measured.has(key.split(' ').slice(0, 2).join(' ')))
  const worse: string[] = []
  const missing: string[] = []
  for (const [key, before] of wanted) {
    const [peer, was] = bestOf(before, Object.keys(now[key] ?? {}))
    const is = now[key]?.[peer]
    if (is === undefined) missing.push(key)
    else if (is > was * ALLOWED_FACTOR) worse.push(`${key}: ${is.toFixed(2)} × ${peer}, was ${was.toFixed(2)}`)
  }
  return { worse, missing, compared: wanted.length - missing.length }
}

/** The better a peer, the larger the ratio to it. */
function bestOf(ratios: Readonly<Record<string, number>>, peers: readonly string[]): readonly [string, number] {
  return Object.entries(ratios)
    .filter(([peer]) => peers.includes(peer))
    .reduce((best, each) => (each[1] > best[1] ? each : best), ['', 0])
}
