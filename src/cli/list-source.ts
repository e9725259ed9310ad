// What was meant by operands: which list, and by which name it is known from run to run. Knows nothing of what is in it.

import { realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fingerprint } from '../core/hash.ts'
import { printable } from '../core/printable.ts'
import { redactUrl } from '../core/redact.ts'
import type { ListSource } from '../supervisor/job-list.ts'
import { UsageError } from './usage-error.ts'

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

/** As it was named; undefined when the list is no file. */
export function listFileOf([first]: readonly string[]): string | undefined {
  return first === '-' || /^https?:\/\//i.test(first ?? '') ? undefined : first
}

/** Absolute; null when the list is no file. */
export function listPathOf(operands: readonly string[]): string | null {
  const file = listFileOf(operands)
  return file === undefined ? null : resolve(file)
}
