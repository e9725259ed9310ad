// The child as a process of its own: standard input is the file, and the wire is for its one conversation.

import { decodeCommand } from '../protocol/decode.ts'
import { encodeFrame } from '../protocol/frame.ts'
import { FILE_DESCRIPTOR } from '../protocol/message.ts'
import { plainExchange } from './plain-exchange.ts'
import type { Serve } from './serve.ts'
import { openWire } from './wire.ts'

export function serveProcess(serve: Serve, parentPid: number, fault?: string): void {
  let hasLeft = false
  const wire = openWire(parentPid, () => hasLeft)
  serve(
    {
      send(message) {
        wire.write(encodeFrame(message))
      },
      listen(onCommand) {
        wire.listen(decodeCommand, onCommand)
      },
      leave() {
        hasLeft = true
        wire.end()
      },
    },
    { descriptor: FILE_DESCRIPTOR, openPlain: plainExchange() },
    fault,
  )
}
