// The child as a call within the supervisor's own process. Neither side ever calls the other from within a call of
// that other's.

import type { Command } from '../protocol/message.ts'
import { plainExchange } from './plain-exchange.ts'
import type { Serve } from './serve.ts'

export interface InlineStart {
  /** The caller's own, which is not closed here. */
  readonly descriptor: number
  readonly fault?: string
}

export interface InlineEvents {
  /** A ChildMessage, unless garbage is rehearsed. */
  said(message: unknown): void
  /** Last, once: nothing more is said and the descriptor is not touched any more. */
  left(): void
}

export interface InlineChild {
  tell(command: Command): void
}

export type ServeInline = (start: InlineStart, on: InlineEvents) => InlineChild

export function inlineWith(serve: Serve): ServeInline {
  const openPlain = plainExchange()
  return ({ descriptor, fault }, on) => {
    let hear: (command: Command) => void = () => {}
    let hasLeft = false
    serve(
      {
        send(message) {
          if (!hasLeft) setImmediate(() => on.said(message))
        },
        listen(onCommand) {
          hear = onCommand
        },
        leave() {
          hasLeft = true
          setImmediate(() => on.left())
        },
      },
      { descriptor, openPlain },
      fault,
    )
    return {
      tell(command) {
        setImmediate(() => {
          if (!hasLeft) hear(command)
        })
      },
    }
  }
}
