// Runs the built program in a home of its own and gathers all it left behind. Knows nothing of what is tested.
import { type ChildProcess, spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  type FSWatcher,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect } from 'vitest'
import type { JobRow, LineRange, RunEvent, RunHeader } from '../../src/core/event.ts'
import type { Failure } from '../../src/core/failure.ts'
import { findProgram } from '../fixtures/servers.ts'

export const PROGRAM = join(import.meta.dirname, '..', '..', 'dist', 'main.js')

/** Retries that cost next to nothing, and timeouts that a test can wait for. */
export const QUICK = ['-T', '300ms', '--hang-timeout', '2s', '--kill-after', '200ms', '--retry-delay', '10ms'] as const

/** One try each: a fault is met once. */
export const ONCE = [...QUICK, '-t', '1'] as const

/** Where a run keeps everything; several runs in one home are a night and the night after. */
export type Home = {
  readonly root: string
  /** What `-d` gets. */
  readonly out: string
  readonly state: string
  readonly logs: string
  readonly list: string
  /** A path in this home. */
  at(name: string): string
}

export type JsonReport = {
  readonly schema: number
  readonly run: RunHeader & { readonly ended: number | null; readonly signal: string | null }
  readonly totals: Readonly<Record<string, number>>
  readonly jobs: readonly JobRow[]
  readonly not_started: readonly LineRange[]
  readonly bulk: readonly {
    readonly outcome: string
    readonly failure: Failure | null
    readonly reason: string
    readonly count: number
    readonly lines: readonly LineRange[]
  }[]
  readonly hosts: readonly { readonly host: string; readonly change: string }[]
  readonly warnings: readonly { readonly line: number | null; readonly message: string }[]
  readonly exit_code: number
}

export type RunOptions = {
  /** Text of the list; without it `operands` say what to download. */
  readonly list?: string | Uint8Array
  readonly operands?: readonly string[]
  readonly args?: readonly string[]
  readonly home?: Home
  /** Added to the environment; undefined removes. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly stdin?: string | Uint8Array
  /** A command in front: `prlimit --nofile=40`, `setpriv --reuid …`. */
  readonly wrap?: readonly string[]
  /** Neither `-d` nor `--report` nor `--log-dir` is added. */
  readonly isBare?: boolean
  /** Without the log the run is followed by nothing but its end. */
  readonly hasNoLog?: boolean
  readonly hasNoReport?: boolean
  /** Another copy of the program, with parts of it replaced. */
  readonly program?: string
}

export type Ended = {
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
  readonly ms: number
  readonly home: Home
  /** Of `--report`; throws when none was written. */
  readonly report: JsonReport
  /** Of the run log. */
  readonly events: readonly RunEvent[]
  /** Names below the target directory at the end, sorted. */
  readonly files: readonly string[]
  /** Every name that was seen in the target directory at any instant of the run. */
  readonly seen: ReadonlySet<string>
  /** Modes of parts at every instant something happened to them. */
  readonly partModes: ReadonlySet<number>
  row(line: number): JobRow
  /** Kind of the failure of that line's row. */
  kind(line: number): string | undefined
  bytes(name: string): Buffer
}

export type Running = {
  readonly pid: number
  readonly process: ChildProcess
  readonly home: Home
  readonly ended: Promise<Ended>
  /** Events of the log so far. */
  events(): readonly RunEvent[]
  /** Resolves with the first event that fits; polls the log, and fails when the run ends without it. */
  event<T extends RunEvent['type']>(
    type: T,
    fits?: (event: Extract<RunEvent, { type: T }>) => boolean,
  ): Promise<Extract<RunEvent, { type: T }>>
  /** Pids of its downloading children at this moment. */
  children(): readonly number[]
  stderr(): string
}

const POLL_MS = 5
const PATIENCE_MS = 30_000
const homes: Home[] = []
const running = new Set<ChildProcess>()

afterAll(() => {
  for (const child of running) child.kill('SIGKILL')
  for (const { root } of homes) rmSync(root, { recursive: true, force: true })
})

/** A home that is gone after the file's last test. */
export function newHome(): Home {
  const root = mkdtempSync(join(tmpdir(), 'mpdl-e2e-'))
  const at = (name: string) => join(root, name)
  const home: Home = { root, at, out: at('out'), state: at('state'), logs: at('runs'), list: at('list.txt') }
  mkdirSync(home.out)
  // A user other than root has to get through to what a test gives it.
  chmodSync(root, 0o755)
  homes.push(home)
  return home
}

/** Runs to the end. */
export async function run(options: RunOptions): Promise<Ended> {
  return start(options).ended
}

/** Starts a run; the returned promise `ended` also checks that nothing of it lives on. */
export function start(options: RunOptions): Running {
  const home = options.home ?? newHome()
  const operands = options.operands ?? []
  if (options.list !== undefined) writeFileSync(home.list, options.list)
  const report = home.at('report.json')
  rmSync(report, { force: true })
  const own =
    options.isBare === true
      ? []
      : [
          '-d',
          home.out,
          ...(options.hasNoReport === true ? [] : ['--report', report]),
          ...(options.hasNoLog === true ? [] : ['--log-dir', home.logs]),
        ]
  const list = options.list === undefined ? [] : [home.list]
  const args = [options.program ?? PROGRAM, ...own, ...(options.args ?? []), ...list, ...operands]
  const command = [...deathWithTest(), ...(options.wrap ?? []), process.execPath, ...args]
  const names = watchNames(home.out)
  const logsBefore = new Set(logFiles(home))
  const startedAt = performance.now()
  const child = spawn(command[0] ?? '', command.slice(1), {
    cwd: home.root,
    env: environment(home, options.env),
    stdio: [options.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  })
  const { pid } = child
  if (pid === undefined) throw new Error('the program could not be started')
  running.add(child)
  let stdout = ''
  let stderr = ''
  let hasEnded = false
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.stdin?.on('error', () => {})
  if (options.stdin !== undefined) child.stdin?.end(options.stdin)
  const log = () => logFiles(home).find((path) => !logsBefore.has(path))
  const events = () => eventsIn(log())

  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }))
  }).then(async ({ code, signal }): Promise<Ended> => {
    hasEnded = true
    running.delete(child)
    const ms = performance.now() - startedAt
    const { seen, partModes } = await names.stop()
    expect(await leftovers(home, pid), 'processes that outlived their run').toEqual([])
    const parsed = existsSync(report) ? parseReport(readFileSync(report, 'utf8')) : undefined
    const found = (): JsonReport => {
      if (parsed === undefined) throw new Error(`no report was written; exit ${code} ${signal}: ${stderr}`)
      return parsed
    }
    const row = (line: number): JobRow => {
      const rows = found().jobs.filter((job) => job.line === line)
      if (rows.length !== 1 || rows[0] === undefined) throw new Error(`line ${line} has ${rows.length} rows: ${stderr}`)
      return rows[0]
    }
    return {
      code,
      signal,
      stdout,
      stderr,
      ms,
      home,
      get report() {
        return found()
      },
      events: events(),
      files: filesIn(home.out),
      seen,
      partModes,
      row,
      kind: (line) => row(line).failure?.kind,
      bytes: (name) => readFileSync(join(home.out, name)),
    }
  })

  return {
    pid,
    process: child,
    home,
    ended,
    events,
    async event(type, fits = () => true) {
      for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline; await sleep(POLL_MS)) {
        const isLast = hasEnded
        for (const event of events()) if (isOfType(event, type) && fits(event)) return event
        if (isLast) throw new Error(`the run ended without ${type}: ${stderr}`)
      }
      throw new Error(`no ${type} within ${PATIENCE_MS} ms`)
    },
    children: () => childrenOf(pid),
    stderr: () => stderr,
  }
}

/** Polls until it holds: for what no event tells, as a process's state. */
export async function until(what: string, holds: () => boolean, patienceMs = PATIENCE_MS): Promise<void> {
  for (const deadline = performance.now() + patienceMs; performance.now() < deadline; await sleep(POLL_MS)) {
    if (holds()) return
  }
  throw new Error(`not within ${patienceMs} ms: ${what}`)
}

/** `R`, `S`, `T` …; undefined when it is gone or a zombie. */
export function stateOf(pid: number): string | undefined {
  try {
    const state = /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
    return state === 'Z' || state === 'X' ? undefined : state
  } catch {
    return undefined
  }
}

/** Children that download or check for this supervisor, wherever they were reparented to. */
export function childrenOf(supervisor: number): number[] {
  return processes().filter((pid) => {
    const words = proc(pid, 'cmdline').split('\0')
    // The last, because a permission flag before it ends in the same path.
    const script = words.findLastIndex((word) => /\/(?:child|child-faults|pool)\.cjs$/.test(word))
    return script > 0 && words[script + 1] === String(supervisor) && stateOf(pid) !== undefined
  })
}

/** What a process shows to everybody. */
export function proc(pid: number, name: 'cmdline' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1')
  } catch {
    return ''
  }
}

export function filesIn(directory: string): string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort()
}

function processes(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

/** Every process gets HOME from its run, so this finds children and grandchildren whoever their parent is now. */
async function leftovers(home: Home, supervisor: number): Promise<string[]> {
  const find = () => {
    const children = new Set(childrenOf(supervisor))
    return processes().filter(
      (pid) =>
        pid !== supervisor &&
        (children.has(pid) || proc(pid, 'environ').split('\0').includes(`HOME=${home.root}`)) &&
        stateOf(pid) !== undefined,
    )
  }
  // Killed is not yet gone: the kernel needs a moment to take a process apart after its SIGKILL.
  const deadline = performance.now() + 1000
  while (find().length > 0 && performance.now() < deadline) await sleep(POLL_MS)
  return find().map((pid) => `${pid} ${proc(pid, 'cmdline').replaceAll('\0', ' ')}`)
}

function deathWithTest(): string[] {
  const setpriv = findProgram('setpriv')
  return setpriv === undefined ? [] : [setpriv, '--pdeathsig', 'KILL', '--']
}

function environment(home: Home, added: RunOptions['env'] = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {
    PATH: process.env['PATH'],
    LANG: 'C.UTF-8',
    HOME: home.root,
    XDG_STATE_HOME: home.state,
  }
  for (const [name, value] of Object.entries(added)) {
    if (value === undefined) delete env[name]
    else env[name] = value
  }
  return env
}

function logFiles({ logs }: Home): string[] {
  return existsSync(logs)
    ? readdirSync(logs)
        .filter((name) => name.endsWith('.ndjson'))
        .sort()
        .map((name) => join(logs, name))
    : []
}

function eventsIn(path: string | undefined): RunEvent[] {
  if (path === undefined) return []
  const lines = readFileSync(path, 'utf8').split('\n')
  // The last piece is empty, or a line that is still being written.
  return lines.slice(0, -1).map(parseEvent)
}

function parseEvent(line: string): RunEvent {
  const event: RunEvent = JSON.parse(line)
  return event
}

function parseReport(text: string): JsonReport {
  const report: JsonReport = JSON.parse(text)
  return report
}

function isOfType<T extends RunEvent['type']>(event: RunEvent, type: T): event is Extract<RunEvent, { type: T }> {
  return event.type === type
}

type Seen = { readonly seen: Set<string>; readonly partModes: Set<number> }

/** The kernel queues every name that comes to be in a directory, so not even a short life is missed. */
function watchNames(directory: string): { stop(): Promise<Seen> } {
  const seen = new Set<string>()
  const partModes = new Set<number>()
  const look = (name: string) => {
    // The run's own, which is no download's.
    if (/^\.mpdl-[0-9a-f]{16}$/.test(name)) return
    seen.add(name)
    if (!name.endsWith('.part')) return
    const stat = lstatSync(join(directory, name), { throwIfNoEntry: false })
    if (stat !== undefined) partModes.add(stat.mode & 0o777)
  }
  let watcher: FSWatcher
  try {
    for (const name of readdirSync(directory)) look(name)
    watcher = watch(directory, (_, name) => {
      if (name !== null) look(name)
    })
  } catch {
    return { stop: async () => ({ seen, partModes }) }
  }
  watcher.on('error', () => {})
  return {
    async stop() {
      const sentinel = `watched-to-the-end-${process.pid}`
      const path = join(directory, sentinel)
      try {
        writeFileSync(path, '')
        rmSync(path)
        await until('the last name is seen', () => seen.has(sentinel), 5000)
      } catch {
        // A directory nobody can write into needs no proof that nobody did.
      }
      watcher.close()
      seen.delete(sentinel)
      return { seen, partModes }
    },
  }
}

/** The first pid there is. Never 0: a signal to 0 goes to everybody in the group, this test included. */
export function firstOf(pids: readonly (number | null | undefined)[]): number {
  const pid = pids.find((candidate) => typeof candidate === 'number' && candidate > 1)
  if (typeof pid !== 'number') throw new Error('no child is running')
  return pid
}
