// Decides how one job's life is told: its attempts, waits, answers and signals, each with the time since it began, and
// who brought which bytes. Knows nothing of logs.

import type { AttemptRecord, JobRow, RunEvent, RunHeader } from '../core/event.ts'
import { describe } from '../core/failure.ts'
import { localTime } from '../core/local-time.ts'
import { printable } from '../core/printable.ts'
import { formatBytes, formatDuration } from '../core/units.ts'
import { rangeText } from './plain.ts'

/** Whether the event belongs to the job of this line, the end of many jobs at once included. */
export function isAbout(event: RunEvent, line: number): boolean {
  switch (event.type) {
    case 'job-ended':
      return event.row.line === line
    case 'jobs-ended':
      return event.lines.some(([first, last]) => first <= line && line <= last)
    case 'job-started':
    case 'attempt-started':
    case 'response':
    case 'signal-sent':
    case 'attempt-ended':
    case 'retry-planned':
      return event.line === line
    default:
      return false
  }
}

/** What the timeline is of, so that it makes sense in a mail by itself. */
export function titleLine({ id, list, started }: RunHeader, line: number): string {
  return `line ${line} of ${printable(list.name)} in run ${printable(id)}, ${localTime(started)}`
}

const INDENT = ' '.repeat(13)

/**
 * The events of one job as a timeline, and a table of the ranges of its file when several children brought them; times
 * are since its first event.
 */
export function explainLines(events: readonly RunEvent[]): string[] {
  const start = events[0]?.at
  if (start === undefined) return ['nothing is known of this job in this run']
  const timeOf = (at: number) => `+${(Math.max(0, at - start) / 1000).toFixed(3)}s`
  const shared = sharedAttempts(events)
  const url = events.find((event) => event.type === 'job-started')?.url
  const timeline = events.flatMap((event) => {
    const [first, ...more] = sentencesOf(event, shared, url)
    if (first === undefined) return []
    return [`${timeOf(event.at).padStart(11)}  ${first}`, ...more.map((line) => INDENT + line)]
  })
  return [...timeline, ...segmentTable(events, timeOf)]
}

/** Numbers of the attempts at which several children fetched: there a number does not say who is meant. */
function sharedAttempts(events: readonly RunEvent[]): ReadonlySet<number> {
  const once = new Set<number>()
  const shared = new Set<number>()
  for (const event of events) {
    if (event.type !== 'attempt-started' || event.task !== 'fetch') continue
    if (once.has(event.n)) shared.add(event.n)
    once.add(event.n)
  }
  return shared
}

function sentencesOf(event: RunEvent, shared: ReadonlySet<number>, url: string | undefined): string[] {
  const nameOf = (n: number, pid: number | null) =>
    `attempt ${n}${shared.has(n) && pid !== null ? ` (pid ${pid})` : ''}`
  switch (event.type) {
    case 'job-started':
      return [`line ${event.line} started: ${printable(event.url)}`, `to ${printable(event.out)}`]
    case 'attempt-started': {
      const child = unitText(event)
      const what = event.task === 'hash' ? 'checks the file' : `asks for ${wanted(event, url)}`
      return [`attempt ${event.n} (${child}) ${what}`]
    }
    case 'response':
      return [`${nameOf(event.n, event.pid)}: ${answerText(event)}`]
    case 'signal-sent':
      return [`attempt ${event.n}: ${signalText(event)}: ${printable(event.reason)}`]
    case 'attempt-ended':
      return endOfAttempt(event.attempt, nameOf(event.attempt.n, event.attempt.pid), shared.has(event.attempt.n))
    case 'retry-planned': {
      const how = event.start_over ? 'from the start' : 'where it left off'
      const free = event.counted ? '' : ' (no try was used)'
      return [`waits ${formatDuration(event.wait_ms)}, then tries again ${how}${free}: ${printable(event.reason)}`]
    }
    case 'job-ended':
      return endOfJob(event.row)
    case 'jobs-ended':
      return [`${event.outcome}, with ${event.count - 1} others: ${printable(event.reason)}`]
    default:
      return []
  }
}

/** What runs an attempt. */
function unitText({ unit, pid, thread }: Extract<RunEvent, { type: 'attempt-started' }>): string {
  switch (unit) {
    case null:
      return 'could not be started'
    case 'process':
      return `pid ${pid}`
    case 'pool':
      return `pid ${pid}, shared`
    case 'thread':
      return `thread ${thread}`
    case 'inline':
      return 'inside mpdl itself'
  }
}

/** Only a process can be signalled; what else there is is asked, or ended with what it is part of. */
function signalText({ signal, pid }: Extract<RunEvent, { type: 'signal-sent' }>): string {
  if (pid !== null) return `${signal} sent to pid ${pid}`
  return signal === 'SIGTERM' ? 'told to stop' : 'to be ended'
}

/** A refusal names the status itself. */
function answerText({ status, answer }: Extract<RunEvent, { type: 'response' }>): string {
  const head = `HTTP ${status}`
  return answer.startsWith(head) ? printable(answer) : `${head}, ${printable(answer)}`
}

/** The URL need not be said again with each range of it. */
function wanted({ url, range }: Extract<RunEvent, { type: 'attempt-started' }>, jobUrl: string | undefined): string {
  const [from, to] = range ?? [0, null]
  if (to === null) return from > 0 ? `${printable(url)} from byte ${from}` : printable(url)
  return `bytes ${rangeText([from, to])}${url === jobUrl ? '' : ` of ${printable(url)}`}`
}

function endOfAttempt(attempt: AttemptRecord, name: string, isShared: boolean): string[] {
  // A place in a shared process, and what runs inside mpdl, have neither.
  const code = attempt.exit_code === null ? [] : [`exit code ${attempt.exit_code}`]
  const ended = attempt.signal === null ? code : [`died of ${attempt.signal}`]
  const { bytes, range } = attempt
  const brought =
    isShared && range !== null && bytes > 0 ? `bytes ${rangeText([range[0], range[0] + bytes])}` : formatBytes(bytes)
  const parts = [`${name} ${resultOf(attempt)}: ${[...ended, brought].join(', ')}`]
  if (attempt.max_rss !== null) parts.push(`${formatBytes(attempt.max_rss)} of memory`)
  if (attempt.lingered) parts.push('had to be killed to leave')
  const lines = [parts.join(', ')]
  if (attempt.kill_reason !== null) lines.push(`ended by mpdl: ${printable(attempt.kill_reason)}`)
  const sentence = attempt.failure === null ? null : describe(attempt.failure)
  if (sentence !== null && sentence !== attempt.kill_reason) lines.push(printable(sentence))
  if (attempt.stderr !== null) lines.push(`its last words: ${printable(attempt.stderr)}`)
  return lines
}

/** A child that came too late has not failed. */
function resultOf({ result, failure }: AttemptRecord): string {
  return failure?.kind === 'not-needed' ? 'left' : result
}

/** In the order of the file. Nothing when one child brought it all: the timeline has said that. */
function segmentTable(events: readonly RunEvent[], timeOf: (at: number) => string): string[] {
  const segments = events.flatMap((event) =>
    event.type === 'attempt-ended' && event.attempt.range !== null
      ? [{ ...event.attempt, range: event.attempt.range }]
      : [],
  )
  if (segments.length < 2) return []
  segments.sort((a, b) => a.range[0] - b.range[0] || a.started - b.started)
  const rows = segments.map((segment) => [
    rangeText(segment.range),
    formatBytes(segment.bytes),
    String(segment.pid ?? '-'),
    timeOf(segment.started),
    timeOf(segment.ended),
    resultOf(segment),
  ])
  const table = [['bytes', 'brought', 'pid', 'began', 'ended', 'result'], ...rows]
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)))
  return table.map((row) => `${INDENT}${row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  ')}`)
}

function endOfJob(row: JobRow): string[] {
  const kept = row.kept > 0 ? `, ${formatBytes(row.kept)} kept for the next run` : ''
  const size =
    row.outcome === 'downloaded' && row.size !== null ? `, ${formatBytes(row.size)}, proof: ${row.proof}` : ''
  const reason = row.reason === null ? '' : `: ${printable(row.reason)}`
  return [`${row.outcome}${size}${reason}${kept}`, ...row.warnings.map((warning) => `warning: ${printable(warning)}`)]
}
