// Proves that a body comes to the file whole and counted, whichever way its bytes take. The same cases run on every way.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { bodyOf, type FaultServer } from '../fixtures/fault-server.ts'
import { type Claim, type FetchOptions, PlayedSupervisor, type Receive } from './play-supervisor.ts'

/** A way to the routes of a fault server. What it gives is asked for when the cases run. */
export interface Way {
  readonly server: () => FaultServer
  readonly options: () => Partial<FetchOptions>
  /** For a case that has to see its connection being made. */
  readonly fresh?: () => Partial<FetchOptions>
  /** Whether a body of known length goes past Node's parser. */
  readonly isTakenOver: boolean
  /** A proxy is in between, and tells a reset as an end; it may keep its own connection to the origin for a while. */
  readonly hasProxy: boolean
}

const children: PlayedSupervisor[] = []
afterEach(() => {
  vi.restoreAllMocks()
  for (const child of children.splice(0)) child.remove()
})

const truncated = (receivedBytes: number, expectedBytes?: number, code = 'ECONNRESET') => ({
  type: 'failed',
  failure: { kind: 'truncated', receivedBytes, ...(expectedBytes === undefined ? {} : { expectedBytes }), code },
})

export function bodyCases({ server, options, fresh, isTakenOver, hasProxy }: Way): void {
  function ask(path: string, more: Partial<FetchOptions> = {}): PlayedSupervisor {
    const child = new PlayedSupervisor({ url: server().url(path), ...options(), ...more })
    children.push(child)
    return child
  }

  /** Receives to the end; the file tells what was written, and the claim or the beat before it must agree. */
  async function receive(
    path: string,
    want: Partial<Receive> = {},
    options: Partial<FetchOptions> = {},
  ): Promise<{ claim: Claim; written: Buffer }> {
    const child = ask(path, options)
    await child.receive(want)
    return received(child, want.offsetBytes)
  }

  async function received(child: PlayedSupervisor, offsetBytes = 0): Promise<{ claim: Claim; written: Buffer }> {
    const claim = await child.claim()
    const file = child.file()
    const written = file.subarray(offsetBytes)
    if (claim.type === 'done') expect(claim.bytes).toBe(written.length)
    else expect(child.messages.at(-2)).toEqual({ type: 'beat', bytes: offsetBytes + written.length })
    return { claim, written }
  }

  describe('a body that ends as announced', () => {
    test.each([0, 1, 5000, 3_000_000])('of %d bytes is whole', async (size) => {
      const { claim, written } = await receive(`/ok?size=${size}`)
      expect(claim).toEqual({ type: 'done', bytes: size })
      expect(written.equals(bodyOf(size))).toBe(true)
    })

    test.each(['', '&piece=1&until=300', '&piece=7&until=400', '&piece=150&until=600', '&piece=65536'])(
      'is whole however its packets are cut: %s',
      async (cut) => {
        const { claim, written } = await receive(`/split?size=200000${cut}`)
        expect(claim).toEqual({ type: 'done', bytes: 200_000 })
        expect(written.equals(bodyOf(200_000))).toBe(true)
      },
    )

    test('is whole when it drips', async () => {
      const { claim, written } = await receive('/drip?size=7&ms=5')
      expect(claim).toEqual({ type: 'done', bytes: 7 })
      expect(written.equals(bodyOf(7))).toBe(true)
    })

    test('is whole after an early hint', async () => {
      expect((await receive('/103?size=5000')).claim).toEqual({ type: 'done', bytes: 5000 })
    })

    test('of a range goes to its place and nowhere else', async () => {
      const headers: [string, string][] = [['Range', 'bytes=4000-5999']]
      const { claim, written } = await receive('/ok?size=9000', { offsetBytes: 4000 }, { headers })
      expect(claim).toEqual({ type: 'done', bytes: 2000 })
      expect(written.equals(bodyOf(9000).subarray(4000, 6000))).toBe(true)
    })

    test('is told by its framing where no length is wanted', async () => {
      expect((await receive('/ok?size=70000', { lengthBytes: null })).claim).toEqual({ type: 'done', bytes: 70_000 })
    })

    test.each(['/chunked?size=300000', '/close-delimited?size=300000'])(
      'without a length is whole: %s',
      async (path) => {
        const { claim, written } = await receive(path)
        expect(claim).toEqual({ type: 'done', bytes: 300_000 })
        expect(written.equals(bodyOf(300_000))).toBe(true)
      },
    )

    test('that is coded comes as it was sent', async () => {
      const { claim, written } = await receive('/encoding-gzip-forced?size=50000')
      expect(claim).toEqual({ type: 'done', bytes: written.length })
      expect(gunzipSync(written).equals(bodyOf(50_000))).toBe(true)
    })

    test('and goes on behind its length has no more than its length', async () => {
      const { claim, written } = await receive('/overlong?size=100000&extra=5000')
      expect(claim).toEqual({ type: 'done', bytes: 100_000 })
      expect(written.equals(bodyOf(100_000))).toBe(true)
    })
  })

  describe('a body that ends too early', () => {
    test.each([0, 1, 4096, 150_000, 299_999])('after %d bytes is truncated, and these are kept', async (at) => {
      const { claim, written } = await receive(`/truncated?size=300000&at=${at}`)
      expect(claim).toEqual(truncated(at, 300_000))
      expect(written.equals(bodyOf(300_000).subarray(0, at))).toBe(true)
    })

    test('by a reset is truncated, and what came before is kept', async () => {
      const { claim, written } = await receive('/reset?size=300000&at=200000')
      expect(claim).toEqual(truncated(200_000, 300_000))
      expect(written.equals(bodyOf(300_000).subarray(0, 200_000))).toBe(true)
    })

    // A proxy makes a clean end of its origin's reset, and then nobody can tell.
    if (!hasProxy) {
      test('and has no length is truncated by a reset', async () => {
        const { claim, written } = await receive('/reset-close-delimited?size=300000&at=200000')
        expect(claim).toEqual(truncated(200_000))
        expect(written.equals(bodyOf(300_000).subarray(0, 200_000))).toBe(true)
      })
    }

    test('in the midst of its chunks is truncated', async () => {
      const { claim, written } = await receive('/chunked-truncated?size=300000&at=200000')
      expect(claim).toEqual(truncated(200_000))
      expect(written.equals(bodyOf(300_000).subarray(0, 200_000))).toBe(true)
    })

    test('with a chunk that is none is against the protocol, and what came before is kept', async () => {
      const { claim, written } = await receive('/badchunk?size=300000&at=200000')
      expect(claim).toEqual({ type: 'failed', failure: { kind: 'protocol', code: 'HPE_INVALID_CHUNK_SIZE' } })
      expect(written.equals(bodyOf(300_000).subarray(0, 200_000))).toBe(true)
    })

    test('for what was announced is truncated without a code when its framing was kept', async () => {
      const { claim } = await receive('/ok?size=1000', { lengthBytes: 1001 })
      expect(claim).toEqual({
        type: 'failed',
        failure: { kind: 'truncated', receivedBytes: 1000, expectedBytes: 1001 },
      })
    })

    test('while the supervisor still thinks about its head loses nothing', async () => {
      const child = ask('/truncated?size=300000&at=200000')
      await child.said('head')
      await sleep(20)
      await child.receive()
      const { claim, written } = await received(child)
      expect(claim).toEqual(truncated(200_000, 300_000))
      expect(written.equals(bodyOf(300_000).subarray(0, 200_000))).toBe(true)
    })
  })

  describe('an answer without a body to receive', () => {
    test.each([
      ['/101', { kind: 'protocol', code: 'upgrade-unasked' }],
      ['/empty-reply', { kind: 'network', code: 'EMPTY_REPLY', host: expect.any(String) }],
      ['/reset-headers', { kind: 'network', code: hasProxy ? 'EMPTY_REPLY' : 'ECONNRESET', host: expect.any(String) }],
      ['/cl-and-te', { kind: 'protocol', code: expect.stringMatching(/^HPE_/) }],
    ])('%s fails with its name', async (path, failure) => {
      const child = ask(path)
      expect(await child.claim()).toEqual({ type: 'failed', failure })
      expect(child.messages.filter(({ type }) => type === 'head')).toEqual([])
    })

    test('is refused, or left for another request', async () => {
      const child = ask('/redirect-to?url=/x')
      await child.said('head', ({ status }) => status === 302)
      child.send({ type: 'go', method: 'GET', url: server().url('/ok?size=3000000'), headers: [] })
      await child.said('head', ({ status }) => status === 200)
      child.send({ type: 'refuse' })
      expect(await child.claim()).toEqual({ type: 'refused' })
      expect(child.file()).toHaveLength(0)
      if (!hasProxy) await expect.poll(() => server().openConnections(), { timeout: 30_000 }).toBe(0)
    })
  })

  describe('of a body', () => {
    test('bytes that another child has are dropped before the first is written', async () => {
      const want = { offsetBytes: 300, skipBytes: 100_000, lengthBytes: 50_000 }
      const { claim, written } = await receive('/split?size=200000&piece=30000', want)
      expect(claim).toEqual({ type: 'done', bytes: 50_000 })
      expect(written.equals(bodyOf(200_000).subarray(100_000, 150_000))).toBe(true)
    })

    test('that breaks off among the bytes to drop nothing was received', async () => {
      const { claim } = await receive('/truncated?size=5000&at=1000', { skipBytes: 2000, lengthBytes: 3000 })
      expect(claim).toEqual(truncated(0, 3000))
    })

    test.each(['/ok?size=200000', '/chunked?size=200000'])('no more is taken than fits: %s', async (path) => {
      const limits = { offsetBytes: 1000, lengthBytes: null, maxBytes: 150_000 }
      const { claim, written } = await receive(path, limits)
      expect(claim).toEqual({ type: 'failed', failure: { kind: 'too-large', limitBytes: 150_000 } })
      expect(written).toHaveLength(149_000)
      expect((await receive(path, { ...limits, maxBytes: 201_000 })).claim).toEqual({ type: 'done', bytes: 200_000 })
    })
  })

  describe('a limit', () => {
    test('in the middle is the end', async () => {
      const child = ask('/ok?size=2000000')
      child.send({ type: 'rate', bytesPerSecond: 1000 })
      await child.receive({ offsetBytes: 7 })
      await child.reached(8)
      child.send({ type: 'limit', endBytes: 1_200_007 })
      expect(await child.said('limited')).toEqual({ type: 'limited', endBytes: 1_200_007 })
      child.send({ type: 'rate', bytesPerSecond: null })
      const { claim, written } = await received(child, 7)
      expect(claim).toEqual({ type: 'done', bytes: 1_200_000 })
      expect(written.equals(bodyOf(2_000_000).subarray(0, 1_200_000))).toBe(true)
    })

    test('above the end changes nothing, and one below the position ends at once with what is there', async () => {
      const child = ask('/stall?size=300000&at=200000')
      await child.receive({ offsetBytes: 50 })
      await child.reached(200_050)
      child.send({ type: 'limit', endBytes: 10 ** 9 })
      child.send({ type: 'limit', endBytes: 250_000 })
      child.send({ type: 'limit', endBytes: 250_001 })
      child.send({ type: 'limit', endBytes: 10 })
      const { claim, written } = await received(child, 50)
      expect(claim).toEqual({ type: 'done', bytes: 200_000 })
      expect(written.equals(bodyOf(300_000).subarray(0, 200_000))).toBe(true)
      const ends = child.messages.filter(({ type }) => type === 'limited')
      expect(ends.map((said) => 'endBytes' in said && said.endBytes)).toEqual([300_050, 250_000, 250_000, 200_050])
    })

    test('right behind the order to receive is answered, before it and after the claim it is not', async () => {
      const child = ask('/ok?size=100000')
      child.send({ type: 'limit', endBytes: 1 })
      await child.receive()
      child.send({ type: 'limit', endBytes: 40_000 })
      expect((await received(child)).claim).toEqual({ type: 'done', bytes: 40_000 })
      child.send({ type: 'limit', endBytes: 2 })
      await sleep(1)
      const ends = child.messages.filter(({ type }) => type === 'limited')
      expect(ends).toEqual([{ type: 'limited', endBytes: 40_000 }])
    })

    test('makes an end where there was none', async () => {
      const child = ask('/endless')
      await child.receive()
      const { bytes } = await child.reached(1)
      child.send({ type: 'limit', endBytes: bytes })
      const { endBytes } = await child.said('limited')
      expect(endBytes).toBeGreaterThanOrEqual(bytes)
      expect((await received(child)).claim).toEqual({ type: 'done', bytes: endBytes })
    })

    test('is counted when the body breaks off before it', async () => {
      const child = ask('/reset?size=300000&at=200000')
      await child.receive()
      child.send({ type: 'limit', endBytes: 250_000 })
      expect((await received(child)).claim).toEqual(truncated(200_000, 250_000))
    })
  })

  describe('a rate', () => {
    test.each(['/ok?size=4000000', '/chunked?size=4000000'])('is kept from the first byte on: %s', async (path) => {
      const child = ask(path)
      child.send({ type: 'rate', bytesPerSecond: 400_000 })
      await child.said('head')
      const startedAt = performance.now()
      await child.receive()
      await sleep(800)
      child.send({ type: 'limit', endBytes: 0 })
      const { endBytes } = await child.said('limited')
      const earned = ((performance.now() - startedAt) / 1000) * 400_000
      expect(endBytes).toBeLessThanOrEqual(earned)
      // A machine that stands still for long may lose some.
      expect(endBytes).toBeGreaterThan(earned * 0.5)
      const { claim, written } = await received(child)
      expect(claim).toEqual({ type: 'done', bytes: endBytes })
      expect(written.equals(bodyOf(4_000_000).subarray(0, endBytes))).toBe(true)
    })

    test('may be tiny: its bytes come one by one, and it may end in the middle of a wait', async () => {
      const child = ask('/ok?size=2000000')
      child.send({ type: 'rate', bytesPerSecond: 20 })
      await child.said('head')
      const startedAt = performance.now()
      await child.receive()
      for (const least of [1, 2, 3, 4]) {
        const { bytes } = await child.reached(least)
        expect(bytes).toBeLessThanOrEqual(((performance.now() - startedAt) / 1000) * 20)
      }
      child.send({ type: 'rate', bytesPerSecond: 1 })
      child.send({ type: 'rate', bytesPerSecond: null })
      const { claim, written } = await received(child)
      expect(claim).toEqual({ type: 'done', bytes: 2_000_000 })
      expect(written.equals(bodyOf(2_000_000))).toBe(true)
    })

    test('loses nothing that arrived before an error', async () => {
      const child = ask('/truncated?size=300000&at=200000')
      child.send({ type: 'rate', bytesPerSecond: 400_000 })
      await child.receive()
      const { claim, written } = await received(child)
      expect(claim).toEqual(truncated(200_000, 300_000))
      expect(written.equals(bodyOf(300_000).subarray(0, 200_000))).toBe(true)
    })

    test('holds for bytes that are dropped', async () => {
      const child = ask('/ok?size=2000000')
      child.send({ type: 'rate', bytesPerSecond: 1000 })
      await child.receive({ skipBytes: 1_000_000, lengthBytes: 1_000_000 })
      await sleep(100)
      expect(await Promise.race([child.reached(1), sleep(100)])).toBeUndefined()
      child.send({ type: 'limit', endBytes: 0 })
      expect((await received(child)).claim).toEqual({ type: 'done', bytes: 0 })
    })
  })

  test(`a body of known length ${isTakenOver ? 'never reaches' : 'goes through'} the parser`, async () => {
    const emit = vi.spyOn(Socket.prototype, 'emit')
    await receive('/ok?size=5000000')
    const chunks = emit.mock.calls.flatMap(([event, bytes]) =>
      event === 'data' && bytes instanceof Uint8Array ? [bytes] : [],
    )
    const parsed = Buffer.concat(chunks)
    // What one read brings behind the head.
    if (isTakenOver) expect(parsed.length).toBeLessThanOrEqual(256 * 1024)
    else expect(parsed.length).toBeGreaterThan(5_000_000)
  })

  test.each(['/ok?size=40000000', '/endless'])('what nobody wants yet is left to the network: %s', async (path) => {
    let socket: Socket | undefined
    const keep = (message: unknown) => {
      if (typeof message !== 'object' || message === null || !('socket' in message)) return
      if (message.socket instanceof Socket) socket ??= message.socket
    }
    subscribe('net.client.socket', keep)
    const child = ask(path, fresh?.())
    await child.said('head')
    unsubscribe('net.client.socket', keep)
    const readBytes = () => socket?.bytesRead
    await sleep(50)
    expect(readBytes(), 'while the supervisor thinks').toBeLessThan(10 ** 6)
    child.send({ type: 'rate', bytesPerSecond: 20_000_000 })
    await child.receive()
    await child.reached(2_000_000)
    child.send({ type: 'limit', endBytes: 0 })
    const { endBytes } = await child.said('limited')
    expect((readBytes() ?? 0) - endBytes, 'when the rate is lower than the network').toBeLessThan(10 ** 6)
    expect((await received(child)).claim).toEqual({ type: 'done', bytes: endBytes })
  })

  test('a body that never stops leaves room for heartbeats and commands', async () => {
    const child = ask('/endless', { path: '/dev/null' })
    await child.receive()
    const { bytes: first } = await child.reached(1)
    const { bytes: second } = await child.reached(first + 2 ** 20)
    await child.reached(second + 2 ** 20)
    child.send({ type: 'limit', endBytes: 0 })
    const { endBytes } = await child.said('limited')
    expect(await child.claim()).toEqual({ type: 'done', bytes: endBytes })
  })

  describe('a disk that refuses', () => {
    test('is named, whatever else is still to come', async () => {
      const child = ask('/stall?size=300000&at=100000', { path: '/dev/full', openFlags: 'w' })
      await child.receive({ offsetBytes: 5 })
      expect(await child.claim()).toEqual({ type: 'failed', failure: { kind: 'disk-full', path: 'the part' } })
      expect(child.messages.at(-2)).toEqual({ type: 'beat', bytes: 5 })
    })

    test('because it may not be written is named by its code', async () => {
      const { claim } = await receive('/ok?size=1000', {}, { path: '/dev/null', openFlags: 'r' })
      expect(claim).toEqual({
        type: 'failed',
        failure: { kind: 'disk-error', code: 'EBADF', operation: 'write', path: 'the part' },
      })
    })
  })
}
