// Gives a file a name that nobody has, and never takes it from anybody. Knows nothing of what the file is.

import { closeSync, linkSync, openSync, renameSync, rmSync } from 'node:fs'
import { codeOf } from './disk-failure.ts'

/** What file systems say that know no hard links; EMLINK: no further one. */
const NO_LINKS: ReadonlySet<string | undefined> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])

/**
 * False when the name is taken. A rename would replace whoever came in between, which a link refuses to; for a moment
 * the file has both names. `link`: where there are none the name is reserved by an empty file, and a crash just then
 * leaves that behind. Throws what the disk throws.
 */
export function moveToFreeName(from: string, to: string, link: typeof linkSync = linkSync): boolean {
  try {
    link(from, to)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    if (!NO_LINKS.has(codeOf(error))) throw error
    return reserveAndRename(from, to)
  }
  // Another run may have found the two names and ended the move.
  rmSync(from, { force: true })
  return true
}

function reserveAndRename(from: string, to: string): boolean {
  try {
    closeSync(openSync(to, 'wx', 0o600))
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
  try {
    renameSync(from, to)
  } catch (error) {
    rmSync(to, { force: true })
    throw error
  }
  return true
}
