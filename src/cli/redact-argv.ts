// Removes secrets from a command line before it is logged or shown. Reads it as the options say, so that no way to
// write one is missed.

import type { Option } from 'commander'
import { redactUrl } from '../core/redact.ts'
import { RUN_OPTIONS } from './run-options.ts'

/** Header values and passwords go whole; URLs keep all but credentials and tokens. */
export function redactArgv(argv: readonly string[]): string[] {
  let taker: Option | undefined
  let isOperand = false
  return argv.map((word) => {
    if (taker !== undefined) {
      const shown = maskValue(taker, word)
      taker = undefined
      return shown
    }
    isOperand ||= word === '--'
    if (isOperand || !word.startsWith('-')) return maskUrl(word)
    const { option, head, value } = word.startsWith('--') ? readLong(word) : readShort(word)
    if (option === undefined) return maskUrl(word)
    if (value === undefined) taker = option
    return value === undefined ? word : head + maskValue(option, value)
  })
}

/** What may be shown of an option's value. */
export function maskValue(option: Option, value: string): string {
  const colon = value.indexOf(':')
  switch (option.attributeName()) {
    case 'header':
      return colon < 0 ? '***' : `${value.slice(0, colon)}: ***`
    case 'user':
      return colon < 0 ? value : `${value.slice(0, colon)}:***`
    case 'proxy':
      return redactUrl(value)
    default:
      return maskUrl(value)
  }
}

function maskUrl(word: string): string {
  return word.includes('://') ? redactUrl(word) : word
}

/** An option that takes a value, if the word names one; without `value` the next word is it. */
interface Taker {
  readonly option?: Option | undefined
  readonly head?: string
  readonly value?: string
}

function readLong(word: string): Taker {
  const equals = word.indexOf('=')
  const name = equals < 0 ? word : word.slice(0, equals)
  const option = RUN_OPTIONS.find(({ long, required }) => required && long === name)
  return equals < 0 ? { option } : { option, head: `${name}=`, value: word.slice(equals + 1) }
}

/** Letters without a value may stand before the one that has it, and its value may follow at once. */
function readShort(word: string): Taker {
  for (let i = 1; i < word.length; i++) {
    const option = RUN_OPTIONS.find(({ short }) => short === `-${word[i]}`)
    if (option === undefined) return {}
    if (!option.required) continue
    return i + 1 === word.length ? { option } : { option, head: word.slice(0, i + 1), value: word.slice(i + 1) }
  }
  return {}
}
