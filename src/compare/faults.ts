// Lets one download of a list go wrong for real, under each mode, and gathers what is left. Judges nothing.

import { createHash } from 'node:crypto'
import { createReadStream, readdirSync, rmSync } from 'node:fs'
import { freemem } from 'node:os'
import { join } from 'node:path'
import type { Fault } from '../core/fault.ts'
import { FAULT_KINDS } from './fault-kinds.ts'
import { decisiveRun, judgeCell, type RunFacts } from './judge.ts'
import { isolationArgs } from './plan.ts'
import type { CompareMode, FaultCell, FaultMatrix, FaultRow } from './result.ts'
import type { Truth } from './sample.ts'
import { outDirOf, startSubject, type Tools } from './subject.ts'

/** Short, so that what hangs is noticed while somebody watches; long enough for a busy machine. */
const REHEARSAL_ARGS = ['--hang-timeout=2s', '--kill-after=500ms', '--timeout=3s', '--retry-delay=100ms']
const TRIES = 3
const DEADLINE_MS = 120_000
/** Several times what it takes a supervisor to notice anything. */
const SILENCE_MS = 8000
/** Half of what is free: what takes more would take the machine with it, and that is the end it is spared. */
const memoryBytes = () => Math.min(4 * 2 ** 30, freemem() / 2)

export interface FaultOrder {
  readonly faults: readonly Fault[]
  readonly modes: readonly CompareMode[]
  readonly truth: Truth
  /** The line that goes wrong. */
  readonly line: number
  /** Options and list for the subjects. */
  readonly options: readonly string[]
  readonly operands: readonly string[]
  /** How long the list takes when nothing goes wrong: so long nothing may happen. */
  readonly cleanMs: number
  /** A name for a directory that is not there. */
  readonly freshHome: () => string
  readonly onCell: (fault: Fault, mode: CompareMode) => void
}

export async function runFaults(order: FaultOrder, tools: Tools): Promise<FaultMatrix> {
  const rows: FaultRow[] = []
  for (const kind of FAULT_KINDS.filter(({ fault }) => order.faults.includes(fault))) {
    const cells: FaultCell[] = []
    for (const mode of order.modes) {
      order.onCell(kind.fault, mode)
      cells.push(await runCell(kind.fault, mode, order, tools))
    }
    rows.push({ ...kind, cells })
  }
  return { files: order.truth.size, line: order.line, modes: order.modes, rows }
}

async function runCell(fault: Fault, mode: CompareMode, order: FaultOrder, tools: Tools): Promise<FaultCell> {
  const { line, truth } = order
  const first = await rehearse(mode, ['--tries=1', `--inject=${fault}@${line}*`], order, tools)
  // What never ends in its first attempt has no second.
  const isOver = first.endedBecause !== null && !first.isOutOfMemory
  const final = isOver ? first : await rehearse(mode, [`--tries=${TRIES}`, `--inject=${fault}@${line}`], order, tools)
  const rehearsed = { first, final }
  const { events } = decisiveRun(rehearsed, truth.size)
  return {
    ...judgeCell(mode, rehearsed, { line, files: truth.size }),
    log: tools.explain(events, line),
  }
}

async function rehearse(
  mode: CompareMode,
  args: readonly string[],
  order: FaultOrder,
  tools: Tools,
): Promise<RunFacts> {
  const home = order.freshHome()
  const subject = startSubject(
    {
      home,
      args: [...order.options, ...REHEARSAL_ARGS, ...isolationArgs(mode), ...args, ...order.operands],
      isRehearsal: true,
      measuresMemory: false,
      limits: {
        deadlineMs: Math.max(DEADLINE_MS, order.cleanMs * 10),
        silenceMs: Math.max(SILENCE_MS, order.cleanMs * 3),
        memoryBytes: memoryBytes(),
      },
    },
    tools,
  )
  const end = await subject.ended
  tools.signal.throwIfAborted()
  const whole = await wholeFiles(outDirOf(home), order.truth)
  rmSync(home, { recursive: true, force: true })
  return { ...end, whole }
}

/** Names of the files below the directory that are what they must be. */
async function wholeFiles(dir: string, truth: Truth): Promise<Set<string>> {
  const found = await hashesOf(dir)
  return new Set([...found].filter(([name, hash]) => truth.get(name) === hash).map(([name]) => name))
}

/** Of every finished file, by its path below the directory. */
export async function hashesOf(dir: string): Promise<Map<string, string>> {
  const names = readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.part(?:\.json~?)?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
  const hashes = new Map<string, string>()
  for (const path of names) {
    const hash = createHash('sha256')
    for await (const chunk of createReadStream(path)) hash.update(chunk)
    hashes.set(path.slice(dir.length + 1), hash.digest('hex'))
  }
  return hashes
}
