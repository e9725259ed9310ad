// Proves who gets which place in the pool, when a process takes no more, and what the end of one means to those in it.
import { mkdirSync, openSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { detectHardening } from '../../src/isolation/hardening.ts'
import type { Isolation } from '../../src/isolation/isolation.ts'
import { poolIsolation } from '../../src/isolation/pool.ts'
import type { IsolationOptions } from '../../src/isolation/select.ts'
import { lookAt } from '../../src/supervisor/liveness.ts'
import { bodyOf, type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { type AttemptOptions, fetchOf, isolationOptions, PlayedAttempt, scratchDir } from './played-attempt.ts'

let server: FaultServer
let scratch: ReturnType<typeof scratchDir>
let isolation: Isolation

beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())
beforeEach(() => {
  scratch = scratchDir()
})
afterEach(async () => {
  await isolation.close()
  scratch.remove()
})

/** More children than any machine has cores. */
const ROOMY = { jobs: 1_000_000 }

function pool(more: Partial<IsolationOptions> = {}): void {
  isolation = poolIsolation(isolationOptions(scratch.dir, more))
}

/** A pool whose processes run this program instead: `say` puts a report on the wire, `orders` is called with each order. */
function scripted(program: string, more: Partial<IsolationOptions> = {}): void {
  const poolScript = join(scratch.dir, 'pool.cjs')
  writeFileSync(
    poolScript,
    `const wire = new (require('node:net').Socket)({ fd: 3, readable: true, writable: true })
const say = (...reports) => wire.write(reports.map((report) => JSON.stringify(report) + '\\n').join(''))
let orders = () => {}
let rest = ''
wire.on('data', (chunk) => {
  const lines = (rest + chunk).split('\\n')
  rest = lines.pop()
  for (const line of lines) orders(JSON.parse(line), lines.length)
})
${program}`,
  )
  pool({ poolScript, isStrict: false, ...ROOMY, ...more })
}

const begun = (path = '/ok?size=10', options: AttemptOptions = {}) =>
  new PlayedAttempt(isolation, scratch.dir, fetchOf(server.url(path)), options).begin()

async function done(attempt: PlayedAttempt): Promise<void> {
  await attempt.receive()
  await attempt.ended()
  expect(attempt.claim).toMatchObject({ type: 'done' })
}

function pidOf({ lease: { unit } }: PlayedAttempt): number {
  if (unit === undefined || !('pid' in unit)) throw new Error('no process')
  return unit.pid
}

describe('places', () => {
  test('of one process are taken before another process is started', async () => {
    pool(ROOMY)
    const attempts = Array.from({ length: 20 }, () => begun())
    expect(new Set(attempts.map(pidOf)).size).toBe(1)
    await Promise.all(attempts.map(done))
  })

  test('are in as many processes as are needed, each with its share', async () => {
    pool({ jobs: 64 })
    const waiting = Array.from({ length: 33 }, () => begun('/stall-headers'))
    const others = [begun(), begun()]
    expect(new Set(waiting.slice(0, 32).map(pidOf)).size).toBe(1)
    expect(new Set(waiting.map(pidOf)).size).toBe(Math.min(2, availableParallelism()))
    // It is the least loaded that gets one more, before and after.
    expect(new Set([waiting[32], ...others].map((each) => pidOf(each as PlayedAttempt))).size).toBe(1)
    await Promise.all(others.map(done))
    for (const { lease } of waiting) lease.stop('SIGTERM')
    await Promise.all(waiting.map((each) => each.ended()))
  })

  test('of a process that brings bytes as fast as one core can are left to those that have one', async () => {
    scripted(`orders = ({ type, id }) => {
      if (type !== 'open' || id > 1) return
      say({ type: 'said', id, message: { type: 'done', bytes: 2 ** 40 } }, { type: 'left', id })
    }`)
    const attempt = () => new PlayedAttempt(isolation, scratch.dir, fetchOf('http://localhost/'))
    const quick = attempt()
    await quick.ended()
    const [idle, busy] = [attempt(), attempt()]
    expect(pidOf(idle)).toBe(pidOf(quick))
    expect(pidOf(busy) === pidOf(quick)).toBe(availableParallelism() === 1)
    for (const { lease } of [idle, busy]) lease.stop('SIGKILL')
    await Promise.all([idle, busy].map((each) => each.ended()))
  })

  test('are free again when their conversations have ended', async () => {
    pool({ jobs: 1 })
    const attempts: PlayedAttempt[] = []
    for (let n = 0; n < 5; n++) {
      const attempt = begun()
      attempts.push(attempt)
      await done(attempt)
    }
    expect(new Set(attempts.map(pidOf)).size).toBe(1)
  })

  test('for a suspect are in a process of its own', async () => {
    pool(ROOMY)
    const [one, suspect, other] = [begun(), begun('/ok?size=10', { isAlone: true }), begun()]
    expect(suspect.lease.unit?.kind).toBe('process')
    expect(pidOf(one)).toBe(pidOf(other))
    await Promise.all([one, suspect, other].map(done))
  })

  test('of a process that did its five thousand are taken no more, and it leaves', async () => {
    scripted(
      `orders = ({ type, id }) => { if (type === 'open') say({ type: 'left', id }) }
       wire.on('close', () => process.exit())`,
    )
    const pids: number[] = []
    for (let n = 0; n < 5001; n++) {
      const attempt = new PlayedAttempt(isolation, scratch.dir, fetchOf('http://localhost/'))
      pids.push(pidOf(attempt))
      await attempt.ended()
    }
    expect(new Set(pids.slice(0, 5000)).size).toBe(1)
    expect(pids[5000]).not.toBe(pids[0])
    await expect.poll(() => lookAt(pids[0] ?? 0)).toBeUndefined()
  })

  test('of a process in which one was stopped are taken no more', async () => {
    pool(ROOMY)
    const [stopped, fellow] = [begun('/stall-headers'), begun()]
    await stopped.said('phase')
    stopped.lease.stop('SIGTERM')
    const { end } = await stopped.ended()
    expect(end).toEqual({ outOfMemory: false, others: 1 })
    const next = begun()
    expect(pidOf(next)).not.toBe(pidOf(stopped))
    await Promise.all([fellow, next].map(done))
    await expect.poll(() => lookAt(pidOf(stopped))).toBeUndefined()
  })

  test('of a process that was only suspended are taken again', async () => {
    pool(ROOMY)
    const attempts = [begun(), begun()]
    await attempts[0]?.said('head')
    for (const { lease } of attempts) lease.stop('SIGSTOP')
    for (const { lease } of attempts) lease.stop('SIGCONT')
    await Promise.all(attempts.map(done))
    const next = begun()
    expect(attempts.map(pidOf)).toContain(pidOf(next))
    await done(next)
  })
})

describe('the end of a process', () => {
  test('is that of all in it, who learn how many others there were', async () => {
    pool(ROOMY)
    const attempts = [begun('/stall-headers'), begun('/stall-headers'), begun('/stall-headers')]
    for (const attempt of attempts) await attempt.said('phase')
    attempts[1]?.lease.stop('SIGKILL')
    const ends = await Promise.all(attempts.map((attempt) => attempt.ended()))
    const expected = { signal: 'SIGKILL', outOfMemory: false, others: 2 }
    expect(ends.map(({ end }) => end)).toEqual([expected, expected, expected])
    for (const { events } of attempts) expect(events.at(-2)).toEqual({ kind: 'closed' })
  })

  test('names no others where there were none', async () => {
    pool(ROOMY)
    const attempt = begun('/stall-headers')
    await attempt.said('phase')
    attempt.lease.stop('SIGKILL')
    expect((await attempt.ended()).end.others).toBe(0)
  })

  test('is remembered with those who were there when it was told to stop', async () => {
    scripted(`orders = ({ id, command }) => {
      if (command?.type !== 'stop') return
      say({ type: 'left', id: 2 })
      setTimeout(() => process.exit(7), 10)
    }`)
    const attempts = Array.from({ length: 3 }, () => begun())
    attempts[0]?.lease.stop('SIGTERM')
    const ends = await Promise.all(attempts.map((attempt) => attempt.ended()))
    expect(ends.map(({ end }) => end)).toEqual([
      { exitCode: 7, outOfMemory: false, others: 2 },
      { outOfMemory: false },
      { exitCode: 7, outOfMemory: false, others: 1 },
    ])
  })

  test('brings its last words to all', async () => {
    scripted(`orders = () => { throw new Error('the last word') }`)
    const attempts = [begun(), begun()]
    for (const attempt of attempts) expect((await attempt.ended()).lastWords).toMatch(/the last word/)
  })
})

describe('what is no report', () => {
  test.each([
    ['no JSON', `wire.write('}{\\n')`],
    ['no known report', `say({ type: 'said', id: 1, message: { type: 'beat', bytes: -1 } })`],
    ['a report about nobody', `say({ type: 'left', id: 99 })`],
    ['a second end', `say({ type: 'left', id: 2 }, { type: 'left', id: 2 })`],
    ['a line without end', `wire.write('x'.repeat(600 * 1024))`],
  ])('(%s) is garbage from all, once, and then a signal is a signal', async (_, program) => {
    scripted(`orders = ({ id }) => { if (id === 2) { ${program} } }`)
    const attempt = begun()
    begun()
    await attempt.happens(() => attempt.events.find(({ kind }) => kind === 'garbled'))
    attempt.lease.stop('SIGTERM')
    expect((await attempt.ended()).end.signal).toBe('SIGTERM')
    expect(attempt.events.filter(({ kind }) => kind === 'garbled').length).toBe(1)
  })
})

describe('the wire', () => {
  test('carries all orders of one turn in one write', async () => {
    scripted(`orders = ({ id }, ofThisRead) => say({ type: 'said', id, message: { type: 'beat', bytes: ofThisRead } })`)
    const attempts = Array.from({ length: 5 }, () => begun())
    await attempts[0]?.said('beat')
    // Each was opened and told its task.
    expect(attempts[0]?.messages[0]).toEqual({ type: 'beat', bytes: 10 })
    attempts[0]?.lease.stop('SIGKILL')
    for (const attempt of attempts) await attempt.ended()
  })
})

describe('the file', () => {
  test('that took the place of the right one is not written', async () => {
    pool()
    const path = join(scratch.dir, 'part')
    const descriptor = openSync(path, 'w+')
    writeFileSync(join(scratch.dir, 'other'), 'precious')
    renameSync(join(scratch.dir, 'other'), path)
    const attempt = begun('/ok?size=10', { file: { path, descriptor, access: 'write' } })
    await attempt.ended()
    expect(attempt.claim).toMatchObject({ type: 'failed', failure: { kind: 'disk-error', code: 'ESTALE' } })
    expect(attempt.file().toString()).toBe('precious')
  })

  test('is no symbolic link, not even one to the right file', async () => {
    pool()
    const path = join(scratch.dir, 'link')
    const descriptor = openSync(join(scratch.dir, 'part'), 'w+')
    symlinkSync('part', path)
    const attempt = begun('/ok?size=10', { file: { path, descriptor, access: 'write' } })
    await attempt.ended()
    expect(attempt.claim).toMatchObject({ type: 'failed', failure: { kind: 'disk-error', code: 'ELOOP' } })
  })
})

describe.skipIf(!detectHardening().hasPermissionModel)('the sandbox', () => {
  test('lets it open nothing outside of the directory, not even the right file', async () => {
    const dir = join(scratch.dir, 'inner')
    mkdirSync(dir)
    pool({ dir })
    const path = join(scratch.dir, 'outer')
    const descriptor = openSync(path, 'w+')
    const attempt = begun('/ok?size=10', { file: { path, descriptor, access: 'write' } })
    await attempt.ended()
    expect(attempt.claim).toMatchObject({ type: 'failed', failure: { kind: 'disk-error', code: 'ERR_ACCESS_DENIED' } })
  })

  test('denies reading, writing elsewhere, programs and threads', async () => {
    pool({ isRehearsal: true })
    const attempt = begun('/ok', { fault: 'probe' })
    await attempt.ended()
    const detail = `${['read', 'write', 'spawn', 'thread'].map((what) => `${what}=ERR_ACCESS_DENIED`).join(' ')} own=allowed`
    expect(attempt.claim).toEqual({ type: 'failed', failure: { kind: 'child-error', detail } })
  })

  test.each(['com,ma', 'a space', 'ünï', 'q?x', 'br[a]ce', 'per%20cent', 'eq=', 'quo\'te"', 'back\\slash'])(
    'lets it work in a directory called %s',
    async (name) => {
      const dir = join(scratch.dir, name, 'deeper')
      mkdirSync(dir, { recursive: true })
      pool({ dir: join(scratch.dir, name) })
      const attempt = new PlayedAttempt(isolation, dir, fetchOf(server.url('/ok?size=10'))).begin()
      await done(attempt)
      expect(attempt.lease.unit?.kind).toBe('pool')
      expect(attempt.file().equals(bodyOf(10))).toBe(true)
    },
  )

  test('lets it work in a directory that is a symbolic link', async () => {
    mkdirSync(join(scratch.dir, 'real'))
    const dir = join(scratch.dir, 'link')
    symlinkSync('real', dir)
    pool({ dir })
    await done(new PlayedAttempt(isolation, dir, fetchOf(server.url('/ok?size=10'))).begin())
    expect(readdirSync(join(scratch.dir, 'real')).length).toBe(1)
  })

  test('is never that of two directories: where a star would make it so, each gets a process of its own', async () => {
    const dir = join(scratch.dir, 'st*r')
    mkdirSync(dir)
    pool({ dir })
    const attempt = new PlayedAttempt(isolation, dir, fetchOf(server.url('/ok?size=10'))).begin()
    await done(attempt)
    expect(attempt.lease.unit?.kind).toBe('process')
  })
})

describe('close', () => {
  test('waits for those that leave', async () => {
    pool({ jobs: 4 })
    const attempts = Array.from({ length: 4 }, () => begun())
    await Promise.all(attempts.map(done))
    await isolation.close()
    expect(attempts.map((attempt) => lookAt(pidOf(attempt)))).toEqual([undefined, undefined, undefined, undefined])
  })

  test('kills one that does not leave', async () => {
    scripted(
      `orders = ({ type, id }) => { if (type === 'open') say({ type: 'left', id }) }; setInterval(() => {}, 1000)`,
      {
        graceMs: 50,
      },
    )
    const attempt = new PlayedAttempt(isolation, scratch.dir, fetchOf('http://localhost/'))
    await attempt.ended()
    await isolation.close()
    expect(lookAt(pidOf(attempt))).toBeUndefined()
  })
})

test('a program that is not there is a spawn error, and the next order tries again', async () => {
  pool({ hardening: { ...detectHardening(), prlimit: '/nonexistent/prlimit' } })
  for (let n = 0; n < 2; n++) {
    const attempt = begun()
    expect(attempt.lease.unit).toBeUndefined()
    expect((await attempt.ended()).end).toMatchObject({ spawnError: 'ENOENT' })
  }
})
