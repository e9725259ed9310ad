// Asks whoever sits at the terminal for a password. Knows nothing of what it is for.

import { once } from 'node:events'
import { openSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ReadStream, WriteStream } from 'node:tty'
import { printable } from '../core/printable.ts'
import { UsageError } from './usage-error.ts'

/** Not echoed, and not from standard input, which may be the list. Throws a UsageError when there is no answer. */
export async function askPassword(user: string): Promise<string> {
  // Loaded by those who are asked only.
  const { read } = await import('read')
  const { input, output } = openTerminal(user)
  try {
    const answer = read({ prompt: `Password for ${printable(user)}:`, silent: true, input, output })
    return await Promise.race([answer, endOf(input)])
  } catch (error) {
    // What the package says is that Ctrl-C was pressed.
    throw error instanceof UsageError ? error : new UsageError('interrupted while asking for a password', 130)
  } finally {
    output.write('\n')
    input.destroy()
    output.destroy()
  }
}

function openTerminal(user: string): { input: ReadStream; output: WriteStream } {
  try {
    // Each closes its own descriptor.
    return { input: new ReadStream(openSync('/dev/tty', 'r')), output: new WriteStream(openSync('/dev/tty', 'w')) }
  } catch {
    const instead = 'give USER:PASSWORD in a configuration file or as MPDL_USER'
    throw new UsageError(`there is no terminal to ask for the password of ${printable(user)}; ${instead}`)
  }
}

/** At Ctrl-D the package closes its input and waits for ever. */
async function endOf(input: ReadStream): Promise<never> {
  await once(input, 'pause')
  // After a line it is closed as well, and the answer comes first.
  await nextTurn()
  throw new UsageError('no password was given')
}
