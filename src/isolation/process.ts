// One fresh process for every attempt, with the attempt's file as its standard input. Decides nothing about it.

import { decodeChildMessage } from '../protocol/decode.ts'
import { encodeFrame } from '../protocol/frame.ts'
import { startChild } from './child-process.ts'
import type { Hardening } from './hardening.ts'
import { childCommand, HEAP_SHARE } from './hardening.ts'
import type { Isolation, Lease, LeaseEvent, WorkOrder } from './isolation.ts'
import { MessageCount } from './message-count.ts'

export interface ProcessIsolationOptions {
  readonly childScript: string
  readonly faultsScript: string
  readonly hardening: Hardening
  readonly isStrict: boolean
  readonly maxMemoryBytes: number
}

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
  { childScript, faultsScript, hardening, isStrict, maxMemoryBytes }: ProcessIsolationOptions,
  { fault, file }: WorkOrder,
  on: (event: LeaseEvent) => void,
): { lease: Lease; ended: Promise<void> } {
  const [script, args] = fault === undefined ? [childScript, []] : [faultsScript, [fault]]
  const heapBytes = maxMemoryBytes * HEAP_SHARE
  const messages = new MessageCount()
  const child = startChild({
    command: childCommand(script, [String(process.pid), ...args], hardening, { isStrict, heapBytes }),
    descriptor: file.descriptor,
    decode: decodeChildMessage,
    onMessage(message) {
      messages.add()
      on({ kind: 'message', message })
    },
    onGarbled: (detail) => on({ kind: 'garbled', detail }),
    onClosed: () => on({ kind: 'closed' }),
  })
  return {
    ended: child.ended.then((ending) => on({ kind: 'end', ...ending })),
    lease: {
      unit: child.pid === undefined ? undefined : { kind: 'process', pid: child.pid },
      send: (command) => child.send(encodeFrame(command)),
      stop: (signal) => child.signal(signal),
      takeMessageCount: () => messages.take(),
    },
  }
}
