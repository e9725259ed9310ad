// Proves the promise against a real server: every line its own child, every child joined, every byte right.
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, sha256Of } from '../fixtures/fault-server.ts'
import { findProgram, type NginxServer, requireServer, startNginx } from '../fixtures/servers.ts'
import { type Ended, firstOf, newHome, QUICK, run, start, stateOf, until } from './run-mpdl.ts'

const FILES = 100
const nameOf = (line: number) => `form-${line}.pdf`
const contentOf = (line: number) => bodyOf(20_000 + line * 997, line)

const canRun = requireServer('nginx', findProgram('nginx'))

describe.skipIf(!canRun)('against nginx', () => {
  let nginx: NginxServer
  let root: string
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'mpdl-e2e-www-'))
    mkdirSync(join(root, 'slow'))
    for (let line = 1; line <= FILES; line++) {
      writeFileSync(join(root, nameOf(line)), contentOf(line))
      if (line <= 5) writeFileSync(join(root, 'slow', nameOf(line)), contentOf(line))
    }
    nginx = await startNginx({ root, extraConf: 'location /slow/ { limit_rate 20k; }' })
  })
  afterAll(async () => {
    await nginx?.stop()
    rmSync(root, { recursive: true, force: true })
  })

  const expectAllRight = (ended: Ended, count: number) => {
    const names = Array.from({ length: count }, (_, i) => nameOf(i + 1))
    expect(ended.files).toEqual(names.toSorted())
    for (const [i, name] of names.entries()) expect(sha256Of(ended.bytes(name))).toBe(sha256Of(contentOf(i + 1)))
  }
  const list = (count: number) => Array.from({ length: count }, (_, i) => `${nginx.url}/${nameOf(i + 1)}\n`).join('')

  test('five URLs: five processes, five files, exit code 0 and not a word', async () => {
    const running = start({ list: list(5), args: ['--max-per-host', '5'] })
    const pids = await Promise.all(
      [1, 2, 3, 4, 5].map(async (line) => (await running.event('attempt-started', (event) => event.line === line)).pid),
    )
    const ended = await running.ended
    expect(new Set(pids).size).toBe(5)
    expect(pids).not.toContain(running.pid)
    expect([ended.code, ended.stdout, ended.stderr]).toEqual([0, '', ''])
    expectAllRight(ended, 5)
    expect(ended.report.totals).toMatchObject({ jobs: 5, downloaded: 5, spawned: 5, reaped: 5, retries: 0 })
    for (const row of ended.report.jobs) expect(row).toMatchObject({ proof: 'length', http_code: 200 })
  })

  test('the checksums of the list are checked, each in a child of its own', async () => {
    const hex = (line: number) => createHash('sha256').update(contentOf(line)).digest('hex')
    const lines = [1, 2, 3].map((line) => `${hex(line)}  ${nginx.url}/${nameOf(line)}\n`).join('')
    const ended = await run({ list: lines })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    for (const line of [1, 2, 3]) {
      const row = ended.row(line)
      expect(row).toMatchObject({ proof: 'length+checksum', sha256: hex(line) })
      const [fetched, hashed] = row.attempts
      expect([fetched?.task, hashed?.task]).toEqual(['fetch', 'hash'])
      expect(fetched?.pid).not.toBe(hashed?.pid)
    }
  })

  test('[checksum] a wrong sum leaves no file, and its part is not continued', async () => {
    const wrong = 'f'.repeat(64)
    const ended = await run({ list: `${nginx.url}/${nameOf(1)}\n checksum=sha-256=${wrong}\n`, args: QUICK })
    const row = ended.row(1)
    expect(row).toMatchObject({ outcome: 'failed', failure: { kind: 'checksum', expected: wrong }, kept: 0 })
    expect(row.reason).toBe(`sha-256 is ${sha256Of(contentOf(1))}, the list says ${wrong}`)
    expect([ended.code, ended.files]).toEqual([9, []])
    expect(ended.seen).not.toContain(nameOf(1))
  })

  test('what has not changed moves no body the night after', async () => {
    const home = newHome()
    await run({ home, list: list(5) })
    const before = nginx.accessLog().length
    const again = await run({ home, list: list(5) })
    expect([again.code, again.stderr]).toEqual([0, ''])
    expect(again.report.totals).toMatchObject({ unchanged: 5, downloaded: 0, bytes: 0 })
    const log = nginx.accessLog().slice(before)
    expect(log).toHaveLength(5)
    for (const line of log) expect(line).toMatch(/ 304 0 /)
  })

  test('100 URLs, one child each killed, spinning, stopped and out of memory: 96 at the first attempt, all in the end', async () => {
    // Lines 1 and 2 are slow enough to be met while they run.
    const lines = list(FILES)
      .replace(`/${nameOf(1)}`, `/slow/${nameOf(1)}`)
      .replace(`/${nameOf(2)}`, `/slow/${nameOf(2)}`)
    const running = start({
      list: lines,
      args: ['-v', '--inject', 'spin@50', '--inject', 'oom@51', '--hang-timeout', '10s', '--retry-delay', '10ms'],
    })
    const victims = await Promise.all(
      [1, 2].map(async (line) => {
        await running.event('response', (event) => event.line === line)
        return firstOf([(await running.event('attempt-started', (event) => event.line === line)).pid])
      }),
    )
    const [crashed, stopped] = [firstOf(victims), firstOf(victims.slice(1))]
    process.kill(crashed, 'SIGSEGV')
    process.kill(stopped, 'SIGSTOP')
    await until('the child sleeps', () => stateOf(stopped) === 'T')
    const ended = await running.ended

    expectAllRight(ended, FILES)
    expect(ended.code).toBe(0)
    expect(ended.report.totals).toMatchObject({
      jobs: FILES,
      downloaded: FILES,
      retries: 4,
      spawned: FILES + 4,
      reaped: FILES + 4,
    })
    const retried = ended.report.jobs.filter(({ attempts }) => attempts.length > 1)
    expect(retried.map(({ line }) => line).sort((a, b) => a - b)).toEqual([1, 2, 50, 51])
    const first = (line: number) => ended.row(line).attempts[0]
    expect(first(1)).toMatchObject({
      pid: crashed,
      signal: 'SIGSEGV',
      kill_reason: null,
      failure: { kind: 'crash-signal' },
    })
    expect(first(2)).toMatchObject({ pid: stopped, signal: 'SIGKILL', failure: { kind: 'hang' } })
    expect(first(50)).toMatchObject({ signal: 'SIGTERM', failure: { kind: 'hang' } })
    expect(first(51)).toMatchObject({ signal: 'SIGABRT', failure: { kind: 'out-of-memory' } })
    // -v names each child as it starts, and the second attempts by their number.
    for (const line of [1, 2, 50, 51]) {
      expect(ended.stderr).toMatch(new RegExp(`^line ${line} pid \\d+ form-${line}\\.pdf .*\\(attempt 2\\)$`, 'm'))
    }
    expect(ended.stderr.split('\n').filter(Boolean)).toHaveLength(FILES + 4)
  })

  test('the same four without a second try are named, grouped by cause, and the rest is there', async () => {
    const faults = ['segv@7', 'spin@8', 'stop@9', 'exit0@10'].flatMap((fault) => ['--inject', fault])
    const ended = await run({ list: list(FILES), args: [...faults, ...QUICK, '-T', '9s', '-t', '1'] })
    expect(ended.code).toBe(10)
    expect(ended.report.totals).toMatchObject({ downloaded: 96, crashed: 2, killed: 2, spawned: 100, reaped: 100 })
    expect(ended.stderr).toMatch(/^mpdl: 100 = 96 downloaded \+ 2 killed \+ 2 crashed in .*, process: hang at /m)
    for (const [line, word] of [
      [7, 'CRASHED'],
      [8, 'HUNG'],
      [9, 'HUNG'],
      [10, 'CRASHED'],
    ] as const) {
      expect(ended.stderr).toMatch(new RegExp(`line ${line} ${nginx.url}/form-${line}\\.pdf\\s+${word}`))
      expect(ended.seen).not.toContain(nameOf(line))
    }
    expect(ended.files.filter((name) => !name.includes('.part'))).toHaveLength(96)
  })
})
