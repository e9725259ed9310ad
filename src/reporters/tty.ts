// Decides what a person at a terminal sees while files come in: a line per download, a total, failures above. Knows
// nothing of how they come.

import { Writable } from 'node:stream'
import type { Progress, Reporter, RunEvent, Status } from '../core/event.ts'
import { printable, printableAscii } from '../core/printable.ts'
import type { Report } from '../core/report.ts'
import { endedJobs, isTrouble, rememberSignals } from '../core/report.ts'
import type { Range } from '../core/segment.ts'
import { contiguousBytes, totalBytes } from '../core/segment.ts'
import { formatBytes, formatDuration } from '../core/units.ts'
import { nameKeeper, startLine } from './plain.ts'
import { bulkLine, counted, grouped, rowLine, summaryLines } from './summary.ts'

/** A terminal's stream; `columns` and `rows` change as its window does, and then it emits 'resize'. */
export interface TtyStream extends NodeJS.WritableStream {
  readonly columns?: number
  readonly rows?: number
}

export interface TtyOptions {
  readonly stream: TtyStream
  /** The report so far; every event is in it before reporters hear of it. */
  readonly report: () => Report
  /** NO_COLOR and the locale are read from it. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** `-v`: a line as each attempt starts. */
  readonly isVerbose?: boolean
  /** As for {@link summaryLines}; asked for at the end. */
  readonly whole?: () => string | null
  /** Ms of a clock that never goes back; bounds how often the screen is drawn. */
  readonly now: () => number
}

/** What cuts and measures text as a terminal shows it; loaded only where there is a terminal. */
export interface Ruler {
  readonly width: (text: string) => number
  readonly slice: (text: string, start: number, end?: number) => string
}

const REDRAW_MS = 100
/** A burst of failures is shown up to here and then counted; the summary has them all. */
const MAX_PENDING = 30
const SPEED_WINDOW_MS = 5000
const NAME_MIN_COLUMNS = 8
const RED = ['\x1b[31m', '\x1b[39m'] as const
const DIM = ['\x1b[2m', '\x1b[22m'] as const

/** Whether the terminal shows UTF-8, by the locale as POSIX orders its variables. */
export function isUtf8Locale(env: Readonly<Record<string, string | undefined>>): boolean {
  return /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '')
}

/** Printable text, of several lines perhaps, as the terminal can show it; see {@link printableAscii}. */
function shownText(text: string, isUtf8: boolean): string {
  return isUtf8 ? text : text.split('\n').map(printableAscii).join('\n')
}

/** One download at one moment, with what only its history tells. */
export interface ActiveLine {
  readonly progress: Progress
  /** Smoothed; 0 while nothing comes. */
  readonly bytesPerSecond: number
}

export interface FrameStyle {
  readonly columns: number
  readonly rows: number
  readonly isUtf8: boolean
  readonly isColour: boolean
  readonly ruler: Ruler
}

/** The lines of one picture: at most `rows - 1` of them, each narrower than the window. */
export function frameLines(active: readonly ActiveLine[], total: readonly string[], style: FrameStyle): string[] {
  // The last row holds the cursor, the last column is left free: terminals differ in what a full line does.
  const width = Math.max(1, style.columns - 1)
  const room = Math.max(0, style.rows - 2)
  const isCut = active.length > room
  const shown = isCut ? active.slice(0, Math.max(0, room - 1)) : active
  const lines = shown.map((line) => activeLine(line, width, style))
  if (isCut && room > 0) {
    const more = `${style.isUtf8 ? '…' : '...'} and ${grouped(active.length - shown.length)} more`
    lines.push(painted(DIM, style.ruler.slice(more, 0, width), style.isColour))
  }
  // What matters most comes first and stays longest.
  let text = ''
  for (const part of total) {
    const longer = text === '' ? part : `${text}, ${part}`
    if (text !== '' && style.ruler.width(longer) > width) break
    text = longer
  }
  return [...lines, style.ruler.slice(text, 0, width)]
}

function painted([on, off]: readonly [string, string], text: string, isColour: boolean): string {
  return isColour ? on + text + off : text
}

const PHASE_WORDS: Readonly<Record<Progress['phase'], string>> = {
  starting: 'starting',
  connecting: 'connecting',
  waiting: 'waiting',
  receiving: '',
  held: 'held',
  hashing: 'checking',
  terminating: 'stopping',
}

function activeLine({ progress, bytesPerSecond }: ActiveLine, width: number, style: FrameStyle): string {
  const { bytes, ranges, segments, sizeBytes, phase, attempt, out } = progress
  const share = sizeBytes === null || sizeBytes === 0 ? null : Math.min(1, bytes / sizeBytes)
  const word = PHASE_WORDS[phase]
  const percent = (share === null ? '' : `${Math.floor(share * 100)}%`).padStart(4)
  const size = `${formatBytes(bytes)}${sizeBytes === null ? '' : `/${formatBytes(sizeBytes)}`}`.padStart(21)
  const speed = (word === '' ? `${formatBytes(bytesPerSecond)}/s` : word).padStart(12)
  const leftMs = sizeBytes === null || bytesPerSecond < 1 ? null : ((sizeBytes - bytes) / bytesPerSecond) * 1000
  const left = word !== '' || leftMs === null ? '' : formatDuration(Math.max(0, Math.ceil(leftMs / 1000) * 1000))
  const again = (attempt > 1 ? ` #${attempt}` : '').padEnd(4)
  let right: string
  if (width >= 90) {
    const eta = (left === '' ? '' : `ETA ${left}`).padEnd(10)
    right = `${barOf(ranges, sizeBytes, 18, style.isUtf8)} ${percent} ${size} ${speed} ${eta}${again}`
  } else if (width >= 72)
    right = `${barOf(ranges, sizeBytes, 8, style.isUtf8)}${size} ${speed} ${left.padStart(6)}${again}`
  else if (width >= 54) right = `${size} ${speed}${again}`
  else if (width >= 32) right = `${percent} ${speed}${again}`
  else right = percent.trim() === '' ? word : percent
  const nameWidth = Math.max(NAME_MIN_COLUMNS, width - right.length - 1)
  // Taken from the name, so that what stands to its right keeps its columns; where the name is short of room, it goes.
  const several = segments > 1 ? ` ${style.isUtf8 ? '×' : 'x'}${segments}` : ''
  const mark = nameWidth - several.length < NAME_MIN_COLUMNS ? '' : several
  const name = fitName(shownText(printable(out), style.isUtf8), nameWidth - mark.length, style)
  return style.ruler.slice(`${name}${mark} ${right}`, 0, width).trimEnd()
}

/** A name in exactly `width` columns. Cut in its middle, because siblings differ at their ends. */
function fitName(name: string, width: number, { ruler, isUtf8 }: FrameStyle): string {
  const full = ruler.width(name)
  if (full <= width) return name + ' '.repeat(width - full)
  const dots = isUtf8 ? '…' : '..'
  const room = width - dots.length
  const head = ruler.slice(name, 0, Math.ceil(room / 2))
  const tail = ruler.slice(name, full - Math.floor(room / 2))
  const cut = `${head}${dots}${tail}`
  // A wide character that would not fit into its half was left out or stands over the edge.
  const over = ruler.width(cut) - width
  return over > 0 ? ruler.slice(cut, 0, width) : cut + ' '.repeat(-over)
}

/**
 * Each cell stands for its share of the file's bytes, and is full only when all of them are there. What grows from the
 * beginning alone needs no more; of several stretches each would be invisible until it filled a cell, so they are
 * marked.
 */
function barOf(ranges: readonly Range[], sizeBytes: number | null, width: number, isUtf8: boolean): string {
  if (sizeBytes === null || sizeBytes === 0) return ' '.repeat(width + 2)
  const [full, begun, empty] = isUtf8 ? ['━', '╸', '─'] : ['#', '+', '-']
  const isOneStretch = contiguousBytes(ranges) === totalBytes(ranges)
  const cells = Array.from({ length: width }, (_, cell) => {
    const from = (sizeBytes * cell) / width
    const to = (sizeBytes * (cell + 1)) / width
    if (ranges.some(([start, end]) => start <= from && end >= to)) return full
    return !isOneStretch && ranges.some(([start, end]) => start < to && end > from) ? begun : empty
  }).join('')
  return isUtf8 ? ` ${cells} ` : `[${cells}]`
}

/** How many rows lines of these widths take in a window of `columns`: terminals wrap old lines when it narrows. */
export function physicalRows(widths: readonly number[], columns: number): number {
  return widths.reduce((rows, width) => rows + Math.max(1, Math.ceil(width / columns)), 0)
}

interface Speed {
  bytes: number
  atMs: number
  bytesPerSecond: number
  readonly startBytes: number
}

/** Reports to a terminal. What it needs for that is loaded only now. */
export async function createTtyReporter({
  stream,
  report,
  env,
  isVerbose = false,
  whole,
  now,
}: TtyOptions): Promise<Reporter> {
  const [{ createLogUpdate }, { default: width }, { default: slice }] = await Promise.all([
    import('log-update'),
    import('string-width'),
    import('slice-ansi'),
  ])
  const ruler: Ruler = { width, slice }
  const isUtf8 = isUtf8Locale(env)
  const isColour = !env.NO_COLOR
  const screen = new Screen(stream)
  // Hiding the cursor would hook into the process's signals, and those are the supervisor's.
  const update = createLogUpdate(screen, { showCursor: true })
  const nameOf = nameKeeper()
  const signals = new Map<number, string[]>()
  const speeds = new Map<number, Speed>()
  const pending: string[] = []
  let pendingDropped = 0
  let status: Status | null = null
  let drawnAtMs = Number.NEGATIVE_INFINITY
  let drawnWidths: number[] = []

  const style = (): FrameStyle => ({ columns: screen.columns, rows: screen.rows, isUtf8, isColour, ruler })

  const frame = ({ active, waiting, pausedHosts, at }: Status): string[] => {
    const lines = active.map((progress) => ({
      progress,
      bytesPerSecond: speeds.get(progress.index)?.bytesPerSecond ?? 0,
    }))
    const moved =
      report().movedBytes +
      active.reduce((sum, { index, bytes }) => sum + Math.max(0, bytes - (speeds.get(index)?.startBytes ?? bytes)), 0)
    const speed = lines.reduce((sum, { bytesPerSecond }) => sum + bytesPerSecond, 0)
    const total = [
      `${grouped(endedJobs(report()))}/${grouped(report().run?.list.jobs ?? 0)}`,
      formatBytes(moved),
      `${formatBytes(speed)}/s`,
    ]
    const { failed: failedOnly, killed, crashed, abandoned } = report().totals
    const failed = failedOnly + killed + crashed + abandoned
    if (failed > 0) total.push(painted(RED, `${grouped(failed)} failed`, isColour))
    if (waiting > 0) total.push(`${grouped(waiting)} waiting`)
    for (const { host, until } of pausedHosts.slice(0, 3)) {
      total.push(`${shownText(printable(host), isUtf8)} paused ${formatDuration(Math.max(0, until - at))}`)
    }
    if (pausedHosts.length > 3) total.push(`${counted(pausedHosts.length - 3, 'more paused host')}`)
    return frameLines(lines, total, style())
  }

  const draw = () => {
    drawnAtMs = now()
    if (screen.isBroken) return
    if (pending.length > 0) {
      const more =
        pendingDropped > 0 ? [`${isUtf8 ? '…' : '...'} and ${grouped(pendingDropped)} more, see the summary`] : []
      update.persist([...pending, ...more].join('\n'))
      pending.length = 0
      pendingDropped = 0
    }
    if (status === null) return
    const lines = frame(status)
    drawnWidths = lines.map((line) => width(line))
    update(lines.join('\n'))
  }
  const drawIfDue = () => {
    if (now() - drawnAtMs >= REDRAW_MS) draw()
  }

  /** Prints for good, above the moving lines. */
  const say = (text: string) => {
    if (pending.length < MAX_PENDING) pending.push(shownText(text, isUtf8))
    else pendingDropped++
  }
  const complain = (text: string) => {
    const mark = /^\S+(?: \d\S*)?/.exec(text)?.[0] ?? ''
    const rest = text.slice(mark.length)
    if (pending.length < MAX_PENDING) pending.push(painted(RED, mark, isColour) + shownText(rest, isUtf8))
    else pendingDropped++
  }

  const resized = () => {
    if (screen.isBroken || drawnWidths.length === 0) return
    // Lines that the narrower window has wrapped stand above those that log-update knows of.
    const extra = physicalRows(drawnWidths, screen.columns) - drawnWidths.length
    update.clear()
    if (extra > 0) screen.write('\x1b[1A\x1b[2K'.repeat(Math.min(extra, screen.rows)))
    drawnWidths = []
    draw()
  }
  stream.on('resize', resized)

  return {
    event(event: RunEvent) {
      const name = nameOf(event)
      const sent = rememberSignals(signals, event)
      switch (event.type) {
        case 'attempt-started':
          if (isVerbose) say(startLine(event, name ?? event.url))
          break
        case 'job-ended':
          speeds.delete(event.row.index)
          if (isTrouble(event.row.outcome)) complain(rowLine(event.row, report().run?.tries, sent))
          break
        case 'jobs-ended':
          if (isTrouble(event.outcome)) complain(bulkLine(event))
          break
        case 'stopping':
          complain(`stopping: ${printable(event.reason)}`)
          break
        case 'warning':
          say(`warning: ${printable(event.message)}`)
          break
        default:
          return
      }
      if (pending.length > 0) drawIfDue()
    },
    progress(next) {
      status = next
      for (const progress of next.active) follow(speeds, progress, next.at)
      drawIfDue()
    },
    note(text) {
      // As one: only bursts are cut short, not what somebody asked for.
      say(text)
      draw()
    },
    async close() {
      stream.off('resize', resized)
      status = null
      update.clear()
      draw()
      update.done()
      const columns = Math.max(40, screen.columns - 1)
      const summary = summaryLines(report(), { width: columns, ...(whole === undefined ? {} : { whole: whole() }) })
      screen.write(`${shownText(summary.join('\n'), isUtf8)}\n`)
    },
  }
}

/** Smooths the speed of a download: what lies some seconds back hardly counts. */
function follow(speeds: Map<number, Speed>, { index, bytes }: Progress, atMs: number): void {
  const last = speeds.get(index)
  if (last === undefined) {
    speeds.set(index, { bytes, atMs, bytesPerSecond: 0, startBytes: bytes })
    return
  }
  const ms = atMs - last.atMs
  if (ms <= 0) return
  // A download that starts over has fewer bytes than before: that is no negative speed.
  const current = (Math.max(0, bytes - last.bytes) / ms) * 1000
  const weight = last.bytesPerSecond === 0 ? 1 : 1 - Math.exp(-ms / SPEED_WINDOW_MS)
  last.bytesPerSecond += (current - last.bytesPerSecond) * weight
  last.bytes = bytes
  last.atMs = atMs
}

/** The terminal as log-update sees it: a size that is never nonsense, and silence once the stream is broken. */
class Screen extends Writable {
  readonly isTTY = true
  isBroken = false
  readonly #stream: TtyStream

  constructor(stream: TtyStream) {
    super({ decodeStrings: false })
    this.#stream = stream
    stream.on('error', () => {
      this.isBroken = true
    })
  }

  get columns(): number {
    return this.#stream.columns || 80
  }

  get rows(): number {
    return this.#stream.rows || 24
  }

  override _write(chunk: string, _encoding: string, done: () => void): void {
    if (!this.isBroken) {
      try {
        this.#stream.write(chunk)
      } catch {
        this.isBroken = true
      }
    }
    done()
  }
}
