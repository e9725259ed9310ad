// Decides how one host is treated: how many transfers at once, when it is left in peace, when it is given up.
// Knows nothing of queues, clocks or sockets.

import type { Failure } from './failure.ts'
import { classOf, describe, isConnectFailure } from './failure.ts'
import { backoffMs } from './retry.ts'

export interface HostHealth {
  /** Transfers at once; falls when the host refuses while another runs. */
  readonly cap: number
  readonly pausedUntilMs: number
  /** Different jobs refused (429, 503) without a success between. */
  readonly refusedJobs: readonly number[]
  readonly connectFailuresInRow: number
  readonly failedProbes: number
  /** After a pause for connect failures, one job alone finds out. */
  readonly isProbing: boolean
  readonly successesInRow: number
  readonly pauses: number
  readonly downBecause?: string
}

export interface HostRules {
  readonly maxPerHost: number
  readonly retryDelayMs: number
  readonly retryAfterMaxMs: number
}

export type HostInput =
  | { readonly on: 'success' }
  | { readonly on: 'refused'; readonly job: number; readonly retryAfterMs?: number }
  /** `isProbe`: it was started to find out; one already under way when the pause began says nothing new. */
  | { readonly on: 'connect-failure'; readonly cause: string; readonly isProbe: boolean }
  /** Any other end: the host answered, so it is neither down nor full. */
  | { readonly on: 'answered' }

export interface HostVerdict {
  readonly health: HostHealth
  /** The host was only full: the attempt is repeated and no try is counted. */
  readonly isUncounted: boolean
  readonly change?: 'cap-lowered' | 'paused' | 'down'
}

const REFUSED_JOBS_TO_PAUSE = 3
const CONNECT_FAILURES_TO_PAUSE = 5
const FAILED_PROBES_TO_GIVE_UP = 3
const SUCCESSES_TO_RAISE_CAP = 20

export function freshHost(rules: HostRules): HostHealth {
  return {
    cap: rules.maxPerHost,
    pausedUntilMs: 0,
    refusedJobs: [],
    connectFailuresInRow: 0,
    failedProbes: 0,
    isProbing: false,
    successesInRow: 0,
    pauses: 0,
  }
}

/** How many transfers the host may have now. */
export function capOf(health: HostHealth): number {
  if (health.downBecause !== undefined) return 0
  return health.isProbing ? 1 : health.cap
}

/** `othersRunning`: transfers of this host that go on after this one ended. */
export function judgeHost(
  health: HostHealth,
  input: HostInput,
  rules: HostRules,
  at: { readonly nowMs: number; readonly othersRunning: number },
): HostVerdict {
  const pause = (next: HostHealth, waitMs: number): HostVerdict => ({
    health: { ...next, pausedUntilMs: Math.max(health.pausedUntilMs, at.nowMs + waitMs), pauses: health.pauses + 1 },
    isUncounted: false,
    change: 'paused',
  })
  switch (input.on) {
    case 'success': {
      const successesInRow = health.successesInRow + 1
      const raise = successesInRow % SUCCESSES_TO_RAISE_CAP === 0 && health.cap < rules.maxPerHost
      return {
        health: {
          ...freshHost(rules),
          cap: health.cap + (raise ? 1 : 0),
          pausedUntilMs: health.pausedUntilMs,
          successesInRow,
        },
        isUncounted: false,
      }
    }
    case 'answered':
      return {
        health: { ...health, connectFailuresInRow: 0, failedProbes: 0, isProbing: false, refusedJobs: [] },
        isUncounted: false,
      }
    case 'refused': {
      const answered: HostHealth = {
        ...health,
        connectFailuresInRow: 0,
        failedProbes: 0,
        isProbing: false,
        successesInRow: 0,
      }
      if (at.othersRunning > 0) {
        // Not more than what it demonstrably bears; the refused job starts again when one of those ends.
        const cap = Math.max(1, Math.min(health.cap - 1, at.othersRunning))
        return { health: { ...answered, cap }, isUncounted: true, change: 'cap-lowered' }
      }
      const refusedJobs = health.refusedJobs.includes(input.job)
        ? health.refusedJobs
        : [...health.refusedJobs, input.job]
      const next: HostHealth = { ...answered, refusedJobs }
      if (input.retryAfterMs !== undefined) {
        return input.retryAfterMs <= rules.retryAfterMaxMs
          ? pause(next, input.retryAfterMs)
          : { health: next, isUncounted: false }
      }
      return refusedJobs.length >= REFUSED_JOBS_TO_PAUSE
        ? pause({ ...next, refusedJobs: [] }, backoffMs(rules.retryDelayMs, Math.min(4, health.pauses + 1)))
        : { health: next, isUncounted: false }
    }
    case 'connect-failure': {
      if (health.isProbing && !input.isProbe) return { health, isUncounted: false }
      const connectFailuresInRow = health.connectFailuresInRow + 1
      const failedProbes = health.failedProbes + (input.isProbe ? 1 : 0)
      const next: HostHealth = { ...health, connectFailuresInRow, failedProbes, successesInRow: 0 }
      if (failedProbes >= FAILED_PROBES_TO_GIVE_UP) {
        return { health: { ...next, downBecause: input.cause }, isUncounted: false, change: 'down' }
      }
      if (connectFailuresInRow < CONNECT_FAILURES_TO_PAUSE) return { health: next, isUncounted: false }
      return pause({ ...next, isProbing: true }, backoffMs(rules.retryDelayMs, Math.min(4, failedProbes + 1)))
    }
  }
}

/** What an attempt's end says about its host; undefined when nothing: it was ours, the disk's or the child's. */
export function hostInputOf(
  end: { readonly ok: true; readonly outcome: string } | { readonly ok: false; readonly failure: Failure },
  start: { readonly index: number; readonly isProbe: boolean },
): HostInput | undefined {
  if (end.ok) return end.outcome === 'skipped' ? undefined : { on: 'success' }
  const { failure } = end
  if (isConnectFailure(failure)) return { on: 'connect-failure', cause: describe(failure), isProbe: start.isProbe }
  if (failure.kind === 'http-status' && (failure.status === 429 || failure.status === 503)) {
    const { retryAfterMs } = failure
    return { on: 'refused', job: start.index, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
  }
  const of = classOf(failure)
  return ['http', 'auth', 'tls', 'protocol', 'network'].includes(of) ? { on: 'answered' } : undefined
}
