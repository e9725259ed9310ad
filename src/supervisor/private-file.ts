// Decides whether a file with secrets is fit to be read: a plain one of the user's own that nobody else may use. Knows
// nothing of what is in it.

import { fstatSync } from 'node:fs'

/** Why not, as words that follow its name, with what to do about it; undefined when it is fit. */
export function whyNotPrivate(descriptor: number, name: string, maxBytes: number): string | undefined {
  const stat = fstatSync(descriptor)
  if (!stat.isFile()) return 'is no plain file'
  if (stat.uid !== process.getuid?.()) return 'belongs to another user; use one of your own'
  if ((stat.mode & 0o077) !== 0) return `is open to other users, and holds secrets; run chmod 600 ${name}`
  return stat.size > maxBytes ? `is larger than ${maxBytes / 2 ** 20} MiB` : undefined
}
