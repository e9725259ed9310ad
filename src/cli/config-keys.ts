// What environment and configuration file say of options: which variable and key is which option, which are none, and
// which may not stand where they do. Knows nothing of values.

import type { Option } from 'commander'
import { nearest } from '../core/nearest.ts'
import { excerpt, printable } from '../core/printable.ts'
import type { ConfigFile, ConfigKey } from './config-file.ts'
import { wordOf } from './option-value.ts'
import { FOREIGN_OPTIONS, REPEATABLE, RUN_OPTIONS } from './run-options.ts'

/** One word on one option, not yet checked; or why there can be none. */
export type Saying =
  | {
      readonly option: Option
      readonly given: unknown
      /** `MPDL_JOBS`, or `mpdl.toml line 3`. */
      readonly where: string
      /** How a sentence about it begins. */
      readonly subject: string
    }
  | { readonly problem: string }

/** Kept from a file that was merely found, because it may have come with the list (see threats.md). */
const NOT_FOUND: ReadonlySet<string> = new Set([
  'proxy',
  'no-proxy',
  'cacert',
  'cert',
  'key',
  'insecure',
  'dir',
  'out',
  'log-dir',
  'report',
  'failed-out',
  'metrics',
  'on-finish',
  'cookie-jar',
  'netrc-file',
  'sandbox',
  'inject',
])
const NOT_IN_FILES: ReadonlySet<string> = new Set(['config', 'no-config'])

const NAMES = RUN_OPTIONS.map((option) => option.name())

/** An empty variable counts as absent; several values of one option stand on lines of their own. */
export function environmentSayings(env: NodeJS.ProcessEnv): Saying[] {
  return RUN_OPTIONS.flatMap((option) => {
    const where = variableOf(option.name())
    const text = env[where] ?? ''
    if (text === '') return []
    const given = REPEATABLE.has(option.attributeName()) ? text.split('\n').filter((line) => line !== '') : text
    return [{ option, given, where, subject: where }]
  })
}

/** Variables that look like options and are none, a sentence each. */
export function unknownVariables(env: NodeJS.ProcessEnv): string[] {
  const known = NAMES.map(variableOf)
  return Object.keys(env)
    .filter((name) => name.startsWith('MPDL_') && !known.includes(name))
    .map((name) => {
      const near = nearest(name.slice('MPDL_'.length), NAMES)
      return `${excerpt(name)} is unknown${near === undefined ? '' : `; did you mean ${variableOf(near)}?`}`
    })
}

export function variableOf(name: string): string {
  return `MPDL_${name.toUpperCase().replaceAll('-', '_')}`
}

export function fileSayings(file: ConfigFile): Saying[] {
  return file.keys.map((each) => {
    const where = `${printable(file.path)} line ${each.line}`
    const subject = `${where}: ${excerpt(each.key)}`
    const option = RUN_OPTIONS.find((known) => known.name() === each.key)
    if (option === undefined) return { problem: `${subject} ${whyUnknown(each)}` }
    const problem = whyNotHere(each, file)
    return problem === undefined ? { option, given: each.value, where, subject } : { problem: `${subject} ${problem}` }
  })
}

function whyNotHere({ key, value }: ConfigKey, { isFound, path }: ConfigFile): string | undefined {
  if (NOT_IN_FILES.has(key)) return 'cannot stand in a configuration file'
  const isKept = NOT_FOUND.has(key) || (key === 'block-private' && wordOf(value) !== true)
  return isFound && isKept
    ? `is not taken from a file that was only found beside the list; give it with --config ${printable(path)}`
    : undefined
}

function whyUnknown({ key, value }: ConfigKey): string {
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
    return 'is a section, and there are none; write its keys at the top of the file'
  }
  const isLetter = key.length === 1
  const ofLetter = RUN_OPTIONS.find(({ short }) => short === `-${key}`)?.name()
  const foreign = FOREIGN_OPTIONS[isLetter ? `-${key}` : `--${key}`]
  if (ofLetter === undefined && foreign !== undefined) return `is unknown; ${foreign}`
  const near = ofLetter ?? nearest(key, NAMES)
  return near === undefined
    ? 'is unknown; mpdl --help-all shows what there is, to be written without the dashes'
    : `is unknown; did you mean ${near}?`
}
