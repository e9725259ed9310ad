import { describe, expect, test } from 'vitest'
import type { RunEvent } from '../../src/core/event.ts'
import {
  bulkLine,
  grouped,
  linesText,
  rowLine,
  storyLine,
  summaryLines,
  wrapWords,
} from '../../src/reporters/summary.ts'
import { attempt, jobEnded, jobFailed, jobRow, reportOf, runEnded, runStarted, START } from '../events.ts'
import fc from '../fixtures/property.ts'

const MiB = 1024 * 1024
const numbered = (from: number, count: number, event: (line: number) => RunEvent) =>
  Array.from({ length: count }, (_, i) => event(from + i))

describe('the first line', () => {
  test('is the whole story', () => {
    const report = reportOf([
      runStarted(),
      ...numbered(1, 91, (line) => jobEnded({ line, size_download: 10 * MiB, size: 10 * MiB })),
      ...numbered(92, 6, (line) => jobEnded({ line, outcome: 'unchanged', size_download: 0 })),
      jobFailed(98, { kind: 'http-status', status: 404 }),
      jobFailed(99, { kind: 'tls', code: 'CERT_HAS_EXPIRED', host: 'example.com' }),
      jobFailed(100, { kind: 'hang', afterMs: 30_000 }),
      runEnded({ listed: 100, filesOnDisk: 91, bytesOnDisk: 910 * MiB }),
    ])
    expect(summaryLines(report, { width: 20 })[0]).toBe(
      'mpdl: 100 = 91 downloaded + 6 unchanged + 2 failed + 1 killed in 1m12s, 910.0 MiB, 12.6 MiB/s, process: HTTP 404 at example.com, tls at example.com and 1 more cause',
    )
  })

  test('needs no job and no header', () => {
    expect(storyLine(reportOf([]))).toBe('mpdl: no jobs in 0ms, 0 B')
  })

  test('says in capitals that nobody’s certificate was verified', () => {
    expect(storyLine(reportOf([runStarted({ insecure: true }), jobEnded()]))).toMatch(
      /, process, CERTIFICATES NOT VERIFIED \(--insecure\)$/,
    )
  })

  test('says what most failed of, and why the run was stopped', () => {
    const failed = (line: number, status: number, host = 'example.com') =>
      jobFailed(line, { kind: 'http-status', status }, { url: `https://${host}/${line}` })
    const stop = (cause: 'signal' | 'run-deadline', reason: string): RunEvent => ({
      type: 'stopping',
      at: START,
      cause,
      reason,
    })
    const cut = jobFailed(9, { kind: 'run-deadline', afterMs: 3000 })
    expect(storyLine(reportOf([failed(1, 410), failed(2, 404), failed(3, 404)]))).toMatch(
      /: HTTP 404 at example\.com, HTTP 410 at example\.com$/,
    )
    expect(storyLine(reportOf([1, 2, 3, 4].map((n) => failed(n, 404, `h${n}.example`))))).toMatch(
      /: HTTP 404 at h1\.example, HTTP 404 at h2\.example and 2 more causes$/,
    )
    expect(storyLine(reportOf([stop('run-deadline', 'r'), cut]))).toMatch(/: stopped early \(run deadline\)$/)
    expect(storyLine(reportOf([stop('signal', 'SIGTERM'), failed(1, 404)]))).toMatch(
      /: stopped early \(SIGTERM\), HTTP 404 at example\.com$/,
    )
  })

  test('is all there is when all is well', () => {
    const report = reportOf([runStarted(), jobEnded(), runEnded({ listed: 1, filesOnDisk: 1, bytesOnDisk: 1000 })])
    expect(summaryLines(report, { width: 200 })).toEqual([storyLine(report)])
  })
})

describe('failures', () => {
  test('a single one says what happened, where and what was done', () => {
    const attempts = [1, 2, 3].map((n) => attempt({ n, signal_sent: n === 3 ? 'SIGKILL' : null }))
    const signal = (name: string): RunEvent => ({
      type: 'signal-sent',
      at: START,
      index: 16,
      line: 17,
      n: 3,
      pid: 1,
      signal: name,
      reason: 'hang',
    })
    const events = [
      runStarted(),
      signal('SIGTERM'),
      signal('SIGKILL'),
      jobFailed(17, { kind: 'hang', afterMs: 30_000 }, { attempts, kept: 41 * MiB }),
      runEnded({ listed: 1 }),
    ]
    expect(summaryLines(reportOf(events), { width: 300 })[1]).toBe(
      'line 17 https://example.com/files/17.bin HUNG no heartbeat for 30s, SIGTERM then SIGKILL, 3 of 5 tries, 41.0 MiB kept',
    )
    for (const line of summaryLines(reportOf(events)).slice(1)) expect(line.length).toBeLessThanOrEqual(78)
  })

  test('five thousand of one cause are twenty rows and a number', () => {
    const failed = numbered(1, 5000, (line) => jobFailed(line, { kind: 'http-status', status: 404 }))
    const lines = summaryLines(reportOf([runStarted(), ...failed, runEnded({ listed: 5000 })]))
    expect(lines.length).toBeLessThanOrEqual(30)
    expect(lines).toContain('5,000 failed, HTTP 404 at example.com:')
    expect(lines.filter((line) => line.startsWith('  line ')).length).toBe(20)
    expect(lines).toContain('and 4,980 more: mpdl report 20261121T022015Z-4f3a')
  })

  test('what is only counted behind a row is not counted again, and the summary says where it is', () => {
    const many = numbered(1, 2000, (line) => jobFailed(line, { kind: 'http-status', status: 404 }))
    const hosts = numbered(2001, 30, (line) =>
      jobFailed(line, { kind: 'http-status', status: 500 }, { url: `https://host${line}.example/x` }),
    )
    const lines = (extra: readonly RunEvent[]) => {
      const events = [...many, ...extra]
      return summaryLines(reportOf([runStarted(), ...events, runEnded({ listed: events.length })]))
    }
    expect(lines(hosts)).toEqual(expect.arrayContaining([expect.stringMatching(/ \(and 1,999 more like$/)]))
    expect(lines(hosts)).toContain('and 11 more: mpdl report 20261121T022015Z-4f3a')
    expect(lines(hosts.slice(0, 19))).toContain('all of them: mpdl report 20261121T022015Z-4f3a')
  })

  test('a host that was given up is named once, though all its jobs were under way and none is left to fail of that', () => {
    const host = 'example.com'
    const timeout = { kind: 'connect-timeout', host, afterMs: 300 } as const
    const down = {
      type: 'host-changed',
      at: START,
      host,
      change: 'down',
      reason: 'no connection',
      until: null,
      cap: 1,
    } as const
    const failed = numbered(1, 8, (line) => jobFailed(line, timeout))
    expect(summaryLines(reportOf([runStarted(), ...failed, down, runEnded({ listed: 8 })])).slice(1)).toEqual([
      'host example.com is down: no connection: 8 jobs failed',
    ])
  })

  test('no line is longer than a mail may carry, and what happened at a long address is still told', () => {
    const url = `https://example.com/${'x'.repeat(1900)}`
    const reason = `${'é'.repeat(900)} gone`
    const failed = [1, 2].map((line) => jobFailed(line, { kind: 'http-status', status: 404 }, { url, reason }))
    const lines = summaryLines(reportOf([runStarted(), ...failed, runEnded({ listed: 2 })]))
    for (const line of lines) expect(Buffer.byteLength(line)).toBeLessThanOrEqual(998)
    expect(lines.join('\n')).toContain('gone')
    expect(lines.join('\n')).not.toContain('\ufffd')
  })

  test('a run without a log does not say where more is, and one elsewhere says where', () => {
    const failed = numbered(1, 50, (line) => jobFailed(line, { kind: 'http-status', status: 404 }))
    const report = reportOf([runStarted(), ...failed, runEnded({ listed: 50 })])
    expect(summaryLines(report, { whole: null })).toContain('and 30 more')
    expect(summaryLines(report, { whole: 'mpdl report /x.ndjson' })).toContain('and 30 more: mpdl report /x.ndjson')
  })

  test('five thousand of all kinds, with everything else going wrong, still fit on a screen', () => {
    const mixed = numbered(1, 5000, (line) => {
      const url = `https://host${line % 700}.example/${line}`
      return line % 3 === 0
        ? jobFailed(line, { kind: 'hang', afterMs: 30_000 }, { url, warnings: ['HTML came for a .pdf'] })
        : jobFailed(line, { kind: 'http-status', status: 400 + (line % 9) }, { url })
    })
    const down = numbered(1, 40, (i): RunEvent => {
      const host = `down${i}.example`
      const failure = { kind: 'host-down', host, cause: 'connection refused' } as const
      return { type: 'jobs-ended', at: START, outcome: 'failed', failure, reason: 'r', count: 10, lines: [[i, i]] }
    })
    const stop: RunEvent = { type: 'stopping', at: START, cause: 'halt', reason: 'more than 90 % failed' }
    const lines = summaryLines(reportOf([runStarted(), ...down, ...mixed, stop, runEnded({ listed: 5400 })]))
    expect(lines.length).toBeLessThanOrEqual(30)
    expect(lines).toContain('stopped early: more than 90 % failed')
    expect(lines.join('\n')).toContain('down: down3.example, down4.example and 36 more hosts: 380 jobs')
  })

  test('a rare cause is not drowned by a common one', () => {
    const common = numbered(1, 4999, (line) => jobFailed(line, { kind: 'http-status', status: 404 }))
    const rare = jobFailed(5000, { kind: 'crash-signal', signal: 'SIGSEGV' })
    const text = summaryLines(reportOf([runStarted(), ...common, rare, runEnded({ listed: 5000 })])).join('\n')
    expect(text).toContain('line 5000 https://example.com/files/5000.bin CRASHED the child died of SIGSEGV')
    expect(text).toContain('and 4,980 more')
  })

  test('beyond the third header a cause shows one job and how many are like it', () => {
    const failed = [401, 403, 404, 410, 451].flatMap((status, i) =>
      numbered(i * 10, 2, (line) => jobFailed(line, { kind: 'http-status', status })),
    )
    const text = summaryLines(reportOf([...failed, runEnded({ listed: 10 })]), { width: 200 }).join('\n')
    expect(text).toContain('2 failed, HTTP 404 at example.com:')
    expect(text).toContain(
      'line 40 https://example.com/files/40.bin HTTP 451 Unavailable For Legal Reasons (and 1 more like it)',
    )
    expect(text).toContain('all of them: mpdl report RUN')
  })

  test('what would take more lines than a screen has is a line each, cut behind its address', () => {
    const failed = numbered(1, 21, (line) =>
      jobFailed(line, {
        kind: 'tls',
        code: 'ERR_TLS_CERT_ALTNAME_INVALID',
        host: `a-host-with-quite-a-long-name-${line}.example`,
      }),
    )
    const lines = summaryLines(reportOf([runStarted(), ...failed, runEnded({ listed: 21 })])).slice(1)
    expect(lines).toHaveLength(21)
    expect(lines[8]).toMatch(/^line 9 https:\/\/example\.com\/files\/9\.bin TLS .*…$/)
    for (const line of lines) expect(line.replace(/https:\S+ /, '').length).toBeLessThanOrEqual(78)
    expect(lines.at(-1)).toBe('and 1 more: mpdl report 20261121T022015Z-4f3a')
  })

  test('rows of one cause stand in the order of the list', () => {
    const failed = [7, 3, 5].map((line) => jobFailed(line, { kind: 'http-status', status: 404 }))
    const lines = summaryLines(reportOf([...failed, runEnded({ listed: 3 })]))
    expect(lines.slice(2).map((line) => line.split(' ')[3])).toEqual(['3', '5', '7'])
  })

  test('a host that is down has one line, also for what was tried before it was given up', () => {
    const host = 'a.example'
    const tried = jobFailed(1, { kind: 'connect-timeout', host, afterMs: 1000 }, { url: `http://${host}/1` })
    const elsewhere = jobFailed(2, { kind: 'connect-refused', host: 'b.example' })
    const given = jobFailed(3, { kind: 'host-down', host, cause: 'connection refused' })
    const missing = jobFailed(4, { kind: 'http-status', status: 404 }, { url: `http://${host}/4` })
    const lines = summaryLines(reportOf([tried, elsewhere, given, missing, runEnded({ listed: 4 })]))
    expect(lines[0]).toMatch(/: a host is down, connect refused at b\.example and 1 more cause$/)
    expect(lines.slice(1)).toEqual([
      'host a.example is down: connection refused: 2 jobs failed',
      'line 2 https://example.com/files/2.bin connection refused by b.example',
      'line 4 http://a.example/4 HTTP 404 Not Found',
    ])
  })

  test('a host that is down is one line, and others down are named', () => {
    const failure = { kind: 'host-down', host: 'a.example', cause: 'connection refused' } as const
    const down = (host: string): RunEvent => ({
      type: 'host-changed',
      at: START,
      host,
      change: 'down',
      reason: 'connection refused',
      until: null,
      cap: 6,
    })
    const bulk: RunEvent = {
      type: 'jobs-ended',
      at: START,
      outcome: 'failed',
      failure,
      reason: 'host a.example is down: connection refused',
      count: 4979,
      lines: [[2, 4980]],
    }
    const lines = summaryLines(
      reportOf([jobFailed(1, failure), bulk, down('a.example'), down('b.example'), runEnded({ listed: 4980 })]),
    )
    expect(lines.slice(1)).toEqual(['host a.example is down: connection refused: 4,980 jobs failed', 'down: b.example'])
  })

  test('many jobs that ended together have one row', () => {
    const bulk: Extract<RunEvent, { type: 'jobs-ended' }> = {
      type: 'jobs-ended',
      at: START,
      outcome: 'failed',
      failure: { kind: 'bad-line', problem: 'no URL' },
      reason: 'no URL',
      count: 3,
      lines: [
        [4, 5],
        [9, 9],
      ],
    }
    expect(summaryLines(reportOf([bulk, runEnded({ listed: 3 })]))[1]).toBe('lines 4-5, 9 no URL')
    expect(bulkLine(bulk)).toBe('lines 4-5, 9 failed: no URL (3 jobs)')
  })
})

describe('the rest of the story', () => {
  test('a cancelled run names what was cancelled and what had no turn', () => {
    const cancelled = (line: number) => jobFailed(line, { kind: 'cancelled', signal: 'SIGINT' }, { kept: MiB })
    const notStarted: RunEvent = {
      type: 'jobs-ended',
      at: START,
      outcome: 'not-started',
      failure: null,
      reason: 'SIGINT',
      count: 985,
      lines: [
        [17, 1000],
        [1005, 1005],
      ],
    }
    const stop: RunEvent = { type: 'stopping', at: START, cause: 'signal', reason: 'SIGINT' }
    const events = [stop, cancelled(3), cancelled(4), notStarted, runEnded({ listed: 987 }, 'SIGINT')]
    expect(summaryLines(reportOf(events)).slice(1)).toEqual([
      'stopped early: SIGINT',
      '2 jobs cancelled by SIGINT, 2.00 MiB kept: lines 3, 4',
      'lines 17-1000, 1005 not started',
    ])
  })

  test('pauses of the machine, unverified files and warnings are told', () => {
    const warnings: RunEvent[] = [1, 2, 3, 4, 5].map((n) => ({ type: 'warning', at: START, message: `w${n}` }))
    const events: RunEvent[] = [
      { type: 'suspended', at: START, gap_ms: 3_600_000 },
      jobEnded({ line: 2, proof: 'unverified', warnings: ['HTML came for a .pdf'] }),
      ...warnings,
      runEnded({ listed: 1, filesOnDisk: 1, bytesOnDisk: 1000 }),
    ]
    expect(summaryLines(reportOf(events)).slice(1)).toEqual([
      'the machine stood still for 1h in 1 pause',
      '1 file unverified: the server gave no length',
      'warning: line 2: HTML came for a .pdf',
      'warning: w1',
      'and 4 more warnings: mpdl report RUN',
    ])
  })

  test('trouble of the program of --on-finish is told last', () => {
    const hook: RunEvent = {
      type: 'hook-ended',
      at: START,
      program: 'tell',
      exit_code: 3,
      signal: null,
      ms: 12,
      output: '',
      problem: '--on-finish tell: it exited with 3\x07',
    }
    const ended = runEnded({ listed: 1, filesOnDisk: 1, bytesOnDisk: 1000 })
    expect(summaryLines(reportOf([jobEnded(), ended, hook])).slice(1)).toEqual([
      '--on-finish tell: it exited with 3\\x07',
    ])
    expect(summaryLines(reportOf([jobEnded(), ended, { ...hook, problem: null }]))).toHaveLength(1)
  })

  test('sums that differ, and a run without an end, are told loudly', () => {
    expect(summaryLines(reportOf([jobEnded(), runEnded({ listed: 2, filesOnDisk: 1, bytesOnDisk: 1000 })]))[1]).toBe(
      'THE SUMS DO NOT ADD UP: the list has 2 jobs, the outcomes add up to 1',
    )
    expect(summaryLines(reportOf([runStarted(), jobEnded()])).join('\n')).toContain('NOT FINISHED')
  })

  test('no server text reaches the screen raw', () => {
    const evil = 'a\x1b[2J\u202e\nb'
    const report = reportOf([
      runStarted({ version: evil, id: evil }),
      { type: 'warning', at: START, message: evil },
      { type: 'stopping', at: START, cause: 'halt', reason: evil },
      jobFailed(1, { kind: 'unknown-host', host: evil, code: 'ENOTFOUND' }, { url: `https://${evil}/` }),
      jobFailed(2, { kind: 'host-down', host: evil, cause: evil }),
      jobFailed(3, { kind: 'cancelled', signal: evil }),
    ])
    expect(summaryLines(report).join('')).not.toMatch(/[\p{Cc}\u202e]/u)
    expect(rowLine(jobRow({ out: evil, warnings: [evil] }))).not.toMatch(/[\p{Cc}\u202e]/u)
  })
})

describe('rows', () => {
  test('of every outcome fit on a line each', () => {
    expect(rowLine(jobRow({ out: 'a.bin', warnings: ['HTML'] }))).toBe(
      'line 1 downloaded a.bin, 1000 B, 1.5s, length, warning: HTML',
    )
    expect(rowLine(jobRow({ decoded_from: 'gzip' }))).toMatch(/, decoded from gzip$/)
    expect(rowLine(jobRow({ outcome: 'skipped', reason: 'same as line 3' }))).toBe(
      'line 1 skipped 1.bin, same as line 3',
    )
    expect(rowLine(jobRow({ outcome: 'unchanged' }))).toBe('line 1 unchanged 1.bin')
    const killed = jobRow({
      outcome: 'killed',
      failure: { kind: 'stall', afterMs: 60_000 },
      attempts: Array.from({ length: 7 }, () => attempt()),
    })
    expect(rowLine(killed, 5, ['SIGTERM'])).toBe(
      'line 1 https://example.com/files/1.bin killed: STALLED no body bytes for 60s, SIGTERM, 7 tries'.replace(
        '60s',
        '1m',
      ),
    )
  })

  test('line ranges are cut and counted', () => {
    const ranges = Array.from({ length: 12 }, (_, i) => [i * 2, i * 2] as const)
    expect(linesText(ranges, 3)).toBe('lines 0, 2, 4, 6, 8, 10, 12, 14 and 7 more ranges')
    expect(linesText([[7, 7]])).toBe('line 7')
    expect([0, 999, 1000, 4980, 1_234_567].map(grouped)).toEqual(['0', '999', '1,000', '4,980', '1,234,567'])
  })

  test('wrapping loses no word and exceeds the width only with words that do', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.string({ minLength: 1 }).filter((word) => !word.includes(' ')),
          { minLength: 1 },
        ),
        (words) => {
          const lines = wrapWords(words, 20, '  ')
          expect(lines.join(' ').split(' ').filter(Boolean)).toEqual(words)
          for (const line of lines) expect(line.length <= 20 || line.trim().split(' ').length === 1).toBe(true)
        },
      ),
    )
  })
})
