// Decides what an attempt's inputs mean: step() moves its state and names effects, verdict() turns its end
// into a result. Knows nothing of processes, clocks or HTTP; a message is a claim, only the reap ends it.

import type { Failure } from './failure.ts'
import { describe } from './failure.ts'

/** Where the transfer stands, as far as deadlines care. `held`: the supervisor itself keeps the child waiting. */
export type TransferPhase = 'connecting' | 'waiting' | 'receiving' | 'held' | 'hashing'

/** Why the supervisor ends a child. The first cause wins and is never overwritten. */
export type KillCause = Extract<
  Failure,
  {
    kind:
      | 'boot-timeout'
      | 'connect-timeout'
      | 'headers-timeout'
      | 'hang'
      | 'stall'
      | 'too-slow'
      | 'deadline'
      | 'memory'
      | 'garbled'
      | 'flood'
      | 'too-large'
      | 'disk-full'
      | 'cancelled'
      | 'run-deadline'
      | 'stopped'
      | 'not-needed'
  }
>

/** What the child says of its own task. */
export type Claim =
  | { readonly kind: 'done'; readonly bytes: number; readonly digests?: Readonly<Record<string, string>> }
  | { readonly kind: 'refused' }
  | { readonly kind: 'failed'; readonly failure: Failure }

/** What the kernel says of the child: the reap. */
export interface End {
  readonly exitCode?: number
  readonly signal?: string
  /** The errno of a spawn that never happened, e.g. ENOENT, EAGAIN. */
  readonly spawnError?: string
  /** Whether the child's last words were V8's about its heap. */
  readonly outOfMemory: boolean
  /** How many other attempts ran in the same process when it died, or when this one was told to stop. */
  readonly others?: number
}

export interface AttemptLimits {
  readonly bootMs: number
  readonly connectMs: number
  readonly headersMs: number
  readonly stallMs: number
  readonly hangMs: number
  readonly lingerMs: number
  readonly graceMs: number
  readonly reapMs: number
  readonly maxMemoryBytes: number
  readonly maxMessagesPerSecond: number
  /** Slower than this over `speedWindowMs` of receiving is killed; 0 turns it off. */
  readonly minBytesPerSecond: number
  readonly speedWindowMs: number
}

export type Timer = 'boot' | 'phase' | 'heartbeat' | 'speed' | 'linger' | 'grace' | 'reap'

export type AttemptInput =
  /** `pid`: of a process, its own or a shared one. */
  | { readonly on: 'spawned'; readonly pid?: number }
  | { readonly on: 'ready' }
  | { readonly on: 'phase'; readonly phase: TransferPhase }
  | { readonly on: 'beat' }
  /** The part was seen to have grown (not: the child says so). */
  | { readonly on: 'grew' }
  | { readonly on: 'claim'; readonly claim: Claim }
  | { readonly on: 'garbled'; readonly detail: string }
  | { readonly on: 'channel-closed' }
  | {
      readonly on: 'observed'
      readonly stopped: boolean
      readonly residentBytes: number
      readonly messagesPerSecond: number
    }
  | {
      readonly on: 'timer'
      readonly timer: Timer
      readonly bytesInWindow?: number
      /** What --limit-rate leaves it at least: what the limit slows is neither slow nor stalled. */
      readonly allowedBytesPerSecond?: number
    }
  | { readonly on: 'stop'; readonly cause: KillCause; readonly atOnce?: boolean }
  | { readonly on: 'end'; readonly end: End }

export type Effect =
  | { readonly do: 'kill'; readonly signal: 'SIGTERM' | 'SIGKILL' }
  | { readonly do: 'arm'; readonly timer: Timer; readonly ms: number }
  | { readonly do: 'disarm'; readonly timer: Timer }

export type AttemptPhase = 'starting' | 'running' | 'claimed' | 'terminating' | 'ended' | 'abandoned'

export interface Attempt {
  readonly phase: AttemptPhase
  readonly limits: AttemptLimits
  readonly host: string
  readonly transfer: TransferPhase
  readonly pid?: number
  readonly claim?: Claim
  readonly cause?: KillCause
  readonly end?: End
  /** The last signal that was sent, strongest wins. */
  readonly sent?: 'SIGTERM' | 'SIGKILL'
  readonly isStopped: boolean
  /** It was silent for the whole stall window, and the limit may be why. */
  readonly isGivenTime: boolean
  /** A claim was kept though the child had to be killed afterwards. */
  readonly lingered: boolean
}

export function begin(host: string, limits: AttemptLimits): [Attempt, readonly Effect[]] {
  const attempt: Attempt = {
    phase: 'starting',
    limits,
    host,
    transfer: 'held',
    isStopped: false,
    isGivenTime: false,
    lingered: false,
  }
  return [attempt, [{ do: 'arm', timer: 'boot', ms: limits.bootMs }]]
}

const LIVENESS: readonly Timer[] = ['boot', 'phase', 'heartbeat', 'speed', 'linger']
const disarm = (...timers: Timer[]): Effect[] => timers.map((timer) => ({ do: 'disarm', timer }))

/** Moves to terminating: SIGTERM first, but a stopped child would only sleep through its grace. */
function terminate(attempt: Attempt, cause: KillCause | undefined, atOnce = false): [Attempt, readonly Effect[]] {
  const signal = attempt.isStopped || atOnce ? 'SIGKILL' : 'SIGTERM'
  const next: Attempt = {
    ...attempt,
    phase: 'terminating',
    sent: signal,
    ...(cause !== undefined && attempt.cause === undefined ? { cause } : {}),
  }
  const wait: Effect =
    signal === 'SIGTERM'
      ? { do: 'arm', timer: 'grace', ms: attempt.limits.graceMs }
      : { do: 'arm', timer: 'reap', ms: attempt.limits.reapMs }
  return [next, [...disarm(...LIVENESS), { do: 'kill', signal }, wait]]
}

/** How long a child that is there may do nothing of what it is told. */
function idleMs({ bootMs, hangMs }: AttemptLimits): number {
  return bootMs + hangMs
}

function phaseTimer(attempt: Attempt): Effect[] {
  const { limits } = attempt
  switch (attempt.transfer) {
    case 'connecting':
      return [{ do: 'arm', timer: 'phase', ms: limits.connectMs }, ...disarm('speed')]
    case 'waiting':
      return [{ do: 'arm', timer: 'phase', ms: limits.headersMs }, ...disarm('speed')]
    case 'receiving':
      return [
        { do: 'arm', timer: 'phase', ms: limits.stallMs },
        ...(limits.minBytesPerSecond > 0 ? ([{ do: 'arm', timer: 'speed', ms: limits.speedWindowMs }] as const) : []),
      ]
    // Nothing is expected of the wire here; the heartbeat and the job's deadline still watch.
    case 'held':
    case 'hashing':
      return disarm('phase', 'speed')
  }
}

function phaseCause(attempt: Attempt): KillCause {
  switch (attempt.transfer) {
    case 'connecting':
      return { kind: 'connect-timeout', host: attempt.host, afterMs: attempt.limits.connectMs }
    case 'waiting':
      return { kind: 'headers-timeout', afterMs: attempt.limits.headersMs }
    default:
      return { kind: 'stall', afterMs: attempt.limits.stallMs }
  }
}

/** Silence for as long as the limit needs to let this much through proves a stall, however long that is. */
const FEWEST_BYTES_TO_STALL = 4

function onTimer(
  attempt: Attempt,
  { timer, bytesInWindow, allowedBytesPerSecond = Number.POSITIVE_INFINITY }: Extract<AttemptInput, { on: 'timer' }>,
): [Attempt, readonly Effect[]] {
  const { limits, phase } = attempt
  if (phase === 'terminating') {
    if (timer === 'grace' && attempt.sent === 'SIGTERM') {
      return [
        { ...attempt, sent: 'SIGKILL' },
        [
          { do: 'kill', signal: 'SIGKILL' },
          { do: 'arm', timer: 'reap', ms: limits.reapMs },
        ],
      ]
    }
    if (timer === 'reap' && attempt.sent === 'SIGKILL') return [{ ...attempt, phase: 'abandoned' }, []]
    return [attempt, []]
  }
  if (timer === 'boot' && phase !== 'claimed') {
    return terminate(attempt, {
      kind: 'boot-timeout',
      afterMs: phase === 'starting' ? limits.bootMs : idleMs(limits),
    })
  }
  if (phase === 'starting') return [attempt, []]
  if (phase === 'claimed') {
    // The claim stands; the child only failed to leave.
    return timer === 'linger' ? terminate({ ...attempt, lingered: true }, undefined) : [attempt, []]
  }
  if (timer === 'phase') {
    const neededMs = attempt.transfer === 'receiving' ? (FEWEST_BYTES_TO_STALL * 1000) / allowedBytesPerSecond : 0
    return neededMs > limits.stallMs && !attempt.isGivenTime
      ? [{ ...attempt, isGivenTime: true }, [{ do: 'arm', timer: 'phase', ms: Math.ceil(neededMs - limits.stallMs) }]]
      : terminate(attempt, phaseCause(attempt))
  }
  if (timer === 'heartbeat') return terminate(attempt, { kind: 'hang', afterMs: limits.hangMs })
  if (timer === 'speed') {
    const bytesPerSecond = Math.round(((bytesInWindow ?? 0) * 1000) / limits.speedWindowMs)
    // Half of its share, because a share may have grown within the window.
    return bytesPerSecond < Math.min(limits.minBytesPerSecond, allowedBytesPerSecond / 2)
      ? terminate(attempt, { kind: 'too-slow', bytesPerSecond, windowMs: limits.speedWindowMs })
      : [attempt, [{ do: 'arm', timer: 'speed', ms: limits.speedWindowMs }]]
  }
  return [attempt, []]
}

function onObserved(attempt: Attempt, seen: Extract<AttemptInput, { on: 'observed' }>): [Attempt, readonly Effect[]] {
  const { limits } = attempt
  const next: Attempt = { ...attempt, isStopped: seen.stopped }
  if (attempt.phase === 'terminating') {
    // A child stopped after its SIGTERM would sleep through the whole grace.
    return seen.stopped && attempt.sent === 'SIGTERM'
      ? [
          { ...next, sent: 'SIGKILL' },
          [...disarm('grace'), { do: 'kill', signal: 'SIGKILL' }, { do: 'arm', timer: 'reap', ms: limits.reapMs }],
        ]
      : [next, []]
  }
  if (seen.residentBytes > limits.maxMemoryBytes) {
    return terminate(next, { kind: 'memory', residentBytes: seen.residentBytes, limitBytes: limits.maxMemoryBytes })
  }
  if (seen.messagesPerSecond > limits.maxMessagesPerSecond) {
    return terminate(next, { kind: 'flood', messagesPerSecond: seen.messagesPerSecond })
  }
  return [next, []]
}

/**
 * The state machine of one attempt: pure and total. `ended` is reached only by the reap, `abandoned` only when
 * SIGKILL itself brought none within `reapMs`; from `terminating` there is no way back.
 */
export function step(attempt: Attempt, input: AttemptInput): [Attempt, readonly Effect[]] {
  if (attempt.phase === 'ended' || attempt.phase === 'abandoned') return [attempt, []]
  const isLive = attempt.phase !== 'terminating'
  switch (input.on) {
    case 'end':
      return [
        { ...attempt, phase: 'ended', end: input.end },
        disarm('boot', 'phase', 'heartbeat', 'speed', 'linger', 'grace', 'reap'),
      ]
    case 'spawned':
      return [input.pid === undefined ? attempt : { ...attempt, pid: input.pid }, []]
    case 'ready':
      if (attempt.phase !== 'starting') return [attempt, []]
      return [
        { ...attempt, phase: 'running' },
        [
          // A heart that beats is no work, and one that does not is to be called a hang.
          { do: 'arm', timer: 'boot', ms: idleMs(attempt.limits) },
          { do: 'arm', timer: 'heartbeat', ms: attempt.limits.hangMs },
        ],
      ]
    case 'phase': {
      if (attempt.phase !== 'running') return [attempt, []]
      const next: Attempt = { ...attempt, transfer: input.phase, isGivenTime: false }
      return [next, [...disarm('boot'), ...phaseTimer(next)]]
    }
    case 'beat':
      if (attempt.phase !== 'running') return [attempt, []]
      return [attempt, [{ do: 'arm', timer: 'heartbeat', ms: attempt.limits.hangMs }]]
    case 'grew':
      if (attempt.phase !== 'running' || attempt.transfer !== 'receiving') return [attempt, []]
      return [{ ...attempt, isGivenTime: false }, [{ do: 'arm', timer: 'phase', ms: attempt.limits.stallMs }]]
    case 'claim':
      // A claim that crossed our SIGTERM on its way is still the child's word, but no longer stops the kill.
      if (attempt.claim !== undefined || attempt.phase === 'starting') return [attempt, []]
      if (!isLive) return [{ ...attempt, claim: input.claim }, []]
      return [
        { ...attempt, phase: 'claimed', claim: input.claim },
        [...disarm('boot', 'phase', 'heartbeat', 'speed'), { do: 'arm', timer: 'linger', ms: attempt.limits.lingerMs }],
      ]
    case 'garbled':
      return isLive ? terminate(attempt, { kind: 'garbled', detail: input.detail }) : [attempt, []]
    case 'channel-closed':
      // The end normally follows within milliseconds; a child that closed its channel and stays cannot report.
      if (!isLive || attempt.phase === 'claimed') return [attempt, []]
      // It was never ready, so the heartbeat is not watched yet.
      if (attempt.phase === 'starting') return [attempt, [{ do: 'arm', timer: 'boot', ms: attempt.limits.lingerMs }]]
      return [attempt, [...disarm('phase', 'speed'), { do: 'arm', timer: 'heartbeat', ms: attempt.limits.lingerMs }]]
    case 'observed':
      return onObserved(attempt, input)
    case 'timer':
      return onTimer(attempt, input)
    case 'stop':
      if (isLive) return terminate(attempt, input.cause, input.atOnce)
      if (input.atOnce === true && attempt.sent === 'SIGTERM') {
        return [
          { ...attempt, sent: 'SIGKILL' },
          [
            ...disarm('grace'),
            { do: 'kill', signal: 'SIGKILL' },
            { do: 'arm', timer: 'reap', ms: attempt.limits.reapMs },
          ],
        ]
      }
      return [attempt, []]
  }
}

export type AttemptResult =
  | { readonly ok: true; readonly claim: Exclude<Claim, { kind: 'failed' }>; readonly lingered: boolean }
  | { readonly ok: false; readonly failure: Failure; readonly lingered: boolean }

/**
 * What an ended (or abandoned) attempt amounts to. Order: never reaped, never started, the child's own claim,
 * our own kill, its crash. A claim outlives a later hang; a kill by us is never filed as a crash; where others shared
 * its process, nobody knows yet whose fault that was.
 */
export function verdict(attempt: Attempt): AttemptResult {
  const { claim, cause, end, lingered } = attempt
  const failed = (failure: Failure): AttemptResult => ({ ok: false, failure, lingered })
  if (attempt.phase === 'abandoned') {
    const { pid, limits } = attempt
    return failed({ kind: 'abandoned', ...(pid === undefined ? {} : { pid }), afterMs: limits.reapMs })
  }
  if (end === undefined) throw new Error('verdict of an attempt that has not ended')
  if (end.spawnError !== undefined) return failed({ kind: 'spawn', code: end.spawnError })
  if (claim !== undefined) {
    return claim.kind === 'failed' ? failed(claim.failure) : { ok: true, claim, lingered }
  }
  const failure = cause ?? crashOf(end, attempt.limits)
  const { others = 0 } = end
  return failed(others > 0 && isOfProcess(cause, end) ? { kind: 'suspect', others, how: describe(failure) } : failure)
}

/** What is seen of a process as a whole. */
const OF_PROCESS: ReadonlySet<KillCause['kind']> = new Set(['boot-timeout', 'hang', 'memory', 'garbled'])
/** What is seen of one attempt; but whoever shares a process with one that keeps it busy is seen like that, too. */
const OF_ATTEMPT: ReadonlySet<KillCause['kind']> = new Set([
  'connect-timeout',
  'headers-timeout',
  'stall',
  'too-slow',
  'flood',
])

/** Where several attempts share a process, whether any of them may be the reason. */
function isOfProcess(cause: KillCause | undefined, { signal, exitCode }: End): boolean {
  if (cause === undefined || OF_PROCESS.has(cause.kind)) return true
  // One that is told to stop and does leaves the process alive.
  const hasDied = signal !== undefined || exitCode !== undefined
  return hasDied && OF_ATTEMPT.has(cause.kind)
}

function crashOf({ outOfMemory, signal, exitCode }: End, { maxMemoryBytes }: AttemptLimits): Failure {
  if (outOfMemory) return { kind: 'out-of-memory', limitBytes: maxMemoryBytes }
  if (signal !== undefined) return { kind: 'crash-signal', signal }
  return { kind: 'exit-without-result', exitCode: exitCode ?? 0 }
}
