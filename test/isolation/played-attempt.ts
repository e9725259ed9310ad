// Plays the supervisor of one attempt, whatever runs it: keeps all it is told, answers as a test says.
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { detectHardening } from '../../src/isolation/hardening.ts'
import type { Isolation, Lease, LeaseEvent, WorkOrder } from '../../src/isolation/isolation.ts'
import type { IsolationOptions } from '../../src/isolation/select.ts'
import type { ChildMessage, Command, FetchTask, Task } from '../../src/protocol/message.ts'
import { PROTOCOL_VERSION } from '../../src/protocol/message.ts'

type Receive = Extract<Command, { type: 'receive' }>
export type EndEvent = Extract<LeaseEvent, { kind: 'end' }>
export type AttemptOptions = Partial<Omit<WorkOrder, 'task'>>

const DIST = join(import.meta.dirname, '../../dist')

/** As a run would have it: real bundles, all that this machine has. */
export function isolationOptions(dir: string, more: Partial<IsolationOptions> = {}): IsolationOptions {
  return {
    childScript: join(DIST, 'child.cjs'),
    faultsScript: join(DIST, 'child-faults.cjs'),
    poolScript: join(DIST, 'pool.cjs'),
    threadScript: join(DIST, 'thread.cjs'),
    inlineScript: join(DIST, 'inline.cjs'),
    hardening: detectHardening(),
    isStrict: detectHardening().hasPermissionModel,
    maxMemoryBytes: 128 * 2 ** 20,
    dir,
    jobs: 8,
    graceMs: 5000,
    isRehearsal: false,
    ...more,
  }
}

export function scratchDir(): { readonly dir: string; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), 'mpdl-isolation-'))
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) }
}

export function fetchOf(url: string, more: Partial<FetchTask> = {}): FetchTask {
  return {
    kind: 'fetch',
    method: 'GET',
    url,
    headers: [],
    beatMs: 20,
    isInsecure: false,
    blocksPrivate: false,
    ...more,
  }
}

let files = 0

export class PlayedAttempt {
  readonly events: LeaseEvent[] = []
  /** What it said, of the events. */
  readonly messages: ChildMessage[] = []
  readonly lease: Lease
  readonly path: string
  readonly #descriptor: number
  readonly #watchers = new Set<() => void>()
  readonly #task: Task

  constructor(isolation: Isolation, dir: string, task: Task, options: AttemptOptions = {}) {
    this.path = options.file?.path ?? join(dir, `file-${++files}`)
    this.#task = task
    this.#descriptor = options.file?.descriptor ?? openSync(this.path, 'w+')
    const file = { descriptor: this.#descriptor, path: this.path, access: 'write' as const }
    this.lease = isolation.start({ task, file, isAlone: false, ...options }, (event) => {
      this.events.push(event)
      if (event.kind === 'message') this.messages.push(event.message)
      for (const look of this.#watchers) look()
    })
  }

  /** Tells it its task. */
  begin(): this {
    this.lease.send({ type: 'task', version: PROTOCOL_VERSION, task: this.#task })
    return this
  }

  get claim(): ChildMessage | undefined {
    return this.messages.findLast(({ type }) => type === 'done' || type === 'failed' || type === 'refused')
  }

  happens<T>(find: () => T | undefined): Promise<T> {
    return new Promise((resolve) => {
      const look = () => {
        const found = find()
        if (found === undefined) return
        this.#watchers.delete(look)
        resolve(found)
      }
      this.#watchers.add(look)
      look()
    })
  }

  said(type: ChildMessage['type'], times = 1): Promise<ChildMessage> {
    return this.happens(() => this.messages.filter((message) => message.type === type)[times - 1])
  }

  reached(bytes: number): Promise<ChildMessage> {
    return this.happens(() => this.messages.find((message) => message.type === 'beat' && message.bytes >= bytes))
  }

  /** Answers the head: all of it, unless told otherwise. */
  async receive(want: Partial<Receive> = {}): Promise<void> {
    await this.said('head')
    this.lease.send({ type: 'receive', offsetBytes: 0, lengthBytes: null, skipBytes: 0, ...want })
  }

  /** The file is closed then. */
  async ended(): Promise<EndEvent> {
    const end = await this.happens(() => lastIsEnd(this.events))
    closeSync(this.#descriptor)
    return end
  }

  file(): Buffer {
    return readFileSync(this.path)
  }
}

/** Nothing comes after it, so a flood need not be searched for it. */
function lastIsEnd(events: readonly LeaseEvent[]): EndEvent | undefined {
  const last = events.at(-1)
  return last?.kind === 'end' ? last : undefined
}
