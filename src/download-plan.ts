// From what a program asks of a run to its settings; refuses what would not work. Knows nothing of jobs.

import { resolve } from 'node:path'
import { AUTH_MODES } from './core/credentials.ts'
import { parseHeader, parseHeaderLine } from './core/header.ts'
import { ISOLATIONS } from './core/isolation-name.ts'
import { nearest } from './core/nearest.ts'
import { type ProxyRules, parseProxy } from './core/proxy.ts'
import type { Headers } from './core/validator.ts'
import { defaultSettings } from './defaults.ts'
import type { DownloadOptions } from './download-options.ts'
import { spoolDir } from './places.ts'
import type { ListRules } from './supervisor/job-list.ts'
import { netrcProblem } from './supervisor/netrc-file.ts'
import { namesOf } from './supervisor/own-files.ts'
import type { Settings } from './supervisor/settings.ts'

/** What a run is started with. */
export interface Plan {
  readonly settings: Settings
  readonly rules: ListRules
}

/** Not for programs: rehearsals, what follows from other options, and what their own signal does better. */
const INTERNAL: Readonly<Record<Exclude<keyof Settings, keyof DownloadOptions>, true>> = {
  version: true,
  inject: true,
  halt: true,
  beatMs: true,
  ownFiles: true,
  proxies: true,
}
const OF_LIBRARY: Readonly<Record<Exclude<keyof DownloadOptions, keyof Settings>, true>> = {
  names: true,
  queryNames: true,
  keepGoing: true,
  signal: true,
  onEvent: true,
  proxy: true,
  noProxy: true,
}

const CHOICES: ReadonlyMap<string, readonly unknown[]> = new Map<keyof DownloadOptions, readonly string[]>([
  ['names', ['flat', 'tree', 'host']],
  ['onClash', ['fail', 'rename']],
  ['isolate', ['auto', ...ISOLATIONS]],
  ['existing', ['ask', 'newer', 'force', 'skip']],
  ['fsync', ['file', 'run', 'none']],
  ['auth', AUTH_MODES],
])

/** What settings are taken from as it is. */
type ForSettings = Omit<Pick<DownloadOptions, keyof DownloadOptions & keyof Settings>, 'dir' | 'headers' | 'netrc'>

type NumberOption = {
  [K in keyof Settings]: Settings[K] extends number | undefined ? K : never
}[keyof Settings & keyof DownloadOptions]

/** What less than makes no sense, as on the command line. */
const LEAST: Readonly<Record<NumberOption, number>> = {
  jobs: 1,
  maxPerHost: 1,
  split: 1,
  minSplitBytes: 2 ** 20,
  limitBytesPerSecond: 1024,
  waitMs: 0,
  tries: 1,
  retryDelayMs: 0,
  retryAfterMaxMs: 0,
  connectTimeoutMs: 1,
  timeoutMs: 1,
  minBytesPerSecond: 0,
  speedWindowMs: 1000,
  deadlineMs: 1,
  runDeadlineMs: 1,
  hangTimeoutMs: 2000,
  killAfterMs: 0,
  maxMemoryBytes: 64 * 2 ** 20,
  maxFileSizeBytes: 1,
  minDiskFreeBytes: 0,
  maxRedirects: 0,
}
const MOST = 1000
// Node's timers count milliseconds in 31 bits, and what is more fires at once.
const MOST_MS = 24 * 86_400_000

/** `listFile`: where the jobs come from, if it is a file. Throws a TypeError or RangeError for what cannot work. */
export function planOf(options: DownloadOptions, listFile: string | undefined): Plan {
  const base = defaultSettings()
  requireKnown(Object.keys(options), base)
  for (const [name, value] of Object.entries(options)) if (value !== undefined) requireFit(name, value)
  const {
    names = 'flat',
    queryNames = false,
    keepGoing = false,
    dir,
    headers,
    netrc,
    proxy,
    noProxy = '',
    signal,
    onEvent,
    ...given
  } = options
  const jarFile = typeof given.cookies === 'object' ? given.cookies.file : undefined
  const settings: Settings = Object.freeze({
    ...base,
    ...withoutUndefined(given),
    dir: resolve(dir ?? '.'),
    headers: headersOf(headers ?? []),
    proxies: proxy === undefined ? base.proxies : proxiesOf(proxy, noProxy),
    netrc: netrc === undefined ? base.netrc : { file: netrc, isOn: true },
    ownFiles: [listFile, netrc, jarFile].flatMap((path) => (path === undefined ? [] : namesOf(resolve(path)))),
  })
  const problem = netrcProblem(settings.netrc)
  if (problem !== undefined) throw new TypeError(problem)
  const rules: ListRules = {
    naming: { names, queryNames },
    onClash: settings.onClash,
    keepGoing,
    foldCase: process.platform === 'darwin',
    spoolDir: spoolDir(),
  }
  return { settings, rules }
}

function requireKnown(names: readonly string[], base: Settings): void {
  const known = Object.keys({ ...base, ...OF_LIBRARY }).filter((name) => !Object.hasOwn(INTERNAL, name))
  const unknown = names.find((name) => !known.includes(name))
  if (unknown === undefined) return
  const near = nearest(unknown, known)
  throw new TypeError(`option ${unknown} is unknown${near === undefined ? '' : `; did you mean ${near}?`}`)
}

function requireFit(name: string, value: unknown): void {
  const choices = CHOICES.get(name)
  if (choices?.includes(value) === false) {
    throw new TypeError(`option ${name} is ${value}; allowed are ${choices.join(', ')}`)
  }
  if (!isNumberOption(name)) return
  const least = LEAST[name]
  const most = name.endsWith('Ms') ? MOST_MS : name.includes('Bytes') ? Number.MAX_SAFE_INTEGER : MOST
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`option ${name} is ${value}; allowed are whole numbers from ${least} to ${most}`)
  }
}

function isNumberOption(name: string): name is NumberOption {
  return Object.hasOwn(LEAST, name)
}

function proxiesOf(text: string, noProxy: string): ProxyRules {
  const proxy = parseProxy(text)
  if (!proxy.ok) throw new TypeError(`option ${proxy.problem}`)
  return { http: proxy.url, https: proxy.url, noProxy }
}

function headersOf(headers: NonNullable<DownloadOptions['headers']>): Headers {
  const results = isLines(headers)
    ? headers.map(parseHeaderLine)
    : Object.entries(headers).map(([name, value]) => parseHeader(name, value))
  return results.map((result) => {
    if (!result.ok) throw new TypeError(`option headers: ${result.problem}`)
    return [result.name, result.value]
  })
}

function isLines(headers: NonNullable<DownloadOptions['headers']>): headers is readonly string[] {
  return Array.isArray(headers)
}

/** Programs say `undefined` for what they leave to mpdl. */
function withoutUndefined(given: ForSettings): { [K in keyof ForSettings]?: Exclude<ForSettings[K], undefined> } {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}
