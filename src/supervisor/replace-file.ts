// Replaces a small file as a whole: whoever reads it sees the old one or the new one. Knows nothing of what is in it.

import { closeSync, constants, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'

/**
 * Writes `temporary`, which is nobody else's, and gives it the name; 0600. Throws what the disk throws: the file is then
 * as it was. `isDurable`: the bytes are on the disk before they have the name.
 */
export function replaceFile(
  path: string,
  bytes: string | Uint8Array,
  { temporary, isDurable }: { readonly temporary: string; readonly isDurable: boolean },
): void {
  rmSync(temporary, { force: true })
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  const descriptor = openSync(temporary, flags, 0o600)
  try {
    // Not writeSync: a disk that is nearly full takes the first half without an error.
    writeFileSync(descriptor, bytes)
    if (isDurable) fsyncSync(descriptor)
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  } finally {
    closeSync(descriptor)
  }
}
