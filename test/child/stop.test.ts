// Proves that a child which is told to stop leaves at any moment without a claim, and that nothing of it stays.
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { plainExchange } from '../../src/child/plain-exchange.ts'
import { serve } from '../../src/child/serve.ts'
import type { ChildMessage, Command, HashTask } from '../../src/protocol/message.ts'
import { PROTOCOL_VERSION } from '../../src/protocol/message.ts'
import { bodyOf, type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { type Certificates, selfSignedCa } from '../fixtures/servers.ts'
import { type FetchOptions, PlayedSupervisor } from './play-supervisor.ts'

let certificates: Certificates
let servers: { readonly http: FaultServer; readonly https: FaultServer }
beforeAll(async () => {
  certificates = selfSignedCa()
  const tls = { key: readFileSync(certificates.keyPath), cert: readFileSync(certificates.certPath) }
  servers = { http: await startFaultServer(), https: await startFaultServer({ tls }) }
})
afterAll(async () => {
  await servers.http.stop()
  await servers.https.stop()
  certificates.remove()
})

const children: PlayedSupervisor[] = []
// Sockets and immediates keep their time; the child's own timers are counted, and never ring.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
})
afterEach(() => {
  vi.useRealTimers()
  for (const child of children.splice(0)) child.remove()
})

function ask(options: FetchOptions): PlayedSupervisor {
  const child = new PlayedSupervisor(options)
  children.push(child)
  return child
}

async function stop(child: PlayedSupervisor, timersOfOthers = 0): Promise<void> {
  child.send({ type: 'stop' })
  await child.left()
  expect(vi.getTimerCount()).toBe(timersOfOthers)
  expect(child.messages.filter(({ type }) => /done|failed|refused/.test(type))).toEqual([])
}

/** A server that takes connections and says nothing; gives what it took. */
async function silentServer(): Promise<{ port: number; connected: Promise<Socket>; stop(): void }> {
  const taken = Promise.withResolvers<Socket>()
  const server = createServer((socket) => taken.resolve(socket.on('error', () => {}).resume()))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { port, connected: taken.promise, stop: () => server.close() }
}

describe('a child that is told to stop', () => {
  test('before it has a task leaves', async () => {
    const said: ChildMessage[] = []
    let tell: (command: Command) => void = () => {}
    await new Promise<void>((leave) => {
      serve({ send: (message) => said.push(message), listen: (hear) => (tell = hear), leave }, { descriptor: -1 })
      tell({ type: 'stop' })
    })
    expect(said).toEqual([{ type: 'ready', version: PROTOCOL_VERSION }])
  })

  test.each([{}, { openPlain: plainExchange() }])('in the breath of its task asks for nothing: %j', async (face) => {
    const child = ask({ url: servers.http.url('/ok'), ...face })
    await stop(child)
    expect(servers.http.requests).toEqual([])
  })

  test.each<[when: string, options: (port: number) => FetchOptions, timersOfOthers?: number]>([
    ['while TLS is agreed on', (port) => ({ url: `https://127.0.0.1:${port}/` })],
    ['while it waits for a head', (port) => ({ url: `http://127.0.0.1:${port}/` })],
    ['while TLS is agreed on plainly', (port) => ({ url: `https://127.0.0.1:${port}/`, openPlain: plainExchange() })],
    ['while it waits for a plain head', (port) => ({ url: `http://127.0.0.1:${port}/`, openPlain: plainExchange() })],
    ['while a proxy makes a tunnel', (port) => ({ url: 'https://x/', proxy: `http://127.0.0.1:${port}` })],
    // The package's own timer is for ever: it keeps no process, and does nothing any more.
    ['while a SOCKS proxy thinks', (port) => ({ url: 'http://x/', proxy: `socks5h://127.0.0.1:${port}` }), 1],
  ])('%s closes its connection', async (_, options, timersOfOthers) => {
    const server = await silentServer()
    const child = ask(options(server.port))
    const socket = await server.connected
    const closed = once(socket, 'close')
    await stop(child, timersOfOthers)
    await closed
    server.stop()
  })

  describe.each([
    ['http', 'general'],
    ['https', 'general'],
    ['http', 'plain'],
    ['https', 'plain'],
  ] as const)('with a body over %s by the %s face', (scheme, face) => {
    const ca = () => readFileSync(certificates.caPath, 'utf8')
    const fetching = (path: string, more: Partial<FetchOptions> = {}) =>
      ask({
        url: servers[scheme].url(path),
        ca: ca(),
        ...(face === 'plain' ? { openPlain: plainExchange() } : {}),
        ...more,
      })

    async function stopAndLookAt(child: PlayedSupervisor, expectedBytes: number): Promise<void> {
      await stop(child)
      expect(child.file().equals(bodyOf(300_000).subarray(0, expectedBytes))).toBe(true)
      vi.useRealTimers()
      await expect.poll(() => servers[scheme].openConnections(), { timeout: 30_000 }).toBe(0)
      expect(child.file()).toHaveLength(expectedBytes)
    }

    test('while it is asked about the head takes none of it', async () => {
      const child = fetching('/ok?size=300000')
      await child.said('head')
      await stopAndLookAt(child, 0)
    })

    test.each([true, false])('in the midst of it keeps what is there, takeover: %s', async (takeover) => {
      const child = fetching('/stall?size=300000&at=200000', { takeover })
      await child.receive()
      await expect.poll(() => child.file().length).toBe(200_000)
      await stopAndLookAt(child, 200_000)
    })

    test('while its rate makes it wait writes no more', async () => {
      const child = fetching('/ok?size=300000')
      child.send({ type: 'rate', bytesPerSecond: 1 })
      await child.receive()
      await expect.poll(() => vi.getTimerCount()).toBe(2)
      const { length } = child.file()
      expect(length).toBeLessThan(300_000)
      await stopAndLookAt(child, length)
    })

    test('while it is decoded writes no more', async () => {
      const child = fetching('/coded/gzip?size=300000&forced')
      child.send({ type: 'rate', bytesPerSecond: 1 })
      await child.receive({ coding: 'gzip', lengthBytes: null })
      await expect.poll(() => vi.getTimerCount()).toBe(2)
      await stopAndLookAt(child, child.file().length)
    })

    test('while a fault holds it leaves all the same', async () => {
      const held = Promise.withResolvers<void>()
      const child = fetching('/ok?size=300000', {
        async beforeBody(stopped) {
          held.resolve()
          await once(stopped, 'abort')
        },
      })
      await child.receive()
      await held.promise
      await stopAndLookAt(child, 0)
    })
  })

  test('while it hashes reads no more', async () => {
    const descriptor = openSync(process.execPath, 'r')
    const said: ChildMessage[] = []
    let tell: (command: Command) => void = () => {}
    await new Promise<void>((leave) => {
      serve({ send: (message) => said.push(message), listen: (hear) => (tell = hear), leave }, { descriptor })
      const task: HashTask = { kind: 'hash', algorithms: ['sha-256'], sizeBytes: 2 ** 40, beatMs: 10 }
      tell({ type: 'task', version: PROTOCOL_VERSION, task })
      setImmediate(() => setImmediate(() => tell({ type: 'stop' })))
    })
    closeSync(descriptor)
    expect(vi.getTimerCount()).toBe(0)
    expect(said.map(({ type }) => type)).toEqual(['ready', 'phase'])
  })
})
