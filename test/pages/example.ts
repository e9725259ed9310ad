// A comparison as a machine of two cores might have made it, with every kind of cell, and a run of any length. Knows
// nothing of the pages that show them.

import {
  COMPARE_MODES,
  type CompareMode,
  type Comparison,
  type FaultBand,
  type FaultCell,
  type KillMoment,
  type LaneBar,
  type ModeCost,
  type RunFate,
  type Spread,
} from '../../src/compare/result.ts'
import type { AttemptRecord, JobRow, RunEvent } from '../../src/core/event.ts'
import type { Failure } from '../../src/core/failure.ts'
import { describe, outcomeOf } from '../../src/core/failure.ts'
import { attempt, jobRow, runEnded, runStarted, START } from '../events.ts'

const FILES = 50
const LINE = 17
const MIB = 2 ** 20

const spread = (median: number, share = 0.08): Spread => ({
  median,
  min: Math.round(median * (1 - share) * 100) / 100,
  max: Math.round(median * (1 + share * 1.7) * 100) / 100,
})

type Numbers = readonly [wall: number, cpu: number, pss: number, firstByte: number, unitStart: number | null]

const NUMBERS: Readonly<Record<CompareMode, Numbers>> = {
  process: [1204, 3310, 176 * MIB, 148, 41.2],
  pool: [561, 1190, 142 * MIB, 139, 0.4],
  thread: [702, 1650, 118 * MIB, 121, 22.6],
  inline: [489, 640, 74 * MIB, 61, null],
  sequential: [2986, 590, 71 * MIB, 60, null],
}

/** Sixteen bits are chance enough for bars that look like a run. */
const chance = (seed: number) => ((seed * 40_503 + 12_345) % 65_536) / 65_536

function lanesOf(mode: CompareMode): LaneBar[] {
  const [wallMs, , , firstMs, startMs] = NUMBERS[mode]
  const lanes = mode === 'sequential' ? 1 : 8
  const ends = Array.from({ length: lanes }, () => 4)
  const eachMs = ((wallMs - 10) * lanes) / FILES
  return Array.from({ length: FILES }, (_, i): LaneBar => {
    const lane = ends.indexOf(Math.min(...ends))
    const fromMs = ends[lane] ?? 0
    const toMs = fromMs + eachMs * (0.82 + 0.3 * chance(i + firstMs))
    ends[lane] = toMs + 1
    return {
      lane,
      line: i + 1,
      name: `form-${i + 1}.pdf`,
      from_ms: Math.round(fromMs),
      to_ms: Math.round(toMs),
      ready_ms: Math.round(fromMs + (startMs ?? 0)),
      result: 'done',
      is_retry: false,
    }
  })
}

function costOf(mode: CompareMode): ModeCost {
  const [wallMs, cpuMs, pssBytes, firstByteMs, unitStartMs] = NUMBERS[mode]
  const cpuPerUrl = (cpuMs - NUMBERS.inline[1]) / FILES
  return {
    mode,
    wall_ms: spread(wallMs),
    files_per_s: spread((FILES / wallMs) * 1000),
    bytes_per_s: spread(((FILES * 200 * 1024) / wallMs) * 1000),
    cpu_ms: spread(cpuMs),
    peak_pss_bytes: spread(pssBytes, 0.03),
    first_byte_ms: spread(firstByteMs, 0.12),
    unit_start_ms: unitStartMs === null ? null : spread(unitStartMs, 0.15),
    ratio_to_sequential: wallMs / NUMBERS.sequential[0],
    isolation_cpu_ms_per_url: mode === 'sequential' ? null : cpuPerUrl,
    isolation_share: mode === 'sequential' ? null : cpuPerUrl / 58,
    lanes: lanesOf(mode),
  }
}

/** What happens to a mode under a fault: its files after the first attempts and in the end, and its fate. */
type Lot = readonly [first: number, final: number, fate: RunFate, end?: string]

const HOLDS: Lot = [49, 50, 'well']
const HUNG: Lot = [41, 41, 'never-ended']
const dead = (signal: string, files = 9): Lot => [files, files, 'died', signal]

type FaultLots = readonly [fault: string, title: string, band: FaultBand, noticedMs: number, lots: readonly Lot[]]

// In the order of COMPARE_MODES.
const LOTS: readonly FaultLots[] = [
  ['error', 'an error in awaited code', 'polite', 3, [HOLDS, HOLDS, HOLDS, HOLDS, HOLDS]],
  ['throw', 'a throw in a callback', 'javascript', 6, [HOLDS, HOLDS, HOLDS, dead('1'), dead('1', 16)]],
  ['rejection', 'a rejection nobody handles', 'javascript', 6, [HOLDS, HOLDS, HOLDS, dead('1'), dead('1', 16)]],
  ['exit0', 'process.exit(0)', 'javascript', 5, [HOLDS, HOLDS, HOLDS, [9, 9, 'lied', '0'], [16, 16, 'lied', '0']]],
  ['loop', 'an endless loop', 'javascript', 2012, [HOLDS, HOLDS, HOLDS, HUNG, [16, 16, 'never-ended']]],
  [
    'heap',
    'heap filled with small objects',
    'javascript',
    1840,
    [HOLDS, HOLDS, HOLDS, dead('SIGABRT'), dead('SIGABRT', 16)],
  ],
  [
    'native',
    'a native call that blocks (pbkdf2Sync)',
    'machine',
    2009,
    [HOLDS, HOLDS, [49, 49, 'never-ended'], HUNG, [16, 16, 'never-ended']],
  ],
  [
    'array',
    'heap filled by one huge array',
    'machine',
    930,
    [HOLDS, HOLDS, dead('SIGABRT', 14), dead('SIGABRT'), dead('SIGABRT', 16)],
  ],
  [
    'outside',
    'memory outside the heap',
    'machine',
    1210,
    [HOLDS, HOLDS, dead('SIGKILL', 22), dead('SIGKILL', 21), dead('SIGKILL', 16)],
  ],
  ['abort', 'abort()', 'machine', 4, [HOLDS, HOLDS, dead('SIGABRT', 8), dead('SIGABRT', 9), dead('SIGABRT', 16)]],
  ['segv', 'SIGSEGV', 'machine', 4, [HOLDS, HOLDS, dead('SIGSEGV', 8), dead('SIGSEGV', 9), dead('SIGSEGV', 16)]],
  [
    'stop',
    'SIGSTOP',
    'machine',
    2004,
    [HOLDS, HOLDS, [8, 8, 'never-ended'], [9, 9, 'never-ended'], [16, 16, 'never-ended']],
  ],
  [
    'descriptors',
    'no descriptors left',
    'machine',
    11,
    [HOLDS, HOLDS, [31, 44, 'well'], [22, 41, 'well'], dead('1', 16)],
  ],
  [
    'pool-stuck',
    'the thread pool filled',
    'machine',
    5030,
    [HOLDS, HOLDS, [27, 27, 'never-ended'], [23, 23, 'never-ended'], [16, 16, 'never-ended']],
  ],
  ['flood', 'a flood of messages', 'machine', 640, [HOLDS, HOLDS, HOLDS, dead('SIGABRT'), dead('SIGABRT', 16)]],
]

const STRONG_END = new Set(['native', 'stop'])

/** As a supervisor that watches from outside ends a unit: a hang is asked first, what died needs no signal. */
function killTimeline(fault: string, noticedMs: number, lot: Lot): KillMoment[] {
  const [, , fate] = lot
  const begin: KillMoment = { at_ms: 0, what: 'fault', text: 'line 17 goes wrong' }
  if (fate === 'died' || fate === 'lied') {
    return [
      begin,
      {
        at_ms: noticedMs,
        what: 'run-ended',
        text: fate === 'lied' ? 'exit 0, as if all were well' : `the run dies (${lot[3]})`,
      },
    ]
  }
  if (fate === 'never-ended') {
    return [begin, { at_ms: 30_000, what: 'given-up', text: 'mpdl compare ends the run after 30 s' }]
  }
  if (noticedMs < 1000) {
    return [
      begin,
      { at_ms: noticedMs, what: 'joined', text: 'its end is reaped' },
      { at_ms: noticedMs + 118, what: 'retried', text: 'line 17 again, in a fresh one' },
      { at_ms: noticedMs + 1190, what: 'run-ended', text: 'exit 0' },
    ]
  }
  const isStrong = STRONG_END.has(fault)
  const killedMs = noticedMs + 2 + (isStrong ? 200 : 26)
  return [
    begin,
    { at_ms: noticedMs, what: 'noticed', text: 'no heartbeat for 2 s' },
    { at_ms: noticedMs + 2, what: 'SIGTERM', text: 'asked to leave' },
    ...(isStrong ? [{ at_ms: killedMs, what: 'SIGKILL', text: 'made to leave' } as const] : []),
    { at_ms: killedMs + 7, what: 'joined', text: 'its end is reaped' },
    { at_ms: killedMs + 131, what: 'retried', text: 'line 17 again, in a fresh one' },
    { at_ms: killedMs + 240, what: 'joined', text: 'done, exit code 0' },
    { at_ms: killedMs + 1240, what: 'run-ended', text: 'exit 0' },
  ]
}

function cellOf(mode: CompareMode, fault: string, noticedMs: number, lot: Lot): FaultCell {
  const [first, final, fate, end] = lot
  const isWell = fate === 'well'
  const isSignal = end?.startsWith('SIG') === true
  const unit = mode === 'thread' ? 'thread' : 'pid'
  return {
    mode,
    files_first: first,
    files_final: final,
    fate,
    exit_code: fate === 'never-ended' || isSignal ? null : Number(end ?? (final === FILES ? 0 : 4)),
    signal: isSignal ? (end ?? null) : null,
    culprit: isWell
      ? mode === 'pool'
        ? 'after-quarantine'
        : 'named'
      : fate === 'never-ended'
        ? 'suspects-only'
        : 'not',
    noticed_ms: isWell ? noticedMs : null,
    left_behind: fault === 'stop' && mode === 'thread' ? [{ pid: 23_811, name: 'node' }] : [],
    kill_timeline: killTimeline(fault, noticedMs, lot),
    log: [
      `{"type":"attempt-started","line":${LINE},"n":1,"unit":"${mode === 'sequential' ? 'inline' : mode}","${unit}":${mode === 'thread' ? 9 : 23_790}}`,
      ...(isWell
        ? [
            `{"type":"attempt-ended","line":${LINE},"n":1,"result":"failed","failure":{"kind":"${fault}"}}`,
            `{"type":"retry-planned","line":${LINE},"wait_ms":112,"counted":true}`,
            `{"type":"job-ended","line":${LINE},"outcome":"downloaded","num_retries":1}`,
          ]
        : []),
    ],
  }
}

export const comparison: Comparison = {
  schema: 1,
  version: '0.1.0',
  started: Date.UTC(2026, 10, 21, 2, 20, 15),
  ended: Date.UTC(2026, 10, 21, 2, 26, 48),
  machine: {
    cpu: 'AMD EPYC 7B13',
    cores: 2,
    memory_bytes: 8 * 2 ** 30,
    system: 'Linux 6.1.0 x86_64',
    node: '26.10.0',
  },
  argv: ['mpdl', 'compare', '--faults', '--report', 'compare.html'],
  list: { name: 'the sample origin', jobs: FILES, bytes: FILES * 200 * 1024, latency_ms: 50 },
  jobs: 8,
  repeat: 5,
  sentence:
    'A process for every URL costs 53 ms of CPU and survives 15 of 15 faults; a thread costs 20 ms and survives 7; one pool of processes survives all 15 for 11 ms.',
  costs: COMPARE_MODES.map(costOf),
  faults: {
    files: FILES,
    line: LINE,
    modes: COMPARE_MODES,
    rows: LOTS.map(([fault, title, band, noticedMs, lots]) => ({
      fault,
      title,
      band,
      cells: lots.map((lot, i) => cellOf(COMPARE_MODES[i] ?? 'process', fault, noticedMs, lot)),
    })),
  },
  demonstrations: {
    cpu_bound: [
      { mode: 'process', wall_ms: 2610, cpu_ms: 4980, busy_cores: 1.91 },
      { mode: 'pool', wall_ms: 2490, cpu_ms: 4790, busy_cores: 1.92 },
      { mode: 'thread', wall_ms: 2540, cpu_ms: 4860, busy_cores: 1.91 },
      { mode: 'inline', wall_ms: 4690, cpu_ms: 4700, busy_cores: 1 },
      { mode: 'sequential', wall_ms: 4710, cpu_ms: 4700, busy_cores: 1 },
    ],
    killed_lock_holder: [
      { mode: 'process', is_still_locked: false, text: 'the kernel gives a flock back when its holder dies' },
      { mode: 'thread', is_still_locked: true, text: 'an Atomics lock in shared memory stays locked for ever' },
    ],
    connections: {
      size_bytes: 96 * MIB,
      rows: [
        { connections: 1, limit_bytes_per_s: 8 * MIB, wall_ms: spread(12_080, 0.01), bytes_per_s: 7.95 * MIB },
        { connections: 4, limit_bytes_per_s: 8 * MIB, wall_ms: spread(3110, 0.02), bytes_per_s: 30.9 * MIB },
        { connections: 16, limit_bytes_per_s: 8 * MIB, wall_ms: spread(960, 0.05), bytes_per_s: 100 * MIB },
        { connections: 1, limit_bytes_per_s: null, wall_ms: spread(118, 0.1), bytes_per_s: 814 * MIB },
        { connections: 4, limit_bytes_per_s: null, wall_ms: spread(214, 0.1), bytes_per_s: 449 * MIB },
        { connections: 16, limit_bytes_per_s: null, wall_ms: spread(602, 0.1), bytes_per_s: 159 * MIB },
      ],
      maps: [
        {
          label: 'before the kill',
          size_bytes: 96 * MIB,
          ranges: [
            [0, 13 * MIB],
            [24 * MIB, 38 * MIB],
            [48 * MIB, 60.5 * MIB],
            [72 * MIB, 85 * MIB],
          ],
        },
        {
          label: 'after the kill',
          size_bytes: 96 * MIB,
          ranges: [
            [0, 13 * MIB],
            [24 * MIB, 33 * MIB],
            [48 * MIB, 60.5 * MIB],
            [72 * MIB, 85 * MIB],
          ],
        },
        { label: 'when it is whole', size_bytes: 96 * MIB, ranges: [[0, 96 * MIB]] },
      ],
      refetched_bytes: 5 * MIB,
    },
  },
  not_solved: [
    'A full disk, an empty battery or a dead network card ends every mode alike.',
    'A child in uninterruptible sleep (a broken disk, NFS) outlives SIGKILL: it is named and its slot is lost.',
    'A server that sends wrong bytes with the right length and no checksum is believed by all five.',
  ],
}

const TROUBLES: readonly Failure[] = [
  { kind: 'http-status', status: 503 },
  { kind: 'hang', afterMs: 30_000 },
  { kind: 'connect-refused', host: '10.0.0.7:443' },
]

const retryBefore = ({ started, wait_ms }: AttemptRecord, index: number, line: number): RunEvent => ({
  type: 'retry-planned',
  at: started,
  index,
  line,
  wait_ms,
  reason: 'it may pass by itself',
  start_over: false,
  counted: true,
})

/** Jobs of a run with eight slots: one in twenty is tried twice, one in a hundred fails. */
export function runEvents(jobs: number, changes: (line: number) => Partial<JobRow> = () => ({})): RunEvent[] {
  const ends = Array.from({ length: 8 }, () => START)
  const rows = Array.from({ length: jobs }, (_, i): JobRow => {
    const line = i + 1
    const slot = ends.indexOf(Math.min(...ends))
    const failure = line % 100 === 50 ? (TROUBLES[Math.floor(line / 100) % TROUBLES.length] ?? null) : null
    const tries = failure !== null || line % 20 === 7 ? 2 : 1
    const attempts = Array.from({ length: tries }, (_, k): AttemptRecord => {
      const started = (ends[slot] ?? START) + 3
      const ended = started + Math.round(40 + 160 * chance(line * 7 + k))
      ends[slot] = ended
      const isLast = k === tries - 1
      const wrong = isLast ? failure : (failure ?? { kind: 'truncated', expectedBytes: 16_384, receivedBytes: 900 })
      return attempt({
        n: k + 1,
        pid: 20_000 + line + k,
        url: `https://files.example.com/reports/2026/${line}.pdf`,
        started,
        ended,
        result: wrong === null ? 'done' : 'failed',
        failure: wrong,
        signal_sent: wrong?.kind === 'hang' ? 'SIGKILL' : null,
        kill_reason: wrong?.kind === 'hang' ? describe(wrong) : null,
        bytes: wrong === null ? 16_384 : 900,
      })
    })
    return jobRow({
      line,
      url: `https://files.example.com/reports/2026/${line}.pdf`,
      out: `reports/2026/report-${String(line).padStart(5, '0')}.pdf`,
      outcome: failure === null ? 'downloaded' : outcomeOf(failure),
      failure,
      reason: failure === null ? null : describe(failure),
      proof: failure === null ? 'length' : null,
      http_code: failure === null ? 200 : failure.kind === 'http-status' ? failure.status : null,
      size: failure === null ? 16_384 : null,
      size_download: attempts.reduce((sum, { bytes }) => sum + bytes, 0),
      num_retries: tries - 1,
      time_total: ((ends[slot] ?? 0) - (attempts[0]?.started ?? 0)) / 1000,
      attempts,
      ...changes(line),
    })
  })
  const tried = rows.flatMap((row) => row.attempts.map((one) => ({ row, one })))
  const done = rows.filter(({ outcome }) => outcome === 'downloaded')
  return [
    runStarted({ list: { name: 'reports.txt', path: '/home/someone/reports.txt', jobs, lines: jobs } }),
    ...tried.flatMap(({ row: { index, line }, one }): RunEvent[] => [
      ...(one.n === 1 ? [] : [retryBefore(one, index, line)]),
      { ...one, range: null, type: 'attempt-started', at: one.started, index, line },
      { type: 'attempt-ended', at: one.ended, index, line, attempt: one },
    ]),
    ...rows.map((row): RunEvent => ({ type: 'job-ended', at: row.attempts.at(-1)?.ended ?? START, row })),
    {
      ...runEnded({
        listed: jobs,
        spawned: tried.length,
        reaped: tried.length,
        filesOnDisk: done.length,
        bytesOnDisk: done.reduce((sum, { size }) => sum + (size ?? 0), 0),
      }),
      at: Math.max(...ends) + 12,
    },
  ]
}
