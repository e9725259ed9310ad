// Decides what a run's events add up to: one pass, and small whatever the size of the list. Knows nothing of how a
// report looks, of clocks or of files.

import type { IndependentCounts, JobRow, LineRange, Outcome, RunEvent, RunHeader } from './event.ts'
import { OUTCOMES } from './event.ts'
import type { Failure, FailureClass, FailureKind } from './failure.ts'
import { classOf, describe } from './failure.ts'

/** One failed job, or many that ended together without a child, as a row of the summary shows it. */
export interface FailedSample {
  readonly lines: readonly LineRange[]
  readonly jobs: number
  readonly outcome: Outcome
  /** Redacted; null where many jobs ended together. */
  readonly url: string | null
  readonly sentence: string
  /** What mpdl sent to the last child, in order; empty when it left by itself. */
  readonly signals: readonly string[]
  readonly countedTries: number
  readonly keptBytes: number
}

/** Failures of one cause at one host. */
export interface FailureGroup {
  /** Null in the group that collects what came after {@link LIMITS.groups} others. */
  readonly outcome: Outcome | null
  readonly kind: FailureKind | null
  readonly status: number | null
  /** Null where the host has no part in it, as with a full disk. */
  readonly host: string | null
  /** The first sentence of the group. */
  readonly sentence: string
  count: number
  keptBytes: number
  /** In the order they came. */
  readonly samples: FailedSample[]
}

export interface ReportWarning {
  /** Null when it concerns the run. */
  readonly line: number | null
  readonly message: string
}

/** The last change of a host's state. */
export interface HostState extends Omit<Extract<RunEvent, { type: 'host-changed' }>, 'type'> {
  /** How often its state changed in this run. */
  readonly changes: number
}

/** Sorted, disjoint ranges of lines that do not touch. */
export interface LineSet {
  readonly ranges: LineRange[]
  /** Ranges that found no room any more: the jobs are counted, their lines are not listed. */
  dropped: number
}

export type Stop = Omit<Extract<RunEvent, { type: 'stopping' }>, 'type'>

/** What is known of a run so far. Owned and changed by {@link step}; everybody else only reads it. */
export interface Report {
  run: RunHeader | null
  /** Time of the last event, ms since the epoch. */
  lastAt: number
  /** Time of `run-ended`; null while the run lives, and for ever when its supervisor was killed. */
  endedAt: number | null
  signal: string | null
  /** What the supervisor counted itself; null before the end. */
  counts: IndependentCounts | null
  readonly totals: Record<Outcome, number>
  /** Body bytes moved in this run, whether they were of use or not. */
  movedBytes: number
  /** Sizes of the files downloaded in this run. */
  fileBytes: number
  /** Bytes of unfinished parts that the next run continues from. */
  keptBytes: number
  /** Body bytes moved that are in no finished file and in no part. */
  lostBytes: number
  /** Downloads whose server gave no length and whose list gave no checksum. */
  unverified: number
  attempts: { started: number; ended: number; spawned: number; reaped: number }
  retries: number
  /** Failed jobs by class; what the exit code is chosen from. Cancelled jobs and those of a run that ended are none. */
  readonly classes: Map<FailureClass, number>
  readonly groups: Map<string, FailureGroup>
  readonly notStarted: LineSet
  readonly warnings: ReportWarning[]
  warningCount: number
  readonly stops: Stop[]
  readonly hosts: Map<string, HostState>
  hostsDropped: number
  suspended: { count: number; gapMs: number }
  /** What went wrong with the program of --on-finish, as a sentence. */
  hookProblem: string | null
  /** Signals sent to the children of active jobs: as many entries as there are active jobs. */
  readonly signals: Map<number, string[]>
}

/** What bounds a report. */
export const LIMITS = {
  samples: 20,
  groups: 500,
  hosts: 1000,
  ranges: 10_000,
  warnings: 20,
  stops: 10,
  rangesOfSample: 10,
}
const URL_LENGTH = 2000
const SENTENCE_LENGTH = 1000
const OTHER = 'other'

export function freshReport(): Report {
  return {
    run: null,
    lastAt: 0,
    endedAt: null,
    signal: null,
    counts: null,
    totals: {
      downloaded: 0,
      unchanged: 0,
      skipped: 0,
      failed: 0,
      killed: 0,
      crashed: 0,
      abandoned: 0,
      cancelled: 0,
      'not-started': 0,
    },
    movedBytes: 0,
    fileBytes: 0,
    keptBytes: 0,
    lostBytes: 0,
    unverified: 0,
    attempts: { started: 0, ended: 0, spawned: 0, reaped: 0 },
    retries: 0,
    classes: new Map(),
    groups: new Map(),
    notStarted: { ranges: [], dropped: 0 },
    warnings: [],
    warningCount: 0,
    stops: [],
    hosts: new Map(),
    hostsDropped: 0,
    suspended: { count: 0, gapMs: 0 },
    hookProblem: null,
    signals: new Map(),
  }
}

/** Adds one event. Changes the report it is given and returns it, because a million events make a million copies. */
export function step(report: Report, event: RunEvent): Report {
  report.lastAt = Math.max(report.lastAt, event.at)
  const signals = rememberSignals(report.signals, event)
  switch (event.type) {
    case 'run-started':
      report.run = event.run
      break
    case 'job-started':
    case 'response':
    case 'signal-sent':
      break
    case 'attempt-started':
      report.attempts.started++
      if (event.unit !== null) report.attempts.spawned++
      break
    case 'attempt-ended':
      report.attempts.ended++
      if (event.attempt.unit !== null && event.attempt.failure?.kind !== 'abandoned') report.attempts.reaped++
      break
    case 'retry-planned':
      report.retries++
      break
    case 'job-ended':
      addRow(report, event.row, signals)
      break
    case 'jobs-ended':
      report.totals[event.outcome] += event.count
      if (event.outcome === 'not-started')
        for (const [first, last] of event.lines) addLines(report.notStarted, first, last)
      if (isTrouble(event.outcome)) {
        addFailure(report, event.failure, hostOf(event.failure, ''), {
          lines: event.lines.slice(0, LIMITS.rangesOfSample),
          jobs: event.count,
          outcome: event.outcome,
          url: null,
          sentence: event.reason.slice(0, SENTENCE_LENGTH),
          signals: [],
          countedTries: 0,
          keptBytes: 0,
        })
      }
      break
    case 'host-changed': {
      const before = report.hosts.get(event.host)
      if (before === undefined && report.hosts.size >= LIMITS.hosts) {
        report.hostsDropped++
        break
      }
      const { host, change, reason, at, until, cap } = event
      report.hosts.set(host, { host, change, reason, at, until, cap, changes: (before?.changes ?? 0) + 1 })
      break
    }
    case 'warning':
      addWarning(report, null, event.message)
      break
    case 'stopping':
      if (report.stops.length < LIMITS.stops) {
        report.stops.push({ at: event.at, cause: event.cause, reason: event.reason })
      }
      break
    case 'suspended':
      report.suspended.count++
      report.suspended.gapMs += event.gap_ms
      break
    case 'run-ended':
      report.endedAt = event.at
      report.counts = event.counts
      report.signal = event.signal
      break
    case 'hook-ended':
      report.hookProblem = event.problem
      break
  }
  return report
}

/**
 * Follows the signals sent to each job's children since its last retry. Returns them, in order, when the job ends,
 * and forgets them: a row alone knows only the strongest.
 */
export function rememberSignals(signals: Map<number, string[]>, event: RunEvent): readonly string[] | undefined {
  if (event.type === 'signal-sent') {
    const sent = signals.get(event.index)
    if (sent === undefined) signals.set(event.index, [event.signal])
    else if (!sent.includes(event.signal)) sent.push(event.signal)
  } else if (event.type === 'retry-planned') {
    signals.delete(event.index)
  } else if (event.type === 'job-ended') {
    const sent = signals.get(event.row.index)
    signals.delete(event.row.index)
    return sent
  }
  return undefined
}

/** Whether a job of this outcome is listed among the failures. */
export function isTrouble(outcome: Outcome): boolean {
  return (
    outcome === 'failed' ||
    outcome === 'killed' ||
    outcome === 'crashed' ||
    outcome === 'abandoned' ||
    outcome === 'cancelled'
  )
}

/** Whether a job of this outcome is still to be done: in trouble, or never begun because the run ended. */
export function isUnfinished(outcome: Outcome): boolean {
  return isTrouble(outcome) || outcome === 'not-started'
}

/** Jobs that have ended so far. */
export function endedJobs(report: Report): number {
  let sum = 0
  for (const outcome of OUTCOMES) sum += report.totals[outcome]
  return sum
}

/** Whether there is nothing a person should know: every job is as its list wants it, and the sums add up. */
export function isAllWell(report: Report): boolean {
  const { downloaded, unchanged, skipped } = report.totals
  return (
    report.counts !== null &&
    report.stops.length === 0 &&
    downloaded + unchanged + skipped === endedJobs(report) &&
    sumsUp(report, report.counts).length === 0
  )
}

/** Ms from the start to the last event. */
export function elapsedMs(report: Report): number {
  return report.run === null ? 0 : Math.max(0, (report.endedAt ?? report.lastAt) - report.run.started)
}

/** The signal that ended the run early, also when its supervisor left no last event. */
export function stopSignal(report: Report): string | null {
  if (report.signal !== null) return report.signal
  const stop = report.stops.find(({ cause }) => cause === 'signal')
  return stop === undefined ? null : (/SIG[A-Z0-9]+/.exec(stop.reason)?.[0] ?? null)
}

/**
 * What does not add up between the events and what was counted apart from them, a sentence each; none is the normal
 * case. A child is what runs one attempt, be it a process, a place in a shared one or a thread.
 */
export function sumsUp(report: Report, counts: IndependentCounts): readonly string[] {
  const { totals, attempts } = report
  const differences: string[] = []
  const expect = (isEqual: boolean, sentence: string) => {
    if (!isEqual) differences.push(sentence)
  }
  const ended = endedJobs(report)
  expect(ended === counts.listed, `the list has ${counts.listed} jobs, the outcomes add up to ${ended}`)
  expect(
    counts.spawned === counts.reaped + counts.abandoned,
    `${counts.spawned} children were started, ${counts.reaped} joined and ${counts.abandoned} abandoned`,
  )
  expect(
    attempts.started === attempts.ended,
    `${attempts.started} attempts began in the log, ${attempts.ended} of them ended`,
  )
  expect(
    attempts.spawned === counts.spawned,
    `${counts.spawned} children were started, the log names ${attempts.spawned}`,
  )
  expect(attempts.reaped === counts.reaped, `${counts.reaped} children were joined, the log names ${attempts.reaped}`)
  expect(
    totals.downloaded === counts.filesOnDisk,
    `${totals.downloaded} jobs say downloaded, ${counts.filesOnDisk} of their files were found on disk`,
  )
  expect(
    report.fileBytes === counts.bytesOnDisk,
    `the downloaded files have ${report.fileBytes} bytes by the log and ${counts.bytesOnDisk} on disk`,
  )
  return differences
}

/** Adds the lines `first` to `last`. Lists are mostly run in order, so the end of the set is looked at first. */
export function addLines(set: LineSet, first: number, last: number): void {
  const { ranges } = set
  // The first range that reaches to the new one, and the first behind it that lies clear of it.
  let from = ranges.length
  const tail = ranges.at(-1)
  if (tail !== undefined && tail[1] + 1 >= first) {
    let low = 0
    while (low < from) {
      const middle = (low + from) >> 1
      if ((ranges[middle]?.[1] ?? 0) + 1 < first) low = middle + 1
      else from = middle
    }
  }
  let to = from
  let merged: LineRange = [first, last]
  for (let next = ranges[to]; next !== undefined && next[0] <= last + 1; next = ranges[++to]) {
    merged = [Math.min(merged[0], next[0]), Math.max(merged[1], next[1])]
  }
  if (to === from && ranges.length >= LIMITS.ranges) set.dropped++
  else ranges.splice(from, to - from, merged)
}

function addRow(report: Report, row: JobRow, signals: readonly string[] | undefined): void {
  report.totals[row.outcome]++
  report.movedBytes += row.size_download
  report.keptBytes += row.kept
  for (const message of row.warnings) addWarning(report, row.line, message)
  if (row.outcome === 'downloaded') {
    report.lostBytes += lostOf(row, row.size ?? 0)
    report.fileBytes += row.size ?? 0
    if (row.proof === 'unverified') report.unverified++
  } else if (row.outcome === 'not-started') {
    addLines(report.notStarted, row.line, row.line)
  } else if (isTrouble(row.outcome)) {
    report.lostBytes += lostOf(row, row.kept)
    addFailure(report, row.failure, hostOf(row.failure, row.url), sampleOf(row, signals))
  }
}

function lostOf(row: JobRow, usefulBytes: number): number {
  return Math.max(0, row.size_download + row.resumed_from - usefulBytes)
}

/** A job's row as the summary's line about it; `signals` in the order they were sent, if that is known. */
export function sampleOf(row: JobRow, signals?: readonly string[]): FailedSample {
  const strongest = row.attempts.findLast((attempt) => attempt.signal_sent !== null)?.signal_sent
  return {
    lines: [[row.line, row.line]],
    jobs: 1,
    outcome: row.outcome,
    url: row.url === '' ? null : row.url.slice(0, URL_LENGTH),
    sentence: (row.reason ?? (row.failure === null ? row.outcome : describe(row.failure))).slice(0, SENTENCE_LENGTH),
    signals: signals ?? (strongest ? [strongest] : []),
    countedTries: row.attempts.filter(({ task, counted }) => task === 'fetch' && counted).length,
    keptBytes: row.kept,
  }
}

function addFailure(report: Report, failure: Failure | null, host: string | null, sample: FailedSample): void {
  // A run that ends says nothing about the job: its class is "stopped early", which the exit code sees in the stops.
  if (sample.outcome !== 'cancelled' && failure?.kind !== 'run-deadline') {
    const of = failure === null ? 'other' : classOf(failure)
    report.classes.set(of, (report.classes.get(of) ?? 0) + sample.jobs)
  }
  const status = failure !== null && 'status' in failure ? failure.status : null
  const group = groupOf(report, sample, failure?.kind ?? null, status, sample.outcome === 'cancelled' ? null : host)
  group.count += sample.jobs
  group.keptBytes += sample.keptBytes
  // Every group shows its first job; more only while groups are few, so that the sum of all is bounded.
  const room = report.groups.size <= LIMITS.samples ? LIMITS.samples : 1
  if (group.samples.length < room) group.samples.push(sample)
}

function groupOf(
  report: Report,
  { outcome, sentence }: FailedSample,
  kind: FailureKind | null,
  status: number | null,
  host: string | null,
): FailureGroup {
  const key = `${outcome} ${kind} ${status} ${host}`
  const known = report.groups.get(key)
  if (known !== undefined) return known
  const isRoom = report.groups.size < LIMITS.groups
  const other = isRoom ? undefined : report.groups.get(OTHER)
  if (other !== undefined) return other
  const group: FailureGroup = isRoom
    ? { outcome, kind, status, host, sentence, count: 0, keptBytes: 0, samples: [] }
    : { outcome: null, kind: null, status: null, host: null, sentence, count: 0, keptBytes: 0, samples: [] }
  report.groups.set(isRoom ? key : OTHER, group)
  return group
}

/** The host that a failure is counted against: its own where it names one, none where hosts have no part in it. */
function hostOf(failure: Failure | null, url: string): string | null {
  if (failure !== null) {
    if ('host' in failure) return failure.host
    const of = classOf(failure)
    if (of === 'file' || of === 'spawn' || of === 'other') return null
  }
  return /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#]*@)?([^/?#]+)/i.exec(url)?.[1]?.toLowerCase() ?? null
}

function addWarning(report: Report, line: number | null, message: string): void {
  report.warningCount++
  if (report.warnings.length < LIMITS.warnings) {
    report.warnings.push({ line, message: message.slice(0, SENTENCE_LENGTH) })
  }
}
