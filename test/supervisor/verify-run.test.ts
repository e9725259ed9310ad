// The walk over scripted children: order, bounds and ends that no real child can be made to show on time.

import { createHash } from 'node:crypto'
import {
  appendFileSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { fingerprint } from '../../src/core/hash.ts'
import { defaultSettings } from '../../src/defaults.ts'
import { PROTOCOL_VERSION } from '../../src/protocol/message.ts'
import { openJobList } from '../../src/supervisor/job-list.ts'
import { findRuns } from '../../src/supervisor/past-runs.ts'
import type { Settings } from '../../src/supervisor/settings.ts'
import type { FileMemory } from '../../src/supervisor/verify-memory.ts'
import { PastFiles } from '../../src/supervisor/verify-past.ts'
import type { VerifiedLine } from '../../src/supervisor/verify-run.ts'
import { Verification } from '../../src/supervisor/verify-run.ts'
import { jobEnded, runStarted } from '../events.ts'
import type { Script, ScriptedChild } from '../fixtures/scripted-isolation.ts'
import { scriptedIsolation } from '../fixtures/scripted-isolation.ts'

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-verify-'))
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
  rmSync(dir, { recursive: true, force: true })
})

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const put = (name: string, text = name) => writeFileSync(join(dir, name), text)
const listed = (name: string, text = name) => `http://h/${name}\n  checksum=sha-256=${sha256(text)}`

const ready: Script = { start: (child) => child.say({ type: 'ready', version: PROTOCOL_VERSION }) }

/** Hashes what it was given, and leaves. */
function hash(child: ScriptedChild): void {
  const { task, file } = child.order
  if (task.kind !== 'hash') throw new Error('it was told to download')
  const bytes = Buffer.alloc(Math.min(task.sizeBytes, fstatSync(file.descriptor).size))
  readSync(file.descriptor, bytes, 0, bytes.length, 0)
  const digests = Object.fromEntries(
    task.algorithms.map((name) => [name, createHash(name.replace('-', '')).update(bytes).digest('hex')]),
  )
  child.say({ type: 'done', bytes: bytes.length, digests })
  child.end({ exitCode: 0 })
}

const honest: Script = {
  ...ready,
  onCommand: (child, command) => {
    if (command.type === 'task') hash(child)
  },
}
const immortal = ready
const obedient: Script = { ...ready, onSignal: (child, signal) => child.end({ signal }) }

interface Witnesses {
  readonly past?: PastFiles
  readonly memory?: FileMemory
}
const NO_PAST = new PastFiles({ runs: [], onProblem: () => {}, isStopped: () => false })
const NO_MEMORY: FileMemory = { find: () => undefined, findNamed: () => undefined, close: () => {} }

async function prepare(
  lines: readonly string[],
  scripts: (n: number) => Script,
  changes: Partial<Settings> = {},
  { past = NO_PAST, memory = NO_MEMORY }: Witnesses = {},
) {
  const path = join(dir, 'list.txt')
  writeFileSync(path, `${lines.join('\n')}\n`)
  const naming = { names: 'flat' as const, queryNames: false }
  const rules = { naming, onClash: 'fail' as const, keepGoing: true, foldCase: false, spoolDir: dir }
  const opened = await openJobList({ kind: 'file', path }, rules)
  if (!opened.ok) throw new Error('the list of the test is wrong')
  const { isolation, children } = scriptedIsolation(scripts)
  let waits = 0
  const verification = new Verification({
    list: opened.list,
    settings: { ...defaultSettings(), dir, ...changes },
    isolation,
    past,
    memory,
    world: { nowMs: () => performance.now(), monotonicMs: () => performance.now(), random: () => 0.5 },
    onWait: async () => {
      waits++
    },
  })
  return { verification, children, waits: () => waits }
}

async function walk(...order: Parameters<typeof prepare>) {
  const { verification, children } = await prepare(...order)
  const told: VerifiedLine[] = []
  const verdicts = () => told.map(({ line, verdict }) => `${line} ${verdict}`)
  let isDone = false
  const done = (async () => {
    for await (const line of verification.lines()) told.push(line)
  })().finally(() => {
    isDone = true
  })
  /** Real input and output go on; the clock stands still. */
  const until = async (holds: () => boolean) => {
    for (let i = 0; !holds(); i++) {
      if (i > 2000) throw new Error(`never: ${holds}`)
      await setImmediate()
    }
  }
  /** Lets time pass in small steps, real input and output in between. */
  const untilDone = async () => {
    for (let i = 0; !isDone && i < 2000; i++) {
      await vi.advanceTimersByTimeAsync(50)
      await setImmediate()
    }
    await done
  }
  return { verification, children, told, verdicts, until, untilDone }
}

describe('a verification', () => {
  test('tells the lines in the order of the list, whichever child is first', async () => {
    for (const name of ['a', 'b', 'c']) put(name)
    const it = await walk([listed('a'), listed('b'), listed('c'), 'http://h/gone'], (n) => (n === 0 ? ready : honest))
    await it.until(() => it.children.length === 3)
    await setImmediate()
    expect(it.verdicts()).toEqual([])
    const [first] = it.children
    if (first !== undefined) hash(first)
    await it.untilDone()
    expect(it.verdicts()).toEqual(['1 ok', '3 ok', '5 ok', '7 missing'])
  })

  test('never has more children than -j', async () => {
    for (const name of ['a', 'b', 'c']) put(name)
    const it = await walk([listed('a'), listed('b'), listed('c')], () => ready, { jobs: 2 })
    await it.until(() => it.children.length === 2)
    for (let i = 0; i < 20; i++) await setImmediate()
    expect(it.children).toHaveLength(2)
    for (const child of it.children) hash(child)
    await it.until(() => it.children.length === 3)
    for (const child of it.children.slice(2)) hash(child)
    await it.untilDone()
    expect(it.verdicts()).toEqual(['1 ok', '3 ok', '5 ok'])
  })

  test('starts no child for what needs no reading', async () => {
    put('present')
    mkdirSync(join(dir, 'directory'))
    symlinkSync('present', join(dir, 'link'))
    symlinkSync('nowhere', join(dir, 'dangling'))
    const names = ['gone', 'present', 'directory', 'link', 'dangling']
    const lines = names.map((name) => `http://h/${name}`)
    const it = await walk([...lines, 'http://h/gone', 'gopher://h/x'], () => honest)
    await it.untilDone()
    expect(it.children).toEqual([])
    expect(it.verdicts()).toEqual([
      '1 missing',
      '2 unknown',
      '3 refused',
      '4 refused',
      '5 refused',
      '6 skipped',
      '7 bad',
    ])
    expect(it.told.at(5)).toMatchObject({ reason: 'same as line 1', out: null })
  })

  test('does not look through a link below --dir', async () => {
    mkdirSync(join(dir, 'real'))
    put('real/file', 'bytes')
    symlinkSync('real', join(dir, 'planted'))
    const it = await walk(
      ['real', 'planted'].map((name) => `${listed(`x-${name}`, 'bytes')}\n  out=${name}/file`),
      () => honest,
    )
    await it.untilDone()
    expect(it.verdicts()).toEqual(['1 ok', '4 refused'])
  })

  test('looks where a server put the file, by what mpdl remembers or by what the last run says', async () => {
    put('named.bin', 'bytes')
    const target = join(dir, 'get.php')
    const findNamed = (path: string) => (path === target ? join(dir, 'named.bin') : undefined)
    const remembering = await walk(
      [listed('get.php', 'bytes')],
      () => honest,
      {},
      { memory: { ...NO_MEMORY, findNamed } },
    )
    await remembering.untilDone()
    expect(remembering.told).toMatchObject([{ verdict: 'ok', proof: 'checksum', out: 'named.bin' }])

    writeFileSync(
      join(dir, '20261121T020000Z-aa.ndjson'),
      [{ mpdl: 1, ...runStarted() }, jobEnded({ id: fingerprint('get.php'), out: 'named.bin', size: 5 })]
        .map((event) => `${JSON.stringify(event)}\n`)
        .join(''),
    )
    const past = new PastFiles({ runs: await findRuns(dir), onProblem: () => {}, isStopped: () => false })
    const recording = await walk(['http://h/get.php', 'http://h/other.php'], () => honest, {}, { past })
    await recording.untilDone()
    expect(recording.told).toMatchObject([
      { verdict: 'ok', proof: 'size', out: 'named.bin' },
      { verdict: 'missing', out: 'other.php' },
    ])
  })

  test('hands over what it knows before it waits for a child', async () => {
    put('big')
    const { verification, waits } = await prepare(['http://h/gone', listed('big')], () => honest)
    const seen: unknown[] = []
    for await (const { line } of verification.lines()) seen.push([line, waits()])
    expect(seen).toEqual([
      [1, 0],
      [2, 1],
    ])
  })

  test('reads again what was replaced meanwhile', async () => {
    put('a', 'old')
    const replace: Script = {
      ...ready,
      onCommand: (child, command) => {
        if (command.type !== 'task') return
        hash(child)
        put('a', 'the new one')
      },
    }
    const it = await walk([listed('a', 'the new one')], (n) => (n === 0 ? replace : honest))
    await it.untilDone()
    expect(it.verdicts()).toEqual(['1 ok'])
    expect(it.children).toHaveLength(2)
  })

  test('looks twice at what a run under way has just finished', async () => {
    put('a')
    const log = join(dir, 'run.ndjson')
    const id = fingerprint('a')
    writeFileSync(log, `${JSON.stringify({ mpdl: 1, ...runStarted() })}\n`)
    const past = new PastFiles({ runs: await findRuns(dir), onProblem: () => {}, isStopped: () => false })
    const memory: FileMemory = {
      ...NO_MEMORY,
      // The row comes when the log has been read already.
      find: () => {
        writeFileSync(log, `${JSON.stringify(jobEnded({ id, size: 1 }))}\n`, { flag: 'a' })
        return undefined
      },
    }
    const it = await walk(['http://h/a'], () => honest, {}, { past, memory })
    await it.untilDone()
    expect(it.verdicts()).toEqual(['1 ok'])
  })

  test('gives up on a file that never rests', async () => {
    put('a', 'old')
    const growing: Script = {
      ...ready,
      onCommand: (child, command) => {
        if (command.type !== 'task') return
        appendFileSync(join(dir, 'a'), 'x')
        hash(child)
      },
    }
    const it = await walk([listed('a', 'old')], () => growing)
    await it.untilDone()
    expect(it.verdicts()).toEqual(['1 differs'])
    expect(it.children).toHaveLength(3)
  })

  test('[crash-signal] [child-error] a child that fails costs one verdict', async () => {
    for (const name of ['a', 'b', 'c']) put(name)
    const crash: Script = { ...ready, onCommand: (child) => child.end({ signal: 'SIGSEGV' }) }
    const silent: Script = {
      ...ready,
      onCommand: (child) => {
        child.say({ type: 'done', bytes: 1 })
        child.end({ exitCode: 0 })
      },
    }
    const it = await walk([listed('a'), listed('b'), listed('c')], (n) => [crash, silent, honest][n] ?? honest)
    await it.untilDone()
    expect(it.verdicts()).toEqual(['1 unreadable', '3 unreadable', '5 ok'])
    expect(it.told[0]?.reason).toBe('CRASHED the child died of SIGSEGV')
    expect(it.told[1]?.reason).toContain('no digest')
  })

  test('[spawn] a machine without room for a child is remembered', async () => {
    put('a')
    const it = await walk([listed('a')], () => ({ spawnError: 'EAGAIN' }))
    await it.untilDone()
    expect(it.verdicts()).toEqual(['1 unreadable'])
    expect(it.verification.isShortOfProcesses).toBe(true)
  })

  test('[abandoned] a child that SIGKILL does not end costs its slot, and without slots the rest is left', async () => {
    for (const name of ['a', 'b', 'c']) put(name)
    const quick = { hangTimeoutMs: 2000, killAfterMs: 500 }
    const two = await walk([listed('a'), listed('b'), listed('c')], (n) => (n === 0 ? immortal : honest), {
      ...quick,
      jobs: 2,
    })
    await two.untilDone()
    expect(two.verdicts()).toEqual(['1 unreadable', '3 ok', '5 ok'])
    expect(two.told[0]?.reason).toContain('ABANDONED')
    expect(two.verification.abandoned).toBe(1)

    const one = await walk([listed('a'), listed('b')], () => immortal, { ...quick, jobs: 1 })
    await one.untilDone()
    expect(one.verdicts()).toEqual(['1 unreadable'])
  })
})

describe('an interrupted verification', () => {
  test('asks its children to leave, joins them and begins no further line', async () => {
    for (const name of ['a', 'b', 'c']) put(name)
    const it = await walk([listed('a'), listed('b'), listed('c')], () => obedient, { jobs: 2 })
    await it.until(() => it.children.length === 2)
    it.verification.interrupt('SIGINT')
    await it.untilDone()
    expect(it.children.map(({ signals }) => signals)).toEqual([['SIGTERM'], ['SIGTERM']])
    expect(it.verdicts()).toEqual(['1 not-verified', '3 not-verified'])
    expect(it.verification.signal).toBe('SIGINT')
  })

  test('kills them when it is told twice, and the first signal is the one that counts', async () => {
    put('a')
    const stubborn: Script = {
      ...ready,
      onSignal: (child, signal) => {
        if (signal === 'SIGKILL') child.end({ signal })
      },
    }
    const it = await walk([listed('a')], () => stubborn)
    await it.until(() => it.children.length === 1)
    it.verification.interrupt('SIGTERM')
    it.verification.interrupt('SIGINT')
    await it.until(() => it.told.length === 1)
    expect(it.children[0]?.signals).toEqual(['SIGTERM', 'SIGKILL'])
    expect(it.verification.signal).toBe('SIGTERM')
  })

  test('sleeps and wakes with its terminal', async () => {
    put('a')
    const it = await walk([listed('a')], () => obedient)
    await it.until(() => it.children.length === 1)
    it.verification.signalChildren('SIGSTOP')
    it.verification.signalChildren('SIGCONT')
    expect(it.children[0]?.signals).toEqual(['SIGSTOP', 'SIGCONT'])
    it.verification.interrupt('SIGHUP')
    await it.untilDone()
  })

  test('tells on request where it stands', async () => {
    put('a', 'four')
    const it = await walk([listed('a'), 'http://h/gone'], () => obedient, { jobs: 1 })
    await it.until(() => it.children.length === 1)
    expect(it.verification.status()).toMatchObject({
      active: [{ line: 1, out: 'a', pid: it.children[0]?.pid, sizeBytes: 4 }],
      waiting: 1,
    })
    it.verification.interrupt('SIGINT')
    await it.untilDone()
  })
})

test('whoever stops reading leaves no child behind', async () => {
  for (const name of ['a', 'b']) put(name)
  const scripts = (n: number) => (n === 0 ? honest : obedient)
  const { verification, children } = await prepare([listed('a'), listed('b')], scripts, { jobs: 2 })
  for await (const { verdict } of verification.lines()) {
    expect(verdict).toBe('ok')
    break
  }
  expect(children.map(({ signals }) => signals)).toEqual([[], ['SIGKILL']])
})
