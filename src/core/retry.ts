// Decides whether a failed attempt is followed by another, when, from which mirror and from which byte.
// Knows nothing of hosts' health or processes; chance and time are passed in.

import type { Failure } from './failure.ts'
import { classOf, isTransient } from './failure.ts'

export interface RetryPolicy {
  /** Attempts per mirror that count. */
  readonly tries: number
  /** The first wait; each further one is four times as long, at most `MAX_DELAY_MS` or this, if larger. */
  readonly retryDelayMs: number
  readonly retryAfterMaxMs: number
}

/** What has happened to a job so far. One counter a mirror: a mirror that is dropped is set to Infinity. */
export interface RetryHistory {
  readonly mirror: number
  readonly countedTries: readonly number[]
  /** The file's bytes came from more than one response. */
  readonly isJoined: boolean
  /** The last attempt brought the file a good deal further than any before it: see {@link ADVANCE_BYTES}. */
  readonly hasAdvanced: boolean
}

export type RetryDecision =
  | {
      readonly do: 'retry'
      readonly waitMs: number
      readonly mirror: number
      readonly startOver: boolean
      readonly countedTries: readonly number[]
    }
  | { readonly do: 'give-up'; readonly failure: Failure }

const MAX_DELAY_MS = 120_000
/**
 * A failed attempt that brought the file this much further than it ever was uses no try: a line that breaks every
 * hundred MiB costs time, not the download. Since a file has an end, so have these attempts.
 */
export const ADVANCE_BYTES = 2 ** 20

/** 2, 8, 32, 120 s … for the default delay; `n` counts from 1. */
export function backoffMs(retryDelayMs: number, n: number): number {
  return Math.min(retryDelayMs * 4 ** (n - 1), Math.max(MAX_DELAY_MS, retryDelayMs))
}

/** The failures that no other mirror can mend: they are of this machine or of this run. */
function isLocal(failure: Failure): boolean {
  const of = classOf(failure)
  return of === 'file' || of === 'other' || failure.kind === 'deadline' || failure.kind === 'run-deadline'
}

/**
 * Reason first, then delay. A transient failure uses a try of its mirror and goes to the next mirror, waiting
 * only when every mirror had its turn; a final one drops the mirror. Full jitter; `Retry-After` is obeyed as
 * it is (plus a little, so that all do not return at once) up to `retryAfterMaxMs` and never past `deadlineAtMs`.
 */
export function decideRetry(
  failure: Failure,
  history: RetryHistory,
  policy: RetryPolicy,
  at: { readonly nowMs: number; readonly deadlineAtMs?: number; readonly random: number },
): RetryDecision {
  const giveUp = (why: Failure): RetryDecision => ({ do: 'give-up', failure: why })
  if (isLocal(failure) || failure.kind === 'abandoned') return giveUp(failure)

  // Bytes of two versions may have been joined, or the disk has lied: only a whole transfer can tell.
  const mustStartOver = classOf(failure) === 'integrity'
  const mayTryAgain = isTransient(failure) || (failure.kind === 'checksum' && history.isJoined)
  const cost = history.hasAdvanced && !mustStartOver ? 0 : 1
  const countedTries = history.countedTries.map((used, mirror) =>
    mirror !== history.mirror ? used : mayTryAgain ? used + cost : Number.POSITIVE_INFINITY,
  )
  const alive = countedTries.flatMap((used, mirror) => (used < policy.tries ? [mirror] : []))
  if (alive.length === 0) return giveUp(failure)
  const mirror = alive.find((m) => m > history.mirror) ?? alive[0] ?? 0
  const isNewTurn = cost === 0 || (countedTries[mirror] ?? 0) > 0

  const asked = failure.kind === 'http-status' && mirror === history.mirror ? failure.retryAfterMs : undefined
  const tryLater = (waitMs: number): RetryDecision =>
    giveUp({
      kind: 'try-later',
      status: failure.kind === 'http-status' ? failure.status : 0,
      waitMs,
      atMs: at.nowMs + waitMs,
    })
  if (asked !== undefined && asked > policy.retryAfterMaxMs) return tryLater(asked)
  const waitMs =
    asked !== undefined
      ? asked + Math.round(at.random * Math.min(1000, asked / 10))
      : isNewTurn && !mustStartOver
        ? Math.round(at.random * backoffMs(policy.retryDelayMs, Math.max(1, countedTries[mirror] ?? 1)))
        : 0
  if (at.deadlineAtMs !== undefined && at.nowMs + waitMs >= at.deadlineAtMs) {
    return asked !== undefined ? tryLater(asked) : giveUp(failure)
  }
  return { do: 'retry', waitMs, mirror, startOver: mustStartOver, countedTries }
}
