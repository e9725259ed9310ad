// An HTTP server of made-up forms on loopback: what a URL says decides how large a file is, how long its answer waits
// and how fast it comes. The same bytes on every machine and in every run. Knows nothing of mpdl.

import { createCipheriv, createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

export interface MadeUpFile {
  readonly name: string
  readonly sizeBytes: number
  /** Before the first byte of each answer. */
  readonly latencyMs?: number
  /** For each connection; left out: as fast as it goes. */
  readonly bytesPerS?: number
}

export interface Origin {
  readonly port: number
  stop(): Promise<void>
}

/** Where a control request asks how many bytes of bodies have left so far. */
export const SENT_PATH = '/sent'
const SLICE_MS = 50
const LAST_MODIFIED = 'Mon, 05 Jan 2026 09:00:00 GMT'
const FILE_PATH = /^\/(\d+)\/(\d+)\/(\d+)\/([\w.-]+)$/

export function urlOf(port: number, { name, sizeBytes, latencyMs = 0, bytesPerS = 0 }: MadeUpFile): string {
  return `http://127.0.0.1:${port}/${latencyMs}/${bytesPerS}/${sizeBytes}/${name}`
}

/** A PDF by its looks: a key stream looks like compressed pages. */
export function bodyOf({ name, sizeBytes }: Pick<MadeUpFile, 'name' | 'sizeBytes'>): Buffer {
  const key = createHash('sha256').update(name).digest().subarray(0, 16)
  const body = createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes))
  body.write(`%PDF-1.7\n% A sample, not a form: ${name}\n`, 'latin1')
  return body
}

/** Starts on a free loopback port. */
export async function startOrigin(): Promise<Origin> {
  const bodies = new Map<string, Buffer>()
  let sentBytes = 0
  const server = createServer((request, response) => {
    if (request.url === SENT_PATH) {
      response.end(String(sentBytes))
      return
    }
    const [, latency, speed, size, name = ''] = FILE_PATH.exec(request.url ?? '') ?? []
    if (name === '') {
      response.writeHead(404, { 'content-length': 0 }).end()
      return
    }
    const key = `${size}/${name}`
    const body = bodies.get(key) ?? bodyOf({ name, sizeBytes: Number(size) })
    bodies.set(key, body)
    const pace = { latencyMs: Number(latency), bytesPerS: Number(speed), onSent: (n: number) => (sentBytes += n) }
    answer(request, response, body, pace).catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  return {
    port: address.port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** As a program of its own, which shares no event loop with what is measured: says its port, ends with its stdin. */
export async function serveOrigin(): Promise<void> {
  const origin = await startOrigin()
  process.stdout.write(`${origin.port}\n`)
  await new Promise((resolve) => process.stdin.resume().once('close', resolve).once('end', resolve))
  await origin.stop()
}

interface Pace {
  readonly latencyMs: number
  readonly bytesPerS: number
  readonly onSent: (bytes: number) => void
}

async function answer(request: IncomingMessage, response: ServerResponse, body: Buffer, pace: Pace): Promise<void> {
  if (pace.latencyMs > 0) await sleep(pace.latencyMs)
  const etag = `"${createHash('sha256').update(body.subarray(0, 65_536)).digest('hex').slice(0, 16)}-${body.length}"`
  const shared = { etag, 'last-modified': LAST_MODIFIED, 'accept-ranges': 'bytes', 'content-type': 'application/pdf' }
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304, shared).end()
    return
  }
  const fits = request.headers['if-range'] === undefined || request.headers['if-range'] === etag
  const range = fits ? parseRange(request.headers.range, body.length) : undefined
  if (range === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${body.length}`, 'content-length': 0 }).end()
    return
  }
  const { start, end } = range ?? { start: 0, end: body.length }
  const partial = range === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${body.length}` }
  response.writeHead(range === undefined ? 200 : 206, { ...shared, ...partial, 'content-length': end - start })
  if (request.method !== 'HEAD') await send(response, body.subarray(start, end), pace)
  response.end()
}

async function send(response: ServerResponse, bytes: Buffer, { bytesPerS, onSent }: Pace): Promise<void> {
  const sliceBytes = bytesPerS === 0 ? 1 << 20 : Math.ceil((bytesPerS * SLICE_MS) / 1000)
  const began = performance.now()
  for (let at = 0; at < bytes.length; at += sliceBytes) {
    const slice = bytes.subarray(at, at + sliceBytes)
    // Counted when the kernel has taken it, so that what a dead client left in a queue here is not.
    await new Promise<void>((resolve, reject) => {
      response.write(slice, (error) => (error ? reject(error) : resolve()))
    })
    onSent(slice.length)
    const dueMs = bytesPerS === 0 ? 0 : began + ((at + slice.length) * 1000) / bytesPerS - performance.now()
    if (dueMs > 0) await sleep(dueMs)
  }
}

interface ByteRange {
  readonly start: number
  readonly end: number
}

/** One range of RFC 9110 §14.2 as half-open offsets; anything else is ignored, as the RFC allows. */
function parseRange(header: string | undefined, sizeBytes: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  if (match === null || (match[1] === '' && match[2] === '')) return undefined
  if (match[1] === '') {
    const length = Math.min(sizeBytes, Number(match[2]))
    return length === 0 ? 'unsatisfiable' : { start: sizeBytes - length, end: sizeBytes }
  }
  const start = Number(match[1])
  const end = match[2] === '' ? sizeBytes : Math.min(sizeBytes, Number(match[2]) + 1)
  if (start >= sizeBytes) return 'unsatisfiable'
  return end > start ? { start, end } : undefined
}
