// What becomes of a run in which one download went wrong, from what is there afterwards.

import { describe, expect, test } from 'vitest'
import {
  culpritOf,
  decisiveRun,
  fateOf,
  judgeCell,
  killTimeline,
  noticedAfterMs,
  type RunFacts,
} from '../../src/compare/judge.ts'
import type { Failure } from '../../src/core/failure.ts'
import { jobEnded, START } from '../events.ts'
import { accepted, attemptEnded, attemptStarted, ended, facts, signalSent } from './example.ts'

const HUNG: Failure = { kind: 'hang', afterMs: 2000 }
const SUSPECT: Failure = { kind: 'suspect', others: 2, how: 'died of SIGSEGV' }
const failed = (line: number, atMs: number, failure: Failure) => attemptEnded(line, atMs, { result: 'failed', failure })
const two = new Set(['1.bin', '3.bin'])

describe('fate', () => {
  const cases: readonly (readonly [what: string, fate: string, run: RunFacts])[] = [
    ['all files and an end', 'well', facts()],
    ['a file less, and it says so', 'well', facts({ whole: two, exitCode: 10 })],
    ['a signal', 'died', facts({ whole: two, exitCode: null, signal: 'SIGSEGV' })],
    ['an exit code without the end of its log', 'died', facts({ whole: two, exitCode: 134, events: [] })],
    [
      'killed because it took all memory',
      'died',
      facts({ events: [], signal: 'SIGKILL', isOutOfMemory: true, endedBecause: 'memory' }),
    ],
    ['ended from outside', 'never-ended', facts({ endedBecause: 'nothing happened for 8 s', signal: 'SIGKILL' })],
    ['exit code 0 with a file less', 'lied', facts({ whole: two })],
    ['exit code 0 in the middle of its work', 'lied', facts({ whole: new Set(), events: [] })],
    [
      'a row that claims what is not there',
      'lied',
      facts({ whole: two, exitCode: 1, events: [jobEnded({ line: 2 }), ended(9)] }),
    ],
  ]
  test.each(cases)('%s is: %s', (_, fate, run) => {
    expect(fateOf(run, 3)).toBe(fate)
  })
})

describe('culprit', () => {
  test('alone among those that failed it is named', () => {
    expect(culpritOf(facts({ events: [failed(2, 50, HUNG), ended(99)] }), 2)).toBe('named')
  })

  test('after suspects ran again alone it is named after their quarantine', () => {
    const events = [failed(1, 50, SUSPECT), failed(2, 50, SUSPECT), failed(2, 80, HUNG), ended(99)]
    expect(culpritOf(facts({ events }), 2)).toBe('after-quarantine')
  })

  test('among others that failed like it, or were suspected like it, it is one of the suspects', () => {
    expect(culpritOf(facts({ events: [failed(1, 50, HUNG), failed(2, 50, HUNG)] }), 2)).toBe('suspects-only')
    expect(culpritOf(facts({ events: [failed(1, 50, SUSPECT), failed(2, 50, SUSPECT)] }), 2)).toBe('suspects-only')
  })

  test('of a run that died only those are known that it was at', () => {
    const events = [attemptStarted(1, 0), attemptStarted(2, 5), attemptEnded(1, 20)]
    expect(culpritOf(facts({ events }), 2)).toBe('suspects-only')
    expect(culpritOf(facts({ events }), 1)).toBe('not')
  })

  test('when another is blamed it is not known', () => {
    expect(culpritOf(facts({ events: [attemptStarted(2, 5), attemptEnded(2, 9), failed(1, 50, HUNG)] }), 2)).toBe('not')
  })
})

describe('time', () => {
  const run = facts({
    events: [
      attemptStarted(1, 0),
      attemptStarted(2, 0),
      accepted(1, 90),
      accepted(2, 100),
      attemptEnded(1, 150),
      signalSent(2, 2100, 'SIGTERM'),
      signalSent(2, 2600, 'SIGKILL'),
      attemptEnded(2, 2650, { result: 'failed', failure: HUNG, signal: 'SIGKILL', exit_code: null }),
      attemptStarted(2, 2800, 2),
      attemptEnded(2, 2900, { n: 2 }),
      ended(3000),
    ],
  })

  test('it runs from the moment the body could begin', () => {
    expect(noticedAfterMs(run.events, 2)).toBe(2000)
    expect(killTimeline(run, 2)).toEqual([
      { at_ms: 0, what: 'fault', text: 'the download goes wrong' },
      { at_ms: 2000, what: 'noticed', text: 'no heartbeat for 2s' },
      { at_ms: 2000, what: 'SIGTERM', text: 'no heartbeat for 2s' },
      { at_ms: 2500, what: 'SIGKILL', text: 'no heartbeat for 2s' },
      { at_ms: 2550, what: 'joined', text: 'ended by SIGKILL' },
      { at_ms: 2700, what: 'retried', text: 'attempt 2' },
      { at_ms: 2800, what: 'joined', text: 'done, exit code 0' },
      { at_ms: 2900, what: 'run-ended', text: 'every job has its outcome' },
    ])
  })

  test('a crash is noticed by its end', () => {
    const events = [accepted(2, 100), failed(2, 130, { kind: 'crash-signal', signal: 'SIGSEGV' })]
    expect(noticedAfterMs(events, 2)).toBe(30)
    expect(killTimeline(facts({ events }), 2)[1]).toEqual({ at_ms: 30, what: 'noticed', text: 'its end was seen' })
  })

  test('what nobody noticed was given up from outside', () => {
    const never = facts({ events: [accepted(2, 100)], endedBecause: 'nothing happened for 8 s', wallMs: 9000 })
    expect(noticedAfterMs(never.events, 2)).toBeNull()
    expect(killTimeline(never, 2).at(-1)).toEqual({ at_ms: 8900, what: 'given-up', text: 'nothing happened for 8 s' })
  })

  test('where the fault has no moment it runs from the start of the run', () => {
    const events = [attemptStarted(2, 40), attemptStarted(2, 50, 2), ended(99)]
    expect(killTimeline(facts({ events }), 2)).toEqual([
      { at_ms: 50, what: 'retried', text: 'attempt 2' },
      { at_ms: 99, what: 'run-ended', text: 'every job has its outcome' },
    ])
  })
})

describe('cell', () => {
  const left = { pid: 4711, name: 'child.cjs' }
  const died = facts({
    whole: new Set(),
    exitCode: null,
    signal: 'SIGABRT',
    events: [],
    startedMs: START,
    leftBehind: [left],
  })

  test('the run that says more against the mode decides', () => {
    expect(decisiveRun({ first: died, final: facts() }, 3)).toBe(died)
    const cell = judgeCell('thread', { first: died, final: facts() }, { line: 2, files: 3 })
    expect(cell).toMatchObject({ files_first: 0, files_final: 3, fate: 'died', signal: 'SIGABRT', left_behind: [left] })
  })

  test('a run that is both counts once', () => {
    expect(judgeCell('thread', { first: died, final: died }, { line: 2, files: 3 }).left_behind).toEqual([left])
  })

  test('of two that ended well the one with retries decides', () => {
    const first = facts({ whole: two, exitCode: 11, events: [failed(2, 5, HUNG), ended(9)] })
    const cell = judgeCell('process', { first, final: facts() }, { line: 2, files: 3 })
    expect(cell).toMatchObject({ files_first: 2, files_final: 3, fate: 'well', exit_code: 0, culprit: 'named' })
  })
})
