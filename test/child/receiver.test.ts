// Proves when a receiver writes, waits and asks for more. Its connection is played, its time is told.
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { BodyReceiver } from '../../src/child/body.ts'
import type { OpenResponse } from '../../src/child/request.ts'
import { bodyOf } from '../fixtures/fault-server.ts'

const SLICE_BYTES = 256 * 1024
const UNSTOPPED = new AbortController().signal

let scratch: string
let path: string
let descriptor: number
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'mpdl-receiver-'))
  path = join(scratch, 'part')
  descriptor = openSync(path, 'w+')
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
  closeSync(descriptor)
  rmSync(scratch, { recursive: true })
})

/** A connection in the hands of the test. `push` answers as the sink does: true, more is welcome. */
function playedResponse() {
  const ended = Promise.withResolvers<Error | undefined>()
  const resume = vi.fn()
  const discard = vi.fn()
  const played = { push: (_: Uint8Array) => false, end: ended.resolve, resume, discard }
  const response: OpenResponse = {
    head: { status: 200, headers: [], remoteAddress: null, timings: {} },
    receive(sink) {
      played.push = sink
      return ended.promise
    },
    resume,
    discard,
  }
  return { response, played }
}

function startReceiver(lengthBytes: number, bytesPerSecond: number | null) {
  const { response, played } = playedResponse()
  const receiver = new BodyReceiver(
    response,
    descriptor,
    { offsetBytes: 0, lengthBytes, skipBytes: 0 },
    bytesPerSecond,
    UNSTOPPED,
  )
  return { receiver, played, result: receiver.receive() }
}

describe('a turn of the event loop', () => {
  test('ends when it has taken long enough, and the rest follows in the next ones', () => {
    const body = bodyOf(3 * SLICE_BYTES)
    const { receiver, played } = startReceiver(4 * SLICE_BYTES, null)
    // A disk that takes 25 ms for each slice.
    let nowMs = 0
    vi.spyOn(performance, 'now').mockImplementation(() => {
      nowMs += 25
      return nowMs
    })
    expect(played.push(body)).toBe(false)
    expect(receiver.position).toBe(2 * SLICE_BYTES)
    expect(played.resume).not.toHaveBeenCalled()
    vi.advanceTimersByTime(0)
    expect(receiver.position).toBe(3 * SLICE_BYTES)
    expect(played.resume).toHaveBeenCalledOnce()
    expect(readFileSync(path).equals(body)).toBe(true)
  })

  test('that is over stops reading even when nothing is left to write', () => {
    const { played } = startReceiver(1000, null)
    let nowMs = 0
    vi.spyOn(performance, 'now').mockImplementation(() => {
      nowMs += 60
      return nowMs
    })
    expect(played.push(bodyOf(10))).toBe(false)
    expect(played.resume).not.toHaveBeenCalled()
    vi.advanceTimersByTime(0)
    expect(played.resume).toHaveBeenCalledOnce()
  })

  test('begins anew for bytes that come later', () => {
    const { played } = startReceiver(1000, null)
    expect(played.push(bodyOf(10))).toBe(true)
    vi.advanceTimersByTime(1000)
    expect(played.push(bodyOf(10))).toBe(true)
  })
})

describe('a rate', () => {
  test('lets a byte pass each second, and asks for more when all have passed', () => {
    const { receiver, played } = startReceiver(1000, 1)
    expect(played.push(bodyOf(3))).toBe(false)
    for (const bytes of [0, 1, 2]) {
      expect(receiver.position).toBe(bytes)
      expect(played.resume).not.toHaveBeenCalled()
      vi.advanceTimersByTime(1001)
    }
    expect(receiver.position).toBe(3)
    expect(played.resume).toHaveBeenCalledOnce()
  })

  test('is waited for: what each moment earns is not written by the handful', () => {
    const { receiver, played } = startReceiver(10 ** 6, 10_000_000)
    let nowMs = 0
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => {
      nowMs += 0.01
      return nowMs
    })
    expect(played.push(bodyOf(SLICE_BYTES))).toBe(false)
    expect([receiver.position, clock.mock.calls.length]).toEqual([0, 1])
  })

  test('keeps what comes although reading is paused, and in its order', () => {
    const { receiver, played } = startReceiver(1000, 100)
    const buffer = Buffer.alloc(100)
    for (const part of [0, 100, 200]) {
      // The source writes the next bytes over the last ones.
      bodyOf(300).copy(buffer, 0, part, part + 100)
      expect(played.push(buffer)).toBe(false)
    }
    vi.advanceTimersByTime(3100)
    expect(receiver.position).toBe(300)
    expect(readFileSync(path).equals(bodyOf(300))).toBe(true)
  })

  test('may change during a wait, and the wait with it', () => {
    const { receiver, played } = startReceiver(5000, 1)
    played.push(bodyOf(2000))
    vi.advanceTimersByTime(10)
    receiver.setRate(1000)
    vi.advanceTimersByTime(1010)
    expect(receiver.position).toBeGreaterThanOrEqual(950)
    expect(receiver.position).toBeLessThanOrEqual(1011)
    receiver.setRate(null)
    expect(receiver.position).toBe(2000)
    expect(played.resume).toHaveBeenCalledOnce()
    expect(played.push(bodyOf(10))).toBe(true)
  })

  test('outlasts the connection: what has arrived is written before the result', async () => {
    const { receiver, played, result } = startReceiver(1000, 100)
    played.push(bodyOf(50))
    played.end(Object.assign(new Error(), { code: 'ECONNRESET' }))
    await vi.advanceTimersByTimeAsync(100)
    expect(played.discard).not.toHaveBeenCalled()
    await vi.advanceTimersByTimeAsync(500)
    expect(await result).toEqual({
      ok: false,
      failure: { kind: 'truncated', receivedBytes: 50, expectedBytes: 1000, code: 'ECONNRESET' },
    })
    expect(receiver.position).toBe(50)
    expect(played.discard).toHaveBeenCalledOnce()
  })
})

describe('a result', () => {
  test('comes as soon as the last wanted byte is written, although more is waiting', async () => {
    const { receiver, played, result } = startReceiver(1000, 100)
    played.push(bodyOf(500))
    played.push(bodyOf(500))
    await vi.advanceTimersByTimeAsync(1000)
    const { position } = receiver
    expect(receiver.limit(position + 10)).toBe(position + 10)
    await vi.advanceTimersByTimeAsync(1000)
    expect(await result).toEqual({ ok: true, bytes: position + 10 })
    expect(played.resume).not.toHaveBeenCalled()
  })

  test('comes when the disk refuses what was waiting', async () => {
    const { response, played } = playedResponse()
    const full = openSync('/dev/full', 'w')
    const receiver = new BodyReceiver(response, full, { offsetBytes: 0, lengthBytes: 9, skipBytes: 0 }, 1, UNSTOPPED)
    const result = receiver.receive()
    played.push(bodyOf(9))
    await vi.advanceTimersByTimeAsync(2000)
    expect(await result).toEqual({ ok: false, failure: { kind: 'disk-full', path: 'the part' } })
    closeSync(full)
  })

  test('comes once: what is told afterwards changes nothing', async () => {
    const { receiver, played, result } = startReceiver(10, null)
    expect(played.push(bodyOf(20))).toBe(false)
    expect(played.push(bodyOf(20))).toBe(false)
    expect(receiver.limit(5)).toBeUndefined()
    receiver.setRate(1)
    played.end(new Error())
    expect(await result).toEqual({ ok: true, bytes: 10 })
    expect(readFileSync(path).equals(bodyOf(10))).toBe(true)
    expect(played.resume).not.toHaveBeenCalled()
    expect(played.discard).toHaveBeenCalledOnce()
  })

  test('comes without a byte being asked for when none is wanted', async () => {
    const { played, result } = startReceiver(0, null)
    expect(await result).toEqual({ ok: true, bytes: 0 })
    expect(played.discard).toHaveBeenCalledOnce()
  })

  test('comes before the start when a limit was heard that early', async () => {
    const { response, played } = playedResponse()
    const receiver = new BodyReceiver(
      response,
      descriptor,
      { offsetBytes: 7, lengthBytes: 9, skipBytes: 0 },
      null,
      UNSTOPPED,
    )
    expect(receiver.limit(3)).toBe(7)
    expect(await receiver.receive()).toEqual({ ok: true, bytes: 0 })
    expect(played.discard).toHaveBeenCalledOnce()
  })
})
