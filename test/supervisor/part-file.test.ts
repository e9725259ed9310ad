// Decides whether a download's file is safe from links, other runs and full disks, and gets its name only when whole.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  constants,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Failure } from '../../src/core/failure.ts'
import type { Range } from '../../src/core/segment.ts'
import { detectHardening } from '../../src/isolation/hardening.ts'
import { readControl } from '../../src/supervisor/control-file.ts'
import { isInMemory } from '../../src/supervisor/memory-disk.ts'
import { openPart } from '../../src/supervisor/open-part.ts'
import type { CommitOptions, PartFile, PartIdentity } from '../../src/supervisor/part-file.ts'
import { syncFileSystem } from '../../src/supervisor/part-file.ts'
import { RunLock } from '../../src/supervisor/run-lock.ts'
import { inspectTarget, makeDirectories } from '../../src/supervisor/target.ts'

const MODULE = join(import.meta.dirname, '../../src/supervisor/open-part.ts')
const HARDENING = detectHardening()
const hasFlock = HARDENING.flock !== undefined
const isRoot = process.getuid?.() === 0
const IDENTITY: PartIdentity = {
  job: 'job',
  version: '1.2.3',
  url: 'https://h/x',
  urlKey: 'key',
  mirrorKeys: ['mirror'],
  bootId: 'boot',
  adopts: 'nothing',
}
const NO_SYNC: CommitOptions = { fsync: 'none' }

let dir: string
let target: string
let part: string
let note: string
let parts: PartFile[]

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-test-'))
  target = join(dir, 'x')
  part = `${target}.part`
  note = `${part}.json`
  parts = []
})

afterEach(() => {
  for (const opened of parts) opened.close()
  rmSync(dir, { recursive: true, force: true })
})

async function attemptToOpen(identity: Partial<PartIdentity> = {}, name = 'x', hardening = HARDENING) {
  const opened = await openPart(dir, name, { ...IDENTITY, ...identity }, hardening)
  if (opened.ok) parts.push(opened.part)
  return opened
}

async function open(identity: Partial<PartIdentity> = {}, name = 'x'): Promise<PartFile> {
  const opened = await attemptToOpen(identity, name)
  if (!opened.ok) throw new Error(JSON.stringify(opened.failure))
  return opened.part
}

/** What an attempt leaves of a file of `size` bytes. */
function fillRanges(of: PartFile, ranges: readonly Range[], size: number): void {
  expect(of.restart({ etag: '"v1"' }, size)).toBeUndefined()
  for (const [start, end] of ranges) writeSync(of.descriptor, 'x'.repeat(end - start), start)
  of.record(ranges)
  of.save()
}

/** A file of `have` bytes, of which `size` are expected. */
function fill(of: PartFile, have: number, size: number): void {
  fillRanges(of, [[0, have]], size)
}

const failureOf = (done: { ok: boolean; failure?: Failure }) => done.failure

describe('a new part', () => {
  test('is private, and so is its note, which names this process', async () => {
    await open()
    expect([lstatSync(part).mode & 0o777, lstatSync(note).mode & 0o777]).toEqual([0o600, 0o600])
    expect(readControl(note)).toMatchObject({ job: 'job', pid: process.pid })
  })

  test('that got no bytes leaves nothing behind', async () => {
    const opened = await open()
    opened.restart({ etag: '"v1"' }, 100)
    opened.close()
    opened.close()
    expect(readdirSync(dir)).toEqual([])
  })

  test('that got some keeps them for the next run', async () => {
    const first = await open()
    fill(first, 40, 100)
    first.close()
    const next = await open()
    expect([next.completedBytes, next.sizeBytes, next.validator, next.isComplete]).toEqual([
      40,
      100,
      { etag: '"v1"' },
      false,
    ])
  })

  test('is made with the directories it needs', async () => {
    const opened = await open({}, 'a/b/x')
    expect(opened.path).toBe(join(dir, 'a/b/x.part'))
  })
})

describe('what an earlier run left', () => {
  /** Opens again after `change`; the bytes that are still believed. */
  async function kept(change: () => void, identity: Partial<PartIdentity> = {}): Promise<number> {
    const first = await open()
    fill(first, 40, 100)
    await first.sync()
    writeSync(first.descriptor, 'y'.repeat(20), 40)
    first.record([[0, 60]])
    first.save()
    first.close()
    change()
    return (await open(identity)).completedBytes
  }

  test('is believed in the same boot as far as it was written, in another as far as it was synced', async () => {
    expect(await kept(() => {})).toBe(60)
    rmSync(part)
    expect(await kept(() => {}, { bootId: 'another' })).toBe(40)
    rmSync(part)
    expect(await kept(() => {}, { bootId: undefined })).toBe(40)
  })

  test('is believed for the same file at another mirror', async () => {
    expect(await kept(() => {}, { urlKey: 'mirror', mirrorKeys: ['key'] })).toBe(60)
  })

  test.each<[string, () => void, Partial<PartIdentity>]>([
    ['its note is damaged', () => writeFileSync(note, '{'), {}],
    ['its note is empty', () => writeFileSync(note, ''), {}],
    ['its note is another tool’s', () => writeFileSync(note, '{"version":1}'), {}],
    ['the part is shorter than the note says', () => truncateSync(part, 59), {}],
    ['the part is gone', () => rmSync(part), {}],
    ['the job is another', () => {}, { job: 'other' }],
    ['the URL is another', () => {}, { urlKey: 'other', mirrorKeys: [] }],
  ])('is not believed when %s', async (_, change, identity) => {
    expect(await kept(change, identity)).toBe(0)
  })

  test('[foreign-part] bytes without a note are somebody else’s: refused, and not touched', async () => {
    writeFileSync(part, 'my own notes', { mode: 0o644 })
    expect(failureOf(await attemptToOpen())).toEqual({ kind: 'foreign-part', path: part })
    expect([readFileSync(part, 'utf8'), lstatSync(part).mode & 0o777]).toEqual(['my own notes', 0o644])
  })

  test('is dropped to the last byte when another version begins', async () => {
    const first = await open()
    fill(first, 40, 100)
    first.close()
    const next = await open()
    expect(next.restart({ etag: '"v2"' }, 50)).toBeUndefined()
    expect([next.lengthOnDisk(), next.completedBytes, readControl(note)?.completed]).toEqual([0, 0, []])
  })

  test('stays when the same version goes on', async () => {
    const first = await open()
    fill(first, 40, 100)
    expect(first.resume({ etag: '"v1"' }, 100)).toBeUndefined()
    expect([first.lengthOnDisk(), first.completedBytes]).toEqual([40, 40])
  })
})

test('bytes count only as far as the file really reaches, and as synced only when they were', async () => {
  const opened = await open()
  fill(opened, 40, 100)
  opened.record([[0, 90]])
  expect([opened.completedBytes, opened.unsyncedBytes]).toEqual([40, 40])
  await Promise.all([opened.sync(), opened.sync()])
  expect(opened.unsyncedBytes).toBe(0)
})

test('a sync that ends after another version began says nothing of that version', async () => {
  const opened = await open()
  fill(opened, 40, 100)
  const late = opened.sync()
  fill(opened, 60, 100)
  await late
  expect([opened.completedBytes, opened.unsyncedBytes]).toEqual([60, 60])
})

describe('a part with holes', () => {
  const HOLES: readonly Range[] = [
    [0, 10],
    [30, 40],
    [60, 70],
  ]

  test('is believed range by range: of this boot all of them, of another those that were synced', async () => {
    const first = await open()
    fillRanges(first, HOLES.slice(0, 2), 100)
    await first.sync()
    expect(first.unsyncedBytes).toBe(0)
    writeSync(first.descriptor, 'x'.repeat(10), 60)
    first.record(HOLES)
    first.save()
    first.close()
    expect(first.unsyncedBytes).toBe(10)
    expect(readControl(note)).toMatchObject({ completed: HOLES, synced: HOLES.slice(0, 2) })

    const same = await open()
    expect([same.completed, same.completedBytes, same.firstMissing]).toEqual([HOLES, 30, [10, 30]])
    expect(same.isComplete).toBe(false)
    same.close()
    const other = await open({ bootId: 'another' })
    expect([other.completed, other.completedBytes]).toEqual([HOLES.slice(0, 2), 20])
  })

  test('is not believed at all when it is shorter than its last range says', async () => {
    const first = await open()
    fillRanges(first, HOLES, 100)
    first.close()
    truncateSync(part, 69)
    expect((await open()).completed).toEqual([])
  })

  test('keeps its holes when it goes on, and loses only what lies behind its last range', async () => {
    const opened = await open()
    fillRanges(opened, HOLES, 100)
    writeSync(opened.descriptor, 'never recorded', 70)
    expect(opened.resume({ etag: '"v1"' }, 100)).toBeUndefined()
    expect([opened.lengthOnDisk(), opened.completed]).toEqual([70, HOLES])
  })

  test('is believed only as far as the file reaches', async () => {
    const opened = await open()
    fillRanges(opened, HOLES, 100)
    opened.record([
      [0, 40],
      [65, 80],
      [90, 100],
    ])
    expect(opened.completed).toEqual([
      [0, 40],
      [65, 70],
    ])
  })

  test('does not get its name, however long it is', async () => {
    const opened = await open()
    fillRanges(
      opened,
      [
        [0, 3],
        [4, 5],
      ],
      5,
    )
    expect(opened.lengthOnDisk()).toBe(5)
    expect(failureOf(await opened.commit(5, NO_SYNC))).toEqual({ kind: 'length', expectedBytes: 5, actualBytes: 4 })
    expect(existsSync(target)).toBe(false)
    opened.record([[0, 5]])
    expect([opened.firstMissing, opened.isComplete]).toEqual([undefined, true])
    expect(await opened.commit(5, NO_SYNC)).toEqual({ ok: true })
  })

  test('of unknown size misses everything behind what is there', async () => {
    const opened = await open()
    expect(opened.restart({}, undefined)).toBeUndefined()
    writeSync(opened.descriptor, 'xxx')
    opened.record([[0, 3]])
    expect(opened.firstMissing).toEqual([3, Number.POSITIVE_INFINITY])
  })
})

describe('room that is set aside', () => {
  const SIZE = 2 ** 20

  const canBe = HARDENING.fallocate !== undefined && !isInMemory(tmpdir())
  test.runIf(canBe)('is on the disk, and the file is no longer for it', async () => {
    const opened = await open()
    fill(opened, 40, SIZE)
    await opened.allocate(SIZE, HARDENING)
    expect(opened.allocatedBytes).toBeGreaterThanOrEqual(SIZE)
    expect([opened.lengthOnDisk(), opened.completedBytes]).toEqual([40, 40])
  })

  test.each([
    ['nothing can', undefined, SIZE],
    ['what should has gone', '/nowhere/fallocate', SIZE],
    ['there is not that much', HARDENING.fallocate, 2 ** 52],
  ])('is done without when %s', async (_, fallocate, sizeBytes) => {
    const opened = await open()
    fill(opened, 40, sizeBytes)
    await opened.allocate(sizeBytes, { ...HARDENING, fallocate })
    expect(opened.allocatedBytes).toBeLessThan(SIZE)
    expect([opened.lengthOnDisk(), opened.completedBytes]).toEqual([40, 40])
  })
})

describe('what another tool began', () => {
  const theirs = 'their bytes'
  const onDisk = () => readdirSync(dir).toSorted()

  describe('as a part', () => {
    test('is taken over with all its bytes, of a version that nobody knows', async () => {
      writeFileSync(part, theirs)
      const opened = await open({ adopts: 'part' })
      expect([opened.isForeign, opened.completed, opened.validator]).toEqual([true, [[0, theirs.length]], {}])
      expect(readControl(note)).toMatchObject({ isForeign: true, completed: [[0, theirs.length]] })
      opened.close()
      expect(readFileSync(part, 'utf8')).toBe(theirs)
      const next = await open({ adopts: 'part' })
      expect([next.isForeign, next.completedBytes]).toEqual([true, theirs.length])
    })

    test('is ours from the first byte that begins anew', async () => {
      writeFileSync(part, theirs)
      const opened = await open({ adopts: 'part' })
      expect(opened.restart({ etag: '"v1"' }, 100)).toBeUndefined()
      expect([opened.isForeign, opened.completedBytes, opened.lengthOnDisk()]).toEqual([false, 0, 0])
      expect(readControl(note)).not.toHaveProperty('isForeign')
    })

    test('is not what has a note of ours', async () => {
      const first = await open()
      fill(first, 40, 100)
      first.close()
      const next = await open({ adopts: 'part' })
      expect([next.isForeign, next.completedBytes, next.validator]).toEqual([false, 40, { etag: '"v1"' }])
    })
  })

  describe('as the target', () => {
    beforeEach(() => writeFileSync(target, theirs, { mode: 0o640 }))

    test('becomes the part', async () => {
      const opened = await open({ adopts: 'target' })
      expect([opened.isForeign, opened.completed]).toEqual([true, [[0, theirs.length]]])
      expect(onDisk()).toEqual(['x.part', 'x.part.json'])
      expect(lstatSync(part).mode & 0o777).toBe(0o600)
    })

    test('is given back as it was when no answer came', async () => {
      const opened = await open({ adopts: 'target' })
      opened.close()
      expect(onDisk()).toEqual(['x'])
      expect([readFileSync(target, 'utf8'), lstatSync(target).mode & 0o777]).toEqual([theirs, 0o640])
    })

    test('stays the part when an answer goes on from it', async () => {
      const opened = await open({ adopts: 'target' })
      opened.resume({}, 100)
      opened.close()
      expect(onDisk()).toEqual(['x.part', 'x.part.json'])
    })

    test('has its place again, as it was found, when an answer replaces it', async () => {
      const opened = await open({ adopts: 'target' })
      opened.resume({}, 100)
      writeSync(opened.descriptor, 'more', theirs.length)
      fill(opened, 5, 100)
      opened.close()
      expect(onDisk()).toEqual(['x', 'x.part', 'x.part.json'])
      expect([readFileSync(target, 'utf8'), lstatSync(target).mode & 0o777]).toEqual([theirs, 0o640])
    })

    test('gets its name when it is whole', async () => {
      const opened = await open({ adopts: 'target' })
      expect(await opened.commit(theirs.length, NO_SYNC)).toEqual({ ok: true })
      opened.close()
      expect(onDisk()).toEqual(['x'])
      expect(readFileSync(target, 'utf8')).toBe(theirs)
    })

    test('stays where it is when it has a second name', async () => {
      linkSync(target, join(dir, 'second'))
      const opened = await open({ adopts: 'target' })
      expect([opened.isForeign, opened.completedBytes]).toEqual([false, 0])
      opened.close()
      expect(onDisk()).toEqual(['second', 'x'])
    })

    test('stays where it is when it is empty', async () => {
      truncateSync(target)
      const opened = await open({ adopts: 'target' })
      expect(opened.isForeign).toBe(false)
      opened.close()
      expect(onDisk()).toEqual(['x'])
    })

    test('stays where it is when there is a part, which goes on', async () => {
      const first = await open()
      fill(first, 40, 100)
      first.close()
      const next = await open({ adopts: 'target' })
      expect([next.isForeign, next.completedBytes]).toEqual([false, 40])
      next.close()
      expect([readFileSync(target, 'utf8'), readControl(note)?.completed]).toEqual([theirs, [[0, 40]]])
    })

    test('is given back when the part cannot be locked', async () => {
      const noProgram = { ...HARDENING, flock: '/dev/null' }
      expect(failureOf(await attemptToOpen({ adopts: 'target' }, 'x', noProgram))).toEqual({
        kind: 'spawn',
        code: 'EACCES',
      })
      expect(onDisk()).toEqual(['x'])
      expect([readFileSync(target, 'utf8'), lstatSync(target).mode & 0o777]).toEqual([theirs, 0o640])
    })
  })
})

describe('a name that is not its own by right', () => {
  const mode = (path: string) => lstatSync(path).mode & 0o777
  const named = (): string => join(dir, 'report.pdf')
  const giveWay = (is: boolean): CommitOptions => ({ ...NO_SYNC, path: named(), mayReplace: () => is })

  test('is given where it is free, and nothing else is left', async () => {
    const opened = await open()
    fill(opened, 5, 5)
    const ready: unknown[] = []
    const done = await opened.commit(5, {
      ...giveWay(false),
      onReady: ({ sizeBytes }) => ready.push([sizeBytes, existsSync(named())]),
    })
    opened.close()
    expect([done, ready, readdirSync(dir)]).toEqual([{ ok: true }, [[5, false]], ['report.pdf']])
    expect([mode(named()), lstatSync(named()).nlink]).toEqual([0o666 & ~process.umask(), 1])
  })

  test('[name-taken] is not taken from a file that must stay: the part stays, too, and stays private', async () => {
    writeFileSync(named(), 'precious')
    const opened = await open()
    fill(opened, 5, 5)
    const done = await opened.commit(5, { ...giveWay(false), onReady: () => expect.unreachable() })
    expect(failureOf(done)).toEqual({ kind: 'name-taken', path: named(), by: 'somebody else' })
    expect([readFileSync(named(), 'utf8'), mode(part), opened.completedBytes]).toEqual(['precious', 0o600, 5])
  })

  test('[target-is-symlink] nor from a link, and nobody is told that the file is there', async () => {
    symlinkSync(join(dir, 'elsewhere'), named())
    const opened = await open()
    fill(opened, 5, 5)
    const done = await opened.commit(5, { ...giveWay(true), onReady: () => expect.unreachable() })
    expect(failureOf(done)).toEqual({ kind: 'target-is-symlink', path: named() })
  })

  test('[name-taken] nor from one that comes at the last moment', async () => {
    const opened = await open()
    fill(opened, 5, 5)
    const done = await opened.commit(5, { ...giveWay(true), onReady: () => writeFileSync(named(), 'precious') })
    expect(failureOf(done)).toEqual({ kind: 'name-taken', path: named(), by: 'somebody else' })
    expect([readFileSync(named(), 'utf8'), mode(part), opened.isInPlace]).toEqual(['precious', 0o600, true])
  })

  test('[name-taken] nor from one that came in place of a file that may go', async () => {
    writeFileSync(named(), 'the old version')
    const opened = await open()
    fill(opened, 5, 5)
    const done = await opened.commit(5, { ...giveWay(true), onReady: () => writeFileSync(named(), 'precious') })
    expect(failureOf(done)).toEqual({ kind: 'name-taken', path: named(), by: 'somebody else' })
    expect(readFileSync(named(), 'utf8')).toBe('precious')
  })

  test('is taken from a file that may go', async () => {
    writeFileSync(named(), 'the old version')
    const opened = await open()
    fill(opened, 5, 5)
    expect(await opened.commit(5, giveWay(true))).toEqual({ ok: true })
    expect(readFileSync(named(), 'utf8')).toBe('xxxxx')
  })

  test('is kept in the note until the bytes are of another answer', async () => {
    const first = await open()
    fill(first, 40, 100)
    first.name = 'report.pdf'
    first.save()
    first.close()
    const next = await open()
    expect(next.name).toBe('report.pdf')
    next.restart({}, 100)
    expect(next.name).toBeUndefined()
  })

  test.each(['../up', 'a/b', '..', ''])(
    'is not believed of a note that says %j, nor is anything else of it',
    (name) => {
      const sound = { mpdl: 1, version: '1', job: 'job', url: 'u', urlKey: 'key', validator: {}, sizeBytes: 9 }
      writeFileSync(note, JSON.stringify({ ...sound, name, completed: [], synced: [], bootId: null, pid: 1 }))
      expect(readControl(note)).toBeUndefined()
    },
  )

  describe('given by a run that was killed before it took the other name away', () => {
    /** The part as a link and its name as the note has it. */
    async function killedBetween(name = 'report.pdf'): Promise<void> {
      const first = await open()
      fill(first, 5, 5)
      first.name = name
      first.save()
      first.close()
      chmodSync(part, 0o644)
      linkSync(part, named())
    }

    test('stays, and the next run begins with a part of its own', async () => {
      await killedBetween()
      const next = await open()
      expect([next.completedBytes, next.isComplete, next.name]).toEqual([0, false, undefined])
      expect([readFileSync(named(), 'utf8'), mode(named()), lstatSync(named()).nlink]).toEqual(['xxxxx', 0o644, 1])
      next.close()
      expect(readdirSync(dir)).toEqual(['report.pdf'])
    })

    test('is nothing to go by where the note speaks of another file', async () => {
      await killedBetween('other.pdf')
      expect(failureOf(await attemptToOpen())).toMatchObject({ kind: 'disk-error', code: 'EEXIST' })
      writeFileSync(join(dir, 'other.pdf'), 'theirs')
      expect(failureOf(await attemptToOpen())).toMatchObject({ kind: 'disk-error', code: 'EEXIST' })
      expect([mode(named()), readFileSync(part, 'utf8')]).toEqual([0o644, 'xxxxx'])
    })

    test.runIf(hasFlock)('is left alone while that run lives', async () => {
      const alive = await open()
      fill(alive, 5, 5)
      alive.name = 'report.pdf'
      alive.save()
      linkSync(part, named())
      expect(failureOf(await attemptToOpen())).toEqual({ kind: 'locked', path: part, pid: process.pid })
      expect(existsSync(part)).toBe(true)
    })
  })
})

describe('refuses', () => {
  test.each([
    ['the target', () => target],
    ['the part', () => part],
  ])('a link planted at %s', async (_, at) => {
    const victim = join(dir, 'victim')
    writeFileSync(victim, 'precious')
    symlinkSync(victim, at())
    if (at() === part) {
      expect(failureOf(await attemptToOpen())).toEqual({ kind: 'target-is-symlink', path: part })
    } else {
      const opened = await open()
      fill(opened, 5, 5)
      expect(failureOf(await opened.commit(5, NO_SYNC))).toEqual({ kind: 'target-is-symlink', path: target })
    }
    expect(readFileSync(victim, 'utf8')).toBe('precious')
    expect(lstatSync(at()).isSymbolicLink()).toBe(true)
  })

  test('a dangling link planted at the part', async () => {
    symlinkSync(join(dir, 'nowhere'), part)
    expect(failureOf(await attemptToOpen())).toEqual({ kind: 'target-is-symlink', path: part })
    expect(existsSync(join(dir, 'nowhere'))).toBe(false)
  })

  test('nothing outside when the link is at the note: the link goes, its goal stays', async () => {
    const victim = join(dir, 'victim')
    writeFileSync(victim, 'precious')
    symlinkSync(victim, note)
    await open()
    expect(readFileSync(victim, 'utf8')).toBe('precious')
    expect(lstatSync(note).isSymbolicLink()).toBe(false)
  })

  test('a link planted as a directory below the download directory, at any depth', async () => {
    const outside = mkdtempSync(join(tmpdir(), 'mpdl-test-'))
    try {
      symlinkSync(outside, join(dir, 'a'))
      expect(failureOf(await attemptToOpen({}, 'a/x'))).toEqual({ kind: 'target-is-symlink', path: join(dir, 'a') })
      mkdirSync(join(dir, 'b'))
      symlinkSync(outside, join(dir, 'b/c'))
      expect(failureOf(await attemptToOpen({}, 'b/c/d/x'))).toEqual({
        kind: 'target-is-symlink',
        path: join(dir, 'b/c'),
      })
      expect(readdirSync(outside)).toEqual([])
    } finally {
      rmSync(outside, { recursive: true })
    }
  })

  test('a file where a directory is needed', () => {
    writeFileSync(join(dir, 'a'), '')
    expect(makeDirectories(dir, 'a/x')).toMatchObject({ kind: 'disk-error', code: 'ENOTDIR' })
  })

  test('a directory at the target or at the part', async () => {
    const opened = await open()
    fill(opened, 5, 5)
    mkdirSync(target)
    expect(failureOf(await opened.commit(5, NO_SYNC))).toEqual({ kind: 'target-is-directory', path: target })
    mkdirSync(join(dir, 'y.part'))
    expect(failureOf(await attemptToOpen({}, 'y'))).toEqual({ kind: 'target-is-directory', path: join(dir, 'y.part') })
  })

  test('a part that has a second name somewhere', async () => {
    const victim = join(dir, 'victim')
    writeFileSync(victim, 'precious', { mode: 0o644 })
    linkSync(victim, part)
    expect(failureOf(await attemptToOpen())).toMatchObject({ kind: 'disk-error', code: 'EEXIST' })
    expect([readFileSync(victim, 'utf8'), lstatSync(victim).mode & 0o777]).toEqual(['precious', 0o644])
  })

  test('a pipe at the part or at the target, without waiting for its other end', async () => {
    execFileSync('mkfifo', [part])
    expect(failureOf(await attemptToOpen())).toMatchObject({ kind: 'disk-error', code: 'EEXIST' })
    execFileSync('mkfifo', [target])
    expect(inspectTarget(target)).toMatchObject({ kind: 'refused', failure: { kind: 'disk-error', code: 'EEXIST' } })
  })

  test('a directory at the note', async () => {
    mkdirSync(note)
    expect(failureOf(await attemptToOpen())).toMatchObject({ kind: 'disk-error', code: 'EISDIR' })
    expect(readdirSync(dir)).toEqual(['x.part.json'])
  })
})

describe('two runs', () => {
  test.runIf(hasFlock)('in one process: the second is refused and told who holds the part', async () => {
    const first = await open()
    expect(failureOf(await attemptToOpen())).toEqual({ kind: 'locked', path: part, pid: process.pid })
    fill(first, 40, 100)
    first.close()
    expect((await open()).completedBytes).toBe(40)
  })

  test.runIf(hasFlock)(
    'in two processes: the second is refused, and the part is free when the first is killed',
    async () => {
      const code = `
      import { openPart } from ${JSON.stringify(MODULE)}
      const opened = await openPart(process.argv[1], 'x', ${JSON.stringify(IDENTITY)}, ${JSON.stringify(HARDENING)})
      console.log(opened.ok)
      setInterval(() => {}, 1000)`
      const holder = spawn(process.execPath, ['--input-type=module', '-e', code, dir], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const [told] = await once(holder.stdout, 'data')
      expect(String(told).trim()).toBe('true')
      expect(failureOf(await attemptToOpen())).toEqual({ kind: 'locked', path: part, pid: holder.pid })
      holder.kill('SIGKILL')
      await once(holder, 'exit')
      expect((await attemptToOpen()).ok).toBe(true)
    },
  )

  test.runIf(hasFlock)('of twenty at once over a stale part exactly one opens it', async () => {
    writeFileSync(part, 'stale')
    writeFileSync(note, 'of a dead run')
    const opened = await Promise.all(Array.from({ length: 20 }, () => attemptToOpen()))
    expect(opened.filter(({ ok }) => ok)).toHaveLength(1)
  })

  test('without flock the note of a live process counts, that of a dead one not', async () => {
    const unlocked = { ...HARDENING, flock: undefined }
    const first = await open()
    fill(first, 40, 100)
    const holder = spawn('sleep', ['60'], { stdio: 'ignore' })
    await once(holder, 'spawn')
    const text = readFileSync(note, 'utf8')
    writeFileSync(note, text.replace(`"pid":${process.pid}`, `"pid":${holder.pid}`))
    expect(failureOf(await attemptToOpen({}, 'x', unlocked))).toEqual({ kind: 'locked', path: part, pid: holder.pid })
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    expect((await attemptToOpen({}, 'x', unlocked)).ok).toBe(true)
  })

  test('a part that another run took away is neither committed nor removed, and that run keeps its note', async () => {
    const first = await open()
    fill(first, 5, 5)
    rmSync(part)
    writeFileSync(part, 'theirs')
    writeFileSync(note, 'their note')
    expect(failureOf(await first.commit(5, NO_SYNC))).toEqual({ kind: 'locked', path: part })
    first.discard()
    expect([readFileSync(part, 'utf8'), readFileSync(note, 'utf8')]).toEqual(['theirs', 'their note'])
    expect(existsSync(target)).toBe(false)
  })
})

describe('the commit', () => {
  test.each(['file', 'run', 'none'] as const)('gives the name and removes the note (fsync %s)', async (fsync) => {
    const opened = await open()
    fill(opened, 5, 5)
    expect(opened.isComplete).toBe(true)
    expect(await opened.commit(5, { fsync })).toEqual({ ok: true })
    opened.save()
    opened.close()
    expect(readdirSync(dir)).toEqual(['x'])
    expect(readFileSync(target, 'utf8')).toBe('xxxxx')
    await syncFileSystem(dir)
  })

  test('sets the mode by the umask', async () => {
    const before = process.umask(0o027)
    try {
      const opened = await open()
      fill(opened, 5, 5)
      await opened.commit(5, NO_SYNC)
    } finally {
      process.umask(before)
    }
    expect(lstatSync(target).mode & 0o777).toBe(0o640)
  })

  test('keeps the mode of the file it replaces, without the bits that give rights to strangers', async () => {
    writeFileSync(target, 'old')
    chmodSync(target, 0o4755)
    const opened = await open()
    fill(opened, 5, 5)
    expect(readFileSync(target, 'utf8')).toBe('old')
    await opened.commit(5, NO_SYNC)
    expect([readFileSync(target, 'utf8'), lstatSync(target).mode & 0o7777]).toEqual(['xxxxx', 0o755])
  })

  test('sets the time the server named, and otherwise that of writing', async () => {
    const opened = await open()
    fill(opened, 5, 5)
    await opened.commit(5, { fsync: 'none', mtimeMs: 1_000_000_000_000 })
    expect(lstatSync(target).mtimeMs).toBe(1_000_000_000_000)
    const other = await open({}, 'y')
    fill(other, 5, 5)
    await other.commit(5, NO_SYNC)
    expect(Math.abs(lstatSync(join(dir, 'y')).mtimeMs - Date.now())).toBeLessThan(60_000)
  })

  test('waits for who has to know of it first', async () => {
    const opened = await open()
    fill(opened, 5, 5)
    const [told, ready] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const onReady = () => {
      told.resolve()
      return ready.promise
    }
    const done = opened.commit(5, { ...NO_SYNC, onReady })
    await told.promise
    await new Promise((resolve) => setImmediate(resolve))
    expect(readdirSync(dir)).toEqual(['x.part', 'x.part.json'])
    ready.resolve()
    expect([await done, readdirSync(dir)]).toEqual([{ ok: true }, ['x']])
  })

  test.each([
    ['target-is-symlink', 'a link', () => symlinkSync(join(dir, 'victim'), target)],
    ['target-is-directory', 'a directory', () => mkdirSync(target)],
    [
      'locked',
      'the part of another run',
      () => {
        rmSync(part)
        writeFileSync(part, 'theirs')
      },
    ],
  ])('[%s] sees %s that comes meanwhile', async (kind, _, come) => {
    const opened = await open()
    fill(opened, 5, 5)
    const done = await opened.commit(5, { fsync: 'file', onReady: come })
    expect(failureOf(done)).toMatchObject({ kind })
    expect(lstatSync(part).isFile()).toBe(true)
  })

  test('cuts what is too much and refuses what is too little', async () => {
    const opened = await open()
    fill(opened, 5, 5)
    writeSync(opened.descriptor, 'more', 5)
    expect(failureOf(await opened.commit(6, NO_SYNC))).toEqual({ kind: 'length', expectedBytes: 6, actualBytes: 5 })
    expect(existsSync(target)).toBe(false)
    expect(await opened.commit(5, NO_SYNC)).toEqual({ ok: true })
    expect(readFileSync(target, 'utf8')).toBe('xxxxx')
  })

  test('of an empty file is a file', async () => {
    const opened = await open()
    opened.restart({}, 0)
    expect(await opened.commit(0, NO_SYNC)).toEqual({ ok: true })
    opened.close()
    expect([readdirSync(dir), lstatSync(target).size]).toEqual([['x'], 0])
  })

  test('fails when the directory was taken away', async () => {
    const opened = await open({}, 'a/x')
    fill(opened, 5, 5)
    renameSync(join(dir, 'a'), join(dir, 'b'))
    expect((await opened.commit(5, NO_SYNC)).ok).toBe(false)
    expect(existsSync(join(dir, 'b/x'))).toBe(false)
  })
})

test('a part that is discarded is gone with its note', async () => {
  const opened = await open()
  fill(opened, 40, 100)
  opened.discard()
  opened.close()
  expect(readdirSync(dir)).toEqual([])
})

test.runIf(isRoot && HARDENING.setpriv !== undefined)(
  'a directory that may not be written is a failure with its code',
  () => {
    chmodSync(dir, 0o755)
    const code = `
    import { openPart } from ${JSON.stringify(MODULE)}
    console.log(JSON.stringify(await openPart(process.argv[1], process.argv[2], ${JSON.stringify(IDENTITY)}, {})))`
    const asNobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--', process.execPath]
    const told = (name: string) =>
      JSON.parse(
        execFileSync(HARDENING.setpriv ?? '', [...asNobody, '--input-type=module', '-e', code, dir, name]).toString(),
      )
    expect(told('x')).toEqual({
      ok: false,
      failure: { kind: 'disk-error', code: 'EACCES', operation: 'create', path: part },
    })
    expect(told('a/x')).toMatchObject({ ok: false, failure: { code: 'EACCES', operation: 'create the directory' } })
  },
)

/**
 * A file system of 16 pages, where this process may mount one. It is unmounted at once and reached through an open
 * descriptor, so that it goes with this process however that ends.
 */
const disk = (() => {
  const place = mkdtempSync(join(tmpdir(), 'mpdl-test-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', place], { stdio: 'ignore' })
    const descriptor = openSync(place, constants.O_RDONLY | constants.O_DIRECTORY)
    execFileSync('umount', ['--lazy', place])
    return `/proc/self/fd/${descriptor}`
  } catch {
    return undefined
  } finally {
    rmSync(place, { recursive: true })
  }
})()

describe.runIf(disk !== undefined)('a full disk', () => {
  /** Takes all room but so many pages. */
  function leavePages(pages: number): void {
    const { bavail, bsize } = statfsSync(dir)
    writeFileSync(join(dir, 'ballast'), Buffer.alloc((bavail - pages) * bsize))
  }

  beforeEach(() => {
    rmSync(dir, { recursive: true })
    dir = disk ?? ''
    for (const name of readdirSync(dir)) rmSync(join(dir, name), { recursive: true })
    expect(statfsSync(dir).bsize).toBe(4096)
  })

  afterEach(() => {
    // The outer hook removes `dir`, which is the disk's root here.
    dir = join(dir, 'removed')
  })

  test('fails the opening and leaves nothing that was not there', async () => {
    leavePages(0)
    expect(failureOf(await attemptToOpen())).toEqual({ kind: 'disk-full', path: join(dir, 'x.part') })
    expect(readdirSync(dir)).toEqual(['ballast'])
  })

  test('leaves what another tool began where it is when there is no room for the note', async () => {
    writeFileSync(join(dir, 'x'), 'their bytes')
    leavePages(0)
    expect(failureOf(await attemptToOpen({ adopts: 'target' }))).toEqual({
      kind: 'disk-full',
      path: join(dir, 'x.part'),
    })
    expect(readdirSync(dir).toSorted()).toEqual(['ballast', 'x'])
  })

  test('keeps the bytes of an earlier run when only its note cannot be written again', async () => {
    const first = await open()
    fill(first, 40, 100)
    first.close()
    leavePages(0)
    expect(failureOf(await attemptToOpen())).toEqual({ kind: 'disk-full', path: join(dir, 'x.part') })
    rmSync(join(dir, 'ballast'))
    expect((await open()).completedBytes).toBe(40)
  })

  test('never leaves half a note in the place of a whole one', async () => {
    const opened = await open({ url: `https://h/${'x'.repeat(6000)}` })
    fill(opened, 40, 100)
    const before = readControl(join(dir, 'x.part.json'))
    expect(before?.completed).toEqual([[0, 40]])
    leavePages(1)
    opened.record([[0, 40]])
    opened.save()
    expect(readControl(join(dir, 'x.part.json'))).toEqual(before)
    expect(readdirSync(dir).toSorted()).toEqual(['ballast', 'x.part', 'x.part.json'])
  })

  test('keeps all but the last block of a part that had no note of its own yet', async () => {
    const run = new RunLock(dir, { version: '1.2.3', bootId: 'boot' }, HARDENING)
    const opened = await openPart(dir, 'x', IDENTITY, HARDENING, run)
    if (!opened.ok) throw new Error(JSON.stringify(opened.failure))
    opened.part.restart({ etag: '"v1"' }, 20_000)
    writeSync(opened.part.descriptor, 'x'.repeat(10_000))
    opened.part.record([[0, 10_000]])
    leavePages(0)
    await opened.part.close()
    run.close()
    expect(readdirSync(dir).toSorted()).toEqual(['ballast', 'x.part', 'x.part.json'])
    expect([lstatSync(join(dir, 'x.part')).size, (await open()).completed]).toEqual([8192, [[0, 8192]]])
  })

  test('fails a beginning, and still commits what is whole', async () => {
    const opened = await open()
    fill(opened, 5, 5)
    leavePages(0)
    expect(opened.resume({ etag: '"v2"' }, 5)).toMatchObject({ kind: 'disk-full' })
    expect(await opened.commit(5, { fsync: 'file' })).toEqual({ ok: true })
    expect(readFileSync(join(dir, 'x'), 'utf8')).toBe('xxxxx')
  })
})
