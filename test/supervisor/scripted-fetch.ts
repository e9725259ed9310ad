// Children that fetch one and the same file, each moved step by step by its test. They speak as real ones do and write
// before they claim, unless the test makes them lie. Knows nothing of the supervisor.

import { writeSync } from 'node:fs'
import type { Range } from '../../src/core/segment.ts'
import type { ChildFailure, ChildMessage, Command } from '../../src/protocol/message.ts'
import { PROTOCOL_VERSION } from '../../src/protocol/message.ts'
import type { Script, ScriptedChild } from '../fixtures/scripted-isolation.ts'
import { head } from './scripted-run.ts'

/** What the servers of these tests have: no two bytes alike, so that none can take another's place unseen. */
export const FILE = Buffer.from(Array.from({ length: 100 }, (_, at) => at))
const BEAT_MS = 250

export class Puppet {
  /** It is told to stop earlier and says nothing. */
  isDeaf = false
  /** No signal ends it. */
  isImmortal = false
  readonly #child: ScriptedChild
  readonly #beats: NodeJS.Timeout
  #range: string | undefined
  #offsetBytes = 0
  #position = 0
  #end = 0
  #isGone = false

  constructor(child: ScriptedChild) {
    this.#child = child
    this.#beats = setInterval(() => this.#beat(), BEAT_MS)
    this.say({ type: 'ready', version: PROTOCOL_VERSION })
  }

  get pid(): number {
    return this.#child.pid
  }

  get signals(): readonly string[] {
    return this.#child.signals
  }

  get url(): string {
    return this.#child.order.task.kind === 'fetch' ? this.#child.order.task.url : ''
  }

  /** The bytes it was sent for. */
  get asked(): Range {
    const [, start = 0, last = FILE.length - 1] = /^bytes=(\d+)-(\d+)?$/.exec(this.#range ?? '') ?? []
    return [Number(start), Number(last) + 1]
  }

  /** What it was told of `type`. */
  told<T extends Command['type']>(type: T): Extract<Command, { type: T }>[] {
    return this.#child.commands.filter((command) => command.type === type) as Extract<Command, { type: T }>[]
  }

  /** The head of an answer that fits; a header that is undefined is left out. */
  answer(
    status = this.#range === undefined ? 200 : 206,
    headers: Readonly<Record<string, string | undefined>> = {},
  ): void {
    const isPart = status === 206
    const [start, end] = isPart ? this.asked : [0, FILE.length]
    const all = {
      'content-length': String(end - start),
      'accept-ranges': 'bytes',
      etag: '"v1"',
      ...(isPart ? { 'content-range': `bytes ${start}-${end - 1}/${FILE.length}` } : {}),
      ...headers,
    }
    const list = Object.entries(all).flatMap(([name, value]): [string, string][] =>
      value === undefined ? [] : [[name, value]],
    )
    this.say(head(status, list))
  }

  /** Writes up to the position `to` of the file, and says so. */
  writeTo(to: number): void {
    this.writeSilently(to)
    this.#position = to
    this.#beat()
  }

  /** Writes up to the position `to` of the file, and does not live to say so. */
  writeSilently(to: number): void {
    writeSync(this.#child.order.file.descriptor, FILE, this.#position, to - this.#position, this.#position)
  }

  /** Brings what is left and leaves. */
  finish(): void {
    this.writeTo(this.#end)
    this.say({ type: 'done', bytes: this.#end - this.#offsetBytes })
    this.#leave({ exitCode: 0 })
  }

  /** Of a child that was sent to hash the file. */
  tellDigest(digest: Readonly<Record<string, string>>): void {
    this.say({ type: 'done', bytes: FILE.length, digests: digest })
    this.#leave({ exitCode: 0 })
  }

  crash(signal = 'SIGSEGV'): void {
    this.#leave({ signal })
  }

  fail(failure: ChildFailure): void {
    this.say({ type: 'failed', failure })
    this.#leave({ exitCode: 0 })
  }

  say(message: ChildMessage): void {
    if (!this.#isGone) this.#child.say(message)
  }

  obey(command: Command): void {
    switch (command.type) {
      case 'task':
        if (command.task.kind === 'fetch') this.#ask(command.task.headers)
        break
      case 'go':
        this.#ask(command.headers)
        break
      case 'receive':
        this.#offsetBytes = this.#position = command.offsetBytes
        this.#end = command.offsetBytes + (command.lengthBytes ?? FILE.length)
        break
      case 'limit':
        if (!this.isDeaf) this.giveWay(command.endBytes)
        break
      case 'rate':
        break
      case 'refuse':
        this.say({ type: 'refused' })
        if (!this.isImmortal) this.#leave({ exitCode: 0 })
    }
  }

  /** Answers a limit. */
  giveWay(endBytes: number): void {
    this.#end = Math.min(this.#end, Math.max(endBytes, this.#position))
    this.say({ type: 'limited', endBytes: this.#end })
  }

  feel(signal: string): void {
    if (!this.isImmortal) this.#leave({ signal })
  }

  /** Nothing is heard of it any more. */
  freeze(): void {
    clearInterval(this.#beats)
    this.isImmortal = true
  }

  #beat(): void {
    this.say({ type: 'beat', bytes: this.#position })
  }

  #ask(headers: readonly (readonly [string, string])[]): void {
    this.#range = headers.find(([name]) => name === 'Range')?.[1]
  }

  #leave(end: { exitCode: number } | { signal: string }): void {
    clearInterval(this.#beats)
    this.#isGone = true
    this.#child.end(end)
  }
}

/** Scripts of children that do nothing by themselves; the puppets are added as they start. */
export function puppets(): { readonly all: Puppet[]; readonly script: Script } {
  const all: Puppet[] = []
  const byPid = new Map<number, Puppet>()
  const script: Script = {
    start(child) {
      const puppet = new Puppet(child)
      all.push(puppet)
      byPid.set(child.pid, puppet)
    },
    onCommand: (child, command) => byPid.get(child.pid)?.obey(command),
    onSignal: (child, signal) => byPid.get(child.pid)?.feel(signal),
  }
  return { all, script }
}
