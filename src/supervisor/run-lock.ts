// Says of a whole run that it lives, so that a new part costs no process: the kernel locks one small file once, and the
// first note of each new part is a hard link to it. Knows nothing of what is in a part.
//
// Whose a part is, and why there are never two: it belongs to the run whose locked file its note is, or to who has locked
// the part itself and then looked at the note. Only who made a part, and has put nothing into it, may link that file, and
// a link takes nobody's place. Every other note is written under the part's own lock, and over none but that of a dead
// run, of a part with bytes, or of nothing: those get no link any more. The lock is the file's, not its name's: whoever
// sees the part finds it, from any container, whatever was removed. Children of a killed run may outlive its lock for a
// moment, so nothing goes on in a part with such a note: it is removed, and a new one is begun.

import { randomBytes } from 'node:crypto'
import { closeSync, constants, linkSync, lstatSync, opendirSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Hardening } from '../isolation/hardening.ts'
import type { Control } from './control-file.ts'
import { openControl, parseControl, readControl, textOf } from './control-file.ts'
import { codeOf } from './disk-failure.ts'
import { isAlive } from './liveness.ts'
import type { LockResult } from './lock.ts'
import { lockDescriptor } from './lock.ts'
import { isSameFile } from './part-file.ts'

const RUN_FILE = /^\.mpdl-[0-9a-f]{16}$/
const MOST_LOOKED_AT = 10_000
/** Each costs a process, to see whether its run lives. */
const MOST_SWEPT = 8

export class RunLock {
  readonly #dir: string
  readonly #identity: Pick<Control, 'version' | 'bootId'>
  readonly #hardening: Hardening
  #held: { readonly descriptor: number; readonly path: string } | undefined
  #making: Promise<void> | undefined
  /** The file system knows no locks or no links, or somebody has removed the file. */
  #isImpossible = false
  #hasSwept = false
  #links = 0

  /** `dir`: where the run's files go. */
  constructor(dir: string, identity: Pick<Control, 'version' | 'bootId'>, hardening: Hardening) {
    this.#dir = dir
    this.#identity = identity
    this.#hardening = hardening
  }

  async #make(): Promise<void> {
    await this.#sweep()
    const run = `.mpdl-${randomBytes(8).toString('hex')}`
    const path = join(this.#dir, run)
    let descriptor: number | undefined
    try {
      descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
      writeFileSync(descriptor, textOf(this.#note(run)))
      if ((await this.lock(descriptor)) === 'locked') {
        this.#held = { descriptor, path }
        return
      }
    } catch {
      // Who opens a part there is told what is wrong.
    }
    this.#isImpossible = true
    if (descriptor === undefined) return
    closeSync(descriptor)
    removeIfMay(path)
  }

  /**
   * What a run leaves that is killed before its first part, or just after its last, is no part's note and so nobody's
   * to find. Once a run, and not to the end of a directory of millions.
   */
  async #sweep(): Promise<void> {
    if (this.#hasSwept) return
    this.#hasSwept = true
    const left: string[] = []
    try {
      const entries = opendirSync(this.#dir)
      for (let n = 0; n < MOST_LOOKED_AT; n++) {
        const entry = entries.readSync()
        if (entry === null) break
        if (RUN_FILE.test(entry.name)) left.push(join(this.#dir, entry.name))
      }
      entries.closeSync()
      for (const path of left.slice(0, MOST_SWEPT)) {
        // One that lives may just not have its lock yet.
        const pid = readControl(path)?.pid
        if (pid !== undefined && !isAlive(pid)) await lookAtNote(path, this.#dir, this.#hardening)
      }
    } catch {
      // Litter that cannot be seen or removed stays.
    }
  }

  /** It says nothing of any part, so nothing is gone on with. */
  #note(run: string): Control {
    const ofNoJob = { job: '', url: '', urlKey: '', validator: {}, sizeBytes: undefined, completed: [], synced: [] }
    return { ...this.#identity, ...ofNoJob, pid: process.pid, run }
  }

  /** There is no need to {@link prepare}, or no use in it. */
  get isReady(): boolean {
    return this.#held !== undefined || this.#isImpossible
  }

  /** Makes the file and has it locked, where it is not; to be awaited just before {@link give}. */
  async prepare(): Promise<void> {
    if (this.isReady) return
    this.#making ??= this.#make()
    await this.#making
    this.#making = undefined
    this.#goIfIdle()
  }

  /** Makes it the note of a part that was made just now; false where there is a note, or where it cannot be. */
  give(notePath: string): boolean {
    if (this.#held === undefined || this.#isImpossible) return false
    try {
      linkSync(this.#held.path, notePath)
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') this.#isImpossible = true
      return false
    }
    this.#links++
    return true
  }

  /** A part has no note any more, or one of its own. */
  takeBack(): void {
    this.#links--
    this.#goIfIdle()
  }

  /** A run that is killed leaves its file only where it leaves a note: who finds that removes both. */
  #goIfIdle(): void {
    if (this.#links === 0) setImmediate(() => this.close())
  }

  /** Locks a part itself. */
  lock(descriptor: number): Promise<LockResult> {
    return lockDescriptor(descriptor, this.#hardening)
  }

  /** As long as a part has the note, which after the end of a run is one that cannot be closed, it stays locked. */
  close(): void {
    if (this.#held === undefined || this.#links > 0) return
    const { descriptor, path } = this.#held
    this.#held = undefined
    closeSync(descriptor)
    removeIfMay(path)
  }
}

/** Rights that were taken away meanwhile leave it where it is. */
export function removeIfMay(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {
    // Rights that were taken away meanwhile are no concern of a file that says nothing any more.
  }
}

/** `own`: the note of a part, be it damaged. `dead`: that of a run, and still the note. */
export type NoteSight =
  | 'none'
  | 'own'
  | 'dead'
  | 'changed'
  | { readonly alivePid: number }
  | { readonly cannotStart: string }

/** Whose note this is. What a dead run has left in `dir` is removed. */
export async function lookAtNote(notePath: string, dir: string, hardening: Hardening): Promise<NoteSight> {
  const descriptor = openControl(notePath)
  if (descriptor === undefined) {
    return lstatSync(notePath, { throwIfNoEntry: false }) === undefined ? 'none' : 'own'
  }
  try {
    const control = parseControl(descriptor)
    if (control?.run === undefined) return 'own'
    // Shared, because others may ask at the same time, for this part or another.
    const lock = await lockDescriptor(descriptor, hardening, 'shared')
    if (typeof lock === 'object') return lock
    if (lock === 'held-by-another' || (lock === 'unsupported' && isAlive(control.pid))) return { alivePid: control.pid }
    if (!isSameFile(descriptor, notePath)) return 'changed'
    const path = join(dir, control.run)
    if (isSameFile(descriptor, path)) removeIfMay(path)
    return 'dead'
  } finally {
    closeSync(descriptor)
  }
}
