// Decides what a request says about who asks, and how a 401 is answered. Remembers what each origin asked for, so that
// only the first requests of a run are refused; knows nothing of children or of the headers of the caller.

import { createHash } from 'node:crypto'
import type { Answerable, Challenge, DigestChallenge } from '../core/challenge.ts'
import { chooseChallenge, parseChallenges } from '../core/challenge.ts'
import type { AuthMode, UserPassword } from '../core/credentials.ts'
import { credentialsFor } from '../core/credentials.ts'
import type { DigestHash } from '../core/digest-auth.ts'
import { digestAuthorization } from '../core/digest-auth.ts'
import type { Job } from '../core/job.ts'
import { findInNetrc } from '../core/netrc.ts'
import { excerpt } from '../core/printable.ts'
import { isSameOrigin } from '../core/redirect.ts'
import type { Headers } from '../core/validator.ts'
import type { NetrcReading } from './netrc-file.ts'
import { readNetrc } from './netrc-file.ts'
import type { NetrcSettings } from './settings.ts'

/** What one child's conversation says about who asks. */
export interface Login {
  /**
   * Authorization for a request to `url`; undefined where nothing is said: another origin, no credentials, or not
   * before a challenge. Called once for each request, because servers count them.
   */
  authorizationFor(url: string, method: 'GET' | 'HEAD'): string | undefined
  /** The server answered 401: true when the same should be asked again with what {@link authorizationFor} says now. */
  onUnauthorized(url: string, headers: Headers): boolean
  /** Why the last 401 was not answered, for the failure's `hint`; no secret in it. */
  hintFor(url: string): string | undefined
}

/** For a caller who says it in a header of his own: nothing is added, and no challenge answered. */
export const SILENT_LOGIN: Login = {
  authorizationFor: () => undefined,
  onUnauthorized: () => false,
  hintFor: () => undefined,
}

export interface AuthenticatorOptions {
  readonly mode: AuthMode
  /** `-u`. */
  readonly user: UserPassword | undefined
  readonly netrc: NetrcSettings
  /** Each time another, which cannot be guessed; visible ASCII. */
  readonly cnonce: () => string
}

export class Authenticator {
  readonly #options: AuthenticatorOptions
  readonly #sessions: Sessions
  #netrc: NetrcReading | undefined

  constructor(options: AuthenticatorOptions) {
    this.#options = options
    this.#sessions = new Sessions(options.cnonce)
  }

  /** For one child's conversation that begins at `requestedUrl`, whose origin alone gets the job's credentials. */
  login(job: Job, requestedUrl: string): Login {
    const { mode, user, netrc } = this.#options
    const own = new URL(requestedUrl)
    const find = (host: string, name: string | undefined) => this.#findInNetrc(host, name)
    const credentials = credentialsFor(job, requestedUrl, { user, netrc: netrc.isOn ? find : () => undefined })
    const isInUnusedNetrc = () => !netrc.isOn && find(own.hostname, credentials?.user) !== undefined
    const help = () => (isInUnusedNetrc() ? `${netrc.file} has an entry for it (--netrc)` : undefined)
    const login = new OriginLogin({ mode, origin: own.origin, credentials, help, sessions: this.#sessions })
    const isOwn = (url: string) => isSameOrigin(url, requestedUrl)
    return {
      authorizationFor: (url, method) => (isOwn(url) ? login.authorizationFor(url, method) : undefined),
      onUnauthorized: (url, headers) => isOwn(url) && login.onUnauthorized(headers),
      // Not even what netrc has for that host: whoever redirects is not whom the user trusts to ask for it.
      hintFor: (url) => (isOwn(url) ? login.hint : `credentials are for ${own.origin} only`),
    }
  }

  #findInNetrc(host: string, user: string | undefined): UserPassword | undefined {
    this.#netrc ??= readNetrc(this.#options.netrc.file)
    return this.#netrc.ok ? findInNetrc(this.#netrc.entries, host, user) : undefined
  }
}

/** What an origin asked for, and how often its nonce was used, by whatever child. */
interface Session {
  readonly challenge: Answerable
  /** One for all requests, as the variant `-sess` wants. */
  readonly cnonce: string
  readonly uses: { count: number }
}

/** A forgotten one costs a request; each may hold 64 KiB of headers. */
const MAX_SESSIONS = 256

class Sessions {
  readonly #latest = new Map<string, Session>()
  /** Children that ask at the same time may be given the same nonce: its count goes on, whoever uses it. */
  readonly #byNonce = new Map<string, Session>()
  readonly #cnonce: () => string

  constructor(cnonce: () => string) {
    this.#cnonce = cnonce
  }

  latestOf(origin: string): Session | undefined {
    return this.#latest.get(origin)
  }

  begin(origin: string, challenge: Answerable): Session {
    const key = `${origin} ${challenge.scheme === 'digest' ? challenge.nonce : ''}`
    const { cnonce = this.#cnonce(), uses = { count: 0 } } = this.#byNonce.get(key) ?? {}
    const session = { challenge, cnonce, uses }
    remember(this.#byNonce, key, session)
    remember(this.#latest, origin, session)
    return session
  }
}

function remember(sessions: Map<string, Session>, key: string, session: Session): void {
  sessions.delete(key)
  sessions.set(key, session)
  const [oldest] = sessions.keys()
  if (sessions.size > MAX_SESSIONS && oldest !== undefined) sessions.delete(oldest)
}

/** In one conversation, redirects included. */
const MAX_ANSWERS = 3

interface LoginOptions {
  readonly mode: AuthMode
  readonly origin: string
  readonly credentials: UserPassword | undefined
  /** Where there are credentials that were not used. */
  readonly help: () => string | undefined
  readonly sessions: Sessions
}

/** What one conversation says at one origin. */
class OriginLogin {
  readonly #options: LoginOptions
  /** Of a challenge to this conversation; until then, another's is used. */
  #session: Session | undefined
  #answers = 0
  /** The next request answers the challenge that just came. */
  #isAnswering = false
  #sent: { readonly scheme: Answerable['scheme']; readonly isAnswer: boolean } | undefined
  #hint: string | undefined

  constructor(options: LoginOptions) {
    this.#options = options
  }

  authorizationFor(url: string, method: 'GET' | 'HEAD'): string | undefined {
    const { mode, origin, credentials, sessions } = this.#options
    const isAnswer = this.#isAnswering
    this.#isAnswering = false
    this.#sent = undefined
    if (credentials === undefined) return undefined
    const session = this.#session ?? sessions.latestOf(origin)
    if (session === undefined && mode !== 'default' && mode !== 'basic') return undefined
    this.#sent = { scheme: session?.challenge.scheme ?? 'basic', isAnswer }
    return session?.challenge.scheme === 'digest'
      ? digest(session.challenge, session, { method, url, user: credentials })
      : basic(credentials)
  }

  onUnauthorized(headers: Headers): boolean {
    const { mode, origin, sessions } = this.#options
    const challenges = parseChallenges(headers, 'www-authenticate')
    const challenge = chooseChallenge(challenges, mode)
    this.#hint = this.#reasonAgainst(challenge, challenges)
    if (challenge === undefined || this.#hint !== undefined) return false
    this.#session = sessions.begin(origin, challenge)
    this.#isAnswering = true
    this.#answers++
    return true
  }

  get hint(): string | undefined {
    return this.#hint
  }

  /** Why a 401 is not answered; undefined: the challenge is. */
  #reasonAgainst(chosen: Answerable | undefined, all: readonly Challenge[]): string | undefined {
    const { credentials, help } = this.#options
    if (chosen === undefined && all.length > 0) return this.#describeOffer(all)
    if (credentials === undefined) return help() ?? '-u USER or user= gives them'
    const refused = credentials.password === '' ? (help() ?? 'no password was given') : 'the password was refused'
    if (chosen === undefined) return this.#sent === undefined ? 'the server does not say how to give them' : refused
    const isNonceRefused = chosen.scheme === 'digest' && (chosen.isStale || this.#sent?.isAnswer === false)
    if (this.#sent?.scheme === chosen.scheme && !isNonceRefused) return refused
    return this.#answers < MAX_ANSWERS ? undefined : `${MAX_ANSWERS} answers were refused`
  }

  #describeOffer(challenges: readonly Challenge[]): string {
    const schemes = new Set(challenges.map(({ scheme }) => scheme))
    const offer = `the server offers only ${excerpt([...schemes].join(', '))}`
    return chooseChallenge(challenges, 'any') === undefined
      ? `${offer}, in no form that can be answered`
      : `${offer}, and --auth is ${this.#options.mode}`
  }
}

/** Of the UTF-8 bytes, as RFC 7617 §2.1 recommends. */
function basic({ user, password }: UserPassword): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

const HASH_NAMES = { MD5: 'md5', 'SHA-256': 'sha256', 'SHA-512-256': 'sha512-256' } as const

const hash: DigestHash = (algorithm, bytes) => createHash(HASH_NAMES[algorithm]).update(bytes, 'latin1').digest('hex')

function digest(
  challenge: DigestChallenge,
  { cnonce, uses }: Session,
  { method, url, user }: { readonly method: string; readonly url: string; readonly user: UserPassword },
): string {
  const { pathname, search } = new URL(url)
  uses.count++
  return digestAuthorization(challenge, { method, uri: pathname + search, user, cnonce, nonceCount: uses.count }, hash)
}
