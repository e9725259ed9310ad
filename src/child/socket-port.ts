// The wire of a child that is a process: a socket pair at a known descriptor. Its end means the supervisor died.

import { Socket } from 'node:net'
import { decodeCommand } from '../protocol/decode.ts'
import { encodeFrame, FrameReader } from '../protocol/frame.ts'
import { MAX_COMMAND_BYTES, WIRE_DESCRIPTOR } from '../protocol/message.ts'
import type { Port } from './serve.ts'

/** Dies at once, whatever is going on: an orphan must not write one more byte. */
function dieAsOrphan(): never {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('unreachable')
}

/**
 * Opens the wire. `parentPid`: who must be the parent; when it is not, the supervisor died while this child was
 * being started and no signal of its death will come.
 */
export function openSocketPort(parentPid: number): Port & { readonly socket: Socket } {
  if (process.ppid !== parentPid) dieAsOrphan()
  const socket = new Socket({ fd: WIRE_DESCRIPTOR, readable: true, writable: true })
  let isLeaving = false
  const onGone = () => {
    if (!isLeaving) dieAsOrphan()
    else process.exit(0)
  }
  socket.on('error', onGone)
  socket.on('close', onGone)
  return {
    socket,
    send(message) {
      socket.write(encodeFrame(message))
    },
    listen(onCommand) {
      const reader = new FrameReader(MAX_COMMAND_BYTES)
      socket.on('data', (chunk: Buffer) => {
        for (const frame of reader.push(chunk)) {
          const decoded = frame.kind === 'line' ? decodeCommand(frame.line) : { ok: false as const }
          // A supervisor that speaks another language is none of ours.
          if (!decoded.ok) dieAsOrphan()
          onCommand(decoded.message)
        }
      })
    },
    leave() {
      isLeaving = true
      // Stays until the supervisor has closed its end too: a command that it sends to one who has left is an error that
      // makes Node drop what it had not read yet, and that would be the claim.
      socket.end()
    },
  }
}
