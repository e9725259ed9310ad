// How much room a directory's file system has, and whether that is enough. Asked often, so an answer serves for a
// moment.

import { statfsSync } from 'node:fs'
import type { Failure } from '../core/failure.ts'
import type { Settings } from './settings.ts'

interface DiskSpace {
  readonly freeBytes: number
  readonly totalBytes: number
}

const VALID_FOR_MS = 500
const MOST_RESERVED_BYTES = 2 ** 30
let last: { dir: string; atMs: number; space: DiskSpace | undefined } | undefined

/** Undefined where it cannot be found out; then only the disk's own refusal tells. */
function freeSpace(dir: string): DiskSpace | undefined {
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

/** Why `neededBytes` more would leave less than the reserve (`--min-disk-free`); undefined when they fit. */
export function diskFullFor(
  { dir, minDiskFreeBytes }: Pick<Settings, 'dir' | 'minDiskFreeBytes'>,
  neededBytes: number,
): Extract<Failure, { kind: 'disk-full' }> | undefined {
  const space = freeSpace(dir)
  if (space === undefined) return undefined
  const reserve = minDiskFreeBytes ?? Math.min(MOST_RESERVED_BYTES, Math.floor(space.totalBytes / 20))
  return space.freeBytes - neededBytes < reserve
    ? { kind: 'disk-full', path: dir, freeBytes: space.freeBytes, neededBytes: neededBytes + reserve }
    : undefined
}
