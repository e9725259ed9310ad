// Plays the supervisor of a child that is only a call: gives it a task and a file, keeps all it says.
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { OpenPlain } from '../../src/child/request.ts'
import { serve } from '../../src/child/serve.ts'
import type { ChildMessage, Command, FetchTask } from '../../src/protocol/message.ts'
import { PROTOCOL_VERSION } from '../../src/protocol/message.ts'

export type Said<T extends ChildMessage['type']> = Extract<ChildMessage, { type: T }>
export type Receive = Extract<Command, { type: 'receive' }>
export type Claim = Said<'done' | 'failed' | 'refused'>

/** A GET of nothing in particular, unless told otherwise. */
export interface FetchOptions extends Partial<Omit<FetchTask, 'kind' | 'beatMs' | 'url'>> {
  readonly url: string
  readonly takeover?: boolean
  readonly openPlain?: OpenPlain
  readonly beforeBody?: (stopped: AbortSignal) => Promise<void>
  /** Instead of a new temporary file. */
  readonly path?: string
  readonly openFlags?: string
}

/** A child at work on one fetch. */
export class PlayedSupervisor {
  readonly messages: ChildMessage[] = []
  readonly #path: string
  readonly #descriptor: number
  readonly #scratch = mkdtempSync(join(tmpdir(), 'mpdl-child-'))
  readonly #hasLeft: Promise<void>
  readonly #watchers = new Set<() => void>()
  #command: (command: Command) => void = () => {}

  constructor({ takeover = true, openPlain, beforeBody, path, openFlags = 'w+', ...fetch }: FetchOptions) {
    this.#path = path ?? join(this.#scratch, 'part')
    this.#descriptor = openSync(this.#path, openFlags)
    this.#hasLeft = new Promise((resolve) => {
      serve(
        {
          send: (message) => {
            this.messages.push(message)
            for (const look of this.#watchers) look()
          },
          listen: (onCommand) => {
            this.#command = onCommand
          },
          leave: resolve,
        },
        {
          descriptor: this.#descriptor,
          takeover,
          ...(openPlain === undefined ? {} : { openPlain }),
          ...(beforeBody === undefined ? {} : { beforeBody }),
        },
      )
    })
    this.send({
      type: 'task',
      version: PROTOCOL_VERSION,
      task: {
        kind: 'fetch',
        method: 'GET',
        headers: [],
        beatMs: 10,
        isInsecure: false,
        blocksPrivate: false,
        ...fetch,
      },
    })
  }

  send(command: Command): void {
    this.#command(command)
  }

  /** The first message of this type, or the first that also fits. */
  said<T extends ChildMessage['type']>(type: T, fits: (message: Said<T>) => boolean = () => true): Promise<Said<T>> {
    return new Promise((resolve) => {
      const look = () => {
        const found = this.messages.find(
          (message): message is Said<T> => message.type === type && fits(message as Said<T>),
        )
        if (found === undefined) return
        this.#watchers.delete(look)
        resolve(found)
      }
      this.#watchers.add(look)
      look()
    })
  }

  /** A beat at or behind this position. */
  reached(bytes: number): Promise<Said<'beat'>> {
    return this.said('beat', (beat) => beat.bytes >= bytes)
  }

  /** Answers the head: everything that was announced, unless told otherwise. */
  async receive(want: Partial<Receive> = {}): Promise<void> {
    const { headers } = await this.said('head')
    const announced = headers.find(([name]) => name === 'content-length')?.[1]
    const lengthBytes = announced === undefined ? null : Number(announced)
    this.send({ type: 'receive', offsetBytes: 0, lengthBytes, skipBytes: 0, ...want })
  }

  /** The file is closed then. */
  async left(): Promise<void> {
    await this.#hasLeft
    closeSync(this.#descriptor)
  }

  /** The last word. */
  async claim(): Promise<Claim> {
    await this.left()
    const claim = this.messages.at(-1)
    if (claim?.type !== 'done' && claim?.type !== 'failed' && claim?.type !== 'refused') throw new Error('no claim')
    return claim
  }

  file(): Buffer {
    return readFileSync(this.#path)
  }

  remove(): void {
    rmSync(this.#scratch, { recursive: true, force: true })
  }
}
