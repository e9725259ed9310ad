// Reads the challenges of a 401 or 407 (RFC 9110 §11.6.1) and decides which of them is answered. Knows nothing of
// users, passwords or of what an answer looks like.

import type { AuthMode } from './credentials.ts'
import type { Headers } from './validator.ts'

export interface Challenge {
  /** As the server spells it. */
  readonly scheme: string
  /** By their lower-case names, unquoted; the first of a name counts. */
  readonly parameters: ReadonlyMap<string, string>
  readonly token68?: string
}

/** Strongest first. SHA-512-256 comes second because servers agree less on what it is (erratum 4897 of RFC 7616). */
const DIGEST_ALGORITHMS = ['SHA-256', 'SHA-512-256', 'MD5'] as const
export type DigestAlgorithm = (typeof DIGEST_ALGORITHMS)[number]

/** The better known first. */
const QOPS = ['auth', 'auth-int'] as const

/** A challenge of RFC 7616, or of RFC 2069 where {@link qop} is undefined. */
export interface DigestChallenge {
  readonly scheme: 'digest'
  readonly realm: string
  readonly nonce: string
  readonly opaque?: string
  readonly algorithm: DigestAlgorithm
  /** The server's own spelling, which is sent back; absent: it left MD5 unsaid. */
  readonly algorithmName?: string
  /** The variant `-sess`. */
  readonly isSession: boolean
  /** `auth-int` covers the body too, which is empty here. */
  readonly qop: (typeof QOPS)[number] | undefined
  /** Only the nonce was refused. */
  readonly isStale: boolean
  readonly hashesUser: boolean
  readonly isUtf8: boolean
}

export type Answerable = { readonly scheme: 'basic' } | DigestChallenge

const SEPARATORS = /[ \t,]*/y
const SCHEME = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*/y
const TOKEN68 = /([A-Za-z0-9._~+/-]+=*)[ \t]*(?=,|$)/y
const PARAMETER = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*/y
// What Node would not send back is not taken either.
const QUOTED = /"((?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*)"/y
// Not only tokens: servers leave the quotes away around anything.
const UNQUOTED = /[^\s",]*/y

/** All challenges of the headers of that name, in order. What is malformed is left out; never throws. */
export function parseChallenges(headers: Headers, name: 'www-authenticate' | 'proxy-authenticate'): Challenge[] {
  return headers.filter(([key]) => key.toLowerCase() === name).flatMap(([, value]) => challengesOf(value))
}

/** One pass: every turn of the loop moves on, and no pattern can look far ahead twice from the same place. */
function challengesOf(text: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string>; token68?: string }[] = []
  let position = 0
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = position
    const match = pattern.exec(text)
    if (match !== null) position = pattern.lastIndex
    return match
  }
  for (take(SEPARATORS); position < text.length; take(SEPARATORS)) {
    const parameter = take(PARAMETER)?.[1]?.toLowerCase()
    if (parameter !== undefined) {
      const value = take(QUOTED)?.[1]?.replace(/\\(.)/g, '$1') ?? take(UNQUOTED)?.[0] ?? ''
      // A quotation mark that never ends: where the next parameter begins cannot be known.
      if (text[position] === '"') return challenges
      const { parameters } = challenges.at(-1) ?? {}
      if (parameters?.has(parameter) === false) parameters.set(parameter, value)
      continue
    }
    const scheme = take(SCHEME)?.[1]
    if (scheme === undefined) return challenges
    const token68 = take(TOKEN68)?.[1]
    challenges.push({ scheme, parameters: new Map(), ...(token68 === undefined ? {} : { token68 }) })
  }
  return challenges
}

/** The strongest that can be answered and is wanted: Digest with SHA-256, then with MD5, then Basic. */
export function chooseChallenge(challenges: readonly Challenge[], mode: AuthMode): Answerable | undefined {
  const isWanted = ({ scheme }: Answerable) => (mode !== 'basic' && mode !== 'digest') || scheme === mode
  return challenges
    .flatMap((challenge) => answerableOf(challenge) ?? [])
    .filter(isWanted)
    .sort((a, b) => weaknessOf(a) - weaknessOf(b))[0]
}

function weaknessOf(challenge: Answerable): number {
  return challenge.scheme === 'basic' ? DIGEST_ALGORITHMS.length : DIGEST_ALGORITHMS.indexOf(challenge.algorithm)
}

function answerableOf({ scheme, parameters }: Challenge): Answerable | undefined {
  switch (scheme.toLowerCase()) {
    case 'basic':
      return { scheme: 'basic' }
    case 'digest':
      return digestOf(parameters)
    default:
      return undefined
  }
}

function digestOf(parameters: ReadonlyMap<string, string>): DigestChallenge | undefined {
  const isTrue = (name: string) => parameters.get(name)?.toLowerCase() === 'true'
  const [realm, nonce, opaque] = [parameters.get('realm'), parameters.get('nonce'), parameters.get('opaque')]
  const algorithmName = parameters.get('algorithm')
  const [baseName, ...variant] = (algorithmName ?? 'MD5').toUpperCase().split(/(?=-SESS$)/)
  const algorithm = DIGEST_ALGORITHMS.find((known) => known === baseName)
  const isSession = variant.length > 0
  const qops = (parameters.get('qop') ?? '').toLowerCase().split(/[\s,]+/)
  const qop = QOPS.find((known) => qops.includes(known))
  // A session is made of a cnonce, and none is sent without qop.
  const isOtherQop = qop === undefined && (isSession || qops.some((name) => name !== ''))
  if (realm === undefined || nonce === undefined || algorithm === undefined || isOtherQop) return undefined
  return {
    scheme: 'digest',
    realm,
    nonce,
    ...(opaque === undefined ? {} : { opaque }),
    algorithm,
    ...(algorithmName === undefined ? {} : { algorithmName }),
    isSession,
    qop,
    isStale: isTrue('stale'),
    hashesUser: isTrue('userhash'),
    isUtf8: parameters.get('charset')?.toLowerCase() === 'utf-8',
  }
}
