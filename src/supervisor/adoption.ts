// Makes an unfinished file of another tool the part, and gives it back when nothing came of it. Knows nothing of what is
// done with a part.

import { chmodSync, linkSync, lstatSync, rmSync } from 'node:fs'
import { diskFailure } from './disk-failure.ts'

/**
 * Makes an unfinished file the part, unless there is one already. By a link, because a rename would replace a part that
 * another run has begun meanwhile. Gives the mode it had; undefined when it stays where it is.
 */
export function moveToPart(finalPath: string, path: string): number | undefined {
  const stat = lstatSync(finalPath)
  const part = lstatSync(path, { throwIfNoEntry: false })
  // A run that was killed between the link and the removal has left one file with both names.
  const isHalfMoved = part !== undefined && part.ino === stat.ino && part.dev === stat.dev && stat.nlink === 2
  if (!isHalfMoved) {
    if (part !== undefined || !stat.isFile() || stat.nlink > 1 || stat.size === 0) return undefined
    linkSync(finalPath, path)
  }
  rmSync(finalPath)
  return stat.mode & 0o777
}

/** What was to be continued goes back to where it stood. */
export function giveBack(path: string, finalPath: string, mode: number): void {
  try {
    chmodSync(path, mode)
    linkSync(path, finalPath)
    rmSync(path)
    rmSync(`${path}.json`, { force: true })
  } catch (error) {
    diskFailure(error, 'give back', finalPath)
  }
}
