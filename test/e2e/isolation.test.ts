// Proves that a list comes out the same whatever keeps its downloads apart, and what each of these ways costs when one
// download goes wrong. Knows nothing of how they do it.
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ISOLATIONS } from '../../src/core/isolation-name.ts'
import { bodyOf, type FaultServer, sha256Of, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram, type NginxServer, requireServer, startNginx } from '../fixtures/servers.ts'
import { type Ended, firstOf, newHome, ONCE, QUICK, run, start, until } from './run-mpdl.ts'

const MIB = 2 ** 20
const FILES = 120
const LARGE = 48 * MIB

describe.skipIf(!requireServer('nginx', findProgram('nginx')))('isolation', () => {
  let root: string
  let nginx: NginxServer
  let faults: FaultServer

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'mpdl-isolation-'))
    mkdirSync(join(root, 'small'))
    for (let n = 1; n <= FILES; n++) writeFileSync(join(root, 'small', `f${n}.bin`), bodyOf(10_000 + n, n))
    writeFileSync(join(root, 'large.bin'), bodyOf(LARGE))
    nginx = await startNginx({
      root,
      extraConf: 'location /slow/ { alias ROOT/; limit_rate 4m; }'.replace('ROOT', root),
    })
    faults = await startFaultServer()
  })
  afterAll(async () => {
    await nginx.stop()
    await faults.stop()
    rmSync(root, { recursive: true, force: true })
  })

  const listOf = (files: number) =>
    Array.from({ length: files }, (_, i) => `${nginx.url}/small/f${i + 1}.bin\n`).join('')
  const areWhole = (ended: Ended, lines: readonly number[]) =>
    lines.every((n) => sha256Of(ended.bytes(`f${n}.bin`)) === sha256Of(bodyOf(10_000 + n, n)))
  const linesTo = (last: number, but?: number) =>
    Array.from({ length: last }, (_, i) => i + 1).filter((line) => line !== but)

  describe.each(ISOLATIONS)('%s', (mode) => {
    const isolate = ['--isolate', mode] as const

    test('brings the whole list, and the report says what ran each attempt', async () => {
      const ended = await run({ list: listOf(30), args: [...QUICK, ...isolate] })
      expect([ended.code, ended.stderr]).toEqual([0, ''])
      expect(areWhole(ended, linesTo(30))).toBe(true)
      expect(ended.report.run.mode).toBe(mode)
      const attempts = ended.report.jobs.flatMap((job) => job.attempts)
      expect(attempts).toHaveLength(30)
      expect(new Set(attempts.map(({ unit }) => unit))).toEqual(new Set([mode]))
      const pids = new Set(attempts.map(({ pid }) => pid))
      expect(pids.size).toBe({ process: 30, pool: pids.size, thread: 1, inline: 1 }[mode])
      expect(pids.has(null)).toBe(mode === 'thread' || mode === 'inline')
    })

    test('checks checksums, follows redirects and reports what fails, like any other', async () => {
      const hex = sha256Of(bodyOf(10_001, 1))
      const list = [
        `${nginx.url}/small/f1.bin`,
        `\tchecksum=sha-256=${hex}`,
        `${nginx.url}/small/f2.bin`,
        `\tchecksum=sha-256=${hex}`,
        `${nginx.url}/missing.bin`,
        faults.url('/truncated/truncated.bin'),
        faults.url('/stall/stall.bin'),
        '',
      ].join('\n')
      const ended = await run({ list, args: [...ONCE, ...isolate] })
      expect([1, 3, 5, 6, 7].map((line) => ended.row(line).failure?.kind ?? 'ok')).toEqual([
        'ok',
        'checksum',
        'http-status',
        'truncated',
        'stall',
      ])
      expect(ended.row(1).proof).toBe('length+checksum')
      expect(ended.files).toContain('f1.bin')
      expect(ended.files).not.toContain('f2.bin')
    })

    test('brings one large file in several pieces, and goes on where a signal ended it', async () => {
      const home = newHome()
      const large = { home, operands: [`${nginx.url}/slow/large.bin`], args: [...QUICK, ...isolate, '-k', '1M'] }
      const first = start(large)
      await until('a megabyte is there', () => first.events().length > 0 && sizeOfPart(first.home.out) > MIB)
      first.process.kill('SIGTERM')
      const stopped = await first.ended
      expect(stopped.code).toBe(143)
      expect(stopped.row(1).outcome).toBe('cancelled')
      expect(stopped.row(1).kept).toBeGreaterThan(MIB)
      const ended = await run(large)
      expect([ended.code, ended.stderr]).toEqual([0, ''])
      expect(sha256Of(ended.bytes('large.bin'))).toBe(sha256Of(bodyOf(LARGE)))
      expect(ended.row(1).resumed_from).toBe(stopped.row(1).kept)
      expect(ended.row(1).attempts.length).toBeGreaterThan(1)
    })

    test('an error in one download fails that one only', async () => {
      const ended = await run({ list: listOf(12), args: [...ONCE, ...isolate, '--inject', 'error@5'] })
      expect(ended.code).toBe(11)
      expect(ended.kind(5)).toBe('child-error')
      expect(areWhole(ended, linesTo(12, 5))).toBe(true)
    })
  })

  test('auto gives up to a hundred jobs a process each and shares a few among more', async () => {
    const few = await run({ list: listOf(100), args: ['--isolate', 'auto'], hasNoReport: true })
    const many = await run({ list: listOf(101), args: ['--progress', 'lines'] })
    const modeOf = ({ events }: Ended) => events.find((event) => event.type === 'run-started')?.run.mode
    expect([few.code, modeOf(few), many.code, modeOf(many)]).toEqual([0, 'process', 0, 'pool'])
    expect(many.stderr).toMatch(/^mpdl: 101 = 101 downloaded in .*, pool$/m)
    const pids = new Set(many.report.jobs.flatMap((job) => job.attempts.map(({ pid }) => pid)))
    expect(pids.size).toBeLessThan(20)
  })

  describe('in a pool', () => {
    const pool = ['--isolate', 'pool'] as const
    /** Several in each process, none with much memory. */
    const CROWDED = ['-j', '12', '--max-per-host', '12', '--max-memory', '96M', '--hang-timeout', '5s'] as const

    test.each([
      ['segv', ['crash-signal']],
      ['exit0', ['exit-without-result']],
      ['spin', ['hang']],
      // V8's own limit and the watch on resident memory race; either is the truth.
      ['oom', ['out-of-memory', 'memory']],
      ['garbage', ['garbled']],
    ] as const)(
      '[suspect] %s ends what shares its process, all of which comes through, and is named alone',
      async (fault, kinds) => {
        const ended = await run({
          list: listOf(24),
          // Long enough for the heartbeat to be missed first.
          args: [...ONCE, '-T', '10s', ...pool, ...CROWDED, '--inject', `${fault}@5*`],
        })
        const kind = expect.toBeOneOf([...kinds])
        expect(ended.row(5)).toMatchObject({ failure: { kind }, num_retries: 1 })
        expect(areWhole(ended, linesTo(24, 5))).toBe(true)
        const [shared, alone] = ended.row(5).attempts
        expect([shared?.unit, shared?.failure?.kind, shared?.counted]).toEqual(['pool', 'suspect', false])
        expect([alone?.unit, alone?.failure?.kind, alone?.counted]).toEqual(['process', kind, true])
        const innocents = ended.report.jobs.flatMap((job) => (job.line === 5 ? [] : job.attempts))
        const failed = innocents.filter(({ result }) => result === 'failed')
        expect(failed.length).toBeGreaterThan(0)
        expect(failed.map(({ counted, failure }) => [counted, failure?.kind])).toEqual(
          failed.map(() => [false, 'suspect']),
        )
      },
    )

    test('a large file in several pieces survives the death of a process that brings some of them', async () => {
      const home = newHome()
      const running = start({ home, operands: [`${nginx.url}/slow/large.bin`], args: [...QUICK, ...pool, '-k', '1M'] })
      await until('several pieces come', () => sizeOfPart(home.out) > MIB && running.children().length > 0)
      process.kill(firstOf(running.children()), 'SIGKILL')
      const ended = await running.ended
      expect([ended.code, ended.stderr]).toEqual([0, ''])
      expect(sha256Of(ended.bytes('large.bin'))).toBe(sha256Of(bodyOf(LARGE)))
    })

    test('[threat:supervisor-killed] kill -9 of the supervisor leaves no process, not even one that spins', async () => {
      const running = start({ list: listOf(24), args: [...pool, '-j', '8', '--inject', 'spin@3'], hasNoReport: true })
      await running.event('response', ({ line }) => line === 3)
      running.process.kill('SIGKILL')
      expect((await running.ended).signal).toBe('SIGKILL')
    })
  })

  describe('what cannot be killed', () => {
    test('a thread that hangs in native code is given up, and the run still ends', async () => {
      const ended = await run({
        list: listOf(6),
        args: [...ONCE, '--isolate', 'thread', '--inject', 'hang-native@3*'],
      })
      expect(ended.code).toBe(70)
      expect(ended.row(3)).toMatchObject({ outcome: 'abandoned', failure: { kind: 'abandoned' } })
      expect(areWhole(ended, linesTo(6, 3))).toBe(true)
    })

    test('inline with its thread pool filled leaves with the code of its report', async () => {
      const ended = await run({
        list: listOf(6),
        args: [...ONCE, '--isolate', 'inline', '--inject', 'pool-stuck@3*', '--fsync', 'none'],
      })
      expect(ended.code).toBe(10)
      expect(ended.kind(3)).toBe('stall')
    })
  })

  test('strict isolation of what is no process is refused, with the reason', async () => {
    const ended = await run({
      list: listOf(1),
      args: ['--isolate', 'thread', '--sandbox', 'strict'],
      hasNoReport: true,
    })
    expect([ended.code, ended.stderr]).toEqual([
      64,
      'mpdl: --sandbox strict needs processes, which --isolate thread has none of\n',
    ])
  })
})

function sizeOfPart(dir: string): number {
  return statSync(join(dir, 'large.bin.part'), { throwIfNoEntry: false })?.size ?? 0
}
