// Arithmetic of half-open byte ranges: what is there, what is missing. Knows nothing of files or servers.

/** Bytes `[start, end)`. */
export type Range = readonly [start: number, end: number]

/** Adds a range to a sorted, disjoint list; touching and overlapping ranges become one. */
export function addRange(ranges: readonly Range[], added: Range): Range[] {
  let [start, end] = added
  if (end <= start) return [...ranges]
  const before: Range[] = []
  const after: Range[] = []
  for (const range of ranges) {
    if (range[1] < start) before.push(range)
    else if (range[0] > end) after.push(range)
    else {
      start = Math.min(start, range[0])
      end = Math.max(end, range[1])
    }
  }
  return [...before, [start, end], ...after]
}

/** How many bytes from 0 on are there without a hole: where a single segment continues. */
export function contiguousBytes(ranges: readonly Range[]): number {
  const first = ranges[0]
  return first !== undefined && first[0] === 0 ? first[1] : 0
}

/** How many bytes are there, wherever. */
export function totalBytes(ranges: readonly Range[]): number {
  return ranges.reduce((sum, [start, end]) => sum + end - start, 0)
}

/** What of a sorted, disjoint list lies outside `[start, end)`. */
export function without(ranges: readonly Range[], [start, end]: Range): Range[] {
  return ranges.flatMap((range): Range[] => {
    if (start >= end || range[1] <= start || range[0] >= end) return [range]
    const before: Range[] = range[0] < start ? [[range[0], start]] : []
    return range[1] > end ? [...before, [end, range[1]]] : before
  })
}

/** What is missing from a file of `sizeBytes`. */
export function missingRanges(completed: readonly Range[], sizeBytes: number): Range[] {
  const whole: readonly Range[] = sizeBytes > 0 ? [[0, sizeBytes]] : []
  return [...completed.reduce<readonly Range[]>((left, range) => without(left, range), whole)]
}

/** Whether the ranges are exactly `[0, sizeBytes)`: the condition for a commit. */
export function tiles(ranges: readonly Range[], sizeBytes: number): boolean {
  if (sizeBytes === 0) return ranges.length === 0
  return ranges.length === 1 && ranges[0]?.[0] === 0 && ranges[0][1] === sizeBytes
}

/** Whether a list read back from disk is sorted, disjoint, whole-numbered and within the size. */
export function areSoundRanges(ranges: readonly Range[], sizeBytes: number | undefined): boolean {
  let last = -1
  for (const [start, end] of ranges) {
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end)) return false
    if (start <= last || end <= start) return false
    last = end
  }
  return sizeBytes === undefined || last <= sizeBytes
}
