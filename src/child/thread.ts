// The child as a thread of the supervisor's process: it shares its descriptors, and leaves by ending itself.

import { parentPort, workerData } from 'node:worker_threads'
import type { Command } from '../protocol/message.ts'
import { plainExchange } from './plain-exchange.ts'
import type { Serve } from './serve.ts'

/** What a thread is started with. */
interface ThreadStart {
  readonly descriptor: number
  readonly fault?: string
}

export function serveThread(serve: Serve): void {
  const port = parentPort
  if (port === null) throw new Error('not in a thread')
  const { descriptor, fault }: ThreadStart = workerData
  serve(
    {
      send(message) {
        port.postMessage(message)
      },
      listen(onCommand) {
        port.on('message', (command: Command) => onCommand(command))
      },
      // Ends the thread only, and what was posted arrives before its end.
      leave: () => process.exit(0),
    },
    { descriptor, openPlain: plainExchange() },
    fault,
  )
}
