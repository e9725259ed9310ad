// The rehearsal child, in every place where a child may live: a bundle of its own, so that the shipped ones contain
// none of this. Decides by the way it was started where it is.

import { writeSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { WIRE_DESCRIPTOR } from '../protocol/message.ts'
import { serveWith } from './faults.ts'
import { inlineWith } from './inline.ts'
import { servePool } from './pool.ts'
import { serveProcess } from './process.ts'
import { serveThread } from './thread.ts'

const GARBAGE = '\u0000\u0001{"type":"done","bytes":'.concat('\u00ff'.repeat(64), '\n')

const onWire = serveWith(() => writeSync(WIRE_DESCRIPTOR, GARBAGE))
const inProcess = serveWith((port) => port.send(JSON.parse(JSON.stringify(GARBAGE))))

export const serveInline = inlineWith(inProcess)

if (require.main === module) {
  const [, , parentPid, fault] = process.argv
  if (!isMainThread) serveThread(inProcess)
  else if (fault === 'pool') servePool(onWire, Number(parentPid))
  else serveProcess(onWire, Number(parentPid), fault)
}
