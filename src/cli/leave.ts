// Decides how the program leaves. Knows nothing of the run beyond its exit code and what kept its downloads apart.

import type { IsolationName } from '../core/isolation-name.ts'

/** How a command ended. */
export interface Ending {
  readonly code: number
  /** Of the run, where there was one. */
  readonly isolation?: IsolationName
}

/**
 * Leaves at once. Node's own exit waits for threads, its thread pool's included, and a download that hangs there in
 * native code would keep the program for ever: what cannot be killed from outside is left behind by becoming another
 * program. Everything must be written before.
 */
export function leave({ code, isolation }: Ending): never {
  if (isolation === 'thread' || isolation === 'inline') {
    process.execve?.('/bin/sh', ['sh', '-c', `exit ${code}`], {})
  }
  process.exit(code)
}
