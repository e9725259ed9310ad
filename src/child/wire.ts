// The wire of a child that is a process: a socket pair at a known descriptor. Its end means the supervisor died, or
// that it wants no more.

import { Socket } from 'node:net'
import type { Decoded } from '../protocol/decode.ts'
import { FrameReader } from '../protocol/frame.ts'
import { MAX_COMMAND_BYTES, WIRE_DESCRIPTOR } from '../protocol/message.ts'

export interface Wire {
  write(text: string): void
  /** Called once; `onMessage` for each line, in order. */
  listen<T>(decode: (line: string) => Decoded<T>, onMessage: (message: T) => void): void
  /**
   * Says that this was all. Stays until the supervisor has closed its end too: a command that it sends to one who has
   * left is an error that makes Node drop what it had not read yet, and that would be the claim.
   */
  end(): void
}

/** Dies at once, whatever is going on: an orphan must not write one more byte. */
function dieAsOrphan(): never {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('unreachable')
}

/**
 * `parentPid`: who must be the parent; when it is not, the supervisor died while this child was being started and no
 * signal of its death will come. `isIdle`: whether there is nothing that the wire's end would interrupt.
 */
export function openWire(parentPid: number, isIdle: () => boolean): Wire {
  if (process.ppid !== parentPid) dieAsOrphan()
  const socket = new Socket({ fd: WIRE_DESCRIPTOR, readable: true, writable: true })
  const onGone = () => {
    if (isIdle()) process.exit(0)
    dieAsOrphan()
  }
  socket.on('error', onGone)
  socket.on('close', onGone)
  return {
    write(text) {
      socket.write(text)
    },
    listen(decode, onMessage) {
      const reader = new FrameReader(MAX_COMMAND_BYTES)
      socket.on('data', (chunk: Buffer) => {
        for (const frame of reader.push(chunk)) {
          const decoded = frame.kind === 'line' ? decode(frame.line) : { ok: false as const }
          // A supervisor that speaks another language is none of ours.
          if (!decoded.ok) dieAsOrphan()
          onMessage(decoded.message)
        }
      })
    },
    end() {
      socket.end()
    },
  }
}
