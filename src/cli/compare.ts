// mpdl compare: from operands and options to the experiment, and its results to screen and files. Composes, decides
// little.

import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { type Compared, compare as experiment, type UserList } from '../compare/compare.ts'
import { FAULT_KINDS } from '../compare/fault-kinds.ts'
import { downloadsPerUrl } from '../compare/plan.ts'
import { hasProc } from '../compare/proc.ts'
import { comparisonLines } from '../compare/render.ts'
import type { Comparison } from '../compare/result.ts'
import { redactUrl } from '../core/redact.ts'
import { detectHardening } from '../isolation/hardening.ts'
import { comparePage } from '../pages/compare.ts'
import { explainLines, isAbout } from '../reporters/explain.ts'
import { wrapWords } from '../reporters/summary.ts'
import { readEvents } from '../supervisor/past-runs.ts'
import { VERSION } from '../version.ts'
import { type CompareOptions, ORIGIN_COMMAND, type Passed } from './compare-options.ts'
import { variableOf } from './config-keys.ts'
import { configured } from './configure.ts'
import { listFileOf, nameOf, sourceOf } from './list-source.ts'
import { openList } from './open-list.ts'
import { intoFile } from './outputs.ts'
import { redactArgv } from './redact-argv.ts'
import { pageTemplate } from './render.ts'
import type { RawRunOptions } from './run-options.ts'
import { writeOut } from './stdout.ts'
import { UsageError } from './usage-error.ts'

const PLAIN_COLUMNS = 80
/** Their exit codes. */
const SIGNALS = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const

export interface CompareRequest {
  readonly operands: readonly string[]
  /** Parsed. */
  readonly command: Command
  /** Options of a run, as they were typed. */
  readonly passed: Passed
  readonly argv: readonly string[]
}

/** 0 when all was measured, 1 when a run failed that nobody let go wrong; 128+N when it was interrupted. */
export async function compare({ operands, command, passed, argv }: CompareRequest): Promise<number> {
  if (!hasProc()) throw new UsageError('mpdl compare looks at its runs through /proc, which is not here', 78)
  await configured(command, listFileOf(operands))
  const options = command.opts<CompareOptions & RawRunOptions>()
  const { user } = options
  if (user !== undefined && user.password === undefined) {
    const { askPassword } = await import('./ask-password.ts')
    passed.environment[variableOf('user')] = `${user.user}:${await askPassword(user.user)}`
  }
  requireWork(options)
  requireWritable(options.dir, '-d DIR')
  for (const path of options.report ?? []) requireWritable(dirname(resolve(path)), '--report FILE')
  const scratch = await mkdtemp(join(resolve(options.dir), 'mpdl-compare-list-'))
  const interrupted = new AbortController()
  let interruptedCode = 0
  const listeners = SIGNALS.map(([name, code]) => ({
    name,
    on() {
      interruptedCode ||= code
      interrupted.abort(name)
    },
  }))
  for (const { name, on } of listeners) process.on(name, on)
  const screen = progressOn(process.stderr, options)
  try {
    const list =
      operands.length === 0 ? null : await listOf(operands, options, join(scratch, 'list.txt'), interrupted.signal)
    const faults = options.fault ?? (options.faults === true ? FAULT_KINDS.map(({ fault }) => fault) : [])
    if (list !== null) announce(list, downloadsPerUrl(options.modes.length, roundsOf(options), faults.length))
    const compared = await experiment(
      {
        modes: options.modes,
        repeat: options.repeat,
        faults,
        hasDemonstrations: options.demos === true || options.faults === true,
        list,
        options: passed.words,
        jobs: options.jobs,
        dir: resolve(options.dir),
        version: VERSION,
        argv: redactArgv(argv),
        onStep: screen.step,
      },
      {
        program: resolve(process.argv[1] ?? ''),
        environment: passed.environment,
        originCommand: ORIGIN_COMMAND,
        hardening: detectHardening(),
        readEvents: (path) => readEvents(path).events,
        explain: (events, line) => explainLines(events.filter((event) => isAbout(event, line))),
        signal: interrupted.signal,
      },
    )
    screen.clear()
    return await tell(compared, options)
  } catch (error) {
    screen.clear()
    if (!interrupted.signal.aborted) throw error
    return interruptedCode
  } finally {
    for (const { name, on } of listeners) process.off(name, on)
    await rm(scratch, { recursive: true, force: true })
  }
}

const roundsOf = ({ repeat }: CompareOptions) => (repeat === 0 ? 0 : repeat + 1)

function requireWork({ repeat, faults, fault, demos }: CompareOptions): void {
  if (repeat > 0 || faults === true || fault !== undefined || demos === true) return
  throw new UsageError('--repeat 0 leaves nothing to do without --faults or --demos')
}

/** Before minutes are spent on what could not be kept. */
function requireWritable(dir: string, option: string): void {
  try {
    accessSync(dir, constants.W_OK | constants.X_OK)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    throw new UsageError(`cannot write into ${dir}: ${code}; choose another with ${option}`, 73)
  }
}

/** Checked before anything runs. What comes from standard input comes once, and a URL may hold a password: kept in a file. */
async function listOf(
  operands: readonly string[],
  options: RawRunOptions,
  spooled: string,
  signal: AbortSignal,
): Promise<UserList> {
  const source = sourceOf(operands)
  const isFile = source.kind === 'file'
  if (source.kind === 'stream') await writeFile(spooled, process.stdin, { signal, mode: 0o600 })
  if (source.kind === 'urls') await writeFile(spooled, source.urls.map((url) => `${url}\n`).join(''), { mode: 0o600 })
  const list = await openList(isFile ? source : { kind: 'file', path: spooled }, options, 'downloaded')
  try {
    return {
      name: isFile ? redactUrl(list.name) : nameOf(source),
      operands: isFile ? operands : [spooled],
      jobs: list.size,
      line: list.lineOf(Math.floor((list.size - 1) / 2)),
    }
  } finally {
    list.close()
  }
}

function announce({ jobs }: UserList, times: number): void {
  const what = jobs === 1 ? 'its file is' : `its ${jobs} files are each`
  process.stderr.write(`mpdl compare: ${what} downloaded about ${times} times\n`)
}

/** One line that is written over; a line each with -v; nothing where nobody looks. */
function progressOn(stream: NodeJS.WriteStream, { quiet, verbose }: CompareOptions) {
  const isLive = stream.isTTY === true && quiet !== true && verbose !== true
  return {
    step(text: string): void {
      if (verbose === true) stream.write(`${text}\n`)
      else if (isLive) stream.write(`\r\x1b[K${text.slice(0, stream.columns - 1)}`)
    },
    clear(): void {
      if (isLive) stream.write('\r\x1b[K')
    },
  }
}

async function tell({ comparison, problems }: Compared, options: CompareOptions): Promise<number> {
  for (const problem of problems) process.stderr.write(`mpdl compare: ${problem}\n`)
  if (comparison === undefined) return 1
  const columns = process.stdout.columns ?? PLAIN_COLUMNS
  const wrap = (text: string) => wrapWords(text.split(' '), columns, '  ')
  const lines = comparisonLines(comparison, { columns, wrap })
  await writeOut(options.json === true ? jsonOf(comparison) : `${lines.join('\n')}\n`)
  for (const path of options.report ?? []) await writeReport(path, comparison)
  return problems.length === 0 ? 0 : 1
}

const jsonOf = (comparison: Comparison) => `${JSON.stringify(comparison, null, 2)}\n`

async function writeReport(path: string, comparison: Comparison): Promise<void> {
  const isPage = path.endsWith('.html')
  const text = isPage ? comparePage(comparison, await pageTemplate('compare')) : jsonOf(comparison)
  try {
    await intoFile(path, 0o666, async (write) => write(text))
  } catch (error) {
    throw new UsageError(`cannot write ${path}: ${error instanceof Error ? error.message : String(error)}`, 73)
  }
}
