// One download's file on its way: opened safely, locked, filled by a child, verified, and renamed only when
// whole. Knows nothing of HTTP, attempts or children.

import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fdatasync,
  fstatSync,
  fsync,
  ftruncateSync,
  futimesSync,
  linkSync,
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
import { missingRanges, tiles, totalBytes, without } from '../core/segment.ts'
import type { Validator } from '../core/validator.ts'
import { canRecognise } from '../core/validator.ts'
import { inherited } from '../isolation/descriptor.ts'
import type { Hardening } from '../isolation/hardening.ts'
import type { Control } from './control-file.ts'
import { overwriteControl, readControl, survivingRanges, writeControl } from './control-file.ts'
import { codeOf, diskFailure } from './disk-failure.ts'
import { isAlive } from './liveness.ts'
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
  /** Whose bytes may be continued besides mpdl's own: those of a part without a note, those of the target too, or none. */
  readonly adopts: 'nothing' | 'part' | 'target'
}

export interface CommitOptions {
  readonly fsync: 'file' | 'run' | 'none'
  /** The server's Last-Modified; undefined leaves the time of writing. */
  readonly mtimeMs?: number
  /** All that is left is the name. Called before it is given, so that nobody finds a file that is not known yet. */
  readonly onReady?: (file: { readonly sizeBytes: number; readonly mtimeMs: number }) => void
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
    if (isSameFile(descriptor, path)) {
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

/**
 * Makes an unfinished file the part, unless there is one already. By a link, because a rename would replace a part that
 * another run has begun meanwhile. Gives the mode it had; undefined when it stays where it is.
 */
function moveToPart(finalPath: string, path: string): number | undefined {
  const stat = lstatSync(finalPath)
  const part = lstatSync(path, { throwIfNoEntry: false })
  // A run that was killed between the link and the removal has left one file with both names.
  const isHalfMoved = part !== undefined && part.ino === stat.ino && part.dev === stat.dev && stat.nlink === 2
  if (!isHalfMoved) {
    if (part !== undefined || !stat.isFile() || stat.nlink > 1 || stat.size === 0) return undefined
    linkSync(finalPath, path)
  }
  rmSync(finalPath)
  return stat.mode & 0o777
}

/** What was to be continued goes back to where it stood. */
function giveBack(path: string, finalPath: string, mode: number): void {
  try {
    chmodSync(path, mode)
    linkSync(path, finalPath)
    rmSync(path)
    rmSync(`${path}.json`, { force: true })
  } catch (error) {
    diskFailure(error, 'give back', finalPath)
  }
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

/** Also when the note is of a run that adopted it and was killed before any server had vouched for its version. */
function isForeign(path: string): boolean {
  const controlPath = `${path}.json`
  if (!existsSync(controlPath)) return true
  const control = readControl(controlPath)
  return control?.isForeign === true && !canRecognise(control.validator)
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
  #isForeign = false
  /** Of the target it was made from. */
  readonly #adoptedMode: number | undefined
  /** A response has begun: the bytes may be others than were found. */
  #hasBegun = false
  #isClosed = false
  /** It was committed or discarded: a late note would be one of nothing. */
  #isGone = false

  /** Throws what the disk throws when the note cannot be written. */
  constructor(descriptor: number, finalPath: string, identity: PartIdentity, adoptedMode: number | undefined) {
    this.descriptor = descriptor
    this.finalPath = finalPath
    this.path = `${finalPath}.part`
    this.#controlPath = `${this.path}.json`
    this.#identity = identity
    this.#adoptedMode = adoptedMode
    this.#adopt()
    this.#write()
  }

  #adopt(): void {
    const { bootId, job, urlKey, mirrorKeys, adopts } = this.#identity
    const { size } = fstatSync(this.descriptor)
    if (adopts !== 'nothing' && size > 0 && !existsSync(this.#controlPath)) {
      this.#isForeign = true
      this.#completed = [[0, size]]
      return
    }
    const control = readControl(this.#controlPath)
    if (control === undefined || control.job !== job) return
    if (control.urlKey !== urlKey && !mirrorKeys.includes(control.urlKey)) return
    this.#completed = survivingRanges(control, bootId, size)
    if (this.#completed.length === 0) return
    this.#isForeign = control.isForeign === true
    this.#validator = control.validator
    this.#sizeBytes = control.sizeBytes
    this.#synced = control.synced
  }

  /** Which bytes are there, of the version {@link validator} names. */
  get completed(): readonly Range[] {
    return this.#completed
  }

  get completedBytes(): number {
    return totalBytes(this.#completed)
  }

  get validator(): Validator {
    return this.#validator
  }

  get sizeBytes(): number | undefined {
    return this.#sizeBytes
  }

  /** Its bytes are another tool's: of which version, nobody knows. */
  get isForeign(): boolean {
    return this.#isForeign
  }

  get isComplete(): boolean {
    return this.#sizeBytes !== undefined && this.#sizeBytes > 0 && tiles(this.#completed, this.#sizeBytes)
  }

  /** The first bytes that are not there; to the end of the file when nobody knows where that is. */
  get firstMissing(): Range | undefined {
    return missingRanges(this.#completed, this.#sizeBytes ?? Number.POSITIVE_INFINITY)[0]
  }

  /** False when somebody removed or replaced the part behind our back. */
  get isInPlace(): boolean {
    return isSameFile(this.descriptor, this.path)
  }

  /** What the file system says, not what anybody claims. */
  lengthOnDisk(): number {
    return fstatSync(this.descriptor).size
  }

  /** Room that the file system has set aside for it already. */
  get allocatedBytes(): number {
    return fstatSync(this.descriptor).blocks * 512
  }

  /** A response of this version begins; what is there is of the same one, and is kept. */
  resume(validator: Validator, sizeBytes: number | undefined): Failure | undefined {
    return this.#begin(validator, sizeBytes, this.#completed)
  }

  /** A response begins from zero: whatever is there is dropped before the first new byte. */
  restart(validator: Validator, sizeBytes: number | undefined): Failure | undefined {
    this.#transfer++
    this.#synced = []
    this.#isForeign = false
    return this.#begin(validator, sizeBytes, [])
  }

  #begin(validator: Validator, sizeBytes: number | undefined, completed: readonly Range[]): Failure | undefined {
    this.#hasBegun = true
    try {
      // Also when bytes are kept: what lies beyond them was never recorded and may be anything.
      ftruncateSync(this.descriptor, completed.at(-1)?.[1] ?? 0)
      this.#completed = completed
      this.#validator = validator
      this.#sizeBytes = sizeBytes
      this.#write()
    } catch (error) {
      return diskFailure(error, 'write', this.path)
    }
    return undefined
  }

  /** These bytes are there now, as far as the file reaches. */
  record(completed: readonly Range[]): void {
    this.#completed = without(completed, [this.lengthOnDisk(), Number.POSITIVE_INFINITY])
  }

  /**
   * Sets aside the room for all of it, where the file system can, so that nobody else takes it meanwhile and a file
   * written in several places at a time stays in one piece. Where it cannot, nothing is lost. The length stays.
   */
  async allocate(sizeBytes: number, { fallocate }: Hardening): Promise<void> {
    if (fallocate === undefined || this.allocatedBytes >= sizeBytes) return
    await execa(fallocate, ['--keep-size', '--length', String(sizeBytes), '/proc/self/fd/0'], {
      reject: false,
      buffer: false,
      cleanup: false,
      extendEnv: false,
      env: {},
      stdin: inherited(this.descriptor),
      stdout: 'ignore',
      stderr: 'ignore',
    })
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
    return this.completedBytes - totalBytes(this.#synced)
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
      const mode = target.kind === 'file' ? target.mode & 0o777 : this.#adoptedMode
      fchmodSync(this.descriptor, mode ?? 0o666 & ~process.umask())
      if (options.mtimeMs !== undefined) futimesSync(this.descriptor, Date.now() / 1000, options.mtimeMs / 1000)
      if (options.fsync === 'file') await fsyncAsync(this.descriptor)
      options.onReady?.({ sizeBytes, mtimeMs: fstatSync(this.descriptor).mtimeMs })
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
    if (this.#isForeign && !this.#hasBegun && !this.#isGone && this.isInPlace) {
      // No answer came, and what was to be continued is as it was found.
      if (this.#adoptedMode === undefined) rmSync(this.#controlPath, { force: true })
      else giveBack(this.path, this.finalPath, this.#adoptedMode)
    } else if (existsSync(this.path)) {
      if (this.completedBytes === 0) this.discard()
    } else rmSync(this.#controlPath, { force: true })
    this.#isClosed = true
    closeSync(this.descriptor)
  }

  #write(): void {
    writeControl(this.#controlPath, this.#control())
  }

  #control(): Control {
    const { mirrorKeys: _, adopts: __, ...identity } = this.#identity
    return {
      ...identity,
      ...(this.#isForeign ? { isForeign: true as const } : {}),
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
