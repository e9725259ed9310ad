// Proves how hosts are treated: asked again, left in peace, given up, and replaced by mirrors. Knows nothing of children.
import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, sha256Of, startFaultServer, startRefused } from '../fixtures/fault-server.ts'
import { type Ended, ONCE, QUICK, run, start } from './run-mpdl.ts'

let server: FaultServer
let refused: Awaited<ReturnType<typeof startRefused>>
beforeAll(async () => {
  ;[server, refused] = await Promise.all([startFaultServer(), startRefused()])
})
afterAll(() => Promise.all([server.stop(), refused.stop()]))

const dead = (name: string) => `http://127.0.0.1:${refused.port}/${name}`
/** The same server under another name is another host. */
const byName = (path: string) => server.url(path).replace('127.0.0.1', 'localhost')
const askedAt = (path: string) => server.requests.filter((each) => each.path === path).map(({ at }) => at)
const PATIENT = [...QUICK, '-T', '10s'] as const

/** The most attempts that ran at the same time. */
function mostAtOnce(ended: Ended, isMeant: (url: string) => boolean = () => true): number {
  let now = 0
  let most = 0
  for (const event of ended.events) {
    if (event.type === 'attempt-started' && isMeant(event.url)) most = Math.max(most, ++now)
    if (event.type === 'attempt-ended' && isMeant(event.attempt.url)) now--
  }
  return most
}

describe('asking again', () => {
  test('503 twice and then the file: three attempts, each a child of its own', async () => {
    const ended = await run({ operands: [server.url('/status/503/x?times=2')], args: [...QUICK, '-t', '3'] })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(ended.row(1)).toMatchObject({ outcome: 'downloaded', num_retries: 2, http_code: 200, size: 100_000 })
    expect(ended.row(1).attempts.map(({ result, failure }) => [result, failure?.kind])).toEqual([
      ['failed', 'http-status'],
      ['failed', 'http-status'],
      ['done', undefined],
    ])
    expect(new Set(ended.row(1).attempts.map(({ pid }) => pid)).size).toBe(3)
  })

  test('[http-status] what may pass by itself is asked --tries times, what is final once', async () => {
    const statuses = [500, 502, 504, 408, 425, 521, 400, 403, 404, 410, 451, 501]
    const list = statuses.map((status) => server.url(`/status/${status}/s${status}`)).join('\n')
    const ended = await run({ list, args: [...QUICK, '-t', '3'] })
    expect(ended.code).toBe(8)
    for (const [i, status] of statuses.entries()) {
      const row = ended.row(i + 1)
      expect(row).toMatchObject({ outcome: 'failed', failure: { kind: 'http-status', status }, http_code: status })
      expect([status, row.attempts.length]).toEqual([status, i < 6 ? 3 : 1])
      expect(row.reason).toMatch(new RegExp(`^HTTP ${status}`))
    }
  })

  test('waits grow: 1, 4, 16 times --retry-delay at most, and none is longer than it says', async () => {
    const ended = await run({
      operands: [server.url('/status/500/x')],
      args: [...QUICK, '-t', '4', '--retry-delay', '20ms'],
    })
    const waits = ended.events.flatMap((event) => (event.type === 'retry-planned' ? [event.wait_ms] : []))
    expect(waits).toHaveLength(3)
    for (const [i, wait] of waits.entries()) expect(wait).toBeLessThanOrEqual(20 * 4 ** i)
  })

  test('Retry-After is obeyed, in seconds and as a date', async () => {
    const paths = ['/status/503/seconds?times=1&retry-after=1', '/status/429/date?times=1&retry-after=date:2']
    const ended = await run({ list: `${server.url(paths[0] ?? '')}\n${byName(paths[1] ?? '')}`, args: QUICK })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    for (const path of paths) {
      const [first = 0, second = 0] = askedAt(path)
      // A date has whole seconds: two of them ahead are between one and two away.
      expect(second - first).toBeGreaterThanOrEqual(1000)
    }
    expect(ended.ms).toBeLessThan(20_000)
  })

  test('[try-later] a Retry-After beyond --retry-after-max, or beyond the deadline, is not waited for', async () => {
    const list = [
      server.url('/status/503/hour?retry-after=3600'),
      byName('/status/429/soon?retry-after=20'),
      '  deadline=10s',
    ].join('\n')
    const ended = await run({ list, args: [...QUICK, '--retry-after-max', '30s'] })
    expect(ended.code).toBe(8)
    for (const [line, status, waitMs] of [
      [1, 503, 3_600_000],
      [2, 429, 20_000],
    ] as const) {
      const row = ended.row(line)
      expect(row).toMatchObject({
        outcome: 'failed',
        failure: { kind: 'try-later', status, waitMs },
        http_code: status,
      })
      expect(row.attempts).toHaveLength(1)
      const { failure } = row
      if (failure?.kind !== 'try-later') throw new Error('checked above')
      expect(Math.abs(failure.atMs - waitMs - Date.now())).toBeLessThan(30_000)
      expect(row.reason).toBe(
        `HTTP ${status}: try later, at ${new Date(failure.atMs).toISOString()} (Retry-After ${line === 1 ? '1h' : '20s'})`,
      )
    }
    expect(ended.ms).toBeLessThan(9000)
  })

  test('a torn body is continued where it broke off, as often as it gets further', async () => {
    const ended = await run({ operands: [server.url('/truncated/t?at=30000')], args: [...QUICK, '-t', '4'] })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(ended.row(1).attempts.map(({ resumed_from, bytes }) => [resumed_from, bytes])).toEqual([
      [0, 30_000],
      [30_000, 30_000],
      [60_000, 30_000],
      [90_000, 10_000],
    ])
    expect(ended.row(1).size_download).toBe(100_000)
    expect(ended.bytes('t').equals(bodyOf(100_000))).toBe(true)
  })
})

describe('a host that is full', () => {
  test('refusals while others run lower its cap, count as no try, and all is downloaded', async () => {
    const paths = Array.from({ length: 8 }, (_, i) => `/limit-connections?k=2&size=4000&rate=20000&n=${i}`)
    const list = paths.map((path, i) => `${server.url(path)}\n  out=f${i}`).join('\n')
    const ended = await run({ list, args: [...PATIENT, '-t', '3', '-j', '6'] })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(ended.report.totals).toMatchObject({ downloaded: 8 })
    const attempts = ended.report.jobs.flatMap((row) => row.attempts)
    const refusals = attempts.filter(({ result }) => result === 'failed')
    expect(refusals.length).toBeGreaterThan(0)
    expect(refusals.some(({ counted }) => !counted)).toBe(true)
    expect(ended.events.some((event) => event.type === 'host-changed' && event.change === 'cap-lowered')).toBe(true)
  })

  test('three different jobs refused in a row pause the host for all its jobs', async () => {
    const list = [0, 1, 2, 3, 4].map((n) => server.url(n < 3 ? `/status/503/p${n}` : `/ok/p${n}`)).join('\n')
    const ended = await run({ list, args: [...ONCE, '-j', '1', '--retry-delay', '300ms'] })
    expect([ended.code, ended.files]).toEqual([8, ['p3', 'p4']])
    const pauses = ended.events.flatMap((event) =>
      event.type === 'host-changed' && event.change === 'paused' ? [event] : [],
    )
    expect(pauses).toHaveLength(1)
    const { at = 0, until } = pauses[0] ?? {}
    expect(until).toBeGreaterThanOrEqual(at + 290)
    const next = ended.events.find((event) => event.type === 'attempt-started' && event.line === 4)
    expect(next?.at ?? 0, 'nothing starts while it is paused').toBeGreaterThanOrEqual((until ?? 0) - 20)
  })

  test('--max-per-host and -j hold at every moment', async () => {
    const slow = (n: number) => `/slow/m${n}?size=3000&rate=15000`
    const list = Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? server.url(slow(i)) : byName(slow(i)))).join('\n')
    const both = await run({ list, args: [...PATIENT, '--max-per-host', '2', '-j', '3'] })
    expect(both.code).toBe(0)
    expect(mostAtOnce(both)).toBe(3)
    for (const host of ['127.0.0.1', 'localhost']) {
      expect(mostAtOnce(both, (url) => url.includes(host))).toBeLessThanOrEqual(2)
    }
  })
})

describe('a host that is down', () => {
  test('[host-down] it is probed, given up, and the rest fails quickly and in one line', async () => {
    const down = Array.from({ length: 30 }, (_, i) => dead(`d${i}`))
    const list = [...down, server.url('/ok/alive')].join('\n')
    const ended = await run({ list, args: [...QUICK, '-t', '5'] })
    expect(ended.code).toBe(4)
    expect(ended.row(31).outcome).toBe('downloaded')
    expect(ended.report.totals).toMatchObject({ jobs: 31, failed: 30, downloaded: 1 })
    // Few had to find out; the rest never had a child.
    expect(ended.report.totals['spawned']).toBeLessThan(25)
    const bulk = ended.report.bulk.filter(({ failure }) => failure?.kind === 'host-down')
    const host = `127.0.0.1:${refused.port}`
    expect(bulk.length).toBeGreaterThan(0)
    for (const { reason, outcome } of bulk) {
      expect([outcome, reason]).toEqual(['failed', `host ${host} is down: connection refused by ${host}`])
    }
    expect(ended.report.hosts).toMatchObject([{ host, change: 'down' }])
    const aboutHost = ended.stderr.split('\n').filter((line) => line.includes(`host ${host} is down`))
    expect(aboutHost).toHaveLength(1)
    expect(ended.ms).toBeLessThan(20_000)
  })

  test('[connect-refused] the jobs that found out tell what they met themselves', async () => {
    const ended = await run({ list: [dead('a'), dead('b')].join('\n'), args: [...QUICK, '-t', '2'] })
    expect(ended.code).toBe(4)
    for (const line of [1, 2]) {
      expect(ended.row(line)).toMatchObject({ outcome: 'failed', failure: { kind: 'connect-refused' } })
      expect(ended.row(line).reason).toBe(`connection refused by 127.0.0.1:${refused.port}`)
    }
  })

  test('[unknown-host] a name that does not exist holds nothing else up', async () => {
    const list = [
      ...Array.from({ length: 10 }, (_, i) => `http://nowhere.invalid/u${i}`),
      ...Array.from({ length: 5 }, (_, i) => server.url(`/ok/g${i}`)),
    ].join('\n')
    const ended = await run({ list, args: [...QUICK, '-t', '2'] })
    expect(ended.code).toBe(4)
    expect(ended.report.totals).toMatchObject({ failed: 10, downloaded: 5 })
    expect(ended.row(1)).toMatchObject({ failure: { kind: 'unknown-host', host: 'nowhere.invalid' } })
    expect(ended.files).toEqual(['g0', 'g1', 'g2', 'g3', 'g4'])
  })

  test('a host that comes back after a pause gets its jobs', async () => {
    // Five refusals pause the host; a listener that appears meanwhile is found by the probe.
    const holder = createServer()
    await once(holder.listen(0, '127.0.0.1'), 'listening')
    const address = holder.address()
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0
    holder.close()
    const list = Array.from({ length: 6 }, (_, i) => `http://127.0.0.1:${port}/b${i}`).join('\n')
    const running = start({ list, args: [...QUICK, '-t', '9', '--retry-delay', '400ms'] })
    await running.event('host-changed', ({ change }) => change === 'paused')
    const back = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'))
    })
    await once(back.listen(port, '127.0.0.1'), 'listening')
    const ended = await running.ended
    back.close()
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(ended.report.totals).toMatchObject({ downloaded: 6 })
  })
})

describe('mirrors', () => {
  const sum = sha256Of(bodyOf(100_000))

  test('the next one is asked when one is dead, final, torn or wrong, and the name stays that of the first', async () => {
    const list = [
      [dead('one'), server.url('/ok/m1')],
      [server.url('/status/404/two'), server.url('/status/410/m2'), server.url('/ok/m2')],
      [server.url('/truncated/three?at=1000'), server.url('/ok/m3')],
      [server.url('/ok/four?seed=2'), server.url('/ok/m4')],
      [server.url('/garbage/five'), byName('/ok/m5')],
    ].map((urls) => `${urls.join('\t')}\n  checksum=sha-256=${sum}`)
    const ended = await run({ list: list.join('\n'), args: QUICK })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(ended.files).toEqual(['five', 'four', 'one', 'three', 'two'])
    for (const [i, mirror] of ['m1', 'm2', 'm3', 'm4', 'm5'].entries()) {
      const row = ended.row(1 + 2 * i)
      expect(row).toMatchObject({ outcome: 'downloaded', proof: 'length+checksum', sha256: sum })
      expect(row.url_effective).toMatch(new RegExp(`/${mirror}$`))
      expect(sha256Of(ended.bytes(row.out))).toBe(sum)
    }
    // The checksum failed with the whole body of the first mirror: not a byte of it is used again.
    expect(
      ended.row(7).attempts.map(({ result, failure, resumed_from }) => [result, failure?.kind, resumed_from]),
    ).toEqual(expect.arrayContaining([['failed', 'checksum', 0]]))
  })

  test('a wait is due only when every mirror had its turn', async () => {
    const ended = await run({
      list: [server.url('/status/503/w1'), byName('/status/503/w2'), byName('/ok/w3')].join('\t'),
      args: [...QUICK, '--retry-delay', '1h'],
    })
    expect([ended.code, ended.row(1).attempts.map(({ wait_ms }) => wait_ms)]).toEqual([0, [0, 0, 0]])
  })

  test('[checksum] when no mirror has the right bytes, no file gets the name', async () => {
    const list = `${server.url('/ok/bad?seed=2')}\t${server.url('/ok/bad?seed=3')}\n  checksum=sha-256=${sum}`
    const ended = await run({ list, args: QUICK })
    expect([ended.code, ended.kind(1)]).toEqual([9, 'checksum'])
    expect(ended.seen).not.toContain('bad')
  })

  test('a host that is down loses its jobs to their mirrors elsewhere', async () => {
    const list = Array.from({ length: 12 }, (_, i) => `${dead(`e${i}`)}\t${server.url(`/ok/e${i}`)}`).join('\n')
    const ended = await run({ list, args: QUICK })
    expect([ended.code, ended.stderr]).toEqual([0, expect.not.stringContaining('failed')])
    expect(ended.report.totals).toMatchObject({ downloaded: 12 })
  })

  test('when every mirror fails, the last failure is told and each was tried --tries times', async () => {
    const list = `${server.url('/status/500/x1')}\t${byName('/status/502/x2')}`
    const ended = await run({ list, args: [...QUICK, '-t', '2'] })
    expect([ended.code, ended.row(1).attempts.length]).toEqual([8, 4])
    expect(ended.row(1).failure).toEqual({ kind: 'http-status', status: 502 })
    expect([...ended.seen].filter((name) => !name.includes('.part'))).toEqual([])
  })
})

describe('children that crash one like the other', () => {
  test('[stopped] five jobs in a row end the run: what runs is stopped, the rest is not started', async () => {
    const list = [
      server.url('/drip/slow?ms=100&size=1000'),
      ...Array.from({ length: 20 }, (_, i) => server.url(`/ok/c${i}`)),
    ].join('\n')
    const inject = Array.from({ length: 20 }, (_, i) => ['--inject', `segv@${i + 2}*`]).flat()
    const ended = await run({ list, args: [...PATIENT, '-j', '3', ...inject] })
    const reason = 'five different jobs in a row crashed alike (signal SIGSEGV)'
    // The crashes are a class of their own, and the lowest number wins.
    expect(ended.code).toBe(11)
    expect(ended.row(1)).toMatchObject({ outcome: 'cancelled', failure: { kind: 'stopped', reason } })
    expect(ended.row(1).reason).toBe(`stopped: ${reason}`)
    expect(ended.report.totals['not-started']).toBeGreaterThan(0)
    expect(ended.report.totals['downloaded']).toBe(0)
    const { jobs = 0, crashed = 0, cancelled = 0, failed = 0, 'not-started': notStarted = 0 } = ended.report.totals
    expect([jobs, crashed + cancelled + failed + notStarted]).toEqual([21, 21])
    expect(ended.stderr).toContain(`stopped early: ${reason}`)
    expect(ended.events.filter(({ type }) => type === 'stopping')).toHaveLength(1)
  })

  test('the same crashes with successes between them stop nothing', async () => {
    const list = Array.from({ length: 12 }, (_, i) => server.url(`/ok/s${i}`)).join('\n')
    const inject = [1, 2, 3, 5, 6, 7, 9, 10, 11].flatMap((line) => ['--inject', `segv@${line}*`])
    const ended = await run({ list, args: [...ONCE, '-j', '1', ...inject] })
    expect([ended.code, ended.report.totals['downloaded'], ended.report.totals['crashed']]).toEqual([11, 3, 9])
    expect(ended.events.some(({ type }) => type === 'stopping')).toBe(false)
  })
})
