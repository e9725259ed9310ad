// Proves what --on-finish is told and that nothing it does harms the run, its reports or the machine. Knows nothing of
// how programs misbehave by themselves.
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { type Ended, type Home, newHome, ONCE, QUICK, run, start, stateOf, until } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

function hook(home: Home, ...lines: readonly string[]): string {
  const path = home.at('hook')
  // As one that is edited with care is replaced: what runs already goes on with the old one.
  writeFileSync(`${path}.new`, ['#!/bin/sh', ...lines, ''].join('\n'))
  chmodSync(`${path}.new`, 0o755)
  renameSync(`${path}.new`, path)
  return path
}

const textIn = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '')
const told = (home: Home) =>
  Object.fromEntries(
    textIn(home.at('told'))
      .split('\n')
      .map((line) => line.split(/=(.*)/s)),
  )
const TELL = 'env > told'
/** Says that it runs, and then goes on for ever. */
const FOR_EVER = ['echo $$ > began', 'while :; do sleep 60; done']
const began = (home: Home) => until('the hook has begun', () => textIn(home.at('began')) !== '')
const hookEnd = ({ events }: Ended) => events.find((event) => event.type === 'hook-ended')
const good = () => server.url('/ok/a?size=1000')
const gone = () => server.url('/status/404/gone')

describe('the program of --on-finish', () => {
  test('is told the sums, the log and the report that was written, once all is said', async () => {
    const home = newHome()
    const args = [...ONCE, '--on-finish', hook(home, TELL, 'cp "$MPDL_RUN_REPORT" copy', 'cp "$MPDL_RUN_LOG" log')]
    const ended = await run({ home, list: `${good()}\n${gone()}\n`, args: [...args, '--metrics', home.at('m.prom')] })
    expect([ended.code, hookEnd(ended)]).toEqual([
      8,
      expect.objectContaining({ program: home.at('hook'), exit_code: 0, signal: null, output: '', problem: null }),
    ])
    expect(told(home)).toMatchObject({
      MPDL_RUN_ID: ended.report.run.id,
      MPDL_RUN_EXIT_CODE: '8',
      MPDL_RUN_LIST: home.list,
      MPDL_RUN_DIR: home.out,
      MPDL_RUN_REPORT: home.at('report.json'),
      MPDL_RUN_SUMMARY: ended.stderr.split('\n')[0],
      MPDL_RUN_TOTAL: '2',
      MPDL_RUN_DOWNLOADED: '1',
      MPDL_RUN_FAILED: '1',
      MPDL_RUN_NOT_STARTED: '0',
      MPDL_RUN_BYTES: String(ended.report.totals['bytes']),
      HOME: home.root,
    })
    expect(JSON.parse(textIn(home.at('copy')))).toEqual(ended.report)
    expect(textIn(home.at('log'))).toContain('"type":"run-ended"')
    expect(ended.events.at(-1)?.type).toBe('hook-ended')
  })

  test('gets a report of its own where none was asked for, which nobody else can read and which goes with it', async () => {
    const home = newHome()
    const look = ['stat -c %a "$MPDL_RUN_REPORT" > mode', 'cp "$MPDL_RUN_REPORT" copy']
    const args = ['--on-finish', hook(home, TELL, ...look)]
    const ended = await run({ home, list: good(), args, hasNoReport: true, hasNoLog: true, env: { TMPDIR: home.root } })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(JSON.parse(textIn(home.at('copy')))).toMatchObject({ totals: { downloaded: 1 }, exit_code: 0 })
    expect(textIn(home.at('mode'))).toBe('600\n')
    expect(existsSync(dirname(told(home)['MPDL_RUN_REPORT'] ?? ''))).toBe(false)
    expect(readdirSync(home.root).filter((name) => name.startsWith('mpdl-'))).toEqual([])
  })

  test('is not told of yesterday, where the report of today could not be written', async () => {
    const home = newHome()
    // Whole or not at all: there is no name left for the file aside.
    const stale = home.at(`${'r'.repeat(250)}.json`)
    writeFileSync(stale, '{}')
    const args = ['--on-finish', hook(home, TELL, 'cp "$MPDL_RUN_REPORT" copy'), '--report', stale]
    const ended = await run({ home, list: good(), args, hasNoReport: true })
    expect(ended.stderr).toContain(`mpdl: cannot write ${stale}: ENAMETOOLONG`)
    expect([ended.code, told(home)['MPDL_RUN_EXIT_CODE']]).toEqual([73, '73'])
    expect(JSON.parse(textIn(home.at('copy')))).toMatchObject({ totals: { downloaded: 1 } })
  })

  test('[threat:secrets] sees nothing of what only mpdl should know, nor itself as an option', async () => {
    const home = newHome()
    const ended = await run({
      home,
      list: server.url('/ok/a?size=10&token=canary1'),
      args: ['-H', 'X-Key: canary2', '-u', 'me:canary3'],
      env: {
        MPDL_ON_FINISH: hook(home, TELL, 'cat "$MPDL_RUN_REPORT" "$MPDL_RUN_LOG"; set'),
        MPDL_HEADER: 'X-Key: canary4',
        MPDL_USER: 'me:canary5',
        MPDL_PROXY: '',
        MPDL_TRIES: '3',
      },
    })
    expect(ended.code).toBe(0)
    expect(JSON.stringify([hookEnd(ended), told(home)])).not.toContain('canary')
    expect(told(home)).toMatchObject({ MPDL_TRIES: '3' })
    expect(Object.keys(told(home))).not.toContain('MPDL_ON_FINISH')
  })

  test('runs although a signal ended the run, and hears how it ended', async () => {
    const home = newHome()
    const list = server.url('/stall/half?size=1000')
    const running = start({ home, list, args: ['--on-finish', hook(home, TELL)] })
    await running.event('response')
    process.kill(running.pid, 'SIGTERM')
    expect((await running.ended).code).toBe(143)
    expect(told(home)).toMatchObject({ MPDL_RUN_EXIT_CODE: '143', MPDL_RUN_CANCELLED: '1' })
  })

  test('runs with --no-log, --isolate inline and a list from standard input too', async () => {
    const home = newHome()
    const args = ['--isolate', 'inline', '--no-log', '--on-finish', hook(home, TELL)]
    const ended = await run({ home, operands: ['-'], stdin: good(), args, hasNoLog: true })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(told(home)).toMatchObject({ MPDL_RUN_LIST: 'standard input', MPDL_RUN_LOG: '' })
  })

  test('that cannot be started is refused before a byte moves', async () => {
    const home = newHome()
    const ended = await run({ home, list: good(), args: ['--on-finish', home.at('nothing')] })
    expect([ended.code, ended.stderr]).toEqual([78, `mpdl: --on-finish ${home.at('nothing')}: no such file\n`])
    expect(ended.files).toEqual([])
  })

  test('is not run for a plan', async () => {
    const home = newHome()
    await run({ home, list: good(), args: ['-n', '--on-finish', hook(home, TELL)] })
    expect(existsSync(home.at('told'))).toBe(false)
  })
})

describe('a program of --on-finish that fails', () => {
  test('makes a good run exit with 1 and is named, and files, reports, metrics and log are all there', async () => {
    const home = newHome()
    const metrics = home.at('m.prom')
    const args = [
      '--on-finish',
      hook(home, 'echo trying', 'echo "no route to mail" >&2', 'exit 3'),
      '--metrics',
      metrics,
    ]
    const ended = await run({ home, list: good(), args })
    const problem = `--on-finish ${home.at('hook')} ended with exit code 3: no route to mail`
    expect([ended.code, ended.stderr]).toEqual([1, `mpdl: ${problem}\n`])
    expect([ended.files, ended.report.exit_code]).toEqual([['a'], 0])
    expect(hookEnd(ended)).toMatchObject({ exit_code: 3, problem })
    expect(textIn(metrics)).toContain('mpdl_last_run_success')
    const report = await run({ home, isBare: true, operands: ['report', '--log-dir', home.logs] })
    expect(report.code).toBe(0)
    expect(report.stdout.replace(/\n +/g, ' ')).toContain(problem)
  })

  test('changes no other exit code', async () => {
    const home = newHome()
    const ended = await run({ home, list: gone(), args: [...ONCE, '--on-finish', hook(home, 'exit 3')] })
    expect(ended.code).toBe(8)
    expect(ended.stderr).toMatch(/\nmpdl: --on-finish .*\/hook ended with exit code 3\n$/)
  })

  test('by running for too long is ended with its children', async () => {
    const home = newHome()
    const args = [...QUICK, '--on-finish', hook(home, "trap '' TERM", ...FOR_EVER), '--on-finish-timeout', '1s']
    const ended = await run({ home, list: good(), args })
    expect([ended.code, hookEnd(ended)]).toEqual([
      1,
      expect.objectContaining({ signal: expect.stringMatching(/^SIG(TERM|KILL)$/) }),
    ])
    expect(ended.stderr).toContain('was still running after 1s and was ended (--on-finish-timeout)')
  })

  test('by deleting the report, its directory and the log loses only these', async () => {
    const home = newHome()
    const args = ['--on-finish', hook(home, 'rm -rf "$(dirname "$MPDL_RUN_REPORT")" "$MPDL_RUN_LOG"')]
    const ended = await run({ home, list: good(), args, hasNoReport: true })
    expect([ended.code, ended.stderr, ended.files]).toEqual([0, '', ['a']])
  })

  test('by printing garbage without end leaves a log that can be read', async () => {
    const home = newHome()
    const args = ['--on-finish', hook(home, 'head -c 20000000 /dev/urandom', 'exit 1')]
    const ended = await run({ home, list: good(), args })
    expect(ended.code).toBe(1)
    const log = home.at(`runs/${readdirSync(home.logs)[0]}`)
    expect(statSync(log).size).toBeLessThan(64 * 1024)
    const runs = await run({ home, isBare: true, operands: ['report', '--log-dir', home.logs] })
    expect(runs.stdout).toMatch(/^mpdl: 1 = 1 downloaded/)
    expect(runs.stdout).not.toMatch(/[^\P{Cc}\n]/u)
  })
})

describe('a program that changes while the run goes on', () => {
  const whileRunning = async (change: (home: Home) => void) => {
    const home = newHome()
    const list = server.url('/stall/half?size=1000&times=1')
    const running = start({ home, list, args: [...QUICK, '-T', '2s', '--on-finish', hook(home, 'echo old')] })
    await running.event('response')
    change(home)
    return await running.ended
  }

  test('is run as it stands at the end', async () => {
    const ended = await whileRunning((home) => hook(home, 'echo new'))
    expect([ended.code, hookEnd(ended)]).toEqual([0, expect.objectContaining({ output: 'new\n' })])
  })

  test('is named when it is gone', async () => {
    const ended = await whileRunning((home) => rmSync(home.at('hook')))
    expect(ended.code).toBe(1)
    expect(ended.stderr).toMatch(/^mpdl: --on-finish .*\/hook ended with exit code 127: .*not found\n$/)
    expect(ended.files).toEqual(['half'])
  })
})

describe('while it runs', () => {
  test('a SIGTERM to mpdl ends it with all it started, and the log tells', async () => {
    const home = newHome()
    const running = start({ home, list: good(), args: ['--on-finish', hook(home, ...FOR_EVER)] })
    await began(home)
    process.kill(running.pid, 'SIGTERM')
    const ended = await running.ended
    expect([ended.code, ended.signal]).toEqual([143, null])
    expect(hookEnd(ended)).toMatchObject({
      signal: 'SIGTERM',
      problem: expect.stringContaining('by a SIGTERM to mpdl'),
    })
  })

  test('a kill -9 of mpdl ends it with all it started', async () => {
    const home = newHome()
    const stubborn = ["trap '' TERM HUP", 'sleep 1000 &', 'echo $! > child', ...FOR_EVER]
    const running = start({ home, list: good(), args: ['--on-finish', hook(home, ...stubborn)] })
    await began(home)
    process.kill(running.pid, 'SIGKILL')
    expect((await running.ended).signal).toBe('SIGKILL')
    for (const name of ['began', 'child']) {
      await until(`${name} is gone`, () => stateOf(Number(textIn(home.at(name)))) === undefined)
    }
  })

  test('the list stays locked, and is free after it', async () => {
    const home = newHome()
    const path = hook(home, 'echo $$ > began', 'while [ ! -e go ]; do sleep 0.01; done')
    const first = start({ home, list: good(), args: ['--on-finish', path] })
    await began(home)
    // Of another home, whose end is not theirs.
    const again = { operands: [home.list], isBare: true, args: ['-d', home.out], env: { XDG_STATE_HOME: home.state } }
    const second = await run(again)
    expect([second.code, second.stderr]).toEqual([75, expect.stringContaining(`pid ${first.pid}`)])
    writeFileSync(home.at('go'), '')
    expect((await first.ended).code).toBe(0)
    expect((await run(again)).code).toBe(0)
  })
})
