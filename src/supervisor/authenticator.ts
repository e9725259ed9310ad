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
    const { user, netrc } = this.#options
    const own = new URL(requestedUrl)
    const find = (host: string, name: string | undefined) => this.#findInNetrc(host, name)
    const credentials = credentialsFor(job, requestedUrl, { user, netrc: netrc.isOn ? find : () => undefined })
    const logins = new Map([[own.origin, this.#login(own, credentials, '-u USER or user= gives them')]])
    const at = (url: string) => {
      const { origin } = new URL(url)
      const login = logins.get(origin) ?? this.#loginElsewhere(new URL(url), own)
      logins.set(origin, login)
      return login
    }
    return {
      authorizationFor: (url, method) => at(url).authorizationFor(url, method),
      onUnauthorized: (url, headers) => at(url).onUnauthorized(headers),
      hintFor: (url) => at(url).hint,
    }
  }

  /**
   * Where a redirect leads, nothing of the job's is said; but a netrc entry that names the host was written for it,
   * whoever sends us there, as with curl. Not over http when the job began with https.
   */
  #loginElsewhere(url: URL, own: URL): OriginLogin {
    const isSafe = url.protocol === 'https:' || own.protocol === 'http:'
    const isAsked = this.#options.netrc.isOn && isSafe
    const credentials = isAsked ? this.#findInNetrc(url.hostname, undefined, 'named') : undefined
    return this.#login(url, credentials, `credentials are for ${own.origin} only`)
  }

  #login({ origin, hostname }: URL, credentials: UserPassword | undefined, lack: string): OriginLogin {
    const { mode, netrc } = this.#options
    const isInUnusedNetrc = () => !netrc.isOn && this.#findInNetrc(hostname, credentials?.user) !== undefined
    const help = () => (isInUnusedNetrc() ? `${netrc.file} has an entry for it (--netrc)` : undefined)
    return new OriginLogin({ mode, origin, credentials, help, lack, sessions: this.#sessions })
  }

  /** `named`: not the entry that is for every host. */
  #findInNetrc(host: string, user: string | undefined, which: 'any' | 'named' = 'any'): UserPassword | undefined {
    this.#netrc ??= readNetrc(this.#options.netrc.file)
    if (!this.#netrc.ok) return undefined
    const { entries } = this.#netrc
    return findInNetrc(which === 'any' ? entries : entries.filter((entry) => entry.host !== undefined), host, user)
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
  /** What to do where there are none. */
  readonly lack: string
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
    const { credentials, help, lack } = this.#options
    if (chosen === undefined && all.length > 0) return this.#describeOffer(all)
    if (credentials === undefined) return help() ?? lack
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
