// Replaces a small file as a whole: whoever reads it sees the old one or the new one. Knows nothing of what is in it.

import { closeSync, constants, fsyncSync, openSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { codeOf } from './disk-failure.ts'
import { moveToFreeName } from './free-name.ts'

interface Way {
  /** Nobody else's, in the same directory. */
  readonly temporary: string
  /** The bytes are on the disk before they have the name. */
  readonly isDurable: boolean
}

/** 0600. Throws what the disk throws: the file is then as it was. */
export function replaceFile(path: string, bytes: string | Uint8Array, way: Way): void {
  writeAside(bytes, way, (temporary) => renameSync(temporary, path))
}

/** The same where there is no such file yet; false, and nothing is done, where there is. */
export function createFile(path: string, bytes: string | Uint8Array, way: Way): boolean {
  return writeAside(bytes, way, (temporary) => {
    const isMoved = moveToFreeName(temporary, path)
    if (!isMoved) unlinkSync(temporary)
    return isMoved
  })
}

function writeAside<T>(bytes: string | Uint8Array, { temporary, isDurable }: Way, giveName: (path: string) => T): T {
  const descriptor = openAnew(temporary)
  try {
    // Not writeSync: a disk that is nearly full takes the first half without an error.
    writeFileSync(descriptor, bytes)
    if (isDurable) fsyncSync(descriptor)
    return giveName(temporary)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  } finally {
    closeSync(descriptor)
  }
}

/** A run that was killed may have left one of that name. */
function openAnew(path: string): number {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  try {
    return openSync(path, flags, 0o600)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    rmSync(path)
    return openSync(path, flags, 0o600)
  }
}
