// The comparison as its user meets it: what it measures agrees with what the server saw, what it judges with what is
// on the disk, and nothing of it stays.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { processesWith } from '../../src/compare/proc.ts'
import type { Comparison } from '../../src/compare/result.ts'
import { findProgram, type NginxServer, requireServer, startNginx } from '../fixtures/servers.ts'
import { type Home, newHome, proc, type RunOptions, run, start, stateOf, until } from './run-mpdl.ts'

const FILES = 12

let home: Home
let nginx: NginxServer
let list = ''

const compared = (args: readonly string[], options: RunOptions = {}) =>
  run({ home, isBare: true, ...options, args: ['compare', '-d', home.out, ...args] })

const parsed = (text: string): Comparison => JSON.parse(text)

/** Processes of subjects: each has a home below this one. */
function subjects(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => proc(pid, 'environ').includes(`HOME=${home.out}/mpdl-compare-`) && stateOf(pid) !== undefined)
}

/** The origin's process has the home of whoever compares. */
const origins = () =>
  processesWith(`HOME=${home.root}`).filter(({ pid }) => proc(pid, 'cmdline').includes('compare-origin'))

describe.skipIf(!requireServer('nginx', findProgram('nginx')))('a list on nginx', () => {
  beforeAll(async () => {
    home = newHome()
    const root = home.at('served')
    mkdirSync(root)
    for (let n = 0; n < FILES; n++) writeFileSync(`${root}/f${n}.bin`, Buffer.alloc(3000 + n, `file ${n} `))
    nginx = await startNginx({ root })
    list = home.at('urls.txt')
    writeFileSync(list, Array.from({ length: FILES }, (_, n) => `${nginx.url}/f${n}.bin\n`).join(''))
  })
  afterAll(() => nginx?.stop())

  test('each URL is asked for once in every round of every mode, and that is said before', async () => {
    const report = home.at('compare.json')
    const modes = ['process', 'pool', 'thread', 'inline', 'sequential']
    const page = home.at('compare.html')
    const reports = ['--report', report, '--report', page]
    const { code, stdout, stderr } = await compared(['--repeat', '1', '--json', ...reports, '-j', '3', list])
    expect(stderr).toBe(`mpdl compare: its ${FILES} files are each downloaded about 10 times\n`)
    expect(code).toBe(0)
    const comparison = parsed(stdout)
    expect(parsed(readFileSync(report, 'utf8'))).toEqual(comparison)
    expect(readFileSync(page, 'utf8')).toContain(JSON.stringify(comparison.sentence))
    expect(comparison.costs.map(({ mode }) => mode)).toEqual(modes)
    expect(comparison.list).toMatchObject({ name: list, jobs: FILES, latency_ms: null })
    expect(comparison.jobs).toBe(3)
    for (let n = 0; n < FILES; n++) {
      const asked = nginx.accessLog().filter((line) => line.startsWith(`GET /f${n}.bin 200`))
      expect(asked, `f${n}.bin`).toHaveLength(2 * modes.length)
    }
    const bytes = Array.from({ length: FILES }, (_, n) => 3000 + n).reduce((sum, size) => sum + size, 0)
    for (const { mode, wall_ms, bytes_per_s, cpu_ms, peak_pss_bytes, lanes } of comparison.costs) {
      expect((bytes_per_s.median * wall_ms.median) / 1000, mode).toBeCloseTo(bytes)
      expect(cpu_ms.median, mode).toBeGreaterThan(0)
      expect(peak_pss_bytes?.median, mode).toBeGreaterThan(2 ** 20)
      expect(lanes, mode).toHaveLength(FILES)
      expect(Math.max(...lanes.map(({ lane }) => lane)), mode).toBeLessThan(mode === 'sequential' ? 1 : 3)
    }
    // Twelve processes that boot use more of the processor than none.
    const [process] = comparison.costs
    expect(process?.isolation_cpu_ms_per_url).toBeGreaterThan(0)
    expect(comparison.sentence).toMatch(
      /^processes cost [\d.]+ ms CPU a URL, \d+ % of the median download; concurrency was /,
    )
  })

  test('what goes wrong is judged by the files that are there', async () => {
    const args = ['--repeat', '0', '--fault', 'error,exit0,segv', '--modes', 'process,inline', '--json', list]
    const { code, stdout } = await compared(args)
    expect(code).toBe(0)
    const { faults, costs } = parsed(stdout)
    expect(costs).toEqual([])
    expect(faults).toMatchObject({ files: FILES, line: 6 })
    const cells = faults?.rows.map(({ fault, cells: [process, inline] }) => [fault, process, inline])
    const survived = { files_first: FILES - 1, files_final: FILES, fate: 'well', culprit: 'named', left_behind: [] }
    expect(cells).toMatchObject([
      ['error', survived, survived],
      // It leaves with 0 in the middle of its work: whoever believes that has been lied to.
      ['exit0', survived, { fate: 'lied', exit_code: 0, culprit: 'suspects-only', left_behind: [] }],
      ['segv', survived, { fate: 'died', signal: 'SIGSEGV', culprit: 'suspects-only', left_behind: [] }],
    ])
    const [, segvInline] = faults?.rows[2]?.cells ?? []
    expect(segvInline?.files_final).toBeLessThan(FILES)
    const [segv] = faults?.rows[2]?.cells ?? []
    expect(segv?.kill_timeline.map(({ what }) => what)).toEqual([
      'fault',
      'noticed',
      'joined',
      'retried',
      'joined',
      'run-ended',
    ])
    expect(segv?.log.join('\n')).toContain('died of SIGSEGV')
  })

  test('what never ends by itself is ended, and the comparison goes on', async () => {
    const { stdout } = await compared(['--repeat', '0', '--fault', 'spin', '--modes', 'inline', '--json', list])
    const [cell] = parsed(stdout).faults?.rows[0]?.cells ?? []
    expect(cell).toMatchObject({ fate: 'never-ended', noticed_ms: null, left_behind: [] })
    expect(cell?.kill_timeline.at(-1)).toMatchObject({ what: 'given-up', text: 'nothing happened for 8 s' })
  })

  test('a list that fails by itself is not compared, and the reason is told', async () => {
    const { code, stdout, stderr } = await compared(['--repeat', '1', '--modes', 'inline', `${nginx.url}/none.bin`])
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/inline: the run failed \(exit code 8\): .*HTTP 404/s)
  })

  test('a list of which some fail is compared by the rest, and what failed is told', async () => {
    const some = home.at('some.txt')
    writeFileSync(some, `${nginx.url}/f0.bin\n${nginx.url}/none.bin\n${nginx.url}/f1.bin\n`)
    const { code, stdout, stderr } = await compared(['--repeat', '1', '--modes', 'inline', '--json', some])
    expect(code).toBe(1)
    expect(stderr).toMatch(/inline: the run failed \(exit code 8\): .*HTTP 404/s)
    expect(parsed(stdout).costs[0]?.bytes_per_s.median).toBeGreaterThan(0)
  })

  test('without a terminal the table is plain and the rest is silent', async () => {
    const { stdout, stderr } = await compared(['--repeat', '1', '--modes', 'inline,sequential', list])
    expect(stderr.split('\n')).toHaveLength(2)
    expect(stdout).toMatch(/^.*urls\.txt: 12 files, .*; median of 1\n\n/)
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
    expect(stdout).toMatch(/\ninline +\d/)
  })

  test('standard input comes once and is compared all the same', async () => {
    const args = ['--repeat', '1', '--modes', 'inline,sequential', '--json', '-']
    const { code, stdout } = await compared(args, { stdin: readFileSync(list) })
    expect(code).toBe(0)
    expect(parsed(stdout).list).toMatchObject({ name: 'standard input', jobs: FILES })
  })

  test('options without a value hold for every run, and secrets stand in no command line', async () => {
    const args = ['compare', '-d', home.out, '--repeat', '1', '--modes', 'inline', '--compressed', '--no-mtime']
    const secrets = ['-H', 'X-A: CANARY', '-H', 'X-B: CANARY', '-u', 'me:CANARY']
    const running = start({ home, isBare: true, operands: [...args, ...secrets, list], hasNoReport: true })
    const seen: string[] = []
    const watching = setInterval(() => seen.push(...subjects().map((pid) => proc(pid, 'cmdline'))), 2)
    const { code } = await running.ended
    clearInterval(watching)
    expect(code).toBe(0)
    expect(seen.some((words) => words.includes('--compressed'))).toBe(true)
    expect(seen.filter((words) => words.includes('CANARY'))).toEqual([])
  })

  test('a report that could not be written is told before anything runs', async () => {
    const { code, stderr } = await compared(['--report', home.at('nowhere/x.json'), list])
    expect([code, stderr]).toEqual([73, expect.stringMatching(/^mpdl: cannot write into .*nowhere: ENOENT; choose/)])
  })

  test('a mode that is none is refused before anything runs', async () => {
    const { code, stderr } = await compared(['--modes', 'process,fork', list])
    expect(code).toBe(64)
    expect(stderr).toContain('allowed are process, pool, thread, inline, sequential')
  })

  afterAll(() => {
    expect(readdirSync(home.out), 'directories are removed').toEqual([])
    expect(subjects()).toEqual([])
  })
})

describe('the sample', () => {
  const started = () => start({ home, isBare: true, args: ['compare', '-d', home.out, '--modes', 'process'] })
  beforeAll(() => {
    home = newHome()
  })

  test('the demonstrations show what they are for', async () => {
    const args = ['--repeat', '0', '--demos', '--modes', 'process,inline', '--json']
    const { code, stdout } = await compared(args)
    expect(code).toBe(0)
    const { demonstrations, costs, faults } = parsed(stdout)
    expect([costs, faults]).toEqual([[], null])
    expect(demonstrations?.cpu_bound.map(({ mode, busy_cores }) => [mode, busy_cores > 0.1])).toEqual([
      ['process', true],
      ['inline', true],
    ])
    const { rows, maps, refetched_bytes, size_bytes } = demonstrations?.connections ?? {}
    expect(rows?.map(({ connections }) => connections)).toEqual([1, 4, 16, 1, 4, 16])
    const [slow, , fast] = rows?.slice(3) ?? []
    expect(slow?.wall_ms.median, 'each connection is limited').toBeGreaterThan(2 * (fast?.wall_ms.median ?? 0))
    const bytesIn = (ranges: readonly (readonly [number, number])[] = []) =>
      ranges.reduce((sum, [from, to]) => sum + to - from, 0)
    const [written, noted, whole] = maps?.map(({ ranges }) => bytesIn(ranges)) ?? []
    expect(whole).toBe(size_bytes)
    expect(noted).toBeLessThanOrEqual(written ?? 0)
    // What was written and not noted came again; blocks and what was on its way make the difference.
    expect(Math.abs((refetched_bytes ?? 0) - ((written ?? 0) - (noted ?? 0)))).toBeLessThan(2 ** 20)
  }, 120_000)

  test('Ctrl-C ends the subject and the origin, and leaves nothing', async () => {
    const running = started()
    await until('a subject runs', () => subjects().length > 2)
    process.kill(running.pid, 'SIGINT')
    const { code, stdout } = await running.ended
    expect([code, stdout]).toEqual([130, ''])
    expect([subjects(), origins(), readdirSync(home.out)]).toEqual([[], [], []])
  })

  test.skipIf(findProgram('setpriv') === undefined)('kill -9 leaves no process of it either', async () => {
    const running = started()
    await until('a subject runs', () => subjects().length > 2)
    process.kill(running.pid, 'SIGKILL')
    await running.ended
    await until('everything is gone', () => subjects().length === 0 && origins().length === 0)
  })
})
