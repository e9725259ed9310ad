// One process of the pool: many conversations over one wire, each under its number. Decides nothing about them but
// what their end was.

import { fstatSync } from 'node:fs'
import type { End } from '../core/attempt.ts'
import { Roster } from '../core/roster.ts'
import { type Decoded, decodeReport } from '../protocol/decode.ts'
import { encodeFrame } from '../protocol/frame.ts'
import type { Command } from '../protocol/message.ts'
import type { SharedOrder, SharedReport } from '../protocol/shared-wire.ts'
import type { ChildEnding, ChildProcess } from './child-process.ts'
import { startChild } from './child-process.ts'
import type { Hardening } from './hardening.ts'
import { childCommand, HEAP_SHARE } from './hardening.ts'
import type { Lease, LeaseEvent, WorkOrder } from './isolation.ts'
import { MessageCount } from './message-count.ts'

export interface PoolChildOptions {
  readonly poolScript: string
  readonly faultsScript: string
  readonly hardening: Hardening
  readonly isStrict: boolean
  readonly maxMemoryBytes: number
  /** Absolute: the files of all orders lie below it, and a confined child may open no others. */
  readonly dir: string
  /** Orders may have faults. */
  readonly isRehearsal: boolean
}

/** Whatever a long life may leave behind, it does not pile up. After a thousand, two thousand small files paid for a third child. */
const MAX_ORDERS = 5000

/** As much as one core brings when it does nothing else, or half of it; a hundred connections at home bring less. */
const SATURATED_BYTES_PER_MS = (100 * 2 ** 20) / 1000

interface Conversation {
  readonly on: (event: LeaseEvent) => void
  readonly messages: MessageCount
  /** How many others there were when it was told to stop. */
  othersThen?: number
}

export class PoolChild {
  /** After the end of its last conversation. */
  readonly ended: Promise<void>
  readonly #process: ChildProcess
  readonly #conversations = new Roster<number, Conversation>()
  #orders = 0
  #takesOrders = true
  #isGarbled = false
  #outgoing = ''
  readonly #startedAtMs = performance.now()
  /** Of files that are there. */
  #broughtBytes = 0

  constructor({ poolScript, faultsScript, hardening, maxMemoryBytes, isRehearsal, ...confinement }: PoolChildOptions) {
    const [script, args] = isRehearsal ? [faultsScript, ['pool']] : [poolScript, []]
    this.#process = startChild({
      command: childCommand(script, [String(process.pid), ...args], hardening, {
        ...confinement,
        heapBytes: maxMemoryBytes * HEAP_SHARE,
      }),
      decode: (line) => this.#decode(line),
      onMessage: (report) => this.#onReport(report),
      onGarbled: (detail) => this.#onGarbled(detail),
      onClosed: () => this.#onClosed(),
    })
    this.#takesOrders = this.#process.pid !== undefined
    this.ended = this.#process.ended.then((ending) => this.#onEnded(ending))
  }

  get takesOrders(): boolean {
    return this.#takesOrders
  }

  /** Conversations that have not ended. */
  get load(): number {
    return this.#conversations.size
  }

  /** It has brought bytes all its life as fast as it can. */
  get isSaturated(): boolean {
    return this.#broughtBytes > SATURATED_BYTES_PER_MS * (performance.now() - this.#startedAtMs)
  }

  start({ file, fault }: WorkOrder, on: (event: LeaseEvent) => void): Lease {
    const id = ++this.#orders
    const conversation: Conversation = { on, messages: new MessageCount() }
    this.#conversations.set(id, conversation)
    if (this.#orders >= MAX_ORDERS) this.#takesOrders = false
    const { dev, ino } = fstatSync(file.descriptor, { bigint: true })
    this.#say({
      type: 'open',
      id,
      path: file.path,
      device: String(dev),
      inode: String(ino),
      access: file.access,
      ...(fault === undefined ? {} : { fault }),
    })
    const { pid } = this.#process
    return {
      unit: pid === undefined ? undefined : { kind: 'pool', pid },
      send: (command) => this.#tell(id, command),
      stop: (signal) => this.#stop(id, signal),
      takeMessageCount: () => conversation.messages.take(),
    }
  }

  /** It takes no more orders, and leaves: at once where nothing is under way, because Node's own exit takes longer. */
  dismiss(): void {
    this.#takesOrders = false
    this.#process.endWire()
    if (this.load === 0) this.#process.signal('SIGTERM')
  }

  kill(): void {
    this.#process.signal('SIGKILL')
  }

  #tell(id: number, command: Command): void {
    if (this.#conversations.has(id)) this.#say({ type: 'tell', id, command })
  }

  /** All that is said in one turn of the event loop goes out in one write. */
  #say(order: SharedOrder): void {
    if (this.#outgoing === '') {
      setImmediate(() => {
        this.#process.send(this.#outgoing)
        this.#outgoing = ''
      })
    }
    this.#outgoing += encodeFrame(order)
  }

  #stop(id: number, signal: Parameters<Lease['stop']>[0]): void {
    const conversation = this.#conversations.get(id)
    if (conversation === undefined) return
    const isJobControl = signal === 'SIGSTOP' || signal === 'SIGCONT'
    if (!isJobControl) {
      conversation.othersThen ??= this.#conversations.size - 1
      // What had to be stopped may have left something behind.
      this.#takesOrders = false
    }
    if (signal === 'SIGTERM' && !this.#isGarbled) this.#tell(id, { type: 'stop' })
    else this.#process.signal(signal)
  }

  /** A report about nobody is as good as garbage. */
  #decode(line: string): Decoded<SharedReport> {
    const decoded = decodeReport(line)
    if (!decoded.ok || this.#conversations.has(decoded.message.id)) return decoded
    return { ok: false, detail: `no conversation has number ${decoded.message.id}` }
  }

  #onReport(report: SharedReport): void {
    const conversation = this.#conversations.get(report.id)
    if (conversation === undefined) throw new Error('a report about nobody was decoded')
    if (report.type === 'said') {
      conversation.messages.add()
      if (report.message.type === 'done') this.#broughtBytes += report.message.bytes
      return conversation.on({ kind: 'message', message: report.message })
    }
    this.#conversations.delete(report.id)
    if (!this.#takesOrders && this.load === 0) this.dismiss()
    end(conversation, { end: { outOfMemory: false }, lastWords: '' }, conversation.othersThen)
  }

  #onGarbled(detail: string): void {
    this.#isGarbled = true
    this.#takesOrders = false
    for (const { on } of this.#conversations.values()) on({ kind: 'garbled', detail })
  }

  #onClosed(): void {
    this.#takesOrders = false
    for (const { on } of this.#conversations.values()) on({ kind: 'closed' })
  }

  #onEnded(ending: ChildEnding): void {
    const conversations = this.#conversations.values()
    this.#conversations.clear()
    for (const each of conversations) end(each, ending, each.othersThen ?? conversations.length - 1)
  }
}

function end({ on }: Conversation, { end, lastWords }: ChildEnding, others: number | undefined): void {
  const whole: End = others === undefined ? end : { ...end, others }
  on({ kind: 'end', end: whole, lastWords })
}
