// How much room a directory's file system has. Asked often, so an answer serves for a moment.

import { statfsSync } from 'node:fs'

export interface DiskSpace {
  readonly freeBytes: number
  readonly totalBytes: number
}

const VALID_FOR_MS = 500
let last: { dir: string; atMs: number; space: DiskSpace | undefined } | undefined

/** Undefined where it cannot be found out; then only the disk's own refusal tells. */
export function freeSpace(dir: string): DiskSpace | undefined {
  const now = performance.now()
  if (last !== undefined && last.dir === dir && now - last.atMs < VALID_FOR_MS) return last.space
  let space: DiskSpace | undefined
  try {
    const { bavail, blocks, bsize } = statfsSync(dir)
    space = { freeBytes: bavail * bsize, totalBytes: blocks * bsize }
  } catch {
    space = undefined
  }
  last = { dir, atMs: now, space }
  return space
}
