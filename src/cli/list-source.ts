// From operands to a checked list: what was meant by them, and what is said when that is no list. Knows nothing of what
// is done with it.

import { realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fingerprint } from '../core/hash.ts'
import { excerpt, printable } from '../core/printable.ts'
import { redactUrl } from '../core/redact.ts'
import { spoolDir } from '../places.ts'
import type { JobList, ListSource } from '../supervisor/job-list.ts'
import { openJobList } from '../supervisor/job-list.ts'
import type { RawRunOptions } from './run-options.ts'
import { UsageError } from './usage-error.ts'

/** What decides which rows are jobs and what their files are called. */
export type ListOptions = Pick<RawRunOptions, 'out' | 'names' | 'queryNames' | 'onClash' | 'keepGoing'>

export function sourceOf(operands: readonly string[]): ListSource {
  const [first] = operands
  if (first === undefined)
    throw new UsageError('what should be downloaded? Give a list file, URLs, or - for standard input (see mpdl --help)')
  const isUrl = (text: string) => /^https?:\/\//i.test(text)
  if (operands.every(isUrl)) return { kind: 'urls', urls: operands }
  if (operands.length > 1) {
    throw new UsageError('give either one list or any number of URLs; several lists: cat LIST1 LIST2 | mpdl -')
  }
  if (first === '-') return { kind: 'stream', stream: process.stdin, name: 'standard input' }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(first)) {
    throw new UsageError(`${redactUrl(first)}: only http:// and https:// are supported`)
  }
  if (statSync(first, { throwIfNoEntry: false }) === undefined && looksLikeHost(first)) {
    throw new UsageError(`no such list: ${first}; did you mean https://${redactUrl(first)}?`, 66)
  }
  return { kind: 'file', path: first }
}

/** Errors of a list, where they go into a mail. */
const MOST_MAILED = 20
const MOST_CHARS = 500

/** `example.com/x`, `example.com`: a name with dots that is hardly the name of a list. */
function looksLikeHost(text: string): boolean {
  const host = /^([^/\s:]+\.[a-z]{2,})(?:[:/]|$)/i.exec(text)?.[1]
  return (
    host !== undefined && (host !== text || !/\.(txt|list?|lst|csv|tsv|jsonl?|ndjson|gz|md5|sha\d+|urls?)$/i.test(host))
  )
}

export function nameOf(source: ListSource): string {
  if (source.kind === 'file') return printable(source.path)
  return source.kind === 'stream' ? source.name : 'command line'
}

/**
 * What stays the same from run to run: the list, by whatever way to it, and the directory. Undefined where nobody can
 * tell: what comes through a pipe may be another list each time.
 */
export function listKeyOf(source: ListSource, dir: string): string | undefined {
  const list =
    source.kind === 'urls' ? source.urls.join('\n') : source.kind === 'file' ? fileKeyOf(source.path) : undefined
  return list === undefined ? undefined : fingerprint(`${realPath(dir)}\n${list}`)
}

function fileKeyOf(path: string): string | undefined {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true ? realPath(path) : undefined
}

/** Of what is not there yet, where it will be. */
export function realPath(path: string): string {
  const absolute = resolve(path)
  try {
    return realpathSync(absolute)
  } catch {
    const parent = dirname(absolute)
    return parent === absolute ? absolute : join(realPath(parent), basename(absolute))
  }
}

/** Opens and checks the list. Throws a UsageError with all that is wrong with it; `work` is what was not done then. */
export async function openList(
  source: ListSource,
  options: ListOptions,
  work: 'downloaded' | 'verified',
): Promise<JobList> {
  const isOneName = options.out !== undefined && !/(?<!%)(?:%%)*%n/.test(options.out)
  const oneNameFor = (jobs: number) =>
    new UsageError(`-o ${options.out} is one name for ${jobs} jobs; number them with %n, like image-%n.jpg`)
  // Otherwise the answer would be that they clash, which helps less.
  if (isOneName && source.kind === 'urls' && source.urls.length > 1) throw oneNameFor(source.urls.length)
  const opened = await openJobList(source, {
    naming: {
      names: options.names,
      queryNames: options.queryNames ?? false,
      ...(options.out === undefined ? {} : { outPattern: options.out }),
    },
    onClash: options.onClash,
    keepGoing: options.keepGoing ?? false,
    foldCase: process.platform === 'darwin',
    spoolDir: spoolDir(),
  })
  if (opened.ok) {
    const { list } = opened
    if (isOneName && list.size > 1) {
      list.close()
      throw oneNameFor(list.size)
    }
    return list
  }
  // Who reads it as mail wants to know how bad it is; who has a terminal can mend it all at once.
  const shown = process.stderr.isTTY === true ? opened.errors : opened.errors.slice(0, MOST_MAILED)
  const lines = shown.map(({ line, problem }) =>
    line === 0 ? problem : `${nameOf(source)} line ${line}: ${excerpt(problem, MOST_CHARS)}`,
  )
  const count = opened.errors.length + opened.more
  if (count > MOST_MAILED) lines.unshift(`${nameOf(source)}: ${count} lines are wrong`)
  const more = count > shown.length ? [`and ${count - shown.length} more`] : []
  const hint =
    opened.kind === 'bad-list' && opened.errors.some(({ line }) => line > 0)
      ? [`nothing was ${work}; --keep-going skips bad lines`]
      : []
  throw new UsageError([...lines, ...more, ...hint].join('\n'), opened.kind === 'no-list' ? 66 : 65)
}

/** As it was named; undefined when the list is no file. */
export function listFileOf([first]: readonly string[]): string | undefined {
  return first === '-' || /^https?:\/\//i.test(first ?? '') ? undefined : first
}

/** Absolute; null when the list is no file. */
export function listPathOf(operands: readonly string[]): string | null {
  const file = listFileOf(operands)
  return file === undefined ? null : resolve(file)
}
