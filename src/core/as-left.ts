// Decides whether a file is as mpdl left it, by how it looks. Knows nothing of where either look comes from.

/** What a look at a file tells. */
export interface Look {
  readonly sizeBytes: number
  readonly mtimeMs: number
}

/** File systems and SQLite round times differently. */
const SAME_TIME_WITHIN_MS = 1

/** One that was edited without changing its size, and got its time back, looks the same: only reading it would tell. */
export function isAsLeft(left: Look, file: Look): boolean {
  return left.sizeBytes === file.sizeBytes && Math.abs(left.mtimeMs - file.mtimeMs) < SAME_TIME_WITHIN_MS
}
