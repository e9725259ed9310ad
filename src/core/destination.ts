// Decides the name a download gets on disk. Knows nothing of the disk, nor of the other rows of the list.

import { fingerprint } from './hash.ts'
import type { Entry } from './job.ts'
import { authorityOf } from './url-list.ts'

/** How names are made from URLs. */
export interface NamingRules {
  readonly names: 'flat' | 'tree' | 'host'
  /** Keeps the query as part of the name. */
  readonly queryNames: boolean
  /** `image-%n.jpg`: `%n` is the job's number from 1, `%%` a percent sign. */
  readonly outPattern?: string
}

/** Leaves room within the usual 255 for `.part.json` and a temporary suffix. */
export const MAX_NAME_BYTES = 240

const MAX_EXTENSION_BYTES = 16
const EMPTY_NAME = 'index.html'
const PLAIN = /^[A-Za-z0-9_](?:[A-Za-z0-9_+,=@()[\].%-]*[A-Za-z0-9_+,=@()[\]%-])?$/
// An escape ends in a hex digit, and A–F would merge with a combining mark under NFC: such marks are escaped along.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}/\\<>:"|?*]\p{M}*/gu
const LEADING = /^[.\-~ ]+\p{M}*/u
const TRAILING = /[. ]+$/
const RESERVED = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?=\s*(?:\.|$))/i
/** A list that comes to lie beside it would take it for its configuration. */
const CONFIGURATION = /^mpdl\.toml$/i
const EXTENSION = /\.[^.]+$/
const encoder = new TextEncoder()

/**
 * One safe path component: NFC, at most {@link MAX_NAME_BYTES}, without separators, control, bidi or invisible
 * characters, and no name that some system gives a meaning of its own. What is unsafe is escaped as `%XX`, not dropped.
 */
export function safeComponent(text: string): string {
  if (text.length <= MAX_NAME_BYTES && PLAIN.test(text) && !RESERVED.test(text) && !CONFIGURATION.test(text))
    return text
  const safe = text
    .toWellFormed()
    .normalize('NFC')
    .replace(UNSAFE, escaped)
    .replace(LEADING, escaped)
    .replace(TRAILING, escaped)
    .replace(RESERVED, firstEscaped)
    .replace(CONFIGURATION, firstEscaped)
  if (safe === '') return EMPTY_NAME
  if (byteLength(safe) <= MAX_NAME_BYTES) return safe
  const extension = extensionOf(safe)
  return shortened(safe.slice(0, safe.length - extension.length), extension, safe)
}

/**
 * Where an entry is saved: a path relative to `--dir`, `/` between components, every component safe.
 * `out=` wins over the pattern, the pattern over the URL; `dir=` stands in for the directories of `tree`.
 * @param ordinal the job's number from 1
 */
export function destination(entry: Pick<Entry, 'urls' | 'options'>, ordinal: number, rules: NamingRules): string {
  const { out, dir } = entry.options
  const given = out ?? (rules.outPattern === undefined ? undefined : filled(rules.outPattern, ordinal))
  const path = given === undefined ? pathFromUrl(entry.urls[0], rules) : safePath(given) || EMPTY_NAME
  if (dir === undefined) return path
  const name = given === undefined ? path.slice(path.lastIndexOf('/') + 1) : path
  const directory = safePath(dir)
  return directory === '' ? name : `${directory}/${name}`
}

/** `a/report.pdf`, 2 → `a/report.2.pdf`. */
export function numbered(path: string, n: number): string {
  const nameStart = path.lastIndexOf('/') + 1
  const name = path.slice(nameStart)
  const extension = extensionOf(name)
  const stem = name.slice(0, name.length - extension.length)
  const plain = `${stem}.${n}${extension}`
  const fits = byteLength(plain) <= MAX_NAME_BYTES
  return path.slice(0, nameStart) + (fits ? plain : shortened(stem, `.${n}${extension}`, name))
}

/** Equal for paths that a case-insensitive file system takes for one. May also be equal for some it keeps apart. */
export function foldKey(path: string): string {
  // Up, then down: lower case alone keeps σ and ς apart.
  return path.normalize('NFC').toUpperCase().toLowerCase().normalize('NFC')
}

function filled(pattern: string, ordinal: number): string {
  return pattern.replace(/%([n%])/g, (_, what: string) => (what === 'n' ? String(ordinal) : '%'))
}

function safePath(text: string): string {
  return text
    .split('/')
    .filter((component) => component !== '' && component !== '.')
    .map(safeComponent)
    .join('/')
}

function pathFromUrl(url: string, rules: NamingRules): string {
  const queryStart = url.indexOf('?')
  const end = queryStart < 0 ? url.length : queryStart
  const query = rules.queryNames && queryStart >= 0 && queryStart + 1 < url.length ? url.slice(queryStart) : ''
  const nameStart = url.lastIndexOf('/', end - 1) + 1
  const name = (decoded(url.slice(nameStart, end)) || EMPTY_NAME) + query
  if (rules.names === 'flat') return safeComponent(name)
  const host = authorityOf(url)
  const pathStart = url.indexOf('/', url.indexOf('/') + 2) + 1
  const directories = url.slice(pathStart, Math.max(pathStart, nameStart - 1))
  if (rules.names === 'host') {
    return safeComponent(`${host}__${decoded(url.slice(pathStart, nameStart)).replaceAll('/', '__')}${name}`)
  }
  const components = directories.split('/').filter((component) => component !== '')
  return [host, ...components.map(decoded), name].map(safeComponent).join('/')
}

function decoded(text: string): string {
  if (!text.includes('%')) return text
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (run) => tryDecode(run) ?? decodedWhereValid(run))
}

/** Decodes sequence by sequence, so that one Latin-1 byte does not cost the readable rest. */
function decodedWhereValid(run: string): string {
  let text = ''
  for (let at = 0; at < run.length; ) {
    const lead = Number.parseInt(run.slice(at + 1, at + 3), 16)
    const sequence = run.slice(at, at + 3 * (lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4))
    const character = tryDecode(sequence)
    text += character ?? run.slice(at, at + 3)
    at += character === undefined ? 3 : sequence.length
  }
  return text
}

function tryDecode(run: string): string | undefined {
  try {
    return decodeURIComponent(run)
  } catch {
    return undefined
  }
}

function escaped(text: string): string {
  return Array.from(encoder.encode(text), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')
}

function firstEscaped(name: string): string {
  return escaped(name.slice(0, 1)) + name.slice(1)
}

function byteLength(text: string): number {
  return encoder.encode(text).length
}

function extensionOf(name: string): string {
  const extension = EXTENSION.exec(name)?.[0] ?? ''
  // A name that is all extension has no stem to number or to cut.
  return extension.length < name.length && byteLength(extension) <= MAX_EXTENSION_BYTES ? extension : ''
}

/** The hash of the whole keeps apart what the cut would make equal. */
function shortened(stem: string, tail: string, whole: string): string {
  const end = `~${fingerprint(whole).slice(0, 8)}${tail}`
  let room = MAX_NAME_BYTES - byteLength(end)
  let kept = ''
  for (const character of stem) {
    room -= byteLength(character)
    if (room < 0) break
    kept += character
  }
  return kept.replace(/%[0-9A-F]?$/, '') + end
}
