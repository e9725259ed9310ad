// Which files a run reads or writes beside its downloads, and that it writes none of them over another. Knows nothing of
// what is in them.

import { statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { namesOf } from '../supervisor/own-files.ts'
import type { RawRunOptions } from './run-options.ts'
import { UsageError } from './usage-error.ts'

/**
 * Absolute, under all the names that they have. `list`: absolute; null when it is no file. Throws a UsageError where an
 * output would replace what the run reads, or another output.
 */
export function ownFilesOf(options: RawRunOptions, list: string | null): string[] {
  const { config, netrcFile, cacert, cert, key, report = [], failedOut, metrics, cookieJar, onFinish } = options
  // The configuration that another run would find there, too.
  const beside = list === null ? [] : [list, join(dirname(list), 'mpdl.toml')]
  const named = [config, netrcFile, cacert, cert, key, onFinish].filter((path) => typeof path === 'string')
  const taken = new Set([...beside, ...named].flatMap((path) => namesOf(resolve(path))))
  const outputs = [
    ...report.map((path) => ({ option: '--report', path })),
    ...(failedOut === undefined ? [] : [{ option: '--failed-out', path: failedOut }]),
    ...(metrics === undefined ? [] : [{ option: '--metrics', path: metrics }]),
    ...(cookieJar === undefined ? [] : [{ option: '--cookie-jar', path: cookieJar }]),
  ]
  for (const { option, path } of outputs) {
    const names = namesOf(resolve(path))
    const parent = dirname(resolve(path))
    if (statSync(parent, { throwIfNoEntry: false })?.isDirectory() !== true) {
      throw new UsageError(`${option} ${path}: there is no directory ${parent}`, 73)
    }
    const isDevice = names.some((name) => name.startsWith('/dev/'))
    if (!isDevice && names.some((name) => taken.has(name))) {
      throw new UsageError(`${option} ${path} would overwrite another file of this run; choose another`)
    }
    for (const name of names) taken.add(name)
  }
  return [...taken]
}
