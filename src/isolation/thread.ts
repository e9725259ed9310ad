// One fresh worker thread for every attempt, in the supervisor's own process. Decides nothing about it.

import { Worker } from 'node:worker_threads'
import type { End } from '../core/attempt.ts'
import { childEnvironment, HEAP_SHARE, YOUNG_MIB } from './hardening.ts'
import type { Isolation, Lease, LeaseEvent, WorkOrder } from './isolation.ts'
import { LastWords } from './last-words.ts'
import { MessageCount } from './message-count.ts'
import { postedReader } from './posted.ts'
import { settlesWithin } from './settles-within.ts'

export interface ThreadIsolationOptions {
  readonly threadScript: string
  readonly faultsScript: string
  readonly maxMemoryBytes: number
  /** Orders may have faults. */
  readonly isRehearsal: boolean
  /** A thread that is still there at the end gets this long to end. */
  readonly graceMs: number
}

export function threadIsolation(options: ThreadIsolationOptions): Isolation {
  const running = new Map<Worker, Promise<void>>()
  return {
    name: 'thread',
    canKill: true,
    start(order, on) {
      let worker: Worker
      try {
        worker = newWorker(options, order)
      } catch (error) {
        return neverStarted(error, on)
      }
      const { lease, ended } = attend(worker, on)
      running.set(
        worker,
        ended.then(() => void running.delete(worker)),
      )
      return lease
    },
    async close() {
      // Inside a native call a thread cannot be ended, and is not waited for.
      for (const worker of running.keys()) void worker.terminate()
      await settlesWithin(Promise.all(running.values()), options.graceMs)
    },
  }
}

function newWorker(
  { threadScript, faultsScript, maxMemoryBytes, isRehearsal }: ThreadIsolationOptions,
  { file: { descriptor }, fault }: WorkOrder,
): Worker {
  return new Worker(isRehearsal ? faultsScript : threadScript, {
    workerData: { descriptor, ...(fault === undefined ? {} : { fault }) },
    resourceLimits: {
      maxOldGenerationSizeMb: Math.max(16, Math.floor((maxMemoryBytes * HEAP_SHARE) / 2 ** 20)),
      // It consists of three semi-spaces.
      maxYoungGenerationSizeMb: 3 * YOUNG_MIB,
    },
    env: childEnvironment(),
    execArgv: [],
    stdin: false,
    stdout: true,
    stderr: true,
  })
}

/** There are no more threads; the errno is in the message. */
function neverStarted(error: unknown, on: (event: LeaseEvent) => void): Lease {
  if (!(error instanceof Error) || codeOf(error) !== 'ERR_WORKER_INIT_FAILED') throw error
  const spawnError = error.message
  setImmediate(() => on({ kind: 'end', end: { spawnError, outOfMemory: false }, lastWords: '' }))
  return { unit: undefined, send() {}, stop() {}, takeMessageCount: () => 0 }
}

function attend(worker: Worker, on: (event: LeaseEvent) => void): { lease: Lease; ended: Promise<void> } {
  const messages = new MessageCount()
  const lastWords = new LastWords()
  let failure: Pick<End, 'spawnError' | 'outOfMemory'> = { outOfMemory: false }

  for (const stream of [worker.stdout, worker.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => lastWords.add(text))
  }
  worker.on('message', postedReader(messages, on))
  worker.on('error', (error) => {
    lastWords.add(String(error instanceof Error ? error.stack : error))
    const code = codeOf(error)
    failure = {
      outOfMemory: code === 'ERR_WORKER_OUT_OF_MEMORY',
      ...(code === 'ERR_WORKER_INIT_FAILED' ? { spawnError: code } : {}),
    }
  })
  return {
    lease: {
      unit: { kind: 'thread', thread: worker.threadId },
      send: (command) => worker.postMessage(command),
      stop(signal) {
        // SIGSTOP and SIGCONT reach the whole program, and so this thread, by themselves.
        if (signal === 'SIGTERM') worker.postMessage({ type: 'stop' })
        if (signal === 'SIGKILL') void worker.terminate()
      },
      takeMessageCount: () => messages.take(),
    },
    ended: new Promise((resolve) => {
      worker.on('exit', (exitCode) => {
        on({ kind: 'closed' })
        on({ kind: 'end', end: { exitCode, ...failure }, lastWords: lastWords.text })
        resolve()
      })
    }),
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
