// Proves what signals, deadlines and readers that go away do to a run. Knows nothing of faults on the wire.
import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, sha256Of, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram } from '../fixtures/servers.ts'
import { type Ended, firstOf, newHome, QUICK, type Running, run, start, stateOf, until } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

/** Nothing here may end for want of bytes. */
const PATIENT = [...QUICK, '-T', '20s', '--hang-timeout', '20s'] as const
const SIZE_BYTES = 100_000
/** Half of it at once, and no more until somebody gives up; at the second request the rest. */
const half = (name: string) => server.url(`/stall/${name}?times=1`)
const whole = sha256Of(bodyOf(SIZE_BYTES))

const send = (running: Running, signal: NodeJS.Signals) => process.kill(running.pid, signal)
const sizeIn = (running: Running, name: string) => {
  try {
    return readFileSync(`${running.home.out}/${name}`).length
  } catch {
    return 0
  }
}
const halfIsThere = (running: Running, name: string) =>
  until(`half of ${name} is there`, () => sizeIn(running, `${name}.part`) === SIZE_BYTES / 2)
const signalsOf = (ended: Ended) =>
  ended.events.flatMap((event) => (event.type === 'signal-sent' ? [event.signal] : []))

describe('a signal that ends the run', () => {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    test(`[cancelled] ${signal}: children joined, parts kept, report written, exit ${code}, and the next run goes on`, async () => {
      const names = [1, 2, 3, 4, 5].map((n) => `${signal}-${n}`)
      const home = newHome()
      const list = names.map((name, i) => (i < 2 ? half(name) : server.url(`/ok/${name}`))).join('\n')
      const failed = home.at('failed.txt')
      const running = start({ home, list, args: [...PATIENT, '-j', '2', '--failed-out', failed] })
      for (const name of names.slice(0, 2)) await halfIsThere(running, name)
      send(running, signal)
      const ended = await running.ended
      expect([ended.code, ended.signal]).toEqual([code, null])
      expect(ended.report).toMatchObject({
        exit_code: code,
        run: { signal },
        totals: { jobs: 5, cancelled: 2, 'not-started': 3, spawned: 2, reaped: 2 },
        not_started: [[3, 5]],
      })
      for (const line of [1, 2]) {
        const row = ended.row(line)
        expect(row).toMatchObject({
          outcome: 'cancelled',
          failure: { kind: 'cancelled', signal },
          kept: SIZE_BYTES / 2,
        })
        expect(row.reason).toBe(`cancelled by ${signal}`)
        expect(row.attempts).toMatchObject([{ signal: 'SIGTERM', signal_sent: 'SIGTERM', kill_reason: row.reason }])
        expect(ended.seen).not.toContain(row.out)
      }
      expect(ended.events.at(-1)).toMatchObject({ type: 'run-ended', signal })
      expect(ended.stderr).toMatch(/^mpdl: 5 = 2 cancelled \+ 3 not-started in /)
      expect(ended.stderr).toContain('lines 3-5 not started')
      expect(readFileSync(failed, 'utf8')).toBe(`${list}\n`)

      const next = await run({ home, list, args: PATIENT })
      expect([next.code, next.stderr]).toEqual([0, ''])
      for (const line of [1, 2])
        expect(next.row(line)).toMatchObject({ outcome: 'downloaded', resumed_from: SIZE_BYTES / 2 })
      for (const name of names) expect(sha256Of(next.bytes(name))).toBe(whole)
    })
  }

  test('asked twice, it waits for nobody any more', async () => {
    const list = server.url('/ok/stubborn')
    const slow = ['--kill-after', '10m', '--hang-timeout', '10m', '-T', '10m']
    const running = start({ list, args: [...slow, '--inject', 'ignore-term@1'] })
    await running.event('response')
    const pid = firstOf(running.children())
    await until('the child spins', () => processorMs(pid) > 500)
    send(running, 'SIGINT')
    await running.event('signal-sent', ({ signal }) => signal === 'SIGTERM')
    expect(stateOf(pid)).toBe('R')
    send(running, 'SIGINT')
    const ended = await running.ended
    expect([ended.code, signalsOf(ended)]).toEqual([130, ['SIGTERM', 'SIGKILL']])
    expect(ended.row(1)).toMatchObject({ outcome: 'cancelled', failure: { kind: 'cancelled', signal: 'SIGINT' } })
    expect(ended.row(1).attempts).toMatchObject([{ signal: 'SIGKILL' }])
  })

  test('a child that ignores SIGTERM gets SIGKILL after the grace without being asked twice', async () => {
    const running = start({ list: server.url('/ok/x'), args: [...PATIENT, '--inject', 'ignore-term@1'] })
    await running.event('response')
    const pid = firstOf(running.children())
    await until('the child spins', () => processorMs(pid) > 500)
    send(running, 'SIGTERM')
    const ended = await running.ended
    expect([ended.code, signalsOf(ended)]).toEqual([143, ['SIGTERM', 'SIGKILL']])
  })

  test('children that were stopped or crash at that moment are joined as well', async () => {
    const running = start({ list: [half('stop-1'), half('stop-2')].join('\n'), args: PATIENT })
    for (const name of ['stop-1', 'stop-2']) await halfIsThere(running, name)
    const first = firstOf(running.children())
    const second = firstOf(running.children().filter((pid) => pid !== first))
    process.kill(first, 'SIGSTOP')
    await until('it is stopped', () => stateOf(first) === 'T')
    process.kill(second, 'SIGSEGV')
    send(running, 'SIGINT')
    const ended = await running.ended
    expect(ended.code).toBe(130)
    expect(ended.report.totals).toMatchObject({ jobs: 2, spawned: 2, reaped: 2, downloaded: 0 })
  })

  test('a job that waits for its next attempt is not waited for, and tells what it failed of', async () => {
    const list = [server.url('/status/502/waits'), server.url('/status/500/too')].join('\n')
    const running = start({ list, args: ['--retry-delay', '1h'] })
    for (const line of [1, 2]) await running.event('retry-planned', (event) => event.line === line)
    send(running, 'SIGTERM')
    const ended = await running.ended
    expect(ended.code).toBe(143)
    expect(ended.row(1)).toMatchObject({ outcome: 'failed', failure: { kind: 'http-status', status: 502 } })
    expect(ended.row(2)).toMatchObject({ outcome: 'failed', failure: { kind: 'http-status', status: 500 } })
  })

  test('while the list is still being read a signal ends mpdl at once, and SIGUSR1 opens no debugger', async () => {
    /** Opening for writing succeeds as soon as there is a reader. */
    const startReading = async () => {
      const home = newHome()
      const fifo = home.at('fifo')
      execFileSync('mkfifo', [fifo])
      const running = start({ home, operands: [fifo], args: PATIENT })
      let writer = -1
      await until('the list is being read', () => {
        try {
          writer = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK)
          return true
        } catch {
          return false
        }
      })
      writeSync(writer, `${server.url('/ok/f')}\n`)
      return { running, writer }
    }
    const ending = await startReading()
    send(ending.running, 'SIGINT')
    const ended = await ending.running.ended
    closeSync(ending.writer)
    expect([ended.code, ended.signal, ended.stdout, ended.stderr]).toEqual([null, 'SIGINT', '', ''])
    expect([...ended.seen, ...ended.events]).toEqual([])

    const asking = await startReading()
    send(asking.running, 'SIGUSR1')
    closeSync(asking.writer)
    const finished = await asking.running.ended
    expect([finished.code, finished.stderr]).toEqual([0, ''])
  })
})

/** Processor time so far: what boots needs a tenth of a second, what spins takes all there is. */
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? []
  // The 14th field counts hundredths of a second.
  return Number(fields[11] ?? 0) * 10
}

describe('a signal that does not end the run', () => {
  test('SIGUSR1 prints the status of every download and disturbs none', async () => {
    const running = start({
      list: [server.url('/slow/u1?size=30000&rate=20000'), server.url('/slow/u2?size=30000&rate=20000')].join('\n'),
      args: [...PATIENT, '-j', '1'],
    })
    await running.event('response')
    send(running, 'SIGUSR1')
    await until('the status is there', () => running.stderr().includes('u1'))
    expect(running.stderr()).toMatch(/line 1 receiving .* of 29\.3 KiB .*pid \d+, for .*: u1$/m)
    const ended = await running.ended
    expect([ended.code, ended.stdout]).toEqual([0, ''])
    expect(ended.report.totals).toMatchObject({ downloaded: 2, retries: 0 })
  })

  test('Ctrl-Z puts the children to sleep and then mpdl; fg wakes all of them, and nothing was lost', async () => {
    const running = start({
      list: [server.url('/slow/z1?size=30000&rate=15000'), server.url('/slow/z2?size=30000&rate=15000')].join('\n'),
      args: PATIENT,
    })
    for (const line of [1, 2]) await running.event('response', (event) => event.line === line)
    const pids = running.children()
    expect(pids).toHaveLength(2)
    send(running, 'SIGTSTP')
    await until('all sleep', () => [running.pid, ...pids].every((pid) => stateOf(pid) === 'T'))
    const before = sizeIn(running, 'z1.part')
    expect(before).toBeLessThan(30_000)
    send(running, 'SIGCONT')
    await until('all are awake', () => [running.pid, ...pids].every((pid) => stateOf(pid) !== 'T'))
    const ended = await running.ended
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(ended.report.totals).toMatchObject({ downloaded: 2, retries: 0, spawned: 2 })
    for (const name of ['z1', 'z2']) expect(ended.bytes(name).equals(bodyOf(30_000))).toBe(true)
  })

  test('a supervisor that stood still for six seconds kills nobody for its own absence', async () => {
    // One ends meanwhile, one goes on, one is silent for longer than is allowed to who is watched.
    const running = start({
      list: [
        server.url('/ok/done'),
        server.url('/slow/during?size=20000&rate=10000'),
        server.url('/slow/beyond?size=80000&rate=10000'),
        server.url('/delay/silent?ms=7000'),
      ].join('\n'),
      args: [...QUICK, '-T', '2s', '--hang-timeout', '3s', '-t', '1'],
    })
    await running.event('response', ({ line }) => line === 3)
    await running.event('attempt-started', ({ line }) => line === 4)
    send(running, 'SIGSTOP')
    await until('it stands still', () => stateOf(running.pid) === 'T')
    // The length of the absence is what is tested, so it is a sleep and no event.
    await new Promise((resolve) => setTimeout(resolve, 6000))
    send(running, 'SIGCONT')
    const ended = await running.ended
    expect(ended.events.filter(({ type }) => type === 'suspended').length).toBeGreaterThan(0)
    expect(signalsOf(ended)).toEqual([])
    expect(ended.report.totals).toMatchObject({ downloaded: 4, retries: 0 })
    expect(ended.code).toBe(0)
  })
})

describe('a reader that goes away', () => {
  const list = () => [1, 2, 3, 4].map((n) => server.url(`/slow/r${n}?size=8000&rate=20000`)).join('\n')
  const bash = findProgram('bash')

  test.skipIf(bash === undefined)('| head -1 ends the output and no download', async () => {
    const pipe = 'set -o pipefail; "$@" 2>&1 | head -1'
    const wrap = [bash ?? '', '-c', pipe, 'bash']
    const ended = await run({ list: list(), args: [...PATIENT, '--progress', 'lines', '-v', '-j', '1'], wrap })
    expect([ended.code, ended.stdout.split('\n').length]).toEqual([0, 2])
    expect(ended.report.totals).toMatchObject({ downloaded: 4, retries: 0 })
  })

  test('both streams broken in the middle: everything is downloaded, and the report is written', async () => {
    const running = start({ list: list(), args: [...PATIENT, '--progress', 'lines', '-v', '-j', '2', '--json'] })
    await running.event('response')
    running.process.stdout?.destroy()
    running.process.stderr?.destroy()
    const ended = await running.ended
    expect(ended.code).toBe(0)
    expect(ended.report.totals).toMatchObject({ downloaded: 4 })
  })

  test('started with all three streams closed it works as well', async () => {
    const wrap = ['/bin/sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh']
    const ended = await run({ list: list(), args: [...PATIENT, '--progress', 'lines'], wrap })
    expect([ended.code, ended.stdout, ended.stderr]).toEqual([0, '', ''])
    expect(ended.report.totals).toMatchObject({ downloaded: 4 })
    for (const n of [1, 2, 3, 4]) expect(ended.bytes(`r${n}`).equals(bodyOf(8000))).toBe(true)
  })

  test('a reader that does not read holds no download up', async () => {
    // Each URL is in its row more than once: far more than a pipe holds.
    const pad = 'x'.repeat(60_000)
    const urls = Array.from({ length: 20 }, (_, n) => server.url(`/ok/${n}?size=10&pad=${pad}`))
    const running = start({ list: urls.join('\n'), args: [...PATIENT, '--json', '-j', '8'] })
    running.process.stdout?.pause()
    await running.event('run-ended')
    expect(running.events().filter(({ type }) => type === 'job-ended')).toHaveLength(20)
    running.process.stdout?.resume()
    const ended = await running.ended
    expect(ended.code).toBe(0)
    expect(JSON.parse(ended.stdout).jobs).toHaveLength(20)
  })
})

describe('deadlines', () => {
  test('[run-deadline] ends the whole run: what runs is killed, what has not started is not started', async () => {
    const list = [server.url('/ok/quick'), half('slow-1'), half('slow-2'), half('never-1'), half('never-2')].join('\n')
    const ended = await run({ list, args: [...PATIENT, '-j', '2', '--run-deadline', '2s'] })
    expect(ended.report.totals).toMatchObject({ jobs: 5, downloaded: 1, killed: 2, 'not-started': 2 })
    for (const line of [2, 3]) {
      const row = ended.row(line)
      expect(row).toMatchObject({ outcome: 'killed', failure: { kind: 'run-deadline', afterMs: 2000 }, kept: 50_000 })
      expect(row.reason).toBe('the run ended after 2s (--run-deadline)')
      expect(row.attempts).toHaveLength(1)
    }
    expect(ended.code).toBe(12)
    expect(ended.report.not_started).toEqual([[4, 5]])
    expect(ended.stderr).toContain('stopped early: the run ended after 2s (--run-deadline)')
    expect(ended.files).toEqual(['quick', 'slow-1.part', 'slow-1.part.json', 'slow-2.part', 'slow-2.part.json'])
    expect(ended.ms).toBeLessThan(10_000)
  })

  test('[deadline] ends a job whatever it does: transfers, waits for its next attempt, or waits for its host', async () => {
    const list = [
      server.url('/drip/running?ms=50&size=1000'),
      '  deadline=900ms',
      server.url('/status/500/waiting'),
      '  deadline=1s',
      server.url('/status/503/paused?retry-after=2').replace('127.0.0.1', 'localhost'),
      '  deadline=30s',
      server.url('/truncated/again?at=10'),
      server.url('/ok/fine'),
    ].join('\n')
    const stubborn = ['-t', '1000', '--retry-delay', '400ms', '--retry-after-max', '1s']
    const ended = await run({ list, args: [...PATIENT, ...stubborn, '--deadline', '1500ms'] })
    expect(ended.row(1)).toMatchObject({ outcome: 'killed', failure: { kind: 'deadline', afterMs: 900 } })
    expect(ended.row(1).reason).toBe('DEADLINE not done within 900ms (--deadline)')
    expect(ended.row(1).attempts).toHaveLength(1)
    expect(ended.row(3).time_total).toBeLessThan(3)
    // A wait that would pass the deadline is not begun: then the job tells what it failed of.
    expect(['deadline', 'http-status']).toContain(ended.kind(3))
    expect(ended.kind(5)).toBe('try-later')
    expect(['deadline', 'truncated']).toContain(ended.kind(7))
    expect(ended.row(7).time_total).toBeLessThan(4)
    expect(ended.row(8).outcome).toBe('downloaded')
    expect([...ended.seen].filter((name) => !name.includes('.part'))).toEqual(['fine'])
  })
})
