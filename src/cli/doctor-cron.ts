// mpdl doctor --cron: mpdl starts itself as cron would and tells what is different there. Knows nothing of how a
// difference is mended: mpdl cron-line does that.

import { accessSync, constants } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { execa } from 'execa'
import * as v from 'valibot'
import { excerpt, printable } from '../core/printable.ts'
import { detectHardening } from '../isolation/hardening.ts'
import { stateDir } from '../places.ts'
import { checkConfiguration } from './check-configuration.ts'
import { CRON_PATH, CRON_UMASK, type CronUser, cronUser } from './cron-environment.ts'
import { type Finding, findingLines } from './doctor.ts'
import type { Texts } from './effective.ts'
import type { RawRunOptions } from './run-options.ts'
import { writeOut } from './stdout.ts'

/** What holds for a run, by what it is called. Secrets are masked. */
type Facts = Readonly<Record<string, string>>

const FACTS = v.record(v.string(), v.string())
const ANSWER_MS = 30_000
const SYSTEM_DIRS = ['/usr/sbin', '/sbin', '/usr/bin', '/bin', '/usr/lib']
const NOTHING = '-'
const PROBLEMS = 'problems'

/** For the one that asks: prints what holds where this process was started. */
export async function printFacts(list: string | undefined, command: Command, typed: Texts): Promise<number> {
  await writeOut(JSON.stringify(await factsHere(list, command, typed)))
  return 0
}

/** Prints what would differ; 1 when something would. `argv`: what was typed after `doctor`. */
export async function doctorCron(
  list: string | undefined,
  command: Command,
  typed: Texts,
  argv: readonly string[],
): Promise<number> {
  const user = cronUser()
  const [here, there] = [await factsHere(list, command, typed), await factsUnderCron(argv, user)]
  const findings = [
    ...('problem' in there ? [{ name: 'start', isGood: false, text: there.problem }] : differences(here, there.facts)),
    ...(await checkPath()),
    ...checkTools(),
    checkSystem('cron daemon', ['cron', 'crond'], 'there is none; install cron, or see mpdl cron-line --systemd'),
    checkSystem('mailer', ['sendmail'], 'no sendmail: what cron wants to mail is lost'),
  ]
  const width = Math.max(...findings.map(({ name }) => name.length))
  const shown = list === undefined ? 'LIST' : printable(list)
  await writeOut(
    [
      `the same words in a crontab of ${printable(user.name)}, compared with here:`,
      ...findings.flatMap((finding) => findingLines(finding, width, 'DIFF')),
      `mpdl cron-line ${shown} prints a line that takes along what is needed`,
      '',
    ].join('\n'),
  )
  return findings.every(({ isGood }) => isGood) ? 0 : 1
}

async function factsHere(list: string | undefined, command: Command, typed: Texts): Promise<Facts> {
  const { problems, lines } = await checkConfiguration(list, command, typed)
  const { dir, report, failedOut, metrics, cookieJar, netrcFile, cacert, cert, key, config } =
    command.opts<RawRunOptions>()
  const files = { report, failedOut, metrics, cookieJar, netrcFile, cacert, cert, key, config }
  const paths = Object.entries(files).flatMap(([name, given]) => {
    const named = [given].flat().filter((path) => typeof path === 'string')
    const option = command.options.find((each) => each.attributeName() === name)
    return named.length === 0 ? [] : [[`${option?.long}`, named.map((path) => printable(resolve(path))).join(', ')]]
  })
  return {
    ...(list === undefined ? {} : { list: printable(resolve(list)) }),
    'output directory': printable(resolve(dir)),
    state: printable(stateDir()),
    ...Object.fromEntries(lines.flatMap(factsIn)),
    ...Object.fromEntries(paths),
    'time zone': Intl.DateTimeFormat().resolvedOptions().timeZone,
    umask: octal(process.umask()),
    ...Object.fromEntries(
      ['NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS'].map((name) => [name, excerpt(process.env[name] || NOTHING)]),
    ),
    [PROBLEMS]: problems.length === 0 ? NOTHING : problems.join('; '),
  }
}

/** Of the lines that tell where things are, and of the table of options what counts: the value, whoever gave it. */
function factsIn(line: string): [string, string][] {
  const [, name, value] = /^(logs|configuration file|environment: \S+) (.*)$/.exec(line) ?? []
  if (name !== undefined && value !== undefined) return [[name, value]]
  const [option = '', ...rest] = line.split(/ {2,}/)
  return option === '' ? [] : [[option, rest.slice(0, -1).join(' ')]]
}

/** By a shell in the user's home with next to no environment and no terminal, as crontab(5) says. */
async function factsUnderCron(
  argv: readonly string[],
  { name, home }: CronUser,
): Promise<{ readonly facts: Facts } | { readonly problem: string }> {
  if (!isExecutable(home))
    return { problem: `the home ${printable(home)} cannot be entered; cron starts nothing there` }
  const program = [process.execPath, '--disable-sigusr1', resolve(process.argv[1] ?? '')]
  const words = ['-c', `umask ${octal(CRON_UMASK)} && exec "$0" "$@"`, ...program, 'doctor', '--cron-facts', ...argv]
  const { stdout, stderr, failed, exitCode, signal } = await execa('/bin/sh', words, {
    cwd: home,
    env: { HOME: home, LOGNAME: name, SHELL: '/bin/sh', PATH: CRON_PATH },
    extendEnv: false,
    stdin: 'ignore',
    timeout: ANSWER_MS,
    reject: false,
  })
  if (failed) {
    const end = `${signal ?? `exit ${exitCode}`}`
    return { problem: `mpdl does not start there: ${end} ${excerpt(stderr, 300)}`.trimEnd() }
  }
  return { facts: v.parse(FACTS, JSON.parse(stdout)) }
}

/** Options that are the same need no line each. */
function differences(here: Facts, there: Facts): Finding[] {
  const names = [...new Set([...Object.keys(here), ...Object.keys(there)])]
  const findings = names.map((name): Finding => {
    const [mine = NOTHING, its = NOTHING] = [here[name], there[name]]
    const isSame = mine === its
    // What is wrong everywhere is no less wrong.
    const isGood = isSame && (name !== PROBLEMS || mine === NOTHING)
    return { name, isGood, text: isSame ? mine : `${mine}; under cron ${its}` }
  })
  return findings.filter(({ name, isGood, text }) => !isGood || (!name.startsWith('--') && text !== NOTHING))
}

/** What a line finds that names no path. */
async function checkPath(): Promise<Finding[]> {
  const node = findIn(CRON_PATH.split(':'), 'node')
  const version = node === undefined ? '' : (await execa(node, ['--version'], { reject: false })).stdout
  const mpdl = findIn(CRON_PATH.split(':'), 'mpdl')
  return [
    {
      name: 'node',
      isGood: version === process.version,
      text:
        node === undefined
          ? `${process.version}; under cron none is in PATH, which is ${CRON_PATH}`
          : version === process.version
            ? version
            : `${process.version}; under cron ${printable(version) || 'one that does not start'} (${node})`,
    },
    {
      name: 'mpdl',
      isGood: mpdl !== undefined,
      text: mpdl ?? `not found by this name under cron, where PATH is ${CRON_PATH}`,
    },
  ]
}

function checkTools(): Finding[] {
  const { flock, setpriv, prlimit } = detectHardening()
  return Object.entries({ flock, setpriv, prlimit }).map(([name, path]) => ({
    name,
    isGood: path !== undefined,
    text: path ?? 'missing here and under cron; install util-linux',
  }))
}

function checkSystem(name: string, programs: readonly string[], problem: string): Finding {
  const [path] = programs.flatMap((program) => findIn(SYSTEM_DIRS, program) ?? [])
  return { name, isGood: path !== undefined, text: path ?? problem }
}

function findIn(dirs: readonly string[], name: string): string | undefined {
  return dirs.map((dir) => join(dir, name)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function octal(mask: number): string {
  return mask.toString(8).padStart(3, '0')
}
