// Finds ports on loopback and tells whether anybody answers there. Knows nothing of who that is.

import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** One that was free a moment ago. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  const closed = once(server, 'close')
  server.close()
  await closed
  return address.port
}

export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
