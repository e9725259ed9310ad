// Decides what a run says where nobody watches: nothing at all on success, so that cron mails only trouble. Knows
// nothing of cursors.

import type { ByteRange, Reporter, RunEvent } from '../core/event.ts'
import type { News } from '../core/news.ts'
import { printable } from '../core/printable.ts'
import type { Report } from '../core/report.ts'
import { endedJobs, isAllWell, isTrouble, rememberSignals } from '../core/report.ts'
import { formatDuration } from '../core/units.ts'
import { newsLines } from './news.ts'
import { bulkLine, rowLine, storyLine, summaryLines, warningText } from './summary.ts'

/** `silent`: cron. `lines`: a line per job, for CI. `journal`: one line in all. */
export type PlainMode = 'silent' | 'lines' | 'journal'

export interface PlainOptions {
  readonly stream: NodeJS.WritableStream
  readonly mode: PlainMode
  /** `-q`: only errors. */
  readonly isQuiet?: boolean
  /** `-v`: a line as each attempt starts. */
  readonly isVerbose?: boolean
  /** The report so far; every event is in it before reporters hear of it. */
  readonly report: () => Report
  /** As for {@link summaryLines}; asked for at the end. */
  readonly whole?: () => string | null
  /** Asked for at the end: only what is new is said then. */
  readonly news?: () => News | undefined
}

/** A writer that falls silent when the stream breaks: EPIPE ends output, never downloads. */
export function quietWriter(stream: NodeJS.WritableStream): (text: string) => void {
  let isBroken = false
  stream.on('error', () => {
    isBroken = true
  })
  return (text) => {
    if (isBroken) return
    try {
      stream.write(text)
    } catch {
      isBroken = true
    }
  }
}

/** The names of jobs under way, as `job-started` gave them; `attempt-started` knows only the URL. */
export function nameKeeper(): (event: RunEvent) => string | undefined {
  const names = new Map<number, string>()
  return (event) => {
    if (event.type === 'job-started') names.set(event.index, event.out)
    else if (event.type === 'job-ended') names.delete(event.row.index)
    return event.type === 'attempt-started' ? (names.get(event.index) ?? event.url) : undefined
  }
}

/** `1024-2047`, `1024-` where the end is not known: both ends count, as in HTTP (RFC 9110 §14.1.2). */
export function rangeText([from, to]: ByteRange): string {
  if (to === null) return `${from}-`
  return to > from ? `${from}-${to - 1}` : 'none'
}

/** `line 17 pid 4242 image.jpg`, which bytes of it if not all, and which attempt it is when it is not the first. */
export function startLine(event: Extract<RunEvent, { type: 'attempt-started' }>, name: string): string {
  const pid = event.pid === null ? '' : ` pid ${event.pid}`
  const task = event.task === 'hash' ? ' checking' : ''
  const bytes = event.range !== null && event.range[1] !== null ? ` bytes ${rangeText(event.range)}` : ''
  return `line ${event.line}${pid}${task} ${printable(name)}${bytes}${event.n > 1 ? ` (attempt ${event.n})` : ''}`
}

/** Reports to a file, a pipe, a journal or cron. */
export function createPlainReporter({
  stream,
  mode,
  isQuiet = false,
  isVerbose = false,
  report,
  news,
  whole,
}: PlainOptions): Reporter {
  const write = quietWriter(stream)
  const writeLine = (line: string) => write(`${line}\n`)
  const nameOf = nameKeeper()
  const signals = new Map<number, string[]>()
  const hasLines = mode === 'lines'
  const shown = () => (whole === undefined ? {} : { whole: whole() })
  const progressText = () => `[${endedJobs(report())}/${report().run?.list.jobs ?? '?'}]`

  return {
    event(event) {
      const name = nameOf(event)
      const sent = rememberSignals(signals, event)
      if (event.type === 'attempt-started') {
        if (isVerbose && !isQuiet) writeLine(startLine(event, name ?? event.url))
        return
      }
      if (!hasLines) return
      const tries = report().run?.tries
      if (event.type === 'job-ended') {
        if (isTrouble(event.row.outcome) || !isQuiet) writeLine(`${progressText()} ${rowLine(event.row, tries, sent)}`)
      } else if (event.type === 'jobs-ended') {
        if (isTrouble(event.outcome) || !isQuiet) writeLine(`${progressText()} ${bulkLine(event)}`)
      } else if (event.type === 'stopping') {
        writeLine(`stopping: ${printable(event.reason)}`)
      } else if (!isQuiet && event.type === 'warning') {
        writeLine(`warning: ${printable(event.message)}`)
      } else if (!isQuiet && event.type === 'retry-planned' && event.wait_ms >= 1000) {
        writeLine(`line ${event.line} tries again in ${formatDuration(event.wait_ms)}: ${printable(event.reason)}`)
      }
    },
    note: writeLine,
    async close() {
      const isWell = isAllWell(report())
      const changes = mode === 'silent' ? news?.() : undefined
      if (changes !== undefined) {
        const lines = isWell && isQuiet ? [] : newsLines(report(), changes, shown())
        if (lines.length > 0) writeLine(lines.join('\n'))
        return
      }
      // With nothing else to say, a run without its log still has to say so.
      if (isWell && mode === 'silent' && !isQuiet) {
        for (const warning of report().warnings) {
          if (warning.line === null) writeLine(`mpdl: warning: ${warningText(warning)}`)
        }
      }
      if (mode === 'journal') {
        if (!isQuiet || !isWell) writeLine(storyLine(report()))
      } else if (!isWell || (hasLines && !isQuiet)) {
        writeLine(summaryLines(report(), shown()).join('\n'))
      }
    },
  }
}
