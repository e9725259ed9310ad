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
import { detectHardening } from '../../src/isolation/hardening.ts'
import { readControl } from '../../src/supervisor/control-file.ts'
import type { CommitOptions, PartFile, PartIdentity } from '../../src/supervisor/part-file.ts'
import { inspectTarget, makeDirectories, openPart, syncFileSystem } from '../../src/supervisor/part-file.ts'

const MODULE = join(import.meta.dirname, '../../src/supervisor/part-file.ts')
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

/** A file of `have` bytes, of which `size` are expected, as an attempt leaves it. */
function fill(of: PartFile, have: number, size: number): void {
  expect(of.begin({ etag: '"v1"' }, size, 0)).toBeUndefined()
  writeSync(of.descriptor, 'x'.repeat(have), 0)
  of.record(0, have)
  of.save()
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
    opened.begin({ etag: '"v1"' }, 100, 0)
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
    first.record(40, 60)
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
    expect(next.begin({ etag: '"v2"' }, 50, 0)).toBeUndefined()
    expect([next.lengthOnDisk(), next.completedBytes, readControl(note)?.completed]).toEqual([0, 0, []])
  })

  test('stays when the same version goes on', async () => {
    const first = await open()
    fill(first, 40, 100)
    expect(first.begin({ etag: '"v1"' }, 100, 40)).toBeUndefined()
    expect([first.lengthOnDisk(), first.completedBytes]).toEqual([40, 40])
  })
})

test('bytes count only as far as the file really reaches, and as synced only when they were', async () => {
  const opened = await open()
  fill(opened, 40, 100)
  opened.record(0, 90)
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
    opened.begin({}, 0, 0)
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
    opened.record(0, 40)
    opened.save()
    expect(readControl(join(dir, 'x.part.json'))).toEqual(before)
    expect(readdirSync(dir).toSorted()).toEqual(['ballast', 'x.part', 'x.part.json'])
  })

  test('fails a beginning, and still commits what is whole', async () => {
    const opened = await open()
    fill(opened, 5, 5)
    leavePages(0)
    expect(opened.begin({ etag: '"v2"' }, 5, 5)).toMatchObject({ kind: 'disk-full' })
    expect(await opened.commit(5, { fsync: 'file' })).toEqual({ ok: true })
    expect(readFileSync(join(dir, 'x'), 'utf8')).toBe('xxxxx')
  })
})
