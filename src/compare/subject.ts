// Runs one mpdl as a subject: in a session of its own, with a home of its own. Says what was seen of it and
// leaves nothing of it; judges nothing, and believes nothing that the subject says of itself.

import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RunEvent } from '../core/event.ts'
import { joinedCpuMs, type ProcessName, processesWith } from './proc.ts'
import { type SubjectLimits, send, watch } from './watch.ts'

/** What a comparison needs of the rest of the program. */
export interface Tools {
  /** The program to be compared: the script that Node runs. */
  readonly program: string
  /** Options that others may not read, as `MPDL_` variables: what is typed is seen by everybody. */
  readonly environment: Readonly<Record<string, string>>
  /** What follows the program where it is to be the sample's origin. */
  readonly originCommand: string
  /** Paths of util-linux's programs, as far as they are there. */
  readonly hardening: {
    readonly setpriv: string | undefined
    readonly prlimit: string | undefined
    readonly flock: string | undefined
  }
  /** The events of a run's log. */
  readonly readEvents: (path: string) => AsyncIterable<RunEvent>
  /** Tells for people what a run's events say of the job in this line. */
  readonly explain: (events: readonly RunEvent[], line: number) => string[]
  /** Ends everything that runs. */
  readonly signal: AbortSignal
}

export interface SubjectOrder {
  /** A directory that is not there yet; the run keeps everything below it, and its processes are known by it. */
  readonly home: string
  /** What follows `mpdl get`. */
  readonly args: readonly string[]
  /** Of Node and of the kernel, for a run that is to break. */
  readonly isRehearsal: boolean
  readonly limits: SubjectLimits
  /** Costs some time of the machine. */
  readonly measuresMemory: boolean
}

export interface SubjectEnd {
  /** Ms since the epoch. */
  readonly startedMs: number
  readonly wallMs: number
  readonly exitCode: number | null
  readonly signal: string | null
  /** A sentence; null when it ended by itself. Events after that are not its own doing and left out. */
  readonly endedBecause: string | null
  /** It took more memory than there was for it, which is not the same as never ending. */
  readonly isOutOfMemory: boolean
  readonly cpuMs: number
  readonly peakPssBytes: number | null
  readonly leftBehind: readonly ProcessName[]
  readonly events: readonly RunEvent[]
  readonly lastWords: string
}

export interface Subject {
  readonly pid: number
  readonly ended: Promise<SubjectEnd>
}

/** Killed is not yet gone: the kernel needs a moment to take a process apart. */
const DISMANTLE_MS = 2000
const LOOK_EVERY_MS = 50
const LAST_WORDS_CHARS = 2000
/** The heap of a subject that is to break, so that filling it takes no minute, and its descriptors. */
const REHEARSAL_HEAP_MIB = 256
const REHEARSAL_DESCRIPTORS = 4096

export const outDirOf = (home: string) => join(home, 'out')

/** Starts it; `ended` never rejects for anything that the subject does. */
export function startSubject(order: SubjectOrder, tools: Tools): Subject {
  mkdirSync(outDirOf(order.home), { recursive: true })
  mkdirSync(join(order.home, 'logs'), { recursive: true })
  const cpuBeforeMs = joinedCpuMs()
  const startedMs = Date.now()
  const started = performance.now()
  const [file = '', ...args] = commandOf(order, tools)
  const child = spawn(file, args, {
    detached: true,
    env: { ...environmentOf(order.home), ...tools.environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const { pid } = child
  if (pid === undefined) throw new Error(`${file} cannot be started`)
  let lastWords = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    lastWords = (lastWords + text).slice(-LAST_WORDS_CHARS)
  })
  const exited = new Promise<{ code: number | null; signal: string | null; wallMs: number }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal, wallMs: performance.now() - started }))
  })
  const { limits, measuresMemory } = order
  const logBytes = () => logBytesOf(order.home)
  const watched = watch(child, pid, { limits, measuresMemory, logBytes, signal: tools.signal })
  const ended = exited.then(async ({ code, signal, wallMs }): Promise<SubjectEnd> => {
    const cpuMs = joinedCpuMs() - cpuBeforeMs
    const { peakPssBytes, ending } = await watched
    const leftBehind = await endLeftBehind(order.home)
    const events = await eventsOf(order.home, tools)
    return {
      startedMs,
      wallMs,
      exitCode: code,
      signal,
      endedBecause: ending?.because ?? null,
      isOutOfMemory: ending?.isOutOfMemory ?? false,
      cpuMs,
      peakPssBytes,
      leftBehind,
      events: events.filter(({ at }) => ending === null || at < ending.atMs),
      lastWords: lastWords.trim(),
    }
  })
  return { pid, ended }
}

function commandOf(order: SubjectOrder, { program, hardening }: Tools): string[] {
  const { setpriv, prlimit } = hardening
  return [
    ...(order.isRehearsal && prlimit !== undefined
      ? [prlimit, '--core=0', `--nofile=${REHEARSAL_DESCRIPTORS}`, '--']
      : []),
    // The kernel ends the subject when the comparison is killed; its children go with it by themselves.
    ...(setpriv === undefined ? [] : [setpriv, '--pdeathsig', 'KILL', '--']),
    process.execPath,
    ...(order.isRehearsal ? [`--max-old-space-size=${REHEARSAL_HEAP_MIB}`] : []),
    program,
    'get',
    ...order.args,
    `--dir=${outDirOf(order.home)}`,
    `--log-dir=${join(order.home, 'logs')}`,
    '--progress=none',
  ]
}

/** Every process of a run is known by its HOME, which all of them are given, whoever their parent is later. */
const markOf = (home: string) => `HOME=${home}`

/** What says where a run's outputs go is decided here, whatever the environment says. */
const DECIDED = ['REPORT', 'JSON', 'FAILED_OUT', 'DRY_RUN', 'INJECT', 'QUIET', 'VERBOSE', 'NO_LOG', 'LOG_KEEP']

function environmentOf(home: string): NodeJS.ProcessEnv {
  const env = { ...process.env }
  for (const name of DECIDED) delete env[`MPDL_${name}`]
  // Of the user's own home only what logs in is wanted.
  const netrc = env['NETRC'] || join(env['HOME'] ?? '/', '.netrc')
  return { ...env, HOME: home, XDG_STATE_HOME: join(home, 'state'), NETRC: netrc }
}

/** What still lives although the run has ended; it is sent away. */
async function endLeftBehind(home: string): Promise<ProcessName[]> {
  const find = () => processesWith(markOf(home))
  const deadline = performance.now() + DISMANTLE_MS
  let left = find()
  while (left.length > 0 && performance.now() < deadline) {
    await sleep(LOOK_EVERY_MS)
    left = find()
  }
  for (const { pid } of left) send(pid, 'SIGKILL')
  return left
}

function logsOf(home: string): string[] {
  const dir = join(home, 'logs')
  return readdirSync(dir)
    .filter((name) => name.endsWith('.ndjson'))
    .sort()
    .map((name) => join(dir, name))
}

function logBytesOf(home: string): number {
  return logsOf(home).reduce((sum, path) => sum + statSync(path).size, 0)
}

/** Of the last run that was made in this home. */
async function eventsOf(home: string, { readEvents }: Tools): Promise<RunEvent[]> {
  const path = logsOf(home).at(-1)
  const events: RunEvent[] = []
  if (path !== undefined) for await (const event of readEvents(path)) events.push(event)
  return events
}
