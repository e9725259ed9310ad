// mpdl runs: the last runs of a list, and whether the last good one is too long ago.

import { dirname, join, resolve } from 'node:path'
import { printable } from '../core/printable.ts'
import { isRecent } from '../core/run-state.ts'
import { historyPath, logDirsToSearch } from '../places.ts'
import { runJson, runLines, type ShownRun, staleText } from '../reporters/runs.ts'
import { lastGoodOf } from '../supervisor/list-history.ts'
import { type PastRun, stateOf } from '../supervisor/past-runs.ts'
import { realWorld } from '../supervisor/world.ts'
import { listFileOf, listKeyOf, realPath } from './list-source.ts'
import { newestRuns, noRuns } from './past.ts'
import { writeOut } from './stdout.ts'
import { UsageError } from './usage-error.ts'

export interface RunsOptions {
  readonly maxAge?: number
  readonly maxCount: number
  readonly json?: boolean
  readonly logDir?: string
  readonly dir?: string
}

/** 1 where `maxAge` is exceeded. Throws a UsageError (66) where there are no runs. */
export async function runs(list: string | undefined, options: RunsOptions): Promise<number> {
  const { maxAge, maxCount, json, logDir, dir } = options
  const nowMs = realWorld.nowMs()
  if (list === undefined) {
    if (maxAge !== undefined) throw new UsageError('--max-age of what? Give the list: mpdl runs LIST --max-age 26h')
    const dirs = logDirsToSearch(logDir)
    const found = (await newestRuns(dirs, dir === undefined ? maxCount : undefined)).filter(isInto(dir))
    const newest = found.slice(0, maxCount).map(withState)
    if (newest.length === 0) throw noRuns('no runs', dirs)
    await show(newest, nowMs, json === true, true)
    return 0
  }
  if (listFileOf([list]) === undefined) {
    throw new UsageError('only the runs of a list file are known from others; without LIST all are shown')
  }
  const dirs = dirsFor(list, logDir)
  const found = (await newestRuns(dirs)).filter(isOf(list)).filter(isInto(dir))
  if (maxAge !== undefined) return tellAge(list, found.map(withState), maxAge, nowMs)
  if (found.length === 0) throw noRuns(`no runs of ${printable(list)}`, dirs)
  const newest = found.slice(0, maxCount).map(withState)
  await show(newest, nowMs, json === true, new Set(newest.map(({ run }) => run.dir)).size > 1)
  return 0
}

const withState = (past: PastRun): ShownRun => ({
  ...past,
  isPartial: past.ended !== null && past.ended.counts.listed !== past.run.list.jobs,
  state: stateOf(past),
})

async function show(shown: readonly ShownRun[], nowMs: number, isJson: boolean, hasLists: boolean): Promise<void> {
  const lines = isJson ? shown.map(runJson) : runLines(shown, nowMs, hasLists)
  await writeOut(`${lines.join('\n')}\n`)
}

/** A run from the list's own directory may have found `./logs` there. */
function dirsFor(list: string, logDir: string | undefined): string[] {
  const dirs = logDirsToSearch(logDir)
  return logDir === undefined ? [...new Set([...dirs, join(dirname(resolve(list)), 'logs')])] : dirs
}

/** By whatever way to it, then and now; a list that is gone is known by its path. */
function isOf(list: string): (past: PastRun) => boolean {
  const keyOf = (path: string) => listKeyOf({ kind: 'file', path }, '/')
  const path = resolve(list)
  const key = keyOf(list)
  return ({ run }) =>
    run.list.path !== null && (run.list.path === path || (key !== undefined && keyOf(run.list.path) === key))
}

function memoryPath(list: string, dir: string): string {
  return historyPath(listKeyOf({ kind: 'file', path: list }, dir) ?? '')
}

/** `dir`: undefined is any. */
function isInto(dir: string | undefined): (past: PastRun) => boolean {
  const wanted = dir === undefined ? undefined : realPath(dir)
  return ({ run }) => wanted === undefined || realPath(run.dir) === wanted
}

function tellAge(list: string, shown: readonly ShownRun[], maxAgeMs: number, nowMs: number): number {
  // Of a run of some of the list the log does not say whether all is well with the rest; what is remembered does.
  const whole = shown.filter(({ isPartial }) => !isPartial)
  const ends = whole.flatMap(({ isGood, ended }) => (isGood && ended !== null ? [ended.at] : []))
  const remembered = [...new Set(shown.map(({ run }) => run.dir))].map((dir) => lastGoodOf(memoryPath(list, dir)))
  const good = [...ends, ...remembered.filter((at) => at !== null)]
  if (good.some((at) => isRecent(at, nowMs, maxAgeMs))) return 0
  process.stderr.write(`mpdl: ${printable(list)}: ${staleText(shown, nowMs)}\n`)
  return 1
}
