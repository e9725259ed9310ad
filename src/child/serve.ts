// One child's whole life: take the task, ask about every response, write the body where it is told, claim, leave.
// Decides nothing: no retry, no redirect, no timeout. Knows nothing of the process it lives in.

import type { ChildMessage, Command, FetchTask, HashTask, Request } from '../protocol/message.ts'
import { PROTOCOL_VERSION } from '../protocol/message.ts'
import { BodyReceiver } from './body.ts'
import { decoded } from './decode.ts'
import { digestFile } from './digest.ts'
import { childFailureOf } from './failure-of.ts'
import type { OpenOptions, OpenPlain, OpenResponse } from './request.ts'

/** How serve() reaches its supervisor, whatever carries it: a socket pair, a worker's port, a function call. */
export interface Port {
  send(message: ChildMessage): void
  /** Called once for each decoded command, in order. */
  listen(onCommand: (command: Command) => void): void
  /** Last of all: lets the claim reach the supervisor. Nothing is said and the file is not touched any more. */
  leave(): void
}

export interface ServeOptions {
  /** The one file it may touch. */
  readonly descriptor: number
  /** Runs before the first byte of a body is taken: where the rehearsal bundle misbehaves. Over when it is stopped. */
  readonly beforeBody?: (stopped: AbortSignal) => Promise<void>
  /** Whether sockets may be taken over for bodies that allow it; true when left out. */
  readonly takeover?: boolean
  /** For what is plain; its connections may outlive a download. Without it everything is done by node-fetch. */
  readonly openPlain?: OpenPlain
}

export type Serve = (port: Port, options: ServeOptions, fault?: string) => void

/** Told to stop, everything that waits ends at once, as if it had failed, and what comes of it is not claimed. */
export const serve: Serve = (port, options, fault) => {
  if (fault !== undefined) throw new Error('this child has no faults')
  const stopping = new AbortController()
  const commands = commandQueue(port, () => stopping.abort())
  const leave = (claim: ChildMessage) => {
    if (!stopping.signal.aborted) port.send(claim)
    port.leave()
  }
  port.send({ type: 'ready', version: PROTOCOL_VERSION })
  work(port, options, commands, stopping.signal).then(leave, (error: unknown) =>
    leave({ type: 'failed', failure: childFailureOf(error, undefined) }),
  )
}

async function work(
  port: Port,
  options: ServeOptions,
  commands: () => Promise<Command>,
  stopped: AbortSignal,
): Promise<ChildMessage> {
  const first = await commands()
  if (first.type !== 'task') throw new Error(`${first.type} before a task`)
  return first.task.kind === 'fetch'
    ? await fetchTask(first.task, port, options, commands, stopped)
    : await hashTask(first.task, port, options, stopped)
}

async function fetchTask(
  task: FetchTask,
  port: Port,
  options: ServeOptions,
  commands: () => Promise<Command>,
  stopped: AbortSignal,
): Promise<ChildMessage> {
  let response: OpenResponse | undefined
  let receiver: BodyReceiver | undefined
  const sendBeat = () => port.send({ type: 'beat', bytes: receiver?.position ?? 0 })
  const beat = setInterval(sendBeat, task.beatMs)
  const openOptions: OpenOptions = {
    ca: task.ca,
    isInsecure: task.isInsecure,
    blocksPrivate: task.blocksPrivate,
    takeover: options.takeover ?? true,
    stopped,
    onPhase: (phase) => port.send({ type: 'phase', phase }),
  }
  try {
    let bytesPerSecond: number | null = null
    let request: Request = task
    for (;;) {
      try {
        // Loaded late: most downloads are plain, and it is most of what a child would have to read.
        const general = async () => await (await import('./request.ts')).openResponse(request, openOptions)
        response = await (options.openPlain?.(request, openOptions) ?? general())
      } catch (error) {
        return { type: 'failed', failure: childFailureOf(error, request.url) }
      }
      port.send({ type: 'head', ...response.head })
      let answer = await commands()
      // Nothing is received yet that could be limited.
      for (; answer.type === 'rate' || answer.type === 'limit'; answer = await commands()) {
        if (answer.type === 'rate') bytesPerSecond = answer.bytesPerSecond
      }
      if (answer.type === 'go') {
        response.discard()
        request = answer
        continue
      }
      if (answer.type !== 'receive') return { type: 'refused' }
      const source = answer.coding === undefined ? response : decoded(response, answer.coding)
      receiver = new BodyReceiver(source, options.descriptor, answer, bytesPerSecond, stopped)
      void steer(receiver, port, commands)
      await options.beforeBody?.(stopped)
      const body = await receiver.receive()
      if (body.ok) return { type: 'done', bytes: body.bytes }
      sendBeat()
      return { type: 'failed', failure: body.failure }
    }
  } finally {
    clearInterval(beat)
    response?.discard()
  }
}

/** Obeys what may be told while a body is received; after that nothing is heard any more. */
async function steer(receiver: BodyReceiver, port: Port, commands: () => Promise<Command>): Promise<void> {
  for (;;) {
    const command = await commands()
    if (command.type === 'rate') receiver.setRate(command.bytesPerSecond)
    if (command.type !== 'limit') continue
    const endBytes = receiver.limit(command.endBytes)
    if (endBytes !== undefined) port.send({ type: 'limited', endBytes })
  }
}

async function hashTask(
  task: HashTask,
  port: Port,
  options: ServeOptions,
  stopped: AbortSignal,
): Promise<ChildMessage> {
  let position = 0
  const beat = setInterval(() => port.send({ type: 'beat', bytes: position }), task.beatMs)
  port.send({ type: 'phase', phase: 'hashing' })
  try {
    const digests = await digestFile(options.descriptor, task, stopped, (at) => {
      position = at
    })
    return { type: 'done', bytes: task.sizeBytes, digests }
  } finally {
    clearInterval(beat)
  }
}

/** `onStop` hears of it at once; it also takes its turn, so that nobody waits for another command in vain. */
function commandQueue(port: Port, onStop: () => void): () => Promise<Command> {
  const arrived: Command[] = []
  const wanted: ((command: Command) => void)[] = []
  port.listen((command) => {
    if (command.type === 'stop') onStop()
    const next = wanted.shift()
    if (next === undefined) arrived.push(command)
    else next(command)
  })
  return () => {
    const next = arrived.shift()
    return next === undefined ? new Promise((resolve) => wanted.push(resolve)) : Promise.resolve(next)
  }
}
