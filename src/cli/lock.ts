// Takes the lock of a list and its directory for a run, or says who has it. Knows nothing of how a file is locked.

import { hostname } from 'node:os'
import { localTime } from '../core/local-time.ts'
import { excerpt, printable } from '../core/printable.ts'
import { formatDuration } from '../core/units.ts'
import { detectHardening } from '../isolation/hardening.ts'
import { lockPath } from '../places.ts'
import { type ListLock, type LockHolder, lockList } from '../supervisor/list-lock.ts'
import { listFileOf } from './list-source.ts'
import { redactArgv } from './redact-argv.ts'
import type { GetRequest } from './run-list.ts'
import { UsageError } from './usage-error.ts'

type Held = Extract<ListLock, { ok: true }>

/** Undefined where it is not known which list it is. Throws a UsageError (75) where another run has it. */
export async function takeLock(
  key: string | undefined,
  { operands, options, argv }: GetRequest,
  startedMs: number,
): Promise<Held | undefined> {
  if (key === undefined) return undefined
  const { dir, lockWait = 0, runDeadline = Number.POSITIVE_INFINITY } = options
  const waitMs = Math.min(lockWait, runDeadline)
  const lock = await lockList({
    path: lockPath(key),
    self: { pid: process.pid, host: hostname(), startedMs, command: excerpt(['mpdl', ...redactArgv(argv)].join(' ')) },
    waitMs,
    hardening: detectHardening(),
  })
  if (lock.ok) return lock
  const file = listFileOf(operands)
  const what = file === undefined ? 'what is asked for' : printable(file)
  const option = lockWait <= runDeadline ? '--lock-wait' : '--run-deadline'
  const advice =
    waitMs === 0
      ? 'wait for it with --lock-wait DUR'
      : `waited for it ${formatDuration(waitMs)} (${option}); nothing was downloaded`
  throw new UsageError(
    `${what} is being downloaded into ${printable(dir)} by another run${whoIs(lock.holder)}; ${advice}`,
    75,
  )
}

function whoIs(holder: LockHolder | undefined): string {
  if (holder === undefined) return ', which has not said who it is'
  const { pid, host, startedMs, command } = holder
  const where = host === hostname() ? '' : ` on ${excerpt(host)}`
  return ` (pid ${pid}${where}, started ${localTime(startedMs)}: ${excerpt(command)})`
}
