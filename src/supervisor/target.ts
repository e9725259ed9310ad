// Looks at the place where a file will go, and makes the way there. Knows nothing of parts or downloads.

import { lstatSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { isAsLeft } from '../core/as-left.ts'
import type { Failure } from '../core/failure.ts'
import { codeOf, diskFailure } from './disk-failure.ts'
import { makeDirs } from './make-dirs.ts'

/** A file without anything special, as it looks from outside. */
export interface PlainFile {
  readonly kind: 'file'
  readonly sizeBytes: number
  readonly mtimeMs: number
  readonly mode: number
}

/** `missing`, a plain file that may be replaced, or why not. */
export type Target = PlainFile | { readonly kind: 'missing' } | { readonly kind: 'refused'; readonly failure: Failure }

/** How the last component looks. */
export function inspectTarget(path: string): Target {
  try {
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (stat === undefined) return { kind: 'missing' }
    if (stat.isSymbolicLink()) return { kind: 'refused', failure: { kind: 'target-is-symlink', path } }
    if (stat.isDirectory()) return { kind: 'refused', failure: { kind: 'target-is-directory', path } }
    if (!stat.isFile()) {
      return { kind: 'refused', failure: { kind: 'disk-error', code: 'EEXIST', operation: 'replace', path } }
    }
    return { kind: 'file', sizeBytes: stat.size, mtimeMs: stat.mtimeMs, mode: stat.mode & 0o7777 }
  } catch (error) {
    return { kind: 'refused', failure: diskFailure(error, 'look at', path) }
  }
}

/** Whether two looks show the same. */
export function isUntouched(before: Target, now: Target): boolean {
  return before.kind === 'file' && now.kind === 'file' ? isAsLeft(before, now) : before.kind === now.kind
}

/**
 * Makes the directories between `dir` and the target's own, each a real directory: a link planted below `dir`
 * would lead outside. `dir` itself is the user's word and may be a link.
 */
export function makeDirectories(dir: string, target: string): Failure | undefined {
  let path = dir
  try {
    makeDirs(dir)
    for (const component of target.split('/').slice(0, -1)) {
      path = join(path, component)
      try {
        mkdirSync(path)
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error
      }
      const stat = lstatSync(path)
      if (stat.isSymbolicLink()) return { kind: 'target-is-symlink', path }
      if (!stat.isDirectory()) return { kind: 'disk-error', code: 'ENOTDIR', operation: 'create a file below', path }
    }
  } catch (error) {
    return diskFailure(error, 'create the directory', path)
  }
  return undefined
}
