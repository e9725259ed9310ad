import { describe, expect, test } from 'vitest'
import type { RunEvent } from '../../src/core/event.ts'
import { writeJsonReport } from '../../src/reporters/json.ts'
import { writeTextReport } from '../../src/reporters/text.ts'
import { attempt, jobEnded, jobFailed, jobRow, reportOf, runEnded, runStarted, START, stream } from '../events.ts'

const evil = 'x\x1b]0;y\x07\u202e\u2028'
const bulk: RunEvent = {
  type: 'jobs-ended',
  at: START,
  outcome: 'not-started',
  failure: null,
  reason: 'SIGINT',
  count: 4,
  lines: [[7, 10]],
}
const events: RunEvent[] = [
  runStarted(),
  { type: 'warning', at: START, message: 'careful' },
  { type: 'host-changed', at: START, host: 'a', change: 'paused', reason: 'r', until: START + 9, cap: 5 },
  jobEnded({ out: evil }),
  jobFailed(
    2,
    { kind: 'stall', afterMs: 60_000 },
    { attempts: [attempt({ signal_sent: 'SIGTERM', range: [1024, 2048] })] },
  ),
  bulk,
  runEnded({ listed: 6, filesOnDisk: 1, bytesOnDisk: 1000 }),
]

async function collected(write: (chunk: (text: string) => void) => Promise<void>): Promise<string> {
  let text = ''
  await write((chunk) => {
    text += chunk
  })
  return text
}

describe('the JSON report', () => {
  test('has the whole run in the documented shape', async () => {
    const text = await collected((write) => writeJsonReport(stream(events), reportOf(events), write, 10))
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e\u2028]/u)
    const report: unknown = JSON.parse(text)
    expect(report).toMatchObject({
      schema: 1,
      run: { id: '20261121T022015Z-4f3a', mode: 'process', started: START, ended: START + 72_000, signal: null },
      totals: { downloaded: 1, killed: 1, 'not-started': 4, failed: 0, jobs: 6, bytes: 1000, time_total: 72 },
      jobs: [
        jobRow({ out: evil }),
        { line: 2, outcome: 'killed', attempts: [{ signal_sent: 'SIGTERM', range: [1024, 2048] }] },
      ],
      not_started: [[7, 10]],
      bulk: [{ outcome: 'not-started', failure: null, reason: 'SIGINT', count: 4, lines: [[7, 10]] }],
      hosts: [{ host: 'a', change: 'paused', cap: 5 }],
      warnings: [{ line: null, message: 'careful' }],
      exit_code: 10,
    })
    expect(Object.keys(JSON.parse(text))).toEqual([
      'schema',
      'run',
      'totals',
      'jobs',
      'not_started',
      'bulk',
      'hosts',
      'warnings',
      'exit_code',
    ])
  })

  test('of nothing is still JSON', async () => {
    const text = await collected((write) => writeJsonReport(stream([]), reportOf([]), write, 0))
    expect(JSON.parse(text)).toMatchObject({ schema: 1, jobs: [], run: { ended: null } })
  })

  test('is written in pieces, and waits for its reader', async () => {
    async function* many() {
      for (let line = 1; line <= 3000; line++) yield jobEnded({ line })
    }
    let open = 0
    const sizes: number[] = []
    await writeJsonReport(
      many(),
      reportOf([]),
      async (chunk) => {
        expect(++open).toBe(1)
        await Promise.resolve()
        sizes.push(chunk.length)
        open--
      },
      0,
    )
    expect(sizes.length).toBeGreaterThan(10)
    expect(Math.max(...sizes)).toBeLessThan(100_000)
  })
})

test('the text report is the summary and then every job', async () => {
  const withSignals: RunEvent[] = events.toSpliced(
    4,
    0,
    { type: 'signal-sent', at: START, index: 1, line: 2, n: 1, pid: 5, signal: 'SIGTERM', reason: 'stall' },
    { type: 'signal-sent', at: START, index: 1, line: 2, n: 1, pid: 5, signal: 'SIGKILL', reason: 'stall' },
  )
  const text = await collected((write) => writeTextReport(stream(withSignals), reportOf(withSignals), write))
  expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e\u2028]/u)
  const [summary, rows] = text.split('\n\n')
  expect(summary).toMatch(/^mpdl: 6 = 1 downloaded \+ 1 killed \+ 4 not-started in/)
  expect(rows?.split('\n')).toEqual([
    expect.stringMatching(/^line 1 downloaded x\\x1b/),
    'line 2 https://example.com/files/2.bin killed: STALLED no body bytes for 1m, SIGTERM then SIGKILL',
    'lines 7-10 not-started: SIGINT (4 jobs)',
    '',
  ])
  await writeTextReport(stream(Array.from({ length: 3000 }, () => jobEnded())), reportOf([]), async () => undefined)
})
