// Decides whether a name belongs to what the run itself reads and writes: its list, its configuration, its reports. Knows
// nothing of what is in them.

import { realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** `paths`: absolute; what is not there yet has its name all the same. */
export function isOneOf(paths: readonly string[], path: string): boolean {
  const name = basename(path)
  // Most names are like none of these, and then the disk is not asked.
  const alike = paths.filter((own) => basename(own) === name)
  return alike.length > 0 && alike.map(inRealDirectory).includes(inRealDirectory(path))
}

function inRealDirectory(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path))
  } catch {
    return path
  }
}
