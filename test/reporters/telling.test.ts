import { describe, expect, test } from 'vitest'
import type { AttemptRecord, Progress, RunEvent, Status } from '../../src/core/event.ts'
import type { Failure } from '../../src/core/failure.ts'
import { describe as describeFailure } from '../../src/core/failure.ts'
import { localTime } from '../../src/core/local-time.ts'
import { explainLines, isAbout, titleLine } from '../../src/reporters/explain.ts'
import { statusLines } from '../../src/reporters/status.ts'
import { attempt, jobEnded, jobRow, reportOf, runEnded, runHeader, runStarted, START } from '../events.ts'

const of = { index: 16, line: 17 }
const url = 'https://example.com/a.bin'
const MiB = 2 ** 20
const life: RunEvent[] = [
  { type: 'job-started', at: START, ...of, id: 'j', url, out: 'a\x1b.bin' },
  {
    type: 'attempt-started',
    unit: 'process',
    thread: null,
    at: START + 5,
    ...of,
    n: 1,
    task: 'fetch',
    pid: 4242,
    url,
    range: [1024, null],
  },
  { type: 'response', at: START + 105, ...of, n: 1, pid: 4242, status: 206, answer: 'bytes taken' },
  { type: 'signal-sent', at: START + 30_105, ...of, n: 1, pid: 4242, signal: 'SIGTERM', reason: 'hang' },
  {
    type: 'attempt-ended',
    at: START + 30_150,
    ...of,
    attempt: attempt({
      exit_code: null,
      signal: 'SIGTERM',
      range: [1024, 4096],
      kill_reason: 'hang',
      max_rss: 50 * MiB,
      failure: { kind: 'hang', afterMs: 30_000 },
      result: 'failed',
      lingered: true,
      counted: false,
      stderr: 'oh\nno',
    }),
  },
  { type: 'retry-planned', at: START + 30_151, ...of, wait_ms: 2000, reason: 'HUNG', start_over: true, counted: true },
  {
    type: 'attempt-started',
    unit: 'inline',
    thread: null,
    at: START + 32_151,
    ...of,
    n: 2,
    task: 'hash',
    pid: null,
    url,
    range: null,
  },
  {
    type: 'attempt-ended',
    at: START + 32_152,
    ...of,
    attempt: attempt({ n: 2, pid: null, exit_code: null, range: null }),
  },
  { type: 'retry-planned', at: START + 32_153, ...of, wait_ms: 10, reason: 'x', start_over: false, counted: false },
  { type: 'attempt-ended', at: START + 32_154, ...of, attempt: attempt({ n: 3, exit_code: null, range: null }) },
  { type: 'job-ended', at: START + 40_000, row: jobRow({ ...of, warnings: ['HTML came'], kept: 0 }) },
]

const ended = (afterMs: number, changes: Partial<AttemptRecord>): RunEvent => {
  const at = START + afterMs
  return { type: 'attempt-ended', at, ...of, attempt: attempt({ started: START, ended: at, ...changes }) }
}
const fetching = { ...of, type: 'attempt-started', unit: 'process', thread: null, n: 1, task: 'fetch' } as const
const answered = { ...of, type: 'response', n: 1 } as const
const refused: Failure = { kind: 'range-refused', reason: 'another version' }
const stall: Failure = { kind: 'stall', afterMs: 1000 }
const reason = describeFailure(stall)
const shared: RunEvent[] = [
  { type: 'job-started', at: START, ...of, id: 'j', url, out: 'a\x1b.bin' },
  { ...fetching, at: START + 5, pid: 4242, url, range: [0, null] },
  { ...answered, at: START + 105, pid: 4242, status: 200, answer: 'receive 4194304 bytes from 0' },
  { ...fetching, at: START + 110, pid: 4243, url, range: [2 * MiB, 4 * MiB] },
  { ...fetching, at: START + 115, pid: 4244, url: 'https://mirror.example/a.bin', range: [MiB, 2 * MiB] },
  { ...answered, at: START + 210, pid: 4243, status: 206, answer: 'receive 2097152 bytes from 2097152' },
  { ...answered, at: START + 215, pid: 4244, status: 200, answer: describeFailure(refused) },
  ended(300, { pid: 4244, range: null, bytes: 0, result: 'failed', failure: refused }),
  { type: 'signal-sent', at: START + 2000, ...of, n: 1, pid: 4242, signal: 'SIGTERM', reason },
  ended(2010, {
    pid: 4242,
    started: START + 5,
    range: [0, 2 * MiB],
    bytes: MiB,
    result: 'failed',
    exit_code: null,
    signal: 'SIGTERM',
    failure: stall,
    max_rss: 50 * MiB,
  }),
  { ...fetching, at: START + 2020, pid: 4245, url, range: [MiB, 2 * MiB] },
  ended(3000, { pid: 4243, started: START + 110, range: [2 * MiB, 4 * MiB], bytes: 2 * MiB }),
  ended(3500, { pid: 4245, started: START + 2020, range: [MiB, 2 * MiB], bytes: MiB }),
  { ...fetching, at: START + 3600, task: 'hash', pid: 4246, url, range: null },
  ended(3700, { task: 'hash', pid: 4246, range: null, bytes: 4 * MiB }),
  { type: 'job-ended', at: START + 4000, row: jobRow({ ...of, size: 4 * MiB }) },
]

describe('explain', () => {
  test('says what it is about, for those who find it in a mail', () => {
    expect(titleLine(runHeader(), 17)).toBe(`line 17 of list.txt in run 20261121T022015Z-4f3a, ${localTime(START)}`)
    const list = { ...runHeader().list, name: 'a\u001b[2J\u202e.txt' }
    expect(titleLine(runHeader({ list }), 1)).toContain('line 1 of a\\x1b[2J\\u202e.txt in')
  })

  test('tells one life with times since its start', () => {
    expect(explainLines(life)).toEqual([
      '    +0.000s  line 17 started: https://example.com/a.bin',
      '             to a\\x1b.bin',
      '    +0.005s  attempt 1 (pid 4242) asks for https://example.com/a.bin from byte 1024',
      '    +0.105s  attempt 1: HTTP 206, bytes taken',
      '   +30.105s  attempt 1: SIGTERM sent to pid 4242: hang',
      '   +30.150s  attempt 1 failed: died of SIGTERM, 1000 B, 50.0 MiB of memory, had to be killed to leave',
      '             ended by mpdl: hang',
      '             HUNG no heartbeat for 30s',
      '             its last words: oh\\x0ano',
      '   +30.151s  waits 2s, then tries again from the start: HUNG',
      '   +32.151s  attempt 2 (inside mpdl itself) checks the file',
      '   +32.152s  attempt 2 done: 1000 B',
      '   +32.153s  waits 10ms, then tries again where it left off (no try was used): x',
      '   +32.154s  attempt 3 done: 1000 B',
      '   +40.000s  downloaded, 1000 B, proof: length',
      '             warning: HTML came',
    ])
  })

  test('of several children says who asked, who got what answer, who brought which bytes, and sums them up', () => {
    expect(explainLines(shared)).toEqual([
      '    +0.000s  line 17 started: https://example.com/a.bin',
      '             to a\\x1b.bin',
      '    +0.005s  attempt 1 (pid 4242) asks for https://example.com/a.bin',
      '    +0.105s  attempt 1 (pid 4242): HTTP 200, receive 4194304 bytes from 0',
      '    +0.110s  attempt 1 (pid 4243) asks for bytes 2097152-4194303',
      '    +0.115s  attempt 1 (pid 4244) asks for bytes 1048576-2097151 of https://mirror.example/a.bin',
      '    +0.210s  attempt 1 (pid 4243): HTTP 206, receive 2097152 bytes from 2097152',
      '    +0.215s  attempt 1 (pid 4244): HTTP 200, no part of this file: another version',
      '    +0.300s  attempt 1 (pid 4244) failed: exit code 0, 0 B',
      '             no part of this file: another version',
      '    +2.000s  attempt 1: SIGTERM sent to pid 4242: STALLED no body bytes for 1s',
      '    +2.010s  attempt 1 (pid 4242) failed: died of SIGTERM, bytes 0-1048575, 50.0 MiB of memory',
      '             STALLED no body bytes for 1s',
      '    +2.020s  attempt 1 (pid 4245) asks for bytes 1048576-2097151',
      '    +3.000s  attempt 1 (pid 4243) done: exit code 0, bytes 2097152-4194303',
      '    +3.500s  attempt 1 (pid 4245) done: exit code 0, bytes 1048576-2097151',
      '    +3.600s  attempt 1 (pid 4246) checks the file',
      '    +3.700s  attempt 1 (pid 4246) done: exit code 0, 4.00 MiB',
      '    +4.000s  downloaded, 4.00 MiB, proof: length',
      '                       bytes   brought   pid    began    ended  result',
      '                   0-2097151  1.00 MiB  4242  +0.005s  +2.010s  failed',
      '             1048576-2097151  1.00 MiB  4245  +2.020s  +3.500s  done',
      '             2097152-4194303  2.00 MiB  4243  +0.110s  +3.000s  done',
    ])
  })

  test('of one child after another names no pid twice, and still says who brought which bytes', () => {
    const lines = explainLines([
      { type: 'job-started', at: START, ...of, id: 'j', url, out: 'a' },
      {
        type: 'attempt-started',
        unit: 'process',
        thread: null,
        at: START,
        ...of,
        n: 1,
        task: 'fetch',
        pid: 4242,
        url,
        range: [0, null],
      },
      ended(1000, { pid: 4242, range: [0, 1000], bytes: 400, result: 'failed' }),
      {
        type: 'attempt-started',
        unit: 'inline',
        thread: null,
        at: START + 1000,
        ...of,
        n: 2,
        task: 'fetch',
        pid: null,
        url,
        range: [400, null],
      },
      { type: 'response', at: START + 1000, ...of, n: 2, pid: null, status: 206, answer: 'receive' },
      ended(2000, {
        n: 2,
        pid: null,
        exit_code: null,
        started: START + 1000,
        range: [400, null],
        bytes: 0,
        result: 'failed',
      }),
    ])
    expect(lines.slice(3)).toEqual([
      '    +1.000s  attempt 1 failed: exit code 0, 400 B',
      '    +1.000s  attempt 2 (inside mpdl itself) asks for https://example.com/a.bin from byte 400',
      '    +1.000s  attempt 2: HTTP 206, receive',
      '    +2.000s  attempt 2 failed: 0 B',
      '             bytes  brought   pid    began    ended  result',
      '             0-999    400 B  4242  +0.000s  +1.000s  failed',
      '              400-      0 B     -  +1.000s  +2.000s  failed',
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
  const one: Progress = {
    ...of,
    out: 'a.bin',
    pid: 4242,
    phase: 'receiving',
    bytes: 512,
    ranges: [[0, 512]],
    segments: 1,
    sizeBytes: 1024,
    attempt: 2,
    startedAt: START,
  }
  const status: Status = {
    at: START + 61_000,
    active: [
      one,
      { ...one, out: '\u202eb', pid: null, phase: 'waiting', bytes: 0, ranges: [], sizeBytes: null, attempt: 1 },
      { ...one, out: 'c', pid: null, phase: 'held', bytes: 0, ranges: [], sizeBytes: 0, attempt: 1 },
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
  test('says how many children work on a file when there are several', () => {
    const active = [{ ...one, segments: 4, attempt: 1 }]
    expect(statusLines({ ...status, active }, reportOf([]))[1]).toBe(
      '  line 17 receiving 512 B of 1.00 KiB (50%), 4 children, for 1m1s: a.bin',
    )
  })
  test('before the run has begun is short', () => {
    const empty = { ...status, active: [], pausedHosts: [] }
    expect(statusLines(empty, reportOf([]))).toEqual([
      'mpdl: 0 done, 0 active in 8 slots, 40 waiting, 0 B in finished jobs',
    ])
  })
})
