// Starts one child as a process, in a session of its own, and tells its lines and its end. Knows nothing of what is
// said.

import { Socket } from 'node:net'
import { execa } from 'execa'
import type { End } from '../core/attempt.ts'
import type { Decoded } from '../protocol/decode.ts'
import { FrameReader } from '../protocol/frame.ts'
import { MAX_MESSAGE_BYTES, WIRE_DESCRIPTOR } from '../protocol/message.ts'
import { inherited } from './descriptor.ts'
import type { ChildCommand } from './hardening.ts'
import { childEnvironment } from './hardening.ts'
import { LastWords } from './last-words.ts'

export interface ChildStart<T> {
  readonly command: ChildCommand
  /** Of a file that stands in for its standard input. */
  readonly descriptor?: number
  readonly decode: (line: string) => Decoded<T>
  readonly onMessage: (message: T) => void
  /** At most once; after it nothing from this child is believed, and so nothing told. */
  readonly onGarbled: (detail: string) => void
  /** The wire is closed. */
  readonly onClosed: () => void
}

export interface ChildEnding {
  readonly end: End
  readonly lastWords: string
}

export interface ChildProcess {
  /** Undefined when it could not be started. */
  readonly pid: number | undefined
  send(text: string): void
  /** Nothing more will be said to it. */
  endWire(): void
  signal(signal: NodeJS.Signals): void
  /** After the reap and the last of its lines. */
  readonly ended: Promise<ChildEnding>
}

const OUT_OF_MEMORY = /heap out of memory|Allocation failed|OOM error/

export function startChild<T>({ command, descriptor, onClosed, ...reading }: ChildStart<T>): ChildProcess {
  const subprocess = execa(command.file, command.args, {
    // One authority ends children, the attempt's state machine: no timeout, no forced kill, no cleanup here.
    reject: false,
    buffer: false,
    cleanup: false,
    forceKillAfterDelay: false,
    detached: true,
    extendEnv: false,
    env: childEnvironment(),
    cwd: '/',
    stdio: [descriptor === undefined ? 'ignore' : inherited(descriptor), 'ignore', 'pipe', 'pipe'],
  })
  const { pid, nodeChildProcess } = subprocess
  const wire = nodeChildProcess?.stdio[WIRE_DESCRIPTOR]
  const lastWords = new LastWords()
  let isOutOfMemory = false

  nodeChildProcess?.stderr?.setEncoding('utf8').on('data', (text: string) => {
    lastWords.add(text)
    isOutOfMemory ||= OUT_OF_MEMORY.test(lastWords.text)
  })

  const wireClosed = new Promise<void>((resolve) => {
    if (!(wire instanceof Socket)) return resolve()
    wire.on('data', lineReader(reading))
    // A child that dies while we write to it is told by its end, not by our EPIPE.
    wire.on('error', () => {})
    wire.on('close', () => {
      onClosed()
      resolve()
    })
  })

  return {
    pid,
    send(text) {
      if (wire instanceof Socket && wire.writable) wire.write(text)
    },
    endWire() {
      if (wire instanceof Socket) wire.end()
    },
    signal(signal) {
      // One that was reaped has no number any more; by now it may be another's.
      const isReaped = nodeChildProcess?.exitCode != null || nodeChildProcess?.signalCode != null
      if (pid !== undefined && !isReaped) signalGroup(pid, signal)
    },
    ended: Promise.all([subprocess, wireClosed]).then(([{ exitCode, signal, code }]) => ({
      end: {
        ...(exitCode === undefined ? {} : { exitCode }),
        ...(signal === undefined ? {} : { signal }),
        ...(pid === undefined || (exitCode === undefined && signal === undefined)
          ? { spawnError: code ?? 'unknown' }
          : {}),
        outOfMemory: isOutOfMemory,
      },
      lastWords: lastWords.text,
    })),
  }
}

type Reading<T> = Pick<ChildStart<T>, 'decode' | 'onMessage' | 'onGarbled'>

function lineReader<T>({ decode, onMessage, onGarbled }: Reading<T>): (chunk: Buffer) => void {
  const reader = new FrameReader(MAX_MESSAGE_BYTES)
  let isGarbled = false
  return (chunk) => {
    if (isGarbled) return
    for (const frame of reader.push(chunk)) {
      const decoded = frame.kind === 'line' ? decode(frame.line) : { ok: false as const, detail: 'a line without end' }
      if (!decoded.ok) {
        isGarbled = true
        return onGarbled(decoded.detail)
      }
      onMessage(decoded.message)
    }
  }
}

/** The whole group, so that nothing a child may have started outlives it. */
function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch (error) {
    // Already gone: its end is on the way.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
