// One fresh process for every attempt, started by execa, in a session of its own. Knows processes and the wire;
// decides nothing about them.

import type { Socket } from 'node:net'
import { Socket as NetSocket } from 'node:net'
import { execa } from 'execa'
import type { End } from '../core/attempt.ts'
import { decodeChildMessage } from '../protocol/decode.ts'
import { encodeFrame, FrameReader } from '../protocol/frame.ts'
import { MAX_MESSAGE_BYTES, WIRE_DESCRIPTOR } from '../protocol/message.ts'
import { inherited } from './descriptor.ts'
import type { Hardening } from './hardening.ts'
import { childCommand, childEnvironment } from './hardening.ts'
import type { Isolation, Lease, LeaseEvent, WorkOrder } from './isolation.ts'

export interface ProcessIsolationOptions {
  readonly childScript: string
  readonly faultsScript: string
  readonly hardening: Hardening
  readonly isStrict: boolean
  readonly maxMemoryBytes: number
}

/**
 * The heap gets its share and the rest is for code, stacks, buffers and the collector's own copies, which V8's cap does
 * not count: with three quarters a full heap reached the watch's limit before V8 gave up, and was misnamed.
 */
const HEAP_SHARE = 0.6
const LAST_WORDS_CHARS = 2000
const OUT_OF_MEMORY = /heap out of memory|Allocation failed|OOM error/

export function processIsolation(options: ProcessIsolationOptions): Isolation {
  const running = new Set<Promise<void>>()
  return {
    name: 'process',
    canKill: true,
    start(order, on) {
      const { lease, ended } = startProcess(options, order, on)
      const joined = ended.finally(() => running.delete(joined))
      running.add(joined)
      return lease
    },
    async close() {
      await Promise.all(running)
    },
  }
}

function startProcess(
  options: ProcessIsolationOptions,
  order: WorkOrder,
  on: (event: LeaseEvent) => void,
): { lease: Lease; ended: Promise<void> } {
  const script = order.fault === undefined ? options.childScript : options.faultsScript
  const args = [String(process.pid), ...(order.fault === undefined ? [] : [order.fault])]
  const { file, args: fullArgs } = childCommand(script, args, options.hardening, {
    isStrict: options.isStrict,
    heapBytes: options.maxMemoryBytes * HEAP_SHARE,
  })
  const subprocess = execa(file, fullArgs, {
    // One authority ends children, the attempt's state machine: no timeout, no forced kill, no cleanup here.
    reject: false,
    buffer: false,
    cleanup: false,
    forceKillAfterDelay: false,
    detached: true,
    extendEnv: false,
    env: childEnvironment(),
    cwd: '/',
    stdio: [inherited(order.descriptor), 'ignore', 'pipe', 'pipe'],
  })
  const wire = subprocess.nodeChildProcess?.stdio[WIRE_DESCRIPTOR]
  const { pid } = subprocess
  let messageCount = 0
  let isOutOfMemory = false
  let lastWords = ''

  const stderr = subprocess.nodeChildProcess?.stderr
  stderr?.setEncoding('utf8')
  stderr?.on('data', (text: string) => {
    lastWords = (lastWords + text).slice(-LAST_WORDS_CHARS)
    isOutOfMemory ||= OUT_OF_MEMORY.test(lastWords)
  })

  const wireClosed = new Promise<void>((resolve) => {
    if (!(wire instanceof NetSocket)) return resolve()
    wire.on(
      'data',
      readMessages(on, () => messageCount++),
    )
    // A child that dies while we write to it is told by its end, not by our EPIPE.
    wire.on('error', () => {})
    wire.on('close', () => {
      on({ kind: 'closed' })
      resolve()
    })
  })

  const ended = Promise.all([subprocess, wireClosed]).then(([result]) => {
    const end: End = {
      ...(result.exitCode === undefined ? {} : { exitCode: result.exitCode }),
      ...(result.signal === undefined ? {} : { signal: result.signal }),
      ...(pid === undefined || (result.exitCode === undefined && result.signal === undefined)
        ? { spawnError: result.code ?? 'unknown' }
        : {}),
      outOfMemory: isOutOfMemory,
    }
    on({ kind: 'end', end, lastWords })
  })

  return {
    ended,
    lease: {
      pid,
      send(command) {
        if (wire instanceof NetSocket && wire.writable) wire.write(encodeFrame(command))
      },
      stop: (signal) => signalGroup(pid, signal),
      takeMessageCount() {
        const count = messageCount
        messageCount = 0
        return count
      },
    },
  }
}

function readMessages(on: (event: LeaseEvent) => void, count: () => void): (this: Socket, chunk: Buffer) => void {
  const reader = new FrameReader(MAX_MESSAGE_BYTES)
  let isGarbled = false
  return (chunk) => {
    // After the first garbage nothing from this child is believed.
    if (isGarbled) return
    for (const frame of reader.push(chunk)) {
      count()
      const decoded =
        frame.kind === 'line' ? decodeChildMessage(frame.line) : { ok: false as const, detail: 'a line without end' }
      if (!decoded.ok) {
        isGarbled = true
        on({ kind: 'garbled', detail: decoded.detail })
        return
      }
      on({ kind: 'message', message: decoded.message })
    }
  }
}

/** The whole group, so that nothing a child may have started outlives it. */
function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch (error) {
    // Already gone: its end is on the way.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
