// What the benchmark concludes from its figures, and one benchmark that is made, small.

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Baseline, baselineOf, compareWith, updated } from '../../scripts/bench/baseline.ts'
import { logAxis, svgOf } from '../../scripts/bench/chart.ts'
import type { Guarded } from '../../scripts/bench/guard.ts'
import { htmlOf } from '../../scripts/bench/html.ts'
import { markdownOf, tableText } from '../../scripts/bench/markdown.ts'
import { parseOptions, UsageError } from '../../scripts/bench/options.ts'
import { makeScratch } from '../../scripts/bench/places.ts'
import { bestPeer, isTie, ratioOf } from '../../scripts/bench/ratio.ts'
import type { BenchResult, ToolResult } from '../../scripts/bench/result.ts'
import { sectionsOf, tableOf } from '../../scripts/bench/sections.ts'
import { startLink } from '../../scripts/bench/server.ts'
import { differenceOf, makeFile } from '../../scripts/bench/sources.ts'
import { subjectsFor } from '../../scripts/bench/subjects.ts'
import { shownCommand, TOOLS, wordsOf } from '../../scripts/bench/tools.ts'
import { shrink, WORKLOADS, type Workload } from '../../scripts/bench/workloads.ts'
import { stateOf, until } from '../e2e/run-mpdl.ts'
import { findProgram, requireServer } from '../fixtures/servers.ts'

const ROOT = join(import.meta.dirname, '..', '..')

let dir = ''
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-bench-test-'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const tool = (name: string, wallMs: readonly number[], more: Partial<ToolResult> = {}): ToolResult => ({
  tool: name,
  kind: name.startsWith('mpdl') ? 'mpdl' : 'peer',
  command: `${name} {list}`,
  runs: wallMs.map((wall_ms) => ({ wall_ms, cpu_ms: wall_ms / 2 })),
  peak_pss_bytes: [],
  wrong: [],
  ...more,
})

const resultOf = (tools: readonly ToolResult[], more: Partial<BenchResult> = {}): BenchResult => ({
  schema: 1,
  started_at: '2026-01-05T09:00:00.000Z',
  ended_at: '2026-01-05T09:10:00.000Z',
  machine: { cpu: 'a processor', cores: 2, memory_bytes: 2 ** 34, system: 'Linux 6', node: 'v26' },
  load_average: { before: 0.1, after: 1.5 },
  versions: { mpdl: '1.0.0', curl: '8.0.0' },
  scale: 1,
  rounds: 3,
  workloads: [
    {
      workload: 'small',
      about: 'small files',
      place: 'tmpfs',
      connections: 16,
      files: 2000,
      size_bytes: 16_384,
      tools,
    },
  ],
  growth: [],
  left_out: [],
  ...more,
})

describe('ratios', () => {
  test('a ratio is the median over the median', () => {
    expect(ratioOf([30, 10, 20], [5, 40, 10, 10])).toBe(2)
  })

  test('fewer than three rounds of either make none', () => {
    expect(ratioOf([1, 2], [1, 2, 3])).toBeUndefined()
    expect(ratioOf([1, 2, 3], [1, 2])).toBeUndefined()
  })

  test('nothing is no divisor', () => {
    expect(ratioOf([1, 2, 3], [0, 0, 0])).toBeUndefined()
  })

  test('a difference under 20 % is a tie, in both directions', () => {
    expect([0.83, 0.84, 1, 1.19, 1.2].map(isTie)).toEqual([false, true, true, true, false])
  })

  test('the best peer is the one with the lowest median, and never one that brought wrong files', () => {
    const tools = [
      tool('mpdl-pool', [1, 1, 1]),
      tool('curl', [5, 5, 50]),
      tool('wget', [6, 6, 6]),
      tool('axel', [2, 2, 2], { wrong: ['f.bin has 1 bytes instead of 2'] }),
      tool('lftp', []),
    ]
    expect(bestPeer(tools, 'wall')?.tool).toBe('curl')
    expect(bestPeer(tools, 'memory')).toBeUndefined()
  })
})

describe('the report', () => {
  const pool = tool('mpdl-pool', [1100, 900, 1000], { peak_pss_bytes: [2 ** 26, 2 ** 26, 2 ** 26] })
  const curl = tool('curl', [500, 500, 400], { peak_pss_bytes: [2 ** 23, 2 ** 23, 2 ** 23] })
  const aria2c = tool('aria2c', [550, 580, 590])
  const floor: ToolResult = { ...tool('cp', [100, 100, 100]), kind: 'floor' }

  test('a table has medians, spreads, ratios, ties and the distance from the floor', () => {
    expect(tableText(tableOf([pool, curl, aria2c, floor], 2000)).split('\n')).toEqual([
      '|  | wall s | × best peer | CPU s | × best peer | PSS MiB | × best peer | CPU ms a file | wall × cp |',
      '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
      '| mpdl-pool | 1.000 (0.900–1.100) | 2.00 | 0.500 (0.450–0.550) | 2.00 | 64 (64–64) | 8.00 | 0.250 | 10.00 |',
      '| curl | 0.500 (0.400–0.500) | 1.00 | 0.250 (0.200–0.250) | 1.00 | 8 (8–8) | 1.00 | 0.125 | 5.00 |',
      '| aria2c | 0.580 (0.550–0.590) | 1.16 tie | 0.290 (0.275–0.295) | 1.16 tie | – | – | 0.145 | 5.80 |',
      '| cp | 0.100 (0.100–0.100) | 0.20 | 0.050 (0.050–0.050) | 0.20 | – | – | 0.0250 | 1.00 |',
    ])
  })

  test('two rounds have a median and no ratio', () => {
    const [, , row] = tableText(tableOf([tool('mpdl-pool', [3, 1]), tool('curl', [1, 1])], 1)).split('\n')
    expect(row).toBe('| mpdl-pool | 0.002 (0.001–0.003) | – | 0.001 (0.001–0.002) | – |')
  })

  test('lost comparisons, wrong runs, a busy machine and what was left out are told', () => {
    const text = markdownOf(
      sectionsOf(
        resultOf([pool, curl, tool('wget', [1, 1], { wrong: ['f.bin is missing'] })], {
          load_average: { before: 3, after: 3 },
          left_out: ['not installed: lftp'],
        }),
      ),
    )
    expect(text).toContain('| small on tmpfs | curl 0.500 | 2.00 |')
    expect(text).toContain('| wget ✗ |')
    expect(text).toContain('- wget: 1 runs failed, 2 timed ones went well: f.bin is missing')
    expect(text).toContain('- The machine was busy')
    expect(text).toContain('- Left out: not installed: lftp.')
  })

  test('the page shows growth as curves and lets no text become markup', () => {
    const { workloads } = resultOf([pool, tool('<b>', [4, 4, 4])])
    const points = [1, 100].map((x) => ({ x, result: { ...workloads[0], files: x } as (typeof workloads)[number] }))
    const growth = [{ name: 'files', about: 'tiny files', points }] as const
    const html = htmlOf(sectionsOf(resultOf([pool], { growth })))
    expect(html.match(/<svg /g)).toHaveLength(2)
    expect(html).toContain('mpdl-pool: 1.00e+3 at 1')
    expect(html).toContain('mpdl-pool: 10.0 at 100')
    expect(html).not.toContain('<b>')
  })

  test('an axis has the powers of ten around its values, and room for a single one and for none', () => {
    expect(logAxis([3, 400]).ticks).toEqual([1, 10, 100, 1000])
    expect(logAxis([10]).ticks).toEqual([10, 100])
    expect(logAxis([0]).at(0)).toBe(0)
    expect(svgOf({ title: '', xLabel: '', yLabel: '', curves: [] })).not.toContain('NaN')
  })
})

describe('the check', () => {
  const curl = tool('curl', [100, 100, 100])
  const wget = tool('wget', [200, 200, 200])
  const baseline = (pool: number, ...peers: readonly ToolResult[]): Baseline =>
    baselineOf(resultOf([tool('mpdl-pool', [pool, pool, pool]), ...peers]))
  const now = (pool: number, ...peers: readonly ToolResult[]) =>
    resultOf([tool('mpdl-pool', [pool, pool, pool]), ...peers])

  test('a ratio that is worse by up to 25 % passes, one beyond fails and is named', () => {
    expect(compareWith(baseline(100, curl), now(125, curl))).toEqual({ worse: [], missing: [], compared: 2 })
    expect(compareWith(baseline(100, curl), now(126, curl)).worse).toEqual([
      'small tmpfs mpdl-pool wall: 1.26 × curl, was 1.00',
      'small tmpfs mpdl-pool cpu: 1.26 × curl, was 1.00',
    ])
  })

  test('a machine that is slower as a whole fails nothing', () => {
    const slower = now(1000, tool('curl', [1000, 1000, 1000]))
    expect(compareWith(baseline(100, curl), slower).worse).toEqual([])
  })

  test('compares with the best peer that both know, and names what it cannot compare', () => {
    const both = baseline(100, curl, wget)
    expect(compareWith(both, now(110, wget))).toEqual({ worse: [], missing: [], compared: 2 })
    expect(compareWith(both, now(110)).missing).toEqual(['small tmpfs mpdl-pool wall', 'small tmpfs mpdl-pool cpu'])
    expect(compareWith(both, resultOf([], { workloads: [] }))).toEqual({ worse: [], missing: [], compared: 0 })
  })

  test('too few rounds are no baseline', () => {
    expect(baselineOf(resultOf([tool('mpdl-pool', [1, 1]), curl])).ratios).toEqual({})
  })

  test('what is measured again replaces only itself in the baseline', () => {
    const before: Baseline = { ...baseline(100, curl), ratios: { 'big tmpfs mpdl-pool wall': { curl: 3 } } }
    expect(updated(before, now(200, curl)).ratios).toMatchObject({
      'big tmpfs mpdl-pool wall': { curl: 3 },
      'small tmpfs mpdl-pool wall': { curl: 2 },
    })
    expect(updated({ ...before, scale: 0.5 }, now(200, curl)).ratios).not.toHaveProperty('big tmpfs mpdl-pool wall')
  })

  test('other sizes are not compared', () => {
    expect(() => compareWith(baseline(100, curl), resultOf([], { scale: 0.125 }))).toThrow('--scale 0.125')
  })
})

describe('commands', () => {
  const workload = (name: string) => WORKLOADS.find((each) => each.name === name) as Workload

  test('quotes hold a word together, and places are filled with whatever is in them', () => {
    expect(wordsOf(`lftp -c 'pget -n {n} {url}' {out}`, { n: '4', url: 'u', out: 'a b' })).toEqual([
      'lftp',
      '-c',
      'pget -n 4 u',
      'a b',
    ])
    expect(shownCommand('{node} {mpdl} {list} -j {n} -x {n16}', 32)).toBe('mpdl {list} -j 32 -x 16')
  })

  test.each(WORKLOADS.map(({ name }) => name))('%s is for every mode of mpdl and for some peers', (name) => {
    const subjects = subjectsFor(TOOLS, workload(name), 'tmpfs')
    expect(subjects.filter(({ kind }) => kind === 'mpdl')).toHaveLength(4)
    expect(subjects.filter(({ kind }) => kind === 'peer').length).toBeGreaterThan(2)
  })

  test('who speaks TLS is told whom to trust', () => {
    const curl = (name: string) => subjectsFor(TOOLS, workload(name), 'tmpfs').find(({ tool }) => tool === 'curl')
    expect(curl('tls')?.command).toContain('--cacert {ca}')
    expect(curl('big')?.command).not.toContain('{ca}')
  })

  test('large files shrink, long lists get shorter, and five stay five', () => {
    const sizes = (name: string) => {
      const { files, sizeBytes } = shrink(workload(name), 1 / 8)
      return [files, sizeBytes]
    }
    expect(sizes('files')).toEqual([16, 2 ** 23])
    expect(sizes('small')).toEqual([250, 2 ** 14])
    expect(sizes('five')).toEqual([5, 200 * 1024])
  })
})

describe('options', () => {
  const parse = (...args: readonly string[]) => parseOptions(args, '/here', { out: '/out', scratch: '/scratch' })

  test('quick is small, on tmpfs and without the long curves', () => {
    expect(parse('--quick')).toMatchObject({ rounds: 3, scale: 1 / 16, places: ['tmpfs'], memoryRounds: 1 })
    expect(parse('--quick')?.only).not.toContain('scale')
    expect(parse()?.only).toContain('scale')
  })

  test('names are looked up, and relative paths mean where they were typed', () => {
    expect(parse('--only', 'big,tls', '--tool', 'curl', '--out', 'x')).toMatchObject({
      only: ['big', 'tls'],
      tools: ['curl'],
      outDir: '/here/x',
    })
    expect(parse('--help')).toBeUndefined()
  })

  test.each([
    ['--only', 'bog'],
    ['--tool', 'curlie'],
    ['--rounds', '0'],
    ['--scale', '0'],
    ['--scale', 'x'],
    ['--fast'],
  ])('%s %s is refused', (...args) => {
    expect(() => parse(...args)).toThrow(UsageError)
  })
})

describe('what arrived', () => {
  test('is compared to the last byte', () => {
    const [source, copy] = [join(dir, 'source'), join(dir, 'copy')]
    makeFile(source, 'a name', 3_000_000)
    makeFile(copy, 'a name', 3_000_000)
    expect(differenceOf(source, copy)).toBeUndefined()
    const bytes = readFileSync(copy)
    bytes.writeUInt8((bytes.at(-1) ?? 0) ^ 1, bytes.length - 1)
    writeFileSync(copy, bytes)
    expect(differenceOf(source, copy)).toBe('differs somewhere after byte 2097152')
    writeFileSync(copy, bytes.subarray(1))
    expect(differenceOf(source, copy)).toBe('has 2999999 bytes instead of 3000000')
    expect(differenceOf(source, join(dir, 'nothing'))).toBe('is missing')
  })

  test('what a killed benchmark left is taken away, and what a living one uses is not', async () => {
    const place = join(dir, 'place')
    const dead = spawn('true')
    await once(dead, 'exit')
    for (const pid of [dead.pid, process.pid]) mkdirSync(join(place, `mpdl-bench-${pid}-abc`), { recursive: true })
    const scratch = makeScratch(place)
    expect(readdirSync(place).toSorted()).toEqual(
      [`mpdl-bench-${process.pid}-abc`, scratch.slice(place.length + 1)].toSorted(),
    )
  })
})

describe('the link', () => {
  /** Asks once over a link and takes all that comes back. */
  async function ask(link: Guarded): Promise<{ readonly answer: Buffer; readonly tookMs: number }> {
    const [port] = await once(link.child.stdout ?? link.child, 'data')
    const startedMs = performance.now()
    const socket = connect(Number(port), '127.0.0.1').end('?')
    const chunks: Buffer[] = []
    for await (const chunk of socket) chunks.push(chunk)
    return { answer: Buffer.concat(chunks), tookMs: performance.now() - startedMs }
  }

  const said = randomBytes(300_000)
  const server = createServer({ allowHalfOpen: true }, (socket) => void socket.once('data', () => socket.end(said)))
  let port = 0
  beforeAll(async () => {
    await once(server.listen(0, '127.0.0.1'), 'listening')
    port = (server.address() as AddressInfo).port
  })
  afterAll(() => void server.close())

  test.each([
    { roundTripMs: 50, bytesPerS: 0, atLeastMs: 100 },
    { roundTripMs: 0, bytesPerS: 1_000_000, atLeastMs: 300 },
    { roundTripMs: 0, bytesPerS: 0, atLeastMs: 0 },
  ])('over $roundTripMs ms at $bytesPerS bytes/s all comes, and not before its time', async (pace) => {
    const link = startLink(port, pace)
    try {
      const { answer, tookMs } = await ask(link)
      expect(answer.equals(said)).toBe(true)
      // Timers may be early by a millisecond.
      expect(tookMs).toBeGreaterThan(pace.atLeastMs - 5)
    } finally {
      await link.stop()
    }
  })
})

test('what was started ends with the one who started it, even when that is killed outright', async () => {
  const guard = join(ROOT, 'scripts', 'bench', 'guard.ts')
  const program = `import { startServer } from ${JSON.stringify(guard)}
    console.log(startServer(['sleep', '600'], process.env).pid)`
  const starter = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [pid] = await once(starter.stdout, 'data')
  expect(stateOf(Number(pid))).toBeDefined()
  starter.kill('SIGKILL')
  await until('it has ended', () => stateOf(Number(pid)) === undefined)
})

const canRun = requireServer('nginx', findProgram('nginx')) && requireServer('curl', findProgram('curl'))

describe.skipIf(!canRun)('a benchmark', () => {
  interface Made {
    readonly out: string
    readonly scratch: string
    readonly code: number | null
    readonly said: string
  }

  /** `onSaid` sees all that was said so far, and may end it. */
  async function bench(
    name: string,
    args: readonly string[],
    onSaid: (said: string, end: () => void) => void = () => {},
  ): Promise<Made> {
    const [out, scratch] = [join(dir, `${name}-out`), join(dir, `${name}-scratch`)]
    mkdirSync(scratch)
    const child = spawn(
      process.execPath,
      [join(ROOT, 'scripts', 'bench', 'main.ts'), '--out', out, '--scratch', scratch, '--on', 'disk', ...args],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => {
      said += String(chunk)
      onSaid(said, () => child.kill('SIGINT'))
    })
    const [code] = await once(child, 'close')
    return { out, scratch, code, said }
  }

  test('measures, compares every byte, writes its three files and leaves nothing else', async () => {
    const args = ['--scale', '0.001', '--rounds', '2', '--only', 'big,small', '--tool', 'mpdl-inline', '--tool', 'curl']
    const { out, scratch, code, said } = await bench('whole', args)
    expect(said).toContain('small on disk, round 2 of 2: ')
    expect(code).toBe(0)
    expect(readdirSync(out).toSorted()).toEqual(['bench.html', 'bench.json', 'bench.md'])
    expect(readdirSync(scratch)).toEqual([])
    const result: BenchResult = JSON.parse(readFileSync(join(out, 'bench.json'), 'utf8'))
    expect(result.workloads.map(({ workload, files, size_bytes }) => [workload, files, size_bytes])).toEqual([
      ['big', 1, 2_147_484],
      ['small', 2, 16_384],
    ])
    const tools = result.workloads.flatMap(({ tools }) => tools)
    expect(tools.map(({ tool }) => tool)).toEqual(['mpdl-inline', 'curl', 'cp', 'mpdl-inline', 'curl', 'cp'])
    for (const { runs, wrong } of tools) expect({ runs: runs.length, wrong }).toEqual({ runs: 2, wrong: [] })
    const [mpdl] = tools
    expect(mpdl?.runs[0]?.cpu_ms).toBeGreaterThan(0)
    expect(readFileSync(join(out, 'bench.md'), 'utf8')).toContain('| big on disk | curl 0.')
  })

  test('waits for the first request of a long list only, and sees the memory it takes', async () => {
    const args = ['--scale', '0.001', '--rounds', '1', '--only', 'million', '--tool', 'curl']
    const { out, code, said } = await bench('list', args)
    expect(code, said).toBe(0)
    const result: BenchResult = JSON.parse(readFileSync(join(out, 'bench.json'), 'utf8'))
    const [curl, floor] = result.workloads[0]?.tools ?? []
    expect([curl?.tool, floor?.tool]).toEqual(['curl', 'read + new URL'])
    expect(curl?.peak_pss_bytes[0]).toBeGreaterThan(2 ** 20)
  })

  test('a benchmark that is interrupted ends what it started and takes everything away', async () => {
    const { out, scratch, code, said } = await bench(
      'interrupted',
      ['--only', 'limited', '--tool', 'mpdl-process'],
      (text, end) => {
        if (text.includes('limited: ')) end()
      },
    )
    expect(said).toContain('ended by SIGINT')
    expect(code).toBe(130)
    expect(existsSync(out)).toBe(false)
    expect(readdirSync(scratch)).toEqual([])
  })
})
