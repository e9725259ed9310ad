// Decides which known name was meant by one that is not known. Knows nothing of what the names stand for.

/** Undefined where none is near: two slips of typing, or the one name that begins alike. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const word = name.toLowerCase().replaceAll('_', '-')
  const slips = known.map((candidate) => ({ candidate, count: distance(word, candidate) }))
  const best = slips.reduce((a, b) => (b.count < a.count ? b : a))
  if (best.count <= Math.min(2, Math.floor(best.candidate.length / 2))) return best.candidate
  const alike = known.filter((candidate) => word.length > 2 && candidate.startsWith(word))
  return alike.length === 1 ? alike[0] : undefined
}

/** Levenshtein's; what is longer than any name is far from all. */
function distance(a: string, b: string): number {
  if (a.length > 30) return a.length
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const kept = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(kept, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
