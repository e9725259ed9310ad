// No isolation: the attempt runs in the supervisor's own process, between its other work. What it shows is what the
// others are for.

import { createRequire } from 'node:module'
import type { Command } from '../protocol/message.ts'
import type { Isolation, Lease, LeaseEvent, WorkOrder } from './isolation.ts'
import { MessageCount } from './message-count.ts'
import { postedReader } from './posted.ts'

export interface InlineIsolationOptions {
  readonly inlineScript: string
  readonly faultsScript: string
  /** Orders may have faults. */
  readonly isRehearsal: boolean
}

/** What the bundle exports. */
type ServeInline = (
  start: { readonly descriptor: number; readonly fault?: string },
  on: { said(message: unknown): void; left(): void },
) => { tell(command: Command): void }

export function inlineIsolation({ inlineScript, faultsScript, isRehearsal }: InlineIsolationOptions): Isolation {
  let serveInline: ServeInline | undefined
  return {
    name: 'inline',
    canKill: false,
    start(order, on) {
      serveInline ??= load(isRehearsal ? faultsScript : inlineScript)
      return startInline(serveInline, order, on)
    },
    // After the last lease there is nothing that could be joined.
    close: async () => {},
  }
}

function load(script: string): ServeInline {
  const bundle: { readonly serveInline: ServeInline } = createRequire(script)(script)
  return bundle.serveInline
}

function startInline(
  serveInline: ServeInline,
  { file: { descriptor }, fault }: WorkOrder,
  on: (event: LeaseEvent) => void,
): Lease {
  const messages = new MessageCount()
  const task = serveInline(
    { descriptor, ...(fault === undefined ? {} : { fault }) },
    {
      said: postedReader(messages, on),
      left() {
        on({ kind: 'closed' })
        on({ kind: 'end', end: { outOfMemory: false }, lastWords: '' })
      },
    },
  )
  return {
    unit: { kind: 'inline' },
    send: (command) => task.tell(command),
    stop(signal) {
      if (signal === 'SIGTERM') task.tell({ type: 'stop' })
    },
    takeMessageCount: () => messages.take(),
  }
}
