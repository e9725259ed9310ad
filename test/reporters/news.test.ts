import { describe, expect, test } from 'vitest'
import type { RunEvent } from '../../src/core/event.ts'
import type { News } from '../../src/core/news.ts'
import { endedJobs, freshReport, type Report } from '../../src/core/report.ts'
import { newsLines } from '../../src/reporters/news.ts'
import { jobEnded, jobFailed, reportOf, runEnded, runStarted, START } from '../events.ts'
import fc from '../fixtures/property.ts'

const numbered = (from: number, count: number, event: (line: number) => RunEvent) =>
  Array.from({ length: count }, (_, i) => event(from + i))
const missing = (line: number) => jobFailed(line, { kind: 'http-status', status: 404 })
const stopping = (cause: 'signal' | 'run-deadline' | 'halt', reason: string): RunEvent => ({
  type: 'stopping',
  at: START,
  cause,
  reason,
})
const nothing = freshReport()
const news = (changes: Partial<News> = {}): News => ({
  fresh: nothing,
  again: nothing,
  stillFailing: 0,
  recovered: { count: 0, samples: [] },
  ...changes,
})
const recovered = (...lines: number[]) => ({
  count: lines.length,
  samples: lines.map((line) => ({ line, url: `https://example.com/files/${line}.bin` })),
})
/** A run that brought one file besides what failed. */
function runOf(failed: readonly RunEvent[]): Report {
  const events = [runStarted(), jobEnded({ line: 10_000 }), ...failed]
  return reportOf([...events, runEnded({ listed: endedJobs(reportOf(events)), filesOnDisk: 1, bytesOnDisk: 1000 })])
}

test('a run like the one before it says nothing', () => {
  expect(newsLines(runOf([]), news())).toEqual([])
  expect(newsLines(runOf([missing(1)]), news({ stillFailing: 1 }))).toEqual([])
})

test('one job that newly fails: its cause is in the first line, what happened in the second', () => {
  expect(newsLines(runOf([missing(3)]), news({ fresh: reportOf([missing(3)]) }))).toEqual([
    'mpdl: 1 newly failing (HTTP 404 at example.com): 2 = 1 downloaded + 1 failed in 1m12s, 1000 B, 14 B/s, process',
    'line 3 https://example.com/files/3.bin HTTP 404 Not Found',
    'the whole report: mpdl report 20261121T022015Z-4f3a',
  ])
})

test('what is new comes first, then what is told once a week, then what recovered', () => {
  const fresh = [missing(3), jobFailed(4, { kind: 'hang', afterMs: 30_000 })]
  const again = [jobFailed(7, { kind: 'http-status', status: 410 })]
  const told = news({
    fresh: reportOf(fresh),
    again: reportOf(again),
    stillFailing: 5,
    recovered: recovered(17),
  })
  expect(newsLines(runOf([...fresh, ...numbered(50, 4, missing), ...again]), told)).toEqual([
    'mpdl: 2 newly failing (HTTP 404 at example.com, hang at example.com), 1 recovered, 5 still failing: 8 = 1 downloaded + 6 failed + 1 killed in 1m12s, 1000 B, 14 B/s, process',
    'line 3 https://example.com/files/3.bin HTTP 404 Not Found',
    'line 4 https://example.com/files/4.bin HUNG no heartbeat for 30s',
    'still failing (said once a week):',
    'line 7 https://example.com/files/7.bin HTTP 410 Gone',
    'recovered:',
    'line 17 https://example.com/files/17.bin',
    'the whole report: mpdl report 20261121T022015Z-4f3a',
  ])
})

test('the weekly reminder alone, and recovery alone, are news', () => {
  const reminder = newsLines(runOf([missing(3)]), news({ again: reportOf([missing(3)]), stillFailing: 1 }))
  expect(reminder.slice(0, 3)).toEqual([
    expect.stringMatching(/^mpdl: 1 still failing \(HTTP 404 at example\.com\): 2 = 1 downloaded \+ 1 failed in /),
    'still failing (said once a week):',
    'line 3 https://example.com/files/3.bin HTTP 404 Not Found',
  ])
  const well = newsLines(runOf([]), news({ recovered: recovered(...numbered(1, 12, missing).map((_, i) => i + 1)) }))
  expect(well).toEqual([
    expect.stringMatching(/^mpdl: 12 recovered: 1 = 1 downloaded in /),
    'recovered:',
    'line 1 https://example.com/files/1.bin',
    'line 2 https://example.com/files/2.bin',
    'line 3 https://example.com/files/3.bin',
    'and 9 more',
    'the whole report: mpdl report 20261121T022015Z-4f3a',
  ])
})

test('five thousand of one cause leave room for everything else', () => {
  const fresh = numbered(1, 5000, missing)
  const again = numbered(6000, 300, (line) =>
    jobFailed(line, { kind: 'checksum', algorithm: 'sha-256', expected: 'a', actual: 'b' }),
  )
  const told = news({
    fresh: reportOf(fresh),
    again: reportOf(again),
    stillFailing: 4980,
    recovered: recovered(1, 2, 3, 4),
  })
  const lines = newsLines(runOf([...fresh, ...again]), told)
  expect(lines.length).toBeLessThanOrEqual(30)
  expect(lines[0]).toContain(
    'mpdl: 5000 newly failing (HTTP 404 at example.com), 4 recovered, 4980 still failing: 5301 = ',
  )
  expect(lines).toContain('5,000 failed, HTTP 404 at example.com:')
  expect(lines.join('\n')).toMatch(/\nand 4,9\d\d more\nstill failing/)
  expect(lines.filter((line) => line.startsWith('  line ')).length).toBeGreaterThanOrEqual(12)
  expect(lines.at(-1)).toBe('the whole report: mpdl report 20261121T022015Z-4f3a')
})

test('five hundred causes are counted in the first line and named as far as there is room', () => {
  const fresh = numbered(1, 500, (line) =>
    jobFailed(line, { kind: 'http-status', status: 404 }, { url: `https://host${line}.example/a` }),
  )
  const lines = newsLines(runOf(fresh), news({ fresh: reportOf(fresh) }))
  expect(lines[0]).toContain('HTTP 404 at host1.example, HTTP 404 at host2.example and 498 more causes')
  expect(lines.length).toBeLessThanOrEqual(30)
  expect(lines).toContain('and 480 more')
})

test('a host that is down is named once, with the jobs that were tried before it was given up', () => {
  const host = 'a.example'
  const tried = numbered(1, 5, (line) =>
    jobFailed(line, { kind: 'connect-timeout', host, afterMs: 2000 }, { url: `https://${host}/${line}` }),
  )
  const down: RunEvent[] = [
    { type: 'host-changed', at: START, host, change: 'down', reason: 'no connection', until: null, cap: 6 },
    {
      type: 'jobs-ended',
      at: START,
      outcome: 'failed',
      failure: { kind: 'host-down', host, cause: 'no connection' },
      reason: `host ${host} is down: no connection`,
      count: 95,
      lines: [[6, 100]],
    },
  ]
  const lines = newsLines(runOf([...tried, ...down]), news({ fresh: reportOf([...tried, ...down]) }))
  expect(lines[0]).toContain('mpdl: 100 newly failing (a host is down): ')
  expect(lines[1]).toBe('host a.example is down: no connection: 100 jobs failed')
  expect(lines.join('\n').split(host)).toHaveLength(2)
})

describe('always told', () => {
  test('sums that do not add up, and a run without its end', () => {
    const wrong = reportOf([runStarted(), jobEnded(), runEnded({ listed: 2, filesOnDisk: 1, bytesOnDisk: 1000 })])
    expect(newsLines(wrong, news())).toEqual([
      expect.stringMatching(/^mpdl: THE SUMS DO NOT ADD UP: 1 = /),
      'THE SUMS DO NOT ADD UP: the list has 2 jobs, the outcomes add up to 1',
      expect.stringMatching(/^the whole report/),
    ])
    expect(newsLines(reportOf([runStarted(), jobEnded()]), news())[0]).toMatch(/^mpdl: NOT FINISHED: 1 = /)
  })

  test('what the run itself was warned of', () => {
    const warned: RunEvent = { type: 'warning', at: START, message: 'no run log: EROFS' }
    const lines = newsLines(runOf([warned]), news({ fresh: reportOf([warned]), stillFailing: 2 }))
    expect(lines[0]).toMatch(/^mpdl: 1 warning, 2 still failing: 1 = /)
    expect(lines[1]).toBe('warning: no run log: EROFS')
  })

  test('all that the run was warned of, when that is all there is', () => {
    const warned = numbered(1, 4, (n): RunEvent => ({ type: 'warning', at: START, message: `trouble ${n}` }))
    const lines = newsLines(runOf(warned), news({ fresh: reportOf(warned) }), { whole: null })
    expect(lines.slice(1)).toEqual([1, 2, 3, 4].map((n) => `warning: trouble ${n}`))
  })

  test('why a run was stopped that was stopped before, when it speaks of something else', () => {
    const stop = stopping('halt', 'enough')
    const told = newsLines(runOf([stop, missing(3)]), news({ fresh: reportOf([missing(3)]) }))
    expect(told[0]).toMatch(/^mpdl: 1 newly failing \(HTTP 404 at .*\), again stopped early \(halt\): \d = /)
    expect(newsLines(runOf([stop]), news())).toEqual([])
  })

  test('why the run was stopped, and what had no turn', () => {
    const stop = stopping('signal', 'SIGTERM')
    const rest: RunEvent = {
      type: 'jobs-ended',
      at: START,
      outcome: 'not-started',
      failure: null,
      reason: 'SIGTERM',
      count: 3,
      lines: [[7, 9]],
    }
    const cancelled = jobFailed(6, { kind: 'cancelled', signal: 'SIGTERM' })
    const run = reportOf([runStarted(), stop, cancelled, rest, runEnded({ listed: 4 }, 'SIGTERM')])
    expect(newsLines(run, news({ fresh: reportOf([runStarted(), stop]) }))).toEqual([
      expect.stringMatching(/^mpdl: stopped early \(SIGTERM\): 4 = 1 cancelled \+ 3 not-started in /),
      'stopped early: SIGTERM',
      'lines 7-9 not started',
      expect.stringMatching(/^the whole report/),
    ])
  })

  test('once a week that the window is too small', () => {
    const stop = stopping('run-deadline', 'the run deadline of 3s has passed')
    const lines = newsLines(runOf([stop]), news({ again: reportOf([stop]) }))
    expect(lines[0]).toMatch(/^mpdl: again stopped early \(run deadline\): /)
    expect(lines[2]).toBe('stopped early: the run deadline of 3s has passed')
  })
})

test('everything at once has its place in thirty lines', () => {
  const long = 'a long sentence '.repeat(40).trim()
  const everything = [
    runStarted(),
    ...[1, 2, 3].map((n) => stopping('signal', `${n} ${long}`)),
    ...numbered(1, 9, (line) => jobFailed(line, { kind: 'host-down', host: `down${line}.example`, cause: long })),
    ...numbered(20, 50, missing),
    ...numbered(100, 50, (line) => jobFailed(line, { kind: 'disk-error', code: 'EIO', operation: long, path: '/x' })),
    ...numbered(200, 50, (line) => jobFailed(line, { kind: 'cancelled', signal: long })),
    ...numbered(300, 9, (): RunEvent => ({ type: 'warning', at: START, message: long })),
    ...numbered(400, 40, (line) => jobEnded({ line: line * 2, outcome: 'not-started' })),
  ]
  const part = reportOf(everything)
  const told = news({ fresh: part, again: part, stillFailing: 100, recovered: recovered(7, 8, 9, 10) })
  const lines = newsLines(reportOf([...everything, runEnded({ spawned: 7, filesOnDisk: 7, bytesOnDisk: 7 })]), told)
  expect(lines.length).toBeLessThanOrEqual(30)
  const heads = [
    'mpdl: THE SUMS DO NOT ADD UP, stopped early (signal), again stopped early (signal), 109 newly failing (',
    'THE SUMS DO NOT ADD UP: ',
    'stopped early: ',
    'line 20 https://example.com/files/20.bin',
    'and 50 more',
    'lines 800, ',
    'warning: ',
    'still failing (said once a week):',
    'recovered:',
    'the whole report: ',
  ]
  const places = heads.map((head) => lines.findIndex((line) => line.startsWith(head)))
  expect(places).toEqual(places.toSorted((a, b) => a - b))
  expect(places).not.toContain(-1)
})

test('whatever servers and lists say, a mail has at most thirty lines of at most 78 columns', () => {
  const hostile = fc.oneof(
    fc.string({ maxLength: 1500 }),
    fc.constantFrom(
      'تقرير_السنة.pdf',
      '\x1b[2J\u202egnp.exe',
      'a '.repeat(700),
      'x'.repeat(300),
      '',
      '\r\n\r\n',
      '🚀'.repeat(90),
    ),
  )
  // A list ends a URL at white space.
  const urlOf = (host: string, name: string) => `https://${host}/${name.replace(/\s/g, '')}`
  const host = fc.constantFrom('a.example', 'مثال.إختبار', `${'h'.repeat(63)}.example`, '[::1]:8443')
  const failure = fc.oneof(
    fc.record({ kind: fc.constant('http-status' as const), status: fc.integer({ min: 400, max: 599 }) }),
    fc.record({ kind: fc.constant('unknown-host' as const), host, code: fc.constant('ENOTFOUND') }),
    fc.record({ kind: fc.constant('host-down' as const), host, cause: hostile }),
    fc.record({ kind: fc.constant('disk-error' as const), code: hostile, operation: hostile, path: hostile }),
    fc.record({ kind: fc.constant('cancelled' as const), signal: hostile }),
  )
  const oneJob = fc
    .record({
      line: fc.integer({ min: 1, max: 1e7 }),
      failure,
      host,
      name: hostile,
      warnings: fc.array(hostile, { maxLength: 2 }),
    })
    .map(({ line, failure, host, name, warnings }) =>
      jobFailed(line, failure, { url: urlOf(host, name), warnings, kept: line % 3 }),
    )
  const manyJobs = fc.record({ failure, reason: hostile, lines: fc.array(fc.nat(1e7), { maxLength: 40 }) }).map(
    ({ failure, reason, lines }): RunEvent => ({
      type: 'jobs-ended',
      at: START,
      outcome: 'failed',
      failure,
      reason,
      count: lines.length + 1,
      lines: lines.map((line) => [line, line + 3]),
    }),
  )
  const ofTheRun = fc.oneof(
    hostile.map((message): RunEvent => ({ type: 'warning', at: START, message })),
    hostile.map((reason) => stopping('signal', reason)),
    host.map(
      (host): RunEvent => ({ type: 'host-changed', at: START, host, change: 'down', reason: '', until: null, cap: 1 }),
    ),
  )
  const events = fc.array(fc.oneof(oneJob, oneJob, manyJobs, ofTheRun), { maxLength: 120 })
  const end = fc.constantFrom<RunEvent[]>(
    [],
    [runEnded()],
    [runEnded({ listed: 7, spawned: 3, filesOnDisk: 9, bytesOnDisk: 1 })],
  )
  const samples = fc.array(fc.record({ line: fc.nat(), url: hostile.map((name) => urlOf('a.example', name)) }), {
    maxLength: 9,
  })
  fc.assert(
    fc.property(events, events, end, samples, fc.nat(), (fresh, again, end, samples, stillFailing) => {
      const report = reportOf([runStarted(), ...fresh, ...again, ...end])
      const told = { fresh: reportOf(fresh), again: reportOf(again), stillFailing }
      const lines = newsLines(report, { ...told, recovered: { count: samples.length * 2, samples } })
      expect(lines.length).toBeLessThanOrEqual(30)
      expect(lines.join('')).not.toMatch(/[\p{Cc}\u202e]/u)
      for (const line of lines.slice(1)) {
        const isUnbreakable = !line
          .trim()
          .replace(/^lines? \d+ /, '')
          .includes(' ')
        const withoutAddress = line.replace(/https:\S*( |$)/, '')
        if (Array.from(withoutAddress).length > 78 && !isUnbreakable) expect(line).toBe('at most 78 columns')
      }
    }),
    { numRuns: 200 },
  )
})
