// Goes wrong as it is told, before the first byte of a body is written: wherever the child lives, for real. Heeds no
// `stop`: what misbehaves does not clean up either.

import { once } from 'node:events'
import type { Fault } from '../core/fault.ts'
import { isFault } from '../core/fault.ts'
import { PROTOCOL_VERSION } from '../protocol/message.ts'
import type { Port, Serve } from './serve.ts'
import { serve } from './serve.ts'

/** A way to say what is no message. */
export type SayGarbage = (port: Port) => void

const crypto = () => process.getBuiltinModule('node:crypto')
const fs = () => process.getBuiltinModule('node:fs')
const never = () => new Promise<never>(() => {})
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

function spin(): never {
  for (;;);
}

/** To the whole process, from whichever of its threads. */
async function signalSelf(signal: NodeJS.Signals): Promise<never> {
  process.kill(process.pid, signal)
  return await never()
}

/**
 * Each array is one piece, twice as large as the heap or as large as there are arrays: a heap that only fills up by and
 * by ends a thread before it ends the process.
 */
async function takeOneHugeArray(): Promise<never> {
  const piece = new Array<number>(2 ** 20).fill(0)
  const pieceBytes = 8 * piece.length
  const { heap_size_limit: heapBytes } = process.getBuiltinModule('node:v8').getHeapStatistics()
  const pieces = Array.from({ length: Math.min(Math.ceil((2 * heapBytes) / pieceBytes), 127) }, () => piece)
  const kept: number[][] = []
  for (;;) kept.push(piece.concat(...pieces))
}

/** Sockets, because a sandboxed child may open nothing else; all of one port, because there are fewer ports. */
async function takeDescriptors(): Promise<never> {
  const { createSocket } = process.getBuiltinModule('node:dgram')
  let port = 0
  for (;;) {
    const socket = createSocket({ type: 'udp4', reuseAddr: true })
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('error', () => resolve(false))
      socket.bind({ port, address: '127.0.0.1' }, () => resolve(true))
    })
    if (isOpen) port ||= socket.address().port
    else await pause(1)
  }
}

const PERFORM: { readonly [F in Fault]: (port: Port, sayGarbage: SayGarbage) => Promise<void> } = {
  error: async () => {
    throw new Error('rehearsed')
  },
  throw: async () => {
    setImmediate(() => {
      throw new Error('rehearsed')
    })
    await never()
  },
  rejection: async () => {
    void Promise.reject(new Error('rehearsed'))
    await never()
  },
  spin: async () => spin(),
  'ignore-term': async () => {
    process.on('SIGTERM', () => {})
    spin()
  },
  stop: () => signalSelf('SIGSTOP'),
  segv: () => signalSelf('SIGSEGV'),
  // What abort() raises; Node's own is not there in a thread.
  abort: () => signalSelf('SIGABRT'),
  oom: async () => {
    const kept: object[] = []
    for (;;) kept.push(Array.from({ length: 1000 }, (_, i) => ({ i })))
  },
  'oom-array': takeOneHugeArray,
  leak: async () => {
    const kept: Buffer[] = []
    for (;;) {
      kept.push(Buffer.alloc(16 << 20, kept.length + 1))
      await pause(20)
    }
  },
  descriptors: takeDescriptors,
  exit0: async () => process.exit(0),
  exit3: async () => process.exit(3),
  garbage: async (port, sayGarbage) => {
    sayGarbage(port)
    await never()
  },
  flood: async (port) => {
    for (;;) {
      for (let i = 0; i < 2000; i++) port.send({ type: 'beat', bytes: 0 })
      await pause(10)
    }
  },
  'hang-native': async () => {
    crypto().pbkdf2Sync('x', 'y', 2 ** 31 - 1, 64, 'sha512')
  },
  'pool-stuck': async () => {
    for (let i = 0; i < 4; i++) crypto().pbkdf2('x', 'y', 2 ** 31 - 1, 64, 'sha512', () => {})
    await new Promise((resolve) => crypto().randomFill(Buffer.alloc(16), resolve))
  },
}

/** Tries what a sandboxed child must not be able to do; the answer keeps the wire as it is. */
function probe(port: Port, descriptor: number): void {
  const attempts: Record<string, () => unknown> = {
    read: () => fs().readFileSync('/etc/hostname'),
    write: () => fs().writeFileSync(`/tmp/mpdl-probe-${process.pid}`, ''),
    spawn: () => process.getBuiltinModule('node:child_process').spawnSync('/bin/true'),
    thread: () => new (process.getBuiltinModule('node:worker_threads').Worker)('0', { eval: true }),
    own: () => fs().writeSync(descriptor, 'mpdl', 0),
  }
  const results = Object.entries(attempts).map(([name, attempt]) => {
    try {
      attempt()
      return `${name}=allowed`
    } catch (error) {
      return `${name}=${error instanceof Error && 'code' in error ? String(error.code) : 'error'}`
    }
  })
  port.send({ type: 'ready', version: PROTOCOL_VERSION })
  port.send({ type: 'failed', failure: { kind: 'child-error', detail: results.join(' ') } })
  port.leave()
}

/** The same serve(), with the fault that is asked for. */
export const serveWith =
  (sayGarbage: SayGarbage): Serve =>
  (port, options, fault) => {
    if (fault === 'probe') return probe(port, options.descriptor)
    if (fault === undefined) return serve(port, options)
    if (!isFault(fault)) throw new Error(`no fault is called ${fault}`)
    serve(port, {
      ...options,
      async beforeBody(stopped) {
        if (!stopped.aborted) await Promise.race([PERFORM[fault](port, sayGarbage), once(stopped, 'abort')])
      },
    })
  }
