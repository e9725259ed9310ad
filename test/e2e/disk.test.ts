// Proves what becomes of downloads when the disk, the rights or the descriptors give out. Needs root for most: real
// file systems of a megabyte are mounted, and another user is played.
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram } from '../fixtures/servers.ts'
import { type Ended, filesIn, type Home, newHome, ONCE, QUICK, run, start, until } from './run-mpdl.ts'

const WHOLE = bodyOf(100_000)
const isRoot = process.getuid?.() === 0
const mounts: string[] = []

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(async () => {
  for (const path of mounts.reverse()) execFileSync('umount', ['-l', path])
  await server.stop()
})

/** A small file system of its own; undefined where mounting is not allowed, as in most containers. */
function mounted(path: string, options: string): boolean {
  mkdirSync(path, { recursive: true })
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'mpdl-test', path], { stdio: 'pipe' })
    mounts.push(path)
    return true
  } catch {
    return false
  }
}

function remount(path: string, options: string): void {
  execFileSync('mount', ['-o', `remount,${options}`, path])
}

const probe = newHome()
const canMount = isRoot && mounted(probe.at('probe'), 'size=64k')

/** Nothing there that looks whole and is not; every other name is an unfinished part's. */
function expectNothingFalse(ended: Ended, names: readonly string[]): void {
  for (const name of names) expect([...ended.seen]).not.toContain(name)
  for (const name of ended.files) expect(name).toMatch(/\.part(\.json)?$/)
}

describe.skipIf(!canMount)('a disk that is full', () => {
  test('[no-room] [threat:disk-full] a length that does not fit is refused before its body, and after five of them the run stops once', async () => {
    const home = newHome()
    mounted(home.out, 'size=1m')
    const names = [...'abcdefghij']
    const list = names.map((name) => server.url(`/ok/${name}?size=2000000`)).join('\n')
    const ended = await run({ home, list, args: [...ONCE, '-j', '2'] })
    expect(ended.code).toBe(3)
    expect(ended.row(1)).toMatchObject({
      outcome: 'failed',
      failure: { kind: 'no-room', path: home.out },
      size_download: 0,
    })
    expect(ended.row(1).reason).toMatch(/^1\.91 MiB announced, [\d.]+ KiB free at .* \(see --min-disk-free\)$/)
    expect(ended.events.filter(({ type }) => type === 'stopping')).toMatchObject([{ cause: 'disk-full' }])
    expect(ended.report.totals['not-started']).toBeGreaterThanOrEqual(4)
    expect(ended.stderr).toContain('did not fit')
    expectNothingFalse(ended, names)
    expect(ended.files, 'what got no byte leaves no litter').toEqual([])
    remount(home.out, 'size=32m')
    const again = await run({ home, list, args: ONCE })
    expect([again.code, again.report.totals['downloaded']]).toEqual([0, 10])
    for (const name of names) expect(again.bytes(name).equals(bodyOf(2_000_000))).toBe(true)
  })

  test('[disk-full] [threat:disk-full] a disk that fills up in the middle keeps what fitted, and the next run goes on', async () => {
    const home = newHome()
    mounted(home.out, 'size=1m')
    const list = server.url('/slow/late?size=600000&rate=400000')
    const running = start({ home, list, args: ['-T', '5s', '--kill-after', '200ms', '--min-disk-free', '0'] })
    await until(
      'bytes of it',
      () => (statSync(join(home.out, 'late.part'), { throwIfNoEntry: false })?.size ?? 0) > 100_000,
    )
    const filler = join(home.out, 'filler')
    expect(() => writeFileSync(filler, Buffer.alloc(2 ** 20))).toThrow(/ENOSPC/)
    const ended = await running.ended
    expect(ended.row(1)).toMatchObject({ outcome: 'failed', failure: { kind: 'disk-full' } })
    expect([ended.code, ended.row(1).attempts.length]).toEqual([3, 1])
    expect(ended.row(1).kept).toBeGreaterThan(100_000)
    expect(ended.files).toEqual(['filler', 'late.part', 'late.part.json'])
    expect([...ended.seen]).not.toContain('late')
    rmSync(filler)
    const again = await run({ home, list: list.replace('rate=400000', 'rate=9000000'), args: QUICK })
    expect(again.row(1)).toMatchObject({ outcome: 'downloaded', resumed_from: ended.row(1).kept })
    expect(again.bytes('late').equals(bodyOf(600_000))).toBe(true)
  })

  test('[disk-full] [threat:disk-full] a body of unknown length stops at the reserve, not at the last byte', async () => {
    const home = newHome()
    mounted(home.out, 'size=2m')
    const running = start({
      home,
      list: server.url('/slow/reserve?size=1900000&rate=300000'),
      args: ['-T', '5s', '--kill-after', '200ms', '--min-disk-free', '100K'],
    })
    await running.event('response')
    // Room for the rest was there when it began; somebody else takes it.
    writeFileSync(join(home.out, 'filler'), Buffer.alloc(1_600_000))
    const ended = await running.ended
    expect(ended.row(1)).toMatchObject({ outcome: 'failed', failure: { kind: 'disk-full' } })
    expect(ended.row(1).kept).toBeGreaterThan(0)
    expect([...ended.seen]).not.toContain('reserve')
    expect(ended.code).toBe(3)
  })

  test('[disk-full] [threat:disk-full] no room for another name is a full disk too', async () => {
    const home = newHome()
    mounted(home.out, 'size=1m,nr_inodes=2')
    const ended = await run({ home, list: server.url('/ok/nameless'), args: ONCE })
    expect(ended.row(1)).toMatchObject({ outcome: 'failed', failure: { kind: 'disk-full' } })
    expect([ended.code, ended.files]).toEqual([3, []])
  })

  test('[threat:disk-full] a log, a state and a report without room stop no download', async () => {
    const home = newHome()
    for (const path of [home.logs, home.state]) mounted(path, 'size=4k')
    for (const path of [home.logs, home.state]) writeFileSync(join(path, 'filler'), Buffer.alloc(4096))
    const names = ['a', 'b', 'c']
    const ended = await run({ home, list: names.map((name) => server.url(`/ok/${name}`)).join('\n'), args: ONCE })
    expect([ended.code, ended.report.totals['downloaded']]).toEqual([0, 3])
    expect(ended.stderr).toContain('log')
    for (const name of names) expect(ended.bytes(name).equals(WHOLE)).toBe(true)
    const unreported = await run({
      home: { ...newHome(), out: home.out },
      list: server.url('/ok/d'),
      args: [...ONCE, '--report', join(home.logs, 'report.json'), '--no-log'],
    })
    expect(unreported.code).toBe(73)
    expect(unreported.stderr).toMatch(/cannot write .*report\.json: ENOSPC/)
    expect(unreported.bytes('d').equals(WHOLE)).toBe(true)
    expect(existsSync(join(home.logs, 'report.json'))).toBe(false)
  })
})

describe.skipIf(!canMount)('a disk that is read-only', () => {
  test('[disk-error] [threat:read-only] a directory below fails its jobs and no other; --dir itself is refused', async () => {
    const home = newHome()
    mounted(join(home.out, 'sealed'), 'size=1m,ro')
    const list = `${server.url('/ok/one')}\n dir=sealed\n${server.url('/ok/two')}\n dir=sealed/deep\n${server.url('/ok/three')}`
    const ended = await run({ home, list, args: QUICK })
    for (const line of [1, 3]) {
      expect(ended.row(line)).toMatchObject({ outcome: 'failed', failure: { kind: 'disk-error', code: 'EROFS' } })
      expect(ended.row(line).reason).toMatch(/: the file system is read-only \(EROFS\)$/)
    }
    expect([ended.row(5).outcome, ended.code, ended.files]).toEqual(['downloaded', 3, ['three']])
    const whole = await run({ list, isBare: true, args: ['-d', join(home.out, 'sealed')] })
    expect(whole.code).toBe(73)
    expect(whole.stderr).toMatch(/^mpdl: cannot write into .*\/sealed: EROFS; choose another with -d DIR/)
  })
})

const setpriv = findProgram('setpriv')
const prlimit = findProgram('prlimit')
const USER = 65_534
const asNobody = [setpriv ?? '', `--reuid=${USER}`, `--regid=${USER}`, '--clear-groups', '--']

function homeOfNobody(): Home {
  const home = newHome()
  for (const path of [home.root, home.out]) chownSync(path, USER, USER)
  return home
}

describe.skipIf(!isRoot || setpriv === undefined)('a user without rights', () => {
  test('[disk-error] [threat:permission] what may not be written fails with the path and the reason', async () => {
    const home = homeOfNobody()
    const sealed = join(home.out, 'sealed')
    mkdirSync(sealed)
    writeFileSync(join(home.out, 'theirs.part'), 'of another user')
    chmodSync(join(home.out, 'theirs.part'), 0o600)
    const list = [
      `${server.url('/ok/one')}\n dir=sealed`,
      `${server.url('/ok/two')}\n dir=sealed/deep`,
      server.url('/ok/theirs'),
      server.url('/ok/mine'),
    ].join('\n')
    const ended = await run({ home, list, args: QUICK, wrap: asNobody })
    for (const line of [1, 3, 5]) {
      expect(ended.row(line)).toMatchObject({ outcome: 'failed', failure: { kind: 'disk-error', code: 'EACCES' } })
      expect(ended.row(line).reason).toMatch(/^cannot .*: permission denied \(EACCES\)$/)
      expect(ended.row(line).attempts).toHaveLength(0)
    }
    expect([ended.row(6).outcome, ended.code]).toEqual(['downloaded', 3])
    expect(ended.files).toEqual(['mine', 'theirs.part'])
    expect(readFileSync(join(home.out, 'theirs.part'), 'utf8')).toBe('of another user')
    const whole = await run({ home: homeOfNobody(), list, isBare: true, args: ['-d', sealed], wrap: asNobody })
    expect(whole.code).toBe(73)
    expect(whole.stderr).toContain(`cannot write into ${sealed}: EACCES`)
  })

  test('[threat:permission] rights that are taken away in the middle leave no false file, and the next run goes on', async () => {
    const home = homeOfNobody()
    const list = server.url('/slow/revoked?size=30000&rate=30000')
    const running = start({ home, list, args: ['-T', '5s'], wrap: asNobody })
    await running.event('response')
    chownSync(home.out, 0, 0)
    const ended = await running.ended
    expect(ended.row(1)).toMatchObject({ outcome: 'failed', failure: { kind: 'disk-error', code: 'EACCES' } })
    expect([ended.code, [...ended.seen].includes('revoked')]).toEqual([3, false])
    chownSync(home.out, USER, USER)
    const again = await run({ home, list, args: ['-T', '5s'], wrap: asNobody })
    expect(again.row(1)).toMatchObject({ outcome: 'downloaded' })
    expect(again.bytes('revoked').equals(bodyOf(30_000))).toBe(true)
  })
})

describe.skipIf(prlimit === undefined)('a limit of the shell', () => {
  test('[disk-error] [threat:file-size] a file beyond ulimit -f ends in a sentence, not in a signal', async () => {
    const list = server.url('/ok/limited?size=300000')
    const ended = await run({ list, args: ONCE, wrap: [prlimit ?? '', '--fsize=100000', '--'] })
    expect(ended.row(1)).toMatchObject({ outcome: 'failed', failure: { kind: 'disk-error', code: 'EFBIG' } })
    expect(ended.row(1).reason).toMatch(/: the file is larger than the file system or ulimit allows \(EFBIG\)$/)
    expect(ended.code).toBe(3)
    expectNothingFalse(ended, ['limited'])
    const again = await run({ home: ended.home, list, args: ONCE })
    expect([again.code, again.bytes('limited').equals(bodyOf(300_000))]).toEqual([0, true])
  })

  test('[spawn] [threat:too-many-files] too few descriptors: a clear end, no false file, and the next run goes on', async () => {
    const names = Array.from({ length: 12 }, (_, i) => `f${i + 1}`)
    const list = names.map((name) => server.url(`/slow/${name}?size=20000&rate=20000`)).join('\n')
    for (const limit of [26, 32]) {
      const ended = await run({
        list,
        args: ['-j', '12', '--max-per-host', '12', '-T', '5s', '-t', '2', '--retry-delay', '10ms'],
        wrap: [prlimit ?? '', `--nofile=${limit}`, '--'],
      })
      const { jobs, totals } = ended.report
      expect([limit, [3, 71].includes(ended.code ?? 0), ended.stderr]).toEqual([
        limit,
        true,
        expect.stringContaining('too many open files (raise ulimit -n'),
      ])
      expect(totals['downloaded']).toBeLessThan(names.length)
      for (const row of jobs) {
        if (row.outcome === 'downloaded') expect(ended.bytes(row.out).equals(bodyOf(20_000))).toBe(true)
        else expect([row.out, ended.seen.has(row.out)]).toEqual([row.out, false])
      }
      const again = await run({ home: ended.home, list: list.replaceAll('rate=20000', 'rate=900000'), args: QUICK })
      expect([limit, again.code]).toEqual([limit, 0])
      for (const name of names) expect(again.bytes(name).equals(bodyOf(20_000))).toBe(true)
      expect(filesIn(ended.home.out)).toEqual([...names].sort())
    }
  }, 120_000)
})
