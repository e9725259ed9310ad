// What the supervisor may ask of whatever runs a task, be it a process, a thread or itself.

import type { End } from '../core/attempt.ts'
import type { Fault } from '../core/fault.ts'
import type { ChildMessage, Command, Task } from '../protocol/message.ts'

export interface WorkOrder {
  readonly task: Task
  /** An open descriptor of the supervisor's: the one file the child may touch. */
  readonly descriptor: number
  /** A failure to rehearse; the shipped child cannot do it, another bundle is started. */
  readonly fault?: Fault | 'probe'
}

export type LeaseEvent =
  | { readonly kind: 'message'; readonly message: ChildMessage }
  | { readonly kind: 'garbled'; readonly detail: string }
  /** The wire is closed; nothing more will be said. */
  | { readonly kind: 'closed' }
  /** The reap. Always comes, exactly once, and is always the last event. */
  | { readonly kind: 'end'; readonly end: End; readonly lastWords: string }

export interface Lease {
  /** Undefined when the child could not be started; then an `end` with `spawnError` follows. */
  readonly pid: number | undefined
  send(command: Command): void
  stop(signal: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void
  /** Messages received since the last call. */
  takeMessageCount(): number
}

export interface Isolation {
  readonly name: 'process'
  /** False where a unit of work cannot be ended from outside; its kill cases are skipped with that reason. */
  readonly canKill: boolean
  start(order: WorkOrder, on: (event: LeaseEvent) => void): Lease
  /** Resolves when every child is joined. */
  close(): Promise<void>
}
