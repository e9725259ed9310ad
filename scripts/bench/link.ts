// A way between tool and server on loopback that is long or narrow: a TCP relay, in a process of its own, which lets a
// server's bytes arrive as late and as slowly as they would. Knows nothing of HTTP, so all tools meet it alike.
//
// Usage: link.ts SERVER-PORT ROUND-TRIP-MS BYTES-PER-S; says its own port.

import { connect, createServer, type Socket } from 'node:net'

/** What may be on the way at once: more than any of the workloads fills in a round trip. */
const IN_FLIGHT_BYTES = 8 * 2 ** 20
/** So that a narrow way does not come in jerks. */
const SLICE_BYTES = 16 * 2 ** 10

interface Parcel {
  readonly bytes: Buffer
  readonly dueMs: number
}

const [serverPort = 0, roundTripMs = 0, bytesPerS = 0] = process.argv.slice(2).map(Number)

createServer({ noDelay: true, allowHalfOpen: true }, relay)
  .listen(0, '127.0.0.1', 1024)
  .on('listening', function (this: ReturnType<typeof createServer>) {
    const address = this.address()
    if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
    process.stdout.write(`${address.port}\n`)
  })

function relay(tool: Socket): void {
  const openedMs = performance.now()
  const server = connect({ port: serverPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  const queue: Parcel[] = []
  let queuedBytes = 0
  /** When the last byte that was accepted so far will have passed the narrow place. */
  let passedMs = 0
  let hasEnded = false
  let timer: NodeJS.Timeout | undefined

  const deliver = () => {
    clearTimeout(timer)
    timer = undefined
    // Whoever does not take what has arrived holds up what comes behind.
    if (tool.writableNeedDrain) return
    const nowMs = performance.now()
    while (queue[0] !== undefined && queue[0].dueMs <= nowMs) {
      const { bytes } = queue.shift() as Parcel
      queuedBytes -= bytes.length
      if (!tool.write(bytes)) break
    }
    if (queuedBytes < IN_FLIGHT_BYTES) server.resume()
    if (queue[0] !== undefined) timer = setTimeout(deliver, Math.max(0, queue[0].dueMs - performance.now()))
    else if (hasEnded) tool.end()
  }

  server.on('data', (data: Buffer) => {
    // The tool's first answer has waited for its handshake as well, which the kernel has long done.
    const arrivedMs = Math.max(performance.now(), openedMs + roundTripMs)
    for (let at = 0; at < data.length; at += SLICE_BYTES) {
      const bytes = data.subarray(at, at + SLICE_BYTES)
      if (bytesPerS > 0) passedMs = Math.max(passedMs, arrivedMs) + (bytes.length * 1000) / bytesPerS
      else passedMs = arrivedMs
      queue.push({ bytes, dueMs: passedMs + roundTripMs })
      queuedBytes += bytes.length
    }
    if (queuedBytes >= IN_FLIGHT_BYTES) server.pause()
    timer ??= setTimeout(deliver, Math.max(0, (queue[0]?.dueMs ?? 0) - performance.now()))
  })
  server.on('end', () => {
    hasEnded = true
    timer ??= setTimeout(deliver, 0)
  })
  tool.on('data', (data: Buffer) => void server.write(data))
  tool.on('end', () => void server.end())
  tool.on('drain', deliver)
  const close = () => {
    clearTimeout(timer)
    tool.destroy()
    server.destroy()
  }
  for (const socket of [tool, server]) socket.on('error', close)
  tool.on('close', close)
}
