// The command line: which commands there are and where each leads. One file per command beside this one.

import { Command, CommanderError, Option } from 'commander'
import { FAULTS } from '../core/fault.ts'
import { VERSION } from '../version.ts'
import { addRunOptions, FOREIGN_OPTIONS, type RawRunOptions } from './run-options.ts'
import { UsageError } from './usage-error.ts'
import { addVerifyOptions, type VerifyOptions } from './verify-options.ts'

const EXAMPLES = `
Examples:
  mpdl urls.txt                        a list: one URL a line, TAB between mirrors
  mpdl -d pdf https://example.com/a.pdf https://example.com/b.pdf
  zcat urls.gz | mpdl -j 16 -          from standard input
  mpdl --report night.json urls.txt    and a report for machines
  mpdl retry-failed                    what failed in the last run, once more

List format: one job a line; lines that begin with a space or TAB are its options:
  https://example.com/form.pdf
    out=tax/form.pdf
    checksum=sha-256=9f86d081…
  Also JSON Lines {"url": …}, lines of sha256sum (HEX  URL), and gzip of any of these.

Exit codes: 0 all well · 3 file · 4 network · 5 TLS · 6 authentication · 7 protocol · 8 HTTP status
  9 integrity · 10 killed · 11 crashed · 12 stopped early · 1 other · 64 usage · 65 bad list · 66 no list
  70 internal · 71 no processes · 73 cannot write · 78 configuration · 128+N signal N`

const REHEARSALS = `
Rehearsals (--inject KIND@LINE, or KIND@LINE* for every attempt):
${Object.entries(FAULTS)
  .map(([name, text]) => `  ${name.padEnd(12)} ${text}`)
  .join('\n')}`

const VERIFY_NOTES = `
Give what decided the names in the run: -d, -o, --names, --query-names, --on-clash.
Exit codes: 0 all is well · 1 something was found · 64 and above as for a run`

/** Runs the program and sets the exit code. Never throws. */
export async function main(argv: readonly string[]): Promise<void> {
  // Output that nobody reads any more ends output, never a download.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  // Node's own warnings (experimental modules) are not this program's words; cron would mail them.
  process.removeAllListeners('warning')
  process.exit(await run(argv))
}

async function run(argv: readonly string[]): Promise<number> {
  const outcome = { code: 0 }
  const program = buildProgram(argv, outcome)
  try {
    requireCurrentDirectory()
    await program.parseAsync(argv, { from: 'node' })
    return outcome.code
  } catch (error) {
    if (error instanceof UsageError) {
      for (const line of error.message.split('\n')) process.stderr.write(`mpdl: ${line}\n`)
      return error.exitCode
    }
    // Commander has said it already; 0 is --help and --version.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 64
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    process.stderr.write(`mpdl: internal error, please report it:\n${text}\n`)
    return 70
  }
}

/** Everything relative hangs on it, and Node's own words for its lack help nobody. */
function requireCurrentDirectory(): void {
  try {
    process.cwd()
  } catch {
    throw new UsageError('the current directory is gone; change to one that exists', 73)
  }
}

function buildProgram(argv: readonly string[], outcome: { code: number }): Command {
  const all = argv.includes('--help-all')
  const program = new Command('mpdl')
    .description('The downloader one can leave alone: a list of URLs, one child process each, the truth at the end.')
    .version(`mpdl ${VERSION}`, '-V, --version')
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({ outputError: (text, write) => write(explainForeign(text).replace(/^error: /, 'mpdl: ')) })
    .enablePositionalOptions()

  const get = addRunOptions(
    program
      .command('get', { isDefault: true })
      .description('download a list, URLs, or - for standard input (the default command)'),
    all,
  )
    .argument('[LIST|URL...]', 'a list file, URLs, or -')
    .option('--help-all', 'help with the options few people need')
    .addHelpText('after', all ? `${EXAMPLES}\n${REHEARSALS}` : EXAMPLES)
    .action(async (operands: string[], options: RawRunOptions & { helpAll?: boolean }, command: Command) => {
      if (options.helpAll === true) return command.outputHelp()
      const { get: download } = await import('./get.ts')
      outcome.code = await download({ operands, options, argv: argv.slice(2) })
    })

  // `mpdl --help` is what most people type, and downloading is what most people want to know about.
  program.helpInformation = () =>
    `${get.helpInformation().replace('Usage: mpdl get', 'Usage: mpdl [get]')}\n${commandsText(program)}`
  program.addHelpText('after', all ? `${EXAMPLES}\n${REHEARSALS}` : EXAMPLES)

  const logDir = () => new Option('--log-dir <DIR>', 'where run logs are').env('MPDL_LOG_DIR')
  program
    .command('report')
    .description('render a past run again')
    .argument('[RUN|FILE]', 'a run, the beginning of its name, a log file, or last', 'last')
    .addOption(new Option('--format <HOW>', 'how').choices(['text', 'json']).default('text'))
    .addOption(logDir())
    .action(async (wanted: string, options: { format: 'text' | 'json'; logDir?: string }) => {
      const { report } = await import('./report.ts')
      outcome.code = await report(wanted, options)
    })
  program
    .command('explain')
    .description('the timeline of one job: attempts, answers, waits, signals')
    .argument('<[RUN] LINE|JOB...>', 'a run (by default the last), and a line of its list or a job id')
    .addOption(logDir())
    .action(async (words: string[], options: { logDir?: string }) => {
      const { explain } = await import('./explain.ts')
      outcome.code = await explain(words, options)
    })
  addRunOptions(
    program
      .command('retry-failed')
      .description('read the list of a past run again and run what failed or did not start'),
    all,
  )
    .argument('[RUN]', 'a run, the beginning of its name, or last', 'last')
    .action(async (wanted: string, _options: RawRunOptions, command: Command) => {
      const { retryFailed } = await import('./retry-failed.ts')
      outcome.code = await retryFailed(wanted, command, argv.slice(2))
    })
  addVerifyOptions(
    program.command('verify').description('what is on disk against checksums and the last run, without network'),
  )
    .argument('<LIST|URL...>', 'the list file of a run, URLs, or -')
    .addHelpText('after', VERIFY_NOTES)
    .action(async (operands: string[], options: VerifyOptions) => {
      const { verify } = await import('./verify.ts')
      outcome.code = await verify(operands, options)
    })
  program
    .command('doctor')
    .description('what this machine offers, proven by trying')
    .action(async () => {
      const { doctor } = await import('./doctor.ts')
      outcome.code = await doctor()
    })
  for (const command of program.commands) command.exitOverride().showSuggestionAfterError()
  return program
}

function commandsText(program: Command): string {
  const rows = program.commands
    .filter((command) => command.name() !== 'get')
    .map((command) => `  ${command.name().padEnd(14)} ${command.description()}`)
  return `Other commands (mpdl COMMAND --help):\n${rows.join('\n')}\n`
}

function explainForeign(text: string): string {
  const option = /unknown option '([^']+)'/.exec(text)?.[1]
  const key = option?.startsWith('--') === true ? option.split('=')[0] : option?.slice(0, 2)
  const hint = key === undefined ? undefined : FOREIGN_OPTIONS[key]
  return hint === undefined ? text : `${text.split('\n')[0]}; ${hint}\n`
}
