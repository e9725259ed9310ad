// Asks whoever sits at the terminal for a password. Knows nothing of what it is for.

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
  const prompt = `Password for ${printable(user)}:`
  const over = Promise.withResolvers<never>()
  const hangUp = () => over.reject(new UsageError('the terminal was closed while asking for a password', 129))
  process.once('SIGHUP', hangUp)
  // Woken up after Ctrl-Z the package waits for nobody any more.
  let isWoken = false
  const wake = () => {
    isWoken = true
  }
  process.on('SIGCONT', wake)
  const onPause = async () => {
    // After a line it pauses as well, and the answer comes first.
    await nextTurn()
    if (!isWoken) return over.reject(new UsageError('no password was given'))
    isWoken = false
    output.write(`${prompt} `)
    input.resume()
  }
  // At Ctrl-D the package closes its input and waits for ever.
  input.on('pause', () => void onPause())
  try {
    return await Promise.race([read({ prompt, silent: true, input, output }), over.promise])
  } catch (error) {
    // What the package says is that Ctrl-C was pressed.
    throw error instanceof UsageError ? error : new UsageError('interrupted while asking for a password', 130)
  } finally {
    process.off('SIGHUP', hangUp)
    process.off('SIGCONT', wake)
    input.setRawMode(false)
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
