// One download's file on its way: which bytes are there, how durable they are, and its name only when it is whole.
// Knows nothing of HTTP, attempts or children.

import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fchmodSync,
  fdatasync,
  fstatSync,
  fsync,
  ftruncateSync,
  futimesSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
} from 'node:fs'
import { basename, dirname } from 'node:path'
import { promisify } from 'node:util'
import { execa } from 'execa'
import type { Look } from '../core/as-left.ts'
import type { Failure } from '../core/failure.ts'
import type { Range } from '../core/segment.ts'
import { missingRanges, tiles, totalBytes, without } from '../core/segment.ts'
import type { Validator } from '../core/validator.ts'
import { inherited } from '../isolation/descriptor.ts'
import type { Hardening } from '../isolation/hardening.ts'
import { giveBack } from './adoption.ts'
import type { Control } from './control-file.ts'
import { createControl, overwriteControl, readControl, survivingRanges, writeControl } from './control-file.ts'
import { codeOf, diskFailure } from './disk-failure.ts'
import { moveToFreeName } from './free-name.ts'
import { isInMemory } from './memory-disk.ts'
import type { RunLock } from './run-lock.ts'
import { inspectTarget, isUntouched } from './target.ts'

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
  /** All that is left is the name. Awaited before it is given, so that nobody finds a file that is not known yet. */
  readonly onReady?: (file: Look) => unknown
  /** Absolute, in the same directory; the name it was opened for where it is left out. */
  readonly path?: string
  /** Asked at the last moment, where a file has the name already; without it, every file gives way. */
  readonly mayReplace?: () => boolean
}

const BRIEF_MS = 50
const BRIEF_BYTES = 16 * 2 ** 20

type Done = { readonly ok: true } | { readonly ok: false; readonly failure: Failure }

/** Whether the name still means the open file. */
export function isSameFile(descriptor: number, path: string): boolean {
  try {
    const [held, named] = [fstatSync(descriptor), lstatSync(path)]
    return held.ino === named.ino && held.dev === named.dev
  } catch {
    return false
  }
}

export class PartFile {
  readonly descriptor: number
  readonly path: string
  readonly finalPath: string
  /** What the server wants it to be called; stands in the note, as the answer that completes it may not repeat it. */
  name: string | undefined
  readonly #controlPath: string
  readonly #identity: PartIdentity
  #validator: Validator = {}
  #sizeBytes: number | undefined
  #completed: readonly Range[] = []
  #synced: readonly Range[] = []
  /** Counts the beginnings, so that a late sync is not taken for one of these bytes. */
  #transfer = 0
  /** So long it was at the last look: it does not become shorter but by us. */
  #seenBytes = 0
  #isSyncing = false
  #isForeign = false
  /** Of the target it was made from. */
  readonly #adoptedMode: number | undefined
  /** How much of it there was. */
  readonly #foundBytes: number
  readonly #inode: { readonly dev: number; readonly ino: number }
  /** It was made just now, and nobody was told to write: how long it is needs no look. */
  #isUnwritten: boolean
  /** When its bytes were last written, as they were found. */
  readonly foundModifiedMs: number
  /** A response has begun: the bytes may be others than were found. */
  #hasBegun = false
  #isClosed = false
  /** It was committed or discarded: a late note would be one of nothing. */
  #isGone = false
  /** Whose note it has, until there is something to say: it says whose part this is, and nothing of its bytes. */
  #run: RunLock | undefined
  #begunAtMs = performance.now()
  #later: NodeJS.Timeout | undefined
  /** Under way: a lock of its own. */
  #locking: Promise<void> | undefined

  constructor(
    descriptor: number,
    finalPath: string,
    identity: PartIdentity,
    { adoptedMode, run }: { readonly adoptedMode?: number | undefined; readonly run?: RunLock },
  ) {
    this.descriptor = descriptor
    this.finalPath = finalPath
    this.path = `${finalPath}.part`
    this.#controlPath = `${this.path}.json`
    this.#identity = identity
    this.#adoptedMode = adoptedMode
    const { size, mtimeMs, dev, ino } = fstatSync(descriptor)
    this.#inode = { dev, ino }
    this.#foundBytes = size
    this.foundModifiedMs = mtimeMs
    this.#run = run
    // Only a new one gets the note of a run.
    this.#isUnwritten = run !== undefined
    if (run === undefined) this.#adopt()
  }

  /** Writes its own first note; false when `isFree` and another has come. Throws what the disk throws. */
  takeNote(isFree: boolean): boolean {
    if (isFree) return createControl(this.#controlPath, this.#control())
    this.#write()
    return true
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
    this.name = control.name
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
    try {
      const { dev, ino } = lstatSync(this.path)
      return ino === this.#inode.ino && dev === this.#inode.dev
    } catch {
      return false
    }
  }

  /** What the file system says, not what anybody claims. */
  lengthOnDisk(): number {
    this.#seenBytes = fstatSync(this.descriptor).size
    return this.#seenBytes
  }

  /** Room that the file system has set aside for it already. */
  get allocatedBytes(): number {
    return this.#isUnwritten ? 0 : fstatSync(this.descriptor).blocks * 512
  }

  /** A response of this version begins; what is there is of the same one, and is kept. */
  resume(validator: Validator, sizeBytes: number | undefined): Failure | undefined {
    return this.#begin(validator, sizeBytes, this.#completed)
  }

  /** A response begins from zero: whatever is there is dropped before the first new byte. */
  restart(validator: Validator, sizeBytes: number | undefined): Failure | undefined {
    const failure = this.#leaveTarget()
    if (failure !== undefined) return failure
    this.#transfer++
    this.#synced = []
    this.#isForeign = false
    this.name = undefined
    return this.#begin(validator, sizeBytes, [])
  }

  /** What was to be continued turns out to be no part of this file, so it stays the user's until there is a better one. */
  #leaveTarget(): Failure | undefined {
    if (this.#adoptedMode === undefined || !this.#isForeign || existsSync(this.finalPath)) return undefined
    try {
      copyFileSync(this.path, this.finalPath, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
      truncateSync(this.finalPath, this.#foundBytes)
      chmodSync(this.finalPath, this.#adoptedMode)
    } catch (error) {
      return diskFailure(error, 'give back', this.finalPath)
    }
    return undefined
  }

  #begin(validator: Validator, sizeBytes: number | undefined, completed: readonly Range[]): Failure | undefined {
    this.#hasBegun = true
    this.#begunAtMs = performance.now()
    try {
      // Also when bytes are kept: what lies beyond them was never recorded and may be anything.
      this.#seenBytes = completed.at(-1)?.[1] ?? 0
      if (!this.#isUnwritten) ftruncateSync(this.descriptor, this.#seenBytes)
      this.#isUnwritten = false
      this.#completed = completed
      this.#validator = validator
      this.#sizeBytes = sizeBytes
      if (this.#run === undefined) this.#write()
    } catch (error) {
      return diskFailure(error, 'write', this.path)
    }
    return undefined
  }

  /** These bytes are there now, as far as the file reaches. */
  record(completed: readonly Range[]): void {
    const isSeen = (completed.at(-1)?.[1] ?? 0) <= this.#seenBytes
    this.#completed = isSeen ? completed : without(completed, [this.lengthOnDisk(), Number.POSITIVE_INFINITY])
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

  /**
   * Writes the note, or soon, or not as long as it would save little; a disk that refuses it costs only the next run's
   * head start.
   */
  save(): void {
    if (this.#isClosed || this.#isGone) return
    if (this.#run === undefined) return this.#saveNow()
    if (!this.#isBrief) this.#locking ??= this.#leaveRun(this.#run)
    else if (!this.isComplete) this.#later ??= setTimeout(() => this.#saveLater(), BRIEF_MS).unref()
  }

  #saveLater(): void {
    this.#later = undefined
    this.save()
  }

  /** It has just begun, or it is little and gets its name next: what would be fetched twice is not worth a lock. */
  get #isBrief(): boolean {
    const isFresh = performance.now() - this.#begunAtMs < BRIEF_MS
    return this.completedBytes < BRIEF_BYTES && (isFresh || this.isComplete)
  }

  /** The run's note gives way to one of its own, which needs a lock of its own. */
  async #leaveRun(run: RunLock): Promise<void> {
    const lock = await run.lock(this.descriptor)
    this.#locking = undefined
    // Another run may hold it for the moment in which it looks whose part this is.
    if (lock === 'locked' && !this.#isClosed && !this.#isGone) this.#saveNow()
  }

  #saveNow(): void {
    try {
      this.#write()
    } catch (error) {
      const { kind } = diskFailure(error, 'write', this.#controlPath)
      if (kind === 'disk-full' && this.#run === undefined) this.#overwrite()
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
   * Everything was verified before; the target is looked at last, because it may have changed meanwhile.
   */
  async commit(sizeBytes: number, options: CommitOptions): Promise<Done> {
    const failed = (failure: Failure): Done => ({ ok: false, failure })
    const { path: finalPath = this.finalPath, mtimeMs, mayReplace, onReady } = options
    const isSynced = options.fsync === 'file' && !isInMemory(this.path)
    const taken: Failure = { kind: 'name-taken', path: finalPath, by: 'somebody else' }
    try {
      const actualBytes = this.lengthOnDisk()
      if (actualBytes < sizeBytes || !tiles(this.#completed, sizeBytes)) {
        return failed({ kind: 'length', expectedBytes: sizeBytes, actualBytes: this.completedBytes })
      }
      if (actualBytes > sizeBytes) ftruncateSync(this.descriptor, sizeBytes)
      if (mtimeMs !== undefined) futimesSync(this.descriptor, Date.now() / 1000, mtimeMs / 1000)
      if (isSynced) await fsyncAsync(this.descriptor)
      const found = mayReplace === undefined ? undefined : inspectTarget(finalPath)
      if (found?.kind === 'refused') return failed(found.failure)
      if (found?.kind === 'file' && mayReplace?.() === false) return failed(taken)
      await onReady?.({ sizeBytes, mtimeMs: fstatSync(this.descriptor).mtimeMs })
      // Nobody else has a turn between these looks and the name.
      const target = inspectTarget(finalPath)
      if (target.kind === 'refused') return failed(target.failure)
      if (found !== undefined && !isUntouched(found, target)) return failed(taken)
      if (!this.isInPlace) {
        const { path } = this
        const isReplaced = existsSync(path)
        return failed(
          isReplaced ? { kind: 'locked', path } : { kind: 'disk-error', code: 'ENOENT', operation: 'finish', path },
        )
      }
      const mode = target.kind === 'file' ? target.mode & 0o777 : this.#adoptedMode
      fchmodSync(this.descriptor, mode ?? 0o666 & ~process.umask())
      if (found?.kind !== 'missing') renameSync(this.path, finalPath)
      else if (!this.#takeFreeName(finalPath)) {
        fchmodSync(this.descriptor, 0o600)
        return failed(taken)
      }
      this.#isGone = true
      try {
        if (isSynced) await syncDirectory(dirname(finalPath))
      } finally {
        this.#removeNote()
      }
    } catch (error) {
      return failed(diskFailure(error, 'finish', finalPath))
    }
    return { ok: true }
  }

  #takeFreeName(finalPath: string): boolean {
    // While it has both names, this note says which they are: a crash just then is made good by the next run.
    this.name = basename(finalPath)
    if (this.#run === undefined) this.#write()
    return moveToFreeName(this.path, finalPath)
  }

  /** Forgets the part: the target is as it should be without it. */
  discard(): void {
    // Another run may have taken the name meanwhile: then both files are its own.
    if (!this.isInPlace) return
    this.#isGone = true
    this.#completed = []
    try {
      rmSync(this.path)
      this.#removeNote()
    } catch (error) {
      diskFailure(error, 'remove', this.path)
    }
  }

  /** Frees the lock. An empty part is of no use to anybody and goes. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    clearTimeout(this.#later)
    // Who locks for us has our descriptor, and would hold the part for a moment longer.
    if (this.#locking !== undefined) await this.#locking
    if (this.#isForeign && !this.#hasBegun && !this.#isGone && this.isInPlace) {
      // No answer came, and what was to be continued is as it was found.
      if (this.#adoptedMode === undefined) this.#removeNote()
      else giveBack(this.path, this.finalPath, this.#adoptedMode)
    } else if (!this.#isGone) this.#leave()
    this.#endRun()
    closeSync(this.descriptor)
  }

  /** What is there is for the next attempt. */
  #leave(): void {
    if (!existsSync(this.path)) return this.#removeNote()
    // From here on it is nobody's, which is not what the run's note says.
    if (this.completedBytes > 0 && this.#run !== undefined && this.isInPlace) {
      this.#saveNow()
      if (this.#run !== undefined) this.#saveInLastBlock()
    }
    if (this.completedBytes === 0 || this.#run !== undefined) this.discard()
  }

  /** On a full disk there is no room for a first note but that of the last bytes. */
  #saveInLastBlock(): void {
    const { size, blksize } = fstatSync(this.descriptor)
    this.#seenBytes = Math.max(0, Math.ceil(size / blksize) - 1) * blksize
    ftruncateSync(this.descriptor, this.#seenBytes)
    this.#completed = without(this.#completed, [this.#seenBytes, Number.POSITIVE_INFINITY])
    if (this.completedBytes > 0) this.#saveNow()
  }

  #removeNote(): void {
    try {
      unlinkSync(this.#controlPath)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
    }
    this.#endRun()
  }

  #write(): void {
    writeControl(this.#controlPath, this.#control())
    this.#endRun()
  }

  #endRun(): void {
    this.#run?.takeBack()
    this.#run = undefined
  }

  #control(): Control {
    const { mirrorKeys: _, adopts: __, ...identity } = this.#identity
    return {
      ...identity,
      ...(this.#isForeign ? { isForeign: true as const } : {}),
      ...(this.name === undefined ? {} : { name: this.name }),
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
