// Opens a part safely and locks it: never through a link, never over bytes that are not mpdl's, never beside another
// run. Knows nothing of what is written there.

import { closeSync, constants, existsSync, fchmodSync, fstatSync, openSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Failure } from '../core/failure.ts'
import { canRecognise } from '../core/validator.ts'
import type { Hardening } from '../isolation/hardening.ts'
import { giveBack, moveToPart } from './adoption.ts'
import { readControl } from './control-file.ts'
import { codeOf, diskFailure } from './disk-failure.ts'
import { isAlive } from './liveness.ts'
import { lockDescriptor } from './lock.ts'
import type { PartIdentity } from './part-file.ts'
import { isSameFile, PartFile } from './part-file.ts'
import { makeDirectories } from './target.ts'

const FOREIGN = 'MPDL_FOREIGN'
const NOTE_LOOKS = 10
const NOTE_PAUSE_MS = 20

export type Opened = { readonly ok: true; readonly part: PartFile } | { readonly ok: false; readonly failure: Failure }

/** Opens and locks `NAME.part`, and reads how far an earlier attempt or run came. Never blocks on another run. */
export async function openPart(
  dir: string,
  target: string,
  identity: PartIdentity,
  hardening: Hardening,
): Promise<Opened> {
  const refused = makeDirectories(dir, target)
  if (refused !== undefined) return { ok: false, failure: refused }
  const finalPath = join(dir, target)
  const path = `${finalPath}.part`
  let adoptedMode: number | undefined
  try {
    if (identity.adopts === 'target') adoptedMode = moveToPart(finalPath, path)
  } catch (error) {
    return { ok: false, failure: diskFailure(error, 'continue', finalPath) }
  }
  const opened = await lockPart(finalPath, path, { identity, hardening, adoptedMode })
  // Where another run has the lock, the bytes are in its hands now.
  if (!opened.ok && adoptedMode !== undefined && opened.failure.kind !== 'locked') {
    giveBack(path, finalPath, adoptedMode)
  }
  return opened
}

interface LockOrder {
  readonly identity: PartIdentity
  readonly hardening: Hardening
  readonly adoptedMode: number | undefined
}

async function lockPart(
  finalPath: string,
  path: string,
  { identity, hardening, adoptedMode }: LockOrder,
): Promise<Opened> {
  // Between our open and our lock the other run may have renamed the file away: then it is another file's now.
  for (let attempt = 0; attempt < 20; attempt++) {
    let descriptor: number
    try {
      descriptor = openPlainFile(path, identity.adopts !== 'nothing')
    } catch (error) {
      if (codeOf(error) === 'ELOOP') return { ok: false, failure: { kind: 'target-is-symlink', path } }
      if (codeOf(error) === 'EISDIR') return { ok: false, failure: { kind: 'target-is-directory', path } }
      if (codeOf(error) === FOREIGN) return { ok: false, failure: { kind: 'foreign-part', path } }
      return { ok: false, failure: diskFailure(error, 'create', path) }
    }
    const lock = await lockDescriptor(descriptor, hardening)
    if (typeof lock === 'object') {
      closeSync(descriptor)
      return { ok: false, failure: { kind: 'spawn', code: lock.cannotStart } }
    }
    if (lock === 'held-by-another' || (lock === 'unsupported' && isHeldByNote(`${path}.json`))) {
      closeSync(descriptor)
      const pid = await holderOf(`${path}.json`)
      return { ok: false, failure: { kind: 'locked', path, ...(pid === undefined ? {} : { pid }) } }
    }
    if (hasFinalName(descriptor, path)) {
      rmSync(path)
      rmSync(`${path}.json`, { force: true })
    } else if (isSameFile(descriptor, path)) {
      try {
        return { ok: true, part: new PartFile(descriptor, finalPath, identity, adoptedMode) }
      } catch (error) {
        // Where there is no room for the note, a new part is only litter; an old one still has its bytes.
        if (fstatSync(descriptor).size === 0) rmSync(path, { force: true })
        closeSync(descriptor)
        return { ok: false, failure: diskFailure(error, 'write beside', path) }
      }
    }
    closeSync(descriptor)
  }
  return { ok: false, failure: { kind: 'locked', path } }
}

function openPlainFile(path: string, adoptForeign: boolean): number {
  const base = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK
  try {
    return openSync(path, base | constants.O_CREAT | constants.O_EXCL, 0o600)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
  const descriptor = openSync(path, base)
  const stat = fstatSync(descriptor)
  if (hasFinalName(descriptor, path)) return descriptor
  if (!stat.isFile() || stat.nlink > 1) {
    closeSync(descriptor)
    throw Object.assign(new Error('not a plain file of its own'), { code: 'EEXIST' })
  }
  // mpdl writes the note before the first byte and removes it after the part: bytes without a note are not ours.
  if (stat.size > 0 && !adoptForeign && isForeign(path)) {
    closeSync(descriptor)
    throw Object.assign(new Error('a part of somebody else'), { code: FOREIGN })
  }
  fchmodSync(descriptor, 0o600)
  return descriptor
}

/** A run was killed between giving it its name and taking that of the part away: all that is left is the latter. */
function hasFinalName(descriptor: number, path: string): boolean {
  if (fstatSync(descriptor).nlink !== 2) return false
  const name = readControl(`${path}.json`)?.name
  return name !== undefined && isSameFile(descriptor, join(dirname(path), name))
}

/** Also when the note is of a run that adopted it and was killed before any server had vouched for its version. */
function isForeign(path: string): boolean {
  const controlPath = `${path}.json`
  if (!existsSync(controlPath)) return true
  const control = readControl(controlPath)
  return control?.isForeign === true && !canRecognise(control.validator)
}

/** Who has just got the lock is still writing its note, over that of a dead one: only a live process is named. */
async function holderOf(controlPath: string): Promise<number | undefined> {
  for (let look = 0; look < NOTE_LOOKS; look++) {
    const pid = readControl(controlPath)?.pid
    if (pid !== undefined && isAlive(pid)) return pid
    await sleep(NOTE_PAUSE_MS)
  }
  return undefined
}

/** Where no flock is to be had: the note names a live process. */
function isHeldByNote(controlPath: string): boolean {
  const pid = readControl(controlPath)?.pid
  return pid !== undefined && pid !== process.pid && isAlive(pid)
}
