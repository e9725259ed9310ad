import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { RunEvent } from '../../src/core/event.ts'
import {
  decodeEvent,
  decodeHeader,
  findRuns,
  inspectRun,
  readEvents,
  readLines,
  resolveRun,
  stateOf,
} from '../../src/supervisor/past-runs.ts'
import { attempt, jobEnded, jobFailed, jobRow, runEnded, runHeader, runStarted, START } from '../events.ts'
import fc from '../fixtures/property.ts'

let dir: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-test-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const header = (id: string, started = START) => JSON.stringify({ mpdl: 1, ...runStarted({ id, started }) })
const totals = {
  downloaded: 3,
  unchanged: 1,
  skipped: 0,
  failed: 0,
  killed: 0,
  crashed: 0,
  abandoned: 0,
  cancelled: 0,
  'not-started': 0,
}
const ending = (listed = 4, filesOnDisk = totals.downloaded) =>
  JSON.stringify({ ...runEnded({ listed, filesOnDisk }), totals })
const put = (name: string, ...lines: string[]) => {
  const path = join(dir, name)
  writeFileSync(path, lines.join('\n'))
  return path
}

async function collected(events: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
  const all: RunEvent[] = []
  for await (const event of events) all.push(event)
  return all
}

const ofJob = { at: START, index: 0, line: 1 }
const EVERY_KIND: readonly RunEvent[] = [
  runStarted(),
  { type: 'job-started', ...ofJob, id: 'j', url: 'u', out: 'o' },
  {
    type: 'attempt-started',
    unit: 'process',
    thread: null,
    ...ofJob,
    n: 1,
    task: 'fetch',
    pid: 5,
    url: 'u',
    range: [7, null],
  },
  { type: 'response', ...ofJob, n: 1, pid: 5, status: 200, answer: 'taken' },
  { type: 'signal-sent', ...ofJob, n: 1, pid: 5, signal: 'SIGTERM', reason: 'hang' },
  { type: 'attempt-ended', ...ofJob, attempt: attempt({ failure: { kind: 'hang', afterMs: 1 }, range: [7, 9] }) },
  { type: 'retry-planned', ...ofJob, wait_ms: 1, reason: 'r', start_over: false, counted: true },
  { type: 'job-ended', at: START, row: jobRow({ attempts: [attempt({ range: null })] }) },
  { type: 'jobs-ended', at: START, outcome: 'failed', failure: null, reason: 'r', count: 2, lines: [[1, 2]] },
  { type: 'host-changed', at: START, host: 'h', change: 'down', reason: 'r', until: null, cap: 1 },
  { type: 'warning', at: START, message: 'm' },
  { type: 'stopping', at: START, cause: 'halt', reason: 'r' },
  { type: 'suspended', at: START, gap_ms: 5 },
  {
    type: 'hook-ended',
    at: START,
    program: 'p',
    exit_code: null,
    signal: 'SIGKILL',
    ms: 5,
    output: 'o',
    problem: 'p',
  },
  runEnded(),
]

describe('an event', () => {
  test.each(EVERY_KIND.map((event) => [event.type, event] as const))('%s comes back as it was written', (_, event) => {
    expect(decodeEvent(JSON.stringify({ level: 30, time: START, ...event }))).toEqual({
      level: 30,
      time: START,
      ...event,
    })
  })

  test('of another version loses only what is not understood', () => {
    const row = { ...jobRow(), failure: { kind: 'gravity' }, proof: 'oath', novelty: 1, warnings: undefined }
    expect(decodeEvent(JSON.stringify({ type: 'job-ended', at: 1, row }))).toMatchObject({
      row: { failure: null, proof: null, novelty: 1, warnings: [] },
    })
    const torn = { ...jobRow(), failure: { kind: 'try-later', status: 503 } }
    expect(decodeEvent(JSON.stringify({ type: 'job-ended', at: 1, row: torn }))).toMatchObject({
      row: { failure: null },
    })
  })

  test('of a version that knew no ranges has none, and a range that is none is not believed', () => {
    const { range: _, ...record } = attempt()
    const read = (event: object) => decodeEvent(JSON.stringify({ ...ofJob, ...event }))
    const started = { type: 'attempt-started', unit: 'process', thread: null, n: 1, task: 'fetch', pid: 5, url: 'u' }
    expect(read({ ...started, resumed_from: 1024 })).toMatchObject({ range: null })
    expect(read({ type: 'response', n: 1, status: 200, answer: 'taken' })).toMatchObject({ pid: null })
    expect(read({ type: 'attempt-ended', attempt: record })).toMatchObject({ attempt: { range: null } })
    for (const range of [7, [], [7], ['7', 9], [7, '9'], [null, 9]]) {
      expect(read({ ...started, range })).toMatchObject({ range: null })
    }
  })

  test('is nothing else, whatever the line says', () => {
    for (const line of [
      '',
      '7',
      'null',
      '[]',
      '{}',
      '{"type":"job-ended"}',
      '{"type":"pwned","at":1}',
      '{"type":"job-e',
    ]) {
      expect(decodeEvent(line)).toBeNull()
    }
    fc.assert(fc.property(fc.json(), (line) => decodeEvent(line) === null))
  })

  test("begins a log only with mpdl's mark", () => {
    expect(decodeHeader(header('a'))).toEqual(runHeader({ id: 'a' }))
    expect(decodeHeader(JSON.stringify(runStarted()))).toBeNull()
    expect(decodeHeader('{"mpdl":1}')).toBeNull()
  })
})

describe('lines', () => {
  test('are the same however the file is cut into reads', async () => {
    const text = fc.array(
      fc.string({ unit: 'grapheme', maxLength: 30 }).filter((line) => !line.includes('\n')),
      { maxLength: 20 },
    )
    await fc.assert(
      fc.asyncProperty(text, fc.integer({ min: 1, max: 9 }), fc.boolean(), async (lines, step, hasEnd) => {
        const bytes = Buffer.from(lines.join('\n') + (hasEnd && lines.length > 0 ? '\n' : ''))
        const read = async (buffer: Buffer, position: number) => {
          const piece = bytes.subarray(position, position + step)
          return piece.copy(buffer)
        }
        const seen: string[] = []
        for await (const line of readLines(read)) seen.push(line)
        const expected = bytes.toString().split('\n')
        if (expected.at(-1) === '') expected.pop()
        expect(seen).toEqual(expected)
      }),
    )
  })

  test('that never end do not fill the memory', async () => {
    const total = 70 * 1024 * 1024
    const read = async (buffer: Buffer, position: number) => {
      if (position >= total) return position === total ? buffer.write('\nlast') : 0
      return buffer.fill(120).length
    }
    const seen: string[] = []
    for await (const line of readLines(read)) seen.push(line)
    expect(seen).toEqual(['last'])
  })
})

describe('reading a run', () => {
  test('skips and counts what is no event', async () => {
    const path = put('a.ndjson', header('a'), 'garbage', JSON.stringify(jobEnded()), '', '{"type":"job-en')
    const reading = readEvents(path)
    expect((await collected(reading.events)).map(({ type }) => type)).toEqual(['run-started', 'job-ended'])
    expect(reading.skipped()).toBe(2)
  })

  test('shows a canary only where it was written', async () => {
    const failed = jobFailed(1, { kind: 'http-status', status: 403 }, { url: 'https://***@x/?token=***' })
    const path = put('a.ndjson', header('a'), JSON.stringify(failed))
    expect(JSON.stringify(await collected(readEvents(path).events))).toContain('https://***@x/?token=***')
  })

  test('fails as the file system does, and refuses what is no file', async () => {
    await expect(collected(readEvents(join(dir, 'missing')).events)).rejects.toThrow('ENOENT')
    const fifo = join(dir, 'fifo')
    execFileSync('mkfifo', [fifo])
    await expect(collected(readEvents(fifo).events)).rejects.toThrow('no regular file')
  })
})

describe('a run at a glance', () => {
  test('knows its sums and whether it was good, from its first line and its end', async () => {
    const filler = JSON.stringify({ type: 'warning', at: START, message: 'x'.repeat(200_000) })
    const path = put('a.ndjson', header('a'), filler, ending(), '')
    expect(await inspectRun(path)).toMatchObject({
      path,
      run: { id: 'a' },
      ended: { at: START + 72_000, signal: null, counts: { listed: 4 } },
      totals,
      isGood: true,
    })
    expect(await inspectRun(put('b.ndjson', header('b'), ending(5)))).toMatchObject({ isGood: false })
    expect(await inspectRun(put('d.ndjson', header('d'), ending(4, 2))), 'sums that do not add up').toMatchObject({
      isGood: false,
    })
    expect(await inspectRun(put('c.ndjson', header('c'), JSON.stringify(runEnded())))).toMatchObject({
      totals: null,
      isGood: false,
    })
  })

  test('has a long first line and no end', async () => {
    const long = JSON.stringify({ mpdl: 1, ...runStarted({ id: 'l', argv: ['x'.repeat(300_000)] }) })
    const torn = `${JSON.stringify(runEnded()).slice(0, 40)}`
    expect(await inspectRun(put('l.ndjson', long, torn))).toMatchObject({
      run: { id: 'l' },
      ended: null,
      isGood: false,
    })
  })

  test("is nothing for a stranger's file, a directory or none", async () => {
    expect(await inspectRun(put('x.ndjson', 'hello'))).toBeNull()
    expect(await inspectRun(dir)).toBeNull()
    expect(await inspectRun(join(dir, 'missing'))).toBeNull()
  })
})

describe('how a run stands', () => {
  const seen = async (changes: Parameters<typeof runHeader>[0], ...lines: string[]) => {
    const run = { pid: process.pid, host: hostname(), ...changes }
    const past = await inspectRun(put('a.ndjson', JSON.stringify({ mpdl: 1, ...runStarted(run) }), ...lines))
    return past === null ? null : stateOf(past)
  }
  const DEAD = 2 ** 22 + 1

  test('is said by its end where there is one, whoever lives', async () => {
    expect(await seen({}, ending())).toBe('good')
    expect(await seen({ pid: DEAD }, ending(5))).toBe('trouble')
    expect(await seen({ host: 'another' }, ending())).toBe('good')
  })

  test('is not known of another machine', async () => {
    expect(await seen({ host: 'another' })).toBe('unknown')
  })

  test('is death where its process is gone, or was never one', async () => {
    for (const pid of [DEAD, 0, -1, 1.5]) expect(await seen({ pid })).toBe('died')
  })

  test.runIf(process.platform === 'linux')('is life only where its process has the log open', async () => {
    expect(await seen({}), 'a pid that is used again').toBe('died')
    const fd = openSync(join(dir, 'a.ndjson'), 'r')
    expect(await seen({})).toBe('running')
    closeSync(fd)
    expect(await seen({})).toBe('died')
  })
})

describe('finding runs', () => {
  beforeEach(() => {
    put('20261119T000000Z-aaaa.ndjson', header('20261119T000000Z-aaaa', START - 2))
    put('20261120T000000Z-bbbb.ndjson', header('20261120T000000Z-bbbb', START - 1))
    put('20261121T000000Z-cccc.ndjson', header('20261121T000000Z-cccc', START))
    put('notes.ndjson', 'hello')
    put('readme.txt', 'hello')
  })
  const idOf = async (wanted: string) => {
    const found = await resolveRun([dir], wanted)
    return found.ok ? found.run.run.id : found.problem
  }

  test('lists the newest first', async () => {
    expect((await findRuns(dir)).map(({ run }) => run.id.slice(-4))).toEqual(['cccc', 'bbbb', 'aaaa'])
    expect((await findRuns(dir, 1)).map(({ run }) => run.id.slice(-4))).toEqual(['cccc'])
    expect(await findRuns(join(dir, 'missing'))).toEqual([])
  })

  test('of runs that began in the same second the log says which was the last', async () => {
    put('20261121T000000Z-0000.ndjson', header('20261121T000000Z-0000', START + 5))
    expect((await findRuns(dir, 1)).map(({ run }) => run.id.slice(-4))).toEqual(['0000'])
    expect(await idOf('last')).toBe('20261121T000000Z-0000')
    expect((await findRuns(dir, 2)).map(({ run }) => run.id.slice(-4))).toEqual(['0000', 'cccc'])
  })

  test('takes an id, a beginning that fits one, a path, or last', async () => {
    expect(await idOf('last')).toBe('20261121T000000Z-cccc')
    expect(await idOf('20261120T000000Z-bbbb')).toBe('20261120T000000Z-bbbb')
    expect(await idOf('20261119')).toBe('20261119T000000Z-aaaa')
    expect(await idOf(join(dir, '20261119T000000Z-aaaa.ndjson'))).toBe('20261119T000000Z-aaaa')
    expect(await idOf('20261119T000000Z-aaaa.ndjson')).toBe('20261119T000000Z-aaaa')
  })

  test('a beginning that fits one run here and one there fits two', async () => {
    const other = join(dir, 'other')
    mkdirSync(other)
    writeFileSync(join(other, '20261119T000001Z-dddd.ndjson'), readFileSync(join(dir, '20261119T000000Z-aaaa.ndjson')))
    expect(await resolveRun([dir, other], '20261119')).toEqual({
      ok: false,
      problem: '20261119 may be any of 2 runs: 20261119T000000Z-aaaa, 20261119T000001Z-dddd',
    })
    expect(await resolveRun([dir, other], '20261120')).toMatchObject({ ok: true })
  })

  test('says what is wrong with anything else', async () => {
    expect(await idOf('2026')).toBe(
      '2026 may be any of 3 runs: 20261121T000000Z-cccc, 20261120T000000Z-bbbb, 20261119T000000Z-aaaa',
    )
    put('20261122T000000Z-dddd.ndjson', header('d'))
    expect(await idOf('2026')).toMatch(/4 runs: .*, …$/)
    expect(await idOf('1999')).toMatch(/^no run 1999 in /)
    expect(await idOf('')).toMatch(/^no run/)
    expect(await idOf('notes')).toBe('notes.ndjson is not the log of an mpdl run')
    expect(await idOf(join(dir, 'notes.ndjson'))).toMatch(/is not the log of an mpdl run$/)
    expect(await idOf('missing.ndjson')).toBe('no file missing.ndjson')
    expect(await resolveRun([join(dir, 'missing')], 'last')).toMatchObject({ ok: false })
  })
})
