// Decides whether the breaker tells a machine where nothing can live from a few bad downloads.

import { expect, test } from 'vitest'
import { countCrash, NO_CRASHES } from '../../src/core/breaker.ts'
import type { Failure } from '../../src/core/failure.ts'

const SEGV: Failure = { kind: 'crash-signal', signal: 'SIGSEGV' }
const NOT_FOUND: Failure = { kind: 'http-status', status: 404 }

/** What the breaker says after the last of these ends; undefined is a success. */
function outcomeOf(ends: readonly (readonly [job: number, failure: Failure | undefined])[]): string | undefined {
  let streak = NO_CRASHES
  let broken: string | undefined
  for (const [job, failure] of ends) {
    const counted = countCrash(streak, job, failure)
    streak = counted.streak
    broken = counted.broken
  }
  return broken
}
const times = (n: number, failure: Failure) => Array.from({ length: n }, (_, job) => [job, failure] as const)

test.each<[Failure, string]>([
  [SEGV, 'signal SIGSEGV'],
  [{ kind: 'exit-without-result', exitCode: 1 }, 'exit code 1'],
  [{ kind: 'spawn', code: 'EAGAIN' }, 'cannot start: EAGAIN'],
  [{ kind: 'boot-timeout', afterMs: 1 }, 'boot-timeout'],
  [{ kind: 'out-of-memory', limitBytes: 1 }, 'out-of-memory'],
  [{ kind: 'child-error', detail: 'x' }, 'child-error'],
])('five different jobs in a row that end as %j break the run', (failure, signature) => {
  expect(outcomeOf(times(4, failure))).toBeUndefined()
  expect(outcomeOf(times(5, failure))).toBe(signature)
})

test('the same job counts once, however often it crashes', () => {
  expect(outcomeOf(Array.from({ length: 50 }, () => [7, SEGV] as const))).toBeUndefined()
})

test('a success begins the count anew', () => {
  expect(outcomeOf([...times(4, SEGV), [9, undefined], [5, SEGV]])).toBeUndefined()
})

test('another kind of crash begins a count of its own', () => {
  expect(outcomeOf([...times(4, SEGV), [9, { kind: 'crash-signal', signal: 'SIGBUS' }], [5, SEGV]])).toBeUndefined()
})

test('a failed request says nothing about children', () => {
  expect(outcomeOf(times(50, NOT_FOUND))).toBeUndefined()
  expect(outcomeOf([...times(4, SEGV), [8, NOT_FOUND], [9, SEGV]])).toBe('signal SIGSEGV')
})

test('five jobs that found no room stop the run, one does not', () => {
  const failure: Failure = { kind: 'no-room', path: '/d', freeBytes: 1, neededBytes: 2 }
  let streak = NO_CRASHES
  for (const job of [1, 1, 2, 3, 4]) {
    const counted = countCrash(streak, job, failure)
    expect(counted.broken).toBeUndefined()
    streak = counted.streak
  }
  expect(countCrash(streak, 5, failure).broken).toBe('no room on the disk')
  expect(countCrash(countCrash(streak, 5, undefined).streak, 6, failure).broken).toBeUndefined()
})

test('one death of a shared process is many suspects and no streak, and ends none either', () => {
  const suspect: Failure = { kind: 'suspect', others: 7, how: '' }
  expect(outcomeOf(times(50, suspect))).toBeUndefined()
  expect(outcomeOf([...times(4, SEGV), [9, suspect], [5, SEGV]])).toBe('signal SIGSEGV')
})
