import { Writable } from 'node:stream'
import sliceAnsi from 'slice-ansi'
import stringWidth from 'string-width'
import { describe, expect, test } from 'vitest'
import type { Progress, RunEvent, Status } from '../../src/core/event.ts'
import { freshReport, step } from '../../src/core/report.ts'
import type { FrameStyle, TtyOptions } from '../../src/reporters/tty.ts'
import { createTtyReporter, frameLines, isUtf8Locale, physicalRows } from '../../src/reporters/tty.ts'
import { jobFailed, runEnded, runStarted, START } from '../events.ts'
import fc from '../fixtures/property.ts'

const MiB = 2 ** 20
const ruler = { width: (text: string) => stringWidth(text), slice: sliceAnsi }
const styled = (changes: Partial<FrameStyle> = {}): FrameStyle => ({
  columns: 100,
  rows: 24,
  isUtf8: true,
  isColour: false,
  ruler,
  ...changes,
})
/** Without a hole, unless `ranges` says otherwise. */
const downloading = (changes: Partial<Progress> = {}): Progress => ({
  index: 0,
  line: 1,
  out: 'debian-12.iso',
  pid: 4242,
  phase: 'receiving',
  bytes: 50 * MiB,
  ranges: [[0, changes.bytes ?? 50 * MiB]],
  segments: 1,
  sizeBytes: 100 * MiB,
  attempt: 1,
  startedAt: START,
  ...changes,
})
const lineOf = (changes: Partial<Progress>, style: Partial<FrameStyle> = {}, bytesPerSecond = 5 * MiB) =>
  frameLines([{ progress: downloading(changes), bytesPerSecond }], ['1/2'], styled(style))[0]

const barIn = (line: string | undefined) => /[━╸─]+/.exec(line ?? '')?.[0] ?? ''

const NAMES = [
  'short.txt',
  'a-rather-long-name-of-a-file-that-fits-nowhere-at-all-really-0001.tar.gz',
  '日本語のとても長いファイル名はここで必ず切られます一二三四五六.tar.gz',
  'ملف-طويل-جدا-باللغة-العربية-لا-يناسب-العرض.zip',
  '👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧.png',
  'e\u0301'.repeat(60),
  '\x1b[2J\x1b[31m\u202e\r\n',
]

describe('a frame', () => {
  test('shows name, bar, bytes, speed, time left and the attempt', () => {
    expect(lineOf({ attempt: 3 })).toBe(
      'debian-12.iso            ━━━━━━━━━─────────   50%    50.0 MiB/100.0 MiB   5.00 MiB/s ETA 10s    #3',
    )
  })

  test('shows where each of several children is, and how many they are', () => {
    const ranges = [
      [0, 10 * MiB],
      [25 * MiB, 40 * MiB],
      [50 * MiB, 51 * MiB],
      [75 * MiB, 99 * MiB],
    ] as const
    const several = { ranges, bytes: 50 * MiB, segments: 4, attempt: 3 }
    expect(lineOf(several)).toBe(
      'debian-12.iso        ×4  ━╸──╸━━╸─╸───╸━━━╸   50%    50.0 MiB/100.0 MiB   5.00 MiB/s ETA 10s    #3',
    )
    expect(lineOf(several, { columns: 80, isUtf8: false })).toBe(
      'debian-12.iso        x4 [+-#++-#+]   50.0 MiB/100.0 MiB   5.00 MiB/s    10s #3',
    )
    expect(lineOf(several, { columns: 40 })).toBe('debian-12.iso  ×4  50%   5.00 MiB/s #3')
    expect(lineOf({ ...several, segments: 16 }, { columns: 20 })).toBe('debia….iso ×16  50%')
    // Below that the name needs the room more.
    expect(lineOf(several, { columns: 16 })).toBe('debia….iso  50%')
  })

  test('a cell is full only when all its bytes are there, and one with some is marked unless all is one stretch', () => {
    const sizeBytes = 1_000_003
    const cuts = fc.uniqueArray(fc.integer({ min: 0, max: sizeBytes }), { minLength: 2, maxLength: 20 })
    fc.assert(
      fc.property(cuts, (unsorted) => {
        const sorted = unsorted.sort((a, b) => a - b)
        const ranges = sorted.flatMap((start, i) => {
          const end = sorted[i + 1]
          return i % 2 === 0 && end !== undefined ? [[start, end] as const] : []
        })
        const bytes = ranges.reduce((sum, [start, end]) => sum + end - start, 0)
        const cells = [...barIn(lineOf({ ranges, bytes, sizeBytes, segments: 2 }))]
        const full = cells.filter((cell) => cell === '━').length
        const begun = cells.filter((cell) => cell === '╸').length
        expect(cells).toHaveLength(18)
        expect(full).toBeLessThanOrEqual((bytes / sizeBytes) * 18)
        if (ranges.length > 1) expect(full + begun).toBeGreaterThanOrEqual((bytes / sizeBytes) * 18)
        expect(full === 18).toBe(bytes === sizeBytes)
        const isOneStretch = ranges.length === 1 && ranges[0]?.[0] === 0
        if (isOneStretch) expect(cells.join('')).toMatch(/^━*─*$/)
      }),
    )
    expect(barIn(lineOf({ ranges: [[0, sizeBytes - 1]], bytes: sizeBytes - 1, sizeBytes }))).toBe(`${'━'.repeat(17)}─`)
    const torn = { ranges: [[0, 1] as const, [2, sizeBytes] as const], bytes: sizeBytes - 1, sizeBytes }
    expect(lineOf(torn)).toContain(`╸${'━'.repeat(17)}   99%`)
  })

  test('says what a download waits for', () => {
    expect(lineOf({ phase: 'connecting', sizeBytes: null, bytes: 0 })).toMatch(/^debian-12\.iso .* 0 B +connecting$/)
    expect(lineOf({ phase: 'terminating' }, { columns: 20 })).toMatch(/^debian.* {2}50%$/)
    expect(lineOf({ phase: 'starting', sizeBytes: null }, { columns: 20 })).toMatch(/starting$/)
    expect(lineOf({}, {}, 0)).not.toContain('ETA')
  })

  test('never reaches the last column, whatever the name, the width and the locale', () => {
    for (const out of NAMES) {
      for (let columns = 1; columns <= 130; columns++) {
        for (const isUtf8 of [true, false]) {
          const lines = frameLines(
            [
              {
                progress: downloading({ out, attempt: 12, segments: columns % 3 === 0 ? 16 : 1 }),
                bytesPerSecond: 123 * MiB,
              },
              { progress: downloading({ out, sizeBytes: null, phase: 'hashing' }), bytesPerSecond: 0 },
            ],
            ['1/2', '3.00 GiB', '4.5 MiB/s', `${out.length} waiting`],
            styled({ columns, isUtf8 }),
          )
          for (const line of lines) {
            expect(stringWidth(line)).toBeLessThanOrEqual(Math.max(1, columns - 1))
            expect(line).not.toMatch(/[\p{Cc}\u202e]/u)
            if (!isUtf8) expect(line).toMatch(/^[\x20-\x7e]*$/)
          }
        }
      }
    }
  })

  test('keeps its columns aligned for names of every script, later attempts and several children', () => {
    const lines = NAMES.slice(0, 4).map(
      (out, i) => lineOf({ out, attempt: i + 1, segments: [1, 2, 16, 1][i] ?? 1 }, { columns: 80 }) ?? '',
    )
    const bars = lines.map((line) => stringWidth(line.slice(0, line.indexOf('━'))))
    expect(new Set(bars).size).toBe(1)
  })

  test('keeps the end of a long name, where siblings differ', () => {
    expect(lineOf({ out: NAMES[1] ?? '' }, { columns: 40 })).toMatch(/^a-rath\S*…\S*\.tar\.gz {2}50% +5\.00 MiB\/s$/)
    expect(lineOf({ out: NAMES[1] ?? '' }, { columns: 40, isUtf8: false })).toMatch(/^a-rat\S*\.\.\S*ar\.gz {2}50%/)
  })

  test('uses ASCII where the locale has no UTF-8', () => {
    expect(lineOf({ out: 'naïve' }, { isUtf8: false })).toMatch(/^na\\xefve +\[#########---------\]/)
  })

  test('is never higher than the window, and says how many are not shown', () => {
    const active = Array.from({ length: 30 }, (_, index) => ({ progress: downloading({ index }), bytesPerSecond: 0 }))
    for (let rows = 1; rows <= 40; rows++) {
      const lines = frameLines(active, ['1/2'], styled({ rows, isColour: true }))
      expect(lines.length).toBeLessThanOrEqual(Math.max(1, rows - 1))
      expect(lines.at(-1)).toBe('1/2')
      if (rows >= 3 && rows < 32) expect(lines.at(-2)).toContain(`… and ${30 - (rows - 3)} more`)
    }
  })

  test('drops the least important of the total first', () => {
    const total = ['12/100', '1.00 GiB', '3.00 MiB/s', '80 waiting']
    expect(frameLines([], total, styled({ columns: 20 }))).toEqual(['12/100, 1.00 GiB'])
    expect(frameLines([], total, styled({ columns: 4 }))).toEqual(['12/'])
  })
})

test('old lines take more rows in a narrower window', () => {
  expect(physicalRows([79, 40, 0], 40)).toBe(4)
  expect(physicalRows([79, 40, 0], 80)).toBe(3)
})

test('the locale is read in the order of POSIX', () => {
  expect(isUtf8Locale({ LANG: 'C.UTF-8' })).toBe(true)
  expect(isUtf8Locale({ LANG: 'de_DE.utf8', LC_ALL: 'C' })).toBe(false)
  expect(isUtf8Locale({ LANG: 'C', LC_CTYPE: 'C.UTF-8', LC_ALL: '' })).toBe(true)
  expect(isUtf8Locale({})).toBe(false)
})

/** A terminal of a given size that remembers what was written. */
class FakeTerminal extends Writable {
  columns: number
  rows = 24
  text = ''
  writes = 0

  constructor(columns: number) {
    super()
    this.columns = columns
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    this.writes++
    done()
  }

  taken(): string {
    const { text } = this
    this.text = ''
    return text
  }
}

async function scene(options: Partial<TtyOptions> = {}, columns = 80) {
  const terminal = new FakeTerminal(columns)
  const report = freshReport()
  let nowMs = 0
  const reporter = await createTtyReporter({
    stream: terminal,
    report: () => report,
    env: { LANG: 'C.UTF-8' },
    now: () => nowMs,
    ...options,
  })
  const tell = (event: RunEvent) => {
    step(report, event)
    reporter.event(event)
  }
  const show = (active: Progress[], changes: Partial<Status> = {}) => {
    nowMs += 200
    reporter.progress?.({ at: START + nowMs, active, waiting: 3, slots: 8, pausedHosts: [], ...changes })
  }
  tell(runStarted())
  return { terminal, reporter, tell, show, at: (ms: number) => (nowMs = ms) }
}

const hang = (line: number) => jobFailed(line, { kind: 'hang', afterMs: 30_000 })

describe('on a terminal', () => {
  test('speed is smoothed, and a total stands below', async () => {
    const { terminal, show } = await scene()
    show([downloading({ bytes: 0 })])
    terminal.taken()
    show([downloading({ bytes: MiB })], {
      pausedHosts: ['a', 'b', 'c', 'd'].map((host) => ({ host, until: START + 10_400 })),
    })
    const text = terminal.taken()
    expect(text).toContain('5.00 MiB/s')
    expect(text).toContain('0/100, 1.00 MiB, 5.00 MiB/s, 3 waiting, a paused 10s')
    show([downloading({ bytes: 0 })])
    expect(terminal.taken()).toContain('4.80 MiB/s')
  })

  test('is drawn at most ten times a second', async () => {
    const { terminal, reporter, show } = await scene()
    show([downloading()])
    const { writes } = terminal
    const status = { at: START, active: [downloading({ bytes: 0 })], waiting: 0, slots: 8, pausedHosts: [] }
    for (let i = 0; i < 50; i++) reporter.progress?.(status)
    expect(terminal.writes).toBe(writes)
  })

  test('failures are printed for good, in bursts only the first of them', async () => {
    const { terminal, show, tell } = await scene({ env: { LANG: 'C.UTF-8', NO_COLOR: '1' } })
    show([downloading()])
    for (let line = 1; line <= 100; line++) tell(hang(line))
    terminal.taken()
    show([downloading()])
    const text = terminal.taken()
    expect(text).toContain('line 30 https://example.com/files/30.bin killed: HUNG')
    expect(text).toContain('… and 70 more, see the summary')
    expect(text).toContain('100 failed')
    expect(text).not.toContain('\x1b[31m')
  })

  test('colour marks failures unless NO_COLOR asks otherwise', async () => {
    const { terminal, at, tell } = await scene()
    at(1000)
    tell(hang(7))
    expect(terminal.taken()).toContain('\x1b[31mline 7\x1b[39m https://example.com/')
  })

  test('without UTF-8 everything is ASCII', async () => {
    const { terminal, reporter, tell, show } = await scene({ env: {} })
    tell({ type: 'warning', at: START, message: 'naïve' })
    for (let line = 1; line <= 40; line++) tell(hang(line))
    show(
      Array.from({ length: 40 }, (_, index) => downloading({ index, out: '日本' })),
      {
        pausedHosts: [{ host: 'ü.example', until: START }],
      },
    )
    await reporter.close?.()
    expect(terminal.text.replaceAll('\x1b', '')).toMatch(/^[\x20-\x7e\n]*$/)
  })

  test('the end clears the moving lines and leaves the summary', async () => {
    const { terminal, reporter, show, tell } = await scene({ isVerbose: true })
    const { index, line } = downloading()
    tell({
      type: 'attempt-started',
      unit: 'process',
      thread: null,
      at: START,
      index,
      line,
      n: 1,
      task: 'fetch',
      pid: 9,
      url: 'https://x/',
      range: [0, null],
    })
    tell({ type: 'jobs-ended', at: START, outcome: 'failed', failure: null, reason: 'down', count: 2, lines: [[5, 6]] })
    tell({ type: 'stopping', at: START, cause: 'halt', reason: 'enough' })
    tell({ type: 'suspended', at: START, gap_ms: 1 })
    show([downloading()])
    tell(hang(8))
    tell(runEnded())
    await reporter.close?.()
    const { text } = terminal
    for (const part of ['line 1 pid 9 https://x/', 'lines 5-6', 'failed: down (2 jobs)', 'enough', 'line 8']) {
      expect(text).toContain(part)
    }
    expect(text.slice(text.lastIndexOf('mpdl: '))).toContain('mpdl: 3 = 2 failed + 1 killed')
    expect(text).not.toContain('\x1b[?25l')
    expect(terminal.listenerCount('resize')).toBe(0)
  })

  test('a narrower window erases the rows that its wrapping added', async () => {
    const { terminal, show } = await scene()
    terminal.emit('resize')
    expect(terminal.taken()).toBe('')
    show([downloading()])
    terminal.taken()
    terminal.columns = 40
    terminal.emit('resize')
    // A line of 79 columns now takes two rows, beside the two that the frame had.
    const narrow = terminal.taken()
    expect(narrow.split('\x1b[1A').length - 1).toBe(3)
    expect(narrow).toContain('debian-12.iso')
    terminal.columns = 100
    terminal.emit('resize')
    expect(terminal.taken().split('\x1b[1A').length - 1).toBe(2)
  })

  test('a status keeps its lines, whatever the locale', async () => {
    for (const LANG of ['C', 'en_US.UTF-8']) {
      const { terminal, reporter } = await scene({ env: { LANG, NO_COLOR: '1' } })
      reporter.note?.('first\n  second')
      expect(terminal.taken()).toMatch(/first\r?\n {2}second/)
    }
  })

  test('a window without a size is taken for 80 by 24', async () => {
    const { terminal, show } = await scene({}, 0)
    terminal.rows = 0
    show([downloading()])
    expect(terminal.taken()).toContain('debian-12.iso')
  })

  test('a stream that breaks ends the drawing and nothing else', async () => {
    const { terminal, reporter, show, tell } = await scene()
    show([downloading()])
    terminal.destroy(new Error('EPIPE'))
    await new Promise((resolve) => setImmediate(resolve))
    terminal.taken()
    show([downloading({ bytes: 1 })])
    tell(hang(1))
    terminal.emit('resize')
    await reporter.close?.()
    expect(terminal.text).toBe('')

    const throwing = await scene()
    throwing.terminal.write = () => {
      throw new Error('EIO')
    }
    expect(() => throwing.show([downloading()])).not.toThrow()
    await throwing.reporter.close?.()
  })
})
