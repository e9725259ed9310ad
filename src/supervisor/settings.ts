// What a run needs to know, validated and frozen. Made by the command line or the library's face.

import type { AttemptLimits } from '../core/attempt.ts'
import type { AuthMode, UserPassword } from '../core/credentials.ts'
import type { Fault } from '../core/fault.ts'
import type { HaltRule } from '../core/halt.ts'
import type { IsolationName } from '../core/isolation-name.ts'
import type { ProxyRules } from '../core/proxy.ts'
import type { Headers } from '../core/validator.ts'
import type { ClientCertificate } from '../protocol/message.ts'

/** The netrc file: read when it is wanted, or looked into only to tell that it has an entry. */
export interface NetrcSettings {
  readonly file: string
  readonly isOn: boolean
}

export interface Settings {
  /** Absolute. */
  readonly dir: string
  readonly stateDir: string
  /** Absolute: the list and whatever else the run reads or writes beside the downloads, which may have none of these names. */
  readonly ownFiles: readonly string[]
  readonly version: string
  /** What keeps downloads apart; `auto`: a process each, unless the list is long. */
  readonly isolate: 'auto' | IsolationName
  /** Children run under the permission model, where they are processes. */
  readonly isStrict: boolean
  readonly jobs: number
  readonly maxPerHost: number
  /** Children at once for one file. */
  readonly split: number
  /** What a further child must have to bring, at least. */
  readonly minSplitBytes: number
  /** For the whole run; undefined: as fast as it comes. */
  readonly limitBytesPerSecond: number | undefined
  /** `-c`: partial files of other tools are continued. */
  readonly adoptForeign: boolean
  readonly tries: number
  readonly retryDelayMs: number
  readonly retryAfterMaxMs: number
  readonly connectTimeoutMs: number
  /** No body bytes for this long; headers get five times as long. */
  readonly timeoutMs: number
  readonly minBytesPerSecond: number
  readonly speedWindowMs: number
  readonly deadlineMs: number | undefined
  readonly runDeadlineMs: number | undefined
  /** When so many have failed that the rest is not worth it; undefined: never. */
  readonly halt: HaltRule | undefined
  readonly maxMemoryBytes: number
  readonly maxFileSizeBytes: number | undefined
  /** Undefined: the lesser of 1 GiB and 5 % of the disk. */
  readonly minDiskFreeBytes: number | undefined
  readonly maxRedirects: number
  /** `-H`, sent to each job's own origin only. */
  readonly headers: Headers
  readonly userAgent: string
  /** PEM. */
  readonly ca: string | undefined
  /** PEM, shown to a job's own origin only. */
  readonly clientCertificate: ClientCertificate | undefined
  /** Servers' certificates are not verified. */
  readonly isInsecure: boolean
  /** `-u`: for every job that names no others, sent to its own origin only. */
  readonly credentials: UserPassword | undefined
  readonly auth: AuthMode
  readonly netrc: NetrcSettings
  /** Cookies are kept for the run; `file`: and come from and go to this Netscape file. */
  readonly cookies: 'off' | 'run' | { readonly file: string }
  readonly proxies: ProxyRules
  /** `--block-private`: connections to public addresses only. */
  readonly blocksPrivate: boolean
  /** `--compressed`: bodies may come coded and are decoded. */
  readonly decodes: boolean
  /** Lower-case media types, `image/*` for all of a kind; undefined: any. */
  readonly acceptTypes: readonly string[] | undefined
  /** `--content-disposition`: the server may name the file. */
  readonly serverNames: boolean
  /** Two files, one name, found at the commit: refuse or rename; before a byte moves it is the list's affair. */
  readonly onClash: 'fail' | 'rename'
  /** Between two starts at one host, on average. */
  readonly waitMs: number
  /** `newer`: `-N`, files that mpdl did not fetch are asked for by their time and size. */
  readonly existing: 'ask' | 'newer' | 'force' | 'skip'
  readonly fsync: 'file' | 'run' | 'none'
  readonly setMtime: boolean
  readonly hangTimeoutMs: number
  readonly killAfterMs: number
  readonly beatMs: number
  readonly inject: readonly { readonly fault: Fault; readonly line: number; readonly isEveryAttempt: boolean }[]
}

/** What holds where nothing is asked for; the command line's help and the library share it. */
export const DEFAULTS = Object.freeze({
  isolate: 'auto',
  jobs: 8,
  maxPerHost: 6,
  split: 4,
  minSplitBytes: 16 * 2 ** 20,
  limitBytesPerSecond: undefined,
  adoptForeign: false,
  tries: 5,
  retryDelayMs: 2000,
  retryAfterMaxMs: 600_000,
  connectTimeoutMs: 30_000,
  timeoutMs: 60_000,
  minBytesPerSecond: 1024,
  speedWindowMs: 600_000,
  maxMemoryBytes: 256 * 2 ** 20,
  maxRedirects: 20,
  fsync: 'file',
  auth: 'default',
  clientCertificate: undefined,
  isInsecure: false,
  credentials: undefined,
  cookies: 'off',
  proxies: { noProxy: '' },
  blocksPrivate: false,
  decodes: false,
  acceptTypes: undefined,
  serverNames: false,
  onClash: 'fail',
  waitMs: 0,
  hangTimeoutMs: 30_000,
  killAfterMs: 5000,
} satisfies Partial<Settings>)

const BOOT_MS = 15_000
const LINGER_MS = 3_000
const REAP_MS = 5_000
const MAX_MESSAGES_PER_SECOND = 2_000

/** The deadlines of one attempt. `timeoutMs`: the list entry's own, instead of --timeout. */
export function limitsOf(settings: Settings, timeoutMs: number = settings.timeoutMs): AttemptLimits {
  return {
    bootMs: BOOT_MS,
    connectMs: settings.connectTimeoutMs,
    headersMs: timeoutMs * 5,
    stallMs: timeoutMs,
    hangMs: settings.hangTimeoutMs,
    lingerMs: LINGER_MS,
    graceMs: settings.killAfterMs,
    reapMs: REAP_MS,
    maxMemoryBytes: settings.maxMemoryBytes,
    maxMessagesPerSecond: MAX_MESSAGES_PER_SECOND,
    minBytesPerSecond: settings.minBytesPerSecond,
    speedWindowMs: settings.speedWindowMs,
  }
}
