// Decides whether the attempt's state machine keeps its promises in every state it can reach. Knows nothing of
// processes: effects are only read.

import { describe, expect, test } from 'vitest'
import type { Attempt, AttemptInput, AttemptLimits, Effect, End, KillCause, Timer } from '../../src/core/attempt.ts'
import { begin, step, verdict } from '../../src/core/attempt.ts'

const LIMITS: AttemptLimits = {
  bootMs: 15_000,
  connectMs: 30_000,
  headersMs: 300_000,
  stallMs: 60_000,
  hangMs: 30_000,
  lingerMs: 3000,
  graceMs: 5000,
  reapMs: 5001,
  maxMemoryBytes: 256 * 2 ** 20,
  maxMessagesPerSecond: 1000,
  minBytesPerSecond: 1024,
  speedWindowMs: 600_000,
}

const TIMERS: readonly Timer[] = ['boot', 'phase', 'heartbeat', 'speed', 'linger', 'grace', 'reap']
const CANCELLED: KillCause = { kind: 'cancelled', signal: 'SIGINT' }
const DEADLINE: KillCause = { kind: 'deadline', afterMs: 1 }
const EXIT_0: End = { exitCode: 0, outOfMemory: false }
const ENDS: readonly End[] = [
  EXIT_0,
  { exitCode: 3, outOfMemory: false },
  { signal: 'SIGSEGV', outOfMemory: false },
  { signal: 'SIGABRT', outOfMemory: true },
  { spawnError: 'EAGAIN', outOfMemory: false },
]

const seen = (stopped: boolean, residentBytes = 1, messagesPerSecond = 1): AttemptInput => ({
  on: 'observed',
  stopped,
  residentBytes,
  messagesPerSecond,
})

/** What only a child with an open channel can say. */
const SAID: readonly AttemptInput[] = [
  { on: 'ready' },
  { on: 'phase', phase: 'connecting' },
  { on: 'phase', phase: 'waiting' },
  { on: 'phase', phase: 'hashing' },
  { on: 'beat' },
  { on: 'claim', claim: { kind: 'done', bytes: 7 } },
  { on: 'claim', claim: { kind: 'refused' } },
  { on: 'claim', claim: { kind: 'failed', failure: { kind: 'network', code: 'ECONNRESET', host: 'h:80' } } },
  { on: 'garbled', detail: 'not JSON' },
]

const HAPPENED: readonly AttemptInput[] = [
  { on: 'spawned', pid: 42 },
  { on: 'phase', phase: 'receiving' },
  { on: 'phase', phase: 'held' },
  { on: 'grew' },
  { on: 'channel-closed' },
  seen(false),
  seen(true),
  seen(false, 2 ** 40),
  seen(true, 2 ** 40),
  seen(false, 1, 5000),
  { on: 'stop', cause: CANCELLED },
  { on: 'stop', cause: DEADLINE, atOnce: true },
  ...ENDS.map((end): AttemptInput => ({ on: 'end', end })),
]

const fires = (timer: Timer, bytesInWindow?: number, allowedBytesPerSecond?: number): AttemptInput => ({
  on: 'timer',
  timer,
  ...(bytesInWindow === undefined ? {} : { bytesInWindow }),
  ...(allowedBytesPerSecond === undefined ? {} : { allowedBytesPerSecond }),
})
const FIRED: readonly AttemptInput[] = [
  ...TIMERS.map((timer) => fires(timer)),
  fires('speed', 2 ** 40),
  fires('phase', 0, 0.01),
]

/** A state together with what surrounds it: which timers run and whether the child can still speak. */
interface Node {
  readonly attempt: Attempt
  readonly armed: ReadonlySet<Timer>
  readonly isClosed: boolean
}

const keyOf = ({ attempt: { limits: _, ...rest }, armed, isClosed }: Node) =>
  JSON.stringify([rest, [...armed].sort(), isClosed])

function armedAfter(before: ReadonlySet<Timer>, input: AttemptInput, effects: readonly Effect[]): Set<Timer> {
  const armed = new Set(before)
  if (input.on === 'timer') armed.delete(input.timer)
  for (const effect of effects) {
    if (effect.do === 'arm') armed.add(effect.timer)
    if (effect.do === 'disarm') armed.delete(effect.timer)
  }
  return armed
}

interface Transition {
  readonly from: Node
  readonly input: AttemptInput
  readonly to: Node
  readonly effects: readonly Effect[]
}

/** Every reachable state; `onTransition` sees every input in every one of them, possible there or not. */
function walk(onTransition: (transition: Transition) => void): Node[] {
  const [attempt, effects] = begin('h:80', LIMITS)
  const first: Node = { attempt, armed: armedAfter(new Set(), { on: 'ready' }, effects), isClosed: false }
  const known = new Map([[keyOf(first), first]])
  // A Map's iteration also reaches what is added meanwhile: breadth first.
  for (const from of known.values()) {
    for (const input of [...SAID, ...HAPPENED, ...FIRED]) {
      const [next, caused] = step(from.attempt, input)
      const to: Node = {
        attempt: next,
        armed: armedAfter(from.armed, input, caused),
        isClosed: from.isClosed || input.on === 'channel-closed',
      }
      onTransition({ from, input, to, effects: caused })
      if (input.on === 'timer' && !from.armed.has(input.timer)) continue
      if (from.isClosed && SAID.includes(input)) continue
      // An end is the last word; walking on from each of its many forms would show nothing new.
      if (next.phase === 'ended') continue
      const key = keyOf(to)
      if (!known.has(key)) known.set(key, to)
    }
  }
  return [...known.values()]
}

const isLive = (attempt: Attempt) => attempt.phase !== 'ended' && attempt.phase !== 'abandoned'
const signals = (effects: readonly Effect[]) => effects.flatMap((e) => (e.do === 'kill' ? [e.signal] : []))

describe('in every reachable state and for every input', () => {
  const transitions: Transition[] = []
  const nodes = walk((transition) => transitions.push(transition))
  const never = (isWrong: (transition: Transition) => boolean) => {
    const wrong = transitions.find(isWrong)
    expect(wrong && { from: wrong.from.attempt, input: wrong.input, to: wrong.to.attempt }).toBeUndefined()
  }

  test('the walk reaches all phases', () => {
    expect(new Set(transitions.map(({ to }) => to.attempt.phase))).toEqual(
      new Set(['starting', 'running', 'claimed', 'terminating', 'ended', 'abandoned']),
    )
    expect(nodes.length).toBeGreaterThan(500)
  })

  test('an attempt ends by a reap and by nothing else', () => {
    never(({ from, input, to }) => isLive(from.attempt) && (to.attempt.phase === 'ended') !== (input.on === 'end'))
  })

  test('an attempt is abandoned only when SIGKILL brought no reap in time', () => {
    never(
      ({ from, input, to }) =>
        to.attempt.phase === 'abandoned' &&
        isLive(from.attempt) &&
        !(input.on === 'timer' && input.timer === 'reap' && from.attempt.sent === 'SIGKILL'),
    )
  })

  test('SIGTERM is sent at most once and never after SIGKILL', () => {
    never(({ from, effects }) => signals(effects).includes('SIGTERM') && from.attempt.sent !== undefined)
  })

  test('SIGKILL is not repeated, and no step sends two signals', () => {
    never(({ from, effects }) => signals(effects).includes('SIGKILL') && from.attempt.sent === 'SIGKILL')
    never(({ effects }) => signals(effects).length > 1)
  })

  test('the state remembers the last signal, which never grows weaker', () => {
    never(({ from, to, effects }) => to.attempt.sent !== (signals(effects)[0] ?? from.attempt.sent))
  })

  test('there is no way back from terminating', () => {
    never(
      ({ from, to }) =>
        from.attempt.phase === 'terminating' && !['terminating', 'ended', 'abandoned'].includes(to.attempt.phase),
    )
    never(({ to }) => to.attempt.phase === 'terminating' && to.attempt.sent === undefined)
  })

  test('a claimed attempt never runs again, and a running one never starts again', () => {
    never(({ from, to }) => from.attempt.phase === 'claimed' && ['starting', 'running'].includes(to.attempt.phase))
    never(({ from, to }) => from.attempt.phase === 'running' && to.attempt.phase === 'starting')
  })

  test('the first cause and the first claim are never overwritten', () => {
    never(({ from, to }) => from.attempt.cause !== undefined && to.attempt.cause !== from.attempt.cause)
    never(({ from, to }) => from.attempt.claim !== undefined && to.attempt.claim !== from.attempt.claim)
  })

  test('nothing is killed without a cause, except one that claimed and did not leave', () => {
    never(
      ({ from, to, effects }) =>
        signals(effects).length > 0 && to.attempt.cause === undefined && from.attempt.claim === undefined,
    )
  })

  test('an ended or abandoned attempt takes no more input', () => {
    const settled = [...nodes, ...transitions.slice(0, 5000).map(({ to }) => to)].filter((n) => !isLive(n.attempt))
    expect(settled.length).toBeGreaterThan(0)
    for (const { attempt } of settled) {
      for (const input of [...SAID, ...HAPPENED, ...FIRED]) expect(step(attempt, input)).toEqual([attempt, []])
    }
  })

  test('every live state can be ended by the reap, which disarms all its timers', () => {
    never(({ input, to }) => input.on === 'end' && to.armed.size > 0)
    for (const { attempt } of nodes.filter((n) => isLive(n.attempt))) {
      expect(step(attempt, { on: 'end', end: EXIT_0 })[0].phase).toBe('ended')
    }
  })

  test('every live state has a future: silence alone leads through its timers to the end', () => {
    for (const node of nodes) {
      let { attempt, armed } = node
      for (let fired = 0; isLive(attempt); fired++) {
        const before = attempt
        const timer = [...armed].find((armedTimer) => step(before, fires(armedTimer))[0] !== before)
        if (timer === undefined || fired > 3) {
          expect.unreachable(`${keyOf(node)} waits for ever, armed: ${[...armed].join(' ')}`)
        }
        const [next, effects] = step(attempt, fires(timer))
        armed = armedAfter(armed, fires(timer), effects)
        attempt = next
      }
      expect(attempt.phase === 'abandoned' || attempt.phase === 'ended').toBe(true)
    }
  })

  test('terminating runs only the grace or the reap timer, and exactly one of them', () => {
    for (const { attempt, armed } of nodes) {
      if (attempt.phase !== 'terminating') continue
      expect([...armed]).toEqual([attempt.sent === 'SIGTERM' ? 'grace' : 'reap'])
    }
  })

  test('a child that is stopped gets no grace', () => {
    never(({ from, input, effects }) => {
      const isStopped = input.on === 'observed' ? input.stopped : from.attempt.isStopped
      return isStopped && signals(effects).includes('SIGTERM')
    })
  })

  test('a verdict exists for every end', () => {
    for (const { to } of transitions) {
      if (isLive(to.attempt)) continue
      const { ok, lingered } = verdict(to.attempt)
      if (ok) expect(to.attempt.claim?.kind === 'done' || to.attempt.claim?.kind === 'refused').toBe(true)
      expect(lingered).toBe(to.attempt.lingered)
    }
  })
})

/** Feeds inputs one after the other and collects what they cause. */
function feed(inputs: readonly AttemptInput[], limits = LIMITS): { attempt: Attempt; effects: Effect[] } {
  let [attempt] = begin('h:80', limits)
  const effects: Effect[] = []
  for (const input of inputs) {
    const [next, caused] = step(attempt, input)
    attempt = next
    effects.push(...caused)
  }
  return { attempt, effects }
}

const SPAWNED: AttemptInput = { on: 'spawned', pid: 42 }
const READY: AttemptInput = { on: 'ready' }
const DONE: AttemptInput = { on: 'claim', claim: { kind: 'done', bytes: 7 } }
const RESET: AttemptInput = {
  on: 'claim',
  claim: { kind: 'failed', failure: { kind: 'network', code: 'ECONNRESET', host: 'h:80' } },
}
const LEFT: AttemptInput = { on: 'end', end: EXIT_0 }
const TERMINATED: AttemptInput = { on: 'end', end: { signal: 'SIGTERM', outOfMemory: false } }
const KILLED: AttemptInput = { on: 'end', end: { signal: 'SIGKILL', outOfMemory: false } }
const receiving: AttemptInput = { on: 'phase', phase: 'receiving' }

describe('timers', () => {
  test.each([
    ['connecting', { kind: 'connect-timeout', host: 'h:80', afterMs: 30_000 }],
    ['waiting', { kind: 'headers-timeout', afterMs: 300_000 }],
    ['receiving', { kind: 'stall', afterMs: 60_000 }],
  ] as const)('silence while %s is killed for its own reason', (phase, cause) => {
    const { attempt, effects } = feed([SPAWNED, READY, { on: 'phase', phase }, fires('phase')])
    expect(attempt).toMatchObject({ phase: 'terminating', cause, sent: 'SIGTERM' })
    expect(effects.at(-1)).toEqual({ do: 'arm', timer: 'grace', ms: 5000 })
  })

  test.each(['held', 'hashing'] as const)('while %s nothing is expected of the wire', (phase) => {
    const { effects } = feed([SPAWNED, READY, receiving, { on: 'phase', phase }])
    expect(effects.slice(-2)).toEqual([
      { do: 'disarm', timer: 'phase' },
      { do: 'disarm', timer: 'speed' },
    ])
  })

  test('each beat arms the heartbeat anew, and growth of the part the stall timer', () => {
    const { effects } = feed([SPAWNED, READY, receiving, { on: 'beat' }, { on: 'grew' }])
    expect(effects.slice(-2)).toEqual([
      { do: 'arm', timer: 'heartbeat', ms: 30_000 },
      { do: 'arm', timer: 'phase', ms: 60_000 },
    ])
  })

  test('growth before the body was to be received means nothing', () => {
    expect(step(feed([SPAWNED, READY]).attempt, { on: 'grew' })[1]).toEqual([])
  })

  test('a child that beats no more is hung, one that is slow is too slow', () => {
    expect(feed([READY, fires('heartbeat')]).attempt.cause).toEqual({ kind: 'hang', afterMs: 30_000 })
    expect(feed([READY, receiving, fires('speed', 60_000)]).attempt.cause).toEqual({
      kind: 'too-slow',
      bytesPerSecond: 100,
      windowMs: 600_000,
    })
  })

  test('fast enough begins the next window', () => {
    const { attempt, effects } = feed([READY, receiving, fires('speed', 1024 * 600)])
    expect(attempt.phase).toBe('running')
    expect(effects.at(-1)).toEqual({ do: 'arm', timer: 'speed', ms: 600_000 })
  })

  test('what --limit-rate slows is not too slow, what is slower than half of its share is', () => {
    const { attempt } = feed([READY, receiving])
    // 600 s; a share of 400 B/s is less than the minimum of 1 KiB/s.
    expect(step(attempt, fires('speed', 200 * 600, 400))[0].phase).toBe('running')
    expect(step(attempt, fires('speed', 199 * 600, 400))[0].cause).toMatchObject({
      kind: 'too-slow',
      bytesPerSecond: 199,
    })
  })

  test('a share above the minimum asks for no more than the minimum', () => {
    const { attempt } = feed([READY, receiving])
    expect(step(attempt, fires('speed', 1024 * 600, 2 ** 30))[0].phase).toBe('running')
    expect(step(attempt, fires('speed', 1023 * 600, 2 ** 30))[0].phase).toBe('terminating')
  })

  test('silence is a stall only after the time that the limit needs for four bytes, and then it is', () => {
    const { attempt } = feed([READY, receiving], { ...LIMITS, stallMs: 1000 })
    const [next, effects] = step(attempt, fires('phase', 0, 1))
    expect(next.phase).toBe('running')
    expect(effects).toEqual([{ do: 'arm', timer: 'phase', ms: 3000 }])
    expect(step(next, fires('phase', 0, 1))[0].cause).toEqual({ kind: 'stall', afterMs: 1000 })
    expect(step(attempt, fires('phase', 0, 4))[0].cause).toEqual({ kind: 'stall', afterMs: 1000 })
  })

  test('a byte gives it that time anew', () => {
    const { attempt } = feed([READY, receiving, fires('phase', 0, 1), { on: 'grew' }], { ...LIMITS, stallMs: 1000 })
    expect(step(attempt, fires('phase', 0, 1))[0].phase).toBe('running')
  })

  test.each(['connecting', 'waiting'] as const)('a limit excuses no silence while %s', (phase) => {
    const { attempt } = feed([READY, { on: 'phase', phase }], { ...LIMITS, stallMs: 3000 })
    expect(step(attempt, fires('phase', 0, 1))[0].phase).toBe('terminating')
  })

  test('no minimum speed arms no speed timer', () => {
    const { effects } = feed([READY, receiving], { ...LIMITS, minBytesPerSecond: 0 })
    expect(effects).not.toContainEqual(expect.objectContaining({ do: 'arm', timer: 'speed' }))
  })

  test('a child that is there and only beats, whatever it was told to do, is killed for it', () => {
    const { attempt, effects } = feed([SPAWNED, { on: 'ready' }, { on: 'beat' }])
    expect(effects.findLast((effect) => effect.do !== 'kill' && effect.timer === 'boot')).toEqual({
      do: 'arm',
      timer: 'boot',
      ms: 45_000,
    })
    expect(step(attempt, fires('boot'))[0].cause).toEqual({ kind: 'boot-timeout', afterMs: 45_000 })
    expect(feed([SPAWNED, { on: 'ready' }, { on: 'phase', phase: 'connecting' }]).effects).toContainEqual({
      do: 'disarm',
      timer: 'boot',
    })
  })

  test('a child that does not boot is killed for it', () => {
    expect(feed([SPAWNED, fires('boot')]).attempt.cause).toEqual({ kind: 'boot-timeout', afterMs: 15_000 })
  })

  test('a child that closes its channel and stays is given as long as one that lingers', () => {
    expect(feed([SPAWNED, READY, { on: 'channel-closed' }]).effects).toContainEqual({
      do: 'arm',
      timer: 'heartbeat',
      ms: 3000,
    })
  })

  test('a child that closes its channel before it was ready does not live for ever', () => {
    const { attempt, effects } = feed([SPAWNED, { on: 'channel-closed' }])
    const armed = effects.flatMap((effect) => (effect.do === 'arm' ? [effect] : []))
    expect(armed).toEqual([{ do: 'arm', timer: 'boot', ms: 3000 }])
    expect(step(attempt, fires('boot'))[0].phase).toBe('terminating')
  })
})

describe('killing', () => {
  test('goes from SIGTERM over the grace to SIGKILL and then waits for the reap', () => {
    const { attempt, effects } = feed([SPAWNED, READY, { on: 'stop', cause: CANCELLED }, fires('grace'), fires('reap')])
    expect(signals(effects)).toEqual(['SIGTERM', 'SIGKILL'])
    expect(attempt.phase).toBe('abandoned')
    expect(verdict(attempt)).toEqual({
      ok: false,
      failure: { kind: 'abandoned', pid: 42, afterMs: 5001 },
      lingered: false,
    })
  })

  test('at once means no grace, also for one that was asked politely before', () => {
    expect(signals(feed([READY, { on: 'stop', cause: CANCELLED, atOnce: true }]).effects)).toEqual(['SIGKILL'])
    const { attempt, effects } = feed([
      READY,
      { on: 'stop', cause: DEADLINE },
      { on: 'stop', cause: CANCELLED, atOnce: true },
    ])
    expect(signals(effects)).toEqual(['SIGTERM', 'SIGKILL'])
    expect(attempt.cause).toEqual(DEADLINE)
  })

  test('a child that is stopped during its grace is killed without waiting for the rest of it', () => {
    expect(signals(feed([READY, { on: 'stop', cause: CANCELLED }, seen(true)]).effects)).toEqual(['SIGTERM', 'SIGKILL'])
  })

  test('too much memory and too many messages are killed, exactly the limit is not', () => {
    expect(feed([READY, seen(false, 256 * 2 ** 20, 1000)]).attempt.phase).toBe('running')
    expect(feed([READY, seen(false, 256 * 2 ** 20 + 1)]).attempt.cause?.kind).toBe('memory')
    expect(feed([READY, seen(false, 1, 1001)]).attempt.cause).toEqual({ kind: 'flood', messagesPerSecond: 1001 })
  })
})

describe('the verdict', () => {
  const reset = { kind: 'network', code: 'ECONNRESET', host: 'h:80' }
  const hang = { kind: 'hang', afterMs: 30_000 }
  const stop: AttemptInput = { on: 'stop', cause: CANCELLED }
  const cases: readonly (readonly [string, readonly AttemptInput[], object])[] = [
    ['a claim and an exit is a success', [READY, DONE, LEFT], { ok: true, lingered: false }],
    [
      'a refusal that was claimed is no failure',
      [READY, { on: 'claim', claim: { kind: 'refused' } }, LEFT],
      { ok: true },
    ],
    [
      'a claim outlives a linger timeout',
      [READY, DONE, fires('linger'), KILLED],
      { ok: true, lingered: true, claim: { kind: 'done', bytes: 7 } },
    ],
    [
      'a claimed failure outlives a later hang',
      [READY, RESET, fires('linger'), KILLED],
      { failure: reset, lingered: true },
    ],
    ['a claim outlives our own later kill', [READY, DONE, stop, TERMINATED], { ok: true }],
    ['a claim that crossed our kill still counts', [READY, stop, DONE, TERMINATED], { ok: true }],
    ['a claimed failure that crossed our kill still counts', [READY, stop, RESET, TERMINATED], { failure: reset }],
    ['a second claim changes nothing', [READY, RESET, DONE, LEFT], { failure: reset }],
    [
      'a claim outlives a crash',
      [READY, DONE, { on: 'end', end: { signal: 'SIGSEGV', outOfMemory: false } }],
      { ok: true },
    ],
    ['a child killed by us is not filed as a crash', [READY, fires('heartbeat'), KILLED], { failure: hang }],
    [
      'a child that leaves with code 3 under our kill was killed',
      [READY, stop, { on: 'end', end: { exitCode: 3, outOfMemory: false } }],
      { failure: CANCELLED },
    ],
    ['the first cause wins', [READY, fires('heartbeat'), stop, KILLED], { failure: hang }],
    ['exit 0 without a claim is a crash', [READY, LEFT], { failure: { kind: 'exit-without-result', exitCode: 0 } }],
    [
      'exit 3 without a claim is a crash',
      [READY, { on: 'end', end: { exitCode: 3, outOfMemory: false } }],
      { failure: { kind: 'exit-without-result', exitCode: 3 } },
    ],
    [
      'an end of which nothing is known is a crash',
      [READY, { on: 'end', end: { outOfMemory: false } }],
      { failure: { kind: 'exit-without-result', exitCode: 0 } },
    ],
    [
      'a signal that was not ours is a crash',
      [READY, { on: 'end', end: { signal: 'SIGSEGV', outOfMemory: false } }],
      { failure: { kind: 'crash-signal', signal: 'SIGSEGV' } },
    ],
    [
      'an abort of a full heap is out of memory',
      [READY, { on: 'end', end: { signal: 'SIGABRT', outOfMemory: true } }],
      { failure: { kind: 'out-of-memory', limitBytes: 256 * 2 ** 20 } },
    ],
    [
      'a spawn that failed is its own kind',
      [{ on: 'end', end: { spawnError: 'ENOENT', outOfMemory: false } }],
      { failure: { kind: 'spawn', code: 'ENOENT' } },
    ],
    [
      'a spawn that failed outranks a stop',
      [stop, { on: 'end', end: { spawnError: 'ENOENT', outOfMemory: false } }],
      { failure: { kind: 'spawn', code: 'ENOENT' } },
    ],
    ['a claim before the version is no claim', [DONE, LEFT], { failure: { kind: 'exit-without-result', exitCode: 0 } }],
    [
      'abandoned outranks a claim: nobody knows what still writes',
      [READY, DONE, fires('linger'), fires('grace'), fires('reap')],
      { failure: { kind: 'abandoned', afterMs: 5001 }, lingered: true },
    ],
    [
      'what is abandoned is named by its pid where it has one',
      [{ on: 'spawned', pid: 42 }, READY, DONE, fires('linger'), fires('grace'), fires('reap')],
      { failure: { kind: 'abandoned', pid: 42, afterMs: 5001 } },
    ],
    [
      'a shared process that died makes suspects of all that ran there',
      [READY, { on: 'end', end: { signal: 'SIGSEGV', outOfMemory: false, others: 7 } }],
      { failure: { kind: 'suspect', others: 7, how: 'CRASHED the child died of SIGSEGV' } },
    ],
    [
      'a shared process that hangs may hang because of any of them',
      [READY, fires('heartbeat'), { on: 'end', end: { signal: 'SIGKILL', outOfMemory: false, others: 1 } }],
      { failure: { kind: 'suspect', others: 1, how: 'HUNG no heartbeat for 30s' } },
    ],
    [
      'what was stopped for its own sake is no suspect, whoever shared its process',
      [READY, stop, { on: 'end', end: { outOfMemory: false, others: 7 } }],
      { failure: CANCELLED },
    ],
    [
      'what stalls and stops when it is told to stalled by itself',
      [
        READY,
        { on: 'phase', phase: 'receiving' },
        fires('phase'),
        { on: 'end', end: { outOfMemory: false, others: 7 } },
      ],
      { failure: { kind: 'stall' } },
    ],
    [
      'what stalls in a process that has to be killed may stall because of any of them',
      [
        READY,
        { on: 'phase', phase: 'receiving' },
        fires('phase'),
        fires('grace'),
        { on: 'end', end: { signal: 'SIGKILL', outOfMemory: false, others: 7 } },
      ],
      { failure: { kind: 'suspect', others: 7 } },
    ],
    [
      'who was alone in a shared process when it died is the culprit',
      [READY, { on: 'end', end: { signal: 'SIGSEGV', outOfMemory: false, others: 0 } }],
      { failure: { kind: 'crash-signal', signal: 'SIGSEGV' } },
    ],
    [
      'a claim outlives the death of a shared process',
      [READY, DONE, { on: 'end', end: { signal: 'SIGSEGV', outOfMemory: false, others: 7 } }],
      { ok: true },
    ],
  ]

  test.each(cases)('%s', (_, inputs, expected) => {
    expect(verdict(feed(inputs).attempt)).toMatchObject(expected)
  })

  test('of an attempt that has not ended there is none', () => {
    expect(() => verdict(feed([READY]).attempt)).toThrow('has not ended')
  })
})
