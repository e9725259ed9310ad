// Proves that a child lives in every place where it may: a process of its own, a shared one, a thread, a call. The built
// bundles are started for real, and the shared wire is spoken by hand.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ServeInline } from '../../src/child/inline.ts'
import { encodeFrame, FrameReader } from '../../src/protocol/frame.ts'
import type { ChildMessage, Command } from '../../src/protocol/message.ts'
import { MAX_MESSAGE_BYTES, PROTOCOL_VERSION, WIRE_DESCRIPTOR } from '../../src/protocol/message.ts'
import type { SharedOrder, SharedReport } from '../../src/protocol/shared-wire.ts'
import { bodyOf, type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'

const DIST = join(import.meta.dirname, '..', '..', 'dist')
const READY: ChildMessage = { type: 'ready', version: PROTOCOL_VERSION }

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

let scratch: string
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'mpdl-places-'))
})
const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const each of undo.splice(0).reverse()) await each()
  rmSync(scratch, { recursive: true })
})

/** A new file, open as long as the test runs. */
function makeFile(name = 'part'): { path: string; descriptor: number } {
  const path = join(scratch, name)
  const descriptor = openSync(path, 'w+')
  undo.push(() => closeSync(descriptor))
  return { path, descriptor }
}

const taskOf = (path: string, beatMs = 10): Command => ({
  type: 'task',
  version: PROTOCOL_VERSION,
  task: {
    kind: 'fetch',
    method: 'GET',
    url: server.url(path),
    headers: [],
    beatMs,
    isInsecure: false,
    blocksPrivate: false,
  },
})
const receiveOf = (lengthBytes: number): Command => ({ type: 'receive', offsetBytes: 0, lengthBytes, skipBytes: 0 })

/** Everything that was heard, and whoever waits for some of it. */
class Heard<T> {
  readonly all: T[] = []
  #onMore: () => void = () => {}

  add(one: T): void {
    this.all.push(one)
    this.#onMore()
  }

  until(isEnough: (all: readonly T[]) => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#onMore = () => {
        if (isEnough(this.all)) resolve()
      }
      this.#onMore()
    })
  }
}

interface PoolChild {
  readonly process: ChildProcess
  readonly wire: Socket
  readonly heard: Heard<SharedReport>
  /** How the reports came, chunk by chunk. */
  readonly reportsByRead: number[]
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; words: string }>
  order(...orders: readonly SharedOrder[]): void
  /** What conversation `id` said. */
  said(id: number): readonly ChildMessage[]
  saidTo(id: number, type: ChildMessage['type']): Promise<void>
  left(...ids: readonly number[]): Promise<void>
}

function startPool(script = 'pool.cjs', ...args: readonly string[]): PoolChild {
  const command = [process.execPath, join(DIST, script), String(process.pid), ...args]
  const child = spawn('/bin/sh', ['-c', 'ulimit -n 200; exec "$@"', 'sh', ...command], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  })
  undo.push(() => child.kill('SIGKILL'))
  const wire = child.stdio[WIRE_DESCRIPTOR]
  if (!(wire instanceof Socket)) throw new Error('a wire that is no socket')
  wire.on('error', () => {})
  const heard = new Heard<SharedReport>()
  const reportsByRead: number[] = []
  const reader = new FrameReader(MAX_MESSAGE_BYTES)
  wire.on('data', (chunk: Buffer) => {
    const frames = reader.push(chunk)
    reportsByRead.push(frames.length)
    for (const frame of frames) heard.add(JSON.parse(frame.kind === 'line' ? frame.line : ''))
  })
  let words = ''
  child.stderr?.on('data', (text) => {
    words += text
  })
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, words }))
  const said = (id: number) =>
    heard.all.flatMap((each) => (each.type === 'said' && each.id === id ? [each.message] : []))
  const hasLeft = (id: number) => heard.all.some((each) => each.type === 'left' && each.id === id)
  return {
    process: child,
    wire,
    heard,
    reportsByRead,
    ended,
    order: (...orders) => wire.write(orders.map(encodeFrame).join('')),
    said,
    saidTo: (id, type) => heard.until(() => said(id).some((message) => message.type === type)),
    left: (...ids) => heard.until(() => ids.every(hasLeft)),
  }
}

function openOrder(id: number, path: string, descriptor: number, more: object = {}): SharedOrder {
  const { dev, ino } = fstatSync(descriptor, { bigint: true })
  return { type: 'open', id, path, device: String(dev), inode: String(ino), access: 'write', ...more }
}
const tell = (id: number, command: Command): SharedOrder => ({ type: 'tell', id, command })

describe('a shared process', () => {
  test('brings each conversation its own file, and ends when the wire does', async () => {
    const child = startPool()
    const ids = Array.from({ length: 20 }, (_, n) => n + 1)
    const files = ids.map((id) => makeFile(`part-${id}`))
    child.order(
      ...ids.flatMap((id, n) => [
        openOrder(id, files[n]?.path ?? '', files[n]?.descriptor ?? -1),
        tell(id, taskOf(`/ok?size=${id * 1000}&seed=${id}`)),
        tell(id, receiveOf(id * 1000)),
      ]),
    )
    await child.left(...ids)
    for (const [n, id] of ids.entries()) {
      expect(child.said(id)[0]).toEqual(READY)
      expect(child.said(id).at(-1)).toEqual({ type: 'done', bytes: id * 1000 })
      expect(readFileSync(files[n]?.path ?? '').equals(bodyOf(id * 1000, id))).toBe(true)
      const last = child.heard.all.findLastIndex((each) => each.id === id)
      expect(child.heard.all[last]).toEqual({ type: 'left', id })
    }
    expect(child.reportsByRead[0]).toBeGreaterThanOrEqual(20)
    child.wire.end()
    expect(await child.ended).toEqual({ code: 0, signal: null, words: '' })
  })

  test('reads a file to hash it, and may not write into that', async () => {
    const { path, descriptor } = makeFile()
    writeFileSync(path, 'abc')
    const child = startPool()
    const task = { kind: 'hash' as const, algorithms: ['md5'], sizeBytes: 3, beatMs: 10 }
    child.order(
      openOrder(1, path, descriptor, { access: 'read' }),
      tell(1, { type: 'task', version: PROTOCOL_VERSION, task }),
      openOrder(2, path, descriptor, { access: 'read' }),
      tell(2, taskOf('/ok?size=9')),
      tell(2, receiveOf(9)),
    )
    await child.left(1, 2)
    expect(child.said(1).at(-1)).toEqual({
      type: 'done',
      bytes: 3,
      digests: { md5: '900150983cd24fb0d6963f7d28e17f72' },
    })
    expect(child.said(2).at(-1)).toMatchObject({ failure: { kind: 'disk-error', code: 'EBADF', operation: 'write' } })
    expect(readFileSync(path, 'utf8')).toBe('abc')
  })

  test.each([
    ['another file', 'ESTALE', (path: string) => writeFileSync(path, 'precious')],
    ['a link to the very file', 'ELOOP', (path: string) => symlinkSync(join(scratch, 'part'), path)],
    ['nothing', 'ENOENT', () => {}],
  ])('refuses %s in the place of the file, and goes on', async (_, code, put) => {
    const { path, descriptor } = makeFile()
    const impostor = join(scratch, 'impostor')
    put(impostor)
    const child = startPool()
    child.order(openOrder(1, impostor, descriptor), tell(1, taskOf('/ok')), openOrder(2, path, descriptor))
    await child.left(1)
    const failure = { kind: 'disk-error', code, operation: 'open', path: 'the part' }
    expect(child.said(1)).toEqual([READY, { type: 'failed', failure }])
    child.order(tell(2, taskOf('/ok?size=5')), tell(2, receiveOf(5)))
    await child.left(2)
    expect(readFileSync(path).equals(bodyOf(5))).toBe(true)
    if (code === 'ESTALE') expect(readFileSync(impostor, 'utf8')).toBe('precious')
  })

  test('stops one conversation and not its neighbour', async () => {
    const files = [makeFile('a'), makeFile('b')] as const
    const child = startPool()
    child.order(
      ...files.flatMap(({ path, descriptor }, n) => [
        openOrder(n + 1, path, descriptor),
        tell(n + 1, taskOf('/stall?size=50000&at=20000')),
        tell(n + 1, receiveOf(50_000)),
      ]),
    )
    const reached = (id: number) =>
      child.said(id).some((message) => message.type === 'beat' && message.bytes === 20_000)
    await child.heard.until(() => reached(1) && reached(2))
    child.order(tell(1, { type: 'stop' }), tell(1, { type: 'limit', endBytes: 7 }))
    await child.left(1)
    expect(child.said(1).at(-1)).toEqual({ type: 'beat', bytes: 20_000 })
    child.order(tell(2, { type: 'limit', endBytes: 7 }))
    await child.left(2)
    expect(child.said(2).at(-1)).toEqual({ type: 'done', bytes: 20_000 })
  })

  test('kills itself when the wire ends in the midst of its work', async () => {
    const { path, descriptor } = makeFile()
    const child = startPool()
    child.order(openOrder(1, path, descriptor), tell(1, taskOf('/stall-headers')))
    await child.saidTo(1, 'phase')
    child.wire.destroy()
    expect(await child.ended).toMatchObject({ signal: 'SIGKILL' })
  })

  test('has no faults unless it was built for them', async () => {
    const { path, descriptor } = makeFile()
    const child = startPool()
    child.order(openOrder(1, path, descriptor, { fault: 'spin' }))
    expect(await child.ended).toMatchObject({ code: 1, words: expect.stringContaining('no faults') })
  })

  test.each([
    ['throw', { code: 1, signal: null, words: expect.stringContaining('rehearsed') }],
    ['rejection', { code: 1, signal: null, words: expect.stringContaining('rehearsed') }],
    ['exit3', { code: 3, signal: null }],
    ['abort', { code: null, signal: 'SIGABRT' }],
    ['segv', { code: null, signal: 'SIGSEGV' }],
  ])('is ended with all that is in it by %s', async (fault, end) => {
    const child = startPool('child-faults.cjs', 'pool')
    const neighbour = makeFile('neighbour')
    child.order(openOrder(1, neighbour.path, neighbour.descriptor), tell(1, taskOf('/stall-headers')))
    await child.saidTo(1, 'phase')
    const { path, descriptor } = makeFile()
    child.order(openOrder(2, path, descriptor, { fault }), tell(2, taskOf('/ok?size=9')), tell(2, receiveOf(9)))
    expect(await child.ended).toMatchObject(end)
  })

  test('loses only the culprit to an error that is awaited', async () => {
    const child = startPool('child-faults.cjs', 'pool')
    const { path, descriptor } = makeFile()
    child.order(
      openOrder(1, path, descriptor, { fault: 'error' }),
      tell(1, taskOf('/stall?size=9000&at=10')),
      tell(1, receiveOf(9000)),
    )
    await child.left(1)
    expect(child.said(1).at(-1)).toMatchObject({ type: 'failed', failure: { kind: 'child-error' } })
    await expect.poll(() => server.openConnections()).toBe(0)
    child.wire.end()
    expect(await child.ended).toMatchObject({ code: 0 })
  })

  test('ends, of use to nobody, when one has taken all descriptors', async () => {
    const child = startPool('child-faults.cjs', 'pool')
    const { path, descriptor } = makeFile()
    child.order(
      openOrder(1, path, descriptor, { fault: 'descriptors' }),
      tell(1, taskOf('/ok?size=9')),
      tell(1, receiveOf(9)),
    )
    let hasEnded = false
    void child.ended.then(() => {
      hasEnded = true
    })
    for (let id = 2; !hasEnded; id++) {
      child.order(openOrder(id, path, descriptor), tell(id, { type: 'stop' }))
      await Promise.race([child.left(id), child.ended])
    }
    expect(await child.ended).toMatchObject({ code: 1, words: expect.stringContaining('EMFILE') })
  })
})

interface ThreadChild {
  readonly worker: Worker
  readonly heard: Heard<ChildMessage>
  readonly ended: Promise<number>
  readonly errors: unknown[]
}

function startThread(path: string, sizeBytes: number, descriptor: number, fault?: string): ThreadChild {
  const script = join(DIST, fault === undefined ? 'thread.cjs' : 'child-faults.cjs')
  const worker = new Worker(script, {
    workerData: { descriptor, ...(fault === undefined ? {} : { fault }) },
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: 32 },
  })
  undo.push(() => worker.terminate())
  const heard = new Heard<ChildMessage>()
  const errors: unknown[] = []
  worker.on('message', (message: ChildMessage) => heard.add(message))
  worker.on('error', (error) => errors.push(error))
  worker.postMessage(taskOf(path))
  worker.postMessage(receiveOf(sizeBytes))
  return { worker, heard, errors, ended: new Promise((resolve) => worker.on('exit', resolve)) }
}

describe('a thread', () => {
  test('brings its file with the descriptor of the process, and ends itself', async () => {
    const { path, descriptor } = makeFile()
    const { heard, ended } = startThread('/ok?size=300000', 300_000, descriptor)
    expect(await ended).toBe(0)
    expect(heard.all[0]).toEqual(READY)
    expect(heard.all.at(-1)).toEqual({ type: 'done', bytes: 300_000 })
    expect(readFileSync(path).equals(bodyOf(300_000))).toBe(true)
    expect(fstatSync(descriptor).size).toBe(300_000)
  })

  test('takes heads as large as a process of its own does', async () => {
    const { descriptor } = makeFile()
    const { heard, ended } = startThread('/huge-headers?size=9&kb=50', 9, descriptor)
    await ended
    expect(heard.all.at(-1)).toEqual({ type: 'done', bytes: 9 })
  })

  test('that is told to stop ends without a claim', async () => {
    const { descriptor } = makeFile()
    const { worker, heard, ended } = startThread('/stall?size=300000&at=200000', 300_000, descriptor)
    await heard.until((all) => all.some((message) => message.type === 'beat' && message.bytes === 200_000))
    worker.postMessage({ type: 'stop' } satisfies Command)
    expect(await ended).toBe(0)
    expect(heard.all.at(-1)).toEqual({ type: 'beat', bytes: 200_000 })
  })

  test.each([
    ['throw', 1, { message: 'rehearsed' }],
    ['rejection', 1, { message: 'rehearsed' }],
    ['oom', 1, { code: 'ERR_WORKER_OUT_OF_MEMORY' }],
    ['exit0', 0, undefined],
    ['exit3', 3, undefined],
  ])('that rehearses %s ends alone', async (fault, code, error) => {
    const { descriptor } = makeFile()
    const { heard, errors, ended } = startThread('/ok?size=9', 9, descriptor, fault)
    expect(await ended).toBe(code)
    expect(errors).toEqual(error === undefined ? [] : [expect.objectContaining(error)])
    expect(heard.all.some(({ type }) => type === 'done' || type === 'failed')).toBe(false)
  })

  test('can be ended in an endless loop', async () => {
    const { descriptor } = makeFile()
    const { worker, heard, ended } = startThread('/ok?size=9', 9, descriptor, 'spin')
    await heard.until((all) => all.some(({ type }) => type === 'head'))
    await worker.terminate()
    expect(await ended).toBe(1)
  })

  test('can say garbage', async () => {
    const { descriptor } = makeFile()
    const { heard } = startThread('/ok?size=9', 9, descriptor, 'garbage')
    await heard.until((all) => all.some((message: unknown) => typeof message === 'string'))
  })
})

describe('a call', () => {
  const require = createRequire(import.meta.url)

  function startCall(script: string, descriptor: number, fault?: string) {
    const { serveInline }: { serveInline: ServeInline } = require(join(DIST, script))
    const heard = new Heard<unknown>()
    const left = Promise.withResolvers<void>()
    let isInCall = true
    const noReentry = () => {
      if (isInCall) throw new Error('called from within a call')
    }
    const child = serveInline(
      { descriptor, ...(fault === undefined ? {} : { fault }) },
      {
        said(message) {
          noReentry()
          heard.add(message)
        },
        left() {
          noReentry()
          left.resolve()
        },
      },
    )
    isInCall = false
    const tell = (command: Command) => {
      isInCall = true
      child.tell(command)
      isInCall = false
    }
    return { heard, left: left.promise, tell }
  }

  test.each(['inline.cjs', 'child-faults.cjs'])(
    'of %s brings its file and leaves the descriptor open',
    async (script) => {
      const { path, descriptor } = makeFile()
      const { heard, left, tell } = startCall(script, descriptor)
      tell(taskOf('/ok?size=300000'))
      tell(receiveOf(300_000))
      await left
      expect(heard.all[0]).toEqual(READY)
      expect(heard.all.at(-1)).toEqual({ type: 'done', bytes: 300_000 })
      expect(readFileSync(path).equals(bodyOf(300_000))).toBe(true)
      expect(fstatSync(descriptor).size).toBe(300_000)
      tell({ type: 'stop' })
    },
  )

  test('that is told to stop says nothing more, whatever a fault still has to say', async () => {
    const { descriptor } = makeFile()
    const { heard, left, tell } = startCall('child-faults.cjs', descriptor, 'flood')
    tell(taskOf('/ok?size=9'))
    tell(receiveOf(9))
    await heard.until((all) => all.length > 4000)
    tell({ type: 'stop' })
    await left
    const { length } = heard.all
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(heard.all).toHaveLength(length)
  })
})

/** Programs that host a child in themselves, and would go on. Their one argument tells them how. */
const HOSTS = {
  thread: `
    const { Worker } = require('node:worker_threads')
    const { script, start, commands } = JSON.parse(process.argv[1])
    const worker = new Worker(script, { workerData: start, resourceLimits: { maxOldGenerationSizeMb: 64 } })
    worker.on('error', () => {})
    for (const command of commands) worker.postMessage(command)
    setInterval(() => {}, 1000)`,
  call: `
    const { script, start, commands } = JSON.parse(process.argv[1])
    const { tell } = require(script).serveInline(start, { said() {}, left() {} })
    for (const command of commands) tell(command)
    setInterval(() => {}, 1000)`,
}

type ProgramEnd = readonly [fault: string, end: readonly [code: number | null, signal: string | null]]
const ENDS_PROGRAM: readonly ProgramEnd[] = [
  ['segv', [null, 'SIGSEGV']],
  ['abort', [null, 'SIGABRT']],
  ['oom-array', [null, 'SIGABRT']],
]
/** What a thread of the program does not end. */
const ENDS_CALLER: readonly ProgramEnd[] = [
  ['throw', [1, null]],
  ['rejection', [1, null]],
  ['exit0', [0, null]],
  ['exit3', [3, null]],
  ['oom', [null, 'SIGABRT']],
]

describe.each(['thread', 'call'] as const)('a program with a %s', (place) => {
  function startHost(fault: string) {
    const { descriptor } = makeFile()
    const how = {
      script: join(DIST, 'child-faults.cjs'),
      start: { descriptor: 0, fault },
      commands: [taskOf('/ok?size=9'), receiveOf(9)],
    }
    const host = spawn(process.execPath, ['--max-old-space-size=64', '-e', HOSTS[place], JSON.stringify(how)], {
      stdio: [descriptor, 'ignore', 'ignore'],
    })
    undo.push(() => host.kill('SIGKILL'))
    return { host, ended: once(host, 'exit') }
  }

  test.each([...ENDS_PROGRAM, ...(place === 'call' ? ENDS_CALLER : [])])(
    'is ended as a whole by %s',
    async (fault, end) => {
      expect(await startHost(fault).ended).toEqual(end)
    },
  )

  test('stands still as a whole by SIGSTOP', async () => {
    const { host } = startHost('stop')
    const stat = () => readFileSync(`/proc/${host.pid}/stat`, 'utf8').split(') ')[1]?.[0]
    await expect.poll(stat, { timeout: 30_000 }).toBe('T')
  })
})

test.each(['child.cjs', 'pool.cjs', 'thread.cjs', 'inline.cjs'])('%s contains no fault', (name) => {
  expect(readFileSync(join(DIST, name), 'utf8')).not.toMatch(/SIGSEGV|pbkdf2|rehearsed/)
  expect(readFileSync(join(DIST, 'child-faults.cjs'), 'utf8')).toMatch(/SIGSEGV/)
})
