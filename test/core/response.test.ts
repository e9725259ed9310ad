// Decides whether a response's head is read as RFC 9110 means it: never two versions joined, never a body
// taken for what it is not.

import { describe, expect, test } from 'vitest'
import type { Ask } from '../../src/core/response.ts'
import { askHeaders, decideResponse, retryAfterMs } from '../../src/core/response.ts'

const NOW = Date.parse('Sat, 21 Nov 2026 03:00:00 GMT')
const WHOLE: Ask = { kind: 'whole' }
const REST: Ask = { kind: 'rest', offsetBytes: 100, validator: { etag: '"v1"' }, sizeBytes: 1000 }
const CONTINUE: Ask = { kind: 'continue', offsetBytes: 100, writtenAtMs: NOW }
const OF_TARGET: Ask = { kind: 'if-changed', of: 'target', validator: { etag: '"v1"' } }
const OF_PART: Ask = { kind: 'if-changed', of: 'part', validator: { etag: '"v1"' } }

type Fields = Readonly<Record<string, string>>
const decide = (ask: Ask, status: number, headers: Fields = {}, maxFileSizeBytes?: number) =>
  decideResponse(
    ask,
    { status, headers: Object.entries(headers) },
    { nowMs: NOW, ...(maxFileSizeBytes === undefined ? {} : { maxFileSizeBytes }) },
  )
const failed = (failure: object) => ({ do: 'fail', failure })

describe('200', () => {
  test('is received from the start, with its length and validator', () => {
    expect(decide(WHOLE, 200, { 'Content-Length': '1000', ETag: '"v1"' })).toEqual({
      do: 'receive',
      offsetBytes: 0,
      lengthBytes: 1000,
      sizeBytes: 1000,
      validator: { etag: '"v1"' },
      isRangeable: false,
    })
  })

  test('to a range or a condition starts over with the new version', () => {
    for (const ask of [REST, CONTINUE, OF_TARGET, OF_PART]) {
      expect(decide(ask, 200, { 'content-length': '7', etag: '"v2"' })).toEqual({
        do: 'receive',
        offsetBytes: 0,
        lengthBytes: 7,
        sizeBytes: 7,
        validator: { etag: '"v2"' },
        isRangeable: false,
      })
    }
  })

  test.each([
    [{}],
    [{ 'content-length': '12abc' }],
    [{ 'content-length': '-1' }],
    [{ 'content-length': '5', 'transfer-encoding': 'chunked' }],
  ] as const)('with %j has an unknown length', (headers) => {
    expect(decide(WHOLE, 200, headers)).toEqual({ do: 'receive', offsetBytes: 0, validator: {}, isRangeable: false })
  })

  test('a length beyond all reason is a length, and no room will be found for it', () => {
    expect(decide(WHOLE, 200, { 'content-length': '9'.repeat(20) })).toMatchObject({
      lengthBytes: Number.MAX_SAFE_INTEGER,
    })
  })

  const SERVED: Fields = { 'content-length': '1000', 'accept-ranges': 'bytes', etag: '"v1"' }
  const isRangeable = (headers: Fields) => {
    const answer = decide(WHOLE, 200, headers)
    return answer.do === 'receive' ? answer.isRangeable : undefined
  }

  test.each([
    [SERVED],
    [{ ...SERVED, 'accept-ranges': 'Bytes' }],
    [{ ...SERVED, 'accept-ranges': 'pages , bytes' }],
    [{ ...SERVED, 'content-encoding': 'identity' }],
    [{ ...SERVED, 'content-encoding': '' }],
    [{ ...SERVED, 'content-encoding': ' Identity ' }],
    [
      {
        'content-length': '1000',
        'accept-ranges': 'bytes',
        date: 'Sat, 21 Nov 2026 03:00:00 GMT',
        'last-modified': 'Sat, 21 Nov 2026 02:00:00 GMT',
      },
    ],
  ] as const)('with %j may be shared out among several children', (headers) => {
    expect(isRangeable(headers)).toBe(true)
  })

  test.each([
    ['does not say that ranges are served', { ...SERVED, 'accept-ranges': 'none' }],
    ['says nothing of ranges', { 'content-length': '1000', etag: '"v1"' }],
    ['serves other units only', { ...SERVED, 'accept-ranges': 'kilobytes' }],
    ['has no length', { 'accept-ranges': 'bytes', etag: '"v1"' }],
    ['has a length that is not believed', { ...SERVED, 'transfer-encoding': 'chunked' }],
    ['has no validator', { 'content-length': '1000', 'accept-ranges': 'bytes' }],
    ['has a weak validator', { ...SERVED, etag: 'W/"v1"' }],
    [
      'may change within its second',
      {
        ...SERVED,
        etag: '',
        date: 'Sat, 21 Nov 2026 03:00:00 GMT',
        'last-modified': 'Sat, 21 Nov 2026 02:59:59 GMT',
      },
    ],
    ['is coded', { ...SERVED, 'content-encoding': 'gzip' }],
  ] as const)('that %s is received by one child alone', (_, headers) => {
    expect(isRangeable(headers)).toBe(false)
  })

  test.each(['gzip, chunked', 'GZIP', 'deflate,chunked'])(
    'with a transfer coding nobody asked for is refused: %s',
    (sent) => {
      expect(decide(WHOLE, 200, { 'transfer-encoding': sent })).toEqual(
        failed({ kind: 'protocol', code: 'transfer-coding-unasked' }),
      )
    },
  )

  test('203 is as good', () => {
    expect(decide(WHOLE, 203).do).toBe('receive')
  })

  test('larger than allowed is refused, exactly as large is not', () => {
    expect(decide(WHOLE, 200, { 'content-length': '11' }, 10)).toEqual(
      failed({ kind: 'too-large', sizeBytes: 11, limitBytes: 10 }),
    )
    expect(decide(WHOLE, 200, { 'content-length': '10' }, 10).do).toBe('receive')
    expect(decide(WHOLE, 200, {}, 10).do).toBe('receive')
  })
})

describe('206', () => {
  const RIGHT: Fields = { 'content-range': 'bytes 100-999/1000', 'content-length': '900', etag: '"v1"' }

  test('as asked is joined', () => {
    expect(decide(REST, 206, RIGHT)).toEqual({
      do: 'receive',
      offsetBytes: 100,
      lengthBytes: 900,
      sizeBytes: 1000,
      validator: { etag: '"v1"' },
      isRangeable: true,
    })
  })

  test('that does not repeat the validator is not joined: its server may not know If-Range', () => {
    const { etag: _, ...rest } = RIGHT
    expect(decide(REST, 206, rest)).toEqual({ do: 'ask-whole', reason: 'it does not repeat its validator' })
  })

  test('that is coded is not joined to bytes that were not', () => {
    expect(decide(REST, 206, { ...RIGHT, 'content-encoding': 'gzip' })).toMatchObject({ do: 'ask-whole' })
    expect(decide(REST, 206, { ...RIGHT, 'content-encoding': 'Identity' })).toMatchObject({ do: 'receive' })
  })

  test('that stops short of the end is received as far as it goes', () => {
    expect(decide(REST, 206, { 'content-range': 'bytes 100-499/1000', etag: '"v1"' })).toMatchObject({
      lengthBytes: 400,
      sizeBytes: 1000,
    })
  })

  test('without a size known before takes the announced one', () => {
    const ask: Ask = { kind: 'rest', offsetBytes: 100, validator: { etag: '"v1"' } }
    expect(decide(ask, 206, { 'content-range': 'bytes 100-499/500', etag: '"v1"' })).toMatchObject({
      do: 'receive',
      sizeBytes: 500,
    })
  })

  test.each([
    ['another start', { 'content-range': 'bytes 0-999/1000', etag: '"v1"' }],
    ['a later start', { 'content-range': 'bytes 101-999/1000', etag: '"v1"' }],
    ['another total', { 'content-range': 'bytes 100-1999/2000', etag: '"v1"' }],
    ['no total', { 'content-range': 'bytes 100-999/*', etag: '"v1"' }],
    ['an end before its start', { 'content-range': 'bytes 100-99/1000', etag: '"v1"' }],
    ['an end past its total', { 'content-range': 'bytes 100-1000/1000', etag: '"v1"' }],
    ['no Content-Range', {}],
    ['another unit', { 'content-range': 'items 100-999/1000', etag: '"v1"' }],
    ['a malformed Content-Range', { 'content-range': 'bytes=100-999/1000', etag: '"v1"' }],
    ['several parts', { 'content-type': 'multipart/byteranges; boundary=x' }],
    ['another ETag', { ...RIGHT, etag: '"v2"' }],
    ['a length that contradicts its range', { ...RIGHT, 'content-length': '899' }],
  ] as const)('with %s is not joined', (_, headers) => {
    expect(decide(REST, 206, headers)).toMatchObject({ do: 'ask-whole', reason: expect.stringMatching(/./) })
  })

  test('with another Last-Modified is not joined', () => {
    const lastModified = 'Fri, 20 Nov 2026 03:00:00 GMT'
    const ask: Ask = { kind: 'rest', offsetBytes: 100, validator: { lastModified, isDateStrong: true } }
    const range = 'bytes 100-999/1000'
    expect(decide(ask, 206, { 'content-range': range, 'last-modified': 'Sat, 21 Nov 2026 03:00:00 GMT' }).do).toBe(
      'ask-whole',
    )
    expect(decide(ask, 206, { 'content-range': range, 'last-modified': lastModified }).do).toBe('receive')
  })

  test('with Transfer-Encoding is measured by its range alone', () => {
    expect(decide(REST, 206, { ...RIGHT, 'content-length': '1', 'transfer-encoding': 'chunked' }).do).toBe('receive')
  })

  test('nobody asked for breaks the protocol', () => {
    for (const ask of [WHOLE, OF_TARGET]) {
      expect(decide(ask, 206, RIGHT)).toEqual(failed({ kind: 'protocol', code: 'range-unasked' }))
    }
  })

  test('keeps the validator that was asked with, of which it need not repeat all', () => {
    const validator = { etag: '"v1"', lastModified: 'Fri, 20 Nov 2026 03:00:00 GMT', isDateStrong: true }
    expect(decide({ ...REST, validator }, 206, RIGHT)).toMatchObject({ do: 'receive', validator })
  })

  test('to a range with an end is joined, be it shorter or longer than asked', () => {
    const ask: Ask = { ...REST, endBytes: 300 }
    for (const [last, lengthBytes] of [
      [299, 200],
      [199, 100],
      [999, 900],
    ] as const) {
      expect(decide(ask, 206, { 'content-range': `bytes 100-${last}/1000`, etag: '"v1"' })).toMatchObject({
        do: 'receive',
        offsetBytes: 100,
        lengthBytes,
      })
    }
  })

  test('of a file that is too large is refused by its total', () => {
    expect(decide(REST, 206, RIGHT, 999)).toEqual(failed({ kind: 'too-large', sizeBytes: 1000, limitBytes: 999 }))
  })
})

describe('conditions', () => {
  test('304 means unchanged, of what was asked about', () => {
    expect(decide(OF_TARGET, 304)).toEqual({ do: 'unchanged', of: 'target' })
    expect(decide(OF_PART, 304)).toEqual({ do: 'unchanged', of: 'part' })
  })

  test('304 to what was no question breaks the protocol', () => {
    for (const ask of [WHOLE, REST, CONTINUE]) {
      expect(decide(ask, 304)).toEqual(failed({ kind: 'protocol', code: 'not-modified-unasked' }))
    }
  })

  test('412 to our own condition asks without it, and is final otherwise', () => {
    for (const ask of [REST, CONTINUE, OF_TARGET, OF_PART]) expect(decide(ask, 412).do).toBe('ask-whole')
    expect(decide(WHOLE, 412)).toEqual(failed({ kind: 'http-status', status: 412 }))
  })

  test('416 to our own range asks for the whole, and is final otherwise', () => {
    expect(decide(REST, 416).do).toBe('ask-whole')
    for (const ask of [WHOLE, OF_TARGET]) expect(decide(ask, 416)).toEqual(failed({ kind: 'http-status', status: 416 }))
  })
})

describe('bytes that somebody else fetched', () => {
  const RIGHT: Fields = { 'content-range': 'bytes 100-999/1000', 'content-length': '900' }

  test('are not continued by a version that is younger than they are', () => {
    const headers = { 'Content-Range': 'bytes 100-999/1000', 'Last-Modified': 'Sat, 21 Nov 2026 03:00:01 GMT' }
    expect(decide(CONTINUE, 206, headers)).toMatchObject({
      do: 'ask-whole',
      reason: expect.stringContaining('changed'),
    })
    const older = { ...headers, 'Last-Modified': 'Sat, 21 Nov 2026 02:59:59 GMT' }
    expect(decide(CONTINUE, 206, older)).toMatchObject({ do: 'receive', offsetBytes: 100 })
  })

  test('are continued by a 206, of whatever version it is', () => {
    expect(decide(CONTINUE, 206, { ...RIGHT, etag: '"v9"' })).toEqual({
      do: 'receive',
      offsetBytes: 100,
      lengthBytes: 900,
      sizeBytes: 1000,
      validator: { etag: '"v9"' },
      isRangeable: true,
    })
  })

  test.each([
    ['names no version', RIGHT],
    ['names it weakly', { ...RIGHT, etag: 'W/"v9"' }],
  ] as const)('are continued by one child alone when the 206 %s', (_, headers) => {
    expect(decide(CONTINUE, 206, headers)).toMatchObject({ do: 'receive', isRangeable: false })
  })

  test.each([
    ['of another start', { 'content-range': 'bytes 0-999/1000' }],
    ['without a total', { 'content-range': 'bytes 100-999/*' }],
    ['that is coded', { ...RIGHT, 'content-encoding': 'gzip' }],
    ['of a length that contradicts its range', { ...RIGHT, 'content-length': '899' }],
  ] as const)('are not joined to a 206 %s', (_, headers) => {
    expect(decide(CONTINUE, 206, headers)).toMatchObject({ do: 'ask-whole', reason: expect.stringMatching(/./) })
  })

  test('are the whole file when the server has no more', () => {
    expect(decide(CONTINUE, 416, { 'content-range': 'bytes */100' })).toEqual({ do: 'unchanged', of: 'part' })
  })

  test.each([
    ['a smaller file', { 'content-range': 'bytes */99' }],
    ['a larger file', { 'content-range': 'bytes */101' }],
    ['no size', {}],
    ['a size that is none', { 'content-range': 'bytes */many' }],
  ] as const)('are dropped when a 416 tells of %s', (_, headers) => {
    expect(decide(CONTINUE, 416, headers)).toMatchObject({ do: 'ask-whole', reason: expect.stringMatching(/./) })
  })

  test('are never taken for whole because of a 416 to our own range', () => {
    expect(decide(REST, 416, { 'content-range': 'bytes */100' }).do).toBe('ask-whole')
  })
})

describe('redirects', () => {
  test.each([301, 302, 303, 307, 308])('%i goes where Location says', (status) => {
    expect(decide(WHOLE, status, { Location: ' /there ' })).toEqual({ do: 'redirect', location: '/there' })
  })

  test.each([[{}], [{ location: '' }], [{ location: '  ' }]])('with %j leads nowhere', (headers) => {
    expect(decide(WHOLE, 302, headers)).toMatchObject(failed({ kind: 'redirect-refused' }))
  })

  test('300, 305 and 306 are no redirects', () => {
    for (const status of [300, 305, 306]) {
      expect(decide(WHOLE, status, { location: '/x' })).toEqual(failed({ kind: 'http-status', status }))
    }
  })
})

describe('refusals', () => {
  test.each([
    [401, { 'www-authenticate': 'Basic realm="x"' }, 'Basic'],
    [407, { 'proxy-authenticate': 'Digest realm="x"' }, 'Digest'],
  ])('%i names the scheme', (status, headers, scheme) => {
    expect(decide(WHOLE, status, headers)).toEqual(failed({ kind: 'unauthorized', status, scheme }))
  })

  test('a challenge that is no word names no scheme', () => {
    expect(decide(WHOLE, 401)).toEqual(failed({ kind: 'unauthorized', status: 401 }))
    expect(decide(WHOLE, 401, { 'www-authenticate': '\u001b[31m' })).toEqual(
      failed({ kind: 'unauthorized', status: 401 }),
    )
    expect(decide(WHOLE, 401, { 'www-authenticate': 'x'.repeat(500) })).toEqual(
      failed({ kind: 'unauthorized', status: 401, scheme: 'x'.repeat(20) }),
    )
  })

  test.each([204, 205, 400, 403, 404, 410, 418, 429, 500, 503, 599, 999, 100])(
    '%i is a failure of that number',
    (status) => {
      expect(decide(WHOLE, status)).toEqual(failed({ kind: 'http-status', status }))
    },
  )

  test('Retry-After travels with the failure', () => {
    expect(decide(WHOLE, 503, { 'Retry-After': '120' })).toEqual(
      failed({ kind: 'http-status', status: 503, retryAfterMs: 120_000 }),
    )
  })
})

describe('Retry-After', () => {
  test.each([
    ['0', 0],
    [' 5 ', 5000],
    ['999999999', 999_999_999_000],
    ['Sat, 21 Nov 2026 03:02:00 GMT', 120_000],
    ['Saturday, 21-Nov-26 03:02:00 GMT', 120_000],
    ['Sat Nov 21 03:02:00 2026', 120_000],
    ['Sat, 21 Nov 2026 02:00:00 GMT', 0],
  ])('%s is %i ms', (value, ms) => {
    expect(retryAfterMs(value, NOW)).toBe(ms)
  })

  test.each([undefined, '', 'soon', '-5', '1.5', '1e3', '99999999999', '0x10', '2026-11-21', 'Sunny'])(
    '%s says nothing',
    (value) => {
      expect(retryAfterMs(value, NOW)).toBeUndefined()
    },
  )
})

describe('a body that is decoded', () => {
  const take = (headers: Fields) =>
    decideResponse(
      WHOLE,
      { status: 200, headers: Object.entries(headers) },
      { nowMs: NOW, decodes: true, maxFileSizeBytes: 5 },
    )

  test.each([
    ['gzip', 'gzip'],
    ['X-GZIP', 'gzip'],
    ['deflate', 'deflate'],
    [' br ', 'br'],
  ])(
    'comes as %s, of a length that nobody knows, and is neither shared out nor judged by its coded size',
    (sent, coding) => {
      const headers = { 'content-encoding': sent, 'content-length': '7', etag: '"v"', 'accept-ranges': 'bytes' }
      expect(take(headers)).toEqual({
        do: 'receive',
        offsetBytes: 0,
        validator: { etag: '"v"' },
        isRangeable: false,
        coding,
        codedBytes: 7,
      })
      expect(take({ 'content-encoding': sent })).not.toHaveProperty('codedBytes')
    },
  )

  test.each(['zstd', 'gzip, br', 'compress'])('is refused when it comes as %s, which was not offered', (sent) => {
    expect(take({ 'content-encoding': sent })).toEqual(failed({ kind: 'protocol', code: 'coding-unasked' }))
  })

  test('that was coded twice is refused, on however many lines it says so', () => {
    const line: [string, string] = ['Content-Encoding', 'gzip']
    expect(decideResponse(WHOLE, { status: 200, headers: [line, line] }, { nowMs: NOW, decodes: true })).toEqual(
      failed({ kind: 'protocol', code: 'coding-unasked' }),
    )
  })

  test.each(['identity', ''])('is as any other when it is not coded after all (%j)', (sent) => {
    expect(take({ 'content-encoding': sent, 'content-length': '5' })).toMatchObject({ lengthBytes: 5, sizeBytes: 5 })
    expect(take({ 'content-encoding': sent, 'content-length': '6' })).toMatchObject({ failure: { kind: 'too-large' } })
  })

  test('is taken as it was sent where nobody asked for a coding', () => {
    expect(decide(WHOLE, 200, { 'content-encoding': 'gzip', 'content-length': '7' })).toMatchObject({ sizeBytes: 7 })
  })
})

describe('the media type', () => {
  const take = (type: string | undefined, ask: Ask = WHOLE, status = 200) =>
    decideResponse(
      ask,
      { status, headers: type === undefined ? [] : [['Content-Type', type]] },
      { nowMs: NOW, acceptTypes: ['application/pdf', 'image/*'] },
    )

  test.each(['application/pdf', 'Application/PDF; x=y', 'image/png', 'IMAGE/svg+xml;a'])('%s is accepted', (type) => {
    expect(take(type)).toMatchObject({ do: 'receive' })
  })

  test.each([
    ['text/html', 'text/html'],
    ['text/html; charset=utf-8', 'text/html'],
    ['application/pdfx', 'application/pdfx'],
    ['imagery/png', 'imagery/png'],
    [undefined, 'no type'],
    ['\u001b[31m', '\\x1b[31m'],
  ])('%j is not, and is named', (type, contentType) => {
    const refused = failed({ kind: 'type-refused', contentType, accepted: ['application/pdf', 'image/*'] })
    expect([take(type), take(type, REST, 206)]).toEqual([refused, refused])
  })

  test('of a redirect or an error says nothing', () => {
    expect(take('text/html', WHOLE, 404)).toEqual(failed({ kind: 'http-status', status: 404 }))
    expect(take('text/html', OF_TARGET, 304)).toEqual({ do: 'unchanged', of: 'target' })
  })
})

describe('a look at what is there', () => {
  const LOOK: Ask = { kind: 'if-newer', sizeBytes: 1000, modifiedMs: NOW + 500 }
  const date = (ms: number) => new Date(ms).toUTCString()
  const look = (modifiedMs: number, sizeBytes = 1000) =>
    decide(LOOK, 200, { 'Last-Modified': date(modifiedMs), 'Content-Length': `${sizeBytes}` })

  test('leaves a file that is as large as the server’s and not older', () => {
    expect([look(NOW), look(NOW - 9e9), look(NOW + 1000)]).toEqual(Array(3).fill({ do: 'unchanged', of: 'target' }))
  })

  test('asks for it when it is younger on the server, or of another size', () => {
    expect(look(NOW + 2000)).toEqual({ do: 'ask-whole', reason: 'it is younger on the server' })
    expect(look(NOW, 999)).toEqual({ do: 'ask-whole', reason: 'it has 999 bytes on the server' })
  })

  test('asks for it when the server does not tell enough', () => {
    expect(decide(LOOK, 200, { 'content-length': '1000' })).toMatchObject({
      reason: 'the server tells no Last-Modified',
    })
    expect(decide(LOOK, 200, { 'last-modified': date(NOW) })).toMatchObject({ reason: 'the server tells no size' })
    expect(decide(LOOK, 200, { 'last-modified': 'x', 'content-length': '1000' })).toMatchObject({ do: 'ask-whole' })
  })

  test.each([204, 206, 302, 304, 400, 401, 403, 404, 405, 500, 501])(
    'asks for it when the server answers %i, which a GET may not get',
    (status) => {
      expect(decide(LOOK, status)).toMatchObject({ do: 'ask-whole' })
    },
  )

  test('takes a redirect, the word of a proxy and a plea for peace as they are', () => {
    expect(decide(LOOK, 301, { location: '/x' })).toEqual({ do: 'redirect', location: '/x' })
    expect(decide(LOOK, 407)).toEqual(failed({ kind: 'unauthorized', status: 407 }))
    expect(decide(LOOK, 429)).toEqual(failed({ kind: 'http-status', status: 429 }))
  })
})

describe('asking', () => {
  const IDENTITY = ['Accept-Encoding', 'identity']

  test('the whole asks for no coding', () => {
    expect(askHeaders(WHOLE)).toEqual([IDENTITY])
  })

  test('the rest asks for a range of this version only', () => {
    expect(askHeaders(REST)).toEqual([IDENTITY, ['Range', 'bytes=100-'], ['If-Range', '"v1"']])
  })

  test('a range with an end names its last byte', () => {
    expect(askHeaders({ ...REST, endBytes: 300 })).toContainEqual(['Range', 'bytes=100-299'])
    expect(askHeaders({ ...REST, endBytes: 101 })).toContainEqual(['Range', 'bytes=100-100'])
  })

  test('what somebody else began is continued without a condition: there is nothing to ask with', () => {
    expect(askHeaders(CONTINUE)).toEqual([IDENTITY, ['Range', 'bytes=100-']])
  })

  test('a range without a strong validator is never asked for', () => {
    expect(() => askHeaders({ kind: 'rest', offsetBytes: 1, validator: { etag: 'W/"v1"' } })).toThrow(
      'strong validator',
    )
  })

  test('a condition asks with what there is', () => {
    expect(askHeaders(OF_TARGET)).toEqual([IDENTITY, ['If-None-Match', '"v1"']])
  })
})
