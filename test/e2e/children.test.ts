// Proves what becomes of children that crash, hang, lie or cannot be started. Knows nothing of bad servers.
import { execFileSync } from 'node:child_process'
import { chownSync, copyFileSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FAULTS } from '../../src/core/fault.ts'
import { PROTOCOL_VERSION } from '../../src/protocol/message.ts'
import { bodyOf, type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram } from '../fixtures/servers.ts'
import { type Ended, firstOf, newHome, ONCE, PROGRAM, QUICK, run, start, stateOf, until } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

const lines = (n: number, path = '/ok') =>
  Array.from({ length: n }, (_, i) => server.url(`${path}/f${i + 1}`)).join('\n')

describe('a rehearsed failure', () => {
  // A full heap takes its time, which this run's --hang-timeout does not give it; it has a test of its own.
  const kinds = Object.keys(FAULTS).filter((fault) => !fault.startsWith('oom'))
  const all = kinds.length
  let once: Ended
  let healed: Ended
  const lineOf = (fault: string) => kinds.indexOf(fault) + 1

  beforeAll(async () => {
    // All at once and one of a kind: five different jobs that crash alike would stop the run.
    const list = lines(kinds.length)
    const inject = kinds.flatMap((kind, i) => ['--inject', `${kind}@${i + 1}`])
    const args = [...inject, '--max-memory', '512M', '--connect-timeout', '5s', '-T', '3s']
    const times = ['--hang-timeout', '2s', '--kill-after', '200ms', '--retry-delay', '10ms']
    ;[once, healed] = [
      await run({ list, args: [...args, ...times, '-t', '1', '-j', '12'] }),
      await run({ list, args: [...args, ...times, '-t', '2', '-j', '12'] }),
    ]
  })

  const expected: readonly (readonly [name: string, fault: string, kind: string, outcome: string, says: RegExp])[] = [
    ['[hang] an endless loop', 'spin', 'hang', 'killed', /^HUNG no heartbeat for 2s$/],
    ['[hang] an endless loop that ignores SIGTERM', 'ignore-term', 'hang', 'killed', /^HUNG no heartbeat for 2s$/],
    ['[hang] a child that stops itself', 'stop', 'hang', 'killed', /^HUNG no heartbeat for 2s$/],
    ['[hang] a call into native code', 'hang-native', 'hang', 'killed', /^HUNG no heartbeat for 2s$/],
    [
      '[stall] a full thread pool, with the heart still beating',
      'pool-stuck',
      'stall',
      'killed',
      /^STALLED .* for 3s$/,
    ],
    ['[crash-signal] SIGSEGV', 'segv', 'crash-signal', 'crashed', /^CRASHED the child died of SIGSEGV$/],
    ['[crash-signal] abort()', 'abort', 'crash-signal', 'crashed', /^CRASHED the child died of SIGABRT$/],
    ['[memory] memory that V8 does not see', 'leak', 'memory', 'killed', /^MEMORY the child held .* \(--max-memory\)$/],
    [
      '[exit-without-result] exit code 0',
      'exit0',
      'exit-without-result',
      'crashed',
      /left with exit code 0 and without/,
    ],
    [
      '[exit-without-result] exit code 3',
      'exit3',
      'exit-without-result',
      'crashed',
      /left with exit code 3 and without/,
    ],
    [
      '[garbled] bytes that are no message',
      'garbage',
      'garbled',
      'killed',
      /^GARBLED the child sent what is no message/,
    ],
    ['[child-error] an error', 'error', 'child-error', 'crashed', /^CRASHED the child failed inside: Error at /],
    [
      '[exit-without-result] an error in a callback',
      'throw',
      'exit-without-result',
      'crashed',
      /exit code 1 and without/,
    ],
    [
      '[exit-without-result] a rejection nobody handles',
      'rejection',
      'exit-without-result',
      'crashed',
      /exit code 1 and without/,
    ],
    ['[stall] no descriptors left', 'descriptors', 'stall', 'killed', /^STALLED .* for 3s$/],
    ['[flood] messages without end', 'flood', 'flood', 'killed', /^FLOOD the child sent \d+ messages in a second$/],
  ]

  test('every fault that can be rehearsed is rehearsed here', () => {
    expect(expected.map(([, fault]) => fault).sort()).toEqual([...kinds].sort())
  })

  for (const [name, fault, kind, outcome, says] of expected) {
    test(`${name} (--inject ${fault})`, () => {
      const row = once.row(lineOf(fault))
      expect([row.failure, row.outcome, row.size]).toEqual([expect.objectContaining({ kind }), outcome, null])
      expect(row.reason).toMatch(says)
      expect(once.seen).not.toContain(row.out)
    })
  }

  test('a child that ignores SIGTERM gets SIGKILL after the grace, a stopped one at once', () => {
    const signalsOf = (fault: string) =>
      once.events.flatMap((event) =>
        event.type === 'signal-sent' && event.line === lineOf(fault) ? [event.signal] : [],
      )
    expect(signalsOf('ignore-term')).toEqual(['SIGTERM', 'SIGKILL'])
    expect(signalsOf('stop')).toEqual(['SIGKILL'])
    // Native code does not stop the kernel: without a handler SIGTERM works at once.
    expect(signalsOf('spin')).toEqual(['SIGTERM'])
    expect(signalsOf('hang-native')).toEqual(['SIGTERM'])
  })

  test('killed counts before crashed, and every child is joined', () => {
    expect(once.code).toBe(10)
    expect(once.report.totals).toMatchObject({ killed: 9, crashed: 7, downloaded: 0, spawned: all, reaped: all })
  })

  test('[threat:child-killed] a second attempt heals every one of them, and the run says nothing', () => {
    expect(healed.report.totals).toMatchObject({ downloaded: all, spawned: 2 * all, reaped: 2 * all, retries: all })
    expect([healed.code, healed.stdout, healed.stderr]).toEqual([0, '', ''])
    for (const row of healed.report.jobs) {
      expect(row.attempts.map(({ result }) => result)).toEqual(['failed', 'done'])
      expect(row.attempts[0]?.pid).not.toBe(row.attempts[1]?.pid)
      expect(healed.bytes(row.out).equals(bodyOf(100_000))).toBe(true)
    }
  })
})

test('[memory] an array of twice the heap is ended by V8 or by the watch, whichever sees it first', async () => {
  const ended = await run({ operands: [server.url('/ok/f')], args: ['-t', '1', '--inject', 'oom-array@1'] })
  expect(['out-of-memory', 'memory']).toContain(ended.kind(1))
  expect(ended.seen).not.toContain('f')
})

test('[out-of-memory] a full heap is told apart from abort() by its last words (--inject oom)', async () => {
  const args = ['--inject', 'oom@1', '--max-memory', '512M', '-t', '1']
  const ended = await run({ operands: [server.url('/ok/f')], args })
  const row = ended.row(1)
  expect(row).toMatchObject({
    outcome: 'crashed',
    failure: { kind: 'out-of-memory' },
    attempts: [{ signal: 'SIGABRT' }],
  })
  expect(row.reason).toMatch(/^CRASHED the child ran out of memory \(--max-memory 512\.0 MiB\)$/)
  expect(row.attempts[0]?.stderr).toContain('heap out of memory')
  expect(ended.code).toBe(11)
  expect(ended.seen).not.toContain('f')
})

describe('a signal from outside', () => {
  test('[threat:child-killed] SIGKILL, SIGSEGV, SIGSTOP and SIGTERM hit one job each and no other', async () => {
    const running = start({
      list: lines(5, '/slow').replaceAll(/(f\d)/g, '$1?size=30000&rate=15000'),
      args: ['-T', '5s', '--hang-timeout', '2s', '--kill-after', '200ms', '-t', '1'],
    })
    const signals = ['SIGKILL', 'SIGSEGV', 'SIGSTOP', 'SIGTERM'] as const
    for (const [i, signal] of signals.entries()) {
      await running.event('response', ({ line }) => line === i + 1)
      const { pid } = await running.event('attempt-started', ({ line }) => line === i + 1)
      process.kill(firstOf([pid]), signal)
    }
    const ended = await running.ended
    expect(ended.row(1).failure).toEqual({ kind: 'crash-signal', signal: 'SIGKILL' })
    expect(ended.row(2).failure).toEqual({ kind: 'crash-signal', signal: 'SIGSEGV' })
    expect(ended.row(3)).toMatchObject({ outcome: 'killed', failure: { kind: 'hang' } })
    expect(ended.row(4).failure).toEqual({ kind: 'crash-signal', signal: 'SIGTERM' })
    expect(ended.row(5)).toMatchObject({ outcome: 'downloaded', num_retries: 0 })
    expect(ended.bytes('f5').equals(bodyOf(30_000))).toBe(true)
    expect(ended.code).toBe(10)
    expect(ended.files.filter((name) => /^f\d$/.test(name))).toEqual(['f5'])
  })

  test('a child stopped and woken again in time goes on', async () => {
    const running = start({
      operands: [server.url('/slow/f?size=20000&rate=20000')],
      args: ['-T', '5s', '--hang-timeout', '10s'],
    })
    await running.event('response')
    const pid = firstOf(running.children())
    process.kill(pid, 'SIGSTOP')
    await until('the child is stopped', () => stateOf(pid) === 'T')
    process.kill(pid, 'SIGCONT')
    const ended = await running.ended
    expect(ended.row(1)).toMatchObject({ outcome: 'downloaded', num_retries: 0 })
  })

  test('[threat:endless] a child whose supervisor sleeps takes no more of the body than fits a small buffer', async () => {
    const sizeBytes = 200_000_000
    const running = start({ operands: [server.url(`/delay/f?ms=500&size=${sizeBytes}`)], args: ['-T', '20s'] })
    const pid = firstOf([(await running.event('attempt-started')).pid])
    await until('the request has arrived', () => server.hits('/delay/f') === 1)
    process.kill(running.pid, 'SIGSTOP')
    const residentBytes = () =>
      Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) * 1024
    const idleBytes = residentBytes()
    let mostBytes = 0
    // The answer comes after half a second; two more would be enough for all of it.
    for (let look = 0; look < 25; look++) {
      await sleep(100)
      mostBytes = Math.max(mostBytes, residentBytes())
    }
    process.kill(running.pid, 'SIGCONT')
    const ended = await running.ended
    expect(mostBytes - idleBytes).toBeLessThan(30_000_000)
    expect(ended.row(1)).toMatchObject({ outcome: 'downloaded', size: sizeBytes, num_retries: 0 })
    expect(ended.bytes('f').equals(bodyOf(sizeBytes))).toBe(true)
  })

  test('[length] a part that somebody shortens behind the child is not taken for whole', async () => {
    const running = start({ operands: [server.url('/slow/f?size=20000&rate=20000')], args: ONCE })
    await running.event('response')
    const part = join(running.home.out, 'f.part')
    // While the supervisor sleeps the child ends, and its last word waits beside a part that is cut meanwhile.
    process.kill(running.pid, 'SIGSTOP')
    await until('the child has written all', () => statSync(part).size === 20_000)
    truncateSync(part, 7000)
    process.kill(running.pid, 'SIGCONT')
    const ended = await running.ended
    expect(ended.row(1)).toMatchObject({
      outcome: 'failed',
      failure: { kind: 'length', expectedBytes: 20_000, actualBytes: 7000 },
    })
    expect(ended.row(1).reason).toBe('6.84 KiB on disk, 19.5 KiB announced')
    expect(ended.code).toBe(9)
    expect(ended.seen).not.toContain('f')
  })
})

describe.concurrent('a child bundle that is broken', () => {
  /** The real supervisor beside a child of the test's own making. */
  const withChild = (source: string) => {
    const home = newHome()
    const dist = home.at('dist')
    mkdirSync(dist)
    for (const name of ['main.js', 'mpdl.js', 'child-faults.cjs'])
      copyFileSync(join(PROGRAM, '..', name), join(dist, name))
    writeFileSync(join(dist, 'child.cjs'), source)
    return { home, program: join(dist, 'main.js') }
  }
  const say = (...messages: readonly object[]) =>
    messages.map((message) => `require('fs').writeSync(3, ${JSON.stringify(`${JSON.stringify(message)}\n`)});`).join('')
  /** Waits for a command: whoever leaves with one unread makes the kernel drop what was said before. */
  const hear = "require('fs').readSync(3, Buffer.alloc(65536));"
  const ready = say({ type: 'ready', version: PROTOCOL_VERSION }) + hear

  test('[child-error] an error inside the child is told without its message', async () => {
    const detail = 'TypeError at request (child.cjs:1:2)'
    const { home, program } = withChild(ready + say({ type: 'failed', failure: { kind: 'child-error', detail } }))
    const ended = await run({ home, program, operands: [server.url('/ok/f')], args: ONCE })
    expect(ended.row(1)).toMatchObject({ outcome: 'crashed', failure: { kind: 'child-error' } })
    expect(ended.row(1).reason).toBe('CRASHED the child failed inside: TypeError at request (child.cjs:1:2)')
    expect(ended.code).toBe(11)
  })

  test('[garbled] a child of another version is not believed', async () => {
    const { home, program } = withChild(
      `${say({ type: 'ready', version: PROTOCOL_VERSION + 1 })}setInterval(() => {}, 1000)`,
    )
    const ended = await run({ home, program, operands: [server.url('/ok/f')], args: ONCE })
    expect(ended.row(1).reason).toContain(`protocol ${PROTOCOL_VERSION + 1}, not ${PROTOCOL_VERSION}`)
  })

  test('a child that claims more bytes than it wrote is not believed', async () => {
    const head = { type: 'head', status: 200, headers: [['content-length', '10']], remoteAddress: null, timings: {} }
    const { home, program } = withChild(ready + say(head) + hear + say({ type: 'done', bytes: 10 }))
    const ended = await run({ home, program, operands: [server.url('/ok/f')], args: ONCE })
    expect(ended.row(1)).toMatchObject({
      outcome: 'failed',
      failure: { kind: 'length', expectedBytes: 10, actualBytes: 0 },
    })
    expect(ended.seen).not.toContain('f')
  })

  test('a child that claims to be done before it was told to receive writes no file', async () => {
    const { home, program } = withChild(ready + say({ type: 'done', bytes: 0 }))
    const ended = await run({ home, program, operands: [server.url('/ok/f')], args: ONCE })
    expect(ended.row(1).outcome).not.toBe('downloaded')
    expect(ended.seen).not.toContain('f')
    expect(ended.code).not.toBe(0)
  })

  test('a child that cannot be parsed is a crash with its last words', async () => {
    const { home, program } = withChild('this is no JavaScript')
    const ended = await run({ home, program, operands: [server.url('/ok/f')], args: ONCE })
    expect(ended.row(1)).toMatchObject({ outcome: 'crashed', failure: { kind: 'exit-without-result', exitCode: 1 } })
    expect(ended.row(1).attempts[0]?.stderr).toContain('SyntaxError')
  })

  test('[boot-timeout] a child that never says a word is ended', async () => {
    const { home, program } = withChild('setInterval(() => {}, 1000)')
    const ended = await run({ home, program, operands: [server.url('/ok/f')], args: ONCE })
    expect(ended.row(1)).toMatchObject({ outcome: 'killed', failure: { kind: 'boot-timeout', afterMs: 15_000 } })
    expect(ended.row(1).reason).toBe('BOOT the child did not report within 15s')
    expect(ended.code).toBe(10)
  })

  test('a child that is done and does not leave is helped out, and its file counts', async () => {
    const body = 'hello'
    const head = { type: 'head', status: 200, headers: [['content-length', '5']], remoteAddress: null, timings: {} }
    const { home, program } = withChild(
      `${ready}${say(head)}
      new (require('net').Socket)({ fd: 3 }).on('data', (text) => {
        if (!String(text).includes('receive')) return
        require('fs').writeSync(0, '${body}', 0)
        ${say({ type: 'done', bytes: 5 })}
      }); setInterval(() => {}, 1000)`,
    )
    const ended = await run({ home, program, operands: [server.url('/ok/f')], args: ONCE })
    expect(ended.row(1)).toMatchObject({
      outcome: 'downloaded',
      size: 5,
      attempts: [{ lingered: true, signal: 'SIGTERM' }],
    })
    expect(ended.code).toBe(0)
  })
})

const setpriv = findProgram('setpriv')
const prlimit = findProgram('prlimit')
const canBeAnother = process.getuid?.() === 0 && setpriv !== undefined && prlimit !== undefined
describe.skipIf(!canBeAnother)('no more processes', () => {
  test('[spawn] [threat:out-of-pids] a machine that starts no more children stops the run with 71', async () => {
    const home = newHome()
    // The kernel does not hold root to this limit.
    const user = 64_017
    const asUser = [setpriv ?? '', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--'] as const
    for (const path of [home.root, home.out]) chownSync(path, user, user)
    const running = start({
      home,
      list: `${server.url('/ok/f0')}\n${lines(9, '/slow').replaceAll(/(f\d)/g, '$1?size=5000&rate=10000')}`,
      args: [...QUICK, '-j', '1'],
      wrap: asUser,
    })
    await running.event('job-ended')
    const [first, ...rest] = [...asUser, prlimit ?? '', `--pid=${running.pid}`, '--nproc=1']
    execFileSync(first, rest)
    const ended = await running.ended
    expect(ended.report.jobs.at(-1)).toMatchObject({ outcome: 'failed', failure: { kind: 'spawn', code: 'EAGAIN' } })
    expect(ended.code).toBe(71)
    expect(ended.stderr).toMatch(/stopped early: five different jobs in a row had no child \(cannot start:\s+EAGAIN\)/)
    expect(ended.stderr).toMatch(/\nlines \d+-10 not started\n/)
    expect(ended.bytes('f0').equals(bodyOf(100_000))).toBe(true)
    const downloaded = ended.report.jobs.filter(({ outcome }) => outcome === 'downloaded').map(({ out }) => out)
    expect(
      ended.files.filter((name) => !name.includes('.part')),
      'no file that is not whole',
    ).toEqual(downloaded.sort())
  })
})
