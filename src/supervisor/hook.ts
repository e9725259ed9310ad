// Runs the program that somebody wants run when all is over, with an end to it and to all it started. Knows nothing of
// what it is told.

import type { Readable } from 'node:stream'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import type { RunEvent } from '../core/event.ts'
import { excerpt, printable } from '../core/printable.ts'
import { redactText } from '../core/redact.ts'
import { formatDuration } from '../core/units.ts'
import { codeOf } from './disk-failure.ts'
import type { RunControls } from './run.ts'

export type HookEnd = Omit<Extract<RunEvent, { type: 'hook-ended' }>, 'type' | 'at'>

export interface HookOptions {
  /** A path, or a name to be found in PATH. No shell reads it. */
  readonly program: string
  readonly timeoutMs: number
  /** Between SIGTERM and SIGKILL, each to the program and all it started. */
  readonly graceMs: number
}

/** The end of a log is read 64 KiB at once: this, escaped, must leave room for the run's sums. */
const OUTPUT_CHARS = 8192
const EXCERPT_CHARS = 300
const LOOK_EVERY_MS = 20
/** What lives so long after SIGKILL is held by the kernel, and nobody can wait for it. */
const REAP_MS = 5000
/** Turns of the loop in which is read what came before the end: a daemon that has the pipe may write for ever. */
const LAST_TURNS = 100
/** One authority ends it, and that is here; in a session of its own a program is one group with all it starts. */
const UNATTENDED = {
  reject: false,
  buffer: false,
  cleanup: false,
  forceKillAfterDelay: false,
  detached: true,
  extendEnv: false,
} as const

/** One call of the program. An interrupt ends it early, a second one at once. */
export class Hook implements Pick<RunControls, 'interrupt' | 'signalChildren'> {
  readonly #options: HookOptions
  /** Why it is ended; undefined when it left by itself. What is said first holds. */
  readonly #cause = Promise.withResolvers<string | undefined>()
  #interrupts = 0
  /** The first signal that did. */
  interruptedBy: string | undefined
  #pid: number | undefined

  constructor(options: HookOptions) {
    this.#options = options
  }

  interrupt(signal: string): void {
    this.#interrupts++
    this.interruptedBy ??= signal
    this.#cause.resolve(`was ended by a ${signal} to mpdl`)
  }

  signalChildren(signal: 'SIGSTOP' | 'SIGCONT'): void {
    if (this.#pid !== undefined) signalGroup(this.#pid, signal)
  }

  /**
   * Once. `env` is all of its environment. Never rejects; resolves when the program is joined and what it left behind in
   * its group was ended.
   */
  async run(env: Readonly<Record<string, string>>): Promise<HookEnd> {
    const { program, timeoutMs, graceMs } = this.#options
    const began = performance.now()
    // The shell becomes the program when it hears so: not before there is somebody to end it, whatever happens.
    const subprocess = execa('/bin/sh', ['-c', 'read -r mpdl_go && exec "$0" < /dev/null', program], {
      ...UNATTENDED,
      env,
    })
    const { pid, nodeChildProcess, stdin } = subprocess
    this.#pid = pid
    const output = tailOf([nodeChildProcess?.stdout, nodeChildProcess?.stderr])
    const endOf = (trouble: string | undefined, exitCode?: number, signal?: string): HookEnd => {
      const text = safeOutput(output.text())
      const lastLine = excerpt(text.slice(text.trimEnd().lastIndexOf('\n') + 1).trim(), EXCERPT_CHARS)
      const shown = excerpt(program, EXCERPT_CHARS)
      const said = lastLine === '' ? '' : `: ${lastLine}`
      return {
        program: shown,
        exit_code: exitCode ?? null,
        signal: signal ?? null,
        ms: Math.round(performance.now() - began),
        output: text,
        problem: trouble === undefined ? null : `--on-finish ${shown} ${trouble}${said}`,
      }
    }
    if (pid === undefined) return endOf(`could not be started: ${(await subprocess).code ?? 'unknown'}`)
    const { promise: hasExited, resolve: exited } = Promise.withResolvers<true>()
    nodeChildProcess?.once('exit', () => {
      exited(true)
      this.#cause.resolve(undefined)
    })
    const late = `was still running after ${formatDuration(timeoutMs)} and was ended (--on-finish-timeout)`
    const timer = setTimeout(() => this.#cause.resolve(late), timeoutMs)
    const release = guard(pid)
    stdin.on('error', () => {})
    stdin.end('go\n')
    const cause = await this.#cause.promise
    clearTimeout(timer)
    // After a program that left by itself this meets what it has left behind.
    await endGroup(pid, graceMs, () => this.#interrupts > 1)
    const isJoined = await Promise.race([hasExited, sleep(REAP_MS, false, { ref: false })])
    await release()
    await output.drain()
    if (!isJoined) return endOf(`${cause} and does not even die of SIGKILL, pid ${pid}`)
    const { exitCode, signal } = await subprocess
    return endOf(cause ?? troubleOf(exitCode, signal), exitCode, signal)
  }
}

function troubleOf(exitCode: number | undefined, signal: string | undefined): string | undefined {
  if (signal !== undefined) return `died of ${signal}`
  return exitCode === 0 ? undefined : `ended with exit code ${exitCode}`
}

/** The end of what the streams bring, in the order in which it comes; the rest is read and forgotten. */
function tailOf(streams: readonly (Readable | null | undefined)[]) {
  let text = ''
  let chunks = 0
  for (const stream of streams) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text = (text + chunk).slice(-OUTPUT_CHARS)
      chunks++
    })
  }
  return {
    text: () => text,
    /** Takes what is in the pipes, and waits for nobody who still has them. */
    async drain() {
      let seen = -1
      for (let turn = 0; seen !== chunks && turn < LAST_TURNS; turn++) {
        seen = chunks
        await nextTurn()
      }
      for (const stream of streams) stream?.destroy()
    },
  }
}

/** What a program says may quote what it was told to do. */
function safeOutput(text: string): string {
  const lines = redactText(text.toWellFormed()).split('\n').map(printable)
  return lines.join('\n').slice(-OUTPUT_CHARS).toWellFormed()
}

/** SIGTERM, and SIGKILL to what is still there after the grace. Only the program itself can be joined. */
async function endGroup(pid: number, graceMs: number, isHurried: () => boolean): Promise<void> {
  let isThere = signalGroup(pid, 'SIGTERM')
  for (const began = performance.now(); isThere; isThere = signalGroup(pid, 0)) {
    if (isHurried() || performance.now() - began >= graceMs) {
      signalGroup(pid, 'SIGKILL')
      return
    }
    await sleep(LOOK_EVERY_MS)
  }
}

/** False when nobody is in it. */
function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pid, signal)
    return true
  } catch (error) {
    // Anything else: of another user, whom a hook may become.
    return codeOf(error) !== 'ESRCH'
  }
}

/**
 * A shell that waits for the end of a pipe which only this process holds, and then ends the group: whatever becomes of
 * this process. The kernel's parent-death signal would reach the program alone. Returns how to dismiss it.
 */
function guard(pid: number): () => Promise<void> {
  const shell = execa('/bin/sh', ['-c', 'read -r over || kill -s KILL -- "-$0"', String(pid)], {
    ...UNATTENDED,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.stdin.on('error', () => {})
  return async () => {
    shell.stdin.end('over\n')
    await shell
  }
}
