// The child as a process that many downloads share: each conversation has a number and a file that is opened here.
// Knows nothing of what is said in them.

import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { Roster } from '../core/roster.ts'
import { decodeOrder } from '../protocol/decode.ts'
import { encodeFrame } from '../protocol/frame.ts'
import type { Command } from '../protocol/message.ts'
import { PROTOCOL_VERSION } from '../protocol/message.ts'
import type { SharedOrder, SharedReport } from '../protocol/shared-wire.ts'
import { codeOf, diskFailureOf } from './failure-of.ts'
import { plainExchange } from './plain-exchange.ts'
import type { Serve } from './serve.ts'
import { openWire } from './wire.ts'

const OUT_OF_DESCRIPTORS: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE'])

type OpenOrder = Extract<SharedOrder, { type: 'open' }>

export function servePool(serve: Serve, parentPid: number): void {
  /** Those that have not left, and how each is told something. */
  const conversations = new Roster<number, (command: Command) => void>()
  const wire = openWire(parentPid, () => conversations.size === 0)
  const openPlain = plainExchange()
  let unsent = ''

  /** What is said in one turn of the event loop goes out at once: a write costs more than many messages. */
  function report(what: SharedReport): void {
    if (unsent === '') {
      setImmediate(() => {
        wire.write(unsent)
        unsent = ''
      })
    }
    unsent += encodeFrame(what)
  }

  function open({ id, fault, ...file }: OpenOrder): void {
    let descriptor: number
    try {
      descriptor = openSame(file)
    } catch (error) {
      // Without descriptors it is of use to nobody, and whoever took them is one of those that are here.
      if (OUT_OF_DESCRIPTORS.has(codeOf(error) ?? '')) throw error
      report({ type: 'said', id, message: { type: 'ready', version: PROTOCOL_VERSION } })
      report({ type: 'said', id, message: { type: 'failed', failure: diskFailureOf(error, 'open') } })
      report({ type: 'left', id })
      return
    }
    conversations.set(id, () => {})
    serve(
      {
        send(message) {
          if (conversations.has(id)) report({ type: 'said', id, message })
        },
        listen(onCommand) {
          conversations.set(id, onCommand)
        },
        leave() {
          conversations.delete(id)
          closeSync(descriptor)
          report({ type: 'left', id })
        },
      },
      { descriptor, openPlain },
      fault,
    )
  }

  wire.listen(decodeOrder, (order) => {
    if (order.type === 'open') open(order)
    else conversations.get(order.id)?.(order.command)
  })
}

/** Neither makes nor changes it, follows no link, and waits for no other end of a pipe that took its place. */
function openSame({ path, device, inode, access }: Omit<OpenOrder, 'type' | 'id'>): number {
  const { O_RDONLY, O_WRONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  const descriptor = openSync(path, (access === 'write' ? O_WRONLY : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK)
  const { dev, ino } = fstatSync(descriptor, { bigint: true })
  if (String(dev) === device && String(ino) === inode) return descriptor
  closeSync(descriptor)
  throw Object.assign(new Error('another file has its name'), { code: 'ESTALE' })
}
