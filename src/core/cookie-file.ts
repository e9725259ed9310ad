// Reads, writes and joins the text of a Netscape cookies.txt, as curl and browsers' exports write it. Knows nothing of
// files, clocks, or of which cookie belongs to which request.

/** Of latin-1 text, as in an HTTP header: a byte of the file is a character. */
export interface CookieRecord {
  /** Without the leading dot. */
  readonly domain: string
  /** For this host only and none below it. */
  readonly isHostOnly: boolean
  readonly path: string
  readonly isSecure: boolean
  readonly isHttpOnly: boolean
  /** Whole seconds since the epoch; 0: a session cookie. */
  readonly expiresS: number
  readonly name: string
  readonly value: string
}

/** `problem` never quotes the line: its value is a secret. */
export interface CookieFileError {
  readonly line: number
  readonly problem: string
}

export interface ParsedCookieFile {
  readonly cookies: readonly CookieRecord[]
  readonly errors: readonly CookieFileError[]
}

/** What neither a Cookie header nor a field of the file may hold; bytes beyond ASCII may, as in browsers. */
export const UNSENDABLE = /[^\x20-\x7e\x80-\xff]/

// Python's http.cookiejar refuses a file that does not begin so.
const HEADER = '# Netscape HTTP Cookie File\n# Written by mpdl, which keeps its cookies and no comments.\n\n'
const HTTP_ONLY = '#HttpOnly_'
/** What a Date can hold; curl writes 2^63 - 1 for a cookie that lives for ever. */
const MAX_EXPIRES_S = 8.64e12

/** One cookie a line, seven fields between TABs; empty lines and comments are skipped. */
export function parseCookieFile(text: string): ParsedCookieFile {
  const cookies: CookieRecord[] = []
  const errors: CookieFileError[] = []
  for (const [index, given] of text.split('\n').entries()) {
    const line = given.replace(/\r$/, '')
    const isHttpOnly = line.startsWith(HTTP_ONLY)
    if (line.trim() === '' || (line.startsWith('#') && !isHttpOnly)) continue
    const record = parseLine(isHttpOnly ? line.slice(HTTP_ONLY.length) : line, isHttpOnly)
    if (typeof record === 'string') errors.push({ line: index + 1, problem: record })
    else cookies.push(record)
  }
  return { cookies, errors }
}

function parseLine(line: string, isHttpOnly: boolean): CookieRecord | string {
  const fields = line.split('\t')
  // An editor that strips white space from the end of a line takes the TAB before an empty value with it.
  const [domain = '', below = '', path = '', secure = '', expires = '', name = '', value = ''] = fields
  if (fields.length < 6 || fields.length > 7) return `has ${fields.length} instead of 7 fields between TABs`
  if (UNSENDABLE.test(fields.join(''))) return 'has a control character'
  const host = domain.replace(/^\./, '').toLowerCase()
  if (host === '' || /[\s/]/.test(host)) return 'has no domain in field 1'
  const isFlag = (text: string) => /^(?:true|false)$/i.test(text)
  if (!isFlag(below)) return 'has neither TRUE nor FALSE in field 2'
  if (!path.startsWith('/')) return 'has no path that begins with / in field 3'
  if (!isFlag(secure)) return 'has neither TRUE nor FALSE in field 4'
  if (!/^\d{1,19}$/.test(expires)) return 'has no whole number of seconds in field 5'
  if (name === '') return 'has no name in field 6'
  return {
    domain: host,
    isHostOnly: below.toUpperCase() === 'FALSE',
    path,
    isSecure: secure.toUpperCase() === 'TRUE',
    isHttpOnly,
    expiresS: Math.min(Number(expires), MAX_EXPIRES_S),
    name,
    value,
  }
}

export function formatCookieFile(cookies: readonly CookieRecord[]): string {
  return HEADER + cookies.map((cookie) => `${lineOf(cookie)}\n`).join('')
}

function lineOf(cookie: CookieRecord): string {
  const { domain, isHostOnly, path, isSecure, isHttpOnly, expiresS, name, value } = cookie
  const flag = (isTrue: boolean) => (isTrue ? 'TRUE' : 'FALSE')
  const host = isHostOnly ? domain : `.${domain}`
  const fields = [host, flag(!isHostOnly), path, flag(isSecure), `${expiresS}`, name, value]
  return (isHttpOnly ? HTTP_ONLY : '') + fields.join('\t')
}

/**
 * What a file should hold that another run may have written since it was read as `before`: its cookies `onDisk`, with
 * what this run changed, added or lost on the way to `now`. Where both changed one cookie, this run has the last word.
 */
export function mergeCookies(
  before: readonly CookieRecord[],
  now: readonly CookieRecord[],
  onDisk: readonly CookieRecord[],
): CookieRecord[] {
  const old = byIdentity(before)
  const own = byIdentity(now)
  const merged = byIdentity(onDisk)
  const isSame = (a: CookieRecord, b: CookieRecord | undefined) => b !== undefined && lineOf(a) === lineOf(b)
  for (const [key, cookie] of own) if (!isSame(cookie, old.get(key))) merged.set(key, cookie)
  for (const [key, cookie] of old) if (!own.has(key) && isSame(cookie, merged.get(key))) merged.delete(key)
  return [...merged.values()]
}

/** RFC 6265 §5.3: what makes two cookies one. */
function byIdentity(cookies: readonly CookieRecord[]): Map<string, CookieRecord> {
  return new Map(cookies.map((cookie) => [`${cookie.domain}\t${cookie.path}\t${cookie.name}`, cookie]))
}
