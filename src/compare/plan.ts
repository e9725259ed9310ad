// Decides in which order runs are measured, and how a mode is asked for. Knows nothing of how runs are made.

import type { CompareMode } from './result.ts'

/** Rounds that all have each mode once and begin with another one, so that what drifts hits all alike. */
export function interleave<T>(modes: readonly T[], rounds: number): T[][] {
  return Array.from({ length: rounds }, (_, round) => {
    const first = round % modes.length
    return [...modes.slice(first), ...modes.slice(0, first)]
  })
}

/** The options of `mpdl get` that make the mode; they come last, so that they win over what was typed. */
export function isolationArgs(mode: CompareMode): string[] {
  return mode === 'sequential' ? ['--isolate=inline', '--jobs=1'] : [`--isolate=${mode}`]
}

/** How often each URL is asked for, besides attempts that fail by themselves. */
export function downloadsPerUrl(modes: number, rounds: number, faults: number): number {
  // Two runs a cell, and one run without a fault that tells what the files should be.
  return modes * rounds + (faults > 0 ? 2 * faults * modes + 1 : 0)
}
