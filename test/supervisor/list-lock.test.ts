// Decides whether one run at a time gets a list, whatever stands in the lock's file, and who the others are told it is.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { detectHardening } from '../../src/isolation/hardening.ts'
import { type ListLock, type ListLockOptions, lockList } from '../../src/supervisor/list-lock.ts'

const HARDENING = detectHardening()
const WITHOUT = { ...HARDENING, flock: undefined }
const hasFlock = HARDENING.flock !== undefined
const SELF = { pid: process.pid, host: 'here', startedMs: 1_795_227_615_000, command: 'mpdl urls.txt' }
/** Words of somebody who cannot be: no process began then. */
const wordsOf = (pid: number, host = 'here') =>
  JSON.stringify({ pid, host, startedMs: 1, command: 'mpdl stale.txt', birth: 'another boot 1' })

let dir: string
let path: string
let held: ListLock[]
let processes: ChildProcess[]

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-test-'))
  path = join(dir, 'locks', 'key')
  held = []
  processes = []
})

afterEach(async () => {
  for (const lock of held) if (lock.ok) lock.release()
  await Promise.all(processes.map(end))
  rmSync(dir, { recursive: true, force: true })
})

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

async function take(changes: Partial<ListLockOptions> = {}): Promise<ListLock> {
  const lock = await lockList({ path, self: SELF, waitMs: 0, hardening: HARDENING, ...changes })
  if (lock.ok) held.push(lock)
  return lock
}

function release(lock: ListLock): void {
  held.splice(held.indexOf(lock), 1)
  if (lock.ok) lock.release()
}

function plant(content: string): void {
  mkdirSync(join(dir, 'locks'), { recursive: true })
  writeFileSync(path, content)
}

/** What a lock is when seen from another process. */
type Told = { readonly ok: boolean; readonly problem?: string; readonly holder?: { readonly pid: number } }
type Order = Partial<ListLockOptions> | 'release'

const CONTENDER = `
  import { lockList } from ${JSON.stringify(join(import.meta.dirname, '../../src/supervisor/list-lock.ts'))}
  const self = { ...${JSON.stringify(SELF)}, pid: process.pid }
  let lock
  process.on('message', async (order) => {
    if (order === 'release') lock.release()
    else lock = await lockList({ self, waitMs: 0, ...order })
    process.send({ ok: lock.ok, problem: lock.problem, holder: lock.holder })
  })
  process.on('disconnect', () => process.exit())
  process.send({ ok: true })`

/** A process that does as it is told. */
async function contender(wrap: readonly string[] = []): Promise<ChildProcess> {
  const command = [...wrap, process.execPath, '--input-type=module', '-e', CONTENDER]
  const child = spawn(command[0] ?? '', command.slice(1), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  await once(child, 'message')
  return child
}

async function tell(child: ChildProcess, order: Order): Promise<Told> {
  const answered = once(child, 'message')
  child.send(order)
  const [told]: Told[] = await answered
  if (told === undefined) throw new Error('no answer')
  return told
}

async function other(wrap: readonly string[] = []): Promise<ChildProcess> {
  const child = await contender(wrap)
  processes.push(child)
  return child
}

const MODES = [
  ['the kernel', HARDENING],
  ['words alone', WITHOUT],
] as const

describe('twenty at once', () => {
  let contenders: ChildProcess[] = []
  beforeAll(async () => {
    contenders = await Promise.all(Array.from({ length: 20 }, () => contender()))
  })
  afterAll(() => Promise.all(contenders.map(end)))

  const deadPid = spawnSync('true').pid
  const STALE: readonly [string, string | undefined][] = [
    ['nothing', undefined],
    ['an empty file', ''],
    ['garbage', '{"pid":1,"ho'],
    ['the words of a dead process', wordsOf(deadPid)],
    ['the words of a dead process that had no birth', wordsOf(deadPid).replace('"another boot 1"', 'null')],
    ['a pid that is another process by now', wordsOf(process.pid)],
    ['words that do not say when their process began', wordsOf(process.pid).replace('"another boot 1"', 'null')],
    ['words of another host', wordsOf(process.pid, 'there')],
    ['10 MB of junk', '7'.repeat(10_000_000)],
  ]
  const cases = MODES.flatMap(([mode, hardening]) =>
    STALE.map(([what, content]) => [mode, what, hardening, content] as const),
  )
  test.each(cases)(
    'with %s over %s: exactly one gets it, round after round',
    async (_mode, _what, hardening, stale) => {
      for (let round = 0; round < 3; round++) {
        if (stale !== undefined) plant(stale)
        const told = await Promise.all(contenders.map((each) => tell(each, { path, hardening })))
        const [winner, ...more] = contenders.filter((_, n) => told[n]?.ok === true)
        expect([winner === undefined, more.length], `round ${round}`).toEqual([false, 0])
        // Under load even the winner's words may come too late; somebody else's never come.
        for (const { ok, holder } of told) if (!ok) expect([undefined, winner?.pid]).toContain(holder?.pid)
        expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ pid: winner?.pid })
        expect(readdirSync(join(dir, 'locks'))).toEqual(['key'])
        if (winner !== undefined) await tell(winner, 'release')
        expect(statSync(path, { throwIfNoEntry: false })?.size ?? 0).toBe(0)
      }
    },
  )
})

describe.each(MODES)('with %s', (mode, hardening) => {
  test('the second is told who the first is, and has it when that is done', async () => {
    const first = await take({ hardening })
    expect(first).toMatchObject({ ok: true, problem: undefined })
    expect(await take({ hardening })).toMatchObject({ ok: false, holder: SELF })
    release(first)
    expect(await take({ hardening })).toMatchObject({ ok: true, problem: undefined })
  })

  test('it is nobody else’s to read', async () => {
    await take({ hardening })
    expect([lstatSync(path).mode & 0o777, lstatSync(join(dir, 'locks')).mode & 0o777]).toEqual([0o600, 0o700])
  })

  test('kill -9 of the holder frees it at once', async () => {
    const holder = await other()
    await tell(holder, { path, hardening })
    expect(await take({ hardening })).toMatchObject({ ok: false, holder: { pid: holder.pid } })
    await end(holder)
    expect(readFileSync(path, 'utf8')).toContain(`"pid":${holder.pid}`)
    expect(await take({ hardening })).toMatchObject({ ok: true, problem: undefined })
    expect(await take({ hardening })).toMatchObject({ ok: false, holder: SELF })
  })

  test('a holder that is stopped still has it', async () => {
    const holder = await other()
    await tell(holder, { path, hardening })
    holder.kill('SIGSTOP')
    expect(await take({ hardening })).toMatchObject({ ok: false, holder: { pid: holder.pid } })
  })

  test.each(['release', 'SIGKILL'] as const)('who waits has it after the %s of the other', async (how) => {
    const holder = await other()
    await tell(holder, { path, hardening })
    const waiting = take({ hardening, waitMs: 60_000 })
    if (how === 'release') await tell(holder, 'release')
    else await end(holder)
    expect(await waiting).toMatchObject({ ok: true, problem: undefined })
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject(SELF)
  })

  test('who waits in vain is told after so long, and not before', async () => {
    await take({ hardening })
    const beganAt = performance.now()
    expect(await take({ hardening, waitMs: 400 })).toMatchObject({ ok: false, holder: SELF })
    expect(performance.now() - beganAt).toBeGreaterThanOrEqual(400)
  })

  test('another list’s does not matter', async () => {
    await take({ hardening })
    expect(await take({ hardening, path: join(dir, 'locks', 'other') })).toMatchObject({ ok: true })
  })

  const PLANTED: readonly [string, RegExp, () => void][] = [
    ['a symbolic link', /ELOOP/, () => symlinkSync(join(dir, 'precious'), path)],
    ['a second name', /not a file of its own; remove it/, () => linkSync(join(dir, 'precious'), path)],
    ['a pipe', /not a file of its own; remove it/, () => spawnSync('mkfifo', [path])],
    ['a directory', /EISDIR/, () => mkdirSync(path)],
  ]
  test.each(PLANTED)('%s in its place is left alone, and the run goes on and says so', async (_, why, make) => {
    mkdirSync(join(dir, 'locks'))
    writeFileSync(join(dir, 'precious'), 'kept')
    make()
    const lock = await take({ hardening })
    expect(lock).toMatchObject({ ok: true, problem: expect.stringMatching(why) })
    release(lock)
    expect(readFileSync(join(dir, 'precious'), 'utf8')).toBe('kept')
  })

  test('without a place for it the run goes on and says so', async () => {
    writeFileSync(join(dir, 'locks'), '')
    expect(await take({ hardening })).toMatchObject({ ok: true, problem: expect.stringContaining('another run') })
  })

  test.runIf(HARDENING.prlimit !== undefined)('a full disk leaves no litter', async () => {
    const holder = await other([HARDENING.prlimit ?? '', '--fsize=0', '--'])
    const { ok, problem } = await tell(holder, { path, hardening })
    // The kernel needs no bytes for a lock.
    expect([ok, problem?.includes('EFBIG')]).toEqual([true, mode === 'the kernel' ? undefined : true])
    expect([readdirSync(join(dir, 'locks')), statSync(path).size]).toEqual([['key'], 0])
    expect(await take({ hardening })).toMatchObject({ ok: mode !== 'the kernel' })
  })
})

describe.runIf(hasFlock)('a lock of the kernel’s whose holder has not said who it is', () => {
  test.each([
    ['nothing', ''],
    ['a dead run’s words', wordsOf(2 ** 22 + 1)],
    ['words with the pid of another process', wordsOf(process.pid)],
    ['words of a pid that nobody may have', wordsOf(0)],
    ['junk', '\u0000'.repeat(100_000)],
  ])('is told so, over %s', async (_, content) => {
    await heldBySomebody(content)
    expect(await take()).toEqual({ ok: false, holder: undefined })
    expect(readFileSync(path, 'utf8')).toBe(content)
  })

  test('is told to be of the host that the words name', async () => {
    await heldBySomebody(wordsOf(7, 'there'))
    expect(await take()).toMatchObject({ ok: false, holder: { pid: 7, host: 'there' } })
  })

  test('is had when it is free a moment later', async () => {
    const holder = await heldBySomebody('')
    const taking = take()
    await end(holder)
    expect(await taking).toMatchObject({ ok: true })
  })

  /** By one that writes nothing. */
  async function heldBySomebody(content: string): Promise<ChildProcess> {
    plant(content)
    const holder = spawn(HARDENING.flock ?? '', ['--no-fork', path, 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] })
    processes.push(holder)
    holder.stdin.write('locked')
    await once(holder.stdout, 'data')
    return holder
  }
})

test.runIf(hasFlock)('a file that is removed before it is locked is nobody’s lock', async () => {
  const flock = join(dir, 'flock')
  const once = join(dir, 'once')
  writeFileSync(once, '')
  writeFileSync(flock, `#!/bin/sh\n[ -f ${once} ] && /bin/rm ${once} ${path}\nexec ${HARDENING.flock} "$@"\n`)
  chmodSync(flock, 0o755)
  expect(await take({ hardening: { ...HARDENING, flock } })).toMatchObject({ ok: true })
  expect([existsSync(once), existsSync(path)]).toEqual([false, true])
  expect(await take()).toMatchObject({ ok: false, holder: SELF })
})

describe('words alone', () => {
  test('are what is left where the kernel cannot lock', async () => {
    const flock = join(dir, 'flock')
    writeFileSync(flock, '#!/bin/sh\nexit 71\n')
    chmodSync(flock, 0o755)
    const hardening = { ...HARDENING, flock }
    expect(await take({ hardening })).toMatchObject({ ok: true, problem: undefined })
    expect(await take({ hardening })).toMatchObject({ ok: false, holder: SELF })
  })

  test('of another host cannot be checked, so they stop nobody for ever and are spoken of', async () => {
    plant(wordsOf(7, 'there'))
    expect(await take({ hardening: WITHOUT })).toMatchObject({
      ok: true,
      problem: 'another run of this list may be going on, pid 7 on there, which cannot be seen from here',
    })
  })

  test.runIf(existsSync('/proc/self/stat'))(
    'of a killed run that nobody has reaped are those of the dead',
    async () => {
      const parent = await other(['sh', '-c', '"$@" & exec sleep 600', '-'])
      await tell(parent, { path, hardening: WITHOUT })
      const refused = await take({ hardening: WITHOUT })
      const pid = refused.ok ? undefined : refused.holder?.pid
      if (pid === undefined) throw new Error('nobody has it')
      process.kill(pid, 'SIGKILL')
      await expect.poll(() => readFileSync(`/proc/${pid}/stat`, 'latin1')).toContain(') Z ')
      expect(await take({ hardening: WITHOUT })).toMatchObject({ ok: true, problem: undefined })
    },
  )

  test('go with their run, but not with one whose file somebody else has replaced', async () => {
    const first = await take()
    rmSync(path)
    const second = await take()
    expect(second).toMatchObject({ ok: true })
    release(first)
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject(SELF)
    release(second)
    expect(readdirSync(join(dir, 'locks'))).toEqual([])
  })

  test('that somebody removed are not emptied in their successor’s file', async () => {
    const first = await take({ hardening: WITHOUT })
    rmSync(path)
    await take({ hardening: WITHOUT })
    release(first)
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject(SELF)
  })

  test('of one that is just about to have it are waited for, but not those of one killed just then', async () => {
    plant('')
    writeFileSync(`${path}~`, '')
    expect(await take({ hardening: WITHOUT })).toEqual({ ok: false, holder: undefined })
    utimesSync(`${path}~`, 1, 1)
    expect(await take({ hardening: WITHOUT })).toMatchObject({ ok: true })
    expect(readdirSync(join(dir, 'locks'))).toEqual(['key'])
  })
})
