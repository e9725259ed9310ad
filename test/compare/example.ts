// Builds what a comparison is made of, for tests that only say what matters to them.

import type { RunFacts } from '../../src/compare/judge.ts'
import type { CompareMode, FaultCell, ModeCost } from '../../src/compare/result.ts'
import type { AttemptRecord, RunEvent } from '../../src/core/event.ts'
import { attempt, START } from '../events.ts'

export const accepted = (line: number, atMs: number): RunEvent => ({
  type: 'response',
  at: START + atMs,
  index: line - 1,
  line,
  n: 1,
  pid: 5000,
  status: 200,
  answer: 'receive 1000 bytes from 0',
})

export const attemptStarted = (line: number, atMs: number, n = 1): RunEvent => ({
  type: 'attempt-started',
  at: START + atMs,
  index: line - 1,
  line,
  n,
  task: 'fetch',
  unit: 'process',
  pid: 5000,
  thread: null,
  url: 'http://127.0.0.1/a.bin',
  range: [0, null],
})

export const attemptEnded = (line: number, atMs: number, changes: Partial<AttemptRecord> = {}): RunEvent => ({
  type: 'attempt-ended',
  at: START + atMs,
  index: line - 1,
  line,
  attempt: attempt({ started: START, ended: START + atMs, ...changes }),
})

export const signalSent = (line: number, atMs: number, signal: string, reason = 'no heartbeat for 2s'): RunEvent => ({
  type: 'signal-sent',
  at: START + atMs,
  index: line - 1,
  line,
  n: 1,
  pid: 5000,
  signal,
  reason,
})

export const ended = (atMs: number): RunEvent => ({
  type: 'run-ended',
  at: START + atMs,
  counts: { listed: 3, spawned: 3, reaped: 3, abandoned: 0, filesOnDisk: 3, bytesOnDisk: 3000 },
  signal: null,
})

/** Of three files `1.bin`, `2.bin`, `3.bin`, all whole, in a run that ended well. */
export const facts = (changes: Partial<RunFacts> = {}): RunFacts => ({
  startedMs: START,
  wallMs: 2000,
  exitCode: 0,
  signal: null,
  endedBecause: null,
  isOutOfMemory: false,
  whole: new Set(['1.bin', '2.bin', '3.bin']),
  leftBehind: [],
  events: [ended(1900)],
  ...changes,
})

const spread = (median: number) => ({ median, min: median * 0.9, max: median * 1.2 })

export const cost = (mode: CompareMode, changes: Partial<ModeCost> = {}): ModeCost => ({
  mode,
  wall_ms: spread(1000),
  files_per_s: spread(50),
  bytes_per_s: spread(5 * 2 ** 20),
  cpu_ms: spread(3000),
  peak_pss_bytes: spread(100 * 2 ** 20),
  first_byte_ms: spread(150),
  unit_start_ms: spread(40),
  ratio_to_sequential: 0.5,
  isolation_cpu_ms_per_url: null,
  isolation_share: null,
  lanes: [],
  ...changes,
})

export const cell = (mode: CompareMode, changes: Partial<FaultCell> = {}): FaultCell => ({
  mode,
  files_first: 49,
  files_final: 50,
  fate: 'well',
  exit_code: 0,
  signal: null,
  culprit: 'named',
  noticed_ms: 2000,
  left_behind: [],
  kill_timeline: [],
  log: [],
  ...changes,
})
