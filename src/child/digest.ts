// Digests of the one file the child was given. Reads in turns, so that the heartbeat flows meanwhile.

import { readSync } from 'node:fs'
import type { HashTask } from '../protocol/message.ts'

const READ_BYTES = 1 << 20

/** Algorithm names as in the list (`sha-256`), digests in lower-case hexadecimal. Rejects when it is `stopped`. */
export async function digestFile(
  descriptor: number,
  { sizeBytes, algorithms }: HashTask,
  stopped: AbortSignal,
  onPosition: (bytes: number) => void,
): Promise<Record<string, string>> {
  // Loaded late: a fetching child never needs it.
  const { createHash }: typeof import('node:crypto') = process.getBuiltinModule('node:crypto')
  const hashes = algorithms.map((name) => ({ name, hash: createHash(name.replace('-', '')) }))
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  let position = 0
  while (position < sizeBytes) {
    const read = readSync(descriptor, buffer, 0, Math.min(READ_BYTES, sizeBytes - position), position)
    if (read === 0) break
    for (const { hash } of hashes) hash.update(buffer.subarray(0, read))
    position += read
    onPosition(position)
    await new Promise((resolve) => setImmediate(resolve))
    stopped.throwIfAborted()
  }
  return Object.fromEntries(hashes.map(({ name, hash }) => [name, hash.digest('hex')]))
}
