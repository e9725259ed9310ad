// Finds programs, as a shell does. Knows nothing of what they do.

import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/** Where a user's PATH does not look but Debian puts servers. */
const SYSTEM_DIRECTORIES = ['/usr/sbin', '/sbin']
const VERSION = /\d+(?:\.\d+)+\S*/

/** Absolute path, or undefined. */
export function findProgram(name: string): string | undefined {
  return [...(process.env.PATH ?? '').split(delimiter), ...SYSTEM_DIRECTORIES]
    .map((directory) => join(directory, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

/** What it says of itself, on whichever output. */
export async function versionOf([file = '', ...args]: readonly string[]): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(file, args)
  return VERSION.exec(stdout + stderr)?.[0] ?? 'unknown'
}
