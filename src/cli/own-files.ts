// Which files a run reads or writes beside its downloads, and that it never writes what it reads. Knows nothing of what
// is in them.

import { dirname, join, resolve } from 'node:path'
import { isOneOf } from '../supervisor/own-files.ts'
import type { RawRunOptions } from './run-options.ts'
import { UsageError } from './usage-error.ts'

/** Absolute, each once. `list`: absolute; null when it is no file. Throws a UsageError where an output is an input. */
export function ownFilesOf(options: RawRunOptions, list: string | null): string[] {
  const { config, netrcFile, cacert, cert, key, report = [], failedOut, cookieJar } = options
  // The configuration that another run would find there, too.
  const beside = list === null ? [] : [list, join(dirname(list), 'mpdl.toml')]
  const named = [config, netrcFile, cacert, cert, key].filter((path) => typeof path === 'string')
  const inputs = [...beside, ...named.map((path) => resolve(path))]
  const outputs: [string, string][] = [
    ...report.map((path): [string, string] => ['--report', path]),
    ...(failedOut === undefined ? [] : [['--failed-out', failedOut] satisfies [string, string]]),
    ...(cookieJar === undefined ? [] : [['--cookie-jar', cookieJar] satisfies [string, string]]),
  ]
  for (const [option, path] of outputs) {
    if (isOneOf(inputs, resolve(path))) {
      throw new UsageError(`${option} ${path} would overwrite what this run reads; choose another file`)
    }
  }
  return [...new Set([...inputs, ...outputs.map(([, path]) => resolve(path))])]
}
