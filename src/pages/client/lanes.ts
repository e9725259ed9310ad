// Decides which lane an attempt gets in a picture of time, and how thousands of them stay a picture. Knows nothing of
// how they look.

export type Look = 'done' | 'unchanged' | 'failed' | 'killed' | 'crashed'

export interface Bar {
  readonly lane: string
  readonly from_ms: number
  /** What ran it was starting until then. */
  readonly ready_ms: number
  readonly to_ms: number
  readonly look: Look
  readonly isRetry: boolean
  readonly text: string
  /** How many attempts it stands for. */
  readonly count: number
}

/** Each bar's lane: the lowest that is free when it begins. Sorted by their beginning. */
export function freeLanes(bars: readonly { readonly from_ms: number; readonly to_ms: number }[]): number[] {
  const ends: number[] = []
  return bars.map(({ from_ms, to_ms }) => {
    const free = ends.findIndex((end) => end <= from_ms)
    const lane = free === -1 ? ends.length : free
    ends[lane] = to_ms
    return lane
  })
}

/**
 * Neighbours of one look that are too narrow to be told apart become one bar, so that a picture has as many bars as it
 * has room for, whatever the length of the run. Sorted by their beginning.
 */
export function condensed(bars: readonly Bar[], pixelMs: number): Bar[] {
  const narrowMs = 3 * pixelMs
  const merged: Bar[] = []
  const lastOf = new Map<string, number>()
  for (const bar of bars) {
    const at = lastOf.get(bar.lane)
    const last = at === undefined ? undefined : merged[at]
    const isAlike = last?.look === bar.look && last.isRetry === bar.isRetry
    if (at !== undefined && last !== undefined && isAlike && isClose(last, bar, pixelMs, narrowMs)) {
      const count = last.count + bar.count
      merged[at] = { ...last, to_ms: bar.to_ms, count, text: `${count} attempts, ${bar.look}` }
    } else {
      lastOf.set(bar.lane, merged.length)
      merged.push(bar)
    }
  }
  return merged
}

function isClose(last: Bar, bar: Bar, pixelMs: number, narrowMs: number): boolean {
  return bar.from_ms - last.to_ms < pixelMs && bar.to_ms - bar.from_ms < narrowMs
}
