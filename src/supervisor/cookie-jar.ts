// Keeps the cookies of a run (RFC 6265) and the file they come from and go to. Knows nothing of requests, or of what
// else they carry.

import { accessSync, closeSync, constants, openSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Cookie, MemoryCookieStore, CookieJar as Rfc6265Jar } from 'tough-cookie'
import { type CookieRecord, formatCookieFile, mergeCookies, parseCookieFile, UNSENDABLE } from '../core/cookie-file.ts'
import { describe } from '../core/failure.ts'
import { printable } from '../core/printable.ts'
import type { Hardening } from '../isolation/hardening.ts'
import { codeOf, diskFailure } from './disk-failure.ts'
import { whileLocked } from './file-lock.ts'
import { whyNotPrivate } from './private-file.ts'
import { replaceFile } from './replace-file.ts'

/**
 * Everything a browser's jar does where a person types the URL: no page asks for anything here, so SameSite changes
 * nothing. Secure cookies travel over TLS, and to this machine itself.
 */
export interface CookieJar {
  /** The value of Cookie for a request; undefined when there is none. */
  headerFor(url: string): string | undefined
  /** What a response of `url` wants kept. Bad cookies are dropped silently, as a browser does. */
  receive(url: string, setCookies: readonly string[]): void
  /**
   * Replaces the file, if there is one, as a whole: 0600, on the disk before it has its name, session cookies included
   * as curl does. What another run wrote into it meanwhile is kept, except where both changed the same cookie. A
   * sentence when that failed.
   */
  save(): Promise<string | undefined>
}

export type OpenedCookieJar =
  | { readonly ok: true; readonly jar: CookieJar }
  | { readonly ok: false; readonly problem: string }

// Browsers keep about as many; and RFC 6265 §6.1 asks for no more bytes. A site is what somebody registered.
const MAX_COOKIES = 3000
const MAX_COOKIES_PER_SITE = 180
const MAX_COOKIE_BYTES = 4096
/** With `Cookie: ` and the line's end the 8190 bytes that servers take; curl's limit too. */
const MAX_HEADER_BYTES = 8180
/** What the most and longest cookies of two runs fill. */
const MAX_FILE_BYTES = 32 * 2 ** 20
const MAX_DATE_MS = 8.64e15
/** Reserved names, for whose bare form tough-cookie throws. */
const UNSUPPORTED_HOST = /^(?:example|local|test)$/
const MAX_ERRORS_SHOWN = 5

type ToughCookie = typeof import('tough-cookie')
const ignoreResult = () => {}

/**
 * Opens a jar that is empty or holds a file's cookies. A file that is not there yet is fine if it can be written; one
 * that others may read or write, or that is not the user's, a plain file or a cookies.txt, is a problem in a sentence.
 */
export async function openCookieJar(
  cookies: 'run' | { readonly file: string },
  hardening: Hardening,
): Promise<OpenedCookieJar> {
  const file = cookies === 'run' ? undefined : cookies.file
  const stored = file === undefined ? [] : readStored(file)
  if (typeof stored === 'string') return { ok: false, problem: stored }
  // Most runs keep no cookies, and it brings the list of public suffixes along.
  return { ok: true, jar: new BoundedJar(await import('tough-cookie'), file, stored, hardening) }
}

class BoundedJar implements CookieJar {
  readonly #tough: ToughCookie
  readonly #hardening: Hardening
  readonly #file: string | undefined
  readonly #store: MemoryCookieStore
  readonly #jar: Rfc6265Jar
  #stored: readonly CookieRecord[]

  constructor(tough: ToughCookie, file: string | undefined, stored: readonly CookieRecord[], hardening: Hardening) {
    this.#tough = tough
    this.#hardening = hardening
    this.#file = file
    this.#store = new tough.MemoryCookieStore()
    this.#jar = new tough.CookieJar(this.#store)
    this.#stored = stored
    for (const record of stored) this.#store.putCookie(new tough.Cookie(optionsOf(record)), ignoreResult)
  }

  headerFor(url: string): string | undefined {
    let header = ''
    for (const cookie of this.#cookiesFor(toughUrl(url))) {
      const longer = header === '' ? cookie.cookieString() : `${header}; ${cookie.cookieString()}`
      if (longer.length <= MAX_HEADER_BYTES) header = longer
    }
    return header || undefined
  }

  receive(url: string, setCookies: readonly string[]): void {
    const target = toughUrl(url)
    for (const text of setCookies) {
      const cookie = text.length > MAX_COOKIE_BYTES ? undefined : this.#tough.Cookie.parse(text)
      if (cookie === undefined || this.#isGuarded(cookie, target)) continue
      if (UNSENDABLE.test(`${cookie.key}${cookie.value}${cookie.path ?? ''}`)) continue
      fixExpiry(cookie)
      // RFC 6265 §5.3: a host that is a suffix of its own, like an intranet's `wiki`, means itself alone.
      if (cookie.domain === target.hostname && !this.#isSite(target.hostname)) cookie.domain = null
      this.#jar.setCookieSync(cookie, target, { ignoreError: true })
    }
    this.#trim()
  }

  async save(): Promise<string | undefined> {
    const file = this.#file
    return file === undefined ? undefined : await whileLocked(file, this.#hardening, () => this.#saveTo(file))
  }

  #saveTo(file: string): string | undefined {
    const onDisk = readStored(file)
    if (typeof onDisk === 'string') return onDisk
    const now = this.#all().filter(isAlive).map(recordOf)
    try {
      const text = formatCookieFile(mergeCookies(this.#stored, now, onDisk))
      const temporary = `${file}.${process.pid}~`
      replaceFile(file, Buffer.from(text, 'latin1'), { temporary, isDurable: true })
    } catch (error) {
      return describe(diskFailure(error, 'write', printable(file)))
    }
    this.#stored = now
    return undefined
  }

  /** Longest path first, then the oldest: the order RFC 6265 §5.4 gives a header. */
  #cookiesFor(target: URL): Cookie[] {
    if (UNSUPPORTED_HOST.test(target.hostname)) return []
    return this.#jar.getCookiesSync(target, { sort: true })
  }

  /** RFC 6265bis §5.7: whoever sits between us and a server may not speak over what it said by TLS. */
  #isGuarded({ key, domain }: Cookie, target: URL): boolean {
    if (target.protocol === 'https:') return false
    const host = domain ?? target.hostname.replace(/[[\]]/g, '')
    return this.#all().some(
      (cookie) => cookie.secure && cookie.key === key && (isBelow(host, cookie.domain) || isBelow(cookie.domain, host)),
    )
  }

  #all(): Cookie[] {
    let all: Cookie[] = []
    this.#store.getAllCookies((_, cookies) => {
      all = cookies ?? []
    })
    return all
  }

  /** Forgets what has expired, then what was not used for longest. */
  #trim(): void {
    const counts = new Map<string, number>()
    const kept = this.#all()
      .filter(isAlive)
      .reverse()
      .sort((a, b) => usedMs(b) - usedMs(a))
      .filter((cookie) => {
        const site = this.#siteOf(cookie)
        const count = (counts.get(site) ?? 0) + 1
        counts.set(site, count)
        return count <= MAX_COOKIES_PER_SITE
      })
      .slice(0, MAX_COOKIES)
    // The store keeps every path it ever saw, so it is filled anew.
    this.#store.removeAllCookies(ignoreResult)
    for (const cookie of kept) this.#store.putCookie(cookie, ignoreResult)
  }

  #siteOf({ domain }: Cookie): string {
    const host = domain ?? ''
    return this.#registeredOf(host) ?? host
  }

  #isSite(host: string): boolean {
    return this.#registeredOf(host) !== undefined
  }

  #registeredOf(host: string): string | undefined {
    return this.#tough.getPublicSuffix(host, { allowSpecialUseDomain: true, ignoreError: true })
  }
}

function isBelow(host: string | null, domain: string | null): boolean {
  return `.${host}`.endsWith(`.${domain}`)
}

/** For tough-cookie, which would compare a path decoded: `/%0a` is not a path with a line's end. */
function toughUrl(url: string): URL {
  const target = new URL(url)
  target.pathname = target.pathname.replaceAll('%', '%25')
  return target
}

/** A date once and for all: tough-cookie counts Max-Age from the last use. */
function fixExpiry(cookie: Cookie): void {
  if (cookie.maxAge === null) return
  const atMs = Date.now() + Number(cookie.maxAge) * 1000
  cookie.expires = new Date(Math.max(0, Math.min(atMs, MAX_DATE_MS)))
  cookie.maxAge = null
}

function isAlive({ expires }: Cookie): boolean {
  return !(expires instanceof Date) || expires.getTime() > Date.now()
}

function usedMs({ lastAccessed }: Cookie): number {
  return lastAccessed instanceof Date ? lastAccessed.getTime() : 0
}

function optionsOf({ domain, isHostOnly, path, isSecure, isHttpOnly, expiresS, name, value }: CookieRecord) {
  const expires = expiresS === 0 ? ('Infinity' as const) : new Date(expiresS * 1000)
  return { key: name, value, domain, hostOnly: isHostOnly, path, secure: isSecure, httpOnly: isHttpOnly, expires }
}

function recordOf(cookie: Cookie): CookieRecord {
  return {
    domain: cookie.domain ?? '',
    isHostOnly: cookie.hostOnly === true,
    path: cookie.path ?? '/',
    isSecure: cookie.secure,
    isHttpOnly: cookie.httpOnly,
    expiresS: cookie.expires instanceof Date ? Math.ceil(cookie.expires.getTime() / 1000) : 0,
    name: cookie.key,
    value: cookie.value,
  }
}

/** The cookies of a file, none where there is no file yet, or what is wrong with it. */
function readStored(file: string): readonly CookieRecord[] | string {
  const name = printable(file)
  let descriptor: number
  try {
    accessSync(dirname(file), constants.W_OK | constants.X_OK)
  } catch (error) {
    return `${name} cannot be written: its directory is missing or not writable (${codeOf(error)})`
  }
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT') return []
    return describe(code === 'ELOOP' ? { kind: 'target-is-symlink', path: name } : diskFailure(error, 'read', name))
  }
  try {
    const unfit = whyNotPrivate(descriptor, name, MAX_FILE_BYTES)
    if (unfit !== undefined) return `${name} ${unfit}`
    const { cookies, errors } = parseCookieFile(readFileSync(descriptor, 'latin1'))
    if (errors.length === 0) return cookies
    const shown = errors.slice(0, MAX_ERRORS_SHOWN).map(({ line, problem }) => `${name} line ${line} ${problem}`)
    const hidden = errors.length - shown.length
    return [...shown, `correct or remove ${hidden > 0 ? `these and ${hidden} more` : 'that'}`].join('; ')
  } catch (error) {
    return describe(diskFailure(error, 'read', name))
  } finally {
    closeSync(descriptor)
  }
}
