import { describe, expect, test } from 'vitest'
import type { RunEvent, Status } from '../../src/core/event.ts'
import { explainLines, isAbout } from '../../src/reporters/explain.ts'
import { statusLines } from '../../src/reporters/status.ts'
import { attempt, jobEnded, jobRow, reportOf, runEnded, runStarted, START } from '../events.ts'

const of = { index: 16, line: 17 }
const url = 'https://example.com/a.bin'
const life: RunEvent[] = [
  { type: 'job-started', at: START, ...of, id: 'j', url, out: 'a\x1b.bin' },
  { type: 'attempt-started', at: START + 5, ...of, n: 1, task: 'fetch', pid: 4242, url, resumed_from: 1024 },
  { type: 'response', at: START + 105, ...of, n: 1, status: 206, answer: 'bytes taken' },
  { type: 'signal-sent', at: START + 30_105, ...of, n: 1, pid: 4242, signal: 'SIGTERM', reason: 'hang' },
  {
    type: 'attempt-ended',
    at: START + 30_150,
    ...of,
    attempt: attempt({
      exit_code: null,
      signal: 'SIGTERM',
      kill_reason: 'hang',
      max_rss: 50 * 2 ** 20,
      failure: { kind: 'hang', afterMs: 30_000 },
      result: 'failed',
      lingered: true,
      counted: false,
      stderr: 'oh\nno',
    }),
  },
  { type: 'retry-planned', at: START + 30_151, ...of, wait_ms: 2000, reason: 'HUNG', start_over: true },
  { type: 'attempt-started', at: START + 32_151, ...of, n: 2, task: 'hash', pid: null, url, resumed_from: 0 },
  { type: 'attempt-ended', at: START + 32_152, ...of, attempt: attempt({ n: 2, pid: null }) },
  { type: 'retry-planned', at: START + 32_153, ...of, wait_ms: 10, reason: 'x', start_over: false },
  { type: 'attempt-ended', at: START + 32_154, ...of, attempt: attempt({ n: 3, exit_code: null }) },
  { type: 'job-ended', at: START + 40_000, row: jobRow({ ...of, warnings: ['HTML came'], kept: 0 }) },
]

describe('explain', () => {
  test('tells one life with times since its start', () => {
    expect(explainLines(life)).toEqual([
      '    +0.000s  line 17 started: https://example.com/a.bin',
      '             to a\\x1b.bin',
      '    +0.005s  attempt 1 (pid 4242) asks for https://example.com/a.bin from byte 1024',
      '    +0.105s  attempt 1: HTTP 206, bytes taken',
      '   +30.105s  attempt 1: SIGTERM sent to pid 4242: hang',
      '   +30.150s  attempt 1 failed: died of SIGTERM, 1000 B, 50.0 MiB of memory, had to be killed to leave, not counted as a try',
      '             ended by mpdl: hang',
      '             HUNG no heartbeat for 30s',
      '             its last words: oh\\x0ano',
      '   +30.151s  waits 2s, then tries again from the start: HUNG',
      '   +32.151s  attempt 2 (without a process of its own) checks the file',
      '   +32.152s  attempt 2 done: 1000 B',
      '   +32.153s  waits 10ms, then tries again where it left off: x',
      '   +32.154s  attempt 3 done: exit code unknown, 1000 B',
      '   +40.000s  downloaded, 1000 B, proof: length',
      '             warning: HTML came',
    ])
  })

  test('tells of a job that shared its end with others, and of none at all', () => {
    const bulk: RunEvent = {
      type: 'jobs-ended',
      at: START,
      outcome: 'not-started',
      failure: null,
      reason: 'SIGINT',
      count: 5,
      lines: [[15, 20]],
    }
    expect(explainLines([bulk, runEnded()])).toEqual(['    +0.000s  not-started, with 4 others: SIGINT'])
    expect(explainLines([])).toEqual(['nothing is known of this job in this run'])
    expect(isAbout(bulk, 17)).toBe(true)
    expect(isAbout(bulk, 21)).toBe(false)
  })

  test('knows which events are about a line', () => {
    expect(life.every((event) => isAbout(event, 17))).toBe(true)
    expect([...life, runEnded()].some((event) => isAbout(event, 18))).toBe(false)
  })

  test('says what a failed job left for the next run', () => {
    const row = jobEnded({ outcome: 'killed', reason: 'HUNG', kept: 2048 })
    expect(explainLines([row])).toEqual(['    +0.000s  killed: HUNG, 2.00 KiB kept for the next run'])
  })
})

describe('status', () => {
  const status: Status = {
    at: START + 61_000,
    active: [
      { ...of, out: 'a.bin', pid: 4242, phase: 'receiving', bytes: 512, sizeBytes: 1024, attempt: 2, startedAt: START },
      { ...of, out: '\u202eb', pid: null, phase: 'waiting', bytes: 0, sizeBytes: null, attempt: 1, startedAt: START },
      { ...of, out: 'c', pid: null, phase: 'held', bytes: 0, sizeBytes: 0, attempt: 1, startedAt: START },
    ],
    waiting: 40,
    slots: 8,
    pausedHosts: [{ host: 'slow.example', until: START + 70_000 }],
  }
  test('is the run, its downloads and its paused hosts', () => {
    const report = reportOf([runStarted(), jobEnded()])
    expect(statusLines(status, report)).toEqual([
      'mpdl 20261121T022015Z-4f3a after 1m1s: 1 of 100 done (1 downloaded), 3 active in 8 slots, 40 waiting, 1000 B in finished jobs',
      '  line 17 receiving 512 B of 1.00 KiB (50%), pid 4242, attempt 2, for 1m1s: a.bin',
      '  line 17 waiting 0 B of unknown, for 1m1s: \\u202eb',
      '  line 17 held 0 B of 0 B, for 1m1s: c',
      '  slow.example is left in peace for 9s',
    ])
  })
  test('before the run has begun is short', () => {
    const empty = { ...status, active: [], pausedHosts: [] }
    expect(statusLines(empty, reportOf([]))).toEqual([
      'mpdl: 0 done, 0 active in 8 slots, 40 waiting, 0 B in finished jobs',
    ])
  })
})
