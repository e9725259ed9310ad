// Decides which header lines a caller may have sent. Knows nothing of where they were written.

import { excerpt } from './printable.ts'
import { quoted } from './redact.ts'

export type HeaderResult =
  | { readonly ok: true; readonly name: string; readonly value: string }
  /** The sentence never quotes a value: it may be a secret. */
  | { readonly ok: false; readonly problem: string }

// RFC 9110 §5.6.2.
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
// Node takes C1 controls too, but nobody means to send them; U+00A0 and U+00AD come with text pasted from a page.
const NOT_VISIBLE = /[^\t\x20-\x7e\xa1-\xac\xae-\xff]/

/**
 * What mpdl says itself, because the bytes of a file are joined by it (ranges, conditions, lengths and codings,
 * RFC 9110 §13 and §14), and what belongs to the one connection (§7.6.1) or makes it something else than HTTP.
 */
const RESERVED: ReadonlySet<string> = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'expect',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'keep-alive',
  'proxy-connection',
  'range',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** `Name: value`, as `-H` and `header=` write it. */
export function parseHeaderLine(text: string): HeaderResult {
  const colon = text.indexOf(':')
  return colon < 0
    ? { ok: false, problem: 'header has no colon; write "Name: value"' }
    : parseHeader(text.slice(0, colon), text.slice(colon + 1))
}

/** The same for a name and a value that are apart already; white space around the value is no part of it (§5.5). */
export function parseHeader(name: string, given: string): HeaderResult {
  const value = given.replace(/^[ \t]+|[ \t]+$/g, '')
  if (name === '') return { ok: false, problem: 'header has no name; write "Name: value"' }
  if (!TOKEN.test(name)) {
    return { ok: false, problem: `header name ${quoted(name)} is not allowed; use letters, digits and -` }
  }
  if (RESERVED.has(name.toLowerCase())) {
    return { ok: false, problem: `header ${name} is set by mpdl itself; leave it out` }
  }
  const at = value.search(NOT_VISIBLE)
  if (at >= 0) {
    const where = `character ${at + 1} of its value`
    const problem = `header ${excerpt(name)}: ${where} may not stand in a header; use visible ASCII or Latin-1`
    return { ok: false, problem }
  }
  return { ok: true, name, value }
}
