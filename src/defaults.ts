// The settings of a run in which nothing was asked for. The command line's help shows the same values.

import { resolve } from 'node:path'
import { stateDir } from './places.ts'
import { canBeStrict } from './session.ts'
import type { Settings } from './supervisor/settings.ts'
import { VERSION } from './version.ts'

export function defaultSettings(): Settings {
  return {
    dir: resolve('.'),
    stateDir: stateDir(),
    version: VERSION,
    isStrict: canBeStrict(),
    jobs: 8,
    maxPerHost: 6,
    tries: 5,
    retryDelayMs: 2000,
    retryAfterMaxMs: 600_000,
    connectTimeoutMs: 30_000,
    timeoutMs: 60_000,
    minBytesPerSecond: 1024,
    speedWindowMs: 600_000,
    deadlineMs: undefined,
    runDeadlineMs: undefined,
    maxMemoryBytes: 256 * 2 ** 20,
    maxFileSizeBytes: undefined,
    minDiskFreeBytes: undefined,
    maxRedirects: 20,
    headers: [],
    userAgent: `mpdl/${VERSION}`,
    ca: undefined,
    existing: 'ask',
    fsync: 'file',
    setMtime: true,
    hangTimeoutMs: 30_000,
    killAfterMs: 5000,
    beatMs: 1000,
    inject: [],
  }
}
