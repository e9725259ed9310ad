// Decides whether a run knows of the ones before it: what comes first, what is news, and what a killed run has done.

import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import type { RunEvent } from '../../src/core/event.ts'
import type { Failure } from '../../src/core/failure.ts'
import type { News } from '../../src/core/news.ts'
import type { Report } from '../../src/core/report.ts'
import { openEventLog } from '../../src/supervisor/event-log.ts'
import type { JobList } from '../../src/supervisor/job-list.ts'
import { openJobList } from '../../src/supervisor/job-list.ts'
import { lineRanges } from '../../src/supervisor/line-ranges.ts'
import type { ListHistory, ListHistoryOptions } from '../../src/supervisor/list-history.ts'
import { openListHistory } from '../../src/supervisor/list-history.ts'
import { jobEnded, jobFailed, runStarted, START } from '../events.ts'

const NIGHT_MS = 24 * 3_600_000
const NOT_FOUND: Failure = { kind: 'http-status', status: 404 }
const root = mkdtempSync(join(tmpdir(), 'mpdl-history-test-'))
let dir = ''
let path = ''
let count = 0
afterAll(() => rmSync(root, { recursive: true, force: true }))
beforeEach(() => {
  dir = mkdtempSync(join(root, 'home-'))
  path = join(dir, 'state', 'lists', 'key')
})

/** One job a line; the file is called as the URL ends. */
async function listOf(text: string): Promise<JobList> {
  const file = join(dir, 'list.txt')
  writeFileSync(file, text)
  const opened = await openJobList(
    { kind: 'file', path: file },
    { naming: { names: 'flat', queryNames: false }, onClash: 'fail', keepGoing: true, foldCase: false, spoolDir: dir },
  )
  if (!opened.ok) throw new Error('the list of the test is wrong')
  return opened.list
}

const named = (names: string) =>
  names
    .split(' ')
    .map((name) => `http://h/${name}\n`)
    .join('')

/** Of a job that stands in the list. */
function ended(list: JobList, index: number, how: 'ok' | Failure): RunEvent {
  const job = list.read(index)
  if (job === undefined) throw new Error('the list of the test is wrong')
  const { id, line, target, urls } = job
  const row = { id, index, line, out: target, url: urls[0] }
  return how === 'ok' ? jobEnded(row) : jobFailed(line, how, row)
}

function endedTogether(list: JobList, indexes: readonly number[], failure: Failure | null, at: number): RunEvent[] {
  const outcome = failure === null ? 'not-started' : 'failed'
  const ranges = [...lineRanges(indexes, (index) => list.lineOf(index))]
  return ranges.map((batch) => ({ type: 'jobs-ended', at, outcome, failure, reason: 'together', ...batch }))
}

interface Night {
  /** What fails, and of what; all else is downloaded, or unknown to a run that ran some only. */
  readonly fails?: Readonly<Record<string, Failure>>
  readonly together?: readonly (readonly [names: string, failure: Failure | null])[]
  readonly also?: readonly RunEvent[]
  readonly n?: number
  readonly only?: string
  readonly told?: ListHistoryOptions['told']
}

/** Runs a list of these names once and says what was known before and what is news. */
async function night(names: string, { fails = {}, together = [], also = [], n = 0, only, told = 'new' }: Night = {}) {
  const list = await listOf(named(names))
  const at = START + n * NIGHT_MS
  const nameOf = (index: number) => names.split(' ')[index] ?? ''
  const isIn = (words: string, index: number) => words.split(' ').includes(nameOf(index))
  const history = await openListHistory({
    path,
    list,
    ...(only === undefined ? {} : { only: (index) => isIn(only, index) }),
    told,
  })
  history.begin({ id: 'run', log: null })
  const order = orderOf(history, list)
  history.event({ ...runStarted(), at })
  const indexes = Array.from({ length: list.size }, (_, index) => index).filter(
    (index) => (only === undefined || isIn(only, index)) && !together.some(([words]) => isIn(words, index)),
  )
  for (const index of indexes) history.event({ ...ended(list, index, fails[nameOf(index)] ?? 'ok'), at })
  for (const [words, failure] of together) {
    const those = Array.from({ length: list.size }, (_, index) => index).filter((index) => isIn(words, index))
    for (const event of endedTogether(list, those, failure, at)) history.event(event)
  }
  for (const event of also) history.event({ ...event, at })
  const isGood = Object.keys(fails).length + together.length + also.length === 0
  const news = await history.finish({ atMs: at, isGood })
  list.close()
  return { history, order, news, said: saidBy(news) }
}

/** The names in the order of their ranks: those of each rank together. */
function orderOf({ ranks }: ListHistory, list: JobList): string[] | undefined {
  if (ranks === undefined) return undefined
  const names = Map.groupBy(
    Array.from(ranks, (_, index) => index),
    (index) => ranks[index] ?? -1,
  )
  return [...names]
    .sort(([a], [b]) => a - b)
    .map(([, indexes]) => indexes.map((index) => list.read(index)?.target).join(' '))
}

function saidBy({ fresh, again, stillFailing, recovered }: News) {
  return {
    fresh: linesIn(fresh),
    again: linesIn(again),
    stillFailing,
    recovered: recovered.samples.map(({ line }) => line),
  }
}

function beDirectory(file: string): void {
  rmSync(file)
  mkdirSync(file)
}

const linesIn = ({ groups }: Report) =>
  [...groups.values()].flatMap(({ samples }) => samples.flatMap(({ lines }) => lines.map(([first]) => first)))

const NOTHING = { fresh: [], again: [], stillFailing: 0, recovered: [] }

describe('what comes first', () => {
  test('a list of which nothing is known, and one of which all was well, run as they stand', async () => {
    expect((await night('a b c')).order).toBeUndefined()
    expect((await night('a b c')).order).toBeUndefined()
  })

  test('what had not started, then what failed or was cut short, then the rest, in the order of the list', async () => {
    await night('a b c d e f', {
      fails: { b: NOT_FOUND, e: { kind: 'run-deadline', afterMs: 1 } },
      together: [['d f', null]],
    })
    expect((await night('a b c d e f')).order).toEqual(['d f', 'b e', 'a c'])
  })

  test('it is the job that is remembered, not its line', async () => {
    await night('a b c d', { fails: { b: NOT_FOUND }, together: [['d', null]] })
    expect((await night('new d c also b a')).order).toEqual(['d', 'b', 'new c also a'])
  })

  test('a run of some jobs leaves what is known of the others', async () => {
    await night('a b c d', { fails: { b: NOT_FOUND, c: NOT_FOUND }, together: [['d', null]] })
    await night('a b c d', { only: 'b' })
    expect((await night('a b c d')).order).toEqual(['d', 'c', 'a b'])
  })

  test('what was typed once leaves nothing behind where all went well, and what failed where not', async () => {
    const list = await listOf(named('a'))
    const run = async (outcome: 'ok' | Failure) => {
      const history = await openListHistory({ path, list, told: 'new', isAdHoc: true })
      history.begin({ id: 'run', log: null })
      history.event({ ...ended(list, 0, outcome), at: START })
      await history.finish({ atMs: START, isGood: outcome === 'ok' })
      return existsSync(path)
    }
    expect([await run(NOT_FOUND), await run('ok')]).toEqual([true, false])
    list.close()
  })

  test('a line that is no job takes no part', async () => {
    const list = await listOf('http://h/a\nnonsense\nhttp://h/b\nhttp://h/a\n')
    const history = await openListHistory({ path, list, told: 'new' })
    for (const event of endedTogether(list, [2], null, START)) history.event(event)
    await history.finish({ atMs: START, isGood: false })
    expect((await openListHistory({ path, list, told: 'new' })).ranks?.[2]).toBe(0)
    list.close()
  })
})

describe('what is news', () => {
  test('failures are, the first time; when they end, too; and a week later if they do not', async () => {
    expect((await night('a b')).said).toEqual(NOTHING)
    const fails = { b: NOT_FOUND }
    expect((await night('a b', { fails, n: 1 })).said).toEqual({ ...NOTHING, fresh: [2] })
    for (let n = 2; n < 8; n++) {
      expect((await night('a b', { fails, n })).said, `night ${n}`).toEqual({ ...NOTHING, stillFailing: 1 })
    }
    expect((await night('a b', { fails, n: 8 })).said).toEqual({ ...NOTHING, stillFailing: 1, again: [2] })
    expect((await night('a b', { fails, n: 9 })).said).toEqual({ ...NOTHING, stillFailing: 1 })
    const { said, news } = await night('a b', { n: 10 })
    expect(said).toEqual({ ...NOTHING, recovered: [2] })
    expect(news.recovered).toEqual({ count: 1, samples: [{ line: 2, url: 'http://h/b' }] })
    expect((await night('a b', { n: 11 })).said).toEqual(NOTHING)
  })

  test('a list that is put into another order has no news', async () => {
    await night('a b c', { fails: { b: NOT_FOUND } })
    const { said } = await night('c new b a', { fails: { b: NOT_FOUND }, n: 1 })
    expect(said).toEqual({ ...NOTHING, stillFailing: 1 })
  })

  test('what has left the list is forgotten', async () => {
    await night('a b', { fails: { b: NOT_FOUND } })
    expect((await night('a', { n: 1 })).said).toEqual(NOTHING)
    expect((await night('a b', { fails: { b: NOT_FOUND }, n: 2 })).said).toEqual({ ...NOTHING, fresh: [2] })
  })

  test('of many that end together only the new ones are news', async () => {
    const down: Failure = { kind: 'host-down', host: 'h:80', cause: 'connect refused' }
    await night('a b c d e', { together: [['b d', down]] })
    const { news } = await night('a b c d e', { together: [['b c d e', down]], n: 1 })
    const [group] = news.fresh.groups.values()
    expect(group).toMatchObject({
      count: 2,
      host: 'h:80',
      samples: [
        {
          lines: [
            [3, 3],
            [5, 5],
          ],
          jobs: 2,
        },
      ],
    })
    expect([news.stillFailing, news.fresh.totals.failed]).toEqual([2, 2])
  })

  test('a host that is given up is named where jobs of it are news, and nowhere else', async () => {
    const down: Failure = { kind: 'host-down', host: 'h:80', cause: 'connect refused' }
    const changed = { type: 'host-changed', at: START, change: 'down', reason: '', until: null, cap: 1 } as const
    const also = ['h:80', 'other:80'].map((host): RunEvent => ({ ...changed, host }))
    const first = await night('a b', { together: [['a b', down]], also })
    expect([...first.news.fresh.hosts.keys()]).toEqual(['h:80'])
    const second = await night('a b', { together: [['a b', down]], also, n: 1 })
    expect([second.news.fresh.hosts.size, second.news.again.hosts.size, second.said.stillFailing]).toEqual([0, 0, 2])
  })

  test('jobs that a run has not come to, or has cut short, are no news', async () => {
    const cut: Failure = { kind: 'run-deadline', afterMs: 1 }
    expect((await night('a b', { fails: { a: cut }, together: [['b', null]] })).said).toEqual(NOTHING)
    const { said } = await night('a b', { fails: { b: NOT_FOUND }, together: [['a', null]], n: 1 })
    expect(said).toEqual({ ...NOTHING, fresh: [2] })
    expect((await night('a b', { together: [['a b', null]], n: 2 })).said).toEqual(NOTHING)
    expect((await night('a b', { n: 3 })).said).toEqual({ ...NOTHING, recovered: [2] })
  })

  test('a window hit each night is told once and then once a week; a signal and a warning, each time', async () => {
    const stopping = (cause: 'run-deadline' | 'signal'): RunEvent => ({
      type: 'stopping',
      at: START,
      cause,
      reason: cause,
    })
    const warning: RunEvent = { type: 'warning', at: START, message: 'the log is broken' }
    const also = [stopping('run-deadline'), stopping('signal'), warning]
    const told: string[] = []
    for (let n = 0; n < 9; n++) {
      const { fresh, again } = (await night('a', { also, n })).news
      told.push([...fresh.stops, ...again.stops].map(({ cause }) => cause).join(' '))
      expect(fresh.warnings).toHaveLength(1)
    }
    expect(told.map((causes) => causes.includes('run-deadline'))).toEqual([1, 0, 0, 0, 0, 0, 0, 1, 0].map(Boolean))
    expect(told.every((causes) => causes.includes('signal'))).toBe(true)
  })

  test('a bad line is told of like a job, and known by its text', async () => {
    const bad = async (text: string, n: number) => {
      const list = await listOf(text)
      const history = await openListHistory({ path, list, told: 'new' })
      const index =
        Array.from({ length: list.size }, (_, row) => row).find((row) => list.fateOf(row).kind === 'bad') ?? -1
      const failure: Failure = { kind: 'bad-line', problem: 'nonsense' }
      for (const event of endedTogether(list, [index], failure, START + n * NIGHT_MS)) history.event(event)
      const { fresh, stillFailing } = await history.finish({ atMs: START + n * NIGHT_MS, isGood: false })
      list.close()
      return [linesIn(fresh), stillFailing]
    }
    expect(await bad('http://h/a\nnonsense\n', 0)).toEqual([[2], 0])
    expect(await bad('nonsense\nhttp://h/a\n', 1)).toEqual([[], 1])
    expect(await bad('http://h/a\nrubbish\n', 2)).toEqual([[2], 0])
  })

  test('a line that was edited while the run went on cannot be known, so its failure is told', async () => {
    const list = await listOf(named('a b'))
    const history = await openListHistory({ path, list, told: 'new' })
    writeFileSync(join(dir, 'list.txt'), named('c d'))
    for (const event of endedTogether(list, [0, 1], { kind: 'list-changed' }, START)) history.event(event)
    const { fresh } = await history.finish({ atMs: START, isGood: false })
    expect(fresh.totals.failed).toBe(2)
    list.close()
  })

  test('the signals that a child got are told with its failure', async () => {
    const sent = ['SIGTERM', 'SIGKILL'].map(
      (signal): RunEvent => ({ type: 'signal-sent', at: START, index: 0, line: 1, n: 1, pid: 1, signal, reason: '' }),
    )
    const list = await listOf(named('a'))
    const history = await openListHistory({ path, list, told: 'new' })
    for (const event of sent) history.event(event)
    history.event(ended(list, 0, { kind: 'deadline', afterMs: 1 }))
    const { fresh } = await history.finish({ atMs: START, isGood: false })
    expect([...fresh.groups.values()][0]?.samples[0]?.signals).toEqual(['SIGTERM', 'SIGKILL'])
    list.close()
  })

  test('many that recover are counted, and some named', async () => {
    const names = Array.from({ length: 50 }, (_, n) => `f${n}`)
    await night(names.join(' '), { fails: Object.fromEntries(names.map((name) => [name, NOT_FOUND])) })
    const { recovered } = (await night(names.join(' '), { n: 1 })).news
    expect([recovered.count, recovered.samples.length]).toEqual([50, 20])
  })
})

describe('when all was well', () => {
  test('is remembered over runs that were not', async () => {
    expect((await night('a b', { fails: { b: NOT_FOUND } })).history.lastGoodMs).toBeNull()
    expect((await night('a b', { n: 1 })).history.lastGoodMs).toBe(START + NIGHT_MS)
    expect((await night('a b', { n: 2, fails: { b: NOT_FOUND } })).history.lastGoodMs).toBe(START + NIGHT_MS)
    expect((await night('a b', { n: 3, only: 'a' })).history.lastGoodMs).toBe(START + NIGHT_MS)
    expect((await night('a b', { n: 4, only: 'b' })).history.lastGoodMs).toBe(START + 4 * NIGHT_MS)
  })
})

describe('a run that was killed', () => {
  /** Writes the log of a run that ended in its middle: `ok` is finished, `begun` not, the rest has not begun. */
  async function killedRun(names: string, ok: string, begun: string, only?: string): Promise<string> {
    const runId = `killed-${count++}`
    const list = await listOf(named(names))
    const isIn = (words: string, index: number) => words.split(' ').includes(names.split(' ')[index] ?? '')
    const history = await openListHistory({
      path,
      list,
      ...(only === undefined ? {} : { only: (index) => isIn(only, index) }),
      told: 'new',
    })
    const logs = join(dir, 'logs')
    mkdirSync(logs, { recursive: true })
    const log = openEventLog({ dir: logs, runId, keep: 9, disabled: false, spoolDir: dir })
    history.begin({ id: runId, log: log.path })
    log.write(runStarted({ id: runId }))
    for (let index = 0; index < list.size; index++) {
      const job = list.read(index)
      if (job === undefined || !isIn(`${ok} ${begun}`, index)) continue
      const { id, line, target: out, urls } = job
      log.write({ type: 'job-started', at: START, index, line, id, url: urls[0], out })
      if (isIn(ok, index)) log.write(ended(list, index, 'ok'))
    }
    await log.close()
    list.close()
    return log.path ?? ''
  }

  test('has left what it finished, what it began and what it did not come to', async () => {
    await killedRun('a b c d e', 'a d', 'b')
    expect((await night('e d c b a')).order).toEqual(['e c', 'b', 'd a'])
  })

  test('and so has the one after it that was killed, too', async () => {
    await killedRun('a b c d e', 'a b', '')
    await killedRun('a b c d e', 'c', 'd')
    // The second has not come to what the first has finished, but neither run has come to an end with the last two.
    expect((await night('a b c d e')).order).toEqual(['e', 'd', 'a b', 'c'])
  })

  test('a torn last line costs that line only', async () => {
    const log = await killedRun('a b c', 'a b', '')
    const text = readFileSync(log, 'utf8')
    writeFileSync(log, text.slice(0, -40))
    expect((await night('a b c')).order).toEqual(['c', 'b', 'a'])
  })

  test('what it failed at was told to nobody, so it is news in the next run', async () => {
    await night('a b c', { fails: { c: NOT_FOUND } })
    await killedRun('a b c', 'a c', 'b')
    const { said } = await night('a b c', { fails: { b: NOT_FOUND }, n: 2 })
    expect(said).toEqual({ ...NOTHING, fresh: [2], recovered: [3] })
  })

  test('a killed run of some jobs says nothing of the others', async () => {
    await night('a b c d', { fails: { b: NOT_FOUND }, together: [['c d', null]] })
    await killedRun('a b c d', 'c', '', 'b c')
    expect((await night('a b c d')).order).toEqual(['d', 'b', 'a c'])
  })

  test.each([
    ['gone', (log: string) => rmSync(log)],
    ['a directory', beDirectory],
    ['of another run', (log: string) => writeFileSync(log, readFileSync(log, 'utf8').replaceAll('killed', 'other'))],
    ['without its first line', (log: string) => writeFileSync(log, readFileSync(log, 'utf8').replace(/^.*\n/, ''))],
    ['empty', (log: string) => writeFileSync(log, '')],
  ])('whose log is %s leaves what was known before', async (_, spoil) => {
    await night('a b c', { fails: { b: NOT_FOUND }, together: [['c', null]] })
    spoil(await killedRun('a b c', 'c', 'a'))
    expect((await night('a b c')).order).toEqual(['c', 'b', 'a'])
  })
})

describe('on disk', () => {
  test('one file of the user alone, and nothing beside it', async () => {
    await night('a b', { fails: { b: NOT_FOUND } })
    expect([lstatSync(path).mode & 0o777, lstatSync(dirname(path)).mode & 0o777]).toEqual([0o600, 0o700])
    expect(readdirSync(dirname(path))).toEqual(['key'])
    expect(readFileSync(path, 'latin1').split('\n')[0]).toContain('"open_run":null')
  })

  test.each([
    ['damaged', () => writeFileSync(path, readFileSync(path).fill(0, 200))],
    ['empty', () => writeFileSync(path, '')],
    ['a directory', () => beDirectory(path)],
    ['a link to another', () => symlinkAside(path)],
  ])('what is %s is as good as nothing, and stops no run', async (_, spoil) => {
    const fails = Object.fromEntries('abcdefghijklmnop'.split('').map((name) => [name, NOT_FOUND]))
    await night('a b c d e f g h i j k l m n o p', { fails })
    spoil()
    const { order, said } = await night('a b c', { fails: { b: NOT_FOUND }, n: 1 })
    expect([order, said.fresh]).toEqual([undefined, [2]])
  })

  function symlinkAside(file: string): void {
    writeFileSync(join(dir, 'aside'), readFileSync(file))
    rmSync(file)
    symlinkSync(join(dir, 'aside'), file)
  }

  test('where it cannot be written the run goes on and is told so', async () => {
    writeFileSync(join(dir, 'state'), 'a file where a directory belongs')
    const { history, said } = await night('a b', { fails: { b: NOT_FOUND } })
    expect(history.problem).toBe(`nothing is remembered of this run for the next: ${path}: ENOTDIR`)
    expect(said.fresh).toEqual([2])
    expect(existsSync(path)).toBe(false)
  })
})
