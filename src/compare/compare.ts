// The experiment: the same list under every mode, measured and judged from outside. Puts its parts in their order and
// gathers what they find. Knows nothing of command lines and screens.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Fault } from '../core/fault.ts'
import { showConnections } from './connections.ts'
import { showCpuBound } from './cpu-bound.ts'
import { hashesOf, runFaults } from './faults.ts'
import { showKilledLockHolder } from './lock-holder.ts'
import { machineHere } from './machine.ts'
import { costsOf, measureRun, type RunMeasure } from './measure.ts'
import { urlOf } from './origin.ts'
import { interleave, isolationArgs } from './plan.ts'
import type { CompareMode, Comparison, Demonstrations, FaultMatrix } from './result.ts'
import { type OriginProcess, SAMPLE_LATENCY_MS, sampleFiles, startOriginProcess, truthOf } from './sample.ts'
import { headline, NOT_SOLVED } from './sentence.ts'
import { outDirOf, type SubjectEnd, startSubject, type Tools } from './subject.ts'
import { CLEAN_LIMITS } from './watch.ts'

export interface CompareOrder {
  /** Strongest first. */
  readonly modes: readonly CompareMode[]
  /** Rounds that count; 0: only faults and demonstrations. */
  readonly repeat: number
  readonly faults: readonly Fault[]
  readonly hasDemonstrations: boolean
  /** Null: the sample. */
  readonly list: UserList | null
  /** Run options, as they were typed. */
  readonly options: readonly string[]
  /** Transfers at once. */
  readonly jobs: number
  /** Where outputs go for as long as they are looked at. */
  readonly dir: string
  readonly version: string
  /** Redacted. */
  readonly argv: readonly string[]
  /** What is done now. */
  readonly onStep: (text: string) => void
}

export interface UserList {
  readonly name: string
  readonly operands: readonly string[]
  readonly jobs: number
  /** One in its middle. */
  readonly line: number
}

export interface Compared {
  /** Undefined when the list cannot be compared: then problems say why. */
  readonly comparison: Comparison | undefined
  /** What went wrong although nobody made it, a sentence each. */
  readonly problems: readonly string[]
}

/** Rejects with the reason of `tools.signal` when that is aborted; nothing it started is left in any case. */
export async function compare(order: CompareOrder, tools: Tools): Promise<Compared> {
  const scratch = mkdtempSync(join(order.dir, 'mpdl-compare-'))
  const origin = order.list === null || order.hasDemonstrations ? await startOriginProcess(tools) : undefined
  try {
    return await new Experiment(order, tools, scratch, origin).run()
  } finally {
    await origin?.stop()
    rmSync(scratch, { recursive: true, force: true })
  }
}

class Experiment {
  readonly #order: CompareOrder
  readonly #tools: Tools
  readonly #scratch: string
  readonly #origin: OriginProcess | undefined
  readonly #runs: RunMeasure[] = []
  readonly #problems: string[] = []
  /** A run came to no end of its own, or brought nothing. */
  #isHopeless = false
  #homes = 0

  constructor(order: CompareOrder, tools: Tools, scratch: string, origin: OriginProcess | undefined) {
    this.#order = order
    this.#tools = tools
    this.#scratch = scratch
    this.#origin = origin
  }

  async run(): Promise<Compared> {
    const started = Date.now()
    const { modes, repeat, list, jobs, version, argv } = this.#order
    const rounds = repeat === 0 ? [] : interleave(modes, repeat + 1)
    for (const [round, each] of rounds.entries()) {
      for (const mode of each) await this.#measure(mode, round)
      if (this.#isHopeless) return { comparison: undefined, problems: this.#problems }
    }
    const costs = costsOf(this.#runs)
    const faults = this.#order.faults.length === 0 ? null : await this.#matrix()
    if (this.#problems.length > 0 && costs.length === 0 && faults === null)
      return { comparison: undefined, problems: this.#problems }
    const demonstrations = this.#order.hasDemonstrations ? await this.#demonstrations() : null
    const comparison: Comparison = {
      schema: 1,
      version,
      started,
      ended: Date.now(),
      machine: machineHere(),
      argv,
      list: {
        name: list?.name ?? 'the sample',
        jobs: list?.jobs ?? sampleFiles(0).length,
        bytes:
          this.#runs[0]?.bytes ?? (list === null ? sampleFiles(0).reduce((sum, file) => sum + file.sizeBytes, 0) : 0),
        latency_ms: list === null ? SAMPLE_LATENCY_MS : null,
      },
      jobs,
      repeat,
      sentence: headline({ costs, faults }),
      costs,
      faults,
      demonstrations,
      not_solved: NOT_SOLVED,
    }
    return { comparison, problems: this.#problems }
  }

  /** Round 0 warms up: caches fill, and what cannot be compared is found out. */
  async #measure(mode: CompareMode, round: number): Promise<void> {
    const { repeat, list, onStep } = this.#order
    onStep(`${round === 0 ? 'warming up' : `round ${round} of ${repeat}`}: ${mode}`)
    const { home, end } = await this.#cleanRun(mode, list === null ? this.#sampleList(SAMPLE_LATENCY_MS) : undefined)
    rmSync(home, { recursive: true, force: true })
    // Some of a list may fail and the rest be compared; that the reader knows of it once is enough.
    const isMeasurable = end.exitCode === 0 || hasBrought(end)
    if (end.exitCode !== 0 && (round === 0 || !isMeasurable)) this.#problems.push(`${mode}: ${reasonOf(end)}`)
    if (!isMeasurable) this.#isHopeless = true
    else if (round > 0) this.#runs.push(measureRun(mode, end))
  }

  async #cleanRun(mode: CompareMode, sampleList: string | undefined) {
    const home = this.#freshHome()
    const { signal } = this.#tools
    const args = [...this.#options(), ...isolationArgs(mode), ...this.#operands(sampleList)]
    const order = { home, args, isRehearsal: false, measuresMemory: true, limits: CLEAN_LIMITS }
    const end = await startSubject(order, this.#tools).ended
    signal.throwIfAborted()
    return { home, end }
  }

  async #matrix(): Promise<FaultMatrix | null> {
    const { list, faults, modes, onStep } = this.#order
    const sampleList = list === null ? this.#sampleList(0) : undefined
    onStep('what the files are without a fault')
    const strongest = modes[0] ?? 'process'
    const { home, end } = await this.#cleanRun(strongest, sampleList)
    // Of a list of the user's, a clean run is all there is to know its files by.
    const truth = list === null ? truthOf(sampleFiles(0)) : await hashesOf(outDirOf(home))
    rmSync(home, { recursive: true, force: true })
    if (end.exitCode !== 0) {
      this.#problems.push(`${strongest}: ${reasonOf(end)}`)
      return null
    }
    return await runFaults(
      {
        faults,
        modes,
        truth,
        line: list?.line ?? Math.ceil(truth.size / 2),
        options: this.#options(),
        operands: this.#operands(sampleList),
        cleanMs: end.wallMs,
        freshHome: () => this.#freshHome(),
        onCell: (fault, mode) => onStep(`${fault}: ${mode}`),
      },
      this.#tools,
    )
  }

  /** What was measured before is worth telling even if these fail. */
  async #demonstrations(): Promise<Demonstrations | null> {
    try {
      return await this.#demonstrate()
    } catch (error) {
      this.#tools.signal.throwIfAborted()
      this.#problems.push(`the demonstrations: ${error instanceof Error ? error.message : String(error)}`)
      return null
    }
  }

  async #demonstrate(): Promise<Demonstrations> {
    const { modes, repeat, onStep } = this.#order
    const { hardening, signal } = this.#tools
    if (this.#origin === undefined) throw new Error('demonstrations have the sample origin')
    onStep('work for the processor')
    const cpuBound = await showCpuBound(modes, signal)
    onStep('a lock whose holder is killed')
    const lock = await showKilledLockHolder(hardening.flock, this.#scratch)
    const connections = await showConnections(
      {
        origin: this.#origin,
        repeat: Math.max(1, Math.min(repeat, 3)),
        freshHome: () => this.#freshHome(),
        onRun: onStep,
      },
      this.#tools,
    )
    return { cpu_bound: cpuBound, killed_lock_holder: lock, connections }
  }

  /** At our own origin nobody is troubled by as many connections as there are transfers. */
  #options(): string[] {
    const { list, options, jobs } = this.#order
    return [...(list === null ? [`--max-per-host=${jobs}`] : []), ...options]
  }

  #operands(sampleList: string | undefined): readonly string[] {
    return sampleList === undefined ? (this.#order.list?.operands ?? []) : [sampleList]
  }

  /** Of the same name wherever answers come late or not: an explanation of a run names its list. */
  #sampleList(latencyMs: number): string {
    const port = this.#origin?.port ?? 0
    const path = join(this.#scratch, `sample-${latencyMs}.txt`)
    const urls = sampleFiles(latencyMs).map((file) => urlOf(port, file))
    writeFileSync(path, `${urls.join('\n')}\n`)
    return path
  }

  #freshHome(): string {
    return join(this.#scratch, `run-${++this.#homes}`)
  }
}

/** It came to its end, and not with nothing. */
function hasBrought({ events }: SubjectEnd): boolean {
  return (
    events.some(({ type }) => type === 'run-ended') &&
    events.some((event) => event.type === 'job-ended' && event.row.outcome === 'downloaded')
  )
}

function reasonOf({ exitCode, signal, endedBecause, lastWords }: SubjectEnd): string {
  return `the run failed (${endedBecause ?? signal ?? `exit code ${exitCode}`}): ${lastWords}`
}
