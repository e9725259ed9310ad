import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
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
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LineRange, RunEvent } from '../../src/core/event.ts'
import type { EventLogOptions } from '../../src/supervisor/event-log.ts'
import { openEventLog } from '../../src/supervisor/event-log.ts'
import { attempt, jobEnded, jobFailed, reportOf, runEnded, runHeader, runStarted, START } from '../events.ts'

let root: string
let logs: string
let spool: string

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mpdl-test-'))
  logs = join(root, 'logs')
  spool = join(root, 'spool')
  mkdirSync(logs)
  mkdirSync(spool)
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const opened = (changes: Partial<EventLogOptions> = {}) =>
  openEventLog({ dir: logs, runId: 'run-a', keep: 30, disabled: false, spoolDir: spool, ...changes })

async function collected(events: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
  const all: RunEvent[] = []
  for await (const event of events) all.push(event)
  return all
}

const linesOf = (path: string): unknown[] =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

/** What was written is on the disk then. */
const turn = () => new Promise((resolve) => setImmediate(resolve))

const many: LineRange[] = Array.from({ length: 500 }, (_, i) => [i * 2, i * 2])
const events: RunEvent[] = [
  runStarted(),
  jobEnded({ url: 'https://x/?token=***', out: 'a\n\u2028"\ud800b' }),
  jobFailed(2, { kind: 'hang', afterMs: 30_000 }, { attempts: [attempt({ failure: { kind: 'hang', afterMs: 1 } })] }),
  { type: 'jobs-ended', at: START, outcome: 'not-started', failure: null, reason: 'r', count: 500, lines: many },
  runEnded({ listed: 502 }),
]

describe('a log', () => {
  test('holds every event as a line of its own, for its owner only', async () => {
    const log = opened()
    for (const event of events) log.write(event)
    expect(log.path).toBe(join(logs, 'run-a.ndjson'))
    expect(log.warning).toBeUndefined()
    await turn()
    const lines = linesOf(log.path ?? '')
    expect(lines[0]).toMatchObject({ level: 30, time: START, mpdl: 1, type: 'run-started', run: runHeader() })
    expect(lines[4]).toMatchObject({ type: 'run-ended', totals: { downloaded: 1, killed: 1, 'not-started': 500 } })
    expect(readFileSync(log.path ?? '', 'utf8')).not.toContain(`"hostname"`)
    expect(statSync(log.path ?? '').mode & 0o777).toBe(0o600)
    await log.close()
    await log.close()
    log.write(jobEnded())
    expect(linesOf(log.path ?? '').length).toBe(5)
  })

  test('gives its events back whole, before and after its end', async () => {
    const log = opened()
    for (const event of events) log.write(event)
    const report = reportOf(await collected(log.events()))
    expect(report.totals).toEqual(reportOf(events).totals)
    expect(report.notStarted.ranges).toEqual(many)
    await log.close()
    expect(await collected(log.events())).toMatchObject([
      events[0],
      { type: 'job-ended' },
      events[2],
      events[3],
      events[4],
    ])
  })

  test('says how bad each event is', async () => {
    const log = opened()
    const ended = (failure: Parameters<typeof jobFailed>[1] | null): RunEvent => ({
      type: 'attempt-ended',
      at: START,
      index: 0,
      line: 1,
      attempt: attempt({ failure }),
    })
    const bulk: RunEvent = {
      type: 'jobs-ended',
      at: START,
      outcome: 'skipped',
      failure: null,
      reason: 'r',
      count: 1,
      lines: [],
    }
    for (const event of [
      runStarted(),
      jobEnded(),
      bulk,
      ended(null),
      { type: 'warning', at: START, message: 'w' } as const,
      jobFailed(1, { kind: 'list-changed' }),
      ended({ kind: 'stall', afterMs: 1 }),
      jobFailed(2, { kind: 'crash-signal', signal: 'SIGSEGV' }),
      ended({ kind: 'exit-without-result', exitCode: 0 }),
      ended({ kind: 'abandoned', pid: 1, afterMs: 1 }),
    ])
      log.write(event)
    await turn()
    const levels = [30, 30, 30, 30, 40, 40, 40, 50, 50, 50]
    expect(linesOf(log.path ?? '')).toMatchObject(levels.map((level) => ({ level })))
    await log.close()
  })

  test('leaves out a line that was torn', async () => {
    const log = opened()
    log.write(runStarted())
    await turn()
    writeFileSync(log.path ?? '', '{"type":"job-en', { flag: 'a' })
    expect(await collected(log.events())).toMatchObject([{ type: 'run-started' }])
    writeFileSync(log.path ?? '', '\n{"type":"nonsense"}\n7\n', { flag: 'a' })
    expect(await collected(log.events())).toHaveLength(1)
    await log.close()
  })

  test('loses no line of an earlier turn when its process is killed, and tears none', async () => {
    const script = `
      import { openEventLog } from ${JSON.stringify(new URL('../../src/supervisor/event-log.ts', import.meta.url).href)}
      const log = openEventLog({ dir: process.argv[1], runId: 'k', keep: 30, disabled: false, spoolDir: process.argv[1] })
      const write = (count) => { for (let i = 0; i < count; i++) log.write({ type: 'warning', at: i, message: 'm' + i }) }
      write(3000)
      await new Promise((resolve) => setImmediate(resolve))
      write(2000)
      process.kill(process.pid, 'SIGKILL')`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, logs], { stdio: 'ignore' })
    await once(child, 'exit')
    const { length } = linesOf(join(logs, 'k.ndjson'))
    // A turn that brings much is not gathered as a whole.
    expect(length).toBeGreaterThan(4000)
  })

  test('costs far less than 100 µs a job', async () => {
    const log = opened()
    const event = jobEnded({ attempts: [attempt()] })
    const started = performance.now()
    for (let i = 0; i < 5000; i++) log.write(event)
    expect(((performance.now() - started) / 5000) * 1000).toBeLessThan(100)
    await log.close()
  })
})

describe('without a log', () => {
  test('events are there for the report, and no file is left', async () => {
    const log = opened({ disabled: true })
    for (const event of events) log.write(event)
    expect(log).toMatchObject({ path: null, warning: undefined })
    expect(readdirSync(spool)).toEqual([])
    expect(readdirSync(logs)).toEqual([])
    expect(await collected(log.events())).toHaveLength(5)
    await log.close()
    expect(await collected(log.events())).toEqual([])
  })

  test('a directory that cannot be written, a link or a namesake in its place is a warning', async () => {
    symlinkSync(join(root, 'elsewhere'), join(logs, 'run-a.ndjson'))
    for (const changes of [{ dir: join(root, 'missing') }, {}]) {
      const log = opened(changes)
      expect(log.path).toBeNull()
      expect(log.warning).toMatch(/^no run log: cannot create .*: (ENOENT|EEXIST)$/)
      log.write(runStarted())
      expect(await collected(log.events())).toHaveLength(1)
      await log.close()
    }
    expect(existsSync(join(root, 'elsewhere'))).toBe(false)
    expect(readdirSync(spool)).toEqual([])
  })

  test('and with nowhere to write at all, the essential events stay in memory', async () => {
    const missing = { spoolDir: join(root, 'missing') }
    expect(opened({ ...missing, dir: join(root, 'gone') }).warning).toMatch(
      /cannot create .*; events are kept in memory/,
    )
    const log = opened({ ...missing, dir: null })
    expect(log.warning).toMatch(/^events are kept in memory: .*ENOENT$/)
    for (const event of [...events, { type: 'warning', at: START, message: 'w' } as const]) log.write(event)
    expect(reportOf(await collected(log.events())).totals).toEqual(reportOf(events).totals)
    await log.close()
  })
})

/** A file size limit breaks writes as a full disk does, and needs no rights. */
const hasPrlimit = (() => {
  try {
    execFileSync('prlimit', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

describe.runIf(hasPrlimit)('a log that can grow no more', () => {
  test('warns once, keeps the jobs for the report, and stops nothing', () => {
    const script = `
      import { openEventLog } from ${JSON.stringify(new URL('../../src/supervisor/event-log.ts', import.meta.url).href)}
      import { readFileSync } from 'node:fs'
      process.on('SIGXFSZ', () => undefined)
      const warnings = []
      const [dir, events] = process.argv.slice(1)
      const { started, job, warning, ended } = JSON.parse(events)
      const log = openEventLog({ dir, runId: 'full', keep: 30, disabled: false, spoolDir: dir, warn: (m) => warnings.push(m) })
      log.write(started)
      for (let i = 0; i < 500; i++) { log.write(job); log.write(warning) }
      log.write(ended)
      const types = {}
      for await (const event of log.events()) types[event.type] = (types[event.type] ?? 0) + 1
      await log.close()
      console.log(JSON.stringify({ warnings, types, warning: log.warning, torn: !readFileSync(log.path, 'utf8').endsWith('\\n') }))`
    const material = {
      started: runStarted(),
      job: jobEnded(),
      warning: { type: 'warning', at: START, message: 'w' },
      ended: runEnded(),
    }
    const out = execFileSync(
      'prlimit',
      ['--fsize=65536', '--', process.execPath, '--input-type=module', '-e', script, logs, JSON.stringify(material)],
      { encoding: 'utf8' },
    )
    const seen = JSON.parse(out)
    expect(seen.types).toMatchObject({ 'run-started': 1, 'job-ended': 500, 'run-ended': 1 })
    expect(seen.types.warning).toBeLessThan(500)
    expect(seen.warnings).toEqual([expect.stringMatching(/^the run log is incomplete: .*full\.ndjson: EFBIG$/)])
    expect(seen.warning).toBe(seen.warnings[0])
    expect(seen.torn).toBe(true)
  })
})

describe('retention', () => {
  const dead = 2 ** 22 + 1
  function oldLog(
    name: string,
    ageHours: number,
    changes: Parameters<typeof runHeader>[0] = {},
    hasEnded = true,
  ): void {
    const run = runHeader({ id: name, started: START - ageHours * 3_600_000, pid: dead, host: hostname(), ...changes })
    const lines = [{ mpdl: 1, type: 'run-started', at: run.started, run }, ...(hasEnded ? [runEnded()] : [])]
    writeFileSync(join(logs, `${name}.ndjson`), `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`)
  }
  const names = () => readdirSync(logs).sort()

  async function runWith(keep: number): Promise<string[]> {
    const log = opened({ keep, runId: 'own' })
    log.write(runStarted({ id: 'own', pid: process.pid, host: hostname() }))
    await log.close()
    return names().filter((name) => name !== 'own.ndjson')
  }

  test('keeps the newest of the same list, this one included', async () => {
    for (let hours = 1; hours <= 5; hours++) oldLog(`old-${hours}`, hours)
    expect(await runWith(3)).toEqual(['old-1.ndjson', 'old-2.ndjson'])
  })

  test('touches no log of another list or another directory', async () => {
    const list = { name: 'list.txt', path: '/other/list.txt', jobs: 1, lines: 1 }
    oldLog('other-list', 1, { list })
    oldLog('other-dir', 1, { dir: '/other' })
    oldLog('same', 1)
    expect(await runWith(1)).toEqual(['other-dir.ndjson', 'other-list.ndjson'])
  })

  test('deletes nothing that mpdl did not write', async () => {
    const header = JSON.stringify({ type: 'run-started', at: START, run: runHeader({ id: 'x' }) })
    writeFileSync(join(logs, 'notes.ndjson'), 'dear diary\n')
    writeFileSync(join(logs, 'unmarked.ndjson'), `${header}\n`)
    writeFileSync(join(logs, 'empty.ndjson'), '')
    oldLog('real', 1)
    writeFileSync(join(logs, 'real.txt'), readFileSync(join(logs, 'real.ndjson')))
    symlinkSync(join(logs, 'real.txt'), join(logs, 'link.ndjson'))
    mkdirSync(join(logs, 'dir.ndjson'))
    expect(await runWith(0)).toEqual([
      'dir.ndjson',
      'empty.ndjson',
      'link.ndjson',
      'notes.ndjson',
      'real.txt',
      'unmarked.ndjson',
    ])
  })

  test('spares a run that may still go on', async () => {
    oldLog('alive', 3, { pid: process.pid }, false)
    oldLog('init', 3, { pid: 1 }, false)
    oldLog('elsewhere', 3, { host: 'another' }, false)
    oldLog('killed', 3, {}, false)
    oldLog('ended', 3, { pid: process.pid }, true)
    expect(await runWith(1)).toEqual(['alive.ndjson', 'elsewhere.ndjson', 'init.ndjson'])
  })

  test('waits for no FIFO, and what cannot be read stays', async () => {
    oldLog('secret', 2)
    chmodSync(join(logs, 'secret.ndjson'), 0o000)
    execFileSync('mkfifo', [join(logs, 'fifo.ndjson')])
    utimesSync(join(logs, 'secret.ndjson'), 1, 1)
    const left = await runWith(1)
    expect(left).toContain('fifo.ndjson')
  })
})
