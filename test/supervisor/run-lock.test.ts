// Decides whether a part that costs no lock of its own is still written by one run only: beside others, after kill -9
// and in every moment between.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { detectHardening } from '../../src/isolation/hardening.ts'
import { readControl, textOf } from '../../src/supervisor/control-file.ts'
import { bootId } from '../../src/supervisor/liveness.ts'
import { lockDescriptor } from '../../src/supervisor/lock.ts'
import type { Opened } from '../../src/supervisor/open-part.ts'
import { openPart } from '../../src/supervisor/open-part.ts'
import type { PartFile, PartIdentity } from '../../src/supervisor/part-file.ts'
import { RunLock } from '../../src/supervisor/run-lock.ts'
import { lookAtPart } from '../../src/supervisor/verify-part.ts'

const HARDENING = detectHardening()
const IDENTITY: PartIdentity = {
  job: 'job',
  version: '1.2.3',
  url: 'https://h/x',
  urlKey: 'key',
  mirrorKeys: [],
  bootId: bootId(),
  adopts: 'nothing',
}
const WORTH_A_LOCK_BYTES = 16 * 2 ** 20

let dir: string
let target: string
let part: string
let note: string
let runs: RunLock[]
let parts: PartFile[]

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-test-'))
  target = join(dir, 'x')
  part = `${target}.part`
  note = `${part}.json`
  runs = []
  parts = []
})

afterEach(async () => {
  vi.useRealTimers()
  await Promise.all(parts.map((opened) => opened.close()))
  for (const run of runs) run.close()
  rmSync(dir, { recursive: true, force: true })
})

function newRun(hardening = HARDENING): RunLock {
  const run = new RunLock(dir, { version: '1.2.3', bootId: IDENTITY.bootId }, hardening)
  runs.push(run)
  return run
}

async function attemptToOpen(run: RunLock | undefined, changes: Partial<PartIdentity> = {}, name = 'x') {
  const opened = await openPart(dir, name, { ...IDENTITY, ...changes }, HARDENING, run)
  if (opened.ok) parts.push(opened.part)
  return opened
}

async function open(run: RunLock | undefined, changes: Partial<PartIdentity> = {}, name = 'x'): Promise<PartFile> {
  const opened = await attemptToOpen(run, changes, name)
  if (!opened.ok) throw new Error(JSON.stringify(opened.failure))
  return opened.part
}

const failureOf = (opened: Opened) => (opened.ok ? undefined : opened.failure)
const locked = (pid: number | undefined) => ({ kind: 'locked', path: part, pid })
const inodeOf = (path: string) => lstatSync(path).ino
/** The files of runs. */
const runFiles = () => readdirSync(dir).filter((name) => name.startsWith('.mpdl-'))
const isOfRun = () => readControl(note)?.run !== undefined

const NO_PART = {
  version: '1',
  job: '',
  url: '',
  urlKey: '',
  validator: {},
  sizeBytes: undefined,
  completed: [],
  synced: [],
  bootId: undefined,
}

function fill(of: PartFile, bytes: number): void {
  expect(of.restart({ etag: '"v1"' }, 2 * WORTH_A_LOCK_BYTES)).toBeUndefined()
  writeSync(of.descriptor, 'x')
  truncateSync(of.path, bytes)
  of.record([[0, bytes]])
}

/** Another run, which begins `x` and is then killed; `while` it lives, something may be done. */
async function killedRun(whileItLives: (pid: number) => unknown = () => {}): Promise<void> {
  const at = (module: string) => JSON.stringify(join(import.meta.dirname, '../../src/supervisor', module))
  const code = `
    import { writeSync } from 'node:fs'
    import { openPart } from ${at('open-part.ts')}
    import { RunLock } from ${at('run-lock.ts')}
    const hardening = ${JSON.stringify(HARDENING)}
    const run = new RunLock(process.argv[1], { version: '1', bootId: undefined }, hardening)
    const opened = await openPart(process.argv[1], 'x', ${JSON.stringify(IDENTITY)}, hardening, run)
    writeSync(opened.part.descriptor, 'of the killed run')
    console.log('begun')
    setInterval(() => {}, 1000)`
  const holder = spawn(process.execPath, ['--input-type=module', '-e', code, dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(holder.stdout, 'data')
  await whileItLives(holder.pid ?? 0)
  holder.kill('SIGKILL')
  await once(holder, 'exit')
}

/** One that says how often it was asked. */
function countedFlock(): { readonly flock: string; readonly count: () => number } {
  const [flock, calls] = [join(dir, 'flock'), join(dir, 'calls')]
  writeFileSync(calls, '')
  writeFileSync(flock, `#!/bin/sh\necho called >> ${calls}\nexec ${HARDENING.flock} "$@"\n`)
  chmodSync(flock, 0o755)
  return { flock, count: () => readFileSync(calls, 'utf8').split('\n').length - 1 }
}

describe.runIf(HARDENING.flock !== undefined)('a new part', () => {
  test('has the note of its run, which names this process and vouches for no byte', async () => {
    const opened = await open(newRun())
    expect([inodeOf(note), lstatSync(note).mode & 0o777]).toEqual([inodeOf(join(dir, runFiles()[0] ?? '')), 0o600])
    fill(opened, 40)
    opened.save()
    expect(readControl(note)).toMatchObject({ pid: process.pid, completed: [] })
    expect(lookAtPart(target, IDENTITY.bootId)).toMatchObject({ keptBytes: 0, writerPid: process.pid })
  })

  test('is not made beside the file of a run that was killed before it had any', async () => {
    const dead = spawnSync(process.execPath, ['-e', '0']).pid
    const [stale, live] = ['.mpdl-0123456789abcdef', '.mpdl-fedcba9876543210']
    const noteOf = (run: string, pid: number) => writeFileSync(join(dir, run), textOf({ ...NO_PART, pid, run }))
    noteOf(stale, dead)
    noteOf(live, process.ppid)
    await open(newRun())
    expect(runFiles()).not.toContain(stale)
    expect(runFiles()).toContain(live)
  })

  test('costs no process: a hundred take one lock', async () => {
    const { flock, count } = countedFlock()
    const hardening = { ...HARDENING, flock }
    const run = newRun(hardening)
    const names = Array.from({ length: 100 }, (_, n) => `f${n}`)
    const all = await Promise.all(names.map((name) => openPart(dir, name, IDENTITY, hardening, run)))
    for (const opened of all) if (opened.ok) parts.push(opened.part)
    expect([parts.length, count()]).toEqual([100, 1])
  })

  test('gets its name and leaves nothing, as does one that got no bytes', async () => {
    const run = newRun()
    const [first, second] = [await open(run), await open(run, {}, 'y')]
    fill(first, 5)
    expect(await first.commit(5, { fsync: 'file' })).toEqual({ ok: true })
    await first.close()
    await second.close()
    run.close()
    expect(readdirSync(dir)).toEqual(['x'])
  })

  test('keeps its bytes for the next attempt when this one ends', async () => {
    const run = newRun()
    const first = await open(run)
    fill(first, 40)
    await first.close()
    expect([isOfRun(), readControl(note)?.completed]).toEqual([false, [[0, 40]]])
    expect((await open(run)).completedBytes).toBe(40)
  })

  test('that somebody has taken away is not removed, and its note says nothing of ours', async () => {
    const opened = await open(newRun())
    fill(opened, 40)
    unlinkSync(part)
    writeFileSync(part, 'theirs')
    await opened.close()
    expect([readFileSync(part, 'utf8'), isOfRun()]).toEqual(['theirs', true])
  })

  describe('that lasts or is large', () => {
    const hasOwnNote = () => expect.poll(isOfRun).toBe(false)

    test('has a lock and a note of its own', async () => {
      const opened = await open(newRun())
      fill(opened, WORTH_A_LOCK_BYTES)
      opened.save()
      await hasOwnNote()
      expect(readControl(note)?.completed).toEqual([[0, WORTH_A_LOCK_BYTES]])
      expect(failureOf(await attemptToOpen(newRun()))).toEqual(locked(process.pid))
      opened.restart({}, 7)
      expect(readControl(note)).toMatchObject({ sizeBytes: 7, completed: [] })
    })

    test('has them after a moment, however small', async () => {
      vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
      const opened = await open(newRun())
      fill(opened, 40)
      opened.save()
      vi.advanceTimersByTime(49)
      expect(isOfRun()).toBe(true)
      vi.advanceTimersByTime(1)
      vi.useRealTimers()
      await hasOwnNote()
    })

    test('does without when it is little and gets its name next', async () => {
      vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
      const { flock, count } = countedFlock()
      const opened = await open(newRun({ ...HARDENING, flock }))
      fill(opened, 40)
      opened.resume({}, 40)
      vi.advanceTimersByTime(1000)
      opened.save()
      vi.advanceTimersByTime(1000)
      expect([isOfRun(), count()]).toEqual([true, 1])
    })

    test('waits as long as somebody else holds its lock, and is nobody else’s meanwhile', async () => {
      const other = openSync(join(dir, 'y'), 'a')
      const opened = await open(newRun())
      linkSync(part, join(dir, 'same'))
      const held = openSync(join(dir, 'same'), 'a')
      unlinkSync(join(dir, 'same'))
      expect(await lockDescriptor(held, HARDENING)).toBe('locked')
      fill(opened, WORTH_A_LOCK_BYTES)
      opened.save()
      await opened.sync()
      expect(failureOf(await attemptToOpen(newRun()))).toEqual(locked(process.pid))
      expect(isOfRun()).toBe(true)
      closeSync(held)
      closeSync(other)
      await expect
        .poll(() => {
          opened.save()
          return isOfRun()
        })
        .toBe(false)
    })

    test('is free at once when it is closed, be its lock under way', async () => {
      const run = newRun()
      const opened = await open(run)
      fill(opened, WORTH_A_LOCK_BYTES)
      opened.save()
      await opened.close()
      expect((await open(run)).completedBytes).toBe(WORTH_A_LOCK_BYTES)
    })
  })
})

describe.runIf(HARDENING.flock !== undefined)('another run', () => {
  test('is refused and told who it is, and leaves everything as it was', async () => {
    fill(await open(newRun()), 40)
    const before = inodeOf(part)
    expect(failureOf(await attemptToOpen(newRun()))).toEqual(locked(process.pid))
    expect(failureOf(await attemptToOpen(undefined)), 'one that locks each part').toEqual(locked(process.pid))
    expect([inodeOf(part), lstatSync(part).size]).toEqual([before, 40])
  })

  test('is refused in the moment between the name and the removal of the note, and leaves no part', async () => {
    await open(newRun())
    unlinkSync(part)
    expect(failureOf(await attemptToOpen(newRun()))).toEqual(locked(process.pid))
    expect(existsSync(part)).toBe(false)
  })

  test('is refused when somebody has removed the run’s file, and later parts have locks of their own', async () => {
    const run = newRun()
    await open(run)
    for (const name of runFiles()) unlinkSync(join(dir, name))
    expect(failureOf(await attemptToOpen(newRun()))).toEqual(locked(process.pid))
    await open(run, {}, 'y')
    expect(readControl(`${join(dir, 'y')}.part.json`)?.run).toBeUndefined()
    expect(failureOf(await attemptToOpen(newRun(), {}, 'y'))).toMatchObject({ kind: 'locked' })
  })

  test('gets the part as soon as the first is killed, in a file of its own, and clears up', async () => {
    let stray = 0
    await killedRun(async (pid) => {
      expect(failureOf(await attemptToOpen(newRun()))).toEqual(locked(pid))
      // As a child of the killed run has it, which may outlive it by a moment.
      stray = openSync(part, 'a')
    })
    const taken = await open(newRun())
    fill(taken, 40)
    writeSync(stray, 'late bytes')
    closeSync(stray)
    expect([taken.isInPlace, lstatSync(part).size, isOfRun()]).toEqual([true, 40, false])
    await taken.close()
    for (const run of runs) run.close()
    expect(readdirSync(dir).toSorted()).toEqual(['x.part', 'x.part.json'])
  })

  test('that knows no locks believes the pid of the note', async () => {
    const without = { ...HARDENING, flock: undefined }
    const attempt = () => openPart(dir, 'x', IDENTITY, without, newRun(without))
    await killedRun(async (pid) => {
      expect(failureOf(await attempt())).toEqual(locked(pid))
    })
    const opened = await attempt()
    expect(opened).toMatchObject({ ok: true })
    if (opened.ok) parts.push(opened.part)
    expect(isOfRun()).toBe(false)
  })

  test('does not take a damaged file’s word for what may be removed', async () => {
    await killedRun()
    const text = readFileSync(note, 'utf8').replace(/\.mpdl-[\w.]+/, '../precious')
    unlinkSync(note)
    writeFileSync(note, text)
    expect(readControl(note)).toBeUndefined()
  })

  test('makes good what was killed between giving the name and taking that of the part away', async () => {
    await killedRun()
    chmodSync(part, 0o644)
    linkSync(part, target)
    const next = await open(newRun())
    fill(next, 40)
    expect([readFileSync(target, 'utf8'), lstatSync(target).mode & 0o777]).toEqual(['of the killed run', 0o644])
  })

  test('has a part that was made and not noted, and its maker, when it wakes, has not', async () => {
    const late = newRun()
    await late.prepare()
    closeSync(openSync(part, 'wx'))
    await open(newRun())
    expect(late.give(note)).toBe(false)
    expect(failureOf(await attemptToOpen(late))).toEqual(locked(process.pid))
  })

  test.each<[string, () => unknown]>([
    ['nothing', () => {}],
    ['an empty part', () => writeFileSync(part, '')],
    ['what a killed run left', () => killedRun()],
    [
      'the note of a killed run',
      async () => {
        await killedRun()
        unlinkSync(part)
      },
    ],
    [
      'a note of the part’s own',
      async () => {
        const first = await open(undefined)
        fill(first, 40)
        await first.close()
        unlinkSync(part)
      },
    ],
  ])('of twenty at once over %s exactly one opens it', async (_, prepare) => {
    await prepare()
    const opened = await Promise.all(Array.from({ length: 20 }, () => attemptToOpen(newRun())))
    const winners = opened.flatMap((each) => (each.ok ? [each.part] : []))
    expect(winners.map(({ isInPlace }) => isInPlace)).toEqual([true])
    for (const each of opened) if (!each.ok) expect(each.failure).toMatchObject({ kind: 'locked' })
    expect(readControl(note)?.pid).toBe(process.pid)
  })
})

describe('the run’s file', () => {
  test.runIf(HARDENING.flock !== undefined)('goes with the last note that it is, and comes again', async () => {
    const turn = () => new Promise((resolve) => setImmediate(resolve))
    const run = newRun()
    const [first, second] = [await open(run), await open(run, {}, 'y')]
    await first.close()
    await turn()
    expect(runFiles()).toHaveLength(1)
    await second.close()
    const third = await open(run)
    await turn()
    expect(runFiles(), 'the next part came in the same turn').toHaveLength(1)
    await third.close()
    await turn()
    expect(readdirSync(dir)).toEqual([])
    await open(run)
    expect([runFiles().length, isOfRun()]).toEqual([1, true])
  })

  test.runIf(HARDENING.flock !== undefined)('keeps its lock while a part cannot be closed', async () => {
    const run = newRun()
    await open(run)
    run.close()
    expect(failureOf(await attemptToOpen(newRun()))).toEqual(locked(process.pid))
  })

  test.each([
    ['cannot be locked', { ...HARDENING, flock: undefined }],
    ['finds no process to lock it', { ...HARDENING, flock: '/dev/null' }],
  ])('that %s is not left, and parts are opened without', async (_, hardening) => {
    const run = newRun(hardening)
    await run.prepare()
    expect([run.give(note), readdirSync(dir)]).toEqual([false, []])
    await open(run)
    expect(isOfRun()).toBe(false)
  })

  test('that cannot be made is done without', async () => {
    const run = new RunLock(join(dir, 'missing'), { version: '1', bootId: undefined }, HARDENING)
    await run.prepare()
    expect(run.give(note)).toBe(false)
    run.close()
  })
})
