// The loop over scripted children: what no real child can be made to show, and what only a controlled clock can.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { PROTOCOL_VERSION } from '../../src/protocol/message.ts'
import type { Settings } from '../../src/supervisor/settings.ts'
import type { Script, ScriptedChild } from '../fixtures/scripted-isolation.ts'
import { fakeTime, head, run as runBelow } from './scripted-run.ts'

let dir = ''

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-run-'))
  fakeTime()
})
afterEach(() => {
  vi.useRealTimers()
  rmSync(dir, { recursive: true, force: true })
})

const BODY = Buffer.from('sixteen bytes ok')
const READY = { type: 'ready', version: PROTOCOL_VERSION } as const

/** A child that downloads BODY, honestly. */
const honest: Script = {
  start: (child) => {
    child.say(READY)
    child.say(head(200, [['content-length', String(BODY.length)]]))
  },
  onCommand: (child, command) => {
    if (command.type !== 'receive') return
    bring(child)
    child.end({ exitCode: 0 })
  },
}

/** Writes all of BODY and says so. */
function bring(child: ScriptedChild): void {
  writeSync(child.order.file.descriptor, BODY, 0, BODY.length, 0)
  child.say({ type: 'done', bytes: BODY.length })
}

const run = (lines: readonly string[], scripts: (n: number) => Script, changes: Partial<Settings> = {}) =>
  runBelow(dir, lines, scripts, changes)

describe('the run', () => {
  test('an honest child downloads its file and the sums add up', async () => {
    const it = await run(['http://h/a'], () => honest)
    await it.untilDone()
    expect(it.rows()).toMatchObject([{ outcome: 'downloaded', proof: 'length', size: BODY.length }])
    expect(readFileSync(join(dir, 'out', 'a'))).toEqual(BODY)
    expect(it.differences()).toEqual([])
  })

  test('[abandoned] a child that SIGKILL does not end costs its slot and is named, and the run goes on and ends', async () => {
    const immortal: Script = { start: (child) => child.say(READY) }
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
    const immortal: Script = { start: (child) => child.say(READY) }
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
        bring(child)
      },
      onSignal: (child, signal) => child.end({ signal }),
    }
    const it = await run(['http://h/a'], () => lingering)
    await it.untilDone()
    expect(it.rows()).toMatchObject([{ outcome: 'downloaded', attempts: [{ lingered: true, signal: 'SIGTERM' }] }])
  })

  test('a job whose deadline passes while it waits for its host ends there and then', async () => {
    const busy: Script = {
      start: (child) => child.say(READY),
      onSignal: (child, signal) => child.end({ signal }),
    }
    const refused: Script = {
      start: (child) => {
        child.say(READY)
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
      start: (child) => child.say(READY),
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
