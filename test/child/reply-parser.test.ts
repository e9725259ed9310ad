// Proves that a reply is read the same however it is cut, that what is no reply is refused by its name, and that
// nothing is taken for a reply that Node's own parser would refuse or read differently.
import http from 'node:http'
import { Duplex } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { KnownFailure } from '../../src/child/failure-of.ts'
import { ReplyParser } from '../../src/child/reply-parser.ts'
import fc from '../fixtures/property.ts'
import { anyReply, BAD, CHUNKED, GOOD, OK, reply } from './replies.ts'

/** What became of the bytes of one connection, which then ended. */
interface Outcome {
  readonly status: number | undefined
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
  readonly end: 'over' | 'persistent' | 'truncated' | string
}

function read(pieces: readonly Buffer[]): Outcome {
  let status: number | undefined
  let headers: Outcome['headers'] = []
  let body = ''
  let overs = 0
  const parser = new ReplyParser({
    onHead(head) {
      expect(status).toBeUndefined()
      ;({ status, headers } = head)
    },
    onBody(bytes) {
      expect(status).toBeDefined()
      body += Buffer.from(bytes).toString('latin1')
    },
    onOver() {
      overs++
    },
  })
  const ended = (end: string): Outcome => ({ status, headers, body, end })
  try {
    for (const piece of pieces) parser.push(piece)
  } catch (error) {
    if (!(error instanceof KnownFailure) || error.failure.kind !== 'protocol') throw error
    return ended(error.failure.code)
  }
  const isOver = parser.finish()
  expect(overs).toBe(isOver ? 1 : 0)
  if (!isOver) return ended('truncated')
  return ended(parser.isPersistent ? 'persistent' : 'over')
}

const bytesOf = (text: string) => Buffer.from(text, 'latin1')
const cut = (bytes: Buffer, ...at: readonly number[]) =>
  [0, ...at].map((from, n) => bytes.subarray(from, at[n] ?? bytes.length))
const crumbs = (bytes: Buffer) => cut(bytes, ...Array.from(bytes.keys()).slice(1))

describe('a reply', () => {
  test.each(GOOD)('that is right is read the same at every cut: %j', (text, body, end) => {
    const bytes = bytesOf(text)
    const whole = read([bytes])
    expect({ body: whole.body, end: whole.end }).toEqual({ body, end })
    expect(whole.status).toBeDefined()
    for (let at = 1; at < bytes.length; at++) expect(read(cut(bytes, at))).toEqual(whole)
    expect(read(crumbs(bytes))).toEqual(whole)
  })

  test.each(BAD)('that is wrong is refused the same at every cut: %j is %s', (text, end, body = '') => {
    const bytes = bytesOf(text)
    const whole = read([bytes])
    expect({ body: whole.body, end: whole.end }).toEqual({ body, end })
    for (let at = 1; at < bytes.length; at++) expect(read(cut(bytes, at))).toEqual(whole)
    expect(read(crumbs(bytes))).toEqual(whole)
  })

  test('has its headers in the order that node-fetch gives them', () => {
    const { headers } = read([bytesOf(reply(OK, 'X-B: 1', 'Set-Cookie: b', 'X-A: 2', 'set-cookie: a', '', ''))])
    expect(headers).toEqual([
      ['set-cookie', 'b'],
      ['set-cookie', 'a'],
      ['x-a', '2'],
      ['x-b', '1'],
    ])
  })

  test.each([
    ['in its head', `${OK}\r\n`, 'X: 1\r\n'],
    ['in a line of its head', `${OK}\r\nX: `, 'xxx'],
    ['before its head', '', 'HTTP/1.1 103 Hints\r\nX: 1\r\n\r\n'],
    ['in its trailers', `${CHUNKED}0\r\n`, 'X: 1\r\n'],
    ['in a line of chunk framing', `${CHUNKED}5;`, 'xxx'],
  ])('without end %s is refused', (_, start, again) => {
    expect(read([bytesOf(start + again.repeat(30_000))]).end).toMatch(/OVERFLOW/)
  })
})

test.each([
  ['a value', `X: 1${' '.repeat(60_000)}1\r\n`],
  ['a value that is wrong', `X:${' '.repeat(60_000)}\0\r\n`],
  ['the options of the connection', `Connection: ${'\t'.repeat(60_000)}x\r\nContent-Length: 0\r\n\r\n`],
])('blanks without number in %s cost no more than other bytes', (_, lines) => {
  const startedAt = performance.now()
  read([bytesOf(`${OK}\r\n${lines}`)])
  // Some microseconds, or some seconds.
  expect(performance.now() - startedAt).toBeLessThan(1000)
})

/** What one request of Node's client came to. */
interface Asked {
  readonly request: http.ClientRequest
  status: number | undefined
  headers: [string, string][]
  body: string
  isComplete: boolean
}

function askNode(agent: http.Agent): Asked {
  const request = http.request({ agent, maxHeaderSize: 64 * 1024 }).end()
  const asked: Asked = { request, status: undefined, headers: [], body: '', isComplete: false }
  request.on('error', () => {})
  request.on('response', (response) => {
    const { rawHeaders: raw } = response
    asked.status = response.statusCode
    asked.headers = raw
      .flatMap((name, n): [string, string][] => (n % 2 === 0 ? [[name.toLowerCase(), raw[n + 1] ?? '']] : []))
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    response.on('data', (chunk: Buffer) => {
      asked.body += chunk.toString('latin1')
    })
    response.on('end', () => {
      asked.isComplete = response.complete
    })
    response.on('error', () => {})
  })
  return asked
}

/** All is in memory: what is not so after a few turns of the event loop never will be. */
async function soon(isSo: () => boolean): Promise<boolean> {
  for (let turn = 0; turn < 20 && !isSo(); turn++) await new Promise((resolve) => setImmediate(resolve))
  return isSo()
}

/** How Node's client takes the same bytes. Persistent: it goes on with another request on the same connection. */
async function readByNode(bytes: Buffer): Promise<Outcome> {
  const sockets: Duplex[] = []
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  agent.createConnection = () => {
    const duplex = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
    sockets.push(duplex)
    return Object.assign(duplex, { setKeepAlive() {}, setTimeout() {}, ref() {}, unref() {} })
  }
  const [first, second] = [askNode(agent), askNode(agent)]
  expect(await soon(() => first.request.socket !== null)).toBe(true)
  const [socket] = sockets
  socket?.push(bytes)
  let end = 'truncated'
  if (await soon(() => first.isComplete)) {
    end = 'over'
    if (await soon(() => second.request.socket === socket)) {
      socket?.push(bytesOf(reply(OK, 'Content-Length: 4', '', 'next')))
      expect(await soon(() => second.isComplete)).toBe(true)
      end = 'persistent'
    }
  } else {
    socket?.push(null)
    if (await soon(() => first.isComplete)) end = 'over'
  }
  for (const each of sockets) each.destroy()
  const { status, headers, body } = first
  return { status, headers, body, end }
}

/** The bytes of the reply, without what came behind it. */
function own(bytes: Buffer): Buffer {
  const parser = new ReplyParser({ onHead() {}, onBody() {}, onOver() {} })
  const last = crumbs(bytes).findIndex((byte) => {
    parser.push(byte)
    return parser.isOver
  })
  return last < 0 ? bytes : bytes.subarray(0, last + 1)
}

/** Taken for whole here: then Node reads the very same, and nothing that may follow is still waited for. */
async function agree(text: string): Promise<void> {
  const { end } = read([bytesOf(text)])
  if (end !== 'over' && end !== 'persistent') return
  const bytes = own(bytesOf(text))
  const mine = read([bytes])
  const theirs = await readByNode(bytes)
  expect(theirs).toEqual(mine.end === 'over' ? { ...mine, end: expect.stringMatching(/over|persistent/) } : mine)
}

describe('compared with the parser of Node', () => {
  test.each(GOOD)('%j is whole for both', async (text) => {
    await agree(text)
  })

  test('no reply is taken that it refuses, and none is read differently', async () => {
    await fc.assert(fc.asyncProperty(anyReply, agree), { numRuns: 2000 })
  })

  test('nothing depends on how a reply is cut', () => {
    fc.assert(
      fc.property(anyReply, fc.array(fc.nat(), { maxLength: 5 }), (text, cuts) => {
        const bytes = bytesOf(text)
        const at = [...new Set(cuts.map((each) => each % bytes.length))].filter((each) => each > 0)
        expect(read(cut(bytes, ...at.sort((a, b) => a - b)))).toEqual(read([bytes]))
        expect(read(crumbs(bytes))).toEqual(read([bytes]))
      }),
      { numRuns: 2000 },
    )
  })

  test('about half of the replies are whole, and the others are wrong in many ways', () => {
    const ends = fc.sample(anyReply, 2000).map((text) => {
      const { end, headers } = read([bytesOf(text)])
      return headers.some(([name]) => name === 'transfer-encoding') ? `${end} of chunks` : end
    })
    const shareOf = (...kinds: readonly string[]) => ends.filter((end) => kinds.includes(end)).length / ends.length
    expect(shareOf('over', 'persistent', 'over of chunks', 'persistent of chunks')).toBeGreaterThan(0.4)
    expect(shareOf('persistent')).toBeGreaterThan(0.04)
    expect(shareOf('persistent of chunks')).toBeGreaterThan(0.03)
    const wrongs = ['HEADER_TOKEN', 'STATUS', 'CONSTANT', 'TRANSFER_ENCODING', 'CHUNK_SIZE of chunks']
    for (const wrong of wrongs) expect(ends).toContain(`HPE_INVALID_${wrong}`)
    for (const wrong of ['truncated', 'truncated of chunks', 'HPE_CR_EXPECTED']) expect(ends).toContain(wrong)
  })
})
