// Decides which value each option gets: what was typed, else the environment, else the configuration file, else the
// default. Knows nothing of what the options mean.

import type { Command } from 'commander'
import { type ConfigFile, findConfigFile, readConfigFile } from './config-file.ts'
import { environmentSayings, fileSayings, type Saying } from './config-keys.ts'
import type { Texts } from './effective.ts'
import { optionValue } from './option-value.ts'
import { maskValue } from './redact-argv.ts'
import { EXCLUSIVE, type RawRunOptions } from './run-options.ts'
import { UsageError } from './usage-error.ts'

export interface Configured {
  /** What is wrong, a sentence each; what is right holds nevertheless. */
  readonly problems: readonly string[]
  readonly file: ConfigFile | undefined
  readonly texts: Texts
}

/** All that holds for a run. */
export interface RunOptions {
  readonly options: RawRunOptions
  /** What was not typed, as it would have been; redacted. */
  readonly untyped: readonly string[]
}

/** The options of a run with what environment and file add. Throws a UsageError (78) with all that is wrong. */
export async function configured(command: Command, list: string | undefined): Promise<RunOptions> {
  const { problems, texts } = await configure(command, list)
  if (problems.length > 0) throw new UsageError(problems.join('\n'), 78)
  return { options: command.opts<RawRunOptions>(), untyped: asTyped(command, texts) }
}

function asTyped(command: Command, texts: Texts): string[] {
  return command.options.flatMap((option) => {
    const given: unknown = command.getOptionValue(option.attributeName())
    const said = texts.get(option.attributeName()) ?? []
    if (option.required)
      return typeof given === 'boolean' ? [] : said.map((text) => `${option.long}=${maskValue(option, text)}`)
    return said.length > 0 && given === !option.negate ? [`${option.long}`] : []
  })
}

/**
 * Gives `command`, whose command line is parsed, what environment and file say of options that were not typed. The
 * source of each value is then `cli`, `default`, or where it stands. `list`: the path of a list file, beside which a
 * file may be.
 */
export async function configure(command: Command, list: string | undefined): Promise<Configured> {
  const problems: string[] = []
  const texts = new Map<string, readonly string[]>()
  addLayer(command, environmentSayings(process.env), problems, texts)
  let file: ConfigFile | undefined
  try {
    file = await fileFor(command.getOptionValue('config'), list)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    problems.push(error.message)
  }
  if (file !== undefined) addLayer(command, fileSayings(file), problems, texts)
  return { problems, file, texts }
}

async function fileFor(config: unknown, list: string | undefined): Promise<ConfigFile | undefined> {
  if (typeof config === 'string') return await readConfigFile(config)
  return config === false || list === undefined ? undefined : await findConfigFile(list)
}

/** Layers come from the highest to the lowest: what is set already stays. Everything is checked all the same. */
function addLayer(
  command: Command,
  layer: readonly Saying[],
  problems: string[],
  texts: Map<string, readonly string[]>,
): void {
  /** Where this layer itself set an option. */
  const own = new Map<string, string>()
  for (const saying of layer) {
    if ('problem' in saying) {
      problems.push(saying.problem)
      continue
    }
    const { option, given, where, subject } = saying
    const name = option.attributeName()
    if (!command.options.some((taken) => taken.attributeName() === name)) continue
    const read = optionValue(option, given)
    if (!read.ok) {
      problems.push(subject + read.problem)
      continue
    }
    const rival = read.value === true ? rivalOf(name, command) : undefined
    const clash = own.get(rival ?? name)
    if (clash !== undefined) problems.push(`${subject} contradicts ${clash}; keep one`)
    else if (rival === undefined && !isSet(name, command)) {
      command.setOptionValueWithSource(name, read.value, where)
      texts.set(name, [given].flat().map(String))
      own.set(name, where)
    }
  }
}

/** The option that is on and excludes this one. */
function rivalOf(name: string, command: Command): string | undefined {
  if (!EXCLUSIVE.has(name)) return undefined
  return [...EXCLUSIVE].find((other) => other !== name && command.getOptionValue(other) === true)
}

/** By whatever source but the default. */
export function isSet(name: string, command: Command): boolean {
  const source: string | undefined = command.getOptionValueSource(name)
  return source !== undefined && source !== 'default'
}
