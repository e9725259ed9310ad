// mpdl retry-failed: reads the list of a past run again and runs only what failed or was not started.

import { existsSync } from 'node:fs'
import { isatty } from 'node:tty'
import { Command } from 'commander'
import type { LineRange, RunHeader } from '../core/event.ts'
import { printable } from '../core/printable.ts'
import { isUnfinished } from '../core/report.ts'
import type { JobList } from '../supervisor/job-list.ts'
import { readEvents } from '../supervisor/past-runs.ts'
import { askPassword } from './ask-password.ts'
import { configured, isSet, type RunOptions } from './configure.ts'
import { get } from './get.ts'
import type { Ending } from './leave.ts'
import { finishedRun } from './past.ts'
import { addRunOptions, EXCLUSIVE, type RawRunOptions, RUN_OPTIONS, SECRET } from './run-options.ts'
import { UsageError } from './usage-error.ts'
import { type GivenUser, headerLine } from './values.ts'

interface Unfinished {
  /** Jobs that began, by id: how a person knows them. */
  readonly jobs: ReadonlyMap<string, string>
  readonly lines: readonly LineRange[]
  /** Only where the supervisor was killed: its log does not say what it never came to, so all but these is left. */
  readonly allBut: ReadonlySet<string> | undefined
}

/** Options are those of the past run; what is given now replaces them. `command` holds what was typed. */
export async function retryFailed(wanted: string, command: Command, argv: readonly string[]): Promise<Ending> {
  const { logDir } = command.opts<RawRunOptions>()
  const { path: log, run } = await finishedRun(wanted, logDir ?? process.env['MPDL_LOG_DIR'])
  const list = run.list.path
  if (list === null) {
    const hint = 'keep what fails with --failed-out FILE and run that'
    throw new UsageError(`run ${run.id} read ${run.list.name}; only a list file can be read again; ${hint}`, 66)
  }
  if (!existsSync(list)) throw new UsageError(`the list of run ${run.id} is gone: ${list}`, 66)
  const unfinished = await readUnfinished(log)
  if (unfinished.jobs.size === 0 && unfinished.lines.length === 0 && unfinished.allBut === undefined) {
    process.stderr.write(`mpdl: nothing failed in run ${run.id}\n`)
    return { code: 0 }
  }
  const past = run.argv.slice(run.argv[0] === 'get' || run.argv[0] === 'retry-failed' ? 1 : 0)
  const { options, untyped } = await optionsOf(run, past, command)
  let lost: readonly string[] = []
  const select = (opened: JobList) => {
    const selected = selectFrom(opened, unfinished)
    lost = selected.lost
    return selected.isSelected
  }
  const ending = await get({
    operands: [list],
    options,
    untyped,
    argv: ['retry-failed', ...past, ...argv.slice(1)],
    select,
  })
  return lost.length === 0 ? ending : { ...ending, code: tellLost(lost, list, ending.code) }
}

const MOST_LOST_SHOWN = 20

/** A job that failed and stands in the list no more was not downloaded, and nobody else will say so. */
function tellLost(lost: readonly string[], list: string, code: number): number {
  const shown = lost.slice(0, MOST_LOST_SHOWN).map((job) => `  ${printable(job)}\n`)
  const more = lost.length > shown.length ? `  and ${lost.length - shown.length} more\n` : ''
  process.stderr.write(`mpdl: failed then and no longer in ${list}:\n${shown.join('')}${more}`)
  return code === 0 ? 1 : code
}

/** What words like these say, by the rules of a command line. */
function parsed(words: readonly string[]): Command {
  const command = addRunOptions(new Command().exitOverride().allowExcessArguments(), false)
  return command.parse([...words], { from: 'user' })
}

const isMasked = (command: Command, name: string) => JSON.stringify(command.getOptionValue(name))?.includes('***')

/**
 * What is typed now, over what was typed then, over environment and file as they are today, over what these were then.
 * The log holds no secrets: whatever was one must come from anywhere but there.
 */
async function optionsOf(run: RunHeader, past: readonly string[], command: Command): Promise<RunOptions> {
  const merged = parsed(past)
  const typedThen = { ...merged.opts<RawRunOptions>() }
  const masked = [...SECRET].filter((name) => isMasked(merged, name))
  for (const name of masked) merged.setOptionValueWithSource(name, undefined, 'default')
  for (const name of namesTyped(command)) {
    const rivals = EXCLUSIVE.has(name) ? EXCLUSIVE : []
    for (const rival of rivals) merged.setOptionValueWithSource(rival, undefined, 'default')
    merged.setOptionValueWithSource(name, command.getOptionValue(name), 'cli')
  }
  const { untyped } = await configured(merged, run.list.path ?? undefined)
  const recorded = parsed(run.untyped)
  for (const name of namesTyped(recorded)) {
    const isSaidSince = [name, ...(EXCLUSIVE.has(name) ? EXCLUSIVE : [])].some((said) => isSet(said, merged))
    if (isSaidSince) continue
    if (isMasked(recorded, name)) masked.push(name)
    else merged.setOptionValueWithSource(name, recorded.getOptionValue(name), 'run')
  }
  const missing = masked.filter((name) => merged.getOptionValue(name) === undefined)
  const asked = await askAgain(missing, run, { ...recorded.opts<RawRunOptions>(), ...typedThen })
  const options = { ...merged.opts<RawRunOptions>(), ...asked }
  const dir = command.getOptionValueSource('dir') === 'cli' ? options.dir : run.dir
  // A rehearsed failure was not a real one: what is run again is run for real.
  const { inject: _, ...real } = { ...options, dir }
  return { options: real, untyped: [...run.untyped, ...untyped] }
}

/**
 * `names`: of options whose secrets nobody has given again; `then`: all options as the log shows them. Of a proxy it does
 * not even show the user, and where nobody sits nobody is asked.
 */
async function askAgain(
  names: readonly string[],
  run: RunHeader,
  then: Pick<RawRunOptions, 'user' | 'header'>,
): Promise<Pick<RawRunOptions, 'user' | 'header'>> {
  if (names.length === 0) return {}
  if (names.includes('proxy') || !(isatty(0) || isatty(2))) throw mustGiveAgain(names, run)
  const asked: { user?: GivenUser; header?: [string, string][] } = {}
  if (names.includes('header')) {
    // What was given a second time already stands there twice.
    for (const name of new Set(then.header?.map(([name]) => name))) {
      const value = await askPassword(`the header "${name}: …"`)
      asked.header = headerLine(`${name}: ${value}`, asked.header)
    }
  }
  // Given without a password, it is asked for as ever.
  if (names.includes('user') && then.user !== undefined) asked.user = { user: then.user.user, password: undefined }
  return asked
}

function mustGiveAgain(names: readonly string[], run: RunHeader): UsageError {
  const lost = RUN_OPTIONS.filter((option) => option.required && names.includes(option.attributeName()))
  const words = lost.map(({ short, long }) => short ?? long).join(' and ')
  const keys = lost.map((option) => `${option.name()} = "…"`).join(', ')
  const hint = `give it again, or keep it in a file for --config (${keys})`
  return new UsageError(`run ${run.id} was given ${words} with a secret, which its log does not hold; ${hint}`)
}

function namesTyped(command: Command): string[] {
  const names = new Set(command.options.map((option) => option.attributeName()))
  return [...names].filter((name) => command.getOptionValueSource(name) === 'cli')
}

async function readUnfinished(log: string): Promise<Unfinished> {
  const jobs = new Map<string, string>()
  const finished = new Set<string>()
  const lines: LineRange[] = []
  let hasEnd = false
  for await (const event of readEvents(log).events) {
    if (event.type === 'job-started') jobs.set(event.id, `line ${event.line} ${event.url}`)
    if (event.type === 'job-ended' && !isUnfinished(event.row.outcome)) {
      jobs.delete(event.row.id)
      finished.add(event.row.id)
    }
    if (event.type === 'jobs-ended' && isUnfinished(event.outcome)) lines.push(...event.lines)
    if (event.type === 'run-ended') hasEnd = true
  }
  return { jobs, lines: lines.sort(([a], [b]) => a - b), allBut: hasEnd ? undefined : finished }
}

/** By the job's identity, so that an edited list still finds its jobs; rows never begun are known by line only. */
function selectFrom(
  list: JobList,
  { jobs, lines, allBut }: Unfinished,
): { isSelected: (index: number) => boolean; lost: readonly string[] } {
  const isChosen = new Uint8Array(list.size)
  const lost = new Map(jobs)
  let range = 0
  for (let index = 0; index < list.size; index++) {
    const line = list.lineOf(index)
    while ((lines[range]?.[1] ?? Number.POSITIVE_INFINITY) < line) range++
    const [first, last] = lines[range] ?? [Number.POSITIVE_INFINITY, 0]
    const isListed = first <= line && line <= last
    // Reading a row costs; where ranges of lines say it all, none is read.
    const needsId = jobs.size > 0 || allBut !== undefined
    const id = needsId && list.fateOf(index).kind === 'job' ? list.read(index)?.id : undefined
    if (id !== undefined) lost.delete(id)
    const isLeft = allBut === undefined ? jobs.has(id ?? '') : !allBut.has(id ?? '')
    if (isListed || isLeft) isChosen[index] = 1
  }
  return { isSelected: (index) => isChosen[index] === 1, lost: [...lost.values()] }
}
