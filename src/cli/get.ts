// The default command: from operands and options to a run that no other is in the way of. Knows nothing of the run.

import { realWorld } from '../supervisor/world.ts'
import type { Ending } from './leave.ts'
import { listKeyOf, sourceOf } from './list-source.ts'
import { takeLock } from './lock.ts'
import type { GetRequest } from './run-list.ts'
import { UsageError } from './usage-error.ts'

/** Runs a list and resolves with how it ended. Mistakes of the caller's are thrown as UsageError. */
export async function get(request: GetRequest): Promise<Ending> {
  const started = realWorld.nowMs()
  const { options } = request
  const source = sourceOf(request.operands)
  if (options.onFinish !== undefined) (await import('./hook.ts')).requireProgram(options.onFinish)
  const key = listKeyOf(source, options.dir)
  if (key === undefined && options.notify === 'changes') {
    throw new UsageError('--notify changes needs a list file or URLs: a pipe may bring another list each time')
  }
  // A plan changes nothing, so it may be looked at while another run is at it.
  const locking = options.dryRun === true ? undefined : takeLock(key, request, started)
  // Another process takes the lock; meanwhile this one loads the rest of the program.
  const [lock, { runSource }] = await Promise.all([locking, import('./run-list.ts')])
  try {
    return await runSource(source, request, { key, started, lockProblem: lock?.problem })
  } finally {
    lock?.release()
  }
}
