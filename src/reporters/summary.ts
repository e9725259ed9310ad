// Decides what a person reads when a run is over: one line with the whole story, then what went wrong, by cause and
// host. Knows nothing of terminals or files: it turns a report into lines.

import type { JobRow, LineRange, RunEvent } from '../core/event.ts'
import { OUTCOMES } from '../core/event.ts'
import { printable } from '../core/printable.ts'
import type { FailedSample, FailureGroup, Report, ReportWarning } from '../core/report.ts'
import { elapsedMs, endedJobs, isTrouble, sampleOf, sumsUp } from '../core/report.ts'
import { formatBytes, formatDuration } from '../core/units.ts'

export interface SummaryOptions {
  /** Columns to wrap at, with a hanging indent; default 78, as plain mail likes it. URLs may reach beyond. */
  readonly width?: number
}

const MAX_ROWS = 20
/** Headers above rows; later groups show one row that says how many are like it. Keeps a bad night at 30 lines. */
const MAX_HEADERS = 3
const MAX_HOSTS = 2
const MAX_RANGES = 8
const MAX_WARNINGS = 2
const MAX_PLAIN_WIDTH = 78

/** A number as people read it: 4980 → `4,980`. */
export function grouped(n: number): string {
  return String(n).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** `1 job`, `4,980 jobs`. */
export function counted(n: number, noun: string): string {
  return `${grouped(n)} ${noun}${n === 1 ? '' : 's'}`
}

/** `lines 17-1000, 1005`; what is beyond the first few ranges is counted. */
export function linesText(ranges: readonly LineRange[], dropped = 0): string {
  const shown = ranges.slice(0, MAX_RANGES).map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`))
  const more = ranges.length - shown.length + dropped
  const [only] = ranges
  const isOne = ranges.length === 1 && only !== undefined && only[0] === only[1] && more === 0
  return `line${isOne ? '' : 's'} ${shown.join(', ')}${more > 0 ? ` and ${grouped(more)} more ranges` : ''}`
}

/** Words into lines of at most `width` columns, the second and later ones indented. A word is never cut. */
export function wrapWords(words: readonly string[], width: number, indent: string): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of words) {
    if (line === '') line = word
    else if (line.length + 1 + word.length <= width) line += ` ${word}`
    else {
      lines.push(line)
      line = indent + word
    }
  }
  lines.push(line)
  return lines
}

/** What happened to a failed job, where, and what was done about it; without its line and URL. */
function whatHappened({ sentence, outcome, signals, countedTries, keptBytes }: FailedSample, tries?: number): string {
  const parts = [sentence]
  // A cancelled child was told to stop too, but that is no news.
  if (signals.length > 0 && outcome !== 'cancelled') parts.push(signals.join(' then '))
  if (countedTries > 1)
    parts.push(tries && countedTries <= tries ? `${countedTries} of ${tries} tries` : `${countedTries} tries`)
  if (keptBytes > 0) parts.push(`${formatBytes(keptBytes)} kept`)
  return printable(parts.join(', '))
}

/** Where it happened: `line 17 https://…`. One word for the wrapping, so that a line and its URL stay together. */
function whereOf({ lines, url }: FailedSample): string {
  return url === null ? linesText(lines) : `${linesText(lines)} ${printable(url)}`
}

/** A job's fate on one line, for reports that list them all; `signals` as `rememberSignals` gave them. */
export function rowLine(row: JobRow, tries?: number, signals?: readonly string[]): string {
  if (isTrouble(row.outcome)) {
    const sample = sampleOf(row, signals)
    return `${whereOf(sample)} ${row.outcome}: ${whatHappened(sample, tries)}`
  }
  const parts = [`line ${row.line} ${row.outcome} ${printable(row.out)}`]
  if (row.outcome === 'downloaded') {
    if (row.size !== null) parts.push(formatBytes(row.size))
    parts.push(formatDuration(row.time_total * 1000), row.proof ?? 'unverified')
    if (row.decoded_from !== null) parts.push(`decoded from ${row.decoded_from}`)
  } else if (row.reason !== null) parts.push(printable(row.reason))
  if (row.warnings.length > 0) parts.push(`warning: ${printable(row.warnings.join('; '))}`)
  return parts.join(', ')
}

/** The line about many jobs that ended together. */
export function bulkLine(event: Extract<RunEvent, { type: 'jobs-ended' }>): string {
  return `${linesText(event.lines)} ${event.outcome}: ${printable(event.reason)} (${counted(event.count, 'job')})`
}

/**
 * The whole story: `mpdl: 100 = 91 downloaded + 6 unchanged + 3 failed in 1m12s, 3.21 GiB, 45.6 MiB/s, process`.
 * Its counts carry no separators: this is the line that scripts look at.
 */
export function storyLine(report: Report): string {
  const ended = endedJobs(report)
  const ms = elapsedMs(report)
  const sums = OUTCOMES.filter((outcome) => report.totals[outcome] > 0).map(
    (outcome) => `${report.totals[outcome]} ${outcome}`,
  )
  const parts = [`mpdl: ${ended === 0 ? 'no jobs' : `${ended} = ${sums.join(' + ')}`} in ${formatDuration(ms)}`]
  parts.push(formatBytes(report.movedBytes))
  if (ms > 0) parts.push(`${formatBytes((report.movedBytes / ms) * 1000)}/s`)
  if (report.run !== null) parts.push(report.run.mode)
  if (report.run?.insecure === true) parts.push('CERTIFICATES NOT VERIFIED (--insecure)')
  return parts.join(', ')
}

/** The summary of a run; only its first line when all went well and nothing needs saying. */
export function summaryLines(report: Report, { width = MAX_PLAIN_WIDTH }: SummaryOptions = {}): string[] {
  const say = (text: string) => wrapWords(text.split(' '), width, '  ')
  // Never wrapped: whoever looks at one line only has it all.
  const lines = [storyLine(report)]
  if (report.counts === null)
    lines.push(...say(`NOT FINISHED: the log of this run has no end. ${progressText(report)}`))
  else for (const text of sumsUp(report, report.counts)) lines.push(...say(`THE SUMS DO NOT ADD UP: ${text}`))
  for (const { reason } of report.stops) lines.push(...say(`stopped early: ${printable(reason)}`))
  lines.push(...hostLines(report, say), ...failureLines(report, width))
  for (const group of report.groups.values())
    if (group.outcome === 'cancelled') lines.push(...say(cancelledText(group)))
  const notStarted = report.totals['not-started']
  if (notStarted > 0) {
    const { ranges, dropped } = report.notStarted
    lines.push(
      ...say(
        ranges.length > 0 ? `${linesText(ranges, dropped)} not started` : `${counted(notStarted, 'job')} not started`,
      ),
    )
  }
  if (report.suspended.count > 0) {
    lines.push(
      ...say(
        `the machine stood still for ${formatDuration(report.suspended.gapMs)} in ${counted(report.suspended.count, 'pause')}`,
      ),
    )
  }
  if (report.unverified > 0) {
    lines.push(...say(`${counted(report.unverified, 'file')} unverified: the server gave no length`))
  }
  return [...lines, ...warningLines(report, say)]
}

function progressText({ run, totals }: Report): string {
  return run === null
    ? ''
    : `Of ${counted(run.list.jobs, 'job')} ${totals.downloaded + totals.unchanged + totals.skipped} ended well.`
}

type Say = (text: string) => string[]

function hostLines(report: Report, say: Say): string[] {
  const groups = [...report.groups.values()].filter(isHostDown)
  const shown = groups.slice(0, MAX_HOSTS)
  const lines = shown.flatMap(({ sentence, count }) => say(`${printable(sentence)}: ${counted(count, 'job')} failed`))
  const named = new Set(shown.map(({ host }) => host))
  const others = new Set(groups.map(({ host }) => host ?? ''))
  for (const { host, change } of report.hosts.values()) if (change === 'down') others.add(host)
  const rest = [...others].filter((host) => !named.has(host))
  if (rest.length === 0) return lines
  const jobs = groups.slice(MAX_HOSTS).reduce((sum, { count }) => sum + count, 0)
  const names = rest.slice(0, MAX_HOSTS).map(printable).join(', ')
  const more = rest.length > MAX_HOSTS ? ` and ${grouped(rest.length - MAX_HOSTS)} more hosts` : ''
  return [...lines, ...say(`down: ${names}${more}${jobs > 0 ? `: ${counted(jobs, 'job')} failed` : ''}`)]
}

const isHostDown = ({ kind }: FailureGroup) => kind === 'host-down'

function failureLines(report: Report, width: number): string[] {
  const groups = [...report.groups.values()].filter((group) => group.outcome !== 'cancelled' && !isHostDown(group))
  const failures = groups.reduce((sum, { count }) => sum + count, 0)
  const shares = shareRows(groups)
  // A night on which everything failed is skimmed, not read: there every job keeps to its one line.
  const isMany = failures > MAX_ROWS
  const lines: string[] = []
  let told = 0
  for (const [i, group] of groups.entries()) {
    const rows = group.samples.slice(0, shares[i])
    const hasHeader = rows.length > 1
    if (hasHeader) lines.push(...wrapWords(`${headerText(group)}:`.split(' '), width, '  '))
    for (const sample of rows) {
      told += sample.jobs
      const alike =
        hasHeader || group.count <= sample.jobs
          ? ''
          : ` (and ${grouped(group.count - sample.jobs)} more: ${causeText(group)})`
      const words = [whereOf(sample), ...`${whatHappened(sample, report.run?.tries)}${alike}`.split(' ')]
      const indent = hasHeader ? '  ' : ''
      if (isMany) lines.push(indent + words.join(' '))
      else lines.push(...wrapWords(words, width - indent.length, '  ').map((line) => indent + line))
    }
  }
  const more = failures - told
  if (more > 0) lines.push(`and ${grouped(more)} more: mpdl report ${printable(report.run?.id ?? 'RUN')}`)
  return lines
}

/** How many rows each group shows: one each while there is room, then the first groups fill up. */
function shareRows(groups: readonly FailureGroup[]): number[] {
  const shares: number[] = groups.map((_, i) => (i < MAX_ROWS ? 1 : 0))
  let left = Math.max(0, MAX_ROWS - groups.length)
  let headers = 0
  for (const [i, { samples }] of groups.entries()) {
    const extra = Math.min(left, samples.length - 1)
    if (extra <= 0) continue
    if (++headers > MAX_HEADERS) break
    shares[i] = 1 + extra
    left -= extra
  }
  return shares
}

function causeText({ kind, status, host }: FailureGroup): string {
  const cause = status === null ? (kind ?? 'various causes').replaceAll('-', ' ') : `HTTP ${status}`
  return host === null ? cause : `${cause} at ${printable(host)}`
}

function headerText(group: FailureGroup): string {
  return `${grouped(group.count)} ${group.outcome ?? 'more'}, ${causeText(group)}`
}

function cancelledText({ count, sentence, keptBytes, samples }: FailureGroup): string {
  const kept = keptBytes > 0 ? `, ${formatBytes(keptBytes)} kept` : ''
  const where = linesText(samples.flatMap(({ lines }) => lines))
  const told = samples.reduce((sum, { jobs }) => sum + jobs, 0)
  return `${counted(count, 'job')} ${printable(sentence)}${kept}: ${where}${count > told ? ' and others' : ''}`
}

function warningLines({ warnings, warningCount, run }: Report, say: Say): string[] {
  const shown = warnings.slice(0, MAX_WARNINGS)
  const lines = shown.flatMap((warning) => say(`warning: ${warningText(warning)}`))
  const more = warningCount - shown.length
  return more > 0
    ? [...lines, `and ${counted(more, 'more warning')}: mpdl report ${printable(run?.id ?? 'RUN')}`]
    : lines
}

/** A warning with the line it belongs to. */
export function warningText({ line, message }: ReportWarning): string {
  return `${line === null ? '' : `line ${line}: `}${printable(message)}`
}
