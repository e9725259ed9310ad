// Proves that a file brought by several children at once is the file, and that nobody pays for a server that serves no
// ranges, few connections or lies. Knows nothing of how ranges are shared out.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AttemptRecord } from '../../src/core/event.ts'
import { bodyOf, type FaultServer, sha256Of, startFaultServer, startRefused } from '../fixtures/fault-server.ts'
import {
  type Certificates,
  findProgram,
  type NginxServer,
  requireServer,
  selfSignedCa,
  startNginx,
} from '../fixtures/servers.ts'
import { type Ended, firstOf, newHome, QUICK, type Running, run, start, stateOf, until } from './run-mpdl.ts'

const MIB = 2 ** 20
const BODY = bodyOf(16 * MIB)
const SMALL = bodyOf(8 * MIB)
/** Small enough shares for small files, and deadlines that outlast a busy machine. */
const SHARED = [...QUICK, '-T', '5s', '-k', '1M'] as const

/** Children that received, in the order of the file. */
function segmentsOf(ended: Ended, line = 1): (AttemptRecord & { readonly range: readonly [number, number | null] })[] {
  return ended
    .row(line)
    .attempts.flatMap((attempt) => (attempt.range === null ? [] : [{ ...attempt, range: attempt.range }]))
    .sort((a, b) => a.range[0] - b.range[0] || a.started - b.started)
}

/** What they brought is the file: no byte is missing and none came twice. */
function expectTiled(ended: Ended, sizeBytes: number, line = 1): void {
  let end = 0
  for (const { range, bytes } of segmentsOf(ended, line)) {
    if (bytes === 0) continue
    expect(range[0], 'where the next bytes begin').toBe(end)
    end += bytes
  }
  expect(end).toBe(sizeBytes)
}

/** The file is there and right, nothing else is, and the report adds up. */
function expectFiles(ended: Ended, files: Readonly<Record<string, Buffer>>): void {
  expect([ended.code, ended.files]).toEqual([0, Object.keys(files).sort()])
  for (const [name, body] of Object.entries(files))
    expect([name, sha256Of(ended.bytes(name))]).toEqual([name, sha256Of(body)])
  const { spawned, reaped, downloaded } = ended.report.totals
  expect([reaped, downloaded]).toEqual([spawned, Object.keys(files).length])
  for (const { attempts, size_download } of ended.report.jobs) {
    expect(attempts.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(size_download)
  }
}

/** The most children of these URLs that fetched at the same time. */
function mostAtOnce(ended: Ended, isMeant: (url: string) => boolean = () => true): number {
  let now = 0
  let most = 0
  for (const event of ended.events) {
    if (event.type === 'attempt-started' && event.task === 'fetch' && isMeant(event.url)) most = Math.max(most, ++now)
    if (event.type === 'attempt-ended' && event.attempt.task === 'fetch' && isMeant(event.attempt.url)) now--
  }
  return most
}

const triesOf = (ended: Ended, line = 1) =>
  ended.row(line).attempts.filter(({ task, counted }) => task === 'fetch' && counted).length

/** Pids of children that have been told to receive, oldest first. */
async function receivers(running: Running, count: number): Promise<number[]> {
  const pids = () =>
    running
      .events()
      .flatMap((event) =>
        event.type === 'response' && event.answer.startsWith('receive') && event.pid !== null ? [event.pid] : [],
      )
  await until(`${count} children receive`, () => pids().length >= count)
  return pids()
}

describe.skipIf(!requireServer('nginx', findProgram('nginx')))('against nginx', () => {
  let root: string
  let nginx: NginxServer
  let other: NginxServer
  let secure: NginxServer
  let certificates: Certificates

  const conf = (directory: string) =>
    [
      'sendfile_max_chunk 64k;',
      ...['slow 2m', 'fast 8m', 'slower 1m'].map((each) => {
        const [name, rate] = each.split(' ')
        return `location /${name}/ { alias ${directory}/; limit_rate ${rate}; }`
      }),
      `location /two/ { alias ${directory}/; limit_rate 2m; limit_conn file 2; }`,
      `location /two-429/ { alias ${directory}/; limit_rate 2m; limit_conn file 2; limit_conn_status 429; }`,
      `location /three/ { alias ${directory}/; limit_rate 2m; limit_conn file 3; }`,
    ].join('\n')
  const serve = (directory: string, tls?: { certPath: string; keyPath: string }) =>
    startNginx({
      root: directory,
      extraConf: conf(directory),
      httpConf: 'limit_conn_zone $uri zone=file:1m;',
      ...(tls === undefined ? {} : { tls }),
    })

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'mpdl-e2e-www-'))
    const publish = (directory: string, name: string, body: Buffer, ageSeconds: number) => {
      const path = join(root, directory, name)
      mkdirSync(join(root, directory), { recursive: true })
      writeFileSync(path, body)
      utimesSync(path, 1_760_000_000 - ageSeconds, 1_760_000_000 - ageSeconds)
    }
    for (const directory of ['one', 'other']) {
      publish(directory, 'big', BODY, 0)
      publish(directory, 'small', bodyOf(1_900_000), 0)
      for (const name of ['a', 'b', 'c']) publish(directory, name, SMALL, 0)
    }
    publish('one', 'short', bodyOf(4 * MIB), 0)
    publish('one', 'resized', BODY, 0)
    publish('other', 'resized', bodyOf(17 * MIB, 2), 0)
    publish('one', 'renewed', BODY, 0)
    publish('other', 'renewed', bodyOf(16 * MIB, 2), 3600)
    certificates = selfSignedCa()
    ;[nginx, other, secure] = await Promise.all([
      serve(join(root, 'one')),
      serve(join(root, 'other')),
      serve(join(root, 'one'), certificates),
    ])
  })
  afterAll(async () => {
    await Promise.all([nginx?.stop(), other?.stop(), secure?.stop()])
    certificates?.remove()
    rmSync(root, { recursive: true, force: true })
  })

  /** Requests for this path since `before` lines of the log; an empty range where the whole was asked. */
  const asked = (server: NginxServer, path: string, before = 0) =>
    server
      .accessLog()
      .slice(before)
      .flatMap((line) => {
        const match = /^GET (\S+) (\d+) (\d+) "([^"]*)"/.exec(line)
        return match?.[1] === path
          ? [{ status: Number(match[2]), bytes: Number(match[3]), range: match[4] === '-' ? '' : (match[4] ?? '') }]
          : []
      })

  test('a file is shared out among the idle slots when its head is there, and who brought what is told', async () => {
    const home = newHome()
    const before = nginx.accessLog().length
    const ended = await run({ home, list: `${nginx.url}/slow/big`, args: [...SHARED, '-v'] })
    expectFiles(ended, { big: BODY })
    expectTiled(ended, BODY.length)
    const segments = segmentsOf(ended)
    expect(segments.length).toBeGreaterThanOrEqual(4)
    expect(new Set(segments.map(({ pid }) => pid)).size).toBe(segments.length)
    expect(mostAtOnce(ended)).toBe(4)
    expect(ended.row(1)).toMatchObject({ num_retries: 0, resumed_from: 0, size_download: BODY.length, warnings: [] })
    expect(triesOf(ended)).toBe(1)
    expect(asked(nginx, '/slow/big', before).filter(({ range }) => range === '')).toHaveLength(1)

    const [first, ...helpers] = ended.row(1).attempts.toSorted((a, b) => a.started - b.started)
    const lines = ended.stderr.trim().split('\n')
    expect(lines).toContain(`line 1 pid ${first?.pid} big`)
    for (const { pid } of helpers) {
      expect(ended.stderr).toMatch(new RegExp(`^line 1 pid ${pid} big bytes \\d+-\\d+$`, 'm'))
    }

    const explained = await run({ home, isBare: true, args: ['explain', '1', '--log-dir', home.logs] })
    expect(explained.code).toBe(0)
    for (const { pid, range, bytes } of segments) {
      const brought = `${range[0]}-${range[0] + bytes - 1}`
      expect(explained.stdout).toMatch(new RegExp(`^ *${brought} .* ${pid} +\\+[0-9.]+s +\\+[0-9.]+s +done$`, 'm'))
    }
  })

  test('over TLS too, and --json tells the ranges', async () => {
    const ended = await run({
      list: `${secure.url}/slow/big\n checksum=sha-256=${sha256Of(BODY)}`,
      args: [...SHARED, '--json', '--cacert', certificates.caPath],
    })
    expectFiles(ended, { big: BODY })
    expectTiled(ended, BODY.length)
    expect(mostAtOnce(ended)).toBe(4)
    expect(ended.row(1)).toMatchObject({ proof: 'length+checksum' })
    const printed: { jobs: { attempts: AttemptRecord[] }[] } = JSON.parse(ended.stdout)
    expect(printed.jobs[0]?.attempts.map(({ range }) => range)).toEqual(ended.row(1).attempts.map(({ range }) => range))
  })

  test.each([
    ['-s 1', 'a', '', ['-s', '1']],
    ['split=1', 'a', '\n split=1', []],
    ['a file smaller than two shares', 'small', '', []],
    ['-k as large as the file', 'a', '', ['-k', '8M']],
    ['one slot', 'a', '', ['-j', '1']],
    ['one connection to the host', 'a', '', ['--max-per-host', '1']],
  ])('%s: one child brings it all', async (_, name, options, args) => {
    const ended = await run({ list: `${nginx.url}/fast/${name}${options}`, args: [...SHARED, ...args] })
    expect(ended.code).toBe(0)
    expect(ended.row(1).attempts.map(({ range }) => range)).toEqual([[0, ended.row(1).size]])
  })

  test('split= of a line beats -s of the run', async () => {
    const ended = await run({
      list: `${nginx.url}/slow/a\n split=2\n${nginx.url}/slow/b`,
      args: [...SHARED, '-s', '3'],
    })
    expectFiles(ended, { a: SMALL, b: SMALL })
    expect(mostAtOnce(ended, (url) => url.endsWith('/a'))).toBe(2)
    expect(mostAtOnce(ended, (url) => url.endsWith('/b'))).toBe(3)
  })

  test('a slot that becomes free helps the file that is still under way', async () => {
    const ended = await run({ list: `${nginx.url}/slow/short\n${nginx.url}/slow/big`, args: [...SHARED, '-j', '2'] })
    expectFiles(ended, { short: bodyOf(4 * MIB), big: BODY })
    expectTiled(ended, BODY.length, 2)
    expect(mostAtOnce(ended)).toBe(2)
    expect(segmentsOf(ended, 1)).toHaveLength(1)
    const [stolen] = segmentsOf(ended, 2).slice(1)
    expect(stolen?.started).toBeGreaterThanOrEqual(segmentsOf(ended, 1)[0]?.ended ?? Number.POSITIVE_INFINITY)
    // Half of what was left, which was less than all and more than nothing.
    expect(stolen?.range[0]).toBeGreaterThan(BODY.length / 2)
  })

  test('waiting jobs come before further children', async () => {
    const names = ['a', 'b', 'c']
    const ended = await run({
      list: names.map((name) => `${nginx.url}/fast/${name}\n`).join(''),
      args: [...SHARED, '-j', '2'],
    })
    expectFiles(ended, { a: SMALL, b: SMALL, c: SMALL })
    const order = ended.events.flatMap((event) => (event.type === 'attempt-started' ? [event.line] : []))
    expect(order.slice(0, 3)).toEqual([1, 2, 3])
    expect(mostAtOnce(ended)).toBe(2)
  })

  test('--max-per-host holds for further children: nginx, which allows no more, never has to refuse', async () => {
    const before = nginx.accessLog().length
    const ended = await run({
      list: `${nginx.url}/three/big`,
      args: [...SHARED, '-s', '8', '-j', '8', '--max-per-host', '3'],
    })
    expectFiles(ended, { big: BODY })
    expect(mostAtOnce(ended)).toBe(3)
    expect(asked(nginx, '/three/big', before).filter(({ status }) => status >= 400)).toEqual([])
  })

  test.each([
    ['two', 503],
    ['two-429', 429],
  ])('/%s/: a server that takes two connections and answers %i to a third gets two', async (location, status) => {
    const before = nginx.accessLog().length
    const ended = await run({ list: `${nginx.url}/${location}/a`, args: SHARED })
    expectFiles(ended, { a: SMALL })
    expectTiled(ended, SMALL.length)
    expect(segmentsOf(ended).length).toBeGreaterThanOrEqual(2)
    expect(ended.row(1)).toMatchObject({ outcome: 'downloaded', num_retries: 0, reason: null })
    expect(triesOf(ended)).toBe(1)
    expect(ended.stderr).toBe('')
    const refused = asked(nginx, `/${location}/a`, before).filter((each) => each.status >= 400)
    expect(new Set(refused.map((each) => each.status))).toEqual(new Set([status]))
    // Refused once, it is not asked for a third one again and again.
    expect(refused.length).toBeLessThanOrEqual(3)
  })

  test('mirrors bring different parts of one file', async () => {
    const before = [nginx.accessLog().length, other.accessLog().length] as const
    const ended = await run({ list: `${nginx.url}/slow/big\t${other.url}/slow/big`, args: SHARED })
    expectFiles(ended, { big: BODY })
    expectTiled(ended, BODY.length)
    expect(ended.row(1).warnings).toEqual([])
    const ranged = (server: NginxServer, at: number) =>
      asked(server, '/slow/big', at).filter(({ status, range, bytes }) => status === 206 && range !== '' && bytes > 0)
    expect(ranged(nginx, before[0]).length).toBeGreaterThanOrEqual(1)
    expect(ranged(other, before[1]).length).toBeGreaterThanOrEqual(2)
  })

  test.each(['resized', 'renewed'])(
    '[threat:resume-mix] [range-refused] a mirror whose file was %s is dropped with a warning, and brings nothing',
    async (name) => {
      const ended = await run({ list: `${nginx.url}/slow/${name}\t${other.url}/slow/${name}`, args: SHARED })
      expectFiles(ended, { [name]: BODY })
      expectTiled(ended, BODY.length)
      expect(ended.row(1).warnings).toEqual(['mirror 2 dropped: no part of this file: the server sent the whole file'])
      const ofOther = ended.row(1).attempts.filter(({ url }) => url.startsWith(other.url))
      expect(ofOther.length).toBeGreaterThanOrEqual(1)
      for (const { bytes, range, failure } of ofOther) {
        expect([bytes, range, failure?.kind]).toEqual([0, null, 'range-refused'])
      }
      // The good one still has slots to give.
      expect(segmentsOf(ended).length).toBeGreaterThanOrEqual(2)
      expect(triesOf(ended)).toBe(1)
    },
  )

  test('a mirror that is down costs no try and, once that is known, no slot', async () => {
    const refused = await startRefused()
    const ended = await run({ list: `${nginx.url}/slow/big\thttp://127.0.0.1:${refused.port}/big`, args: SHARED })
    await refused.stop()
    expectFiles(ended, { big: BODY })
    expectTiled(ended, BODY.length)
    expect(triesOf(ended)).toBe(1)
    expect(mostAtOnce(ended, (each) => each.startsWith(nginx.url))).toBe(4)
  })

  describe('[threat:child-killed] of several children', () => {
    /** The n-th child that receives, and one that was there before it. */
    const meet = async (name: string) => {
      const running = start({ list: `${nginx.url}/slower/${name}`, args: SHARED })
      const pids = await receivers(running, 4)
      return { running, first: firstOf(pids), last: firstOf(pids.slice(3)) }
    }

    test.each([
      ['first', 'SIGKILL'],
      ['last', 'SIGKILL'],
      ['first', 'SIGSEGV'],
      ['first', 'SIGSTOP'],
      ['last', 'SIGSTOP'],
    ] as const)('the %s gets %s: the others go on, and the file is right', async (which, signal) => {
      const met = await meet('a')
      const pid = met[which]
      process.kill(pid, signal)
      if (signal === 'SIGSTOP') await until('it sleeps', () => stateOf(pid) === 'T')
      const ended = await met.running.ended
      expectFiles(ended, { a: SMALL })
      expectTiled(ended, SMALL.length)
      const hit = ended.row(1).attempts.find((attempt) => attempt.pid === pid)
      expect(hit).toMatchObject({ result: 'failed', signal: signal === 'SIGSTOP' ? 'SIGKILL' : signal })
      // One that sleeps may be the last by the time it is found out, and then its rest is another attempt's.
      expect(ended.row(1).num_retries).toBeLessThanOrEqual(signal === 'SIGSTOP' ? 1 : 0)
      expect(triesOf(ended)).toBeLessThanOrEqual(1)
    })

    test('all of them at once: one try at most, and only what is missing is fetched again', async () => {
      const { running } = await meet('big')
      for (const pid of running.children()) process.kill(pid, 'SIGKILL')
      const ended = await running.ended
      expectFiles(ended, { big: BODY })
      expectTiled(ended, BODY.length)
      // None where the first had been replaced before the last was dead.
      expect(ended.row(1).num_retries).toBeLessThanOrEqual(1)
      expect(triesOf(ended)).toBeLessThanOrEqual(2)
    })

    test('one after the other: each is replaced', async () => {
      const { running } = await meet('big')
      for (let killed = 0; killed < 5; killed++) {
        const pids = await receivers(running, 4 + killed)
        process.kill(firstOf(pids.filter((pid) => running.children().includes(pid)).slice(-1)), 'SIGKILL')
      }
      const ended = await running.ended
      expectFiles(ended, { big: BODY })
      expectTiled(ended, BODY.length)
      expect(triesOf(ended)).toBeLessThanOrEqual(1)
    })
  })

  test('a run that was interrupted leaves holes, and the next one fetches nothing else', async () => {
    const home = newHome()
    const list = `${nginx.url}/slower/big`
    const readNote = (): { completed: [number, number][] } =>
      JSON.parse(readFileSync(join(home.out, 'big.part.json'), 'utf8'))
    const running = start({ home, list, args: SHARED })
    await receivers(running, 4)
    await until('every child has brought something', () => readNote().completed.length === 4)
    running.process.kill('SIGINT')
    const first = await running.ended
    const kept = first.row(1).kept
    const note = readNote()
    expect(note.completed).toHaveLength(4)
    expect(note.completed.reduce((sum, [from, to]) => sum + to - from, 0)).toBe(kept)
    const second = await run({ home, list, args: SHARED })
    expectFiles(second, { big: BODY })
    expect(second.row(1)).toMatchObject({ resumed_from: kept, size_download: BODY.length - kept, warnings: [] })
    const isThere = (from: number) => note.completed.some(([start, end]) => start <= from && from < end)
    expect(segmentsOf(second).filter(({ range, bytes }) => bytes > 0 && isThere(range[0]))).toEqual([])
  })
})

describe('against a server at fault', () => {
  let server: FaultServer
  beforeAll(async () => {
    server = await startFaultServer()
  })
  afterAll(() => server.stop())

  const url = (path: string) => `${server.url(path)}${path.includes('?') ? '&' : '?'}size=${SMALL.length}`
  const rangesAsked = (path: string) =>
    server.requests.flatMap((request) => (request.path.startsWith(path) ? [request.headers['range'] ?? ''] : []))

  test.each([
    ['without Accept-Ranges', '/ignore-range/plain?rate=8000000', 'length'],
    ['with a weak validator', '/weak-etag/weak?rate=8000000', 'length'],
    ['without a validator', '/no-validator/none?rate=8000000', 'length'],
    ['of unknown length', '/chunked/unknown?chunk=400000&ms=50', 'unverified'],
  ])('a file %s is brought by one child', async (_, path, proof) => {
    const ended = await run({ list: url(path), args: SHARED })
    const { out } = ended.row(1)
    expectFiles(ended, { [out]: SMALL })
    expect(ended.row(1)).toMatchObject({ proof, num_retries: 0 })
    expect(ended.row(1).attempts).toHaveLength(1)
    expect(rangesAsked(path.split('?')[0] ?? path)).toEqual([''])
  })

  const LIES: Readonly<Record<string, RegExp>> = {
    total: /its size was 8388608 and is now 8388609/,
    start: /it answered bytes /,
    missing: /its Content-Range is missing/,
    'no-total': /its Content-Range has no total/,
    validator: /its validator is another/,
    'no-validator': /it does not repeat its validator/,
    '200': /the server sent the whole file/,
    '416': /the range is past its end/,
    multipart: /its Content-Range is missing/,
  }
  const kinds = Object.keys(LIES)

  test('[threat:resume-mix] [range-refused] that lies about ranges is not believed, and never a blend', async () => {
    const ended = await run({
      list: kinds.map((kind) => url(`/range-lies/${kind}?kind=${kind}&rate=2000000`)).join('\n'),
      args: [...SHARED, '-s', '3', '-j', '27', '--max-per-host', '27'],
    })
    expectFiles(ended, Object.fromEntries(kinds.map((kind) => [kind, SMALL])))
    for (const [i, kind] of kinds.entries()) {
      const [sole, ...refused] = ended.row(i + 1).attempts.toSorted((a, b) => a.started - b.started)
      expect([kind, sole]).toMatchObject([kind, { result: 'done', range: [0, SMALL.length], bytes: SMALL.length }])
      // It is believed that it serves none, after one round of further children.
      expect([kind, refused.length]).toEqual([kind, 2])
      for (const { failure, bytes, range } of refused) {
        expect([kind, failure?.kind, bytes, range]).toEqual([kind, 'range-refused', 0, null])
        expect(failure?.kind === 'range-refused' && failure.reason).toMatch(LIES[kind] ?? /^$/)
      }
      expect(ended.row(i + 1)).toMatchObject({ num_retries: 0, warnings: [] })
      expect([kind, triesOf(ended, i + 1)]).toEqual([kind, 1])
    }
  })

  test('[threat:resume-mix] [range-refused] as one of two mirrors: nothing is taken from a liar', async () => {
    const lying = kinds.filter((kind) => kind !== '416')
    // The same server under another name is another host.
    const mirror = (kind: string) => url(`/range-lies/${kind}?kind=${kind}`).replace('127.0.0.1', 'localhost')
    const ended = await run({
      list: lying.map((kind) => `${url(`/slow/${kind}?rate=2000000`)}\t${mirror(kind)}`).join('\n'),
      args: [...SHARED, '-s', '3', '-j', '24', '--max-per-host', '24'],
    })
    expectFiles(ended, Object.fromEntries(lying.map((kind) => [kind, SMALL])))
    for (const [i, kind] of lying.entries()) {
      expectTiled(ended, SMALL.length, i + 1)
      const { warnings, attempts } = ended.row(i + 1)
      expect([kind, warnings]).toEqual([kind, [expect.stringMatching(/^mirror 2 dropped: no part of this file: /)]])
      for (const { bytes } of attempts.filter((each) => each.url.includes('localhost'))) {
        expect([kind, bytes]).toEqual([kind, 0])
      }
      expect([kind, triesOf(ended, i + 1)]).toEqual([kind, 1])
    }
  })

  test('behind a redirect gets no more connections than --max-per-host says, and never has to refuse', async () => {
    const there = url('/limit-connections/moved?k=3&rate=2000000').replace('127.0.0.1', 'localhost')
    const ended = await run({
      list: server.url(`/redirect-to/moved?url=${encodeURIComponent(there)}`),
      args: [...SHARED, '-s', '6', '-j', '6', '--max-per-host', '3'],
    })
    expectFiles(ended, { moved: SMALL })
    expectTiled(ended, SMALL.length)
    expect(segmentsOf(ended).length).toBeGreaterThanOrEqual(3)
    expect(ended.events.flatMap((event) => (event.type === 'response' && event.status >= 400 ? [event] : []))).toEqual(
      [],
    )
    expect(triesOf(ended)).toBe(1)
  })

  test('that answers with all from there on, whatever end was asked, is no liar', async () => {
    const ended = await run({ list: url('/range-lies/longer?kind=longer&rate=2000000'), args: SHARED })
    expectFiles(ended, { longer: SMALL })
    expectTiled(ended, SMALL.length)
    expect(segmentsOf(ended).length).toBeGreaterThanOrEqual(3)
    expect(triesOf(ended)).toBe(1)
  })

  test.concurrent('that leaves out the last byte of every range costs one new start, and no more', async () => {
    const ended = await run({ list: url('/range-lies/exclusive?kind=exclusive&rate=4000000'), args: SHARED })
    expectFiles(ended, { exclusive: SMALL })
    expect(ended.row(1).warnings).toEqual([
      expect.stringMatching(/^started over, \d+ bytes dropped: it answered bytes/),
    ])
    expect(ended.report.totals['spawned']).toBeLessThan(20)
  })

  test('that answers with 2 MiB at most, whatever range was asked, is no liar', async () => {
    const ended = await run({ list: url(`/range-lies/shorter?kind=shorter&at=${2 * MIB}`), args: SHARED })
    expectFiles(ended, { shorter: SMALL })
    expectTiled(ended, SMALL.length)
    expect(triesOf(ended)).toBeLessThanOrEqual(1)
  })

  test('that promises ranges and serves none: the whole file, from the one that was first', async () => {
    const ended = await run({ list: url('/ignore-range/promised?advertise&rate=4000000'), args: SHARED })
    expectFiles(ended, { promised: SMALL })
    expect(segmentsOf(ended).map(({ range }) => range)).toEqual([[0, SMALL.length]])
    expect(rangesAsked('/ignore-range/promised').filter((range) => range !== '').length).toBeGreaterThanOrEqual(1)
  })

  test('[checksum] [threat:resume-mix] whose validator lies: the sum finds it, one child mends it', async () => {
    const path = url('/range-lies/forged?kind=content&rate=4000000')
    const ended = await run({ list: `${path}\n checksum=sha-256=${sha256Of(SMALL)}`, args: SHARED })
    expectFiles(ended, { forged: SMALL })
    expect(ended.row(1)).toMatchObject({ proof: 'length+checksum', num_retries: 1, sha256: sha256Of(SMALL) })
    const [first, second] = [1, 2].map((n) => ended.row(1).attempts.filter((attempt) => attempt.n === n))
    expect(first?.filter(({ task }) => task === 'fetch').length).toBeGreaterThanOrEqual(2)
    expect(first?.find(({ task }) => task === 'hash')).toMatchObject({ failure: { kind: 'checksum' } })
    expect(second?.map(({ task, range }) => [task, range])).toEqual([
      ['fetch', [0, SMALL.length]],
      ['hash', null],
    ])
  })

  test('[threat:resume-mix] whose file changes while several bring it: all of it is the new one', async () => {
    const running = start({ list: url('/changing/renewed?version&rate=1000000'), args: SHARED })
    const pids = await receivers(running, 4)
    server.bump('/changing/renewed')
    process.kill(firstOf(pids.slice(3)), 'SIGKILL')
    const ended = await running.ended
    expectFiles(ended, { renewed: bodyOf(SMALL.length, 2) })
    expect(ended.row(1).warnings).toEqual([expect.stringMatching(/^started over, \d+ bytes dropped: /)])
    expect(ended.row(1).size_download).toBeGreaterThan(SMALL.length)
    expect(triesOf(ended)).toBeLessThanOrEqual(1)
  })

  test('[not-needed] whose ranges come too late: the child that was first brings it all', async () => {
    const ended = await run({
      list: url('/range-lies/late?kind=late&ms=20000&rate=4000000'),
      args: [...SHARED, '-T', '30s'],
    })
    expectFiles(ended, { late: SMALL })
    expectTiled(ended, SMALL.length)
    const [sole, ...late] = ended.row(1).attempts.toSorted((a, b) => a.started - b.started)
    expect(sole).toMatchObject({ result: 'done', bytes: SMALL.length })
    expect(late.map(({ failure }) => failure?.kind)).toEqual(late.map(() => 'not-needed'))
    expect(late.length).toBeGreaterThanOrEqual(1)
    expect(ended.ms).toBeLessThan(15_000)
  })

  test.each(['503', '429', 'reset', 'close'])(
    'that takes two connections and answers %s to a third: two segments, no failure, no try',
    async (over) => {
      const ended = await run({
        list: url(`/limit-connections/over-${over}?k=2&over=${over}&rate=2000000`),
        args: SHARED,
      })
      expectFiles(ended, { [`over-${over}`]: SMALL })
      expectTiled(ended, SMALL.length)
      expect(ended.row(1)).toMatchObject({ num_retries: 0, reason: null })
      expect(ended.row(1).attempts.filter(({ result }) => result === 'failed').length).toBeGreaterThanOrEqual(1)
      expect(triesOf(ended)).toBe(1)
      expect(ended.stderr).toBe('')
    },
  )

  test('that does not listen while it has two connections: two segments, no failure, no try', async () => {
    const narrow = await startFaultServer({ maxConnections: 2 })
    const ended = await run({ list: narrow.url(`/slow/narrow?size=${SMALL.length}&rate=2000000`), args: SHARED })
    await narrow.stop()
    expectFiles(ended, { narrow: SMALL })
    expectTiled(ended, SMALL.length)
    expect(ended.row(1)).toMatchObject({ num_retries: 0, reason: null })
    expect(triesOf(ended)).toBe(1)
    const refused = ended.row(1).attempts.flatMap(({ failure }) => failure?.kind ?? [])
    expect(refused.length).toBeGreaterThanOrEqual(1)
    // One that was on its way when listening ended is reset.
    for (const kind of refused) expect(['connect-refused', 'network']).toContain(kind)
  })

  test('that ends every connection after 2 MiB of 64: progress costs no try, so it is there in the end', async () => {
    const body = bodyOf(64 * MIB)
    const ended = await run({ list: server.url(`/truncated/torn?size=${body.length}&at=${2 * MIB}`), args: SHARED })
    expectFiles(ended, { torn: body })
    expectTiled(ended, body.length)
    expect(ended.row(1).attempts.length).toBeGreaterThanOrEqual(32)
    expect(triesOf(ended)).toBeLessThan(5)
  })

  test('[truncated] that ends every connection after 100 KB: --tries are used up, and what came is kept', async () => {
    const size = 64 * MIB
    const home = newHome()
    const list = server.url(`/truncated/hopeless?size=${size}&at=100000`)
    const ended = await run({ home, list, args: [...SHARED, '-t', '3'] })
    expect(ended.code).toBe(4)
    expect(ended.row(1)).toMatchObject({ outcome: 'failed', failure: { kind: 'truncated' } })
    expect(triesOf(ended)).toBe(3)
    expect(ended.files).toEqual(['hopeless.part', 'hopeless.part.json'])
    expect(ended.row(1).kept).toBeGreaterThanOrEqual(300_000)
    const whole = await run({ home, list: list.replace('at=100000', `at=${size}`), args: SHARED })
    expectFiles(whole, { hopeless: bodyOf(size) })
    expect(whole.row(1)).toMatchObject({ resumed_from: ended.row(1).kept, size_download: size - ended.row(1).kept })
  })

  test('[threat:child-killed] a first child that misbehaves before its first byte', async () => {
    const faults = ['segv', 'spin', 'stop', 'exit0', 'garbage', 'abort', 'pool-stuck', 'ignore-term']
    const list = faults.map((fault) => url(`/slow/${fault}?rate=2000000`)).join('\n')
    const ended = await run({
      list,
      args: [
        ...[...SHARED, '-j', '24', '--max-per-host', '24', '-s', '3'],
        ...faults.flatMap((fault, i) => ['--inject', `${fault}@${i + 1}`]),
      ],
    })
    expectFiles(ended, Object.fromEntries(faults.map((fault) => [fault, SMALL])))
    for (const [i, fault] of faults.entries()) {
      expectTiled(ended, SMALL.length, i + 1)
      expect([fault, triesOf(ended, i + 1) <= 2]).toEqual([fault, true])
    }
  })
})
