// Where mpdl keeps what outlives a run: logs and state. Follows the XDG base directories.

import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { makeDirs } from './supervisor/make-dirs.ts'

/** `$XDG_STATE_HOME/mpdl`, by default `~/.local/state/mpdl`; relative values are ignored, as XDG asks. */
export function stateDir(): string {
  const base = process.env['XDG_STATE_HOME']
  if (base?.startsWith('/') === true) return join(base, 'mpdl')
  return join(process.env['HOME'] ?? homedir(), '.local', 'state', 'mpdl')
}

/** curl's and ftp's: `$NETRC`, else `~/.netrc`. */
export function netrcPath(): string {
  return process.env['NETRC'] || join(process.env['HOME'] ?? homedir(), '.netrc')
}

/** Of a list into a directory: who has it runs alone there. */
export function lockPath(key: string): string {
  return join(stateDir(), 'locks', key)
}

/** What is remembered of a list and a directory between their runs. */
export function historyPath(key: string): string {
  return join(stateDir(), 'lists', key)
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

/** The directory of logs for a list: as told, else an existing `./logs`, else below the state directory. */
export function logDirFor(told: string | undefined, listKey: string): string {
  if (told !== undefined && told !== '') return resolve(told)
  if (isDirectory('logs')) return resolve('logs')
  const id = createHash('sha256').update(listKey).digest('hex').slice(0, 12)
  return join(stateDir(), 'logs', id)
}

/** Where past runs are looked for when no list is named: all places a run may have chosen. */
export function logDirsToSearch(told: string | undefined): string[] {
  if (told !== undefined && told !== '') return [resolve(told)]
  return [...(isDirectory('logs') ? [resolve('logs')] : []), join(stateDir(), 'logs')]
}

/** Makes the directory; a sentence when that is impossible. `mode`: 0700 for what is mpdl's own. */
export function ensureDir(path: string, mode: number): string | undefined {
  try {
    makeDirs(path, mode)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

export function spoolDir(): string {
  return tmpdir()
}
