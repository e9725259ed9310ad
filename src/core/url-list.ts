// Decides what the rows of a list mean and what is wrong with them. Knows nothing of files, bytes or targets on disk.

import { checksumByLength, parseChecksum } from './checksum.ts'
import { type HeaderResult, parseHeader, parseHeaderLine } from './header.ts'
import type { Entry, EntryOptions } from './job.ts'
import { nearest } from './nearest.ts'
import { parseProxy } from './proxy.ts'
import { quoted } from './redact.ts'
import { parseDuration } from './units.ts'

/** Longest line that is read, in bytes. */
export const MAX_LINE_BYTES = 65_536

const TRIES_MAX = 1000
const SPLIT_MAX = 64
// Node's timers hold 2^31 ms, a little under 25 days.
const DURATION_MAX_MS = 24 * 86_400_000

/** A problem of the list; `line` counts from 1. Secrets in what it quotes are masked. */
export interface ListError {
  readonly line: number
  readonly problem: string
}

/** One line of a row, or why it cannot be shown as text. */
export type RowLine = string | { readonly unreadable: 'too-long' | 'not-utf8' }

export type RowResult = { ok: true; entry: Entry } | { ok: false; errors: readonly ListError[] }

const OPTION_NAMES = [
  'out',
  'dir',
  'checksum',
  'header',
  'user',
  'password',
  'deadline',
  'timeout',
  'tries',
  'split',
  'proxy',
] as const
type OptionName = (typeof OPTION_NAMES)[number]
const JSON_KEYS = ['url', ...OPTION_NAMES.map((name) => (name === 'header' ? 'headers' : name))]

/** What aria2, wget and habit call the same thing. */
const OTHER_NAMES: Readonly<Record<string, OptionName>> = {
  'http-user': 'user',
  'http-passwd': 'password',
  'http-password': 'password',
  pass: 'password',
  username: 'user',
  'max-tries': 'tries',
  retries: 'tries',
  retry: 'tries',
  filename: 'out',
  file: 'out',
  output: 'out',
  directory: 'dir',
  'max-time': 'deadline',
  'all-proxy': 'proxy',
  'http-proxy': 'proxy',
  'https-proxy': 'proxy',
}

const HEX_ROW = /^([0-9a-f]{8,}) +\*?(.*)$/i
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const CONTROL = /[\u0000-\u001f\u007f]/

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

interface Draft {
  readonly urls: string[]
  readonly options: Mutable<EntryOptions>
  readonly headers: (readonly [string, string])[]
  readonly errors: ListError[]
}

/** Whether a line starts a job, belongs to the job above, or is ignored. */
export function lineKind(text: string): 'job' | 'option' | 'ignored' {
  const first = text.charCodeAt(0)
  if (first !== 0x20 && first !== 0x09) {
    return Number.isNaN(first) || first === 0x23 || (first === 0x0d && text.trim() === '') ? 'ignored' : 'job'
  }
  const rest = text.trimStart()
  return rest === '' || rest.startsWith('#') ? 'ignored' : 'option'
}

/**
 * Parses one row: a job line and what follows it up to the next job line.
 * Every problem of the row is collected; an entry comes only when there is none.
 * @param first the number of the row's first line
 */
export function parseRow(first: number, lines: readonly RowLine[]): RowResult {
  const draft: Draft = { urls: [], options: {}, headers: [], errors: [] }
  for (let i = 0; i < lines.length; i++) {
    const text = lines[i]
    if (text === undefined) break
    readLine(draft, first + i, text, i === 0)
  }
  const [url, ...mirrors] = draft.urls
  if (draft.errors.length > 0 || url === undefined) return { ok: false, errors: draft.errors }
  if (draft.headers.length > 0) draft.options.headers = draft.headers
  return { ok: true, entry: { line: first, urls: [url, ...mirrors], options: draft.options } }
}

/** `example.com:443`: what host limits count by. Takes a URL as an entry carries it. */
export function hostKey(url: string): string {
  const authority = authorityOf(url)
  if (/:\d+$/.test(authority)) return authority
  return authority + (url.charCodeAt(4) === 0x73 ? ':443' : ':80')
}

/** Host and, where it is not the scheme's own, port of a URL as an entry carries it. */
export function authorityOf(url: string): string {
  const start = url.indexOf('/') + 2
  const end = url.indexOf('/', start)
  return url.slice(Math.max(start, url.lastIndexOf('@', end) + 1), end)
}

function readLine(draft: Draft, line: number, given: RowLine, isFirst: boolean): void {
  const fail = (problem: string): void => {
    draft.errors.push({ line, problem })
  }
  if (typeof given !== 'string') {
    fail(
      given.unreadable === 'too-long'
        ? `is longer than ${MAX_LINE_BYTES / 1024} KiB; put each URL on a line of its own`
        : 'is not valid UTF-8; save the list as UTF-8',
    )
    return
  }
  if (given.includes('\0')) {
    fail('has a NUL byte; this looks like a binary file, not a list; give a text file with one URL a line')
    return
  }
  const text = given.endsWith('\r') ? given.slice(0, -1) : given
  if (isFirst && text.startsWith('http') && !text.includes('\t')) {
    readUrl(draft, text, fail)
    return
  }
  switch (lineKind(text)) {
    case 'ignored':
      return
    case 'job':
      readJobLine(draft, text, fail)
      return
    case 'option':
      if (isFirst)
        fail('is an option (it starts with a space or TAB) with no job above; put the URL on the line before')
      else readOptionLine(draft, text.trimStart(), fail)
  }
}

type Fail = (problem: string) => void

function readJobLine(draft: Draft, text: string, fail: Fail): void {
  if (text.startsWith('{')) {
    readJson(draft, text, fail)
    return
  }
  const digest = HEX_ROW.exec(text)
  if (digest === null) {
    readUrls(draft, text.split('\t'), fail)
    return
  }
  const result = checksumByLength(digest[1] ?? '')
  if (result.ok) draft.options.checksum = result.checksum
  else fail(result.problem)
  readUrls(draft, (digest[2] ?? '').split('\t'), fail)
}

function readUrls(draft: Draft, texts: readonly string[], fail: Fail): void {
  const given = texts.filter((text) => text.trim() !== '')
  for (const text of given) readUrl(draft, text, fail)
  if (given.length === 0) fail('has no URL; give one that starts with http:// or https://')
}

function readUrl(draft: Draft, given: string, fail: Fail): void {
  const text = given.trim()
  if (!/^https?:\/\//i.test(text)) {
    fail(whyNoUrl(text))
    return
  }
  if (CONTROL.test(text)) {
    fail(`${quoted(text)} has a control character; remove it or write it as %XX`)
    return
  }
  if (/\s(?:https?|ftp):\/\//i.test(text)) {
    fail(`${quoted(text)} has a space between URLs; put each on its own line, or a TAB between mirrors of one file`)
    return
  }
  const url = URL.parse(text)
  if (url === null) {
    fail(`${quoted(text)} is no valid URL; check its host and port`)
    return
  }
  const { href } = url
  const fragment = href.indexOf('#')
  draft.urls.push(fragment < 0 ? href : href.slice(0, fragment))
}

function whyNoUrl(text: string): string {
  const [word = ''] = text.split(/\s/, 1)
  const option = /^([a-z-]+)=/i.exec(word)?.[1]
  if (option !== undefined && meant(option, OPTION_NAMES) !== undefined) {
    return `"${option}=" looks like an option; put a space before it and the URL on the line above`
  }
  const scheme = /^([a-z][a-z0-9+.-]*):(?!\d+(?:\/|$))/i.exec(word)?.[1]?.toLowerCase()
  if (scheme === 'http' || scheme === 'https') return `${quoted(word)} is no valid URL; write ${scheme}://host/path`
  // In user:password@host the user is no scheme.
  if (scheme !== undefined && !scheme.includes('.') && (word.includes('://') || !word.includes('@'))) {
    return `"${scheme}:" is not supported; only http and https are; give an http:// or https:// URL`
  }
  if (/^[^/]*[.:@]|^localhost\b/.test(word)) {
    return `${quoted(word).slice(1, -1)} has no scheme; did you mean ${quoted(`https://${word}`).slice(1, -1)}?`
  }
  return `${quoted(word)} is no URL; give one that starts with http:// or https://`
}

function readOptionLine(draft: Draft, text: string, fail: Fail): void {
  if (/^(?:https?:|ftp:|\{)/i.test(text)) {
    fail('starts with a space or TAB and so is an option of the job above; remove the space to make it a job')
    return
  }
  const equals = text.indexOf('=')
  if (equals < 0) {
    // Only the first word is quoted: what follows may be a password that lacks its "=".
    fail(`option ${quoted(text.split(/\s/, 1)[0] ?? '')} has no value; write name=value`)
    return
  }
  const name = text.slice(0, equals).trimEnd()
  const value = text.slice(equals + 1)
  if (isOptionName(name)) readOption(draft, name, name === 'password' ? value : value.trim(), fail)
  else fail(`option ${quoted(`${name}=`)} is unknown; ${hint(name, OPTION_NAMES, '=')}`)
}

function readJson(draft: Draft, text: string, fail: Fail): void {
  let row: unknown
  try {
    row = JSON.parse(text)
  } catch {
    // The parser's own message quotes the source, which may hold secrets.
    fail('is not valid JSON; a JSON row is one object on one line, such as {"url": "https://example.com/x"}')
    return
  }
  // A text that starts with { parses to an object or not at all.
  const fields = Object.entries(row ?? {})
  if (!fields.some(([key]) => key === 'url')) fail('has no "url"; add "url": "https://…" to the object')
  for (const [key, value] of fields) readJsonField(draft, key, value, fail)
}

function readJsonField(draft: Draft, key: string, value: unknown, fail: Fail): void {
  if (key === 'url') {
    const urls = typeof value === 'string' ? [value] : value
    if (isTexts(urls)) readUrls(draft, urls, fail)
    else fail('"url" must be a string or an array of strings')
  } else if (key === 'headers') {
    const headers = parseHeaders(value)
    if (headers === undefined) fail('"headers" must be an object of strings or an array of "Name: value"')
    else for (const header of headers) addHeader(draft, header, fail)
  } else if (key !== 'header' && isOptionName(key)) {
    const takesNumber = key === 'deadline' || key === 'timeout' || key === 'tries' || key === 'split'
    if (typeof value === 'string' || (takesNumber && typeof value === 'number'))
      readOption(draft, key, `${value}`, fail)
    else fail(`"${key}" must be a string${takesNumber ? ' or a number' : ''}`)
  } else {
    fail(`key ${quoted(key)} is unknown; ${hint(key, JSON_KEYS, '')}`)
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

/** Undefined where the value is neither an array of lines nor an object of strings. */
function parseHeaders(value: unknown): readonly HeaderResult[] | undefined {
  if (isTexts(value)) return value.map(parseHeaderLine)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const headers: HeaderResult[] = []
  for (const [name, text] of Object.entries(value)) {
    if (typeof text !== 'string') return undefined
    headers.push(parseHeader(name, text))
  }
  return headers
}

function addHeader(draft: Draft, header: HeaderResult, fail: Fail): void {
  if (header.ok) draft.headers.push([header.name, header.value])
  else fail(header.problem)
}

function readOption(draft: Draft, name: OptionName, value: string, fail: Fail): void {
  const { options } = draft
  if (name === 'header') {
    addHeader(draft, parseHeaderLine(value), fail)
    return
  }
  const field = name === 'deadline' ? 'deadlineMs' : name === 'timeout' ? 'timeoutMs' : name
  if (options[field] !== undefined) {
    fail(`${name} is given twice; keep one`)
    return
  }
  switch (name) {
    case 'out':
    case 'dir': {
      const problem = whyNoPath(name, value)
      if (problem === undefined) options[name] = value
      else fail(problem)
      return
    }
    case 'checksum': {
      const result = parseChecksum(value)
      if (result.ok) options.checksum = result.checksum
      else fail(result.problem)
      return
    }
    case 'user':
    case 'password':
      // RFC 7617 §2: no server could tell where it ends.
      if (name === 'user' && value.includes(':'))
        fail('user has a colon; write the password as password= on a line of its own')
      else if (CONTROL.test(value)) fail(`${name} has a control character, which no server accepts; remove it`)
      else options[name] = value
      return
    case 'proxy': {
      const proxy = value === 'none' ? ({ ok: true, url: value } as const) : parseProxy(value)
      if (proxy.ok) options.proxy = proxy.url
      else fail(`${proxy.problem}, or none to ask directly`)
      return
    }
    case 'deadline':
    case 'timeout': {
      const ms = parseDuration(value)
      if (ms !== undefined && ms >= 1 && ms <= DURATION_MAX_MS) options[`${name}Ms`] = ms
      else fail(`${name} is ${quoted(value)}; it must be a duration from 1ms to 24d, such as 250ms, 30s, 5m or 6h`)
      return
    }
    case 'tries':
    case 'split': {
      const max = name === 'tries' ? TRIES_MAX : SPLIT_MAX
      const count = /^\d{1,6}$/.test(value) ? Number(value) : 0
      if (count >= 1 && count <= max) options[name] = count
      else fail(`${name} is ${quoted(value)}; it must be a whole number from 1 to ${max}`)
    }
  }
}

function whyNoPath(name: 'out' | 'dir', value: string): string | undefined {
  const shown = `${name} is ${quoted(value)}`
  const parts = value.split('/')
  if (value.startsWith('/') || /^[a-z]:[\\/]/i.test(value)) {
    return `${shown}, an absolute path; it must stay below --dir, so give a relative one`
  }
  if (value.split(/[\\/]/).includes('..')) return `${shown}; it must stay below --dir, so remove ".."`
  if (name === 'dir' && value === '') return 'dir is empty; name a directory below --dir or remove the option'
  const last = parts.at(-1) ?? ''
  if (name === 'out' && (last === '' || last === '.')) return `${shown} and names no file; end it with a file name`
  return undefined
}

function isOptionName(name: string): name is OptionName {
  const names: readonly string[] = OPTION_NAMES
  return names.includes(name)
}

function hint(name: string, known: readonly string[], suffix: string): string {
  const near = meant(name, known)
  return near === undefined ? `known are ${known.join(', ')}` : `did you mean ${near}${suffix}?`
}

/** What aria2 or wget call so, before what is spelt alike. */
function meant(name: string, known: readonly string[]): string | undefined {
  const lower = name.toLowerCase()
  const other = Object.hasOwn(OTHER_NAMES, lower) ? OTHER_NAMES[lower] : undefined
  return other !== undefined && known.includes(other) ? other : nearest(lower, known)
}
