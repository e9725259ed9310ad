// Children that behave as the first letters of their file's name say. Knows nothing of the supervisor.

import { writeSync } from 'node:fs'
import type { ChildFailure, Command } from '../../src/protocol/message.ts'
import { PROTOCOL_VERSION } from '../../src/protocol/message.ts'
import type { Script, ScriptedChild } from '../fixtures/scripted-isolation.ts'
import { head } from './scripted-run.ts'

export const BODY = Buffer.from('sixteen bytes ok')
/** Until a `late` one brings its file. */
export const LATE_MS = 5000
const BEAT_MS = 1000

/**
 * `ok`: the file comes; `late`: it takes a while; `missing`: 404; `busy`: 503; `reset`: the connection breaks;
 * `gone`: the host refuses; `crash`: the child does; `stuck`: lives, and brings nothing until it is ended.
 */
export const byName: Script = {
  start: (child) => child.say({ type: 'ready', version: PROTOCOL_VERSION }),
  onCommand(child, command) {
    switch (command.type) {
      case 'task':
        return begin(child, command)
      case 'receive':
        writeSync(child.order.file.descriptor, BODY, 0, BODY.length, 0)
        child.say({ type: 'done', bytes: BODY.length })
        return leave(child)
      case 'refuse':
        child.say({ type: 'refused' })
        return leave(child)
    }
  },
  onSignal: (child, signal) => leave(child, signal),
}

const beats = new WeakMap<ScriptedChild, NodeJS.Timeout>()

function begin(child: ScriptedChild, { task }: Extract<Command, { type: 'task' }>): void {
  const { host, pathname } = new URL(task.kind === 'fetch' ? task.url : 'none:')
  const comes = () => child.say(head(200, [['content-length', String(BODY.length)]]))
  const fails = (failure: ChildFailure) => {
    child.say({ type: 'failed', failure })
    leave(child)
  }
  child.say({ type: 'phase', phase: 'connecting' })
  switch (/^\/[a-z]+/.exec(pathname)?.[0]) {
    case '/ok':
      return comes()
    case '/late':
      beats.set(
        child,
        setInterval(() => child.say({ type: 'beat', bytes: 0 }), BEAT_MS),
      )
      setTimeout(() => beats.has(child) && comes(), LATE_MS)
      return
    case '/missing':
      return child.say(head(404, []))
    case '/busy':
      return child.say(head(503, []))
    case '/reset':
      return fails({ kind: 'network', code: 'ECONNRESET', host })
    case '/gone':
      return fails({ kind: 'connect-refused', host })
    case '/crash':
      return child.end({ signal: 'SIGSEGV' })
    case '/stuck':
      beats.set(
        child,
        setInterval(() => child.say({ type: 'beat', bytes: 0 }), BEAT_MS),
      )
  }
}

function leave(child: ScriptedChild, signal?: string): void {
  clearInterval(beats.get(child))
  beats.delete(child)
  child.end(signal === undefined ? { exitCode: 0 } : { signal })
}
