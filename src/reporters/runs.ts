// Decides how past runs are listed: two or three lines each for people, an object for machines, and one sentence where
// the last good run is too long ago. Knows nothing of where logs are.

import type { Outcome, RunHeader } from '../core/event.ts'
import { localTime } from '../core/local-time.ts'
import { printable, printableJson } from '../core/printable.ts'
import type { RunState } from '../core/run-state.ts'
import { formatDuration } from '../core/units.ts'
import { counted, totalsText, wrapWords } from './summary.ts'

export interface ShownRun {
  /** Of its log. */
  readonly path: string
  readonly run: RunHeader
  readonly ended: { readonly at: number; readonly signal: string | null } | null
  readonly totals: Readonly<Record<Outcome, number>> | null
  readonly isGood: boolean
  /** It was to run some of its list only: that went well says nothing of the rest. */
  readonly isPartial: boolean
  readonly state: RunState
}

const WIDTH = 78
const INDENT = ' '.repeat(9)
const HEADING = 'state    began                   took  mode     run'

/** `hasLists`: say of each run which list it was, and where to. */
export function runLines(runs: readonly ShownRun[], nowMs: number, hasLists: boolean): string[] {
  return [HEADING, ...runs.flatMap((shown) => linesOf(shown, nowMs, hasLists))]
}

function linesOf(shown: ShownRun, nowMs: number, hasLists: boolean): string[] {
  const { run, state } = shown
  const columns = [state.padEnd(7), localTime(run.started), tookText(shown, nowMs).padStart(7), run.mode.padEnd(7)]
  const list = `${printable(run.list.path ?? run.list.name)} into ${printable(run.dir)}`
  const below = [...(hasLists ? [list] : []), whatCame(shown)]
  const wrapped = below.flatMap((text) => wrapWords(text.split(' '), WIDTH - INDENT.length, '  '))
  return [`${columns.join('  ')}  ${printable(run.id)}`, ...wrapped.map((line) => INDENT + line)]
}

function tookText({ run, ended, state }: ShownRun, nowMs: number): string {
  const until = ended?.at ?? (state === 'running' ? nowMs : undefined)
  return until === undefined ? '-' : formatDuration(Math.max(0, until - run.started))
}

/** `100 = 97 downloaded + 3 failed`, and what a reader of these sums should know. */
function whatCame({ run, ended, totals, state }: ShownRun): string {
  const again = run.argv[0] === 'retry-failed' ? ', retry-failed' : ''
  if (ended !== null) {
    const sums = totals === null ? 'without sums' : totalsText(totals)
    return `${sums}${ended.signal === null ? '' : `, stopped by ${printable(ended.signal)}`}${again}`
  }
  const jobs = counted(run.list.jobs, 'job')
  if (state === 'running') return `${jobs}, pid ${run.pid}${again}`
  return `${jobs}, ${state === 'died' ? 'no end' : `no end, on ${printable(run.host)}`}${again}`
}

/** Times are ms since the epoch, as in a report. */
export function runJson({ path, run, ended, totals, isGood, state }: ShownRun): string {
  const { id, mode, list, dir, pid, host, started } = run
  const signal = ended?.signal ?? null
  const end = { started, ended: ended?.at ?? null, signal, totals, is_good: isGood, state }
  return printableJson(JSON.stringify({ id, mode, list, dir, pid, host, ...end, log: path }))
}

/** What is known of a list whose last good run is too long ago, or none. `runs`: all of it, newest first. */
export function staleText(runs: readonly ShownRun[], nowMs: number): string {
  if (runs.length === 0) return 'no run is known'
  const good = runs.filter(({ isGood, isPartial }) => isGood && !isPartial)
  // A clock that was set back has left some that lie ahead.
  const lastGood = good.find(({ ended }) => ended !== null && ended.at <= nowMs) ?? good[0]
  const going = runs.find(({ state }) => state === 'running')
  const last = runs.find((shown) => shown !== going)
  const parts = [
    lastGood?.ended == null ? 'no good run is known' : `no good run since ${agoText(lastGood.ended.at, nowMs)}`,
  ]
  if (last !== undefined && last !== lastGood) parts.push(lastText(last))
  if (going !== undefined) parts.push(`one is going on since ${localTime(going.run.started)} (pid ${going.run.pid})`)
  else if (last === lastGood) parts.push('none was begun since')
  return parts.join('; ')
}

function agoText(atMs: number, nowMs: number): string {
  const isAhead = atMs > nowMs
  const distance = formatDuration(Math.abs(nowMs - atMs))
  return `${localTime(atMs)}, ${isAhead ? `${distance} ahead of the clock` : `${distance} ago`}`
}

function lastText(last: ShownRun): string {
  const { run, ended, state } = last
  const noEnd = state === 'died' ? 'died' : `has no end, on ${printable(run.host)}`
  const end = ended === null ? noEnd : `ended with ${whatCame(last)}`
  return `the last one, of ${localTime(run.started)}, ${end} (mpdl report ${printable(run.id)})`
}
