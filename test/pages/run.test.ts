import { describe, expect, test } from 'vitest'
import type { RunEvent } from '../../src/core/event.ts'
import { writeRunPage } from '../../src/pages/run.ts'
import type { RunData } from '../../src/pages/run-data.ts'
import { PLACE } from '../../src/pages/template.ts'
import { attempt, jobEnded, jobFailed, reportOf, runEnded, runStarted, START, stream } from '../events.ts'
import { runEvents } from './example.ts'

async function pageOf(events: readonly RunEvent[], mostJobs?: number): Promise<RunData> {
  let text = ''
  const page = { events: stream(events), report: reportOf(events), exitCode: 10, template: `<${PLACE}>` }
  await writeRunPage(mostJobs === undefined ? page : { ...page, mostJobs }, (chunk) => {
    text += chunk
  })
  return JSON.parse(text.slice(1, -1))
}

const bulk: RunEvent = {
  type: 'jobs-ended',
  at: START,
  outcome: 'not-started',
  failure: null,
  reason: 'SIGINT',
  count: 4,
  lines: [[7, 10]],
}

describe('the page of a run', () => {
  test('has the sums of the report and a row for every job', async () => {
    const data = await pageOf(runEvents(200))
    expect(data.totals).toMatchObject({ downloaded: 198, failed: 1, killed: 1 })
    expect(data).toMatchObject({ jobs_ended: 200, left_out: 0, problems: [], exit_code: 10, retries: 12 })
    expect(data.jobs.map(({ line }) => line)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1))
  })

  test('tells of each attempt when it ran, on what, and why it ended', async () => {
    const killed = attempt({
      n: 2,
      pid: 77,
      started: START + 5,
      ended: START + 2005,
      failure: { kind: 'stall', afterMs: 60_000 },
      result: 'failed',
      signal: 'SIGTERM',
      signal_sent: 'SIGTERM',
      exit_code: null,
    })
    const inThread = attempt({ unit: 'thread', pid: null, thread: 3, exit_code: null })
    const events = [runStarted(), jobFailed(2, { kind: 'stall', afterMs: 60_000 }, { attempts: [inThread, killed] })]
    const [job] = (await pageOf(events)).jobs
    expect(job).toMatchObject({ outcome: 'killed', reason: 'STALLED no body bytes for 1m' })
    expect(job?.attempts).toMatchObject([
      { unit: 'thread 3', result: 'done', sentence: null, from_ms: 0 },
      {
        unit: 'pid 77',
        result: 'killed',
        from_ms: 5,
        to_ms: 2005,
        sentence: 'STALLED no body bytes for 1m, SIGTERM sent, died of SIGTERM',
      },
    ])
  })

  test('has one row for many jobs that ended together', async () => {
    const { jobs, totals } = await pageOf([runStarted(), bulk])
    expect(jobs).toMatchObject([{ line: 7, lines: 'lines 7-10', jobs: 4, outcome: 'not-started', reason: 'SIGINT' }])
    expect(totals['not-started']).toBe(4)
  })

  test('says what a person should know: no end, early stops, warnings, files without proof', async () => {
    const events: RunEvent[] = [
      runStarted({ insecure: true }),
      { type: 'stopping', at: START, cause: 'signal', reason: 'SIGINT' },
      { type: 'warning', at: START, message: 'careful' },
      jobEnded({ proof: 'unverified' }),
    ]
    expect((await pageOf(events)).problems).toEqual([
      'Not finished: the log of this run has no end.',
      'Stopped early: SIGINT',
      'Certificates were not verified (--insecure).',
      '1 file unverified: the server gave no length.',
      'Warning: careful',
    ])
    expect((await pageOf([...events, runEnded({ listed: 2 })])).problems[0]).toMatch(/^the list has 2 jobs/)
  })

  test('leaves out what went well before what went wrong, and counts it', async () => {
    const events = runEvents(200)
    const some = await pageOf(events, 10)
    expect(some).toMatchObject({ left_out: 190, jobs_ended: 200 })
    expect(some.jobs.filter(({ outcome }) => outcome !== 'downloaded').map(({ line }) => line)).toEqual([50, 150])
    const one = await pageOf(events, 1)
    expect(one).toMatchObject({ left_out: 199, jobs: [{ line: 50 }] })
  })

  test('is written in pieces, and waits for its reader', async () => {
    const events = runEvents(2000)
    let open = 0
    const sizes: number[] = []
    const page = { events: stream(events), report: reportOf(events), exitCode: 0, template: PLACE }
    await writeRunPage(page, async (chunk) => {
      expect(++open).toBe(1)
      await Promise.resolve()
      sizes.push(chunk.length)
      open--
    })
    expect(sizes.length).toBeGreaterThan(5)
    expect(Math.max(...sizes)).toBeLessThan(100_000)
  })
})
