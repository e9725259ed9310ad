// The settings of a run in which nothing was asked for, on this machine.

import { resolve } from 'node:path'
import { netrcPath, stateDir } from './places.ts'
import { canBeStrict } from './session.ts'
import { DEFAULTS, type Settings } from './supervisor/settings.ts'
import { VERSION } from './version.ts'

export function defaultSettings(): Settings {
  return {
    ...DEFAULTS,
    dir: resolve('.'),
    stateDir: stateDir(),
    ownFiles: [],
    version: VERSION,
    isStrict: canBeStrict(),
    deadlineMs: undefined,
    runDeadlineMs: undefined,
    halt: undefined,
    maxFileSizeBytes: undefined,
    minDiskFreeBytes: undefined,
    headers: [],
    userAgent: `mpdl/${VERSION}`,
    ca: undefined,
    netrc: { file: netrcPath(), isOn: false },
    existing: 'ask',
    setMtime: true,
    beatMs: 100,
    inject: [],
  }
}
