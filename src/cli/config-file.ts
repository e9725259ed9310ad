// Finds and reads the TOML file with options, and decides whether it can be trusted. Knows nothing of what the keys
// mean.

import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { printable } from '../core/printable.ts'
import { codeOf } from '../supervisor/disk-failure.ts'
import { UsageError } from './usage-error.ts'

export interface ConfigFile {
  /** As it was named, or beside the list as that was named. */
  readonly path: string
  /** Nobody named it, so that it may have come with the list. */
  readonly isFound: boolean
  readonly mode: number
  readonly keys: readonly ConfigKey[]
}

export interface ConfigKey {
  readonly key: string
  /** As TOML has it: text, number, boolean, date, array or table. */
  readonly value: unknown
  readonly line: number
}

/** Throws a UsageError (78) when it cannot be read or is no TOML. Nothing of it is quoted: it may hold secrets. */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  return await parsed(path, false, openSafely(path, constants.O_RDONLY))
}

/** The `mpdl.toml` beside a list file; undefined when there is none. Refused unless nobody else can have written it. */
export async function findConfigFile(list: string): Promise<ConfigFile | undefined> {
  const path = join(dirname(list), 'mpdl.toml')
  const name = printable(path)
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return undefined
  const refuse = (why: string, fix: string) =>
    new UsageError(`${name} ${why}; ${fix}, name it with --config ${name}, or leave it out with --no-config`, 78)
  if (!lstatSync(path).isFile()) throw refuse('is no plain file', 'only such a file is read unasked: replace it')
  const descriptor = openSafely(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  const { uid, mode } = fstatSync(descriptor)
  const isOwn = uid === process.geteuid?.() || uid === 0
  if (isOwn && (mode & 0o022) === 0) return await parsed(path, true, descriptor)
  closeSync(descriptor)
  throw isOwn
    ? refuse('can be written by others', `chmod go-w ${name}`)
    : refuse(`belongs to somebody else (uid ${uid})`, 'copy it')
}

function openSafely(path: string, flags: number): number {
  try {
    return openSync(path, flags)
  } catch (error) {
    throw new UsageError(`cannot read ${printable(path)}: ${codeOf(error) ?? error}`, 78)
  }
}

async function parsed(path: string, isFound: boolean, descriptor: number): Promise<ConfigFile> {
  const { parse, TomlError } = await import('smol-toml')
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(descriptor))
    const entries = Object.entries(parse(text))
    const lines = linesOfKeys(text, parse)
    const keys = entries.map(([key, value]) => ({ key, value, line: lines.get(key) ?? 1 }))
    return { path, isFound, mode: fstatSync(descriptor).mode, keys }
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(`${printable(path)} is no UTF-8 text`, 78)
    if (!(error instanceof TomlError))
      throw new UsageError(`cannot read ${printable(path)}: ${codeOf(error) ?? error}`, 78)
    const [what = ''] = error.message.replace(/^Invalid TOML document: /, '').split('\n')
    const where = `${printable(path)} line ${error.line}, column ${error.column}`
    throw new UsageError(`${where}: ${what}; write lines like: jobs = 16, or: header = ["A: b"]`, 78)
  } finally {
    closeSync(descriptor)
  }
}

/** The parser does not tell: statement by statement, each the fewest lines that are TOML by themselves. */
function linesOfKeys(text: string, parse: (toml: string) => object): ReadonlyMap<string, number> {
  const lines = new Map<string, number>()
  let start = 0
  const rows = text.split(/(?<=\n)/)
  for (let end = 1; end <= rows.length; end++) {
    const keys = keysOf(rows.slice(start, end).join(''), parse)
    if (keys === undefined) continue
    for (const key of keys) if (!lines.has(key)) lines.set(key, start + 1)
    start = end
  }
  return lines
}

function keysOf(text: string, parse: (toml: string) => object): readonly string[] | undefined {
  try {
    return Object.keys(parse(text))
  } catch {
    return undefined
  }
}
