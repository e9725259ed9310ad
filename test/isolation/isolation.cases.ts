// Proves what every isolation owes the supervisor. The same cases run against each; where one owes less, its exception
// says so.
import { openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Fault } from '../../src/core/fault.ts'
import type { IsolationName } from '../../src/core/isolation-name.ts'
import { exceptionFor } from '../../src/isolation/exceptions.ts'
import type { Isolation } from '../../src/isolation/isolation.ts'
import { isolationFor } from '../../src/isolation/select.ts'
import { type HashTask, PROTOCOL_VERSION } from '../../src/protocol/message.ts'
import { lookAt } from '../../src/supervisor/liveness.ts'
import { bodyOf, type FaultServer, sha256Of, startFaultServer } from '../fixtures/fault-server.ts'
import { type AttemptOptions, fetchOf, isolationOptions, PlayedAttempt, scratchDir } from './played-attempt.ts'

export function isolationCases(name: IsolationName): void {
  let server: FaultServer
  let scratch: ReturnType<typeof scratchDir>
  let isolation: Isolation

  beforeAll(async () => {
    server = await startFaultServer()
  })
  afterAll(() => server.stop())
  beforeEach(() => {
    scratch = scratchDir()
    isolation = isolationFor(name, isolationOptions(scratch.dir))
  })
  afterEach(async () => {
    await isolation.close()
    scratch.remove()
  })

  const started = (url: string, options: AttemptOptions = {}) =>
    new PlayedAttempt(isolation, scratch.dir, fetchOf(server.url(url)), options)
  const begun = (url: string, options: AttemptOptions = {}) => started(url, options).begin()

  /** Of the bundle that can fail; an isolation of its own, so that the others run what is shipped. */
  function rehearsed(fault: Fault): PlayedAttempt {
    isolation = isolationFor(name, isolationOptions(scratch.dir, { isRehearsal: true }))
    return begun('/ok?size=10', { fault })
  }

  describe('a conversation', () => {
    test('begins with ready, ends with closed and the end, and nothing comes after', async () => {
      const attempt = begun('/ok?size=5000')
      await attempt.receive()
      const { end, lastWords } = await attempt.ended()
      expect(attempt.events[0]).toEqual({ kind: 'message', message: { type: 'ready', version: PROTOCOL_VERSION } })
      expect(attempt.claim).toEqual({ type: 'done', bytes: 5000 })
      expect({ outOfMemory: end.outOfMemory, signal: end.signal, lastWords }).toEqual({
        outOfMemory: false,
        signal: undefined,
        lastWords: '',
      })
      expect(attempt.events.filter(({ kind }) => kind === 'end')).toEqual([attempt.events.at(-1)])
    })

    test('brings the bytes to their place in the file', async () => {
      const attempt = begun('/ok?size=70000')
      await attempt.receive({ offsetBytes: 1000, lengthBytes: 60_000, skipBytes: 10_000 })
      await attempt.ended()
      const expected = Buffer.concat([Buffer.alloc(1000), bodyOf(70_000).subarray(10_000)])
      expect(attempt.file().equals(expected)).toBe(true)
    })

    test('hashes what is in the file', async () => {
      const path = join(scratch.dir, 'to-hash')
      writeFileSync(path, bodyOf(300_000))
      const file = { path, descriptor: openSync(path, 'r'), access: 'read' as const }
      const task: HashTask = { kind: 'hash', algorithms: ['sha256'], sizeBytes: 300_000, beatMs: 20 }
      const attempt = new PlayedAttempt(isolation, scratch.dir, task, { file }).begin()
      await attempt.ended()
      const digests = { sha256: sha256Of(bodyOf(300_000)) }
      expect(attempt.claim).toEqual({ type: 'done', bytes: 300_000, digests })
    })

    test('goes where it is told after a redirect', async () => {
      const attempt = begun('/redirect-to?url=/ok')
      expect(await attempt.said('head')).toMatchObject({ status: 302 })
      attempt.lease.send({ type: 'go', method: 'GET', url: server.url('/ok?size=77'), headers: [] })
      expect(await attempt.said('head', 2)).toMatchObject({ status: 200 })
      await attempt.receive()
      await attempt.ended()
      expect(attempt.file().equals(bodyOf(77))).toBe(true)
    })

    test('is refused, and ends without a byte', async () => {
      const attempt = begun('/ok')
      await attempt.said('head')
      attempt.lease.send({ type: 'refuse' })
      await attempt.ended()
      expect(attempt.claim).toEqual({ type: 'refused' })
      expect(attempt.file().length).toBe(0)
    })

    test('tells what went wrong with the server', async () => {
      const attempt = begun('/reset-headers')
      await attempt.ended()
      expect(attempt.claim).toMatchObject({ type: 'failed', failure: { kind: 'network', code: 'ECONNRESET' } })
    })

    test('is one of a hundred at once, and all bring their own bytes', async () => {
      const sizes = Array.from({ length: 100 }, (_, n) => 1000 + n)
      const attempts = sizes.map((size) => begun(`/ok?size=${size}&seed=${size}`))
      await Promise.all(
        attempts.map(async (attempt) => {
          await attempt.receive()
          await attempt.ended()
        }),
      )
      const isRight = attempts.map((attempt, n) => attempt.file().equals(bodyOf(sizes[n] ?? 0, sizes[n])))
      expect(isRight.filter(Boolean).length).toBe(100)
    })

    test('counts its messages', async () => {
      const attempt = begun('/ok?size=10')
      await attempt.receive()
      await attempt.ended()
      expect(attempt.lease.takeMessageCount()).toBe(attempt.messages.length)
      expect(attempt.lease.takeMessageCount()).toBe(0)
    })
  })

  describe('one that is told to stop ends without a claim', () => {
    async function stopped(attempt: PlayedAttempt): Promise<void> {
      attempt.lease.stop('SIGTERM')
      await attempt.ended()
      expect(attempt.claim).toBeUndefined()
    }

    test('before it has a task', () => stopped(started('/ok')))

    test('with a task that it had no time to begin', () => stopped(begun('/ok')))

    test('while no answer comes', async () => {
      const attempt = begun('/stall-headers')
      await attempt.said('phase')
      await stopped(attempt)
    })

    test('while the supervisor thinks about the answer', async () => {
      const attempt = begun('/ok')
      await attempt.said('head')
      await stopped(attempt)
      expect(attempt.file().length).toBe(0)
    })

    test('while it receives, and nothing is written afterwards', async () => {
      const slow = await startFaultServer()
      const attempt = new PlayedAttempt(isolation, scratch.dir, fetchOf(slow.url('/slow?size=1000000&rate=200000')))
      await attempt.begin().receive()
      await attempt.reached(1)
      await stopped(attempt)
      const { length } = attempt.file()
      // The server goes on until it notices: bytes that come now must find nobody.
      await expect.poll(() => slow.openConnections()).toBe(0)
      expect(attempt.file().length).toBe(length)
      await slow.stop()
    })

    test('once more, after its end, and nothing happens', async () => {
      const attempt = begun('/ok?size=10')
      await attempt.receive()
      await attempt.ended()
      attempt.lease.stop('SIGTERM')
      attempt.lease.stop('SIGKILL')
      attempt.lease.send({ type: 'refuse' })
      const another = begun('/ok?size=10')
      await another.receive()
      await another.ended()
      expect(another.claim).toEqual({ type: 'done', bytes: 10 })
    })
  })

  describe('one that goes wrong', () => {
    /** Not where this very program would go wrong with it: exceptions.test.ts tries that in another. */
    const endable = (fault: Fault) => test.skipIf(exceptionFor(name, fault)?.loss === 'the run')

    endable('spin')('in an endless loop is ended by SIGKILL', async () => {
      const attempt = rehearsed('spin')
      await attempt.receive()
      attempt.lease.stop('SIGTERM')
      attempt.lease.stop('SIGKILL')
      const { end } = await attempt.ended()
      expect(attempt.claim).toBeUndefined()
      expect(end.outOfMemory).toBe(false)
    })

    endable('exit0')('by leaving without a claim says with which code', async () => {
      const attempt = rehearsed('exit0')
      await attempt.receive()
      const { end } = await attempt.ended()
      expect(attempt.claim).toBeUndefined()
      expect(end).toMatchObject({ exitCode: 0, outOfMemory: false })
    })

    endable('oom')('by filling its heap is out of memory, not only gone', async () => {
      const attempt = rehearsed('oom')
      await attempt.receive()
      expect((await attempt.ended()).end.outOfMemory).toBe(true)
    })

    endable('throw')('with an error that nobody catches leaves its last words', async () => {
      const attempt = rehearsed('throw')
      await attempt.receive()
      expect((await attempt.ended()).lastWords).toMatch(/Error/)
    })

    test('by talking garbage is told to be garbled, once, and can be ended', async () => {
      const attempt = rehearsed('garbage')
      await attempt.receive()
      await attempt.happens(() => attempt.events.find(({ kind }) => kind === 'garbled'))
      attempt.lease.stop('SIGTERM')
      await attempt.ended()
      expect(attempt.events.filter(({ kind }) => kind === 'garbled').length).toBe(1)
      expect(attempt.claim).toBeUndefined()
    })

    test('by flooding is counted, and can be ended', async () => {
      const attempt = rehearsed('flood')
      await attempt.receive()
      await attempt.happens(() => (attempt.messages.length > 5000 ? true : undefined))
      expect(attempt.lease.takeMessageCount()).toBeGreaterThan(5000)
      attempt.lease.stop('SIGTERM')
      await attempt.ended()
    })
  })

  describe('the end of all', () => {
    test('joins every process', async () => {
      const attempts = Array.from({ length: 8 }, () => begun('/ok?size=10'))
      const pids = attempts.flatMap(({ lease }) =>
        lease.unit !== undefined && 'pid' in lease.unit ? [lease.unit.pid] : [],
      )
      for (const attempt of attempts) {
        await attempt.receive()
        await attempt.ended()
      }
      await isolation.close()
      expect(pids.filter((pid) => lookAt(pid) !== undefined)).toEqual([])
    })

    test('comes at once where nothing was ever started', () => isolation.close())
  })
}
