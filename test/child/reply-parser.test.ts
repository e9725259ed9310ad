// Proves that a reply is read the same however it is cut, that what is no reply is refused by its name, and that nothing
// is taken for a reply that Node's own parser would refuse or read differently.
import http from 'node:http'
import { Duplex } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { KnownFailure } from '../../src/child/failure-of.ts'
import { ReplyParser } from '../../src/child/reply-parser.ts'
import fc from '../fixtures/property.ts'

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

const reply = (...lines: readonly string[]) => lines.join('\r\n')
const OK = 'HTTP/1.1 200 OK'
const CHUNKED = reply(OK, 'Transfer-Encoding: chunked', '', '')

const GOOD: readonly [text: string, body: string, end: 'over' | 'persistent'][] = [
  [reply(OK, 'Content-Length: 5', '', 'hello'), 'hello', 'persistent'],
  [reply(OK, 'content-length:5', '', 'hello'), 'hello', 'persistent'],
  [reply(OK, 'Content-Length: \t 5 \t ', '', 'hello'), 'hello', 'persistent'],
  [reply(OK, 'X: \xa0a\xa0', 'Content-Length: 5', '', 'hello'), 'hello', 'persistent'],
  [reply(OK, 'Content-Length: 005', '', 'hello'), 'hello', 'persistent'],
  [reply(OK, 'Content-Length: 0', '', ''), '', 'persistent'],
  [reply(OK, 'Content-Length: 5', '', 'hello, world'), 'hello', 'over'],
  [reply(OK, 'Content-Length: 5', 'Connection: close', '', 'hello'), 'hello', 'over'],
  [reply(OK, 'Content-Length: 5', 'Connection: foo, Close', '', 'hello'), 'hello', 'over'],
  [reply(OK, 'Content-Length: 5', 'Connection: keep-alive', '', 'hello'), 'hello', 'persistent'],
  [reply('HTTP/1.0 200 OK', 'Content-Length: 5', 'Connection: keep-alive', '', 'hello'), 'hello', 'over'],
  [reply('HTTP/1.1 200', 'Content-Length: 5', '', 'hello'), 'hello', 'persistent'],
  [reply('HTTP/1.1 200 ', 'Content-Length: 5', '', 'hello'), 'hello', 'persistent'],
  [reply('HTTP/1.1 200 \x1b[31m\xff', 'Content-Length: 5', '', 'hello'), 'hello', 'persistent'],
  [reply('HTTP/1.1 206 Partial Content', 'Content-Length: 5', '', 'hello'), 'hello', 'persistent'],
  [reply('HTTP/1.1 204 No Content', '', ''), '', 'persistent'],
  [reply('HTTP/1.1 204 No Content', 'Content-Length: 5', '', ''), '', 'persistent'],
  [reply('HTTP/1.1 304 Not Modified', 'Content-Length: 5', '', ''), '', 'persistent'],
  [reply('HTTP/1.1 304 Not Modified', 'Transfer-Encoding: chunked', '', ''), '', 'persistent'],
  [reply('HTTP/1.1 103 Early Hints', 'Link: </a>', '', OK, 'Content-Length: 5', '', 'hello'), 'hello', 'persistent'],
  [reply('HTTP/1.1 100 Continue', '', 'HTTP/1.1 102 Processing', '', OK, '', 'hello'), 'hello', 'over'],
  [reply(OK, '', 'hello'), 'hello', 'over'],
  [reply(OK, '', ''), '', 'over'],
  [reply(OK, 'Empty:', 'X-Odd!#$%&\'*+-.^_`|~: \xe4\xff"\t;', '', 'hello'), 'hello', 'over'],
  [`${CHUNKED}5\r\nhello\r\n0\r\n\r\n`, 'hello', 'persistent'],
  [`${CHUNKED}5\r\nhello\r\n00A\r\n, hexworld\r\n0\r\n\r\n`, 'hello, hexworld', 'persistent'],
  [`${CHUNKED}5;name=value;flag\r\nhello\r\n0\r\n\r\n`, 'hello', 'persistent'],
  [`${CHUNKED}5\r\nhello\r\n0\r\nX-Trailer: 1\r\nX-More: 2\r\n\r\n`, 'hello', 'persistent'],
  [`${CHUNKED}5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n`, 'hello', 'over'],
  [`${CHUNKED}0\r\n\r\n`, '', 'persistent'],
  [reply(OK, 'Transfer-Encoding: CHUNKED', '', '1', 'x', '0', '', ''), 'x', 'persistent'],
]

const BAD: readonly [text: string, end: string, body?: string][] = [
  ['', 'truncated'],
  ['HTTP/1.1 200 OK\r\n', 'truncated'],
  [reply(OK, 'Content-Length: 5', '', 'hell'), 'truncated', 'hell'],
  [`${CHUNKED}5\r\nhel`, 'truncated', 'hel'],
  [`${CHUNKED}5\r\nhello\r\n`, 'truncated', 'hello'],
  [`${CHUNKED}5\r\nhello\r\n0\r\n`, 'truncated', 'hello'],
  ['SSH-2.0-OpenSSH_9.2p1\r\n', 'HPE_INVALID_CONSTANT'],
  ['<html>no head at all', 'HPE_INVALID_CONSTANT'],
  ['http/1.1 200 OK\r\n\r\n', 'HPE_INVALID_CONSTANT'],
  ['\r\nHTTP/1.1 200 OK\r\n\r\n', 'HPE_INVALID_CONSTANT'],
  ['HTTP/2 200 OK\r\n\r\n', 'HPE_INVALID_CONSTANT'],
  ['HTTP/1.2 200 OK\r\n\r\n', 'HPE_INVALID_STATUS'],
  ['HTTP/1.1  200 OK\r\n\r\n', 'HPE_INVALID_STATUS'],
  ['HTTP/1.1 20 OK\r\n\r\n', 'HPE_INVALID_STATUS'],
  ['HTTP/1.1 2000 OK\r\n\r\n', 'HPE_INVALID_STATUS'],
  [reply('HTTP/1.0 103 Early Hints', '', OK, '', ''), 'HPE_CLOSED_CONNECTION'],
  [reply('HTTP/1.1 103 Early Hints', 'Connection: close', '', OK, '', ''), 'HPE_CLOSED_CONNECTION'],
  ['HTTP/1.1 099 OK\r\n\r\n', 'HPE_INVALID_STATUS'],
  ['HTTP/1.1 200 OK\rX: 1\r\n\r\n', 'HPE_INVALID_STATUS'],
  ['HTTP/1.1 200 OK\nContent-Length: 0\n\n', 'HPE_CR_EXPECTED'],
  [reply(OK, 'Content-Length: 5\n', 'hello'), 'HPE_CR_EXPECTED'],
  [reply(OK, 'Content-Length : 5', '', 'hello'), 'HPE_INVALID_HEADER_TOKEN'],
  [reply(OK, ' Content-Length: 5', '', 'hello'), 'HPE_INVALID_HEADER_TOKEN'],
  [reply(OK, 'X: 1', ' folded', '', 'hello'), 'HPE_INVALID_HEADER_TOKEN'],
  [reply(OK, ': 5', '', 'hello'), 'HPE_INVALID_HEADER_TOKEN'],
  [reply(OK, 'no colon', '', 'hello'), 'HPE_INVALID_HEADER_TOKEN'],
  [reply(OK, 'N\xe4me: 1', '', 'hello'), 'HPE_INVALID_HEADER_TOKEN'],
  [reply(OK, 'X: a\0b', '', 'hello'), 'HPE_INVALID_HEADER_TOKEN'],
  [reply(OK, 'X: a\rContent-Length: 5', '', 'hello'), 'HPE_INVALID_HEADER_TOKEN'],
  [reply(OK, 'X: \x1b[31m', '', 'hello'), 'HPE_INVALID_HEADER_TOKEN'],
  [reply(OK, 'X: \x7f', '', 'hello'), 'HPE_INVALID_HEADER_TOKEN'],
  [reply(OK, 'Content-Length: 5', 'Content-Length: 5', '', 'hello'), 'HPE_UNEXPECTED_CONTENT_LENGTH'],
  [reply(OK, 'Content-Length: 5', 'content-length: 6', '', 'hello'), 'HPE_UNEXPECTED_CONTENT_LENGTH'],
  [reply(OK, 'Content-Length: 5, 5', '', 'hello'), 'HPE_INVALID_CONTENT_LENGTH'],
  [reply(OK, 'Content-Length: +5', '', 'hello'), 'HPE_INVALID_CONTENT_LENGTH'],
  [reply(OK, 'Content-Length: -5', '', 'hello'), 'HPE_INVALID_CONTENT_LENGTH'],
  [reply(OK, 'Content-Length: 0x5', '', 'hello'), 'HPE_INVALID_CONTENT_LENGTH'],
  [reply(OK, 'Content-Length: 5 5', '', 'hello'), 'HPE_INVALID_CONTENT_LENGTH'],
  [reply(OK, 'Content-Length:', '', 'hello'), 'HPE_INVALID_CONTENT_LENGTH'],
  [reply(OK, 'Content-Length: 99999999999999999999', '', 'hello'), 'HPE_INVALID_CONTENT_LENGTH'],
  [reply(OK, 'Content-Length: 5', 'Transfer-Encoding: chunked', '', '5', ''), 'HPE_INVALID_TRANSFER_ENCODING'],
  [reply(OK, 'Transfer-Encoding: chunked', 'Content-Length: 5', '', '5', ''), 'HPE_INVALID_TRANSFER_ENCODING'],
  [reply(OK, 'Transfer-Encoding: gzip', '', 'hello'), 'HPE_INVALID_TRANSFER_ENCODING'],
  [reply(OK, 'Transfer-Encoding: gzip, chunked', '', '0', '', ''), 'HPE_INVALID_TRANSFER_ENCODING'],
  [reply(OK, 'Transfer-Encoding: chunked, chunked', '', '0', '', ''), 'HPE_INVALID_TRANSFER_ENCODING'],
  [reply(OK, 'Transfer-Encoding: xchunked', '', '0', '', ''), 'HPE_INVALID_TRANSFER_ENCODING'],
  [reply(OK, 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked', '', ''), 'HPE_INVALID_TRANSFER_ENCODING'],
  [reply('HTTP/1.0 200 OK', 'Transfer-Encoding: chunked', '', '0', '', ''), 'HPE_INVALID_TRANSFER_ENCODING'],
  [reply('HTTP/1.1 101 Switching Protocols', 'Upgrade: x', '', ''), 'upgrade-unasked'],
  [`${CHUNKED}ZZ\r\n`, 'HPE_INVALID_CHUNK_SIZE'],
  [`${CHUNKED}\r\nhello`, 'HPE_INVALID_CHUNK_SIZE'],
  [`${CHUNKED}5 \r\nhello\r\n0\r\n\r\n`, 'HPE_INVALID_CHUNK_SIZE'],
  [`${CHUNKED}-5\r\nhello\r\n0\r\n\r\n`, 'HPE_INVALID_CHUNK_SIZE'],
  [`${CHUNKED}0x5\r\nhello\r\n0\r\n\r\n`, 'HPE_INVALID_CHUNK_SIZE'],
  [`${CHUNKED}ffffffffffffffff5\r\nhello`, 'HPE_INVALID_CHUNK_SIZE'],
  [`${CHUNKED}5;a b\r\nhello`, 'HPE_INVALID_CHUNK_SIZE'],
  [`${CHUNKED}5\nhello\r\n0\r\n\r\n`, 'HPE_CR_EXPECTED'],
  [`${CHUNKED}5\r\nhelloX\r\n0\r\n\r\n`, 'HPE_STRICT', 'hello'],
  [`${CHUNKED}5\r\nhello\n0\r\n\r\n`, 'HPE_CR_EXPECTED', 'hello'],
  [`${CHUNKED}5\r\nhello\r\n0\r\nbad trailer\r\n\r\n`, 'HPE_INVALID_HEADER_TOKEN', 'hello'],
]

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

/** How Node's client takes the same bytes. */
async function readByNode(bytes: Buffer): Promise<Outcome> {
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  const request = http.request({ createConnection: () => socket, maxHeaderSize: 64 * 1024 }).end()
  let status: number | undefined
  let headers: [string, string][] = []
  let body = ''
  let isComplete = false
  request.on('response', (response) => {
    status = response.statusCode
    const raw = response.rawHeaders
    headers = raw.flatMap((name, n): [string, string][] =>
      n % 2 === 0 ? [[name.toLowerCase(), raw[n + 1] ?? '']] : [],
    )
    response.on('data', (chunk: Buffer) => {
      body += chunk.toString('latin1')
    })
    response.on('end', () => {
      isComplete = response.complete
    })
    response.on('error', () => {})
  })
  let code = 'truncated'
  request.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code ?? 'unknown'
  })
  socket.push(bytes)
  socket.push(null)
  await new Promise((resolve) => request.on('close', resolve))
  await new Promise((resolve) => setImmediate(resolve))
  headers.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return { status, headers, body, end: isComplete ? 'over' : code }
}

const withoutEnd = ({ status, headers, body }: Outcome) => ({ status, headers, body })

/** Taken for whole here: then Node must have read the very same. */
async function agree(bytes: Buffer): Promise<void> {
  const mine = read([bytes])
  if (mine.end !== 'over' && mine.end !== 'persistent') return
  const theirs = await readByNode(bytes)
  // Bytes behind a reply are an error there, and the reply was whole all the same.
  expect(withoutEnd(theirs)).toEqual(withoutEnd(mine))
}

describe('compared with the parser of Node', () => {
  test.each(GOOD)('%j is whole for both', async (text) => {
    await agree(bytesOf(text))
    const theirs = await readByNode(bytesOf(text))
    expect(theirs.status).toBeDefined()
  })

  test.each(BAD.filter(([, end]) => end !== 'truncated'))('%j is not taken for more there', async (text) => {
    await agree(bytesOf(text))
  })

  const name = fc.constantFrom(
    'Content-Length',
    'Transfer-Encoding',
    'Connection',
    'X-A',
    'content-length',
    'Keep-Alive',
  )
  const value = fc.constantFrom('5', '0', '12', 'chunked', 'close', 'keep-alive', 'x', '', 'gzip', ' 5 ', '5,5')
  const header = fc.tuple(name, value).map(([n, v]) => `${n}: ${v}`)
  const body = fc.constantFrom(
    '',
    'hello',
    'hello, world',
    '5\r\nhello\r\n0\r\n\r\n',
    'c\r\nhello, world\r\n0\r\nX: 1\r\n\r\n',
  )
  const hinted = fc.array(header, { maxLength: 2 }).map((lines) => ['HTTP/1.1 103 E', ...lines, '', OK].join('\r\n'))
  const status = fc.oneof(fc.constantFrom(OK, 'HTTP/1.1 204 No', 'HTTP/1.1 304 N', 'HTTP/1.0 200 OK'), hinted)
  const replies = fc
    .tuple(status, fc.array(header, { maxLength: 4 }), body)
    .map(([line, headers, rest]) => [line, ...headers, '', rest].join('\r\n'))
  const flaw = fc.tuple(fc.nat(), fc.nat(2), fc.constantFrom(...'\r\n\0 \t:;,0a5-+xX\x7f\x80\x1b'))
  const flawed = fc.tuple(replies, fc.array(flaw, { maxLength: 3 })).map(([text, flaws]) =>
    flaws.reduce((before, [where, removed, put]) => {
      const at = where % (before.length + 1)
      return before.slice(0, at) + put + before.slice(at + removed)
    }, text),
  )

  test('no reply is taken that it refuses, and none is read differently', async () => {
    await fc.assert(
      fc.asyncProperty(flawed, (text) => agree(bytesOf(text))),
      { numRuns: 3000 },
    )
  })

  test('nothing depends on how a reply is cut', () => {
    fc.assert(
      fc.property(flawed, fc.array(fc.nat(200), { maxLength: 5 }), (text, cuts) => {
        const bytes = bytesOf(text)
        const at = [...new Set(cuts.filter((each) => each > 0 && each < bytes.length))].sort((a, b) => a - b)
        expect(read(cut(bytes, ...at))).toEqual(read([bytes]))
      }),
      { numRuns: 3000 },
    )
  })
})
