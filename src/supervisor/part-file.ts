// One download's file on its way: opened safely, locked, filled by a child, verified, and renamed only when
// whole. Knows nothing of HTTP, attempts or children.

import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fdatasync,
  fstatSync,
  fsync,
  ftruncateSync,
  futimesSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { execa } from 'execa'
import type { Failure } from '../core/failure.ts'
import type { Range } from '../core/segment.ts'
import { addRange, contiguousBytes, tiles } from '../core/segment.ts'
import type { Validator } from '../core/validator.ts'
import type { Hardening } from '../isolation/hardening.ts'
import type { Control } from './control-file.ts'
import { overwriteControl, readControl, survivingRanges, writeControl } from './control-file.ts'
import { codeOf, diskFailure } from './disk-failure.ts'
import { lockDescriptor } from './lock.ts'
import { makeDirs } from './make-dirs.ts'

const FOREIGN = 'MPDL_FOREIGN'
const NOTE_LOOKS = 10
const NOTE_PAUSE_MS = 20
const fsyncAsync = promisify(fsync)
const fdatasyncAsync = promisify(fdatasync)

export interface PartIdentity {
  readonly job: string
  readonly version: string
  /** Redacted. */
  readonly url: string
  /** Equal for URLs that differ only in query and credentials. */
  readonly urlKey: string
  /** The keys of the job's other mirrors: a part begun from one may be continued from another. */
  readonly mirrorKeys: readonly string[]
  readonly bootId: string | undefined
}

export interface CommitOptions {
  readonly fsync: 'file' | 'run' | 'none'
  /** The server's Last-Modified; undefined leaves the time of writing. */
  readonly mtimeMs?: number
}

export type Opened = { readonly ok: true; readonly part: PartFile } | { readonly ok: false; readonly failure: Failure }
type Done = { readonly ok: true } | { readonly ok: false; readonly failure: Failure }

/** How the last component looks: `missing`, a plain file that may be replaced, or why not. */
export function inspectTarget(
  path: string,
):
  | { kind: 'missing' }
  | { kind: 'file'; sizeBytes: number; mtimeMs: number; mode: number }
  | { kind: 'refused'; failure: Failure } {
  try {
    const stat = lstatSync(path)
    if (stat.isSymbolicLink()) return { kind: 'refused', failure: { kind: 'target-is-symlink', path } }
    if (stat.isDirectory()) return { kind: 'refused', failure: { kind: 'target-is-directory', path } }
    if (!stat.isFile()) {
      return { kind: 'refused', failure: { kind: 'disk-error', code: 'EEXIST', operation: 'replace', path } }
    }
    return { kind: 'file', sizeBytes: stat.size, mtimeMs: stat.mtimeMs, mode: stat.mode & 0o7777 }
  } catch (error) {
    return codeOf(error) === 'ENOENT'
      ? { kind: 'missing' }
      : { kind: 'refused', failure: diskFailure(error, 'look at', path) }
  }
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
  // Between our open and our lock the other run may have renamed the file away: then it is another file's now.
  for (let attempt = 0; attempt < 20; attempt++) {
    let descriptor: number
    try {
      descriptor = openPlainFile(path)
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
    if (isSameFile(descriptor, path)) {
      try {
        return { ok: true, part: new PartFile(descriptor, finalPath, identity) }
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

function openPlainFile(path: string): number {
  const base = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK
  try {
    return openSync(path, base | constants.O_CREAT | constants.O_EXCL, 0o600)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
  const descriptor = openSync(path, base)
  const stat = fstatSync(descriptor)
  if (!stat.isFile() || stat.nlink > 1) {
    closeSync(descriptor)
    throw Object.assign(new Error('not a plain file of its own'), { code: 'EEXIST' })
  }
  // mpdl writes the note before the first byte and removes it after the part: bytes without a note are not ours.
  if (stat.size > 0 && !existsSync(`${path}.json`)) {
    closeSync(descriptor)
    throw Object.assign(new Error('a part of somebody else'), { code: FOREIGN })
  }
  fchmodSync(descriptor, 0o600)
  return descriptor
}

function isSameFile(descriptor: number, path: string): boolean {
  try {
    const [held, named] = [fstatSync(descriptor), lstatSync(path)]
    return held.ino === named.ino && held.dev === named.dev
  } catch {
    return false
  }
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

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

export class PartFile {
  readonly descriptor: number
  readonly path: string
  readonly finalPath: string
  readonly #controlPath: string
  readonly #identity: PartIdentity
  #validator: Validator = {}
  #sizeBytes: number | undefined
  #completed: readonly Range[] = []
  #synced: readonly Range[] = []
  /** Counts the beginnings, so that a late sync is not taken for one of these bytes. */
  #transfer = 0
  #isSyncing = false
  #isClosed = false
  /** It was committed or discarded: a late note would be one of nothing. */
  #isGone = false

  /** Throws what the disk throws when the note cannot be written. */
  constructor(descriptor: number, finalPath: string, identity: PartIdentity) {
    this.descriptor = descriptor
    this.finalPath = finalPath
    this.path = `${finalPath}.part`
    this.#controlPath = `${this.path}.json`
    this.#identity = identity
    this.#adopt()
    this.#write()
  }

  #adopt(): void {
    const { bootId, job, urlKey, mirrorKeys } = this.#identity
    const control = readControl(this.#controlPath)
    if (control === undefined || control.job !== job) return
    if (control.urlKey !== urlKey && !mirrorKeys.includes(control.urlKey)) return
    const kept = survivingRanges(control, bootId, fstatSync(this.descriptor).size)
    if (kept.length === 0) return
    this.#validator = control.validator
    this.#sizeBytes = control.sizeBytes
    this.#completed = kept
    this.#synced = control.synced
  }

  /** Bytes from 0 on that are there and of the version `validator` names. */
  get completedBytes(): number {
    return contiguousBytes(this.#completed)
  }

  get validator(): Validator {
    return this.#validator
  }

  get sizeBytes(): number | undefined {
    return this.#sizeBytes
  }

  get isComplete(): boolean {
    return this.#sizeBytes !== undefined && this.#sizeBytes > 0 && this.completedBytes === this.#sizeBytes
  }

  /** False when somebody removed or replaced the part behind our back. */
  get isInPlace(): boolean {
    return isSameFile(this.descriptor, this.path)
  }

  /** What the file system says, not what anybody claims. */
  lengthOnDisk(): number {
    return fstatSync(this.descriptor).size
  }

  /** A response's bytes begin at `fromBytes`: what is beyond them is dropped before the first new one. */
  begin(validator: Validator, sizeBytes: number | undefined, fromBytes: number): Failure | undefined {
    this.#transfer++
    try {
      // Also when bytes are kept: what lies beyond them was never recorded and may be anything.
      ftruncateSync(this.descriptor, fromBytes)
      this.#completed = addRange([], [0, fromBytes])
      this.#synced = contiguousBytes(this.#synced) > fromBytes ? this.#completed : fromBytes === 0 ? [] : this.#synced
      this.#validator = validator
      this.#sizeBytes = sizeBytes
      this.#write()
    } catch (error) {
      return diskFailure(error, 'write', this.path)
    }
    return undefined
  }

  /** Bytes `[from, to)` are there: written down only as far as the file really reaches. */
  record(from: number, to: number): void {
    this.#completed = addRange(this.#completed, [from, Math.min(to, this.lengthOnDisk())])
  }

  /** Writes the note; a disk that refuses it costs only the next run's head start. */
  save(): void {
    if (this.#isClosed || this.#isGone) return
    try {
      this.#write()
    } catch (error) {
      const { kind } = diskFailure(error, 'write', this.#controlPath)
      if (kind === 'disk-full') this.#overwrite()
    }
  }

  #overwrite(): void {
    try {
      overwriteControl(this.#controlPath, this.#control())
    } catch (error) {
      diskFailure(error, 'write', this.#controlPath)
    }
  }

  /** Makes what is recorded survive a reboot. At most one at a time. */
  async sync(): Promise<void> {
    if (this.#isSyncing || this.#isClosed) return
    this.#isSyncing = true
    const covered = this.#completed
    const transfer = this.#transfer
    try {
      await fdatasyncAsync(this.descriptor)
      // What was covered may have been dropped meanwhile, for bytes that are not on the disk yet.
      if (transfer === this.#transfer) this.#synced = covered
    } catch {
      // Not synced, not claimed.
    } finally {
      this.#isSyncing = false
    }
  }

  /** Bytes a reboot would lose. */
  get unsyncedBytes(): number {
    return this.completedBytes - contiguousBytes(this.#synced)
  }

  /**
   * Cuts to `sizeBytes`, makes durable, gives the final name. The only place where a final name appears.
   * Everything was verified before; the target is looked at once more, because it may have changed meanwhile.
   */
  async commit(sizeBytes: number, options: CommitOptions): Promise<Done> {
    const failed = (failure: Failure): Done => ({ ok: false, failure })
    try {
      const actualBytes = this.lengthOnDisk()
      if (actualBytes < sizeBytes || !tiles(this.#completed, sizeBytes)) {
        return failed({ kind: 'length', expectedBytes: sizeBytes, actualBytes: this.completedBytes })
      }
      if (actualBytes > sizeBytes) ftruncateSync(this.descriptor, sizeBytes)
      const target = inspectTarget(this.finalPath)
      if (target.kind === 'refused') return failed(target.failure)
      if (!this.isInPlace) {
        const { path } = this
        const isReplaced = existsSync(path)
        return failed(
          isReplaced ? { kind: 'locked', path } : { kind: 'disk-error', code: 'ENOENT', operation: 'finish', path },
        )
      }
      fchmodSync(this.descriptor, target.kind === 'file' ? target.mode & 0o777 : 0o666 & ~process.umask())
      if (options.mtimeMs !== undefined) futimesSync(this.descriptor, Date.now() / 1000, options.mtimeMs / 1000)
      if (options.fsync === 'file') await fsyncAsync(this.descriptor)
      renameSync(this.path, this.finalPath)
      this.#isGone = true
      if (options.fsync === 'file') await syncDirectory(dirname(this.finalPath))
      rmSync(this.#controlPath, { force: true })
    } catch (error) {
      return failed(diskFailure(error, 'finish', this.finalPath))
    }
    return { ok: true }
  }

  /** Forgets the part: the target is as it should be without it. */
  discard(): void {
    // Another run may have taken the name meanwhile: then both files are its own.
    if (!isSameFile(this.descriptor, this.path)) return
    this.#isGone = true
    try {
      rmSync(this.path)
      rmSync(this.#controlPath, { force: true })
    } catch (error) {
      diskFailure(error, 'remove', this.path)
    }
  }

  /** Frees the lock. An empty part is of no use to anybody and goes. */
  close(): void {
    if (this.#isClosed) return
    if (existsSync(this.path)) {
      if (this.completedBytes === 0) this.discard()
    } else rmSync(this.#controlPath, { force: true })
    this.#isClosed = true
    closeSync(this.descriptor)
  }

  #write(): void {
    writeControl(this.#controlPath, this.#control())
  }

  #control(): Control {
    const { mirrorKeys: _, ...identity } = this.#identity
    return {
      ...identity,
      validator: this.#validator,
      sizeBytes: this.#sizeBytes,
      completed: this.#completed,
      synced: this.#synced,
      pid: process.pid,
    }
  }
}

/** A rename is durable only when its directory is. */
async function syncDirectory(path: string): Promise<void> {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await fsyncAsync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Everything of this run at once, at its end: one flush of the file system instead of one a file. */
export async function syncFileSystem(dir: string): Promise<void> {
  await execa('sync', ['-f', dir], { reject: false, stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' })
}
