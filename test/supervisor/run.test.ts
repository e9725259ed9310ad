// The loop over scripted children: what no real child can be made to show, and what only a controlled clock can.

import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { JobRow, RunEvent } from '../../src/core/event.ts'
import { freshReport, step, sumsUp } from '../../src/core/report.ts'
import { defaultSettings } from '../../src/defaults.ts'
import { runHeader } from '../../src/session.ts'
import { openJobList } from '../../src/supervisor/job-list.ts'
import { startRun } from '../../src/supervisor/run.ts'
import type { Settings } from '../../src/supervisor/settings.ts'
import type { Script, ScriptedChild } from '../fixtures/scripted-isolation.ts'
import { scriptedIsolation } from '../fixtures/scripted-isolation.ts'

let dir = ''

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-run-'))
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
  rmSync(dir, { recursive: true, force: true })
})

const BODY = Buffer.from('sixteen bytes ok')
const NO_TOOLS = { setpriv: undefined, prlimit: undefined, flock: undefined, hasPermissionModel: true }

/** A child that downloads BODY, honestly. */
const honest: Script = {
  start: (child) => {
    child.say({ type: 'ready', version: 1 })
    child.say(head(200, [['content-length', String(BODY.length)]]))
  },
  onCommand: (child, command) => {
    if (command.type !== 'receive') return
    appendToPart(child)
    child.say({ type: 'done', bytes: BODY.length })
    child.end({ exitCode: 0 })
  },
}

function head(status: number, headers: [string, string][]) {
  return { type: 'head' as const, status, headers, remoteAddress: '127.0.0.1', timings: {} }
}

function appendToPart(child: ScriptedChild): void {
  appendFileSync(child.order.descriptor, BODY)
}

async function run(lines: readonly string[], scripts: (n: number) => Script, changes: Partial<Settings> = {}) {
  const listPath = join(dir, 'list.txt')
  writeFileSync(listPath, `${lines.join('\n')}\n`)
  const settings: Settings = {
    ...defaultSettings(),
    dir: join(dir, 'out'),
    stateDir: join(dir, 'state'),
    minDiskFreeBytes: 0,
    retryDelayMs: 10,
    ...changes,
  }
  const naming = { names: 'flat' as const, queryNames: false }
  const rules = { naming, onClash: 'fail' as const, keepGoing: false, foldCase: false, spoolDir: dir }
  const opened = await openJobList({ kind: 'file', path: listPath }, rules)
  if (!opened.ok) throw new Error('the list of the test is wrong')
  const { list } = opened
  const { isolation, children } = scriptedIsolation(scripts)
  const events: RunEvent[] = []
  const report = freshReport()
  const world = {
    nowMs: () => Math.round(1_800_000_000_000 + performance.now()),
    monotonicMs: () => performance.now(),
    random: () => 0.5,
  }
  const { controls, done } = startRun({
    settings,
    header: runHeader(settings, list, { listPath, argv: [], startedMs: world.nowMs() }),
    list,
    isolation,
    hardening: NO_TOOLS,
    state: { find: () => undefined, remember: () => {}, close: () => {} },
    world,
    emit: (event) => {
      events.push(event)
      step(report, event)
    },
    progressEveryMs: 1000,
  })
  let isDone = false
  const finished = done.finally(() => {
    isDone = true
  })
  /** Lets time pass in small steps, real input and output in between. */
  const untilDone = async () => {
    for (let i = 0; !isDone && i < 20_000; i++) {
      await vi.advanceTimersByTimeAsync(50)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await finished
  }
  const rows = () => events.flatMap((event): JobRow[] => (event.type === 'job-ended' ? [event.row] : []))
  const differences = () => (report.counts === null ? ['no end'] : sumsUp(report, report.counts))
  return { listPath, children, events, controls, untilDone, rows, report, differences, list }
}

describe('the run', () => {
  test('an honest child downloads its file and the sums add up', async () => {
    const it = await run(['http://h/a'], () => honest)
    await it.untilDone()
    expect(it.rows()).toMatchObject([{ outcome: 'downloaded', proof: 'length', size: BODY.length }])
    expect(readFileSync(join(dir, 'out', 'a'))).toEqual(BODY)
    expect(it.differences()).toEqual([])
  })

  test('[abandoned] a child that SIGKILL does not end costs its slot and is named, and the run goes on and ends', async () => {
    const immortal: Script = { start: (child) => child.say({ type: 'ready', version: 1 }) }
    const it = await run(['http://h/a', 'http://h/b'], (n) => (n === 0 ? immortal : honest), {
      jobs: 2,
      hangTimeoutMs: 2000,
      killAfterMs: 500,
    })
    await it.untilDone()
    const [a, b] = ['a', 'b'].map((name) => it.rows().find(({ out }) => out === name))
    expect(b).toMatchObject({ out: 'b', outcome: 'downloaded' })
    expect(a).toMatchObject({
      out: 'a',
      outcome: 'abandoned',
      failure: { kind: 'abandoned', pid: it.children[0]?.pid },
    })
    expect(it.children[0]?.signals).toEqual(['SIGTERM', 'SIGKILL'])
    expect(it.report.counts).toMatchObject({ spawned: 2, reaped: 1, abandoned: 1 })
    expect(it.differences()).toEqual([])
  })

  test('when every slot is held by a child that cannot be ended, the rest is not started', async () => {
    const immortal: Script = { start: (child) => child.say({ type: 'ready', version: 1 }) }
    const it = await run(['http://h/a', 'http://h/b', 'http://h/c'], () => immortal, {
      jobs: 1,
      hangTimeoutMs: 2000,
      killAfterMs: 0,
    })
    await it.untilDone()
    expect(it.report.totals).toMatchObject({ abandoned: 1, 'not-started': 2 })
  })

  test('[boot-timeout] a child that never says ready is ended and its job retried', async () => {
    const mute: Script = { onSignal: (child, signal) => child.end({ signal }) }
    const it = await run(['http://h/a'], (n) => (n === 0 ? mute : honest))
    await it.untilDone()
    expect(it.rows()).toMatchObject([
      { outcome: 'downloaded', attempts: [{ failure: { kind: 'boot-timeout' } }, { failure: null }] },
    ])
  })

  test('[spawn] a child that cannot be started is a failure of its own kind and is tried again', async () => {
    const it = await run(['http://h/a'], (n) => (n < 2 ? { spawnError: 'EAGAIN' } : honest))
    await it.untilDone()
    expect(it.rows()).toMatchObject([
      {
        outcome: 'downloaded',
        attempts: [{ pid: null, failure: { kind: 'spawn', code: 'EAGAIN' } }, { pid: null }, { failure: null }],
      },
    ])
    expect(it.differences()).toEqual([])
  })

  test('[length] a child that claims more bytes than the disk holds is not believed', async () => {
    const liar: Script = {
      ...honest,
      onCommand: (child, command) => {
        if (command.type !== 'receive') return
        child.say({ type: 'done', bytes: BODY.length })
        child.end({ exitCode: 0 })
      },
    }
    const it = await run(['http://h/a'], () => liar, { tries: 1 })
    await it.untilDone()
    expect(it.rows()).toMatchObject([{ outcome: 'failed', failure: { kind: 'length', expectedBytes: BODY.length } }])
    expect(existsSync(join(dir, 'out', 'a'))).toBe(false)
  })

  test('[child-error] a child that refuses what it was told to take is not believed either', async () => {
    const stubborn: Script = {
      ...honest,
      onCommand: (child, command) => {
        if (command.type !== 'receive') return
        child.say({ type: 'refused' })
        child.end({ exitCode: 0 })
      },
    }
    const it = await run(['http://h/a'], () => stubborn, { tries: 1 })
    await it.untilDone()
    expect(it.rows()).toMatchObject([{ outcome: 'crashed', failure: { kind: 'child-error' } }])
  })

  test('[list-changed] a line that was edited before its turn fails instead of downloading something else', async () => {
    const it = await run(['http://h/a', 'http://h/b'], () => honest, { jobs: 1 })
    writeFileSync(it.listPath, 'http://h/a\nhttp://h/X\n')
    await it.untilDone()
    expect(it.report.totals).toMatchObject({ downloaded: 1, failed: 1 })
    expect([...it.report.groups.values()]).toMatchObject([{ kind: 'list-changed' }])
  })

  test('a done child that does not leave is ended, and its download counts', async () => {
    const lingering: Script = {
      ...honest,
      onCommand: (child, command) => {
        if (command.type !== 'receive') return
        appendToPart(child)
        child.say({ type: 'done', bytes: BODY.length })
      },
      onSignal: (child, signal) => child.end({ signal }),
    }
    const it = await run(['http://h/a'], () => lingering)
    await it.untilDone()
    expect(it.rows()).toMatchObject([{ outcome: 'downloaded', attempts: [{ lingered: true, signal: 'SIGTERM' }] }])
  })

  test('a job whose deadline passes while it waits for its host ends there and then', async () => {
    const busy: Script = {
      start: (child) => child.say({ type: 'ready', version: 1 }),
      onSignal: (child, signal) => child.end({ signal }),
    }
    const refused: Script = {
      start: (child) => {
        child.say({ type: 'ready', version: 1 })
        child.say(head(503, []))
      },
      onCommand: (child, command) => {
        if (command.type !== 'refuse') return
        child.say({ type: 'refused' })
        child.end({ exitCode: 0 })
      },
    }
    const it = await run(['http://h/a', 'http://h/b', '  deadline=1600ms'], (n) => (n === 0 ? busy : refused), {
      jobs: 2,
      deadlineMs: 60_000,
      hangTimeoutMs: 30_000,
    })
    await it.untilDone()
    const b = it.rows().find(({ out }) => out === 'b')
    expect(b).toMatchObject({
      outcome: 'killed',
      failure: { kind: 'deadline', afterMs: 1600 },
      attempts: [{ counted: false }],
    })
    expect(b?.time_total).toBeLessThan(2)
  })

  test('a second interrupt takes the grace away', async () => {
    const deaf: Script = {
      start: (child) => child.say({ type: 'ready', version: 1 }),
      onSignal: (child, signal) => signal === 'SIGKILL' && child.end({ signal }),
    }
    const it = await run(['http://h/a', 'http://h/b'], () => deaf, { jobs: 1, killAfterMs: 60_000 })
    await vi.advanceTimersByTimeAsync(100)
    it.controls.interrupt('SIGINT')
    await vi.advanceTimersByTimeAsync(100)
    expect(it.children[0]?.signals).toEqual(['SIGTERM'])
    it.controls.interrupt('SIGINT')
    await it.untilDone()
    expect(it.children[0]?.signals).toEqual(['SIGTERM', 'SIGKILL'])
    expect(it.report.totals).toMatchObject({ cancelled: 1, 'not-started': 1 })
  })
})
