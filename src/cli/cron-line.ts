// mpdl cron-line: the run that was typed, as a crontab line or as systemd units that work as pasted. Composes: what a
// schedule means and how words are written is decided elsewhere.

import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { Command, CommanderError } from 'commander'
import { type CronSchedule, deadlineFor, parseSchedule, shortestGapMs } from '../core/cron-schedule.ts'
import { cronWord, whyNoWord, whyShortLived } from '../core/cron-word.ts'
import { hash64 } from '../core/hash.ts'
import { excerpt, printable } from '../core/printable.ts'
import { formatDuration, parseDuration } from '../core/units.ts'
import { configured } from './configure.ts'
import { CRON_UMASK, cronUser, secretsTyped, type Variable, variablesToCarry } from './cron-environment.ts'
import type { CronLineOptions } from './cron-options.ts'
import type { Texts } from './effective.ts'
import { requireProgram } from './hook.ts'
import { listFileOf, listKeyOf, listPathOf, nameOf, sourceOf } from './list-source.ts'
import { openList } from './open-list.ts'
import { ownFilesOf } from './own-files.ts'
import { redactArgv } from './redact-argv.ts'
import { addRunOptions } from './run-options.ts'
import { settingsOf } from './settings-of.ts'
import { writeOut } from './stdout.ts'
import { unitsFor } from './systemd-units.ts'
import { UsageError } from './usage-error.ts'

export interface CronLineRequest {
  readonly operands: readonly string[]
  /** Its command line is parsed. */
  readonly command: Command
  /** The texts of the command line. */
  readonly typed: Texts
  readonly argv: readonly string[]
}

type Warn = (text: string) => void

/** Longer commands Debian's cron refuses, and others cut. */
const MOST_COMMAND_BYTES = 998

/** Prints it. Throws a UsageError for what no run could use, nor cron. */
export async function cronLine({ operands, command, typed, argv }: CronLineRequest): Promise<number> {
  const warn: Warn = (text) => process.stderr.write(`mpdl: ${text}\n`)
  await configured(command, listFileOf(operands))
  const options = command.opts<CronLineOptions>()
  const source = sourceOf(operands)
  requireLasting(operands)
  const files = await requireRunnable(operands, options, warn)

  const user = cronUser()
  const key = listKeyOf(source, options.dir) ?? ''
  const schedule = options.schedule ?? nightly(key)
  const variables = variablesToCarry(options, user)
  const deadline = deadlineToAdd(schedule, options.runDeadline, warn)
  const run = runWords(argv.slice(1), deadline, command)
  const program = resolve(process.argv[1] ?? '')
  // Otherwise a SIGUSR1 in its first moments would open Node's debugger.
  const words = [process.execPath, '--disable-sigusr1', program, ...run]
  requireWords([process.cwd(), ...words], variables)
  for (const path of [process.execPath, program]) {
    const why = whyShortLived(path)
    if (why !== undefined) warn(`${printable(path)} ${why}; the line will need to be printed again then`)
  }
  warnOfSecrets([...secretsTyped(command, typed, operands), ...secretVariables(variables)], warn)
  const listPath = listPathOf(operands)
  const title = listPath === null ? new URL(operands[0] ?? '').hostname : excerpt(nameOf(source))
  const started = { words, variables, directory: process.cwd(), umask: process.umask() }
  if (options.systemd === true) {
    const runDeadlineMs = options.runDeadline ?? parseDuration(deadline ?? '')
    const reads = [program, ...files]
    await writeOut(unitsFor({ ...started, options, runDeadlineMs, user, schedule, title, listPath, key, reads }))
    return 0
  }
  await writeOut(`# mpdl ${title}${speechOf(options)}\n${schedule.text} ${commandOf(started)}\n`)
  return 0
}

/** Some options make every run say something, and cron mails whatever is said. */
function speechOf({ json, verbose, dryRun, progress }: CronLineOptions): string {
  const isTalkative = json === true || verbose === true || dryRun === true || progress === 'lines'
  return isTalkative ? '' : ': mail comes only when something is wrong'
}

interface CronRun {
  readonly words: readonly string[]
  readonly variables: readonly Variable[]
  readonly directory: string
  readonly umask: number
}

function commandOf({ words, variables, directory, umask }: CronRun): string {
  const assignments = variables.map(({ name, value }) => `${name}=${cronWord(value)}`)
  const command = [
    `cd ${cronWord(directory)}`,
    ...(umask === CRON_UMASK ? [] : [`umask ${umask.toString(8).padStart(3, '0')}`]),
    [...assignments, ...words.map(cronWord)].join(' '),
  ].join(' && ')
  const sizeBytes = Buffer.byteLength(command)
  if (sizeBytes > MOST_COMMAND_BYTES) {
    throw new UsageError(
      `the command takes ${sizeBytes} bytes, and cron allows ${MOST_COMMAND_BYTES}; move options into a file and say --config FILE`,
    )
  }
  return command
}

/** A hundred lists that nobody gave a time do not start at once. */
function nightly(key: string): CronSchedule {
  const parsed = parseSchedule(`${hash64(key)[0] % 60} 2 * * *`)
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.schedule
}

/** What is there tonight as well. */
function requireLasting([first = '']: readonly string[]): void {
  if (first === '-') throw new UsageError('cron gives nothing on standard input; give a list file')
  const seen = listFileOf([first]) === undefined ? undefined : statSync(first, { throwIfNoEntry: false })
  if (seen !== undefined && !seen.isFile() && !seen.isDirectory()) {
    throw new UsageError(`${first} is no file, and what comes through it will not be there at night; give a list file`)
  }
}

/** Whatever would stop a run is better said now than at night. Returns which files the run needs. */
async function requireRunnable(operands: readonly string[], options: CronLineOptions, warn: Warn): Promise<string[]> {
  if (options.onFinish !== undefined) requireProgram(options.onFinish)
  const source = sourceOf(operands)
  try {
    const list = await openList(source, options, 'downloaded')
    list.close()
  } catch (error) {
    if (!(error instanceof UsageError) || error.exitCode !== 65 || source.kind !== 'file') throw error
    for (const line of error.message.split('\n')) warn(line)
  }
  const files = ownFilesOf(options, listPathOf(operands))
  const { netrc } = await settingsOf(options, async (user) => {
    const hint = `keep user = "${printable(user)}:PASSWORD" in a file of your own for --config FILE`
    throw new UsageError(`-u ${printable(user)} asks for the password on a terminal, and cron has none; ${hint}`)
  })
  return netrc.isOn ? [...files, resolve(netrc.file)] : files
}

function requireWords(words: readonly string[], variables: readonly Variable[]): void {
  const texts = [
    ...redactArgv(words).map((shown, i) => ({ subject: printable(shown), text: words[i] ?? '' })),
    ...variables.map(({ name, value }) => ({ subject: name, text: value })),
  ]
  for (const { subject, text } of texts) {
    const why = whyNoWord(text)
    if (why !== undefined) throw new UsageError(`${subject} ${why}; rename it, or keep it in a file for --config FILE`)
  }
}

/** Where nobody said one, so that a run is over before the next one. `givenMs`: by whatever source. */
function deadlineToAdd({ text, times }: CronSchedule, givenMs: number | undefined, warn: Warn): string | undefined {
  if (times === undefined) {
    if (givenMs === undefined) warn(`${text} has no period: the run has no deadline unless you give --run-deadline DUR`)
    return undefined
  }
  const gapMs = shortestGapMs(times)
  if (givenMs === undefined) return deadlineFor(gapMs)
  if (givenMs >= gapMs) {
    const [long, short] = [givenMs, gapMs].map(formatDuration)
    warn(
      `--run-deadline ${long} leaves no time before the next start after ${short}, which would find this run at work`,
    )
  }
  return undefined
}

/** Of the command line what belongs to a run, as it was typed. */
function runWords(typed: readonly string[], deadline: string | undefined, command: Command): string[] {
  const kept: string[] = []
  for (let i = 0; i < typed.length; i++) {
    const word = typed[i] ?? ''
    if (word === '--') {
      kept.push(...typed.slice(i))
      break
    }
    if (word === '--schedule') i++
    else if (word !== '--systemd' && !word.startsWith('--schedule=')) {
      kept.push(word)
      if (takesNext(word)) kept.push(typed[++i] ?? '')
    }
  }
  const words = [...(deadline === undefined ? [] : ['--run-deadline', deadline]), ...kept]
  // A list may have the name of a command.
  const isCommand = command.parent?.commands.some((each) => each.name() === words[0]) ?? false
  return isCommand ? ['get', ...words] : words
}

/** Whether its value is the next word: by the parser itself, which says so when there is none. */
function takesNext(word: string): boolean {
  const parser = addRunOptions(new Command(), false)
    .exitOverride()
    .configureOutput({ outputError: () => {} })
  try {
    parser.parseOptions([word])
    return false
  } catch (error) {
    return error instanceof CommanderError && error.code === 'commander.optionMissingArgument'
  }
}

function secretVariables(variables: readonly Variable[]): string[] {
  return variables.filter(({ isSecret }) => isSecret).map(({ name }) => name)
}

function warnOfSecrets(names: readonly string[], warn: Warn): void {
  if (names.length === 0) return
  warn(
    `${names.join(', ')}: a secret will stand in the crontab, in ps and in the subject of mails; better keep it in a file (chmod 600), a URL in a list and an option for --config FILE`,
  )
}
