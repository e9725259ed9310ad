// Lets one run at a time have a list and a directory. The kernel frees the lock when its holder dies. Knows nothing of
// what the run does.
//
// The lock is the kernel's, on a file that goes with its run: who gets the lock of one that has lost its name begins
// anew. What stands in it says who has the lock, or who had it when it was killed, so it never decides whether there is a
// holder, and it is believed only of a process that is still the same.
//
// Where the kernel cannot be asked (no flock(1), no room for its process, a file system without locks), these words are
// all there is, and hold as long as their process lives. They get their name as a whole, from who could make the file
// beside it. That is weaker: processes of other hosts and containers are not seen; without /proc a pid may be another
// process's by now; and of two that find the file beside it left by a killed run, or are stopped for seconds before they
// have renamed it, both may get in.

import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import type { Hardening } from '../isolation/hardening.ts'
import { openControl } from './control-file.ts'
import { codeOf } from './disk-failure.ts'
import { bootId, isAlive } from './liveness.ts'
import { lockDescriptor } from './lock.ts'
import { makeDirs } from './make-dirs.ts'
import { isSameFile } from './part-file.ts'
import { removeIfMay } from './run-lock.ts'

/** Who has it, as the file says that they write into. */
export interface LockHolder {
  readonly pid: number
  readonly host: string
  /** Ms since the epoch. */
  readonly startedMs: number
  /** As typed, redacted. */
  readonly command: string
}

export type ListLock =
  | {
      readonly ok: true
      /** Why another run could get in all the same, as a sentence. */
      readonly problem: string | undefined
      /** To be called once. */
      release(): void
    }
  /** Undefined: they have not said yet. */
  | { readonly ok: false; readonly holder: LockHolder | undefined }

export interface ListLockOptions {
  /** The file; its directory need not exist. */
  readonly path: string
  readonly self: LockHolder
  /** How long to wait for another to end; 0: not at all. */
  readonly waitMs: number
  readonly hardening: Hardening
}

type Held = Extract<ListLock, { ok: true }>

const FIRST_PAUSE_MS = 20
const LONGEST_PAUSE_MS = 1000
/**
 * Who has just got the lock needs a moment to say so. Of another host nothing can be checked: all that speaks for its
 * words is that nobody has replaced them for long.
 */
const WORDS_MS = { living: 0, elsewhere: 2000, none: 300 } as const
/** More than the words of a holder, whose command the caller keeps short. */
const MOST_BYTES = 16_384
/** Nobody needs so long to give a file its name: who made it was killed just then. */
const ABANDONED_MS = 10_000

const schema = v.object({
  pid: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 31 - 1)),
  host: v.string(),
  startedMs: v.number(),
  command: v.string(),
  /** Of this pid there has been one process only that began then; null where that is not known. */
  birth: v.nullable(v.string()),
})

type Words = v.InferOutput<typeof schema>

/**
 * Takes the lock, waiting `waitMs` at most, and a moment more where it is not known yet who has it. Where there is no
 * place for one it is done without.
 */
export async function lockList(options: ListLockOptions): Promise<ListLock> {
  const { path, self, waitMs } = options
  const giveUpAtMs = performance.now() + waitMs
  let refusedAtMs: number | undefined
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    const held = await attempt(options)
    if (held !== undefined) return held
    const nowMs = performance.now()
    refusedAtMs ??= nowMs
    const words = readWords(path)
    const credit = creditOf(words, self.host)
    const leftMs = Math.max(giveUpAtMs, refusedAtMs + WORDS_MS[credit]) - nowMs
    if (leftMs <= 0) return { ok: false, holder: credit === 'none' ? undefined : words }
    await sleep(Math.min(pauseMs, leftMs))
  }
}

/** Undefined: another has it. */
async function attempt({ path, self, hardening }: ListLockOptions): Promise<Held | undefined> {
  try {
    makeDirs(dirname(path), 0o700)
    // NFS locks only what may be written; a pipe planted here would otherwise be waited for without end.
    const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants
    const descriptor = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
    const stat = fstatSync(descriptor)
    const isPlain = stat.isFile() && stat.nlink <= 1
    const lock = isPlain ? await lockDescriptor(descriptor, hardening) : 'no-file'
    // Who has removed the file between our open and our lock has left its name to another.
    if (lock === 'locked' && isSameFile(descriptor, path)) return heldByKernel(descriptor, path, self)
    closeSync(descriptor)
    if (lock === 'no-file') return unlocked(`${path} is not a file of its own; remove it`)
    return lock === 'locked' || lock === 'held-by-another' ? undefined : lockByWords(path, self)
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    return unlocked(error instanceof Error ? error.message : String(error))
  }
}

function heldByKernel(descriptor: number, path: string, self: LockHolder): Held {
  try {
    ftruncateSync(descriptor, 0)
    writeFileSync(descriptor, textOf(self))
    // Other hosts see only what has reached the server.
    fdatasyncSync(descriptor)
  } catch {
    // A full disk has no room for words; the lock holds without them.
  }
  const { problem, release } = heldBy(descriptor)
  return {
    ok: true,
    problem,
    release: () => {
      // As long as the lock is held nobody gives the name to another file.
      if (isSameFile(descriptor, path)) removeIfMay(path)
      release()
    },
  }
}

/** Undefined: another has it, or is about to. Throws what the disk throws. */
function lockByWords(path: string, self: LockHolder): Held | undefined {
  const aside = `${path}~`
  try {
    writeFileSync(aside, textOf(self), { flag: 'wx', mode: 0o600 })
  } catch (error) {
    if (codeOf(error) !== 'EEXIST' || isAbandoned(aside)) rmSync(aside, { force: true })
    if (codeOf(error) !== 'EEXIST') throw error
    return undefined
  }
  const words = readWords(path)
  const credit = creditOf(words, self.host)
  if (credit === 'living') {
    rmSync(aside)
    return undefined
  }
  const descriptor = openSync(aside, constants.O_RDWR | constants.O_NOFOLLOW)
  renameSync(aside, path)
  return heldBy(descriptor, words !== undefined && credit === 'elsewhere' ? unseen(words) : undefined)
}

/** A clock that was set back makes it old as well. */
function isAbandoned(aside: string): boolean {
  const stat = lstatSync(aside, { throwIfNoEntry: false })
  return stat !== undefined && Math.abs(Date.now() - stat.mtimeMs) > ABANDONED_MS
}

function heldBy(descriptor: number, problem?: string): Held {
  const release = () => {
    try {
      ftruncateSync(descriptor, 0)
    } catch {
      // Words of the dead are not believed anyway.
    }
    closeSync(descriptor)
  }
  return { ok: true, problem, release }
}

function unlocked(why: string): Held {
  return { ok: true, problem: `another run of this list could begin meanwhile: ${why}`, release: () => {} }
}

function unseen({ pid, host }: Words): string {
  return `another run of this list may be going on, pid ${pid} on ${host}, which cannot be seen from here`
}

function textOf(self: LockHolder): string {
  const words: Words = { ...self, birth: birthOf(self.pid) ?? null }
  return JSON.stringify(words)
}

/** Undefined where nobody has said anything that could be understood. */
function readWords(path: string): Words | undefined {
  // Opened anew each time: that is when NFS looks whether there is something new.
  const descriptor = openControl(path)
  if (descriptor === undefined) return undefined
  try {
    const bytes = Buffer.alloc(MOST_BYTES)
    const length = readSync(descriptor, bytes, 0, MOST_BYTES, 0)
    const parsed = v.safeParse(schema, JSON.parse(bytes.toString('utf8', 0, length)))
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  } finally {
    closeSync(descriptor)
  }
}

/** What the words are worth as those of a holder. */
function creditOf(words: Words | undefined, here: string): keyof typeof WORDS_MS {
  if (words === undefined) return 'none'
  const { pid, birth, host } = words
  if (host !== here) return 'elsewhere'
  return birth === (birthOf(pid) ?? null) && isAlive(pid) ? 'living' : 'none'
}

/** When a living process began, of which boot; undefined without /proc. */
function birthOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name stands in parentheses and may itself hold some.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const isDead = fields[0] === 'Z' || fields[0] === 'X'
    return isDead ? undefined : `${bootId()} ${fields[19]}`
  } catch {
    return undefined
  }
}
