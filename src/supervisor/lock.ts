// Locks an open file against other runs, by the kernel, so that a dead holder's lock is free at once.

import { execa } from 'execa'
import { inherited } from '../isolation/descriptor.ts'
import type { Hardening } from '../isolation/hardening.ts'

/** The lock belongs to the open file description: it lives as long as any process holds that descriptor. */
export type LockResult = 'locked' | 'held-by-another' | 'unsupported' | { readonly cannotStart: string }

/**
 * `flock(2)` by util-linux on an inherited descriptor, because Node has no binding for it. Never waits. `shared`: others
 * may hold it in the same way at the same time.
 */
export async function lockDescriptor(
  descriptor: number,
  hardening: Hardening,
  mode: 'exclusive' | 'shared' = 'exclusive',
): Promise<LockResult> {
  if (hardening.flock === undefined) return 'unsupported'
  const result = await execa(hardening.flock, [`--${mode}`, '--nonblock', '0'], {
    reject: false,
    buffer: false,
    cleanup: false,
    extendEnv: false,
    env: {},
    stdin: inherited(descriptor),
    stdout: 'ignore',
    stderr: 'ignore',
  })
  if (result.exitCode === 0) return 'locked'
  // No room for a process is no answer about the lock: going on without one could spoil another run's file.
  const { code } = result
  if (result.exitCode === undefined && code !== undefined && code !== 'ENOENT') return { cannotStart: code }
  // 1 is flock's own "somebody else has it"; anything else is a file system that cannot lock.
  return result.exitCode === 1 ? 'held-by-another' : 'unsupported'
}
