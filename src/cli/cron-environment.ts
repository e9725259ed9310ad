// What a run started by hand has around it that cron does not give, and which of it is secret. Knows nothing of how it
// is handed over.

import { userInfo } from 'node:os'
import type { Command } from 'commander'
import { redactUrl } from '../core/redact.ts'
import { environmentSayings } from './config-keys.ts'
import type { Texts } from './effective.ts'
import { maskValue } from './redact-argv.ts'
import type { RawRunOptions } from './run-options.ts'
import { UsageError } from './usage-error.ts'

/** As Debian's cron has it; others add to it. */
export const CRON_PATH = '/usr/bin:/bin'
export const CRON_UMASK = 0o022

const PROXIES = ['http_proxy', 'https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY', 'no_proxy', 'NO_PROXY']
const OTHERS = ['XDG_STATE_HOME', 'NETRC', 'NODE_EXTRA_CA_CERTS', 'NODE_OPTIONS', 'TZ']

export interface CronUser {
  readonly name: string
  readonly home: string
}

/** Whose crontab it would be. Throws a UsageError where nobody is known by that number. */
export function cronUser(): CronUser {
  try {
    const { username, homedir } = userInfo()
    return { name: username, home: homedir }
  } catch {
    throw new UsageError(`there is no user ${process.getuid?.()} in passwd, and cron starts nothing for such`, 78)
  }
}

export interface Variable {
  readonly name: string
  readonly value: string
  readonly isSecret: boolean
}

/** That change what mpdl does, are set here and would not be under cron. */
export function variablesToCarry(options: RawRunOptions, user: CronUser): Variable[] {
  const { env } = process
  const said = environmentSayings(env).flatMap((saying): Variable[] => {
    if ('problem' in saying) return []
    const isSecret = [saying.given].flat().some((text) => maskValue(saying.option, String(text)) !== text)
    return [{ name: saying.where, value: env[saying.where] ?? '', isSecret }]
  })
  const home = env['HOME'] === user.home ? [] : ['HOME']
  // A program by its name, and what that one starts in turn.
  const path = options.onFinish === undefined ? [] : ['PATH']
  const others = [...home, ...path, ...OTHERS, ...PROXIES].flatMap((name): Variable[] => {
    const value = env[name] ?? ''
    return value === '' ? [] : [{ name, value, isSecret: PROXIES.includes(name) && redactUrl(value) !== value }]
  })
  return [...others, ...said]
}

/** What of the command line nobody else should read, as it is called. */
export function secretsTyped(command: Command, typed: Texts, operands: readonly string[]): string[] {
  const options = command.options
    .filter((option) => option.required)
    .filter((option) => typed.get(option.attributeName())?.some((text) => maskValue(option, text) !== text))
    .map((option) => option.short ?? `${option.long}`)
  return operands.some((operand) => redactUrl(operand) !== operand) ? [...options, 'a URL'] : options
}
