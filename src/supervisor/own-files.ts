// Decides whether a name belongs to what the run itself reads and writes: its list, its configuration, its reports. Knows
// nothing of what is in them.

import { realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** `paths`: of {@link namesOf}. */
export function isOneOf(paths: readonly string[], path: string): boolean {
  const name = `/${basename(path)}`
  // Most names are like none of these, and then the disk is not asked.
  return paths.some((own) => own.endsWith(name)) && paths.includes(inRealDirectory(path))
}

/** Where a file is and, behind a link, where it really is; what is not there yet has its name all the same. */
export function namesOf(path: string): string[] {
  const name = inRealDirectory(path)
  try {
    return [...new Set([name, realpathSync(path)])]
  } catch {
    return [name]
  }
}

function inRealDirectory(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path))
  } catch {
    return path
  }
}
