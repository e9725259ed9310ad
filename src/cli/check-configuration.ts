// For mpdl doctor: whether the options as they hold could be used, and what they are. Nothing is downloaded for it.

import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { printable } from '../core/printable.ts'
import { proxiesFromEnvironment } from '../core/proxy.ts'
import { redactUrl } from '../core/redact.ts'
import { logDirFor } from '../places.ts'
import type { ConfigFile } from './config-file.ts'
import { unknownVariables } from './config-keys.ts'
import { configure } from './configure.ts'
import { effectiveLines, type Texts } from './effective.ts'
import { type RawRunOptions, SECRET } from './run-options.ts'
import { settingsOf } from './settings-of.ts'
import { UsageError } from './usage-error.ts'

export interface CheckedConfiguration {
  /** What would stop a run or spill a secret, a sentence each. */
  readonly problems: readonly string[]
  /** Where things are, then every option with its value and its source. */
  readonly lines: readonly string[]
}

/** `typed`: the texts of the command line. */
export async function checkConfiguration(
  list: string | undefined,
  command: Command,
  typed: Texts,
): Promise<CheckedConfiguration> {
  const { problems, file, texts } = await configure(command, list)
  const options = command.opts<RawRunOptions>()
  const place = list === undefined ? 'of a list file: mpdl doctor LIST' : logDirFor(options.logDir, resolve(list))
  return {
    problems: [
      ...whyNoList(list),
      ...problems,
      ...unknownVariables(process.env),
      ...(await whyNoSettings(options)),
      ...whyNotSecret(file),
    ].map(printable),
    lines: [
      `logs ${place}`,
      `configuration file ${file === undefined ? 'none' : printable(file.path)}`,
      ...environmentProxies(),
      '',
      ...effectiveLines(command, typed, texts),
    ],
  }
}

function whyNoList(list: string | undefined): string[] {
  const isMissing = list !== undefined && statSync(list, { throwIfNoEntry: false }) === undefined
  return isMissing ? [`there is no list ${list}`] : []
}

async function whyNoSettings(options: RawRunOptions): Promise<string[]> {
  try {
    await settingsOf(options, async () => '')
    return []
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    return [error.message]
  }
}

function whyNotSecret(file: ConfigFile | undefined): string[] {
  const secret = file?.keys.find(({ key }) => SECRET.has(key))
  if (file === undefined || secret === undefined || (file.mode & 0o044) === 0) return []
  return [`${file.path} holds ${secret.key} and can be read by others; chmod 600 ${file.path}`]
}

function environmentProxies(): string[] {
  const found = proxiesFromEnvironment(process.env)
  if (!found.ok) return []
  const { http, https, noProxy } = found.rules
  return [
    ...(http === undefined ? [] : [`environment: http:// by way of ${redactUrl(http)}`]),
    ...(https === undefined ? [] : [`environment: https:// by way of ${redactUrl(https)}`]),
    ...(noProxy === '' ? [] : [`environment: without a proxy ${printable(noProxy)}`]),
  ]
}
