// Proves that a coded body comes out whole or is called broken, and that nobody decodes what is not wanted.
import { EventEmitter, once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync, constants, createGzip, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { decoded } from '../../src/child/decode.ts'
import type { Sink } from '../../src/child/delivery.ts'
import type { OpenResponse } from '../../src/child/request.ts'
import type { Coding } from '../../src/core/coding.ts'
import { bodyOf } from '../fixtures/fault-server.ts'
import { type Claim, PlayedSupervisor, type Receive } from './play-supervisor.ts'

interface Served {
  readonly pieces: readonly Uint8Array[]
  /** After the last piece; a whole answer when left out. */
  readonly end?: 'reset' | 'close' | 'never'
  /** Only the connection's end ends the answer. */
  readonly isEndOpen?: boolean
}

let server: Server
let served: Served
const children: PlayedSupervisor[] = []
beforeAll(async () => {
  server = createServer(async (_, response) => {
    const { pieces, end, isEndOpen = false } = served
    response.useChunkedEncodingByDefault = !isEndOpen
    response.socket?.setNoDelay(true)
    response.flushHeaders()
    for (const piece of pieces) if (!response.write(piece)) await once(response, 'drain')
    if (end === undefined) response.end()
    if (end === 'close') response.destroy()
    if (end === 'reset') response.socket?.resetAndDestroy()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
afterEach(() => {
  for (const child of children.splice(0)) child.remove()
})

function ask(what: Served): PlayedSupervisor {
  served = what
  const child = new PlayedSupervisor({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` })
  children.push(child)
  return child
}

async function receive(
  coding: Coding,
  what: Served,
  want: Partial<Receive> = {},
): Promise<{ claim: Claim; written: Buffer }> {
  const child = ask(what)
  await child.receive({ coding, ...want })
  const claim = await child.claim()
  return { claim, written: child.file() }
}

const TEXT = Buffer.concat([bodyOf(200_000), Buffer.alloc(800_000, 'all work and no play ')])
const FORMS = {
  gzip: { coding: 'gzip', coded: gzipSync(TEXT) },
  deflate: { coding: 'deflate', coded: deflateSync(TEXT) },
  'deflate without its wrapping': { coding: 'deflate', coded: deflateRawSync(TEXT) },
  br: { coding: 'br', coded: brotliCompressSync(TEXT, { params: { [constants.BROTLI_PARAM_QUALITY]: 3 } }) },
} as const satisfies Record<string, { coding: Coding; coded: Buffer }>
const cut = (bytes: Uint8Array, pieceBytes: number) =>
  Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, n) =>
    bytes.subarray(n * pieceBytes, (n + 1) * pieceBytes),
  )
const broken = (coding: Coding, code = expect.stringMatching(/./)) => ({
  type: 'failed',
  failure: { kind: 'broken-coding', coding, code },
})

describe.each(Object.entries(FORMS))('%s', (_, { coding, coded }) => {
  test.each([1, 977, 10 ** 9])('comes out whole from pieces of %d bytes', async (pieceBytes) => {
    const pieces = pieceBytes === 1 ? [...cut(coded.subarray(0, 300), 1), coded.subarray(300)] : cut(coded, pieceBytes)
    const { claim, written } = await receive(coding, { pieces })
    expect(claim).toEqual({ type: 'done', bytes: TEXT.length })
    expect(written.equals(TEXT)).toBe(true)
  })

  test('comes out whole at any rate', async () => {
    const child = ask({ pieces: [coded] })
    child.send({ type: 'rate', bytesPerSecond: 2_000_000 })
    await child.receive({ coding })
    await child.reached(300_000)
    child.send({ type: 'rate', bytesPerSecond: null })
    expect(await child.claim()).toEqual({ type: 'done', bytes: TEXT.length })
    expect(child.file().equals(TEXT)).toBe(true)
  })

  test('that ends too early in a whole answer is broken', async () => {
    for (const length of [1, 5, 100_000, coded.length - 1]) {
      const { claim } = await receive(coding, { pieces: [coded.subarray(0, length)] })
      expect(claim).toEqual(broken(coding))
    }
  })

  test('that ends too early where only the connection tells the end is truncated', async () => {
    const { claim, written } = await receive(coding, { pieces: [coded.subarray(0, 150_000)], isEndOpen: true })
    expect(claim).toMatchObject({ failure: { kind: 'truncated', receivedBytes: written.length } })
    const whole = await receive(coding, { pieces: [coded], isEndOpen: true })
    expect(whole.claim).toEqual({ type: 'done', bytes: TEXT.length })
  })

  test.each(['close', 'reset'] as const)('that the connection cuts off by a %s is truncated', async (end) => {
    const { claim, written } = await receive(coding, { pieces: [coded.subarray(0, 150_000)], end })
    const failure = { kind: 'truncated', receivedBytes: written.length, code: expect.stringMatching(/^E/) }
    expect(claim).toEqual({ type: 'failed', failure })
    expect(written.equals(TEXT.subarray(0, written.length))).toBe(true)
  })

  test('with something behind its end is broken, whether it comes at once or later', async () => {
    for (const pieces of [[Buffer.concat([coded, Buffer.from('rest')])], [coded, Buffer.from('rest')]]) {
      expect((await receive(coding, { pieces })).claim).toEqual(broken(coding))
    }
  })

  test('that never was it is broken at once, though the answer goes on', async () => {
    // As a raw deflate stream: a block of a type that does not exist.
    const { claim } = await receive(coding, { pieces: [Buffer.alloc(1000, 0xff)], end: 'never' })
    expect(claim).toEqual(broken(coding))
  })

  test('of an empty file, and an empty body that only says it were coded, are empty files', async () => {
    for (const pieces of [[], [{ gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync }[coding]('')]]) {
      const { claim, written } = await receive(coding, { pieces })
      expect([claim, written.length]).toEqual([{ type: 'done', bytes: 0 }, 0])
    }
  })
})

test('several members of gzip are one file, wherever they are cut', async () => {
  const members = Buffer.concat([gzipSync('one '), gzipSync('two '), gzipSync('three')])
  for (const pieceBytes of [1, 7, members.length]) {
    const { claim, written } = await receive('gzip', { pieces: cut(members, pieceBytes) })
    expect([claim, written.toString()]).toEqual([{ type: 'done', bytes: 13 }, 'one two three'])
  }
})

test('a wrong checksum of gzip is broken', async () => {
  const coded = gzipSync(TEXT)
  coded[coded.length - 6] = (coded[coded.length - 6] ?? 0) ^ 1
  expect((await receive('gzip', { pieces: [coded] })).claim).toEqual(broken('gzip', 'Z_DATA_ERROR'))
})

describe('a bomb', () => {
  const ZEROS = Buffer.alloc(2 ** 20)
  /** 1 GiB of zeros. */
  async function bombOf(coding: 'gzip' | 'br'): Promise<Uint8Array> {
    const params = { [constants.BROTLI_PARAM_QUALITY]: 1, [constants.BROTLI_PARAM_LGWIN]: 24 }
    if (coding === 'br') return brotliCompressSync(Buffer.alloc(2 ** 30), { params })
    const gzip = createGzip({ level: 1 })
    const out: Buffer[] = []
    gzip.on('data', (bytes: Buffer) => out.push(bytes))
    for (let n = 0; n < 1024; n++) if (!gzip.write(ZEROS)) await once(gzip, 'drain')
    gzip.end()
    await once(gzip, 'end')
    return Buffer.concat(out)
  }

  test.each(['gzip', 'br'] as const)(
    'of %s is stopped at the size that is allowed, in little memory',
    async (coding) => {
      const pieces = [await bombOf(coding)]
      global.gc?.()
      const before = process.memoryUsage().rss
      const { claim, written } = await receive(coding, { pieces }, { maxBytes: 2 ** 20 })
      expect(claim).toEqual({ type: 'failed', failure: { kind: 'too-large', limitBytes: 2 ** 20 } })
      expect(written).toHaveLength(2 ** 20)
      expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20)
    },
  )

  test.each(['gzip', 'br'] as const)('of %s is decoded no faster than it is wanted', async (coding) => {
    let give: Sink = () => false
    const ended = Promise.withResolvers<undefined>()
    const response: OpenResponse = {
      head: { status: 200, headers: [], remoteAddress: null, timings: {} },
      receive(sink) {
        give = sink
        return ended.promise
      },
      resume: () => {},
      discard: () => {},
    }
    const source = decoded(response, coding)
    const came = new EventEmitter()
    let pieces = 0
    void source.receive(() => {
      pieces++
      came.emit('piece')
      return false
    })
    const first = once(came, 'piece')
    expect(give(await bombOf(coding))).toBe(false)
    await first
    await sleep(50)
    expect(pieces).toBe(1)
    const second = once(came, 'piece')
    source.resume()
    await second
    ended.resolve(undefined)
  })
})
