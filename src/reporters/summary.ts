// Decides what a person reads when a run is over: one line with the whole story, then what went wrong, by cause and
// host. Knows nothing of terminals or files: it turns a report into lines.

import type { JobRow, LineRange, RunEvent } from '../core/event.ts'
import { OUTCOMES } from '../core/event.ts'
import type { FailureKind } from '../core/failure.ts'
import { describe } from '../core/failure.ts'
import { excerpt, printable } from '../core/printable.ts'
import type { FailedSample, FailureGroup, Report, ReportWarning } from '../core/report.ts'
import { elapsedMs, isTrouble, sampleOf, stopSignal, sumsUp } from '../core/report.ts'
import { formatBytes, formatDuration } from '../core/units.ts'

export interface SummaryOptions {
  /** Columns to wrap at, with a hanging indent; default 78, as plain mail likes it. URLs may reach beyond. */
  readonly width?: number
  /** The command that shows all of it; null: there is none. By default the one that knows the run by its name. */
  readonly whole?: string | null
}

const MAX_ROWS = 20
/** Headers above rows; later groups show one row that says how many are like it. Keeps a bad night at 30 lines. */
const MAX_HEADERS = 3
/** What went wrong may fill so many lines of the summary. */
const MAX_TROUBLE_LINES = 26
const MAX_CAUSES = 2
/** Of what happened to a job, however narrow the screen. */
const MIN_TEXT = 20
const MAX_HOSTS = 2
const MAX_RANGES = 8
const MAX_WARNINGS = 2
const MAX_PLAIN_WIDTH = 78
/** RFC 5322 §2.1.1: mail with a line of more than 998 octets is refused, and it is the mail that tells of trouble. */
const MAX_LINE_BYTES = 990
/** So that there is room for what happened there. */
const MAX_URL = 600

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

/** Where it happened: `line 17 https://…`. */
function whereOf({ lines, url }: FailedSample): string {
  return url === null ? linesText(lines) : `${linesText(lines)} ${printable(url)}`
}

/** As a line of mail can hold it. */
export function urlText(url: string): string {
  return excerpt(url, MAX_URL)
}

/** Cut where no mail could carry it. */
export function mailable(line: string): string {
  if (Buffer.byteLength(line) <= MAX_LINE_BYTES) return line
  const cut = Buffer.from(line)
    .subarray(0, MAX_LINE_BYTES - 3)
    .toString()
  // The last character may have lost its end.
  return `${cut.replace(/\ufffd+$/, '')}…`
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
 * The whole story: `mpdl: 100 = 91 downloaded + 6 unchanged + 3 failed in 1m12s, 3.21 GiB, 45.6 MiB/s, process: HTTP
 * 404 at example.com`. Its counts carry no separators: this is the line that scripts look at.
 */
export function storyLine(report: Report): string {
  const causes = [...stopTexts(report), ...causeTexts(report)]
  return `mpdl: ${sumsText(report)}${causes.length > 0 ? `: ${causes.join(', ')}` : ''}`
}

/** The part of the story that every run has: `100 = 97 downloaded + 3 failed in 1m12s, …`. */
export function sumsText(report: Report): string {
  const ms = elapsedMs(report)
  const parts = [`${totalsText(report.totals)} in ${formatDuration(ms)}`]
  parts.push(formatBytes(report.movedBytes))
  if (ms > 0) parts.push(`${formatBytes((report.movedBytes / ms) * 1000)}/s`)
  if (report.run !== null) parts.push(report.run.mode)
  if (report.run?.insecure === true) parts.push('CERTIFICATES NOT VERIFIED (--insecure)')
  return parts.join(', ')
}

/** `100 = 97 downloaded + 3 failed`. */
export function totalsText(totals: Report['totals']): string {
  const all = OUTCOMES.reduce((sum, outcome) => sum + totals[outcome], 0)
  const sums = OUTCOMES.filter((outcome) => totals[outcome] > 0).map((outcome) => `${totals[outcome]} ${outcome}`)
  return all === 0 ? 'no jobs' : `${all} = ${sums.join(' + ')}`
}

/** What ended the run before its list, in a word or two. */
export function stopTexts(report: Report): string[] {
  const [first] = report.stops
  if (first === undefined) return []
  const cause = (first.cause === 'signal' ? stopSignal(report) : null) ?? first.cause.replaceAll('-', ' ')
  return [`stopped early (${printable(cause)})`]
}

/** What most jobs failed of. Names no host that is down: that has a line of its own. */
export function causeTexts(report: Report): string[] {
  const { down, failed } = causesOf(report)
  const causes = failed
    .filter(({ kind }) => kind !== 'run-deadline')
    .map((group) => ({ text: causeText(group), count: group.count }))
  if (down.length > 0)
    causes.push({ text: down.length === 1 ? 'a host is down' : `${down.length} hosts are down`, count: sumOf(down) })
  causes.sort((a, b) => b.count - a.count)
  const texts = causes.slice(0, MAX_CAUSES).map(({ text }) => text)
  const more = causes.length - texts.length
  return more > 0 ? [`${texts.join(', ')} and ${more} more cause${more === 1 ? '' : 's'}`] : texts
}

/** Jobs that went wrong by themselves: not those that were cancelled. */
export function failedJobs(report: Report): number {
  const { down, failed } = causesOf(report)
  return sumOf(down) + sumOf(failed)
}

/** The summary of a run; only its first line when all went well and nothing needs saying. */
export function summaryLines(report: Report, { width = MAX_PLAIN_WIDTH, whole }: SummaryOptions = {}): string[] {
  const say = sayer(width)
  const command = wholeOf(report, whole)
  const where = command === null ? '' : `: ${command}`
  // The first line is never wrapped: whoever looks at one line only has it all.
  return [
    storyLine(report),
    ...doubtLines(report, say),
    ...troubleLines(report, { width, room: MAX_TROUBLE_LINES, where }),
    ...restLines(report, say),
    ...warningLines(report, say, where),
    ...(report.hookProblem === null ? [] : say(printable(report.hookProblem))),
  ].map(mailable)
}

/** What shows everything; null where nothing does. */
export function wholeOf({ run }: Report, given: SummaryOptions['whole']): string | null {
  return given === undefined ? `mpdl report ${printable(run?.id ?? 'RUN')}` : given
}

type Say = (text: string) => string[]

/** Sentences into lines. */
export function sayer(width = MAX_PLAIN_WIDTH): Say {
  return (text) => wrapWords(text.split(' '), width, '  ')
}

/** No more lines than there is room for. */
export function clipped(lines: readonly string[], room: number): readonly string[] {
  return lines.length <= room ? lines : [...lines.slice(0, room - 1), '  …']
}

/** Whether the report may not be believed, in a word or two. */
export function doubtTexts(report: Report): string[] {
  if (report.counts === null) return ['NOT FINISHED']
  return sumsUp(report, report.counts).length > 0 ? ['THE SUMS DO NOT ADD UP'] : []
}

/** Why it may not. */
export function doubtLines(report: Report, say: Say): string[] {
  if (report.counts === null) return say(`NOT FINISHED: the log of this run has no end. ${progressText(report)}`)
  return sumsUp(report, report.counts).flatMap((text) => say(`THE SUMS DO NOT ADD UP: ${text}`))
}

/** What did not fail and was not done either, and what else a person may want to know of the whole run. */
function restLines(report: Report, say: Say): string[] {
  const lines = notStartedLines(report, say)
  const { count, gapMs } = report.suspended
  if (count > 0)
    lines.push(...say(`the machine stood still for ${formatDuration(gapMs)} in ${counted(count, 'pause')}`))
  if (report.unverified > 0)
    lines.push(...say(`${counted(report.unverified, 'file')} unverified: the server gave no length`))
  return lines
}

export function notStartedLines({ totals, notStarted: { ranges, dropped } }: Report, say: Say): string[] {
  const count = totals['not-started']
  if (count === 0) return []
  return say(ranges.length > 0 ? `${linesText(ranges, dropped)} not started` : `${counted(count, 'job')} not started`)
}

function progressText({ run, totals }: Report): string {
  return run === null
    ? ''
    : `Of ${counted(run.list.jobs, 'job')} ${totals.downloaded + totals.unchanged + totals.skipped} ended well.`
}

interface TroubleLayout {
  readonly width?: number
  /** In lines, six or more. */
  readonly room: number
  /** Where those are told that had no place, to stand behind `and 4,980 more`. */
  readonly where?: string
}

/** What went wrong: why the run was stopped, hosts that are down, failures by cause and host, cancelled jobs. */
export function troubleLines(
  report: Report,
  { width = MAX_PLAIN_WIDTH, room, where = '' }: TroubleLayout,
): readonly string[] {
  const say = sayer(width)
  const { down, failed, cancelled } = causesOf(report)
  const stops = report.stops.flatMap(({ reason }) => say(`stopped early: ${printable(reason)}`))
  // Whatever else went wrong, the failures keep half of the room.
  const around = failed.length > 0 ? Math.floor(room / 2) : room
  const before = clipped([...stops, ...hostLines(report, down, say)], cancelled.length > 0 ? around - 1 : around)
  const after = clipped(
    cancelled.flatMap((group) => say(cancelledText(group))),
    around - before.length,
  )
  const left = room - before.length - after.length - 1
  const { lines, told, hidden } = failureLines(failed, { width, room: left, tries: report.run?.tries })
  const more = sumOf(failed) - told
  const rest =
    more > 0 ? [`and ${grouped(more)} more${where}`] : hidden > 0 && where !== '' ? [`all of them${where}`] : []
  return [...before, ...lines, ...rest, ...after]
}

interface Causes {
  /** With everything that failed for want of a connection, the jobs that were tried before the host was given up, too. */
  readonly down: readonly FailureGroup[]
  readonly failed: readonly FailureGroup[]
  readonly cancelled: readonly FailureGroup[]
}

function causesOf(report: Report): Causes {
  const groups = [...report.groups.values()]
  const cancelled = groups.filter(({ outcome }) => outcome === 'cancelled')
  const down = groups.filter(({ kind }) => kind === 'host-down').map((group) => ({ ...group }))
  const failed = groups.filter((group) => {
    if (group.outcome === 'cancelled' || group.kind === 'host-down') return false
    if (group.host === null || !UNREACHABLE.has(group.kind)) return true
    const known = down.find(({ host }) => host === group.host)
    const change = report.hosts.get(group.host)
    if (known !== undefined) known.count += group.count
    // All its jobs may have been under way when it was given up, so that none is left to fail of that.
    else if (change?.change === 'down') down.push({ ...group, sentence: downText(group.host, change.reason) })
    else return true
    return false
  })
  return { down, failed, cancelled }
}

function downText(host: string, cause: string): string {
  return describe({ kind: 'host-down', host, cause })
}

/** What jobs fail of at a host that is down. */
const UNREACHABLE: ReadonlySet<FailureKind | null> = new Set<FailureKind>([
  'connect-refused',
  'connect-timeout',
  'unknown-host',
  'network',
])

const sumOf = (groups: readonly FailureGroup[]) => groups.reduce((sum, { count }) => sum + count, 0)

function hostLines(report: Report, groups: readonly FailureGroup[], say: Say): string[] {
  const shown = groups.slice(0, MAX_HOSTS)
  const lines = shown.flatMap(({ sentence, count }) => say(`${printable(sentence)}: ${counted(count, 'job')} failed`))
  const named = new Set(shown.map(({ host }) => host))
  const others = new Set(groups.map(({ host }) => host ?? ''))
  for (const { host, change } of report.hosts.values()) if (change === 'down') others.add(host)
  const rest = [...others].filter((host) => !named.has(host))
  if (rest.length === 0) return lines
  const jobs = sumOf(groups.slice(MAX_HOSTS))
  const names = rest.slice(0, MAX_HOSTS).map(printable).join(', ')
  const more = rest.length > MAX_HOSTS ? ` and ${grouped(rest.length - MAX_HOSTS)} more hosts` : ''
  return [...lines, ...say(`down: ${names}${more}${jobs > 0 ? `: ${counted(jobs, 'job')} failed` : ''}`)]
}

interface FailureLayout {
  readonly width: number
  readonly room: number
  readonly tries: number | undefined
}

interface FailureRow {
  readonly indent: string
  /** `line 17`, before the URL. */
  readonly line: string
  readonly url: string | null
  readonly text: string
  /** What no cutting may take away. */
  readonly alike: string
}

/** `told`: how many jobs the rows speak of, the `hidden` ones among them that are only counted. */
function failureLines(all: readonly FailureGroup[], { width, room, tries }: FailureLayout) {
  const most = Math.max(1, Math.min(MAX_ROWS, room - MAX_HEADERS))
  // Where not all causes have a row, those have one that the first line speaks of.
  const groups = all.length > most ? all.toSorted((a, b) => b.count - a.count) : all
  const shares = shareRows(groups, most)
  const rows: FailureRow[] = []
  let told = 0
  let hidden = 0
  for (const [i, group] of groups.entries()) {
    const samples = group.samples.slice(0, shares[i]).sort((a, b) => firstLineOf(a) - firstLineOf(b))
    const hasHeader = samples.length > 1
    const indent = hasHeader ? '  ' : ''
    if (hasHeader) rows.push({ indent: '', line: '', url: null, text: headerText(group), alike: ':' })
    for (const sample of samples) {
      told += sample.jobs
      const more = hasHeader ? 0 : group.count - sample.jobs
      told += more
      hidden += more
      const alike = more > 0 ? ` (and ${grouped(more)} more like it)` : ''
      rows.push({ indent, line: linesText(sample.lines), url: sample.url, text: whatHappened(sample, tries), alike })
    }
  }
  const wrapped = rows.flatMap((row) => wrappedRow(row, width))
  // A night on which everything failed is skimmed, not read: there every job keeps to its one line.
  return { lines: wrapped.length <= room ? wrapped : rows.map((row) => cutRow(row, width)), told, hidden }
}

const firstLineOf = ({ lines: [first] }: FailedSample) => first?.[0] ?? 0

function wrappedRow({ indent, line, url, text, alike }: FailureRow, width: number): string[] {
  const words = `${text}${alike}`.split(' ')
  // A line and its URL stay together.
  const where = url === null ? line.split(' ').filter(Boolean) : [`${line} ${urlText(url)}`]
  return wrapWords([...where, ...words], width - indent.length, '  ').map((each) => indent + each)
}

function cutRow({ indent, line, url, text, alike }: FailureRow, width: number): string {
  const room = width - indent.length - alike.length
  if (url === null) return `${indent}${excerpt(`${line} ${text}`.trimStart(), room)}${alike}`
  // An address that is cut leads nowhere.
  return `${indent}${line} ${urlText(url)} ${excerpt(text, Math.max(MIN_TEXT, room - line.length - 2))}${alike}`
}

/** How many rows each group shows: one each while there is room, then the first groups fill up. */
function shareRows(groups: readonly FailureGroup[], most: number): number[] {
  const shares: number[] = groups.map((_, i) => (i < most ? 1 : 0))
  let left = Math.max(0, most - groups.length)
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

export function warningLines(report: Report, say: Say, where = '', most = MAX_WARNINGS): string[] {
  const shown = report.warnings.slice(0, most)
  const lines = shown.flatMap((warning) => say(`warning: ${warningText(warning)}`))
  const more = report.warningCount - shown.length
  return more > 0 ? [...lines, `and ${counted(more, 'more warning')}${where}`] : lines
}

/** A warning with the line it belongs to. */
export function warningText({ line, message }: ReportWarning): string {
  return `${line === null ? '' : `line ${line}: `}${printable(message)}`
}
