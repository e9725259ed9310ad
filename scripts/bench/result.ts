// What a benchmark found, as bench.json holds it. Types only.

import type { Machine } from '../../src/compare/result.ts'
import type { ToolKind } from './tools.ts'
import type { Place } from './workloads.ts'

export interface Measured {
  readonly wall_ms: number
  /** User and system time of the tool and of all it has waited for. */
  readonly cpu_ms: number
}

export interface ToolResult {
  readonly tool: string
  readonly kind: ToolKind
  readonly command: string
  /** Timed rounds whose files were right. */
  readonly runs: readonly Measured[]
  /** Proportional set size of the tree at its peak, in rounds of their own. */
  readonly peak_pss_bytes: readonly number[]
  /** A sentence for every run that failed or brought anything else than the files. */
  readonly wrong: readonly string[]
}

export interface WorkloadResult {
  readonly workload: string
  readonly about: string
  readonly place: Place
  readonly connections: number
  readonly files: number
  /** 0: they are never all downloaded. */
  readonly size_bytes: number
  readonly tools: readonly ToolResult[]
}

/** One thing grows, the rest stays. */
export interface Growth {
  readonly name: 'files' | 'connections' | 'lines'
  readonly about: string
  readonly points: readonly { readonly x: number; readonly result: WorkloadResult }[]
}

export interface BenchResult {
  readonly schema: 1
  readonly started_at: string
  readonly ended_at: string
  readonly machine: Machine
  /** Processes that wanted a processor, over the last minute: others' before, ours as well afterwards. */
  readonly load_average: { readonly before: number; readonly after: number }
  /** Of mpdl, the server and each peer. */
  readonly versions: Readonly<Record<string, string>>
  /** 1: the sizes that the names of workloads stand for. */
  readonly scale: number
  readonly rounds: number
  readonly workloads: readonly WorkloadResult[]
  readonly growth: readonly Growth[]
  /** What was left out and why. */
  readonly left_out: readonly string[]
}
