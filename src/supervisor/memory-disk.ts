// Tells whether files lie in memory only, where nothing survives a reboot and nothing is ever far from its neighbour.
// Knows nothing of what that saves.

import { statfsSync } from 'node:fs'

/** Of tmpfs and ramfs, statfs(2). */
const MAGIC_NUMBERS: ReadonlySet<number> = new Set([0x01021994, 0x858458f6])

/** Only Linux numbers them so; false where nobody can tell. */
export function isInMemory(path: string): boolean {
  try {
    return process.platform === 'linux' && MAGIC_NUMBERS.has(statfsSync(path).type)
  } catch {
    return false
  }
}
