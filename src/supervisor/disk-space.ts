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

type Room = Pick<Settings, 'dir' | 'minDiskFreeBytes'>

function reserveOf({ minDiskFreeBytes }: Room, space: DiskSpace): number {
  return minDiskFreeBytes ?? Math.min(MOST_RESERVED_BYTES, Math.floor(space.totalBytes / 20))
}

/** Whether less than the reserve (`--min-disk-free`) is left, which concerns every job. */
export function diskFull(room: Room): Extract<Failure, { kind: 'disk-full' }> | undefined {
  const space = freeSpace(room.dir)
  if (space === undefined || space.freeBytes >= reserveOf(room, space)) return undefined
  return { kind: 'disk-full', path: room.dir, freeBytes: space.freeBytes, neededBytes: reserveOf(room, space) }
}

/** Whether a body does not fit, which concerns its job only: the length may be no more than a server's claim. */
export function noRoomFor(announcedBytes: number, room: Room): Extract<Failure, { kind: 'no-room' }> | undefined {
  const space = freeSpace(room.dir)
  if (space === undefined || space.freeBytes - announcedBytes >= reserveOf(room, space)) return undefined
  return { kind: 'no-room', path: room.dir, freeBytes: space.freeBytes, neededBytes: announcedBytes }
}
