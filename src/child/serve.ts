// One child's whole life: take the task, ask about every response, write the body where it is told, claim, leave.
// Decides nothing: no retry, no redirect, no timeout. Knows nothing of the process it lives in.

import type { ChildMessage, Command, FetchTask, HashTask } from '../protocol/message.ts'
import { PROTOCOL_VERSION } from '../protocol/message.ts'
import { receiveBody } from './body.ts'
import { digestFile } from './digest.ts'
import { childFailureOf } from './failure-of.ts'
import { type OpenResponse, openResponse } from './request.ts'

/** How serve() reaches its supervisor, whatever carries it: a socket pair, a worker's port, a function call. */
export interface Port {
  send(message: ChildMessage): void
  /** Called once for each decoded command, in order. */
  listen(onCommand: (command: Command) => void): void
  /** After the claim: let it reach the supervisor, then leave. */
  leave(): void
}

export interface ServeOptions {
  /** The one file it may touch. */
  readonly descriptor: number
  /** Runs before the first byte of a body is taken: where the rehearsal bundle misbehaves. */
  readonly beforeBody?: () => Promise<void>
}

export function serve(port: Port, options: ServeOptions): void {
  const commands = commandQueue(port)
  port.send({ type: 'ready', version: PROTOCOL_VERSION })
  work(port, options, commands).then(
    (claim) => {
      port.send(claim)
      port.leave()
    },
    (error: unknown) => {
      port.send({ type: 'failed', failure: childFailureOf(error, undefined) })
      port.leave()
    },
  )
}

async function work(port: Port, options: ServeOptions, commands: () => Promise<Command>): Promise<ChildMessage> {
  const first = await commands()
  if (first.type !== 'task') throw new Error(`${first.type} before a task`)
  return first.task.kind === 'fetch'
    ? await fetchTask(first.task, port, options, commands)
    : await hashTask(first.task, port, options)
}

async function fetchTask(
  task: FetchTask,
  port: Port,
  options: ServeOptions,
  commands: () => Promise<Command>,
): Promise<ChildMessage> {
  let position = 0
  const beat = setInterval(() => port.send({ type: 'beat', bytes: position }), task.beatMs)
  try {
    let request: { url: string; headers: [string, string][] } = task
    for (;;) {
      let response: OpenResponse
      try {
        response = await openResponse(request, task.ca, (phase) => port.send({ type: 'phase', phase }))
      } catch (error) {
        return { type: 'failed', failure: childFailureOf(error, request.url) }
      }
      port.send({ type: 'head', ...response.head })
      const answer = await commands()
      if (answer.type === 'go') {
        response.discard()
        request = answer
        continue
      }
      if (answer.type !== 'receive') {
        response.discard()
        return { type: 'refused' }
      }
      await options.beforeBody?.()
      position = answer.offsetBytes
      const body = await receiveBody(response, options.descriptor, answer, (at) => {
        position = at
      })
      return body.ok ? { type: 'done', bytes: body.bytes } : { type: 'failed', failure: body.failure }
    }
  } finally {
    clearInterval(beat)
  }
}

async function hashTask(task: HashTask, port: Port, options: ServeOptions): Promise<ChildMessage> {
  let position = 0
  const beat = setInterval(() => port.send({ type: 'beat', bytes: position }), task.beatMs)
  port.send({ type: 'phase', phase: 'hashing' })
  try {
    const digests = await digestFile(options.descriptor, task.sizeBytes, task.algorithms, (at) => {
      position = at
    })
    return { type: 'done', bytes: task.sizeBytes, digests }
  } finally {
    clearInterval(beat)
  }
}

function commandQueue(port: Port): () => Promise<Command> {
  const arrived: Command[] = []
  const wanted: ((command: Command) => void)[] = []
  port.listen((command) => {
    const next = wanted.shift()
    if (next === undefined) arrived.push(command)
    else next(command)
  })
  return () => {
    const next = arrived.shift()
    return next === undefined ? new Promise((resolve) => wanted.push(resolve)) : Promise.resolve(next)
  }
}
