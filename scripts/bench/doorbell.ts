// A server that notices when somebody first asks it for something. Knows nothing of who does.

import { once } from 'node:events'
import { createServer } from 'node:http'

export interface Doorbell {
  readonly url: string
  /** Forgets all who have come so far. `rung`: when the next one asks, by `performance.now()`. */
  rearm(): Promise<{ readonly rung: Promise<number> }>
  stop(): Promise<void>
}

export async function hangDoorbell(): Promise<Doorbell> {
  let ring = Promise.withResolvers<number>()
  const server = createServer((_, response) => {
    ring.resolve(performance.now())
    response.end('x')
  })
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  }
  const stop = async () => {
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  await listen(0)
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  const { port } = address
  return {
    url: `http://127.0.0.1:${port}`,
    rearm: async () => {
      // Requests of a run that was killed may still be waiting to be read.
      await stop()
      await listen(port)
      ring = Promise.withResolvers()
      return { rung: ring.promise }
    },
    stop,
  }
}
