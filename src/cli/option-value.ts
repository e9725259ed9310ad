// Turns what a file or a variable says of an option into its value, by the very parser of the command line. Knows
// nothing of where it was said.

import { InvalidArgumentError, type Option } from 'commander'
import { excerpt } from '../core/printable.ts'
import { REPEATABLE, RUN_OPTIONS, SECRET } from './run-options.ts'
import { UsageError } from './usage-error.ts'

export type OptionValue =
  | { readonly ok: true; readonly value: unknown }
  /** Goes on where a sentence has named the option; quotes no secret. */
  | { readonly ok: false; readonly problem: string }

export function optionValue(option: Option, given: unknown): OptionValue {
  return option.required ? valueFrom(option, given) : flagOf(option, given)
}

function flagOf(option: Option, given: unknown): OptionValue {
  const word = wordOf(given)
  if (word === undefined) {
    return { ok: false, problem: ` is ${excerpt(String(given))}; allowed are true and false (1, 0, yes, no, on, off)` }
  }
  if (!option.negate) return { ok: true, value: word }
  // `no-proxy = false` takes back a `no-proxy`, and says nothing of which proxy.
  const isTwin = RUN_OPTIONS.some((other) => other !== option && other.attributeName() === option.attributeName())
  return { ok: true, value: word ? false : isTwin ? undefined : true }
}

function valueFrom(option: Option, given: unknown): OptionValue {
  const name = option.attributeName()
  const isRepeatable = REPEATABLE.has(name)
  const texts = (isRepeatable ? [given].flat() : [given]).map(textOf)
  if (!texts.every((text) => text !== undefined)) {
    return { ok: false, problem: isRepeatable ? ' takes text, or several: ["…", "…"]' : ' takes one text or number' }
  }
  try {
    const parse = (earlier: unknown, text: string) => option.parseArg?.<unknown>(text, earlier) ?? text
    return { ok: true, value: texts.reduce(parse, undefined) }
  } catch (error) {
    // Of a secret's own parser, whose sentence quotes nothing.
    if (error instanceof UsageError) return { ok: false, problem: `: ${error.message}` }
    if (!(error instanceof InvalidArgumentError)) throw error
    const shown = SECRET.has(name) ? '' : ` is ${excerpt(texts.join(', '))}`
    return { ok: false, problem: `${shown}; ${error.message.replace(/\.$/, '').replace(/^Allowed/, 'allowed')}` }
  }
}

function textOf(value: unknown): string | undefined {
  return ['string', 'number', 'boolean', 'bigint'].includes(typeof value) ? String(value) : undefined
}

/** The words for true and false; undefined for every other. */
export function wordOf(value: unknown): boolean | undefined {
  const word = String(value).toLowerCase()
  if (['true', '1', 'yes', 'on'].includes(word)) return true
  return ['false', '0', 'no', 'off'].includes(word) ? false : undefined
}
