// Replies that are right, and such as are none: what becomes of them on a connection that ends behind them. And any
// number of others, somewhere between.

import fc from '../fixtures/property.ts'

export const reply = (...lines: readonly string[]) => lines.join('\r\n')
export const OK = 'HTTP/1.1 200 OK'
export const CHUNKED = reply(OK, 'Transfer-Encoding: chunked', '', '')

export const GOOD: readonly [text: string, body: string, end: 'over' | 'persistent'][] = [
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
  [reply('HTTP/1.1 103 E', 'Content-Length: 9', '', OK, 'Content-Length: 5', '', 'hello'), 'hello', 'persistent'],
  [
    reply('HTTP/1.1 199 E', 'Transfer-Encoding: chunked', '', OK, 'Content-Length: 5', '', 'hello'),
    'hello',
    'persistent',
  ],
  [reply(OK, 'Content-Length: 5', 'Connection: upgrade', 'Upgrade: h2c', '', 'hello'), 'hello', 'persistent'],
  [reply(OK, 'Content-Length: 5', 'Proxy-Connection: close', '', 'hello'), 'hello', 'over'],
  [reply(OK, 'Content-Length: 19', '', OK, '', ''), `${OK}\r\n\r\n`, 'persistent'],
  [reply(OK, '', 'hello'), 'hello', 'over'],
  [reply(OK, '', ''), '', 'over'],
  [reply(OK, 'Empty:', 'X-Odd!#$%&\'*+-.^_`|~: \xe4\xff"\t;', '', 'hello'), 'hello', 'over'],
  [`${CHUNKED}5\r\nhello\r\n0\r\n\r\n`, 'hello', 'persistent'],
  [`${CHUNKED}5\r\nhello\r\n00A\r\n, hexworld\r\n0\r\n\r\n`, 'hello, hexworld', 'persistent'],
  [`${CHUNKED}5;name=value;flag\r\nhello\r\n0\r\n\r\n`, 'hello', 'persistent'],
  [`${CHUNKED}5\r\nhello\r\n0\r\nX-Trailer: 1\r\nX-More: 2\r\n\r\n`, 'hello', 'persistent'],
  [`${CHUNKED}5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n`, 'hello', 'over'],
  [`${CHUNKED}5;a="b;\t\\"";c=""\r\nhello\r\n0;last\r\n\r\n`, 'hello', 'persistent'],
  [`${CHUNKED}${'0'.repeat(30)}5\r\nhello\r\n000\r\n\r\n`, 'hello', 'persistent'],
  [`${CHUNKED}7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n`, '\r\n0\r\n\r\n', 'persistent'],
  [`${CHUNKED}0\r\n\r\n`, '', 'persistent'],
  [reply(OK, 'Transfer-Encoding: CHUNKED', '', '1', 'x', '0', '', ''), 'x', 'persistent'],
]

export const BAD: readonly [text: string, end: string, body?: string][] = [
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
  [`${CHUNKED}5;a="b\r\nhello\r\n0\r\n\r\n`, 'HPE_INVALID_CHUNK_SIZE'],
  [`${CHUNKED}5;a="\r"\r\nhello\r\n0\r\n\r\n`, 'HPE_INVALID_CHUNK_SIZE'],
  [`${CHUNKED}5; a\r\nhello\r\n0\r\n\r\n`, 'HPE_INVALID_CHUNK_SIZE'],
  [`${CHUNKED}5;\r\nhello\r\n0\r\n\r\n`, 'HPE_INVALID_CHUNK_SIZE'],
  [`${CHUNKED}5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n`, 'HPE_INVALID_CONTENT_LENGTH', 'hello'],
  [`${CHUNKED}5\r\nhello\r\n0\r\nTransfer-Encoding: x\r\n\r\n`, 'HPE_INVALID_TRANSFER_ENCODING', 'hello'],
  [`${CHUNKED}5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n`, 'HPE_INVALID_HEADER_TOKEN', 'hello'],
  [`${CHUNKED}5\r\nhello\r\n0\r\n\n`, 'HPE_CR_EXPECTED', 'hello'],
  [`${CHUNKED}5\r\nhello\r\n0\r\nbad trailer\r\n\r\n`, 'HPE_INVALID_HEADER_TOKEN', 'hello'],
]

/** Mostly the first. */
const mostly = <T>(weight: number, usual: T, ...odd: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight, arbitrary: fc.constant(usual) }, fc.constantFrom(...odd))

const harmless = fc.constantFrom(
  ...['X-A: 1', 'x-a: 2', 'Empty:', 'X: \t a \t', 'X: \xe4"\xa0', 'Set-Cookie: a', 'set-cookie: b', 'Trailer: x'],
  ...[
    'Keep-Alive: timeout=5',
    'Connection: keep-alive',
    'Connection: close',
    'connection:x ,\tCLOSE',
    'Connection: closed',
  ],
  ...['Connection: upgrade', 'Upgrade: h2c', 'Proxy-Connection: close', 'Content-Encoding: gzip'],
)
const harmful = fc.constantFrom(
  ...['X: a\r\n folded', 'X : 1', ' X: 1', ': x', 'X', 'X: a\rb', 'X: a\nb', 'X: \0', 'X\0: 1', '\tX: 1', ' '],
  ...['Content-Length: 5', 'content-length: 005', 'Content-Length: 5,5', 'Content-Length: +5', 'Content-Length:'],
  ...['Content-Length: 18446744073709551621', 'Content-Length: 9007199254740993', 'Content-Length: 5 5'],
  ...['Transfer-Encoding: chunked', 'Transfer-Encoding: gzip, chunked', 'Transfer-Encoding: chunked, identity'],
  ...['transfer-encoding:\x0bchunked', 'Transfer-Encoding: identity', 'Transfer-Encoding:', 'Transfer-Encoding: ,'],
)
const header = fc.oneof({ weight: 15, arbitrary: harmless }, harmful)
const headers = fc.array(header, { maxLength: 3 })

const payload = fc
  .array(fc.constantFrom('a', '\r\n', '\n', '0', '5', ' ', '\0', '\xff', OK, 'hello, world'), { maxLength: 6 })
  .map((parts) => parts.join(''))

const extension = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('', ';a', ';a=b', ';a="b c"', ';a="\\"";b', ';a=""', ';a;b=c') },
  fc.constantFrom(' ', ';', '; a', ' ;a', ';a=', ';;a', ';a="', ';a="\xe4"', ';a=\0', ';a="b"c', ';a="\\\r"', '\r'),
)
const usualExtension = fc.oneof({ weight: 5, arbitrary: fc.constant('') }, extension)
const zeros = mostly(4, 0, 1, 7, 15, 20).map((count) => '0'.repeat(count))
const chunk = fc
  .tuple(payload, zeros, fc.boolean(), usualExtension)
  .filter(([bytes]) => bytes !== '')
  .map(([bytes, before, isUpper, after]) => {
    const size = bytes.length.toString(16)
    return `${before}${isUpper ? size.toUpperCase() : size}${after}\r\n${bytes}\r\n`
  })
const oddChunk = fc.constantFrom(
  'ffffffffffffffff1\r\na\r\n',
  'fffffffffffff\r\na\r\n',
  '0x1\r\na\r\n',
  '-1\r\na\r\n',
  '1\na\r\n',
)
const chunks = fc.array(fc.oneof({ weight: 20, arbitrary: chunk }, oddChunk), { maxLength: 3 })
const chunked = fc
  .tuple(chunks, mostly(5, '0', '00', '0;a="b"'), fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, headers))
  .map(([pieces, last, trailers]) => [pieces.join(''), [last, ...trailers, '', ''].join('\r\n')].join(''))

/** The header that frames a body, and the body. */
const framed = fc.oneof(
  payload.map((body): [string[], string] => [[`Content-Length: ${body.length}`], body]),
  chunked.map((body): [string[], string] => [['Transfer-Encoding: chunked'], body]),
  payload.map((body): [string[], string] => [[], body]),
)
const hint = fc
  .tuple(mostly(3, '103 E', '100 C', '102 P', '199 X', '101 S'), headers)
  .map(([status, lines]) => [`HTTP/1.1 ${status}`, ...lines, '', ''].join('\r\n'))
const hints = fc.oneof(
  { weight: 5, arbitrary: fc.constant('') },
  fc.array(hint, { maxLength: 3 }).map((all) => all.join('')),
)
const statusLine = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(OK, OK, OK, 'HTTP/1.1 206 P', 'HTTP/1.1 404', 'HTTP/1.1 205 \xff\x1b') },
  { weight: 2, arbitrary: fc.constantFrom('HTTP/1.1 204 N', 'HTTP/1.1 304 N', 'HTTP/1.0 200 OK') },
  fc.constantFrom('HTTP/1.1 099 X', 'HTTP/1.2 200 OK', 'HTTP/2 200', '\r\nHTTP/1.1 200 OK', 'HTTP/1.1 200\tOK', ' '),
)
const behind = mostly(5, '', reply(OK, 'Content-Length: 5', '', 'hello'), '\r\n', '0\r\n\r\n', 'x')

const sound = fc
  .tuple(hints, statusLine, headers, framed, headers, behind)
  .map(([early, status, before, [framing, body], after, rest]) =>
    [early, [status, ...before, ...framing, ...after, '', body].join('\r\n'), rest].join(''),
  )
/** Removes and puts something somewhere, or leaves nothing behind it. */
const flaw = fc.tuple(
  fc.nat(),
  fc.oneof({ weight: 6, arbitrary: fc.nat(2) }, fc.constant(Number.POSITIVE_INFINITY)),
  fc.constantFrom('', ...'\r\n\0 \t:;,"0a5-+xX\x7f\x80\x1b'),
)

/** Of all kinds: half of them whole, and most others nearly so. */
export const anyReply: fc.Arbitrary<string> = fc
  .tuple(sound, fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.array(flaw, { maxLength: 3 })))
  .map(([text, flaws]) =>
    flaws.reduce((before, [where, removed, put]) => {
      const at = where % (before.length + 1)
      return before.slice(0, at) + put + before.slice(at + removed)
    }, text),
  )
