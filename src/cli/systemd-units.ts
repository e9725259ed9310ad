// The service and the timer that run mpdl as a crontab line would: how they are written, and what the service is denied.
// Knows nothing of how the run was put together.

import { statSync } from 'node:fs'
import { basename, dirname, extname, resolve } from 'node:path'
import { onCalendar } from '../core/cron-calendar.ts'
import type { CronSchedule } from '../core/cron-schedule.ts'
import { fingerprint } from '../core/hash.ts'
import { logDirFor, spoolDir, stateDir } from '../places.ts'
import type { CronUser, Variable } from './cron-environment.ts'
import type { RawRunOptions } from './run-options.ts'

export interface UnitRequest {
  /** Node, its flags, the program and what it is told. */
  readonly words: readonly string[]
  readonly variables: readonly Variable[]
  readonly directory: string
  readonly umask: number
  readonly options: RawRunOptions
  /** Undefined: none. */
  readonly runDeadlineMs: number | undefined
  readonly user: CronUser
  readonly schedule: CronSchedule
  /** Of the list, or a host. */
  readonly title: string
  /** Null when it is no file. */
  readonly listPath: string | null
  /** Of the list and the directory. */
  readonly key: string
  /** Absolute; beside Node itself and what the run writes. */
  readonly reads: readonly string[]
}

/** For the list to be read, and for the report when the children are gone. */
const AROUND_MS = 60_000
/** systemd allows 255 with what stands around it. */
const MOST_NAME = 200
const KEY_DIGITS = 6

export function unitsFor(request: UnitRequest): string {
  const { schedule, title, listPath, key } = request
  // Lists of one name may lie in many places, and one list may go to several.
  const name = `${unitName(listPath === null ? title : basename(listPath, extname(listPath)))}-${key.slice(0, KEY_DIGITS)}`
  // A backslash at the end would take the next line along.
  const description = `Description=Download ${literal(title)} with mpdl`
  const starts =
    schedule.times === undefined ? ['OnBootSec=1min'] : onCalendar(schedule.times).map((on) => `OnCalendar=${on}`)
  return [
    `# Two files; then: systemctl daemon-reload && systemctl enable --now '${name}.timer'`,
    `# /etc/systemd/system/${name}.service`,
    '[Unit]',
    description,
    'Wants=network-online.target',
    'After=network-online.target',
    '',
    '[Service]',
    ...serviceLines(request),
    '',
    `# /etc/systemd/system/${name}.timer`,
    '[Unit]',
    description,
    '',
    '[Timer]',
    ...starts,
    ...(schedule.times === undefined ? [] : ['Persistent=true', 'AccuracySec=1s']),
    '',
    '[Install]',
    'WantedBy=timers.target',
    '',
  ].join('\n')
}

/** What no unit may be called is spelled out. */
function unitName(base: string): string {
  const escaped = [...Buffer.from(base)]
    .map((byte) => String.fromCharCode(byte))
    .map((character) =>
      /[\w:.-]/.test(character) ? character : `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
    )
    .join('')
  return `mpdl-${escaped.length > MOST_NAME ? fingerprint(base) : escaped}`
}

function serviceLines(request: UnitRequest): string[] {
  const { words, variables, directory, umask, options, runDeadlineMs, user } = request
  const [node = '', ...rest] = words
  const writes = writesOf(request)
  const all = [node, directory, ...request.reads, ...writes, ...variables.map(({ value }) => value)]
  const isAnyBelow = (...tops: readonly string[]) =>
    all.some((path) => tops.some((top) => path === top || path.startsWith(`${top}/`)))
  const hookMs = options.onFinish === undefined ? 0 : options.onFinishTimeout + options.killAfter
  const stopMs = options.killAfter + hookMs + AROUND_MS
  return [
    'Type=oneshot',
    `User=${literal(user.name)}`,
    `WorkingDirectory=${wholeLine(directory)}`,
    ...variables.map(({ name, value }) => `Environment=${word(`${name}=${value}`)}`),
    `UMask=${umask.toString(8).padStart(4, '0')}`,
    // Of the program itself a dollar is its own.
    `ExecStart=${[word(node), ...rest.map((each) => word(each).replaceAll('$', '$$$$'))].join(' ')}`,
    `TimeoutStartSec=${runDeadlineMs === undefined ? 'infinity' : seconds(runDeadlineMs + stopMs)}`,
    `TimeoutStopSec=${seconds(stopMs)}`,
    'KillMode=mixed',
    '# What it may do; a program of --on-finish is held to it too.',
    'NoNewPrivileges=true',
    // Root without it could not write into what belongs to others.
    `CapabilityBoundingSet=${process.getuid?.() === 0 ? 'CAP_DAC_OVERRIDE' : ''}`,
    'ProtectSystem=strict',
    ...writes.map((path) => `ReadWritePaths=${word(path)}`),
    ...(isAnyBelow('/home', '/root', '/run/user') ? [] : ['ProtectHome=true']),
    ...(isAnyBelow('/tmp', '/var/tmp') ? [`ReadWritePaths=${word(spoolDir())}`] : ['PrivateTmp=true']),
    'PrivateDevices=true',
    'ProtectClock=true',
    'ProtectControlGroups=true',
    'ProtectHostname=true',
    'ProtectKernelLogs=true',
    'ProtectKernelModules=true',
    'ProtectKernelTunables=true',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6',
    'RestrictNamespaces=true',
    'RestrictRealtime=true',
    'RestrictSUIDSGID=true',
    'LockPersonality=true',
    'SystemCallArchitectures=native',
  ]
}

/** Directories: what is replaced is first written beside. */
function writesOf({ options, listPath }: UnitRequest): string[] {
  const { dir, report = [], failedOut, metrics, cookieJar, log, logDir } = options
  const files = [...report, failedOut, metrics, cookieJar].filter((path) => path !== undefined)
  const logs = log ? [logDirFor(logDir, listPath ?? 'command line')] : []
  const places = [resolve(dir), stateDir(), ...logs, ...files.map((path) => dirname(resolve(path)))]
  const found = [...new Set(places.map(existing))].sort()
  const isBelowAnother = (path: string) => found.some((other) => path.startsWith(`${other}/`))
  return found.filter((path) => path !== '/dev' && !isBelowAnother(path))
}

/** What is not there yet can be made by whoever may write where it will be. */
function existing(path: string): string {
  const parent = dirname(path)
  return parent === path || statSync(path, { throwIfNoEntry: false }) !== undefined ? path : existing(parent)
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1000)
}

/** Specifiers begin with a percent sign wherever they are read. */
function literal(text: string): string {
  return text.replaceAll('%', '%%')
}

function word(text: string): string {
  return /^[\w@+=:,./%-]+$/.test(text) ? literal(text) : `"${literal(text).replace(/["\\]/g, '\\$&')}"`
}

/** A value that is no list of words, whose end would be cut off or be taken for more to come. */
function wholeLine(path: string): string {
  return /[\s\\]$/.test(path) ? `${literal(path)}/` : literal(path)
}
