// Opens a part safely and locks it: never through a link, never over bytes that are not mpdl's, never beside another
// run. Knows nothing of what is written there.

import { closeSync, constants, existsSync, fchmodSync, fstatSync, openSync, rmSync, unlinkSync } from 'node:fs'
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
import type { RunLock } from './run-lock.ts'
import { lookAtNote } from './run-lock.ts'
import { makeDirectories } from './target.ts'

const FOREIGN = 'MPDL_FOREIGN'
const NOTE_LOOKS = 10
/** Taking over what a killed run left takes some processes, and each may wait for its turn. */
const DEAD_NOTE_LOOKS = 100
const NOTE_PAUSE_MS = 20

export type Opened = { readonly ok: true; readonly part: PartFile } | { readonly ok: false; readonly failure: Failure }

/**
 * Opens and locks `NAME.part`, and reads how far an earlier attempt or run came. Never blocks on another run. Without
 * `run`, which says of a new part whose it is, every part is locked by itself.
 */
export async function openPart(
  dir: string,
  target: string,
  identity: PartIdentity,
  hardening: Hardening,
  run?: RunLock,
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
  const opened = await lockPart(finalPath, path, { dir, identity, hardening, adoptedMode, run })
  // Where another run has the lock, the bytes are in its hands now.
  if (!opened.ok && adoptedMode !== undefined && opened.failure.kind !== 'locked') {
    giveBack(path, finalPath, adoptedMode)
  }
  return opened
}

interface LockOrder {
  readonly dir: string
  readonly identity: PartIdentity
  readonly hardening: Hardening
  readonly adoptedMode: number | undefined
  readonly run: RunLock | undefined
}

async function lockPart(
  finalPath: string,
  path: string,
  { dir, identity, hardening, adoptedMode, run }: LockOrder,
): Promise<Opened> {
  const notePath = `${path}.json`
  // Between our open and our lock the other run may have renamed the file away: then it is another file's now.
  for (let attempt = 0; attempt < 20; attempt++) {
    let plain: PlainPart | undefined
    try {
      // Between the making of a part and that of its note should be no time.
      if (run?.isReady === false && !existsSync(notePath)) await run.prepare()
      plain = openPlainFile(path, identity.adopts !== 'nothing')
    } catch (error) {
      if (codeOf(error) === 'ELOOP') return { ok: false, failure: { kind: 'target-is-symlink', path } }
      if (codeOf(error) === 'EISDIR') return { ok: false, failure: { kind: 'target-is-directory', path } }
      if (codeOf(error) === FOREIGN) return { ok: false, failure: { kind: 'foreign-part', path } }
      return { ok: false, failure: diskFailure(error, 'create', path) }
    }
    if (plain === undefined) continue
    const { descriptor, isNew } = plain
    if (isNew && run?.give(notePath) === true) {
      return { ok: true, part: new PartFile(descriptor, finalPath, identity, { run }) }
    }
    const lock = await lockDescriptor(descriptor, hardening)
    if (lock === 'held-by-another' || (lock === 'unsupported' && isHeldByNote(notePath))) {
      closeSync(descriptor)
      return lockedBy(path, await holderOf(notePath))
    }
    // Asked before the note: who has written into a part has noted it before.
    const isEmpty = fstatSync(descriptor).size === 0
    const sight = typeof lock === 'object' ? lock : await lookAtNote(notePath, dir, hardening)
    if (typeof sight === 'object') {
      // A run that lives has just given its part the final name: this one is only ours.
      if (isNew && lock === 'locked' && isSameFile(descriptor, path)) unlinkSync(path)
      closeSync(descriptor)
      // From another container the pid says nothing here.
      if ('alivePid' in sight) return lockedBy(path, isAlive(sight.alivePid) ? sight.alivePid : undefined)
      return { ok: false, failure: { kind: 'spawn', code: sight.cannotStart } }
    }
    if (sight !== 'changed' && isSameFile(descriptor, path)) {
      const isStale = !isNew && (sight === 'dead' || (sight === 'own' && isEmpty))
      // The note stays until who locks the next part writes another over it.
      if (isStale || hasFinalName(descriptor, path)) unlinkSync(path)
      else {
        try {
          fchmodSync(descriptor, 0o600)
          const part = new PartFile(descriptor, finalPath, identity, { adoptedMode })
          if (part.takeNote(sight === 'none')) return { ok: true, part }
        } catch (error) {
          // Where there is no room for the note, a new part is only litter; an old one still has its bytes.
          if (fstatSync(descriptor).size === 0) rmSync(path, { force: true })
          closeSync(descriptor)
          return { ok: false, failure: diskFailure(error, 'write beside', path) }
        }
      }
    }
    closeSync(descriptor)
  }
  return lockedBy(path, undefined)
}

function lockedBy(path: string, pid: number | undefined): Opened {
  return { ok: false, failure: { kind: 'locked', path, ...(pid === undefined ? {} : { pid }) } }
}

interface PlainPart {
  readonly descriptor: number
  readonly isNew: boolean
}

/** Undefined when it has just gone. */
function openPlainFile(path: string, adoptForeign: boolean): PlainPart | undefined {
  const base = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK
  try {
    return { descriptor: openSync(path, base | constants.O_CREAT | constants.O_EXCL, 0o600), isNew: true }
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
  let descriptor: number
  try {
    descriptor = openSync(path, base)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
  const plain: PlainPart = { descriptor, isNew: false }
  const stat = fstatSync(descriptor)
  if (stat.nlink === 2 && (hasFinalName(descriptor, path) || isOfRun(path))) return plain
  if (!stat.isFile() || stat.nlink > 1) {
    closeSync(descriptor)
    throw Object.assign(new Error('not a plain file of its own'), { code: 'EEXIST' })
  }
  // mpdl writes the note before the first byte and removes it after the part: bytes without a note are not ours.
  if (stat.size > 0 && !adoptForeign && isForeign(path)) {
    closeSync(descriptor)
    throw Object.assign(new Error('a part of somebody else'), { code: FOREIGN })
  }
  return plain
}

/** A run was killed between giving it its name and taking that of the part away: all that is left is the latter. */
function hasFinalName(descriptor: number, path: string): boolean {
  if (fstatSync(descriptor).nlink !== 2) return false
  const name = readControl(`${path}.json`)?.name
  return name !== undefined && isSameFile(descriptor, join(dirname(path), name))
}

/** It had just begun; where that run was killed, nothing is gone on with, whatever its second name is. */
function isOfRun(path: string): boolean {
  return readControl(`${path}.json`)?.run !== undefined
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
  for (let look = 0; look < DEAD_NOTE_LOOKS; look++) {
    const pid = readControl(controlPath)?.pid
    if (pid !== undefined && isAlive(pid)) return pid
    if (pid === undefined && look >= NOTE_LOOKS) return undefined
    await sleep(NOTE_PAUSE_MS)
  }
  return undefined
}

/** Where no flock is to be had: the note names a live process. */
function isHeldByNote(controlPath: string): boolean {
  const pid = readControl(controlPath)?.pid
  return pid !== undefined && pid !== process.pid && isAlive(pid)
}
