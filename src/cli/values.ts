// Turns option values from text into numbers and choices. A wrong value names what was given and what is allowed.

import { InvalidArgumentError } from 'commander'
import type { Fault } from '../core/fault.ts'
import { FAULTS, isFault } from '../core/fault.ts'
import { type HaltRule, parseHalt } from '../core/halt.ts'
import { parseHeader, parseHeaderLine } from '../core/header.ts'
import { parseProxy } from '../core/proxy.ts'
import { formatDuration, parseDuration, parseSize } from '../core/units.ts'
import { UsageError } from './usage-error.ts'

export function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= least && value <= most)) {
      throw new InvalidArgumentError(`allowed are whole numbers from ${least} to ${most}.`)
    }
    return value
  }
}

/** Timers count milliseconds in 31 bits. */
const MOST_MS = 24 * 86_400_000

/** Zero is allowed only where it means something. */
export function duration(leastMs: number, mostMs = MOST_MS): (text: string) => number {
  return (text) => {
    const ms = parseDuration(text)
    if (ms === undefined || ms < leastMs || ms > mostMs) {
      const least = leastMs > 1 ? `, at least ${formatDuration(leastMs)}` : leastMs > 0 ? ', above zero' : ''
      throw new InvalidArgumentError(
        `allowed are durations like 250ms, 30s, 5m, 6h${least}, at most ${formatDuration(mostMs)}.`,
      )
    }
    return ms
  }
}

export function size(leastBytes: number): (text: string) => number {
  return (text) => {
    const bytes = parseSize(text)
    if (bytes === undefined || bytes < leastBytes) {
      const isMega = leastBytes >= 2 ** 20
      const least =
        leastBytes > 1 ? ` of at least ${isMega ? `${leastBytes / 2 ** 20}M` : `${leastBytes / 1024}K`},` : ''
      throw new InvalidArgumentError(
        `allowed are sizes${least} like ${isMega ? '' : '500K, '}16M, 2G (factors of 1024).`,
      )
    }
    return bytes
  }
}

/** Letters that mean something else in curl: its users give the next word to them by mistake, or a format. */
export function unlikeCurl<T>(parse: (text: string) => T, hint: string): (text: string) => T {
  return (text) => {
    try {
      return parse(text)
    } catch (error) {
      const isNextWord = /^(?:https?:|-|%\{)/i.test(text)
      throw isNextWord && error instanceof InvalidArgumentError
        ? new InvalidArgumentError(`${error.message} ${hint}`)
        : error
    }
  }
}

export function haltRule(text: string): HaltRule {
  const rule = parseHalt(text)
  if (rule === undefined) {
    throw new InvalidArgumentError('allowed are soon,fail=N, now,fail=N and a share of the jobs: soon,fail=10%.')
  }
  return rule
}

/** The collector passes over all other files. */
export function metricsPath(text: string): string {
  if (!text.endsWith('.prom')) throw new InvalidArgumentError('allowed are names that end in .prom.')
  return text
}

export interface MinSpeed {
  readonly bytesPerSecond: number
  readonly windowMs: number
}

/** `1K/10m`: slower than that over the window is ended; `off` never. */
export function minSpeed(text: string): MinSpeed {
  if (text === 'off' || text === '0') return { bytesPerSecond: 0, windowMs: 600_000 }
  const [speed = '', window = '10m', ...rest] = text.split('/')
  const bytesPerSecond = parseSize(speed)
  const windowMs = parseDuration(window)
  if (bytesPerSecond === undefined || windowMs === undefined || windowMs < 1000 || rest.length > 0) {
    throw new InvalidArgumentError('allowed are SIZE/DURATION like 1K/10m (bytes a second over a window), or off.')
  }
  return { bytesPerSecond, windowMs }
}

export function headerLine(text: string, earlier: readonly [string, string][] = []): [string, string][] {
  const header = parseHeaderLine(text)
  // Commander's own error would print the whole line, and its value may be a secret.
  if (!header.ok) throw new UsageError(`option -H: ${header.problem}`)
  return [...earlier, [header.name, header.value]]
}

/** Without a password: it is asked for. */
export interface GivenUser {
  readonly user: string
  readonly password: string | undefined
}

// RFC 7617 §2: no control characters in either.
const CONTROL = /\p{Cc}/u

export function userPassword(text: string): GivenUser {
  const colon = text.indexOf(':')
  if (text === '') throw new UsageError('option -u: it is empty; write USER:PASSWORD, or USER to be asked')
  if (CONTROL.test(text)) throw new UsageError('option -u: a control character, which no server accepts; remove it')
  return colon < 0
    ? { user: text, password: undefined }
    : { user: text.slice(0, colon), password: text.slice(colon + 1) }
}

/** The URL, whole and checked. */
export function proxy(text: string): string {
  const parsed = parseProxy(text)
  if (!parsed.ok) throw new UsageError(`option --${parsed.problem}`)
  return parsed.url
}

// RFC 9110 §8.3.1; only the whole subtype may be a star.
const MEDIA_TYPE = /^[!#$%&'+.^_`|~0-9a-z-]+\/(?:\*|[!#$%&'+.^_`|~0-9a-z-]+)$/

/** `application/pdf,image/*`: lower-cased, for all uses together. */
export function mediaTypes(text: string, earlier: readonly string[] = []): string[] {
  const types = text.split(',').map((type) => type.trim().toLowerCase())
  if (!types.every((type) => MEDIA_TYPE.test(type))) {
    throw new InvalidArgumentError('allowed are media types like application/pdf, or image/* for all of a kind.')
  }
  return [...earlier, ...types]
}

export function userAgent(text: string): string {
  const header = parseHeader('User-Agent', text)
  if (!header.ok) throw new InvalidArgumentError(`${header.problem}.`)
  return header.value
}

export interface Injection {
  readonly fault: Fault
  readonly line: number
  readonly isEveryAttempt: boolean
}

/** `KIND@LINE`, or `KIND@LINE*` for every attempt and not only the first. */
export function injection(text: string, earlier: readonly Injection[] = []): Injection[] {
  const [, fault = '', line = '', every = ''] = /^([a-z0-9-]+)@(\d{1,9})(\*?)$/.exec(text) ?? []
  if (!isFault(fault) || line === '') {
    throw new InvalidArgumentError(
      `allowed is KIND@LINE (or KIND@LINE* for every attempt), KIND one of ${Object.keys(FAULTS).join(', ')}.`,
    )
  }
  return [...earlier, { fault, line: Number(line), isEveryAttempt: every === '*' }]
}

/** A file name for -o; `%n` counts jobs, `%%` is a percent sign. */
export function outPattern(text: string): string {
  if (text === '' || text.replace(/%[n%]/g, '').includes('%')) {
    throw new InvalidArgumentError("allowed is a name; %n becomes the job's number and %% a percent sign.")
  }
  if (text.startsWith('/') || text.split(/[\\/]/).includes('..')) {
    throw new InvalidArgumentError('the file must stay below --dir: no absolute path and no "..".')
  }
  return text
}

export function reportPath(text: string, earlier: readonly string[] = []): string[] {
  if (!/\.(html|json|txt)$/.test(text)) {
    throw new InvalidArgumentError('allowed are names that end in .html, .json or .txt.')
  }
  return [...earlier, text]
}
