// Decides whether a run begins with what the one before it did not come to, whatever has happened to the list.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { RunEvent } from '../../src/core/event.ts'
import { PROTOCOL_VERSION } from '../../src/protocol/message.ts'
import { openJobList } from '../../src/supervisor/job-list.ts'
import { openListHistory } from '../../src/supervisor/list-history.ts'
import type { RunParts } from '../../src/supervisor/run.ts'
import type { Settings } from '../../src/supervisor/settings.ts'
import type { Script } from '../fixtures/scripted-isolation.ts'
import { fakeTime, head, run } from './scripted-run.ts'

let dir = ''

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-order-'))
  fakeTime()
})
afterEach(() => {
  vi.useRealTimers()
  rmSync(dir, { recursive: true, force: true })
})

const READY = { type: 'ready', version: PROTOCOL_VERSION } as const

/** Answers with 404 where the name says so, and else with an empty file. */
const honest: Script = {
  start: (child) => {
    child.say(READY)
    const { task } = child.order
    const isMissing = task.kind === 'fetch' && task.url.includes('missing')
    child.say(head(isMissing ? 404 : 200, [['content-length', '0']]))
  },
  onCommand: (child, { type }) => {
    if (type !== 'receive' && type !== 'refuse') return
    if (type === 'receive') child.say({ type: 'done', bytes: 0 })
    child.end({ exitCode: 0 })
  },
}

const startedIn = (events: readonly RunEvent[]) =>
  events.flatMap((event) => (event.type === 'job-started' ? [event.out] : []))

/** Time stands still, however long the disk takes. */
async function untilEnded({ report, untilDone }: Awaited<ReturnType<typeof run>>): Promise<void> {
  while (report.counts === null) await new Promise((resolve) => setImmediate(resolve))
  await untilDone()
}

const oneByOne = { jobs: 1, tries: 1, maxPerHost: 1 }

describe('ranks', () => {
  const order = async (lines: readonly string[], ranks: readonly number[], changes: Partial<Settings> = oneByOne) => {
    const parts: Partial<RunParts> = { ranks: Uint8Array.from(ranks) }
    const it = await run(dir, lines, () => honest, changes, parts)
    await untilEnded(it)
    expect(it.differences()).toEqual([])
    return startedIn(it.events)
  }

  test('are the order of the starts, and the list is that of each rank', async () => {
    const lines = ['http://h/a', 'http://h/b', 'http://h/c', 'http://h/d', 'http://h/e']
    expect(await order(lines, [2, 0, 1, 0, 2])).toEqual(['b', 'd', 'c', 'a', 'e'])
  })

  test('are numbers and no words', async () => {
    const lines = ['http://h/a', 'http://h/b', 'http://h/c', 'http://h/d']
    expect(await order(lines, [100, 2, 11, 10])).toEqual(['b', 'd', 'c', 'a'])
  })

  test('a host that is full leaves its slot to what another host has to do, later in the order', async () => {
    const lines = ['http://h/a', 'http://h/b', 'http://i/c', 'http://i/d']
    const changes = { ...oneByOne, jobs: 2 }
    expect((await order(lines, [0, 0, 2, 1], changes)).slice(0, 2)).toEqual(['a', 'd'])
  })
})

describe('from night to night', () => {
  /** The run is ended when it has just begun with its job number `endsWith`, counted from 1. */
  async function night(names: readonly string[], endsWith?: number) {
    const lines = names.map((name) => `http://h/${name}`)
    const listed = await listOf(lines)
    const history = await openListHistory({ path: join(dir, 'lists', 'key'), list: listed, told: 'new' })
    const begun = Promise.withResolvers<void>()
    const stuck: Script = {
      start: () => begun.resolve(),
      onSignal: (child, signal) => child.end({ signal }),
    }
    const parts: Partial<RunParts> = history.ranks === undefined ? {} : { ranks: history.ranks }
    const it = await run(dir, lines, (n) => (n + 1 === endsWith ? stuck : honest), oneByOne, parts)
    begun.promise.then(() => it.controls.interrupt('SIGTERM'))
    await untilEnded(it)
    expect(it.differences()).toEqual([])
    for (const event of it.events) history.event(event)
    await history.finish({ atMs: 0, isGood: false })
    listed.close()
    return { started: startedIn(it.events), totals: it.report.totals }
  }

  test('a run that was ended early is gone on with where it was ended', async () => {
    const names = ['a', 'missing', 'c', 'd', 'e', 'f']
    const first = await night(names, 4)
    expect(first.started).toEqual(['a', 'missing', 'c', 'd'])
    expect(first.totals).toMatchObject({ downloaded: 2, failed: 1, cancelled: 1, 'not-started': 2 })
    const second = await night(['f', 'new', 'd', 'c', 'e', 'missing', 'a'])
    expect(second.started).toEqual(['f', 'e', 'd', 'missing', 'new', 'c', 'a'])
    expect((await night(names)).started).toEqual(['missing', 'a', 'c', 'd', 'e', 'f'])
  })

  test('where each run is ended too early, all jobs are come to in turn', async () => {
    const names = ['a', 'b', 'c', 'd', 'e']
    const finished: string[][] = []
    for (let n = 0; n < 5; n++) finished.push((await night(names, 3)).started.slice(0, 2))
    for (const from of [0, 1, 2]) expect(new Set(finished.slice(from, from + 3).flat())).toEqual(new Set(names))
  })
})

async function listOf(lines: readonly string[]) {
  const path = join(dir, 'list.txt')
  writeFileSync(path, `${lines.join('\n')}\n`)
  const naming = { names: 'flat' as const, queryNames: false }
  const rules = { naming, onClash: 'fail' as const, keepGoing: false, foldCase: false, spoolDir: dir }
  const opened = await openJobList({ kind: 'file', path }, rules)
  if (!opened.ok) throw new Error('the list of the test is wrong')
  return opened.list
}
