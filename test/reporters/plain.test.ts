import { Writable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { RunEvent } from '../../src/core/event.ts'
import type { News } from '../../src/core/news.ts'
import { freshReport, step } from '../../src/core/report.ts'
import type { PlainOptions } from '../../src/reporters/plain.ts'
import { createPlainReporter, quietWriter, rangeText, startLine } from '../../src/reporters/plain.ts'
import { attempt, jobEnded, jobFailed, runEnded, runStarted, START } from '../events.ts'

async function said(events: readonly RunEvent[], options: Omit<PlainOptions, 'stream' | 'report'>): Promise<string> {
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk)
      done()
    },
  })
  const report = freshReport()
  const reporter = createPlainReporter({ ...options, stream, report: () => report })
  for (const event of events) {
    step(report, event)
    reporter.event(event)
  }
  await reporter.close?.()
  return text
}

const started: RunEvent[] = [
  runStarted(),
  { type: 'job-started', at: START, index: 0, line: 1, id: 'a', url: 'https://x/1.bin', out: '1.bin' },
  {
    type: 'attempt-started',
    unit: 'process',
    thread: null,
    at: START,
    index: 0,
    line: 1,
    n: 2,
    task: 'fetch',
    pid: 4242,
    url: 'https://x/1.bin',
    range: [0, null],
  },
  { type: 'attempt-ended', at: START, index: 0, line: 1, attempt: attempt({ pid: 4242 }) },
]
const ends = runEnded({ listed: 1, spawned: 1, reaped: 1, filesOnDisk: 1, bytesOnDisk: 1000 })
const good = [...started, jobEnded(), ends]
const bad = [
  ...started,
  jobFailed(1, { kind: 'http-status', status: 404 }),
  runEnded({ listed: 1, spawned: 1, reaped: 1 }),
]

describe('silent', () => {
  test('says nothing on success', async () => {
    expect(await said(good, { mode: 'silent' })).toBe('')
  })
  test('says the summary on failure', async () => {
    expect(await said(bad, { mode: 'silent' })).toMatch(
      /^mpdl: 1 = 1 failed in .*\nline 1 https:\S+ HTTP 404 Not Found\n$/,
    )
  })
  test('with -v says what starts', async () => {
    expect(await said(good, { mode: 'silent', isVerbose: true })).toBe('line 1 pid 4242 1.bin (attempt 2)\n')
  })
  test('with -v says which bytes a child is sent for when they have an end', () => {
    const start = {
      type: 'attempt-started',
      unit: 'process',
      thread: null,
      at: START,
      index: 0,
      line: 1,
      n: 1,
      task: 'fetch',
      pid: 9,
      url: '',
    } as const
    expect(startLine({ ...start, range: [1024, 2048] }, 'a')).toBe('line 1 pid 9 a bytes 1024-2047')
    expect(startLine({ ...start, range: [1024, null] }, 'a')).toBe('line 1 pid 9 a')
    expect(startLine({ ...start, task: 'hash', range: null }, 'a')).toBe('line 1 pid 9 checking a')
  })
})

describe('changes only', () => {
  const nothing = freshReport()
  const news = (count: number): News => ({
    fresh: nothing,
    again: nothing,
    stillFailing: 1,
    recovered: { count, samples: [{ line: 2, url: 'https://x/2.bin' }] },
  })
  test('says nothing of what is known, though it fails', async () => {
    expect(await said(bad, { mode: 'silent', news: () => news(0) })).toBe('')
  })
  test('says what is new, with -q only in a run with failures', async () => {
    expect(await said(good, { mode: 'silent', news: () => news(1) })).toMatch(/^mpdl: 1 recovered, 1 still failing: /)
    expect(await said(bad, { mode: 'silent', news: () => news(1), isQuiet: true })).toMatch(/^mpdl: 1 recovered/)
    expect(await said(good, { mode: 'silent', news: () => news(1), isQuiet: true })).toBe('')
  })
  test('says all where nothing is remembered', async () => {
    expect(await said(bad, { mode: 'silent', news: () => undefined })).toContain('404')
  })
  test('changes nothing for who reads every line', async () => {
    expect(await said(bad, { mode: 'lines', news: () => news(0) })).toContain('404')
  })
})

describe('journal', () => {
  test('is one line in any case, and none for a quiet success', async () => {
    expect(await said(good, { mode: 'journal' })).toMatch(/^mpdl: 1 = 1 downloaded [^\n]*\n$/)
    expect(await said(bad, { mode: 'journal', isQuiet: true })).toMatch(/^mpdl: 1 = 1 failed [^\n]*\n$/)
    expect(await said(good, { mode: 'journal', isQuiet: true })).toBe('')
  })
})

describe('lines', () => {
  const more: RunEvent[] = [
    {
      type: 'retry-planned',
      at: START,
      index: 1,
      line: 2,
      wait_ms: 2000,
      reason: 'HTTP 503',
      start_over: false,
      counted: true,
    },
    {
      type: 'retry-planned',
      at: START,
      index: 1,
      line: 2,
      wait_ms: 10,
      reason: 'HTTP 503',
      start_over: false,
      counted: true,
    },
    { type: 'warning', at: START, message: 'careful' },
    { type: 'stopping', at: START, cause: 'halt', reason: 'enough' },
    { type: 'jobs-ended', at: START, outcome: 'not-started', failure: null, reason: 'halt', count: 2, lines: [[3, 4]] },
  ]
  test('tell every end', async () => {
    const text = await said([...started, jobEnded(), ...more, jobFailed(9, { kind: 'list-changed' })], {
      mode: 'lines',
    })
    expect(text.split('\n').slice(0, 6)).toEqual([
      '[1/100] line 1 downloaded 1.bin, 1000 B, 1.5s, length',
      'line 2 tries again in 2s: HTTP 503',
      'warning: careful',
      'stopping: enough',
      '[3/100] lines 3-4 not-started: halt (2 jobs)',
      expect.stringMatching(/^\[4\/100\] line 9 \S+ failed: the list was edited/),
    ])
    expect(text).toContain('NOT FINISHED')
  })
  test('with -q tell only what went wrong', async () => {
    expect(await said(good, { mode: 'lines', isQuiet: true, isVerbose: true })).toBe('')
    expect(await said(bad, { mode: 'lines', isQuiet: true })).toContain('404')
  })
  test('know no name of an attempt whose job was not announced, so show its URL', async () => {
    const alone = started.slice(2)
    expect(await said(alone, { mode: 'journal', isVerbose: true })).toContain(
      'line 1 pid 4242 https://x/1.bin (attempt 2)',
    )
  })
})

test('a range names its last byte, as in HTTP', () => {
  expect(rangeText([0, 1])).toBe('0-0')
  expect(rangeText([1_048_576, 2_097_152])).toBe('1048576-2097151')
  expect(rangeText([1024, null])).toBe('1024-')
  expect(rangeText([1024, 1024])).toBe('none')
})

test('a stream that breaks ends the output and nothing else', () => {
  let writes = 0
  const asynchronous = new Writable({
    write(_chunk, _encoding, done) {
      writes++
      done(new Error('EPIPE'))
    },
  })
  const write = quietWriter(asynchronous)
  write('a')
  asynchronous.emit('error', new Error('EPIPE'))
  write('b')
  expect(writes).toBe(1)

  const synchronous = new Writable()
  synchronous.write = () => {
    writes++
    throw new Error('EPIPE')
  }
  const writeAgain = quietWriter(synchronous)
  writeAgain('a')
  writeAgain('b')
  expect(writes).toBe(2)
})
