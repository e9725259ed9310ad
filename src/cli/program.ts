// The command line: which commands there are and where each leads. One file per command beside this one.

import { Command, CommanderError, Option } from 'commander'
import { FAULTS } from '../core/fault.ts'
import { VERSION } from '../version.ts'
import { addCompareOptions, ORIGIN_COMMAND } from './compare-options.ts'
import type { RunOptions } from './configure.ts'
import { CRON_HEADING, type CronLineOptions, cronSchedule } from './cron-options.ts'
import { hearTexts, type Texts } from './effective.ts'
import { type Ending, leave } from './leave.ts'
import { redactArgv } from './redact-argv.ts'
import type { ReportFormat } from './render.ts'
import { addRunOptions, FOREIGN_OPTIONS, HELP_GROUP, type RawRunOptions } from './run-options.ts'
import type { RunsOptions } from './runs.ts'
import { UsageError } from './usage-error.ts'
import { duration, integer } from './values.ts'
import { addVerifyOptions, type VerifyOptions } from './verify-options.ts'

const EXAMPLES = `
Examples:
  mpdl urls.txt                        a list: one URL a line, TAB between mirrors
  mpdl -d pdf https://example.com/a.pdf https://example.com/b.pdf
  zcat urls.gz | mpdl -j 16 -          from standard input
  mpdl --report night.json urls.txt    and a report for machines
  mpdl -u me -N -w 2s urls.txt         log in (the password is asked for), what changed only, politely
  mpdl retry-failed                    what failed in the last run, once more

List format: one job a line; lines that begin with a space or TAB are its options:
  https://example.com/form.pdf
    out=tax/form.pdf
    checksum=sha-256=9f86d081…
  Also JSON Lines {"url": …}, lines of sha256sum (HEX  URL), and gzip of any of these.

Exit codes: 0 all well · 3 file · 4 network · 5 TLS · 6 authentication · 7 protocol · 8 HTTP status
  9 integrity · 10 killed · 11 crashed · 12 stopped early · 1 other · 64 usage · 65 bad list · 66 no list
  70 internal · 71 no processes · 73 cannot write · 75 already running · 78 configuration · 128+N signal N`

const CONFIGURATION = `
Configuration: every option can also stand, without its dashes, in mpdl.toml beside the list or in the file of --config
  (jobs = 16, force = true, header = ["A: b"]), or in the environment as MPDL_JOBS=16. The command line wins, then the
  environment, then the file; mpdl doctor LIST shows what holds and why.`

const REHEARSALS = `
Rehearsals (--inject KIND@LINE, or KIND@LINE* for every attempt):
${Object.entries(FAULTS)
  .map(([name, text]) => `  ${name.padEnd(12)} ${text}`)
  .join('\n')}`

/** A list may have its run once a month, or a year. */
const MOST_AGE_MS = 3650 * 86_400_000

const VERIFY_NOTES = `
Give what decided the names in the run: -d, -o, --names, --query-names, --on-clash.
Exit codes: 0 all is well · 1 something was found · 64 and above as for a run`

/** Runs the program and sets the exit code. Never throws. */
export async function main(argv: readonly string[]): Promise<void> {
  // Output that nobody reads any more ends output, never a download.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  // Node's own warnings (experimental modules) are not this program's words; cron would mail them.
  process.removeAllListeners('warning')
  leave(await run(argv))
}

async function run(argv: readonly string[]): Promise<Ending> {
  hideSecrets(argv)
  const outcome: Outcome = { ending: { code: 0 } }
  const program = buildProgram(argv, outcome)
  try {
    requireCurrentDirectory()
    await program.parseAsync(argv, { from: 'node' })
    return outcome.ending
  } catch (error) {
    if (error instanceof UsageError) {
      for (const line of error.message.split('\n')) process.stderr.write(`mpdl: ${line}\n`)
      return { code: error.exitCode }
    }
    // Commander has said it already; 0 is --help and --version.
    if (error instanceof CommanderError) return { code: error.exitCode === 0 ? 0 : 64 }
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    process.stderr.write(`mpdl: internal error, please report it:\n${text}\n`)
    return { code: 70 }
  }
}

/** What the command that was typed leaves here. */
interface Outcome {
  ending: Ending
}

/** From `ps` and its like, which show everybody what was typed; until here it stood there. */
function hideSecrets(argv: readonly string[]): void {
  const typed = argv.slice(2)
  const shown = redactArgv(typed)
  if (shown.some((word, i) => word !== typed[i])) process.title = ['mpdl', ...shown].join(' ')
}

/** Everything relative hangs on it, and Node's own words for its lack help nobody. */
function requireCurrentDirectory(): void {
  try {
    process.cwd()
  } catch {
    throw new UsageError('the current directory is gone; change to one that exists', 73)
  }
}

function buildProgram(argv: readonly string[], outcome: Outcome): Command {
  const all = argv.includes('--help-all')
  const notes = all ? `${EXAMPLES}\n${CONFIGURATION}\n${REHEARSALS}` : EXAMPLES
  // Few of a hundred options are ever asked for: only a command that was typed gets its own.
  const addOptions = (command: Command) => (argv.includes(command.name()) ? addRunOptions(command, all) : command)
  const program = new Command('mpdl')
    .description('The downloader one can leave alone: a list of URLs, one child process each, the truth at the end.')
    .version(`mpdl ${VERSION}`, '-V, --version')
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({ optionDescription })
    .configureOutput({ outputError: (text, write) => write(explainForeign(text).replace(/^error: /, 'mpdl: ')) })
    .enablePositionalOptions()

  const get = addRunOptions(
    program
      .command('get', { isDefault: true })
      .description('download a list, URLs, or - for standard input (the default command)'),
    all,
  )
    .argument('[LIST|URL...]', 'a list file, URLs, or -')
    .addOption(new Option('--help-all', 'with the options that few people need').helpGroup(HELP_GROUP))
    .addHelpText('after', notes)
    .action(async (operands: string[], options: RawRunOptions & { helpAll?: boolean }, command: Command) => {
      if (options.helpAll === true) return command.outputHelp()
      const { get: download } = await import('./get.ts')
      outcome.ending = await download({
        operands,
        ...(await optionsOf(command, operands)),
        argv: argv.slice(2),
      })
    })

  // `mpdl --help` is what most people type, and downloading is what most people want to know about.
  program.helpInformation = () =>
    `${get.helpInformation().replace('Usage: mpdl get', 'Usage: mpdl [get]')}\n${commandsText(program)}`
  program.addHelpText('after', notes)

  const compared = program
    .command('compare')
    .description('the same list under each way to keep downloads apart: what it costs, what it survives')
  const passed = addCompareOptions(compared, all)
  compared
    .argument('[LIST|URL...]', 'without one: fifty made-up files from an origin of its own')
    .action(async (operands: string[], _options: unknown, command: Command) => {
      const { compare } = await import('./compare.ts')
      outcome.ending = { code: await compare({ operands, command, passed, argv: argv.slice(2) }) }
    })
  program.command(ORIGIN_COMMAND, { hidden: true }).action(async () => {
    const { serveOrigin } = await import('../compare/origin.ts')
    await serveOrigin()
  })
  const logDir = () => new Option('--log-dir <DIR>', 'where run logs are').env('MPDL_LOG_DIR')
  program
    .command('report')
    .description('render a past run again')
    .argument('[RUN|FILE]', 'a run, the beginning of its name, a log file, or last', 'last')
    .addOption(new Option('--format <HOW>', 'text, json or html').choices(['text', 'json', 'html']).default('text'))
    .addOption(logDir())
    .action(async (wanted: string, options: { format: ReportFormat; logDir?: string }) => {
      const { report } = await import('./report.ts')
      outcome.ending = { code: await report(wanted, options) }
    })
  program
    .command('explain')
    .description('the timeline of one job: attempts, answers, waits, signals')
    .argument('<[RUN] LINE|JOB...>', 'a run (by default the last), and a line of its list or a job id')
    .addOption(logDir())
    .action(async (words: string[], options: { logDir?: string }) => {
      const { explain } = await import('./explain.ts')
      outcome.ending = { code: await explain(words, options) }
    })
  program
    .command('runs')
    .description('the last runs of a list: when, how long, what came of it')
    .argument('[LIST]', 'a list file; without it the runs of all lists')
    .addOption(
      new Option('--max-age <DUR>', 'silent, but exit 1 when the last good run ended longer ago')
        .argParser(duration(1, MOST_AGE_MS))
        .conflicts('json'),
    )
    .addOption(new Option('-d, --dir <DIR>', 'only those into this directory'))
    .addOption(new Option('-n, --max-count <N>', 'at most so many').default(10).argParser(integer(1, 100_000)))
    .addOption(new Option('--json', 'one JSON object a line on standard output'))
    .addOption(logDir())
    .action(async (list: string | undefined, options: RunsOptions) => {
      const { runs } = await import('./runs.ts')
      outcome.ending = { code: await runs(list, options) }
    })
  addOptions(
    program
      .command('retry-failed')
      .description('read the list of a past run again and run what failed or did not start'),
  )
    .argument('[RUN]', 'a run, the beginning of its name, or last', 'last')
    .action(async (wanted: string, _options: RawRunOptions, command: Command) => {
      const { retryFailed } = await import('./retry-failed.ts')
      outcome.ending = await retryFailed(wanted, command, argv.slice(2))
    })
  addVerifyOptions(
    program.command('verify').description('what is on disk against checksums and the last run, without network'),
  )
    .argument('<LIST|URL...>', 'the list file of a run, URLs, or -')
    .addHelpText('after', VERIFY_NOTES)
    .action(async (operands: string[], _options: VerifyOptions, command: Command) => {
      const { verify } = await import('./verify.ts')
      outcome.ending = { code: await verify(operands, (await optionsOf(command, operands)).options) }
    })
  const examined = addOptions(
    program.command('doctor').description('what this machine offers, proven by trying, and which options hold'),
  )
  const typed = hearTexts(examined)
  examined
    .addOption(new Option('--cron', 'what would differ under cron, by trying'))
    .addOption(new Option('--cron-facts').hideHelp())
    .argument('[LIST]', 'a list file')
    .action(async (list: string | undefined, options: DoctorOptions) => {
      outcome.ending = { code: await examine(list, options, examined, typed, argv.slice(3)) }
    })
  const scheduled = addOptions(
    program.command('cron-line').description('a crontab line for this very run that works as pasted, or systemd units'),
  )
  const scheduledTexts = hearTexts(scheduled)
  scheduled
    .addOption(
      new Option('--schedule <CRON>', 'when: five fields, or @daily and the like (default: once a night)')
        .argParser(cronSchedule)
        .helpGroup(CRON_HEADING),
    )
    .addOption(new Option('--systemd', 'a service and a timer instead').helpGroup(CRON_HEADING))
    .argument('<LIST|URL...>', 'a list file or URLs')
    .action(async (operands: string[], _options: CronLineOptions, command: Command) => {
      const { cronLine } = await import('./cron-line.ts')
      outcome.ending = { code: await cronLine({ operands, command, typed: scheduledTexts, argv: argv.slice(2) }) }
    })
  for (const command of program.commands) command.exitOverride().showSuggestionAfterError()
  return program
}

interface DoctorOptions extends RawRunOptions {
  readonly cron?: boolean
  /** Asked by the other one, which is not under cron. */
  readonly cronFacts?: boolean
}

async function examine(
  list: string | undefined,
  { cron, cronFacts }: DoctorOptions,
  command: Command,
  typed: Texts,
  argv: readonly string[],
): Promise<number> {
  if (cron !== true && cronFacts !== true) return (await import('./doctor.ts')).doctor(list, command, typed)
  const { doctorCron, printFacts } = await import('./doctor-cron.ts')
  return cronFacts === true ? printFacts(list, command, typed) : doctorCron(list, command, typed, argv)
}

/** What was typed, over environment and configuration file. */
async function optionsOf(command: Command, operands: readonly string[]): Promise<RunOptions> {
  const [{ configured }, { listFileOf }] = await Promise.all([import('./configure.ts'), import('./list-source.ts')])
  return await configured(command, listFileOf(operands))
}

/** Choices stand in the descriptions already, said better. */
function optionDescription({ description, defaultValueDescription, defaultValue }: Option): string {
  const byDefault = defaultValueDescription ?? defaultValue
  return byDefault === undefined ? description : `${description} (default: ${byDefault})`
}

function commandsText(program: Command): string {
  const rows = program.commands
    .filter((command) => !['get', ORIGIN_COMMAND].includes(command.name()))
    .map((command) => `  ${command.name().padEnd(14)} ${command.description()}`)
  return `Other commands (mpdl COMMAND --help):\n${rows.join('\n')}\n`
}

/** Of an unknown option no value is repeated: it may be a password. */
function explainForeign(text: string): string {
  const [, start = '', option = '', rest = ''] =
    /^(.*?unknown option ')(--[^=']*|-.).*?'(\n\(Did you mean.*)?\s*$/s.exec(text) ?? []
  if (option === '') return text
  const hint = FOREIGN_OPTIONS[option]
  return `${start}${option}'${hint === undefined ? rest.trimEnd() : `; ${hint}`}\n`
}
