import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
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

function works(command: string, ...args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const MOUNT = 'mount -t tmpfs -o size=64k tmpfs "$1" && shift && exec "$@"'

describe('a log that can grow no more', () => {
  test.skipIf(!works('prlimit', '--version'))(
    'not even by one line, leaves no file that nobody may ever delete',
    () => {
      const script = `
      import { openEventLog } from ${JSON.stringify(new URL('../../src/supervisor/event-log.ts', import.meta.url).href)}
      process.on('SIGXFSZ', () => undefined)
      const [dir, started] = process.argv.slice(1)
      const log = openEventLog({ dir, runId: 'full', keep: 30, disabled: false, spoolDir: dir })
      log.write(JSON.parse(started))
      for await (const event of log.events()) console.log(event.type)
      await log.close()`
      const node = [process.execPath, '--input-type=module', '-e', script, logs, JSON.stringify(runStarted())]
      const said = execFileSync('prlimit', ['--fsize=0', '--', ...node], { encoding: 'utf8' })
      expect([said, readdirSync(logs)]).toEqual(['run-started\n', []])
    },
  )

  test.for([
    // Breaks writes as a full disk does, and needs no rights.
    ['EFBIG', () => ['prlimit', '--fsize=65536', '--'], works('prlimit', '--version')],
    [
      'ENOSPC',
      () => ['unshare', '-m', 'sh', '-c', MOUNT, 'sh', logs],
      works('unshare', '-m', 'sh', '-c', MOUNT, 'sh', '/mnt', 'true'),
    ],
  ] as const)(
    'for %s warns once, ends in a whole line, keeps the jobs for the report, and stops nothing',
    ([code, wrap, canTry], { skip }) => {
      skip(!canTry, 'this machine cannot do it')
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
      const [command = '', ...args] = [...wrap(), process.execPath, '--input-type=module', '-e', script]
      const out = execFileSync(command, [...args, logs, JSON.stringify(material)], { encoding: 'utf8' })
      const seen = JSON.parse(out)
      expect(seen.types).toMatchObject({ 'run-started': 1, 'job-ended': 500, 'run-ended': 1 })
      expect(seen.types.warning).toBeLessThan(500)
      expect(seen.warnings).toEqual([
        expect.stringMatching(new RegExp(`^the run log is incomplete: .*full\\.ndjson: ${code}$`)),
      ])
      expect(seen.warning).toBe(seen.warnings[0])
      expect(seen.torn).toBe(false)
    },
  )
})

/** A pid that no process has. */
const DEAD = 2 ** 22 + 1

/** A log of a run that began so many hours ago. */
function oldLog(
  name: string,
  ageHours: number,
  end: 'good' | 'bad' | 'none' = 'good',
  changes: Parameters<typeof runHeader>[0] = {},
): string {
  const run = runHeader({ id: name, started: START - ageHours * 3_600_000, pid: DEAD, host: hostname(), ...changes })
  const totals = { ...reportOf([]).totals, [end === 'good' ? 'unchanged' : 'failed']: 1 }
  const last = end === 'none' ? [] : [{ ...runEnded({ listed: 1 }), totals }]
  const lines = [{ mpdl: 1, type: 'run-started', at: run.started, run }, ...last]
  const path = join(logs, `${name}.ndjson`)
  writeFileSync(path, `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`)
  return path
}

/** What lies there after a run of the same list, without its own log. */
async function afterRun(keep: number): Promise<string[]> {
  const log = opened({ keep, runId: 'own' })
  log.write(runStarted({ id: 'own', pid: process.pid, host: hostname() }))
  await log.close()
  rmSync(join(logs, 'own.ndjson'))
  return readdirSync(logs)
    .map((name) => name.replace(/\.ndjson$/, ''))
    .sort()
}

describe('retention', () => {
  test('keeps the newest of the same list, this one included', async () => {
    for (let hours = 1; hours <= 5; hours++) oldLog(`old-${hours}`, hours)
    expect(await afterRun(3)).toEqual(['old-1', 'old-2'])
  })

  test('knows a list by its path, whatever way it was typed', async () => {
    const list = { name: './list.txt', path: runHeader().list.path, jobs: 1, lines: 1 }
    oldLog('typed', 2, 'good', { list })
    oldLog('newer', 1)
    expect(await afterRun(1)).toEqual(['newer'])
  })

  test('touches no log of another list or another directory', async () => {
    const list = { name: 'list.txt', path: '/other/list.txt', jobs: 1, lines: 1 }
    const stream = { name: 'standard input', path: null, jobs: 1, lines: 1 }
    oldLog('other-list', 2, 'good', { list })
    oldLog('other-dir', 2, 'good', { dir: '/other' })
    oldLog('stream', 2, 'good', { list: stream })
    oldLog('same', 2)
    oldLog('newer', 1)
    expect(await afterRun(1)).toEqual(['newer', 'other-dir', 'other-list', 'stream'])
  })

  test('keeps the last that failed and the last good one, however old', async () => {
    oldLog('good-1', 1)
    oldLog('good-2', 2)
    oldLog('bad-3', 3, 'bad')
    oldLog('died-4', 4, 'none')
    oldLog('good-5', 5)
    expect(await afterRun(1)).toEqual(['bad-3', 'good-1'])
    oldLog('died-0', 0.5, 'none')
    expect(await afterRun(2), 'one that died failed, too').toEqual(['died-0', 'good-1'])
  })

  test('deletes nothing that mpdl did not write', async () => {
    const header = JSON.stringify({ type: 'run-started', at: START, run: runHeader({ id: 'x' }) })
    writeFileSync(join(logs, 'notes.ndjson'), 'dear diary\n')
    writeFileSync(join(logs, 'unmarked.ndjson'), `${header}\n`)
    writeFileSync(join(logs, 'empty.ndjson'), '')
    oldLog('newer', 1)
    writeFileSync(join(logs, 'real.txt'), readFileSync(oldLog('real', 2)))
    symlinkSync(join(logs, 'real.txt'), join(logs, 'link.ndjson'))
    mkdirSync(join(logs, 'dir.ndjson'))
    expect(await afterRun(0)).toEqual(['dir', 'empty', 'link', 'newer', 'notes', 'real.txt', 'unmarked'])
  })

  test('spares a run that may still go on', async () => {
    const fd = openSync(oldLog('alive', 4, 'none', { pid: process.pid }), 'a')
    oldLog('elsewhere', 4, 'none', { host: 'another' })
    oldLog('killed', 4, 'none')
    oldLog('newer', 3, 'none')
    oldLog('ended', 4, 'good', { pid: process.pid })
    expect(await afterRun(1)).toEqual(['alive', 'elsewhere', 'ended', 'newer'])
    closeSync(fd)
  })

  test('waits for no FIFO, and what cannot be read stays', async () => {
    const secret = oldLog('secret', 2)
    chmodSync(secret, 0o000)
    execFileSync('mkfifo', [join(logs, 'fifo.ndjson')])
    utimesSync(secret, 1, 1)
    expect(await afterRun(1)).toContain('fifo')
  })
})

describe('a line that was torn', () => {
  const torn = (path: string, bytes: number) => appendFileSync(path, `{"type":"job-en${'d'.repeat(bytes)}`)

  test.each([0, 1000, 65_536, 300_000])(
    'by death is cut off by the next run of the list, %i bytes of it',
    async (bytes) => {
      const path = oldLog('died', 1, 'none')
      const whole = readFileSync(path, 'utf8')
      torn(path, bytes)
      expect(await afterRun(5)).toEqual(['died'])
      expect(readFileSync(path, 'utf8')).toBe(whole)
    },
  )

  test("is nobody else's to cut", async () => {
    const list = { name: 'list.txt', path: '/other/list.txt', jobs: 1, lines: 1 }
    const paths = [
      oldLog('other-list', 1, 'none', { list }),
      oldLog('other-dir', 1, 'none', { dir: '/other' }),
      oldLog('elsewhere', 1, 'none', { host: 'another' }),
      oldLog('alive', 1, 'none', { pid: process.pid }),
      join(logs, 'notes.ndjson'),
      join(root, 'behind-a-link'),
    ]
    writeFileSync(paths[4] ?? '', 'dear diary\n')
    writeFileSync(paths[5] ?? '', readFileSync(oldLog('died', 1, 'none')))
    symlinkSync(paths[5] ?? '', join(logs, 'link.ndjson'))
    const fd = openSync(paths[3] ?? '', 'a')
    for (const path of paths) torn(path, 10)
    await afterRun(9)
    closeSync(fd)
    for (const path of paths) expect(readFileSync(path, 'utf8'), path).toMatch(/"job-end+$/)
  })

  // A write takes the kernel longest where a line is long, and that is when it can be torn.
  test.each([5000, 20_000_000])(
    'is gone after the next run, whenever the writer of lines of %i bytes is killed',
    async (bytes) => {
      const script = `
      import { openEventLog } from ${JSON.stringify(new URL('../../src/supervisor/event-log.ts', import.meta.url).href)}
      const [dir, id, header, event] = process.argv.slice(1)
      const log = openEventLog({ dir, runId: id, keep: 1000, disabled: false, spoolDir: dir })
      const started = JSON.parse(header)
      log.write({ ...started, run: { ...started.run, id, pid: process.pid } })
      const job = { ...JSON.parse(event), padding: 'x'.repeat(${bytes}) }
      process.stdout.write('.')
      for (;;) { for (let i = 0; i < 100; i++) log.write(job); await new Promise(setImmediate) }`
      const header = JSON.stringify(runStarted({ host: hostname() }))
      const job = JSON.stringify(jobEnded({ out: 'x'.repeat(100) }))
      const paths = Array.from({ length: 6 }, (_, i) => join(logs, `k${i}.ndjson`))
      for (const [i, path] of paths.entries()) {
        const child = spawn(process.execPath, ['--input-type=module', '-e', script, logs, `k${i}`, header, job])
        await once(child.stdout, 'data')
        // Somewhere in the middle, and another place each time.
        while (statSync(path).size < 100_000 * (1 + (i % 7))) await turn()
        child.kill('SIGKILL')
        await once(child, 'close')
      }
      await afterRun(1000)
      for (const path of paths) {
        expect(readFileSync(path).at(-1)).toBe(10)
        expect(linesOf(path)[0]).toMatchObject({ type: 'run-started' })
      }
    },
  )
})

describe('an error of mpdl itself', () => {
  test.each([
    ['that nobody catches', 'throw new Error("bug")'],
    ['in a promise', 'await Promise.reject(new Error("bug"))'],
    ['that ends the program at once', 'process.exit(70)'],
  ])('%s loses nothing that was gathered', (_, end) => {
    const script = `
      import { openEventLog } from ${JSON.stringify(new URL('../../src/supervisor/event-log.ts', import.meta.url).href)}
      const log = openEventLog({ dir: process.argv[1], runId: 'e', keep: 30, disabled: false, spoolDir: process.argv[1] })
      for (let i = 0; i < 100; i++) log.write({ type: 'warning', at: i, message: 'm' + i })
      ${end}`
    const args = ['--input-type=module', '-e', script, logs]
    const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' })
    expect(status).toBeGreaterThan(0)
    expect(linesOf(join(logs, 'e.ndjson'))).toHaveLength(100)
  })

  test('is not waited for by logs that are closed', async () => {
    const before = process.listenerCount('exit')
    for (let i = 0; i < 20; i++) await opened({ runId: `run-${i}` }).close()
    expect(process.listenerCount('exit')).toBe(before)
  })
})
