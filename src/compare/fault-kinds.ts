// Decides which failures a comparison lets happen, and how they are called. The bands say what kind of failure each is,
// not what becomes of it: that is measured.

import type { Fault } from '../core/fault.ts'
import type { FaultBand } from './result.ts'

export interface FaultKind {
  readonly fault: Fault
  readonly band: FaultBand
  readonly title: string
}

/** From what everything survives to what only a process survives. */
export const FAULT_KINDS: readonly FaultKind[] = [
  { fault: 'error', band: 'polite', title: 'error in awaited code' },
  { fault: 'flood', band: 'polite', title: 'flood of messages' },
  { fault: 'throw', band: 'javascript', title: 'throw in a callback' },
  { fault: 'rejection', band: 'javascript', title: 'unhandled rejection' },
  { fault: 'exit0', band: 'javascript', title: 'process.exit(0)' },
  { fault: 'spin', band: 'javascript', title: 'endless loop' },
  { fault: 'oom', band: 'javascript', title: 'heap, small objects' },
  { fault: 'oom-array', band: 'machine', title: 'heap, one huge array' },
  { fault: 'hang-native', band: 'machine', title: 'blocked native call' },
  { fault: 'leak', band: 'machine', title: 'memory beyond the heap' },
  { fault: 'abort', band: 'machine', title: 'abort()' },
  { fault: 'segv', band: 'machine', title: 'SIGSEGV' },
  { fault: 'stop', band: 'machine', title: 'SIGSTOP' },
  { fault: 'descriptors', band: 'machine', title: 'no descriptors left' },
  { fault: 'pool-stuck', band: 'machine', title: 'thread pool filled' },
]
