// Lets one run at a time read and replace a small file. Knows nothing of what is in it.

import { closeSync, constants, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Hardening } from '../isolation/hardening.ts'
import { lockDescriptor } from './lock.ts'
import { isSameFile } from './part-file.ts'

const POLL_MS = 20
/** Reading and replacing takes milliseconds: who holds it longer was stopped, and is not waited for. */
const PATIENCE_MS = 10_000

/**
 * What `action` returns, while no other run is in an action on the same file. Where that cannot be locked, as on some
 * file systems, the action is done all the same. An empty file is made where there is none.
 */
export async function whileLocked<T>(path: string, hardening: Hardening, action: () => T): Promise<T> {
  for (const startedAtMs = performance.now(); performance.now() - startedAtMs < PATIENCE_MS; await sleep(POLL_MS)) {
    let descriptor: number
    try {
      descriptor = openSync(
        path,
        constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK,
        0o600,
      )
    } catch {
      // The action has its own words for it.
      break
    }
    try {
      const lock = await lockDescriptor(descriptor, hardening)
      if (lock === 'held-by-another') continue
      // Between our open and our lock the other run has replaced the file: its lock is another's.
      if (lock === 'locked' && !isSameFile(descriptor, path)) continue
      return action()
    } finally {
      closeSync(descriptor)
    }
  }
  return action()
}
