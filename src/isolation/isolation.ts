// What the supervisor may ask of whatever runs a task, be it a process, a place in a shared process, a thread or itself.

import type { End } from '../core/attempt.ts'
import type { Fault } from '../core/fault.ts'
import type { IsolationName } from '../core/isolation-name.ts'
import type { ChildMessage, Command, Task } from '../protocol/message.ts'

/** The one file a task may touch. */
export interface TaskFile {
  /** The supervisor's own, open. */
  readonly descriptor: number
  /** Absolute: what cannot inherit the descriptor opens it by its name and proves that it is the same file. */
  readonly path: string
  readonly access: 'read' | 'write'
}

export interface WorkOrder {
  readonly task: Task
  readonly file: TaskFile
  /** In a fresh process of its own, whatever the isolation: it is suspected of having ended others. */
  readonly isAlone: boolean
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

/** What runs the task. */
export type Unit =
  | { readonly kind: 'process'; readonly pid: number }
  | { readonly kind: 'pool'; readonly pid: number }
  | { readonly kind: 'thread'; readonly thread: number }
  | { readonly kind: 'inline' }

export interface Lease {
  /** Undefined when it could not be started; then an `end` with `spawnError` follows. */
  readonly unit: Unit | undefined
  send(command: Command): void
  /**
   * A process gets the signal itself. Elsewhere SIGTERM asks the task to stop, SIGKILL ends what can be ended: a whole
   * shared process, a thread, nothing where {@link Isolation.canKill} is false.
   */
  stop(signal: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void
  /** Messages received since the last call. */
  takeMessageCount(): number
}

export interface Isolation {
  readonly name: IsolationName
  /** False where a unit of work cannot be ended from outside; its kill cases are skipped with that reason. */
  readonly canKill: boolean
  start(order: WorkOrder, on: (event: LeaseEvent) => void): Lease
  /** After the last lease has ended: resolves when every child is joined. */
  close(): Promise<void>
}
