// Makes a directory and the parents it lacks. Knows nothing of what goes in, nor of links planted by others.

import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { codeOf } from './disk-failure.ts'

/**
 * Like `mkdirSync` with `recursive`, which never returns where a file system says ENOENT although the parent is
 * there, as /proc does (seen on Node 26). Throws what the system says; a directory that exists is fine.
 */
export function makeDirs(path: string, mode = 0o777): void {
  if (isDirectory(path)) return
  try {
    mkdirSync(path, mode)
  } catch (error) {
    // Another run may have been faster.
    if (codeOf(error) === 'EEXIST' && isDirectory(path)) return
    const parent = dirname(path)
    if (codeOf(error) !== 'ENOENT' || isDirectory(parent)) throw error
    makeDirs(parent, mode)
    makeDirs(path, mode)
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
  } catch {
    // What may not be looked at is for mkdir to judge.
    return false
  }
}
