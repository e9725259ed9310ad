// Watches a subject from outside and ends it when it takes too much or nothing happens any more. Knows nothing of what
// it is to do.

import type { ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { largestResidentBytes, pssBytesOf, treeOf } from './proc.ts'

export interface SubjectLimits {
  readonly deadlineMs: number
  /** Neither its log nor its memory has grown for this long; it may well be busy. */
  readonly silenceMs: number
  /** Resident, of each process. */
  readonly memoryBytes: number
}

/** For a run in which nothing is to go wrong; mpdl's own deadlines come long before. */
export const CLEAN_LIMITS: SubjectLimits = {
  deadlineMs: 3_600_000,
  silenceMs: Number.POSITIVE_INFINITY,
  memoryBytes: Number.POSITIVE_INFINITY,
}

const LOOK_EVERY_MS = 50
/** Looking at memory costs a millisecond of each process: it may take one part in so many. */
const LOOK_SHARE = 20
const GRACE_MS = 2000
/** Memory that grows by less may do so in an endless loop. */
const NOTABLE_BYTES = 8 * 2 ** 20

/** Why and when it was ended from outside. */
export interface Ending {
  readonly because: string
  readonly isOutOfMemory: boolean
  /** Ms since the epoch. */
  readonly atMs: number
}

export interface Watched {
  readonly peakPssBytes: number | null
  readonly ending: Ending | null
}

export interface WatchOrder {
  readonly limits: SubjectLimits
  /** Costs some time of the machine. */
  readonly measuresMemory: boolean
  /** Of its log, so far. */
  readonly logBytes: () => number
  readonly signal: AbortSignal
}

/** Resolves when it has ended, by itself or not. */
export async function watch(child: ChildProcess, pid: number, order: WatchOrder): Promise<Watched> {
  const { limits, measuresMemory, signal } = order
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null
  const began = performance.now()
  let peakPssBytes: number | null = null
  let most = { logBytes: 0, residentBytes: 0, grewAt: began }
  let pauseMs = LOOK_EVERY_MS
  for (;;) {
    await wait(pauseMs, child, signal)
    if (hasEnded()) return { peakPssBytes, ending: null }
    const lookedAt = performance.now()
    const tree = treeOf(pid)
    if (measuresMemory) {
      const pss = pssBytesOf(tree)
      if (pss !== null) peakPssBytes = Math.max(peakPssBytes ?? 0, pss)
    }
    const logBytes = order.logBytes()
    const residentBytes = largestResidentBytes(tree)
    if (logBytes > most.logBytes || residentBytes > most.residentBytes + NOTABLE_BYTES)
      most = { logBytes, residentBytes, grewAt: lookedAt }
    const now = performance.now()
    const isOutOfMemory = residentBytes > limits.memoryBytes
    const because = reasonToEnd(limits, now - began, now - most.grewAt, isOutOfMemory, signal.aborted)
    if (because !== null) {
      const atMs = Date.now()
      // What the kernel does when memory is out knows no grace.
      await endSubject(child, pid, isOutOfMemory ? 0 : GRACE_MS)
      return { peakPssBytes, ending: { because, isOutOfMemory, atMs } }
    }
    pauseMs = Math.max(LOOK_EVERY_MS, (now - lookedAt) * LOOK_SHARE)
  }
}

function reasonToEnd(
  limits: SubjectLimits,
  ranMs: number,
  silentMs: number,
  isOutOfMemory: boolean,
  isAborted: boolean,
): string | null {
  if (isAborted) return 'the comparison was interrupted'
  if (isOutOfMemory) return `one process took ${limits.memoryBytes / 2 ** 30} GiB of memory`
  if (silentMs >= limits.silenceMs) return `nothing happened for ${limits.silenceMs / 1000} s`
  if (ranMs >= limits.deadlineMs) return `it had not ended after ${limits.deadlineMs / 1000} s`
  return null
}

/** Until the time is over, the subject has ended or everything is to end. */
async function wait(ms: number, child: ChildProcess, signal: AbortSignal): Promise<void> {
  const woken = new AbortController()
  const wake = () => woken.abort()
  child.once('exit', wake)
  signal.addEventListener('abort', wake)
  if (signal.aborted || child.exitCode !== null || child.signalCode !== null) wake()
  await sleep(ms, undefined, { signal: woken.signal }).catch(() => {})
  child.off('exit', wake)
  signal.removeEventListener('abort', wake)
}

/** Politely, then not. A stopped process hears neither before it is continued, but dies of the second all the same. */
async function endSubject(child: ChildProcess, pid: number, graceMs: number): Promise<void> {
  const exited = new Promise<void>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve()
    child.once('exit', () => resolve())
  })
  if (graceMs > 0) {
    send(pid, 'SIGTERM')
    send(pid, 'SIGCONT')
    await Promise.race([exited, sleep(graceMs)])
  }
  send(-pid, 'SIGKILL')
  await exited
}

export function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
