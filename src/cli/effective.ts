// The options of a run as they hold: each with its value, secrets masked, and where it comes from. Knows nothing of
// whether they can be used.

import type { Command, Option } from 'commander'
import { printable } from '../core/printable.ts'
import { maskValue } from './redact-argv.ts'
import { RUN_OPTIONS } from './run-options.ts'

/** What was written for an option, by its name inside the program. */
export type Texts = ReadonlyMap<string, readonly string[]>

/** Filled when the command line is parsed: commander keeps what a text means, and people know what they wrote. */
export function hearTexts(command: Command): Texts {
  const texts = new Map<string, string[]>()
  for (const option of command.options) {
    const name = option.attributeName()
    command.on(`option:${option.name()}`, (text: string | null) => {
      texts.set(name, [...(texts.get(name) ?? []), text ?? 'yes'])
    })
  }
  return texts
}

/** A table of three columns: those that somebody set, then the others. */
export function effectiveLines(command: Command, typed: Texts, configured: Texts): string[] {
  const rows = command.options
    .filter((option) => RUN_OPTIONS.some((known) => known.name() === option.name()))
    .map((option) => rowOf(option, command, typed, configured))
  const name = Math.max(...rows.map((row) => row.name.length))
  const value = Math.min(24, Math.max(...rows.map((row) => row.value.length)))
  return rows
    .sort((a, b) => Number(a.isDefault) - Number(b.isDefault))
    .map((row) => `${row.name.padEnd(name)}  ${row.value.padEnd(value)}  ${row.source}`)
}

function rowOf(option: Option, command: Command, typed: Texts, configured: Texts) {
  const name = option.attributeName()
  const given: unknown = command.getOptionValue(name)
  const source: string = command.getOptionValueSource(name) ?? 'default'
  // Of two that share one value, as --proxy and --no-proxy do, one was said.
  const isTwin = command.options.some((other) => other !== option && other.attributeName() === name)
  const isDefault = source === 'default' || (isTwin && option.negate !== (given === false))
  const texts = isDefault ? undefined : (source === 'cli' ? typed : configured).get(name)
  const value = texts?.map((text) => maskValue(option, text)).join(', ')
  return {
    name: `--${option.name()}`,
    value: printable(valueShown(option, isDefault, given, value)),
    source: source === 'cli' && !isDefault ? 'command line' : isDefault ? 'default' : printable(source),
    isDefault,
  }
}

function valueShown(option: Option, isDefault: boolean, given: unknown, text: string | undefined): string {
  if (!option.required) return !isDefault && given === !option.negate ? 'yes' : 'no'
  const byDefault: unknown = option.defaultValueDescription ?? option.defaultValue
  return text ?? (byDefault === undefined ? '-' : String(byDefault))
}
