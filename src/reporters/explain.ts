// Decides how one job's life is told: its attempts, waits, answers and signals, each with the time since it began.
// Knows nothing of logs.

import type { AttemptRecord, JobRow, RunEvent } from '../core/event.ts'
import { describe } from '../core/failure.ts'
import { printable } from '../core/printable.ts'
import { formatBytes, formatDuration } from '../core/units.ts'

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

/** The events of one job as a timeline; times are since its first event. */
export function explainLines(events: readonly RunEvent[]): string[] {
  const start = events[0]?.at
  if (start === undefined) return ['nothing is known of this job in this run']
  return events.flatMap((event) => {
    const [first, ...more] = sentencesOf(event)
    if (first === undefined) return []
    const time = `+${(Math.max(0, event.at - start) / 1000).toFixed(3)}s`.padStart(11)
    return [`${time}  ${first}`, ...more.map((line) => `${' '.repeat(13)}${line}`)]
  })
}

function sentencesOf(event: RunEvent): string[] {
  switch (event.type) {
    case 'job-started':
      return [`line ${event.line} started: ${printable(event.url)}`, `to ${printable(event.out)}`]
    case 'attempt-started': {
      const child = event.pid === null ? 'without a process of its own' : `pid ${event.pid}`
      const what = event.task === 'hash' ? 'checks the file' : `asks for ${printable(event.url)}`
      const from = event.resumed_from > 0 ? ` from byte ${event.resumed_from}` : ''
      return [`attempt ${event.n} (${child}) ${what}${from}`]
    }
    case 'response':
      return [`attempt ${event.n}: HTTP ${event.status}, ${printable(event.answer)}`]
    case 'signal-sent':
      return [`attempt ${event.n}: ${event.signal} sent to pid ${event.pid}: ${printable(event.reason)}`]
    case 'attempt-ended':
      return endOfAttempt(event.attempt)
    case 'retry-planned': {
      const how = event.start_over ? 'from the start' : 'where it left off'
      return [`waits ${formatDuration(event.wait_ms)}, then tries again ${how}: ${printable(event.reason)}`]
    }
    case 'job-ended':
      return endOfJob(event.row)
    case 'jobs-ended':
      return [`${event.outcome}, with ${event.count - 1} others: ${printable(event.reason)}`]
    default:
      return []
  }
}

function endOfAttempt(attempt: AttemptRecord): string[] {
  const ended = attempt.signal === null ? `exit code ${attempt.exit_code ?? 'unknown'}` : `died of ${attempt.signal}`
  const parts = [
    `attempt ${attempt.n} ${attempt.result}: ${attempt.pid === null ? '' : `${ended}, `}${formatBytes(attempt.bytes)}`,
  ]
  if (attempt.max_rss !== null) parts.push(`${formatBytes(attempt.max_rss)} of memory`)
  if (attempt.lingered) parts.push('had to be killed to leave')
  if (!attempt.counted) parts.push('not counted as a try')
  const lines = [parts.join(', ')]
  if (attempt.kill_reason !== null) lines.push(`ended by mpdl: ${printable(attempt.kill_reason)}`)
  const sentence = attempt.failure === null ? null : describe(attempt.failure)
  if (sentence !== null && sentence !== attempt.kill_reason) lines.push(printable(sentence))
  if (attempt.stderr !== null) lines.push(`its last words: ${printable(attempt.stderr)}`)
  return lines
}

function endOfJob(row: JobRow): string[] {
  const kept = row.kept > 0 ? `, ${formatBytes(row.kept)} kept for the next run` : ''
  const size =
    row.outcome === 'downloaded' && row.size !== null ? `, ${formatBytes(row.size)}, proof: ${row.proof}` : ''
  const reason = row.reason === null ? '' : `: ${printable(row.reason)}`
  return [`${row.outcome}${size}${reason}${kept}`, ...row.warnings.map((warning) => `warning: ${printable(warning)}`)]
}
