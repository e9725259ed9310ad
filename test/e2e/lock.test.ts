// Proves that a list is downloaded into a directory by one run at a time, what the others say, and that nobody else is
// kept waiting. Knows nothing of how the lock is made.
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { localTime } from '../../src/core/local-time.ts'
import { detectHardening } from '../../src/isolation/hardening.ts'
import { bodyOf } from '../fixtures/fault-server.ts'
import { type Ended, type Home, newHome, proc, type Running, run, start, until } from './run-mpdl.ts'

const BODY = bodyOf(100_000)
const PATIENT = ['-T', '10m', '--kill-after', '200ms'] as const

/** Answers with half a body, and with the rest when the gate is opened. */
async function startGate() {
  let gate = Promise.withResolvers<void>()
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    response.writeHead(200, { 'content-length': BODY.length })
    response.write(BODY.subarray(0, BODY.length / 2))
    void gate.promise.then(() => response.end(BODY.subarray(BODY.length / 2)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address: AddressInfo | string | null = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  const { port } = address
  return {
    asked,
    url: (name: string) => `http://127.0.0.1:${port}/${name}`,
    open: () => gate.resolve(),
    shut: () => {
      gate = Promise.withResolvers<void>()
      asked.length = 0
    },
    stop: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

let gate: Awaited<ReturnType<typeof startGate>>
let home: Home
let list: string
beforeAll(async () => {
  gate = await startGate()
})
afterAll(() => gate.stop())
beforeEach(() => {
  gate.shut()
  home = newHome()
  list = ['a', 'b', 'c'].map((name) => `${gate.url(name)}\n`).join('')
  writeFileSync(home.list, list)
})

/** Another person's terminal: the same list, directory and state, so that what is left of one run is told from others. */
const beside = (): Home => ({ ...newHome(), out: home.out, state: home.state, list: home.list, logs: home.logs })

const again = (args: readonly string[] = [], options: Parameters<typeof run>[0] = {}): Promise<Ended> =>
  run({ home: beside(), operands: [home.list], args: [...PATIENT, ...args], hasNoReport: true, ...options })

/** A run that goes on until the gate is opened. */
async function first(args: readonly string[] = []): Promise<Running> {
  const own = ['-H', 'X-Token: hunter2', '-d', home.out, '--log-dir', home.logs]
  const running = start({ home, isBare: true, args: [...own, ...PATIENT, ...args, home.list] })
  await running.event('response')
  return running
}

async function expectWhole(running: Running): Promise<void> {
  gate.open()
  const ended = await running.ended
  expect([ended.code, ended.stderr, ended.files]).toEqual([0, '', ['a', 'b', 'c']])
  for (const name of ended.files) expect(ended.bytes(name).equals(BODY), name).toBe(true)
}

describe.runIf(detectHardening().flock !== undefined)('while a run goes on', () => {
  let going: Running
  const who = () =>
    `by another run \\(pid ${going.pid}, started \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d: mpdl -H X-Token: \\*{3} -d .*\\)`
  beforeEach(async () => {
    going = await first()
  })

  test('a second one exits 75 with one line that says who, since when, how, and what to do', async () => {
    const ended = await again()
    const { started } = await going.event('run-started').then(({ run }) => run)
    const command = `mpdl -H X-Token: *** -d ${home.out} --log-dir ${home.logs} ${PATIENT.join(' ')} ${home.list}`
    const told = `pid ${going.pid}, started ${localTime(started)}: ${command.slice(0, 99)}`
    const line = `mpdl: ${home.list} is being downloaded into ${home.out} by another run (${told}`
    expect([ended.code, ended.stdout]).toEqual([75, ''])
    expect(ended.stderr.slice(0, line.length)).toBe(line)
    expect(ended.stderr).toMatch(/^[^\n]*; wait for it with --lock-wait DUR\n$/)
    expect(ended.stderr).not.toContain('hunter2')
    expect(readdirSync(home.logs)).toHaveLength(1)
    await expectWhole(going)
    expect(gate.asked.toSorted()).toEqual(['/a', '/b', '/c'])
  })

  test('the same list and directory by other ways are the same', async () => {
    symlinkSync(home.list, home.at('link.txt'))
    symlinkSync(home.out, home.at('out-link'))
    const options = { isBare: true, operands: [] }
    for (const args of [
      ['-d', home.at('out-link'), home.at('link.txt')],
      ['-d', `../${home.root.split('/').at(-1)}/out/`, `../${home.root.split('/').at(-1)}/./list.txt`],
      ['get', `--dir=${home.out}`, home.list],
    ]) {
      const ended = await again([], { ...options, args })
      expect([args[0], ended.code]).toEqual([args[0], 75])
      expect(ended.stderr).toMatch(new RegExp(`^mpdl: .* ${who()}; wait for it with --lock-wait DUR\n$`))
    }
    await expectWhole(going)
  })

  test('one that keeps its state elsewhere is refused each part, and to retry them is to wait', async () => {
    const blind = await again([], { env: { XDG_STATE_HOME: home.at('elsewhere') } })
    expect([blind.code, blind.events.filter(({ type }) => type === 'job-ended')]).toMatchObject([
      3,
      [1, 2, 3].map(() => ({ row: { failure: { kind: 'locked', pid: going.pid } } })),
    ])
    const ended = await again([], { isBare: true, operands: [], args: ['retry-failed', '--log-dir', home.logs] })
    expect([ended.code, ended.stderr]).toEqual([75, expect.stringMatching(new RegExp(who()))])
    await expectWhole(going)
  })

  test('another list, another directory, standard input and a plan are not kept from it', async () => {
    const [otherList, otherDir] = [home.at('other.txt'), home.at('elsewhere')]
    writeFileSync(otherList, gate.url('other'))
    mkdirSync(otherDir)
    const runs = [
      again([], { operands: [otherList] }),
      again([], { home: { ...beside(), out: otherDir } }),
      again([], { operands: ['-'], stdin: gate.url('piped') }),
      again([], { operands: [gate.url('typed')] }),
    ]
    expect((await again(['--dry-run'])).code).toBe(0)
    await until('all others have asked', () => gate.asked.length >= 3 + 1 + 3 + 1 + 1)
    gate.open()
    for (const ended of await Promise.all(runs)) expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect((await going.ended).code).toBe(0)
  })

  test('kill -9 frees the list at once, and the next run goes on', async () => {
    going.process.kill('SIGKILL')
    await going.ended
    gate.open()
    const ended = await again()
    expect([ended.code, ended.stderr, ended.files]).toEqual([0, '', ['a', 'b', 'c']])
  })

  test('--lock-wait waits for its end', async () => {
    const waiting = start({
      home: beside(),
      operands: [home.list],
      args: [...PATIENT, '--lock-wait', '10m'],
      hasNoReport: true,
    })
    await asksForLock(waiting)
    gate.open()
    // The second is at work as soon as the first is done, so what is there is looked at when both are.
    const [before, after] = await Promise.all([going.ended, waiting.ended])
    for (const { code, stderr } of [before, after]) expect([code, stderr]).toEqual([0, ''])
    expect(after.files).toEqual(['a', 'b', 'c'])
    for (const name of after.files) expect(after.bytes(name).equals(BODY), name).toBe(true)
  })

  test.each([
    ['--lock-wait', ['--lock-wait', '400ms']],
    ['--run-deadline', ['--lock-wait', '10m', '--run-deadline', '400ms']],
  ])('who waits in vain says so, and that it was %s', async (option, args) => {
    const ended = await again(args)
    expect(ended.code).toBe(75)
    const told = `^mpdl: .* ${who()}; waited for it 400ms \\(${option}\\); nothing was downloaded\n$`
    expect(ended.stderr).toMatch(new RegExp(told))
    await expectWhole(going)
  })

  test.each(['SIGTERM', 'SIGINT'] as const)('%s ends who waits at once', async (signal) => {
    const waiting = start({
      home: beside(),
      operands: [home.list],
      args: [...PATIENT, '--lock-wait', '10m'],
      hasNoReport: true,
    })
    await asksForLock(waiting)
    waiting.process.kill(signal)
    // To a shell this is 128 and the signal's number.
    expect(await waiting.ended).toMatchObject({ code: null, signal, stderr: '', stdout: '' })
    expect((await again()).stderr).toMatch(new RegExp(who()))
    await expectWhole(going)
  })

  /** Resolves when it has been seen to try. */
  async function asksForLock({ pid }: Running): Promise<void> {
    const isAsking = () => childrenOf(pid).some((child) => proc(child, 'cmdline').includes('flock'))
    while (!isAsking()) await new Promise((resolve) => setImmediate(resolve))
  }
})

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number)
}

test.runIf(detectHardening().flock !== undefined)(
  'of ten at once one works, and nine are gone soon after a start-up',
  async () => {
    // At the same time, so that the machine is as busy for these as for those.
    const versions = Array.from({ length: 10 }, () => run({ home: beside(), isBare: true, args: ['--version'] }))
    await contest(10, async (losers) => {
      const slowestMs = Math.max(...(await Promise.all(versions)).map(({ ms }) => ms))
      for (const { ms } of losers) expect(ms).toBeLessThan(3 * slowestMs + 500)
    })
  },
)

test.runIf(detectHardening().flock !== undefined)('of twenty over the words of a killed run one works', async () => {
  const killed = await first()
  killed.process.kill('SIGKILL')
  await killed.ended
  const [lock = ''] = readdirSync(join(home.state, 'mpdl', 'locks'))
  expect(readFileSync(join(home.state, 'mpdl', 'locks', lock), 'utf8')).toContain(`"pid":${killed.pid},`)
  gate.shut()
  await contest(20)
})

/** All at once; one of them works until the gate is opened. */
async function contest(runs: number, onLosers: (losers: readonly Ended[]) => unknown = () => {}): Promise<void> {
  const all = Array.from({ length: runs }, () =>
    start({ home: beside(), operands: [home.list], args: PATIENT, hasNoReport: true, hasNoLog: true }),
  )
  const losers: Ended[] = []
  for (const { ended } of all) void ended.then((each) => losers.push(each)).catch(() => {})
  await until('all but one have ended', () => losers.length >= runs - 1)
  await onLosers(losers)
  for (const { code, stderr } of losers) {
    expect(code).toBe(75)
    expect(stderr).toMatch(
      /^mpdl: .* is being downloaded into .* by another run.*; wait for it with --lock-wait DUR\n$/,
    )
  }
  gate.open()
  const [winner, ...more] = (await Promise.all(all.map(({ ended }) => ended))).filter(({ code }) => code === 0)
  expect([winner?.files, more]).toEqual([['a', 'b', 'c'], []])
  for (const name of ['a', 'b', 'c']) expect(winner?.bytes(name).equals(BODY), name).toBe(true)
  expect(gate.asked.toSorted()).toEqual(['/a', '/b', '/c'])
}

test('the lock is held until the program of --on-finish has ended', async () => {
  const program = home.at('finish')
  const [began, go] = [home.at('began'), home.at('go')]
  writeFileSync(program, `#!/bin/sh\n: > ${began}\nuntil [ -e ${go} ]; do sleep 0.02; done\n`)
  chmodSync(program, 0o755)
  const going = await first(['--on-finish', program])
  gate.open()
  await until('the program runs', () => existsSync(began))
  expect((await again()).code).toBe(75)
  writeFileSync(go, '')
  expect((await going.ended).code).toBe(0)
  expect((await again()).code).toBe(0)
})

test('without a place for the lock the run goes on and says so', async () => {
  gate.open()
  writeFileSync(home.state, '')
  const ended = await run({ home, operands: [home.list] })
  expect(ended.files).toEqual(['a', 'b', 'c'])
  expect(ended.stderr).toContain('another run of this list could begin meanwhile: ')
})
