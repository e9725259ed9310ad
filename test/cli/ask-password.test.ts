// Whether a password is asked for where people sit, on a real terminal of util-linux's `script`, and nowhere else.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from 'vitest'
import { findProgram, requireServer } from '../fixtures/servers.ts'

const MODULE = JSON.stringify(join(import.meta.dirname, '../../src/cli/ask-password.ts'))
const ASK = `const { askPassword } = await import(${MODULE})
try { console.log('answer ' + JSON.stringify(await askPassword('bob'))) }
catch (error) { console.log(error.constructor.name + ' ' + error.exitCode + ' ' + error.message) }`
const RUN = `"${process.execPath}" --input-type=module -e "$ASK"`
const canTry = requireServer('script', findProgram('script')) && requireServer('setsid', findProgram('setsid'))

/** What a screen shows; `keys` are pressed once the question is on it. */
async function shown(command: string, args: readonly string[], keys?: string): Promise<string> {
  const child = spawn(command, args, { env: { ...process.env, ASK }, stdio: ['pipe', 'pipe', 'inherit'] })
  let text = ''
  let isAsked = false
  for await (const chunk of child.stdout.setEncoding('utf8')) {
    text += chunk
    if (isAsked || keys === undefined || !text.includes('Password for bob:')) continue
    isAsked = true
    child.stdin.write(keys)
  }
  return stripVTControlCharacters(text).replaceAll('\r\n', '\n')
}

/** Standard input is /dev/null, as it would be a list. */
const onTerminal = (keys: string) => shown('script', ['-qec', `${RUN} </dev/null`, '/dev/null'], keys)

describe.skipIf(!canTry)('askPassword', () => {
  test('takes the answer from the terminal and never shows it', async () => {
    expect(await onTerminal('p ä:"\\ word\r')).toBe('Password for bob: \nanswer "p ä:\\"\\\\ word"\n')
  })

  test('takes a single Enter for an empty password', async () => {
    expect(await onTerminal('\r')).toContain('answer ""')
  })

  test('ends with 130 at Ctrl-C', async () => {
    expect(await onTerminal('half\x03')).toContain('UsageError 130 interrupted while asking for a password')
  })

  test('ends at Ctrl-D', async () => {
    expect(await onTerminal('\x04')).toContain('UsageError 64 no password was given')
  })

  test('without a terminal says what to do instead', async () => {
    expect(await shown('setsid', ['-w', 'sh', '-c', RUN])).toBe(
      'UsageError 64 there is no terminal to ask for the password of bob; ' +
        'give USER:PASSWORD in a configuration file or as MPDL_USER\n',
    )
  })
})
