import { describe, expect, test } from 'vitest'
import { type LineRange, OUTCOMES, type Outcome, type RunEvent } from '../../src/core/event.ts'
import { ISOLATIONS } from '../../src/core/isolation-name.ts'
import {
  addLines,
  elapsedMs,
  endedJobs,
  freshReport,
  isAllWell,
  isUnfinished,
  LIMITS,
  sampleOf,
  step,
  stopSignal,
  sumsUp,
} from '../../src/core/report.ts'
import { attempt, counts, jobEnded, jobFailed, jobRow, reportOf, runEnded, runStarted, START } from '../events.ts'
import fc from '../fixtures/property.ts'

const signalSent = (index: number, signal: string): RunEvent => ({
  type: 'signal-sent',
  at: START,
  index,
  line: index + 1,
  n: 1,
  pid: 5000,
  signal,
  reason: 'hang',
})
const attemptStarted = (pid: number | null): RunEvent => ({
  type: 'attempt-started',
  unit: pid === null ? null : 'process',
  thread: null,
  at: START,
  index: 0,
  line: 1,
  n: 1,
  task: 'fetch',
  pid,
  url: 'https://example.com/a.bin',
  range: [0, null],
})
const bulk = (outcome: Outcome, count: number, lines: readonly LineRange[], host?: string): RunEvent => ({
  type: 'jobs-ended',
  at: START,
  outcome,
  failure: host === undefined ? null : { kind: 'host-down', host, cause: 'connection refused' },
  reason: host === undefined ? 'the run ended' : `host ${host} is down`,
  count,
  lines,
})

describe('sums', () => {
  test('every outcome is counted, alone or in bulk', () => {
    const report = reportOf([
      runStarted(),
      jobEnded({ line: 1, size_download: 700, resumed_from: 300, size: 1000 }),
      jobEnded({ line: 2, outcome: 'unchanged', size_download: 0 }),
      jobFailed(3, { kind: 'stall', afterMs: 60_000 }, { size_download: 500, kept: 400 }),
      bulk('not-started', 3, [[4, 6]]),
      bulk('failed', 7, [[10, 16]], 'a.example'),
      jobEnded({ line: 20, outcome: 'not-started', size_download: 0 }),
      jobEnded({ line: 21, outcome: 'downloaded', size: null, size_download: 0, proof: 'unverified' }),
    ])
    expect(report.totals).toMatchObject({ downloaded: 2, unchanged: 1, killed: 1, failed: 7, 'not-started': 4 })
    expect(endedJobs(report)).toBe(15)
    expect(report).toMatchObject({ movedBytes: 1200, fileBytes: 1000, keptBytes: 400, lostBytes: 100, unverified: 1 })
    expect(report.notStarted).toEqual({
      ranges: [
        [4, 6],
        [20, 20],
      ],
      dropped: 0,
    })
  })

  test('children are counted when they could be started, and an abandoned one is not reaped', () => {
    const ended = (changes: Parameters<typeof attempt>[0]): RunEvent => ({
      type: 'attempt-ended',
      at: START,
      index: 0,
      line: 1,
      attempt: attempt(changes),
    })
    const report = reportOf([
      { type: 'job-started', at: START, index: 0, line: 1, id: 'a', url: 'u', out: 'o' },
      { type: 'response', at: START, index: 0, line: 1, n: 1, pid: 1, status: 200, answer: 'taken' },
      attemptStarted(1),
      attemptStarted(2),
      attemptStarted(null),
      ended({ pid: 1 }),
      ended({ pid: 2, failure: { kind: 'abandoned', pid: 2, afterMs: 5000 } }),
      ended({ unit: null, pid: null }),
    ])
    expect(report.attempts).toEqual({ started: 3, ended: 3, spawned: 2, reaped: 1 })
  })

  test('a run is well only when every job is, and its sums add up', () => {
    const good = [runStarted(), jobEnded(), jobEnded({ line: 2, outcome: 'skipped', size_download: 0 })]
    const end = runEnded({ listed: 2, filesOnDisk: 1, bytesOnDisk: 1000 })
    expect(isAllWell(reportOf([...good, end]))).toBe(true)
    expect(isAllWell(reportOf(good))).toBe(false)
    expect(isAllWell(reportOf([...good, runEnded({ listed: 3, filesOnDisk: 1, bytesOnDisk: 1000 })]))).toBe(false)
    const stop: RunEvent = { type: 'stopping', at: START, cause: 'halt', reason: 'x' }
    expect(isAllWell(reportOf([...good, stop, end]))).toBe(false)
  })

  test('a discrepancy of any kind is told in a sentence', () => {
    const report = reportOf([runStarted(), jobEnded(), attemptStarted(7)])
    expect(sumsUp(report, counts({ listed: 2, spawned: 3, reaped: 1, abandoned: 1, bytesOnDisk: 5 }))).toEqual([
      'the list has 2 jobs, the outcomes add up to 1',
      '3 children were started, 1 joined and 1 abandoned',
      '1 attempts began in the log, 0 of them ended',
      '3 children were started, the log names 1',
      '1 children were joined, the log names 0',
      '1 jobs say downloaded, 0 of their files were found on disk',
      'the downloaded files have 1000 bytes by the log and 5 on disk',
    ])
  })

  test.each(ISOLATIONS)('children are compared one to one with --isolate %s', (mode) => {
    const report = reportOf([runStarted({ mode }), attemptStarted(1), attemptStarted(1)])
    expect(sumsUp(report, counts({ spawned: 1, reaped: 1 }))).toEqual([
      '2 attempts began in the log, 0 of them ended',
      '1 children were started, the log names 2',
      '1 children were joined, the log names 0',
    ])
  })

  test('elapsed time is known while the run lives and after its supervisor was killed', () => {
    expect(elapsedMs(freshReport())).toBe(0)
    expect(elapsedMs(reportOf([runStarted(), jobEnded()]))).toBe(1000)
    expect(elapsedMs(reportOf([runStarted(), runEnded()]))).toBe(72_000)
  })

  test('the signal is known from the end or from the stop', () => {
    const stop = (reason: string): RunEvent => ({ type: 'stopping', at: START, cause: 'signal', reason })
    expect(stopSignal(reportOf([runEnded({}, 'SIGINT')]))).toBe('SIGINT')
    expect(stopSignal(reportOf([stop('got SIGTERM')]))).toBe('SIGTERM')
    expect(stopSignal(reportOf([stop('somebody asked')]))).toBeNull()
    expect(stopSignal(freshReport())).toBeNull()
  })
})

describe('failures', () => {
  test('are grouped by outcome, cause, status and host', () => {
    const report = reportOf([
      jobFailed(1, { kind: 'http-status', status: 404 }),
      jobFailed(2, { kind: 'http-status', status: 404 }),
      jobFailed(3, { kind: 'http-status', status: 503 }),
      jobFailed(4, { kind: 'http-status', status: 404 }, { url: 'https://u:p@OTHER.example:8443/x' }),
      jobFailed(5, { kind: 'connect-refused', host: 'mirror.example' }),
      jobFailed(6, { kind: 'disk-error', code: 'EACCES', operation: 'open', path: 'x' }),
      jobFailed(7, { kind: 'bad-line', problem: 'no URL' }, { url: '' }),
      jobEnded({ line: 8, outcome: 'failed', failure: null, reason: null, url: 'nonsense' }),
    ])
    expect([...report.groups.values()].map(({ kind, status, host, count }) => [kind, status, host, count])).toEqual([
      ['http-status', 404, 'example.com', 2],
      ['http-status', 503, 'example.com', 1],
      ['http-status', 404, 'other.example:8443', 1],
      ['connect-refused', null, 'mirror.example', 1],
      ['disk-error', null, null, 1],
      ['bad-line', null, null, 1],
      [null, null, null, 1],
    ])
    expect(Object.fromEntries(report.classes)).toEqual({ http: 4, network: 1, file: 1, other: 2 })
  })

  test('a host that is down is one group whatever the number of its jobs', () => {
    const report = reportOf([
      jobFailed(1, { kind: 'host-down', host: 'a.example', cause: 'refused' }),
      bulk('failed', 4979, [[2, 4980]], 'a.example'),
    ])
    expect(report.groups.size).toBe(1)
    expect([...report.groups.values()][0]).toMatchObject({ count: 4980, kind: 'host-down', host: 'a.example' })
    expect(report.classes.get('network')).toBe(4980)
  })

  test('the signals of the last attempt are kept in order and forgotten with the job', () => {
    const report = freshReport()
    const hang = { kind: 'hang', afterMs: 30_000 } as const
    step(report, signalSent(0, 'SIGKILL'))
    step(report, {
      type: 'retry-planned',
      at: START,
      index: 0,
      line: 1,
      wait_ms: 2000,
      reason: 'hang',
      start_over: false,
      counted: true,
    })
    step(report, signalSent(0, 'SIGTERM'))
    step(report, signalSent(0, 'SIGKILL'))
    step(report, signalSent(0, 'SIGKILL'))
    step(report, jobFailed(1, hang))
    expect(report.retries).toBe(1)
    expect(report.signals.size).toBe(0)
    expect([...report.groups.values()][0]?.samples[0]?.signals).toEqual(['SIGTERM', 'SIGKILL'])
  })

  test('a row alone still knows the strongest signal, its tries and its sentence', () => {
    const row = jobRow({
      outcome: 'killed',
      url: '',
      failure: { kind: 'hang', afterMs: 30_000 },
      attempts: [attempt({ signal_sent: 'SIGKILL' }), attempt({ counted: false })],
    })
    expect(sampleOf(row)).toMatchObject({
      signals: ['SIGKILL'],
      countedTries: 1,
      url: null,
      sentence: 'HUNG no heartbeat for 30s',
    })
    expect(sampleOf({ ...row, failure: null }).sentence).toBe('killed')
    expect(sampleOf({ ...row, reason: 'why not' }).sentence).toBe('why not')
  })

  test('what ended with the run has no class of its own', () => {
    const report = reportOf([
      jobFailed(1, { kind: 'run-deadline', afterMs: 1000 }),
      jobFailed(2, { kind: 'cancelled', signal: 'SIGINT' }),
    ])
    expect(report.classes.size).toBe(0)
    expect(report.totals).toMatchObject({ killed: 1, cancelled: 1 })
  })

  test('a cancelled run is one group over all hosts', () => {
    const at = (line: number, host: string) =>
      jobFailed(line, { kind: 'cancelled', signal: 'SIGINT' }, { url: `https://${host}/x`, kept: 10 })
    const report = reportOf([at(1, 'a.example'), at(2, 'b.example')])
    expect([...report.groups.values()]).toMatchObject([{ count: 2, keptBytes: 20, host: null }])
  })
})

describe('bounds', () => {
  test('failures of a thousand hosts stay small and lose no count', () => {
    const report = freshReport()
    const jobs = 100_000
    for (let i = 0; i < jobs; i++) {
      step(
        report,
        jobFailed(i + 1, { kind: 'http-status', status: 404 }, { url: `https://host${i % 1000}.example/${i}` }),
      )
    }
    const groups = [...report.groups.values()]
    expect(groups.length).toBe(LIMITS.groups + 1)
    expect(groups.reduce((sum, { count }) => sum + count, 0)).toBe(jobs)
    expect(groups.at(-1)).toMatchObject({ outcome: null, kind: null, host: null })
    expect(groups.reduce((sum, { samples }) => sum + samples.length, 0)).toBeLessThanOrEqual(LIMITS.groups + 1)
  })

  test('few causes keep twenty jobs each, and texts are cut', () => {
    const report = freshReport()
    for (let line = 1; line <= 50; line++) {
      step(
        report,
        jobFailed(line, { kind: 'list-changed' }, { url: `https://x/${'y'.repeat(9000)}`, reason: 'z'.repeat(9000) }),
      )
    }
    const [group] = [...report.groups.values()]
    expect(group?.samples.length).toBe(LIMITS.samples)
    expect(group?.samples[0]?.url?.length).toBe(2000)
    expect(group?.samples[0]?.sentence.length).toBe(1000)
  })

  test('warnings, hosts and stops are bounded and counted', () => {
    const report = freshReport()
    for (let i = 0; i < 1500; i++) {
      step(report, { type: 'warning', at: START, message: `w${i}` })
      step(report, { type: 'stopping', at: START, cause: 'halt', reason: 'r' })
      const host = `h${i}`
      step(report, { type: 'host-changed', at: START, host, change: 'paused', reason: 'r', until: START + 1, cap: 6 })
    }
    step(report, jobEnded({ line: 9, warnings: ['HTML came for a .pdf'] }))
    step(report, { type: 'host-changed', at: START, host: 'h0', change: 'down', reason: 'r', until: null, cap: 6 })
    step(report, { type: 'suspended', at: START, gap_ms: 5000 })
    step(report, { type: 'suspended', at: START, gap_ms: 2000 })
    expect(report.warnings.length).toBe(LIMITS.warnings)
    expect(report.warningCount).toBe(1501)
    expect(report.stops.length).toBe(LIMITS.stops)
    expect(report.hosts.size).toBe(LIMITS.hosts)
    expect(report.hostsDropped).toBe(500)
    expect(report.hosts.get('h0')).toMatchObject({ change: 'down', changes: 2 })
    expect(report.suspended).toEqual({ count: 2, gapMs: 7000 })
  })

  test('a step costs microseconds', () => {
    const report = freshReport()
    const events = Array.from({ length: 20_000 }, (_, i) => jobFailed(i + 1, { kind: 'http-status', status: 404 }))
    const started = performance.now()
    for (const event of events) step(report, event)
    expect(((performance.now() - started) / events.length) * 1000).toBeLessThan(50)
  })
})

describe('line sets', () => {
  test('hold exactly the lines that were added, sorted and merged', () => {
    const range = fc
      .tuple(fc.integer({ min: 1, max: 120 }), fc.nat(12))
      .map(([first, more]): LineRange => [first, first + more])
    fc.assert(
      fc.property(fc.array(range, { maxLength: 40 }), (added) => {
        const set = { ranges: [], dropped: 0 } satisfies { ranges: LineRange[]; dropped: number }
        const model = new Set<number>()
        for (const [first, last] of added) {
          addLines(set, first, last)
          for (let line = first; line <= last; line++) model.add(line)
        }
        const ranges: readonly LineRange[] = set.ranges
        const lines = ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i))
        expect(lines).toEqual([...model].sort((a, b) => a - b))
        ranges.forEach(([first], i) => {
          const before = ranges[i - 1]
          if (before !== undefined) expect(first).toBeGreaterThan(before[1] + 1)
        })
      }),
    )
  })

  test('stop growing at their limit, but ranges they touch still grow', () => {
    const report = freshReport()
    for (let i = 0; i < LIMITS.ranges + 5; i++) addLines(report.notStarted, i * 10 + 1, i * 10 + 1)
    addLines(report.notStarted, 2, 3)
    expect(report.notStarted.ranges.length).toBe(LIMITS.ranges)
    expect(report.notStarted.dropped).toBe(5)
    expect(report.notStarted.ranges[0]).toEqual([1, 3])
  })
})

test('what is still to be done is all that neither ended well nor was skipped', () => {
  expect(OUTCOMES.filter((outcome) => !isUnfinished(outcome))).toEqual(['downloaded', 'unchanged', 'skipped'])
})
