// Decides whether several children fill one file together, whatever each of them does, and whether the sums add up.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { JobRow } from '../../src/core/event.ts'
import { readControl } from '../../src/supervisor/control-file.ts'
import type { Settings } from '../../src/supervisor/settings.ts'
import type { Script } from '../fixtures/scripted-isolation.ts'
import type { Puppet } from './scripted-fetch.ts'
import { FILE, puppets } from './scripted-fetch.ts'
import { advance, advanceUntil, fakeTime, run } from './scripted-run.ts'

let dir = ''
const pathOf = (name: string) => join(dir, 'out', name)

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-test-'))
  fakeTime()
})
afterEach(() => {
  vi.useRealTimers()
  rmSync(dir, { recursive: true, force: true })
})

interface Setup extends Partial<Settings> {
  readonly lines?: readonly string[]
  /** Children that cannot be started. */
  readonly unborn?: readonly number[]
  /** Real processes that are looked at in the children's place. */
  readonly lookedAt?: readonly (number | undefined)[]
}

/** Two slots and one file, unless told otherwise. */
async function download({ lines = ['http://h/f'], unborn = [], lookedAt = [], ...changes }: Setup = {}) {
  const { all, script } = puppets()
  const scripts = (n: number): Script => {
    const pid = lookedAt[n]
    return unborn.includes(n) ? { spawnError: 'EAGAIN' } : pid === undefined ? script : { ...script, pid }
  }
  const it = await run(dir, lines, scripts, {
    jobs: 2,
    minSplitBytes: 10,
    fsync: 'none',
    ...changes,
  })
  /** The n-th that starts, from 0. */
  const child = async (n: number): Promise<Puppet> => {
    await advanceUntil(() => all[n] !== undefined, 10)
    return all[n] as Puppet
  }
  /** What is under way arrives; no time to speak of passes. */
  const settle = async () => {
    for (let n = 0; n < 4; n++) await advance(0)
  }
  /** Seconds pass, and whatever would start has started. */
  const quiet = async () => {
    for (let n = 0; n < 4; n++) await advance(1000)
  }
  /** The run is over and its sums add up; the row of the file. */
  const over = async (out = 'f'): Promise<JobRow> => {
    await it.untilDone()
    expect(it.differences()).toEqual([])
    return it.rows().find((row) => row.out === out) as JobRow
  }
  /** ... and the file is what the server has. */
  const downloaded = async (out?: string): Promise<JobRow> => {
    const row = await over(out)
    expect(row).toMatchObject({ outcome: 'downloaded', proof: 'length', size: FILE.length, size_download: FILE.length })
    expect(readFileSync(pathOf(row.out))).toEqual(FILE)
    return row
  }
  return { ...it, all, child, settle, quiet, over, downloaded }
}

/** A first child that receives, and a second that was sent for the other half. */
async function two(setup: Setup = {}) {
  const it = await download(setup)
  const first = await it.child(0)
  first.answer()
  const helper = await it.child(1)
  return { it, first, helper }
}

/** Both receive their halves. */
async function halves(setup: Setup = {}) {
  const both = await two(setup)
  both.helper.answer()
  await both.it.settle()
  expect(both.helper.told('receive')).toMatchObject([{ offsetBytes: 50, lengthBytes: 50, skipBytes: 0 }])
  return both
}

const failures = ({ attempts }: JobRow) => attempts.map(({ failure }) => failure?.kind ?? null)

describe('a file', () => {
  test('is split evenly among the idle slots when the headers come', async () => {
    const it = await download({ jobs: 4 })
    const first = await it.child(0)
    first.answer()
    await it.child(3)
    const helpers = it.all.slice(1)
    expect(helpers.map(({ asked }) => asked)).toEqual([
      [25, 50],
      [50, 75],
      [75, 100],
    ])
    for (const helper of helpers) helper.answer()
    await it.settle()
    for (const child of it.all) child.finish()
    const row = await it.downloaded()
    expect(row).toMatchObject({ num_retries: 0, resumed_from: 0, warnings: [] })
    expect(row.attempts.map(({ range }) => range)).toEqual([
      [0, 25],
      [25, 50],
      [50, 75],
      [75, 100],
    ])
    expect(row.attempts.every(({ n, result }) => n === 1 && result === 'done')).toBe(true)
  })

  test.each<[string, Record<string, string | undefined>, Setup]>([
    ['the server does not offer ranges', { 'accept-ranges': undefined }, {}],
    ['the server refuses ranges', { 'accept-ranges': 'none' }, {}],
    ['its validator is weak', { etag: 'W/"v1"' }, {}],
    ['it has no validator', { etag: undefined }, {}],
    ['it is coded', { 'content-encoding': 'gzip' }, {}],
    ['its length is not known', { 'content-length': undefined }, {}],
    ['nobody wants it split', {}, { split: 1 }],
    ['its line does not want it split', {}, { lines: ['http://h/f', '  split=1'] }],
    ['a half of it is too small', {}, { minSplitBytes: 51 }],
    ['there is one slot', {}, { jobs: 1 }],
  ])('is not split when %s', async (_, headers, setup) => {
    const it = await download(setup)
    const first = await it.child(0)
    first.answer(200, headers)
    await it.quiet()
    expect(it.all).toHaveLength(1)
    first.finish()
    expect(await it.over()).toMatchObject({ outcome: 'downloaded', size: FILE.length })
  })

  test('goes to no more children at once than its line allows', async () => {
    const it = await download({ jobs: 4, lines: ['http://h/f', '  split=2'] })
    const first = await it.child(0)
    first.answer()
    const helper = await it.child(1)
    helper.answer()
    await it.quiet()
    expect(it.all).toHaveLength(2)
    for (const child of it.all) child.finish()
    await it.downloaded()
  })

  test('gets no more children than its host may have', async () => {
    const it = await download({ jobs: 4, maxPerHost: 2 })
    const first = await it.child(0)
    first.answer()
    const helper = await it.child(1)
    helper.answer()
    await it.quiet()
    expect(it.all).toHaveLength(2)
    for (const child of it.all) child.finish()
    await it.downloaded()
  })

  test('gets a second child only when no job waits for the slot', async () => {
    const it = await download({ lines: ['http://h/f', 'http://h/g', 'http://h/next'] })
    const [f, g] = [await it.child(0), await it.child(1)]
    f.answer()
    g.answer()
    await it.quiet()
    f.finish()
    const next = await it.child(2)
    expect(next.url).toBe('http://h/next')
    next.answer()
    await it.quiet()
    next.finish()
    const helper = await it.child(3)
    expect([helper.url, helper.asked]).toEqual(['http://h/g', [50, 100]])
    helper.answer()
    await it.settle()
    g.finish()
    helper.finish()
    await it.downloaded('g')
  })

  test('leaves a slot to the job that will need it for its next attempt', async () => {
    const it = await download({ lines: ['http://h/f', 'http://h/g'], retryDelayMs: 60_000 })
    const [f, g] = [await it.child(0), await it.child(1)]
    g.crash()
    f.answer()
    await it.quiet()
    expect(it.all).toHaveLength(2)
    const again = await it.child(2)
    expect(again.url).toBe('http://h/g')
    again.answer()
    await it.settle()
    again.finish()
    f.finish()
    await it.downloaded()
  })

  test('is shared out anew when a child has brought its share', async () => {
    const { it, first, helper } = await halves()
    await it.quiet()
    helper.finish()
    const next = await it.child(2)
    expect(next.asked).toEqual([25, 50])
    next.answer()
    await it.settle()
    first.finish()
    next.finish()
    await it.downloaded()
  })

  test('is not shared out anew when it will be there before a child has booted', async () => {
    const { it, first, helper } = await halves({ minSplitBytes: 1 })
    await advance(1000)
    first.writeTo(20)
    helper.finish()
    await it.settle()
    // Half of the 30 bytes that are left take less than a second at 20 bytes a second.
    expect(it.all).toHaveLength(2)
    first.finish()
    await it.downloaded()
  })

  test('shares one limit of the speed among its children', async () => {
    const { it, first, helper } = await halves({ limitBytesPerSecond: 1000 })
    expect(first.told('rate').map(({ bytesPerSecond }) => bytesPerSecond)).toEqual([1000, 500])
    expect(helper.told('rate').map(({ bytesPerSecond }) => bytesPerSecond)).toEqual([500])
    helper.finish()
    await it.settle()
    expect(first.told('rate').at(-1)).toMatchObject({ bytesPerSecond: 1000 })
    first.finish()
    await it.downloaded()
  })
})

describe('a child that gives way', () => {
  test('is asked only when the answer to the other fits', async () => {
    const { it, first, helper } = await two()
    await it.quiet()
    expect([first.told('limit'), helper.told('receive')]).toEqual([[], []])
    helper.answer()
    await it.settle()
    expect(first.told('limit')).toEqual([{ type: 'limit', endBytes: 50 }])
    first.finish()
    helper.finish()
    await it.downloaded()
  })

  test('where it already is: the other starts there and skips what is there', async () => {
    const { it, first, helper } = await two()
    first.isDeaf = true
    helper.answer()
    await it.settle()
    expect(helper.told('receive')).toEqual([])
    first.writeTo(60)
    first.giveWay(50)
    await it.settle()
    expect(helper.told('receive')).toMatchObject([{ offsetBytes: 60, skipBytes: 10, lengthBytes: 40 }])
    first.finish()
    helper.finish()
    expect((await it.downloaded()).attempts).toMatchObject([{ range: [0, 60] }, { range: [60, 100], bytes: 40 }])
  })

  test('may be done before it answers: the other is not needed', async () => {
    const { it, first, helper } = await two()
    first.isDeaf = true
    helper.answer()
    await it.settle()
    first.finish()
    const row = await it.downloaded()
    expect(row.attempts).toMatchObject([
      { pid: first.pid, failure: null, range: [0, 100] },
      { pid: helper.pid, failure: { kind: 'not-needed' }, range: null },
    ])
    expect(helper.told('receive')).toEqual([])
  })

  test.each([
    [30, { offsetBytes: 50, skipBytes: 0, lengthBytes: 50 }],
    [60, { offsetBytes: 60, skipBytes: 10, lengthBytes: 40 }],
  ])('may die at byte %i before it answers: the other starts behind what is there', async (position, receive) => {
    const { it, first, helper } = await two()
    first.isDeaf = true
    helper.answer()
    await it.settle()
    first.writeTo(position)
    first.crash()
    await it.settle()
    expect(helper.told('receive')).toMatchObject([receive])
    helper.finish()
    if (position < 50) {
      const last = await it.child(2)
      expect(last.asked).toEqual([30, 50])
      last.answer()
      await it.settle()
      last.finish()
    }
    expect((await it.downloaded()).num_retries).toBe(0)
  })
})

describe('a further child', () => {
  test.each<[string, number, Record<string, string | undefined>]>([
    ['the whole file', 200, {}],
    ['that there is no such range', 416, { 'content-range': 'bytes */100' }],
    ['another size', 206, { 'content-range': 'bytes 50-99/101' }],
    ['another validator', 206, { etag: '"v2"' }],
    ['no validator', 206, { etag: undefined }],
    ['another range', 206, { 'content-range': 'bytes 49-99/100' }],
    ['a coded range', 206, { 'content-encoding': 'gzip' }],
  ])('that is answered with %s is refused, and the first goes on alone to the end', async (_, status, headers) => {
    const { it, first, helper } = await two()
    first.writeTo(10)
    helper.answer(status, headers)
    await it.quiet()
    expect([it.all.length, helper.told('refuse').length, first.told('limit').length]).toEqual([2, 1, 0])
    first.finish()
    const row = await it.downloaded()
    expect(failures(row)).toEqual(['range-refused', null])
    expect(row.num_retries).toBe(0)
  })

  test('that gets less than it asked for brings that, and others the rest', async () => {
    const { it, first, helper } = await two()
    helper.answer(206, { 'content-range': 'bytes 50-79/100', 'content-length': '30' })
    await it.settle()
    expect(helper.told('receive')).toMatchObject([{ offsetBytes: 50, lengthBytes: 30 }])
    helper.finish()
    const last = await it.child(2)
    expect(last.asked).toEqual([80, 100])
    last.answer()
    await it.settle()
    first.finish()
    last.finish()
    expect(failures(await it.downloaded())).toEqual(['truncated', null, null])
  })

  test('that gets less than was brought meanwhile is told nothing impossible', async () => {
    const { it, first, helper } = await two()
    first.isDeaf = true
    helper.answer(206, { 'content-range': 'bytes 50-59/100', 'content-length': '10' })
    await it.settle()
    first.writeTo(70)
    first.giveWay(50)
    await it.settle()
    for (const { lengthBytes } of helper.told('receive')) expect(lengthBytes).toBeGreaterThanOrEqual(0)
    first.finish()
    helper.crash()
    const last = await it.child(2)
    last.answer()
    await it.settle()
    last.finish()
    await it.downloaded()
  })

  test('that is answered with 503 lowers the host’s cap, and no try is counted', async () => {
    const it = await download({ jobs: 3 })
    const first = await it.child(0)
    first.answer()
    const [helper, refused] = [await it.child(1), await it.child(2)]
    helper.answer()
    refused.answer(503)
    await it.quiet()
    expect(it.all).toHaveLength(3)
    expect(it.events.filter(({ type }) => type === 'host-changed')).toMatchObject([{ change: 'cap-lowered', cap: 2 }])
    first.finish()
    const again = await it.child(3)
    expect(again.asked).toEqual(refused.asked)
    again.answer()
    await it.settle()
    helper.finish()
    again.finish()
    const row = await it.downloaded()
    expect(row.num_retries).toBe(0)
    expect(row.attempts.find(({ pid }) => pid === refused.pid)).toMatchObject({
      counted: false,
      failure: { kind: 'http-status', status: 503 },
    })
  })

  test('whose connection is refused by a host that serves the others lowers its cap and does not speak it down', async () => {
    const { it, first, helper } = await two()
    helper.fail({ kind: 'connect-refused', host: 'h' })
    await it.quiet()
    expect(it.all).toHaveLength(2)
    expect(it.events.filter(({ type }) => type === 'host-changed')).toMatchObject([{ change: 'cap-lowered', cap: 1 }])
    first.finish()
    const row = await it.downloaded()
    expect(row.num_retries).toBe(0)
    expect(row.attempts.map(({ counted }) => counted)).toEqual([false, true])
  })

  test('that cannot be started is done without', async () => {
    const it = await download({ unborn: [1] })
    const first = await it.child(0)
    first.answer()
    await it.quiet()
    expect(it.children).toHaveLength(2)
    first.finish()
    expect(failures(await it.downloaded())).toEqual(['spawn', null])
  })

  test('that comes too late is stopped, and the file is whole', async () => {
    const { it, first, helper } = await two()
    first.finish()
    const row = await it.downloaded()
    expect(helper.signals).toEqual(['SIGTERM'])
    expect(failures(row)).toEqual([null, 'not-needed'])
    expect(row.attempts.filter(({ counted }) => counted)).toHaveLength(1)
  })

  test('that is redirected counts where it is sent', async () => {
    const { it, first, helper } = await two({ jobs: 4, maxPerHost: 2 })
    helper.answer(302, { location: 'http://cdn/f' })
    const other = await it.child(2)
    expect(helper.told('go')).toMatchObject([{ url: 'http://cdn/f' }])
    helper.answer()
    other.answer()
    await it.settle()
    helper.finish()
    await it.quiet()
    expect(it.all).toHaveLength(3)
    for (const child of [first, other]) child.finish()
    await it.downloaded()
  })
})

describe('when a child crashes', () => {
  test('others bring what it left, and no try is counted', async () => {
    const { it, first, helper } = await halves()
    helper.writeTo(60)
    helper.crash()
    const next = await it.child(2)
    expect(next.asked).toEqual([60, 100])
    next.answer()
    await it.settle()
    first.finish()
    next.finish()
    const row = await it.downloaded()
    expect(row.attempts).toMatchObject([
      { failure: { kind: 'crash-signal' }, range: [50, 100], bytes: 10, counted: false },
      { failure: null },
      { failure: null },
    ])
    expect(row.num_retries).toBe(0)
  })

  test('and it was the first, the others go on', async () => {
    const { it, first, helper } = await halves()
    first.writeTo(20)
    first.crash()
    const next = await it.child(2)
    expect(next.asked).toEqual([20, 50])
    next.answer()
    await it.settle()
    next.finish()
    helper.finish()
    const row = await it.downloaded()
    expect([row.num_retries, failures(row)]).toEqual([0, ['crash-signal', null, null]])
  })

  test('what it wrote counts as far as the file’s length can tell', async () => {
    const { it, first, helper } = await halves()
    first.writeSilently(20)
    helper.writeSilently(70)
    first.crash()
    const next = await it.child(2)
    helper.crash()
    const last = await it.child(3)
    expect([next.asked, last.asked]).toEqual([
      [0, 50],
      [70, 100],
    ])
    for (const child of [next, last]) child.answer()
    await it.settle()
    for (const child of [next, last]) child.finish()
    const { attempts } = await it.downloaded()
    expect(attempts.map(({ bytes }) => bytes)).toEqual([0, 20, 50, 30])
  })

  test('and it is too early to replace it when the others are done, one child alone brings the rest', async () => {
    const { it, first, helper } = await halves({ retryDelayMs: 60_000 })
    helper.writeTo(60)
    helper.crash()
    await it.settle()
    first.finish()
    const last = await it.child(2)
    expect(last.asked).toEqual([60, 100])
    last.answer()
    await it.settle()
    last.finish()
    expect(await it.downloaded()).toMatchObject({ num_retries: 0, resumed_from: 0 })
  })

  test('and nobody else is there, what it wrote is kept for the next attempt', async () => {
    const it = await download({ jobs: 1 })
    const first = await it.child(0)
    first.answer()
    await it.settle()
    first.writeSilently(30)
    first.crash()
    const second = await it.child(1)
    expect(second.asked).toEqual([30, 100])
    second.answer()
    await it.settle()
    second.finish()
    await it.downloaded()
  })

  test('and all others too, the attempt fails with the last of them, and the next one keeps what each has brought', async () => {
    const { it, first, helper } = await halves()
    first.writeTo(10)
    helper.writeTo(60)
    first.crash('SIGSEGV')
    helper.crash('SIGABRT')
    const second = await it.child(2)
    expect(it.events.filter(({ type }) => type === 'retry-planned')).toMatchObject([
      { reason: 'CRASHED the child died of SIGABRT' },
    ])
    expect(readControl(`${pathOf('f')}.part.json`)?.completed).toEqual([
      [0, 10],
      [50, 60],
    ])
    expect(second.asked).toEqual([10, 50])
    second.answer()
    const third = await it.child(3)
    expect(third.asked).toEqual([60, 100])
    third.answer()
    await it.settle()
    second.finish()
    third.finish()
    const row = await it.downloaded()
    expect(row.num_retries).toBe(1)
    expect(row.attempts).toMatchObject([
      { n: 1, counted: false },
      { n: 1, counted: true, failure: { signal: 'SIGABRT' } },
      { n: 2, resumed_from: 20, failure: null },
      { n: 2, failure: null },
    ])
  })
})

describe('the next attempt', () => {
  test('drops what several have brought when the server sends the whole file, and says so', async () => {
    const { it, first, helper } = await halves()
    first.writeTo(10)
    helper.writeTo(60)
    first.crash()
    helper.crash()
    const second = await it.child(2)
    second.answer(200, { 'accept-ranges': undefined })
    await it.settle()
    expect(second.told('receive')).toMatchObject([{ offsetBytes: 0, lengthBytes: 100 }])
    second.finish()
    const row = await it.over()
    expect(row).toMatchObject({ outcome: 'downloaded', size_download: 120 })
    expect(row.warnings).toEqual(['started over, 20 bytes dropped: the server sent the whole file'])
    expect(readFileSync(pathOf('f'))).toEqual(FILE)
  })

  test('goes to one child alone when the joined bytes fail their checksum', async () => {
    const expected = 'a'.repeat(64)
    const { it, first, helper } = await halves({ lines: ['http://h/f', `  checksum=sha-256=${expected}`] })
    first.finish()
    helper.finish()
    const hash = await it.child(2)
    hash.tellDigest({ 'sha-256': 'b'.repeat(64) })
    const second = await it.child(3)
    expect(second.asked).toEqual([0, 100])
    second.answer()
    await it.quiet()
    expect(it.all).toHaveLength(4)
    second.finish()
    const again = await it.child(4)
    again.tellDigest({ 'sha-256': expected })
    const row = await it.over()
    expect(row).toMatchObject({ outcome: 'downloaded', proof: 'length+checksum', num_retries: 1 })
  })
})

describe('a child is not believed', () => {
  test.runIf(existsSync('/proc/self/io'))('when the kernel counted fewer bytes than it claims', async () => {
    const idle = spawn('sleep', ['60'], { stdio: 'ignore' })
    await once(idle, 'spawn')
    try {
      const { it, first, helper } = await halves({ lookedAt: [undefined, idle.pid] })
      helper.writeTo(60)
      const next = await it.child(2)
      expect(helper.signals).toEqual(['SIGTERM'])
      next.answer()
      await it.settle()
      first.finish()
      next.finish()
      expect(failures(await it.downloaded())).toEqual(['garbled', null, null])
    } finally {
      idle.kill()
    }
  })

  test('when it claims bytes before its own', async () => {
    const { it, first, helper } = await halves()
    helper.writeTo(60)
    helper.say({ type: 'beat', bytes: 55 })
    const next = await it.child(2)
    expect(next.asked).toEqual([60, 100])
    next.answer()
    await it.settle()
    first.finish()
    next.finish()
    expect(failures(await it.downloaded())).toEqual(['garbled', null, null])
  })

  test('when it claims bytes behind its own', async () => {
    const { it, first, helper } = await halves()
    helper.writeTo(60)
    first.say({ type: 'beat', bytes: 51 })
    const next = await it.child(2)
    expect(next.asked).toEqual([0, 50])
    next.answer()
    await it.settle()
    helper.finish()
    next.finish()
    expect(failures(await it.downloaded())).toEqual(['garbled', null, null])
  })

  test('when it claims more than the file holds', async () => {
    const { it, first, helper } = await halves({ tries: 1 })
    helper.say({ type: 'done', bytes: 50 })
    helper.crash()
    await it.settle()
    expect(it.all).toHaveLength(2)
    const next = await it.child(2)
    expect(next.asked).toEqual([50, 100])
    next.answer()
    await it.settle()
    first.finish()
    next.finish()
    expect(failures(await it.downloaded())).toEqual(['length', null, null])
  })

  test.each([
    ['an end that it has passed', 10],
    ['an end that it never had', 101],
  ])('when it gives way at %s', async (_, endBytes) => {
    const { it, first, helper } = await two()
    first.isDeaf = true
    first.writeTo(20)
    helper.answer()
    await it.settle()
    first.say({ type: 'limited', endBytes })
    const next = await it.child(2)
    expect(next.asked).toEqual([20, 50])
    next.answer()
    await it.settle()
    helper.finish()
    next.finish()
    expect(failures(await it.downloaded())).toEqual(['garbled', null, null])
  })

  test('when it gives way unasked', async () => {
    const { it, first, helper } = await halves()
    helper.say({ type: 'limited', endBytes: 60 })
    const next = await it.child(2)
    next.answer()
    await it.settle()
    first.finish()
    next.finish()
    expect(failures(await it.downloaded())).toEqual(['garbled', null, null])
  })

  test('when it gives way before anything was received', async () => {
    const it = await download({ tries: 1 })
    const first = await it.child(0)
    first.say({ type: 'limited', endBytes: 0 })
    expect(await it.over()).toMatchObject({ outcome: 'killed', failure: { kind: 'garbled' } })
  })

  test('when it shows a second head before it was told what to do', async () => {
    const { it, first, helper } = await two()
    first.isDeaf = true
    helper.answer()
    helper.answer()
    await it.settle()
    expect(helper.signals).toEqual(['SIGTERM'])
    first.finish()
    expect(failures(await it.downloaded())).toEqual(['garbled', null])
  })

  test('when it shows a second head while it receives', async () => {
    const { it, first, helper } = await halves()
    helper.writeTo(60)
    first.writeTo(20)
    first.answer(200)
    await it.settle()
    helper.writeTo(70)
    const next = await it.child(2)
    expect(next.asked).toEqual([20, 50])
    next.answer()
    await it.settle()
    helper.finish()
    next.finish()
    expect(failures(await it.downloaded())).toEqual(['garbled', null, null])
  })
})

describe('the mirrors of a file', () => {
  const MIRRORS = ['http://a/f\thttp://b/f\thttp://c/f']

  test('serve one child each before any serves two', async () => {
    const it = await download({ jobs: 4, lines: MIRRORS })
    const first = await it.child(0)
    first.answer()
    await it.child(3)
    expect(it.all.map(({ url }) => url)).toEqual(['http://a/f', 'http://b/f', 'http://c/f', 'http://a/f'])
    for (const helper of it.all.slice(1)) helper.answer()
    await it.settle()
    for (const child of it.all) child.finish()
    await it.downloaded()
  })

  test.each<[string, number, Record<string, string>, string]>([
    ['size', 206, { 'content-range': 'bytes 33-65/101' }, 'no part of this file: its size was 100 and is now 101'],
    ['validator', 206, { etag: '"v2"' }, 'no part of this file: its validator is another'],
    ['address', 404, {}, 'HTTP 404 Not Found'],
  ])('are dropped with a warning when one has another %s', async (_, status, headers, because) => {
    const { it, first, helper } = await two({ jobs: 3, maxPerHost: 1, lines: MIRRORS })
    const other = await it.child(2)
    expect([helper.url, other.url]).toEqual(['http://b/f', 'http://c/f'])
    helper.answer(status, headers)
    other.answer()
    await it.quiet()
    expect(it.all).toHaveLength(3)
    other.finish()
    const next = await it.child(3)
    expect(next.url).toBe('http://c/f')
    next.answer()
    await it.settle()
    first.finish()
    next.finish()
    expect((await it.downloaded()).warnings).toEqual([`mirror 2 dropped: ${because}`])
  })

  test('go on without one that refuses two children', async () => {
    const it = await download({ jobs: 4, lines: ['http://a/f\thttp://b/f'] })
    const first = await it.child(0)
    first.answer()
    const [b1, a, b2] = [await it.child(1), await it.child(2), await it.child(3)]
    expect([b1.url, a.url, b2.url]).toEqual(['http://b/f', 'http://a/f', 'http://b/f'])
    b1.answer(404)
    b2.answer(404)
    a.answer()
    const next = await it.child(4)
    expect([next.url, next.asked]).toEqual(['http://a/f', [75, 100]])
    next.answer()
    await it.settle()
    for (const child of [first, a, next]) child.finish()
    expect((await it.downloaded()).warnings).toEqual(['mirror 2 dropped: HTTP 404 Not Found'])
  })
})

describe('all children of a file', () => {
  test('are ended by SIGINT, and what each has brought is kept', async () => {
    const { it, first, helper } = await halves()
    first.writeTo(10)
    helper.writeTo(60)
    it.controls.interrupt('SIGINT')
    const row = await it.over()
    expect([first.signals, helper.signals]).toEqual([['SIGTERM'], ['SIGTERM']])
    expect(row).toMatchObject({ outcome: 'cancelled', kept: 20 })
    expect(readControl(`${pathOf('f')}.part.json`)?.completed).toEqual([
      [0, 10],
      [50, 60],
    ])
  })

  test('are ended by its deadline, and nobody is sent in their place', async () => {
    const { it, first, helper } = await halves({ deadlineMs: 5000, killAfterMs: 3000 })
    helper.isImmortal = true
    await advanceUntil(() => helper.signals.includes('SIGKILL'), 100)
    expect([it.all.length, first.signals]).toEqual([2, ['SIGTERM']])
    helper.crash('SIGKILL')
    expect(await it.over()).toMatchObject({ outcome: 'killed', failure: { kind: 'deadline' } })
  })

  test('are ended when the disk is full', async () => {
    const { it, first, helper } = await halves()
    helper.fail({ kind: 'disk-full', path: '' })
    const row = await it.over()
    expect(first.signals).toEqual(['SIGTERM'])
    expect(row).toMatchObject({ outcome: 'failed', failure: { kind: 'disk-full', path: `${pathOf('f')}.part` } })
    expect(it.events.find(({ type }) => type === 'stopping')).toMatchObject({ cause: 'disk-full' })
  })

  test.each([
    ['the first', 0],
    ['a further one', 1],
  ])('are ended when %s cannot be, and nothing of the file is believed any more', async (_, n) => {
    const { it, first, helper } = await halves({ hangTimeoutMs: 2000, killAfterMs: 500 })
    const [frozen, other] = n === 0 ? [first, helper] : [helper, first]
    frozen.freeze()
    const row = await it.over()
    expect(frozen.signals).toEqual(['SIGTERM', 'SIGKILL'])
    expect(other.signals).toEqual(['SIGTERM'])
    expect(row).toMatchObject({ outcome: 'abandoned', failure: { kind: 'abandoned', pid: frozen.pid } })
    expect(it.report.counts).toMatchObject({ spawned: 2, reaped: 1, abandoned: 1 })
    expect(existsSync(pathOf('f'))).toBe(false)
  })

  test('but one leave their slots to others, when that one cannot be ended', async () => {
    const it = await download({ jobs: 3, lines: ['http://h/f', 'http://h/g'], hangTimeoutMs: 2000, killAfterMs: 500 })
    const [f, g] = [await it.child(0), await it.child(1)]
    f.answer()
    const helper = await it.child(2)
    helper.freeze()
    await advanceUntil(() => it.rows().length > 0, 100)
    g.answer()
    const next = await it.child(3)
    next.answer()
    await it.quiet()
    expect(it.all).toHaveLength(4)
    g.finish()
    next.finish()
    await it.downloaded('g')
  })

  test('are ended when one cannot be that was refused before', async () => {
    const { it, first, helper } = await two({ killAfterMs: 500 })
    helper.isImmortal = true
    helper.answer(206, { etag: '"v2"' })
    await advanceUntil(() => helper.signals.includes('SIGKILL'), 100)
    for (let n = 0; n < 6; n++) await it.quiet()
    expect(first.signals).toEqual(['SIGTERM'])
    expect(await it.over()).toMatchObject({ outcome: 'abandoned', failure: { kind: 'abandoned', pid: helper.pid } })
    expect(existsSync(pathOf('f'))).toBe(false)
  })

  test('but one that was given up are heard; that one is not', async () => {
    const { it, first, helper } = await halves({ hangTimeoutMs: 2000, killAfterMs: 500 })
    first.isImmortal = true
    helper.freeze()
    await advanceUntil(() => helper.signals.includes('SIGKILL'), 100)
    await advanceUntil(() => first.signals.length > 0, 100)
    helper.writeTo(60)
    first.isImmortal = false
    first.crash()
    expect(await it.over()).toMatchObject({ outcome: 'abandoned' })
  })
})
