// mpdl retry-failed: reads the list of a past run again and runs only what failed or was not started.

import { existsSync } from 'node:fs'
import { Command } from 'commander'
import type { LineRange } from '../core/event.ts'
import { isUnfinished } from '../core/report.ts'
import type { JobList } from '../supervisor/job-list.ts'
import { readEvents } from '../supervisor/past-runs.ts'
import { get } from './get.ts'
import { pastRun } from './past.ts'
import { addRunOptions, type RawRunOptions } from './run-options.ts'
import { UsageError } from './usage-error.ts'

interface Unfinished {
  readonly ids: ReadonlySet<string>
  readonly lines: readonly LineRange[]
  /** Only where the supervisor was killed: its log does not say what it never came to, so all but these is left. */
  readonly allBut: ReadonlySet<string> | undefined
}

/** Options are those of the past run; what is given now replaces them. `command` holds what was typed. */
export async function retryFailed(wanted: string, command: Command, argv: readonly string[]): Promise<number> {
  const typed = command.opts<RawRunOptions>()
  const { path: log, run } = await pastRun(wanted, typed.logDir)
  const list = run.list.path
  if (list === null) throw new UsageError(`run ${run.id} read ${run.list.name}; only a list file can be read again`, 66)
  if (!existsSync(list)) throw new UsageError(`the list of run ${run.id} is gone: ${list}`, 66)
  const secret = run.argv.find((word) => /\*\*\*/.test(word))
  if (secret !== undefined && typed.header === undefined) {
    throw new UsageError(`run ${run.id} was given ${secret}, which its log does not hold; give it again with -H`)
  }
  const unfinished = await readUnfinished(log)
  if (unfinished.ids.size === 0 && unfinished.lines.length === 0 && unfinished.allBut === undefined) {
    process.stderr.write(`mpdl: nothing failed in run ${run.id}\n`)
    return 0
  }
  const past = run.argv.slice(run.argv[0] === 'get' || run.argv[0] === 'retry-failed' ? 1 : 0)
  // A rehearsed failure was not a real one: what is run again is run for real.
  const { inject: _, ...options } = {
    ...optionsOf(past),
    ...givenOptions(command),
    dir: command.getOptionValueSource('dir') === 'cli' ? typed.dir : run.dir,
  }
  const select = (opened: JobList) => selection(opened, unfinished)
  return await get({ operands: [list], options, argv: ['retry-failed', ...past, ...argv.slice(1)], select })
}

/** The options that stood on the past command line, read by the same rules. */
function optionsOf(argv: readonly string[]): RawRunOptions {
  const parser = addRunOptions(new Command().exitOverride().allowExcessArguments(), false)
  parser.parse([...argv], { from: 'user' })
  return parser.opts<RawRunOptions>()
}

function givenOptions(command: Command): Partial<RawRunOptions> {
  return Object.fromEntries(
    Object.entries(command.opts()).filter(([name]) => command.getOptionValueSource(name) !== 'default'),
  )
}

async function readUnfinished(log: string): Promise<Unfinished> {
  const ids = new Set<string>()
  const finished = new Set<string>()
  const lines: LineRange[] = []
  let hasEnd = false
  for await (const event of readEvents(log).events) {
    if (event.type === 'job-started') ids.add(event.id)
    if (event.type === 'job-ended' && !isUnfinished(event.row.outcome)) {
      ids.delete(event.row.id)
      finished.add(event.row.id)
    }
    if (event.type === 'jobs-ended' && isUnfinished(event.outcome)) lines.push(...event.lines)
    if (event.type === 'run-ended') hasEnd = true
  }
  return { ids, lines: lines.sort(([a], [b]) => a - b), allBut: hasEnd ? undefined : finished }
}

/** By the job's identity, so that an edited list still finds its jobs; rows never begun are known by line only. */
function selection(list: JobList, { ids, lines, allBut }: Unfinished): (index: number) => boolean {
  const jobAt = (index: number) => (list.fateOf(index).kind === 'job' ? list.read(index) : undefined)
  if (allBut !== undefined) return (index) => !allBut.has(jobAt(index)?.id ?? '')
  let range = 0
  return (index) => {
    const line = list.lineOf(index)
    while ((lines[range]?.[1] ?? Number.POSITIVE_INFINITY) < line) range++
    const [first, last] = lines[range] ?? [Number.POSITIVE_INFINITY, 0]
    if (first <= line && line <= last) return true
    const job = ids.size > 0 ? jobAt(index) : undefined
    return job !== undefined && ids.has(job.id)
  }
}
