// Proves what mpdl says of past runs, and of those that are not past yet. Knows nothing of how a line of it looks.
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { withClock } from '../fixtures/fake-clock.ts'
import { type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram, requireServer } from '../fixtures/servers.ts'
import { type Home, newHome, ONCE, type RunOptions, run, start } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

const GOOD = '/ok/a'
const BAD = '/status/404/b'

/** A command as it is typed, with nothing added. */
const typed = (home: Home, args: readonly string[], options: RunOptions = {}) =>
  run({ ...options, home, isBare: true, args })

/** A run of this home's list, its log where logs go by themselves. */
const night = (home: Home, paths: readonly string[], options: RunOptions = {}) =>
  run({
    ...options,
    home,
    list: `${paths.map((path) => server.url(path)).join('\n')}\n`,
    hasNoLog: true,
    args: [...ONCE, ...(options.args ?? [])],
  })

const logs = (home: Home) => ['--log-dir', home.logs]

async function statesOf(home: Home, ...args: string[]): Promise<string[]> {
  const { stdout } = await typed(home, ['runs', ...args, '--json'])
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).state)
}

describe('mpdl runs', () => {
  test('lists what came of a list, newest first, by whatever way to it', async () => {
    const home = newHome()
    await night(home, [GOOD])
    await night(home, [GOOD, BAD])
    symlinkSync(home.list, home.at('link.txt'))
    const shown = await typed(home, ['runs', home.list])
    expect([shown.code, shown.stderr]).toEqual([0, ''])
    const time = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`
    expect(shown.stdout).toMatch(
      new RegExp(
        `^state .*\n` +
          `trouble {2}${time} +\\S+ {2}process {2}\\d{8}T\\d{6}Z-[0-9a-f]{6}\n {9}2 = 1 unchanged \\+ 1 failed\n` +
          `good {5}${time} +\\S+ {2}process {2}\\d{8}T\\d{6}Z-[0-9a-f]{6}\n {9}1 = 1 downloaded\n$`,
      ),
    )
    for (const way of ['list.txt', './list.txt', 'link.txt', 'out/../list.txt'])
      expect((await typed(home, ['runs', way])).stdout, way).toBe(shown.stdout)
    const elsewhere = await typed(home, ['runs', '../list.txt'], { wrap: ['env', '-C', home.out] })
    expect(elsewhere.stdout).toBe(shown.stdout)
    expect((await typed(home, ['runs', 'list.txt', '-n', '1'])).stdout.split('\n')).toHaveLength(4)
    renameSync(home.list, home.at('moved.txt'))
    expect((await typed(home, ['runs', home.list])).stdout, 'a list that is gone').toBe(shown.stdout)
  })

  test('finds the logs of a run wherever they lie', async () => {
    const home = newHome()
    const dir = home.at('lists')
    mkdirSync(join(dir, 'logs'), { recursive: true })
    const inPlace = ['env', '-C', dir]
    await night(home, [GOOD], { wrap: inPlace })
    expect((await typed(home, ['runs', 'list.txt'])).code, 'its list lies elsewhere').toBe(66)
    expect((await typed(home, ['runs', '../list.txt'], { wrap: inPlace })).code).toBe(0)
    renameSync(home.list, join(dir, 'list.txt'))
    await typed(home, ['-d', '../out', 'list.txt'], { wrap: inPlace })
    expect(await statesOf(home, 'lists/list.txt'), '`./logs` beside the list').toEqual(['good'])
    expect((await typed(home, ['runs', 'lists/list.txt', ...logs(home)])).code, 'told where').toBe(66)
  })

  test('a good run of some of the list does not pass for one of all of it, until nothing is left', async () => {
    const home = newHome()
    const list = (a: string, b: string) => `${server.url(a)}\n out=a\n${server.url(b)}\n out=b\n`
    const age = async () => (await typed(home, ['runs', home.list, '--max-age', '1h'])).code
    const begun = async (a: string, b: string) => {
      await run({ home, list: list(a, b), isBare: true, args: ['-d', home.out, ...ONCE] })
      const { stdout } = await typed(home, ['runs', home.list, '-n', '1', '--json'])
      return String(JSON.parse(stdout).id)
    }
    const first = await begun(BAD, GOOD)
    const second = await begun(BAD, BAD)
    writeFileSync(home.list, list(GOOD, BAD))
    const some = await typed(home, ['retry-failed', first])
    expect([some.code, await age()]).toEqual([0, 1])
    writeFileSync(home.list, list(GOOD, GOOD))
    const rest = await typed(home, ['retry-failed', second])
    expect([rest.code, await age()]).toEqual([0, 0])
  })

  test('of one directory only, on request, so that no run elsewhere passes for the nightly one', async () => {
    const home = newHome()
    await night(home, [BAD])
    writeFileSync(home.list, server.url(GOOD))
    await typed(home, ['-d', 'elsewhere', 'list.txt'])
    expect((await typed(home, ['runs', 'list.txt', '--max-age', '1h'])).code).toBe(0)
    const watched = await typed(home, ['runs', 'list.txt', '-d', 'out', '--max-age', '1h'])
    expect([watched.code, watched.stderr]).toEqual([1, expect.stringContaining('no good run is known')])
    expect((await typed(home, ['runs', '-d', 'elsewhere', '--json'])).stdout.trimEnd().split('\n')).toHaveLength(1)
  })

  test('without a list says of each run which one it was', async () => {
    const home = newHome()
    await night(home, [GOOD])
    await run({ home, operands: [server.url(BAD)], hasNoLog: true, args: ONCE })
    const { code, stdout } = await typed(home, ['runs'])
    expect(code).toBe(0)
    expect(stdout).toContain(` command line into ${home.out}\n`)
    expect(stdout).toContain(` ${home.list} into ${home.out}\n`)
    const json = (await typed(home, ['runs', '--json'])).stdout.trimEnd().split('\n')
    expect(json.map((line) => JSON.parse(line))).toMatchObject([
      { list: { path: null }, dir: home.out, state: 'trouble', is_good: false, totals: { failed: 1 } },
      { list: { path: home.list }, state: 'good', is_good: true, ended: expect.any(Number) },
    ])
    const { log, id } = JSON.parse(json[1] ?? '')
    expect(readFileSync(log, 'utf8')).toContain(id)
  })

  test('says where it looked in vain', async () => {
    const home = newHome()
    const none = await typed(home, ['runs'])
    expect([none.code, none.stdout]).toEqual([66, ''])
    expect(none.stderr).toBe(
      `mpdl: no runs in ${home.state}/mpdl/logs; name a log with --log-dir DIR or give its file\n`,
    )
    const list = await typed(home, ['runs', 'no-such.txt', ...logs(home)])
    expect([list.code, list.stderr]).toEqual([66, expect.stringContaining(`no runs of no-such.txt in ${home.logs};`)])
    for (const operand of ['-', server.url(GOOD)]) expect((await typed(home, ['runs', operand])).code).toBe(64)
  })
})

describe('while a run is going on', () => {
  test('it is said of it, and after its death that it died', async () => {
    const home = newHome()
    // Of its own, because what runs in the other's is not over with the commands that ask.
    const asking = newHome()
    const ask = (...args: string[]) => typed(asking, [...args, ...logs(home)])
    const list = [server.url(GOOD), server.url('/slow/b?rate=20000')].join('\n')
    const running = start({ home, list, args: ['-j', '1', '-T', '20s'] })
    await running.event('response', ({ line }) => line === 2)
    const { stdout } = await ask('runs')
    expect(stdout).toContain(`2 jobs, pid ${running.pid}`)
    const note = new RegExp(`^mpdl: run \\S+ of \\S+list.txt is still going on \\(pid ${running.pid}\\)`)
    const report = await ask('report')
    expect([report.code, report.stderr]).toEqual([1, expect.stringMatching(note)])
    expect(report.stdout).toContain('the log of this run has no end')
    const explained = await ask('explain', '1')
    expect([explained.code, explained.stderr]).toEqual([0, expect.stringMatching(note)])
    expect(explained.stdout).toMatch(
      /^line 1 of \S+list\.txt in run \S+, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n.*downloaded/s,
    )
    const retried = await ask('retry-failed')
    expect([retried.code, retried.stderr]).toEqual([75, expect.stringMatching(note)])
    const age = await ask('runs', home.list, '--max-age', '26h')
    expect([age.code, age.stderr]).toEqual([
      1,
      expect.stringMatching(`one is going on since .* \\(pid ${running.pid}\\)`),
    ])
    process.kill(running.pid, 'SIGKILL')
    await running.ended
    expect((await ask('runs')).stdout).toMatch(/^died .*\n.*\n {9}2 jobs, no end\n$/m)
    expect((await ask('report')).stderr).toBe('')
  })
})

const canShift = requireServer('faketime', findProgram('faketime'))

describe.skipIf(!canShift)('--max-age', () => {
  const ask = async (home: Home, shift: string, age = '26h') => {
    const wrap = withClock(shift)
    const { code, stdout, stderr } = await typed(home, ['runs', home.list, '--max-age', age], { wrap })
    expect(stdout).toBe('')
    return [code, stderr]
  }

  test('is silent as long as the last good run is no older, and then says what is known', async () => {
    const home = newHome()
    await night(home, [GOOD])
    expect(await ask(home, '+25h')).toEqual([0, ''])
    expect(await ask(home, '+27h')).toEqual([
      1,
      expect.stringMatching(
        /^mpdl: \S+list\.txt: no good run since [-\d]{10} [:\d]{8}, 1d3h ago; none was begun since\n$/,
      ),
    ])
    expect(await ask(home, '+40d', '41d'), 'a list of every month').toEqual([0, ''])
    await night(home, [GOOD, BAD])
    expect(await ask(home, '+25h'), 'one that failed since').toEqual([0, ''])
    expect(await ask(home, '+27h')).toEqual([
      1,
      expect.stringMatching(/; the last one, of .*, ended with 2 = 1 unchanged \+ 1 failed \(mpdl report \S+\)\n$/),
    ])
  })

  test('believes a clock that was set back only so far', async () => {
    const home = newHome()
    await night(home, [GOOD])
    expect(await ask(home, '-25h')).toEqual([0, ''])
    expect(await ask(home, '-400d')).toEqual([1, expect.stringContaining('ahead of the clock')])
  })

  test('counts a retry-failed that was good', async () => {
    const home = newHome()
    await night(home, [GOOD, '/status/500/healed?times=1'])
    expect(await ask(home, '+1h')).toEqual([1, expect.stringContaining('no good run is known')])
    expect((await typed(home, ['retry-failed'])).code).toBe(0)
    expect(await ask(home, '+1h')).toEqual([0, ''])
  })

  test('is not content with a list of which nothing is known, nor without a list', async () => {
    const home = newHome()
    expect(await ask(home, '+1h')).toEqual([1, `mpdl: ${home.list}: no run is known\n`])
    rmSync(home.list, { force: true })
    const none = await typed(home, ['runs', '--max-age', '26h'])
    expect([none.code, none.stderr]).toEqual([64, expect.stringContaining('mpdl runs LIST --max-age 26h')])
  })
})
