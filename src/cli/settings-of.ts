// From the options of a run to its settings; reads here what the supervisor keeps from children: certificates, keys,
// passwords. Knows nothing of the list.

import { resolve } from 'node:path'
import type { UserPassword } from '../core/credentials.ts'
import { noProxyOf, type ProxyRules, proxiesFromEnvironment } from '../core/proxy.ts'
import { defaultSettings } from '../defaults.ts'
import { canBeStrict } from '../session.ts'
import { netrcProblem } from '../supervisor/netrc-file.ts'
import type { NetrcSettings, Settings } from '../supervisor/settings.ts'
import { readCertificates, readClientCertificate } from './pem.ts'
import type { RawRunOptions } from './run-options.ts'
import { UsageError } from './usage-error.ts'

/** `ask`: for the password of a user who was given without. Throws a UsageError for what cannot be used. */
export async function settingsOf(
  options: RawRunOptions,
  ask: (user: string) => Promise<string>,
): Promise<Readonly<Settings>> {
  const base = defaultSettings()
  if (options.key !== undefined && options.cert === undefined) {
    throw new UsageError('--key needs the certificate that it belongs to; give that with --cert FILE', 78)
  }
  return Object.freeze({
    ...base,
    dir: resolve(options.dir),
    isolate: options.isolate,
    isStrict: wantsStrict(options),
    jobs: options.jobs,
    maxPerHost: options.maxPerHost,
    split: options.split,
    minSplitBytes: options.minSplitSize,
    limitBytesPerSecond: options.limitRate,
    adoptForeign: options.continue ?? base.adoptForeign,
    tries: options.tries,
    retryDelayMs: options.retryDelay,
    retryAfterMaxMs: options.retryAfterMax,
    connectTimeoutMs: options.connectTimeout,
    timeoutMs: options.timeout,
    minBytesPerSecond: options.minSpeed.bytesPerSecond,
    speedWindowMs: options.minSpeed.windowMs,
    deadlineMs: options.deadline,
    runDeadlineMs: options.runDeadline,
    halt: options.halt,
    maxMemoryBytes: options.maxMemory,
    maxFileSizeBytes: options.maxFilesize,
    minDiskFreeBytes: options.minDiskFree,
    maxRedirects: options.maxRedirects,
    headers: options.header ?? base.headers,
    userAgent: options.userAgent ?? base.userAgent,
    ca: options.cacert === undefined ? undefined : readCertificates('--cacert', options.cacert),
    clientCertificate: options.cert === undefined ? undefined : readClientCertificate(options.cert, options.key),
    isInsecure: options.insecure ?? base.isInsecure,
    auth: options.auth ?? base.auth,
    netrc: netrcOf(options, base.netrc),
    cookies: options.cookieJar === undefined ? (options.cookies === true ? 'run' : 'off') : { file: options.cookieJar },
    proxies: proxiesOf(options.proxy),
    blocksPrivate: options.blockPrivate ?? base.blocksPrivate,
    decodes: options.compressed ?? base.decodes,
    acceptTypes: options.acceptType,
    // What is asked for by name has that name.
    serverNames: options.out === undefined && (options.contentDisposition ?? base.serverNames),
    onClash: options.onClash,
    waitMs: options.wait ?? base.waitMs,
    existing: existingOf(options),
    fsync: options.fsync,
    setMtime: options.mtime,
    hangTimeoutMs: options.hangTimeout,
    killAfterMs: options.killAfter,
    beatMs: beatFor(options.timeout),
    inject: options.inject ?? [],
    // The last: nobody types a password for a run that cannot begin.
    credentials: await credentialsOf(options, ask),
  })
}

async function credentialsOf(
  { user: given }: RawRunOptions,
  ask: (user: string) => Promise<string>,
): Promise<UserPassword | undefined> {
  return given && { user: given.user, password: given.password ?? (await ask(given.user)) }
}

function netrcOf({ netrc, netrcFile }: RawRunOptions, byDefault: NetrcSettings): NetrcSettings {
  if (netrc !== true && netrcFile === undefined) return byDefault
  const settings = { file: netrcFile ?? byDefault.file, isOn: true }
  const problem = netrcProblem(settings)
  if (problem !== undefined) throw new UsageError(problem, 78)
  return settings
}

/** NO_PROXY counts for --proxy as well, as with curl. */
function proxiesOf(proxy: RawRunOptions['proxy']): ProxyRules {
  if (proxy === false) return { noProxy: '' }
  if (proxy !== undefined) return { http: proxy, https: proxy, noProxy: noProxyOf(process.env) }
  const found = proxiesFromEnvironment(process.env)
  if (!found.ok) throw new UsageError(`environment variable ${found.problem}; or say --no-proxy`, 78)
  return found.rules
}

function existingOf({ force, skipExisting, timestamping }: RawRunOptions): Settings['existing'] {
  if (force === true) return 'force'
  if (skipExisting === true) return 'skip'
  return timestamping === true ? 'newer' : 'ask'
}

/** What a crash may lose is what came since the last beat; and a stall must be seen before it has lasted too long. */
function beatFor(timeoutMs: number): number {
  return Math.min(100, Math.max(50, Math.floor(timeoutMs / 4)))
}

function wantsStrict({ sandbox, isolate }: RawRunOptions): boolean {
  if (isolate === 'thread' || isolate === 'inline') {
    if (sandbox !== 'strict') return false
    throw new UsageError(`--sandbox strict needs processes, which --isolate ${isolate} has none of`, 64)
  }
  const isPossible = canBeStrict()
  if (sandbox === 'strict' && !isPossible) {
    throw new UsageError(`--sandbox strict needs Node's permission model, which ${process.version} lacks`, 78)
  }
  return sandbox !== 'off' && isPossible
}
