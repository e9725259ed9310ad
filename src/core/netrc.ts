// What a netrc file says, read as curl 7.84 and newer do, and which of its entries is meant. Knows nothing of files.

import type { UserPassword } from './credentials.ts'

export interface NetrcEntry {
  /** Undefined: `default`, for every host. */
  readonly host: string | undefined
  readonly login?: string
  readonly password?: string
}

export type NetrcResult =
  | { readonly ok: true; readonly entries: readonly NetrcEntry[] }
  /** The sentence never quotes the file: any word of it may be a password. */
  | { readonly ok: false; readonly line: number; readonly problem: string }

// A comment, a quoted token with the quotation mark that ends it or nothing, or a plain one.
const TOKEN = /[ \t]*(?:(#.*)|"((?:[^"\\]|\\.)*)("?)|([^ \t]+))/gy
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' }
const KEYWORDS = ['machine', 'default', 'login', 'password', 'account', 'macdef'] as const

export function parseNetrc(text: string): NetrcResult {
  const entries: { host: string | undefined; login?: string; password?: string }[] = []
  /** The keyword whose value comes next, perhaps on another line. */
  let open: { readonly keyword: 'machine' | 'login' | 'password' | 'account'; readonly line: number } | undefined
  let isMacro = false
  for (const [index, content] of text.split(/\r?\n/).entries()) {
    const line = index + 1
    const fail = (problem: string): NetrcResult => ({ ok: false, line, problem })
    if (content === '') isMacro = false
    if (isMacro) continue
    for (const [, comment, inQuotes, endQuote, plain] of content.matchAll(TOKEN)) {
      if (comment !== undefined) break
      if (endQuote === '') return fail('a quotation mark is never closed')
      const token = plain ?? inQuotes?.replace(/\\(.)/g, (_, char: string) => ESCAPES[char] ?? char) ?? ''
      const entry = entries.at(-1)
      if (open !== undefined) {
        if (open.keyword === 'machine') entries.push({ host: token })
        else if (open.keyword !== 'account' && entry !== undefined) entry[open.keyword] = token
        open = undefined
        continue
      }
      const keyword = KEYWORDS.find((known) => known === token.toLowerCase())
      if (keyword === undefined) return fail(`a word that is none of ${KEYWORDS.join(', ')} (quote what has spaces)`)
      isMacro = keyword === 'macdef'
      if (keyword === 'macdef') break
      if (keyword === 'default') entries.push({ host: undefined })
      else if (keyword !== 'machine' && entry === undefined) return fail(`${keyword} stands before any machine`)
      else open = { keyword, line }
    }
  }
  if (open !== undefined) return { ok: false, line: open.line, problem: `${open.keyword} has no value` }
  return { ok: true, entries }
}

/** The first entry for that host, and for that user where one is named; `default` is one for every host. */
export function findInNetrc(
  entries: readonly NetrcEntry[],
  host: string,
  user: string | undefined,
): UserPassword | undefined {
  const isFor = (entry: NetrcEntry) =>
    (entry.host === undefined || nameOf(entry.host) === nameOf(host)) &&
    (user === undefined || entry.login === undefined || entry.login === user)
  const { login, password } = entries.find(isFor) ?? {}
  if (login === undefined && password === undefined) return undefined
  return { user: login ?? user ?? '', password: password ?? '' }
}

/** URLs write an IPv6 address in brackets. */
function nameOf(host: string): string {
  return host.toLowerCase().replace(/^\[(.*)\]$/, '$1')
}
