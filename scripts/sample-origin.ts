// Decides what a demonstration downloads: five made-up forms of the sizes tax forms have. Knows nothing of mpdl.
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** A running origin; `urls` are in the order of the list. */
export type SampleOrigin = { readonly urls: readonly string[]; stop(): Promise<void> }

type Form = { readonly body: Buffer; readonly etag: string; readonly bytesPerS: number }
type ByteRange = { readonly start: number; readonly end: number }

const KIB = 1024
const UNPACED = Number.POSITIVE_INFINITY
const SLICE_MS = 100
const LAST_MODIFIED = 'Mon, 05 Jan 2026 09:00:00 GMT'

/** The big one is served slowly, so that there is something to watch. */
const FORMS: Readonly<Record<string, Form>> = {
  'f1040.pdf': form('f1040', 220 * KIB, UNPACED),
  'f1040sa.pdf': form('f1040sa', 90 * KIB, UNPACED),
  'fw4.pdf': form('fw4', 200 * KIB, UNPACED),
  'fw9.pdf': form('fw9', 140 * KIB, UNPACED),
  'i1040gi.pdf': form('i1040gi', 4400 * KIB, 1100 * KIB),
}

/** Starts on a free loopback port; the same bytes on every machine and in every run. */
export async function startSampleOrigin(): Promise<SampleOrigin> {
  const server = createServer((request, response) => {
    void answer(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  return {
    urls: Object.keys(FORMS).map((name) => `http://127.0.0.1:${address.port}/${name}`),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function form(title: string, sizeBytes: number, bytesPerS: number): Form {
  const head = Buffer.from(`%PDF-1.7\n% A sample, not a form: ${title}\n`)
  const tail = Buffer.from('\n%%EOF\n')
  const body = Buffer.alloc(sizeBytes)
  // Hashes of a counter look like compressed page content and need no seed file.
  for (let at = 0, n = 0; at < sizeBytes; at += 32, n++)
    createHash('sha256').update(`${title} ${n}`).digest().copy(body, at)
  head.copy(body, 0)
  tail.copy(body, sizeBytes - tail.length)
  return { body, etag: `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}"`, bytesPerS }
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const found = FORMS[(request.url ?? '').slice(1)]
  if (found === undefined) {
    response.writeHead(404, { 'content-length': 0 }).end()
    return
  }
  const { body, etag, bytesPerS } = found
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
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  const sliceBytes = bytesPerS === UNPACED ? end - start : Math.ceil((bytesPerS * SLICE_MS) / 1000)
  for (let at = start; at < end && !response.destroyed; at += sliceBytes) {
    response.write(body.subarray(at, Math.min(end, at + sliceBytes)))
    if (bytesPerS !== UNPACED) await sleep(SLICE_MS)
  }
  response.end()
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
