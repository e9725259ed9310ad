// Decides where outputs go and whether there is room, and takes away what killed benchmarks have left there. Knows
// nothing of what is written.

import { mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs'
import { freemem } from 'node:os'
import { join } from 'node:path'
import { formatBytes } from '../../src/core/units.ts'
import type { Workload } from './workloads.ts'

export const MEMORY_DIR = '/dev/shm'
const TMPFS_TYPE = 0x01021994
const PREFIX = 'mpdl-bench-'
const BLOCK_BYTES = 4096
/** For logs, lists and what else a run keeps; and nobody wants a disk to be full. */
const MARGIN_BYTES = 256 * 2 ** 20

/** Whether it can be had at all; a directory that does not exist cannot. */
export function isTmpfs(dir: string): boolean {
  try {
    return statfsSync(dir).type === TMPFS_TYPE
  } catch {
    return false
  }
}

/** A directory of this process's own. */
export function makeScratch(dir: string): string {
  sweep(dir)
  return mkdtempSync(join(dir, `${PREFIX}${process.pid}-`))
}

/** A benchmark that was killed outright could not remove gigabytes. */
function sweep(dir: string): void {
  for (const name of readdirSync(dir)) {
    const pid = name.startsWith(PREFIX) ? Number(name.slice(PREFIX.length).split('-')[0]) : 0
    if (pid > 0 && !isAlive(pid)) rmSync(join(dir, name), { recursive: true, force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // Somebody else's is alive as well.
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH')
  }
}

/** On the disk. */
export const spaceOf = ({ files, sizeBytes }: Pick<Workload, 'files' | 'sizeBytes'>) =>
  files * Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES

/** A sentence when there is not enough room; undefined when there is. */
export function lackOfRoom(dir: string, neededBytes: number): string | undefined {
  const { bavail, bsize } = statfsSync(dir)
  const freeBytes = isTmpfs(dir) ? Math.min(bavail * bsize, freemem()) : bavail * bsize
  const wantedBytes = neededBytes + MARGIN_BYTES
  if (freeBytes >= wantedBytes) return undefined
  return `${dir} has ${formatBytes(freeBytes)} free, and ${formatBytes(wantedBytes)} are needed`
}
