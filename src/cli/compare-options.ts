// The options of `mpdl compare`: its own, and those of a run that its subjects are given as they were typed. Knows
// nothing of what is done with them.

import { tmpdir } from 'node:os'
import { type Command, InvalidArgumentError, Option, Command as OptionBag } from 'commander'
import { FAULT_KINDS } from '../compare/fault-kinds.ts'
import { COMPARE_MODES, type CompareMode } from '../compare/result.ts'
import type { Fault } from '../core/fault.ts'
import { variableOf } from './config-keys.ts'
import { addRunOptions, type RawRunOptions, REPEATABLE, SECRET } from './run-options.ts'
import { integer } from './values.ts'

export interface CompareOptions {
  readonly modes: readonly CompareMode[]
  readonly repeat: number
  readonly faults?: boolean
  readonly fault?: readonly Fault[]
  readonly demos?: boolean
  readonly dir: string
  readonly json?: boolean
  readonly report?: readonly string[]
  readonly verbose?: boolean
  readonly quiet?: boolean
}

/** Of a run, and decided here for each subject. */
const DECIDED: ReadonlySet<string> = new Set<keyof RawRunOptions>([
  'dir',
  'isolate',
  'inject',
  'quiet',
  'verbose',
  'progress',
  'json',
  'report',
  'failedOut',
  'notify',
  'metrics',
  'onFinish',
  'onFinishTimeout',
  'lockWait',
  'dryRun',
  'logDir',
  'logKeep',
  'log',
])

/** The hidden command that is the sample's origin: a process of its own needs a way in. */
export const ORIGIN_COMMAND = 'compare-origin'

const HEADING = 'Comparing:'
const NOTE = `
Options that say how to download (-j, --max-per-host, -H, -u, --proxy … as in
mpdl --help) hold for every run.`

/** What the subjects are given, gathered while the command line is parsed. */
export interface Passed {
  readonly words: string[]
  /** Those whose value nobody else may read, as variables. */
  readonly environment: Record<string, string>
}

export function addCompareOptions(command: Command, all: boolean): Passed {
  for (const option of ownOptions()) command.addOption(option.helpGroup(HEADING))
  const passed: Passed = { words: [], environment: {} }
  for (const option of addRunOptions(new OptionBag(), true).options) {
    if (DECIDED.has(option.attributeName())) continue
    option.hidden = !all
    command.addOption(option)
    command.on(`option:${option.name()}`, (text?: string | null) => {
      if (typeof text !== 'string') passed.words.push(`--${option.name()}`)
      else if (!SECRET.has(option.attributeName())) passed.words.push(`--${option.name()}=${text}`)
      else {
        const variable = variableOf(option.name())
        const earlier = REPEATABLE.has(option.attributeName()) ? passed.environment[variable] : undefined
        passed.environment[variable] = earlier === undefined ? text : `${earlier}\n${text}`
      }
    })
  }
  command.addHelpText('after', NOTE)
  return passed
}

function ownOptions(): Option[] {
  const all = COMPARE_MODES.join(',')
  return [
    new Option('--modes <MODES>', 'which ones, of these').default(COMPARE_MODES, all).argParser(modes),
    new Option('--repeat <N>', 'rounds that count, after one to warm up; 0: none, only --faults and --demos')
      .default(5)
      .argParser(integer(0, 1000)),
    new Option('--faults', 'let one download go wrong in fifteen ways under each mode, and --demos'),
    new Option('--fault <KINDS>', 'in these ways only: spin,segv').argParser(faults),
    new Option('--demos', 'work for the processor, a lock whose holder is killed, one file by many connections'),
    new Option('-d, --dir <DIR>', 'where the subjects write; emptied afterwards').default(tmpdir(), 'temporary files'),
    new Option('--json', 'the comparison as JSON on standard output'),
    new Option('--report <FILE>', 'write the comparison to FILE.json or FILE.html; repeatable').argParser(reportFile),
    new Option('-q, --quiet', 'no progress').conflicts('verbose'),
    new Option('-v, --verbose', 'a line for each run'),
  ]
}

/** From the strongest to the weakest, whatever the order they were named in. */
function modes(text: string): CompareMode[] {
  const named = text.split(',')
  const known = COMPARE_MODES.filter((mode) => named.includes(mode))
  if (known.length !== named.length) {
    throw new InvalidArgumentError(`allowed are ${COMPARE_MODES.join(', ')}, with commas between, each once.`)
  }
  return known
}

function faults(text: string): Fault[] {
  const named = text.split(',')
  const kinds = FAULT_KINDS.map(({ fault }) => fault)
  const known = kinds.filter((fault) => named.includes(fault))
  if (known.length !== named.length) {
    throw new InvalidArgumentError(`allowed are ${kinds.join(', ')}, with commas between, each once.`)
  }
  return known
}

function reportFile(text: string, earlier: readonly string[] = []): string[] {
  if (!/\.(json|html)$/.test(text)) throw new InvalidArgumentError('allowed are names that end in .json or .html.')
  return [...earlier, text]
}
