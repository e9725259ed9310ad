// Opens a file that has no name any more, so that nothing of it is left whatever happens. Knows nothing of what it is for.

import { randomUUID } from 'node:crypto'
import { closeSync, constants, openSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'

/** Its descriptor, to write and read. Throws what the disk throws. `purpose`: a word of the name it has for a moment. */
export function openNameless(dir: string, purpose: string): number {
  const path = join(dir, `mpdl-${purpose}-${randomUUID()}`)
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  const descriptor = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  try {
    unlinkSync(path)
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
  return descriptor
}
