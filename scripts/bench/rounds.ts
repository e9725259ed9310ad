// Measures one workload in one place: all tools in turn, round after round, so that what drifts hits all alike. Knows
// nothing of how a run is made and of what the figures mean.

import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { interleave } from '../../src/compare/plan.ts'
import { formatDuration } from '../../src/core/units.ts'
import type { Measured, WorkloadResult } from './result.ts'
import { makeRunPlaces, type Prepared, type RunPlaces, type Setting } from './setting.ts'
import type { Subject } from './subjects.ts'
import { shownCommand } from './tools.ts'
import type { Place } from './workloads.ts'

export interface RoundsOrder {
  readonly prepared: Prepared
  readonly place: Place
  readonly subjects: readonly Subject[]
  readonly rounds: number
  /** Rounds before these in which memory is looked at; 0: there is still one, which only warms up. */
  readonly memoryRounds: number
  readonly runOnce: RunOnce
}

export interface Once {
  readonly measured: Measured | undefined
  readonly peakPssBytes: number | null
  /** A sentence; undefined when it did what it was to do. */
  readonly wrong: string | undefined
}

export interface Turn {
  readonly subject: Subject
  readonly prepared: Prepared
  readonly places: RunPlaces
  readonly watchesMemory: boolean
}

export type RunOnce = (turn: Turn, setting: Setting) => Promise<Once>

interface Notes {
  readonly runs: Measured[]
  readonly peak_pss_bytes: number[]
  readonly wrong: string[]
}

interface Round {
  readonly name: string
  readonly isTimed: boolean
  readonly watchesMemory: boolean
}

export async function measure(order: RoundsOrder, setting: Setting): Promise<WorkloadResult> {
  const { prepared, place, subjects } = order
  const { workload } = prepared
  const notes = subjects.map((): Notes => ({ runs: [], peak_pss_bytes: [], wrong: [] }))
  const rounds = roundsOf(order)
  const failedAtOnce = new Set<number>()
  for (const [index, turns] of interleave([...subjects.entries()], rounds.length).entries()) {
    const round = rounds[index] as Round
    const told: string[] = []
    for (const [at, subject] of turns) {
      const noted = notes[at] as Notes
      // What cannot even begin is not tried again.
      if (index > 0 && failedAtOnce.has(at)) continue
      told.push(`${subject.tool} ${await takeTurn(subject, round, noted, order, setting)}`)
      if (index === 0 && noted.wrong.length > 0) failedAtOnce.add(at)
    }
    setting.say(`${workload.name} on ${place}, ${round.name}: ${told.join(', ')}`)
  }
  return {
    workload: workload.name,
    about: workload.about,
    place,
    connections: workload.connections,
    files: workload.files,
    size_bytes: workload.sizeBytes,
    tools: subjects.map(({ tool, kind, command }, at) => ({
      tool,
      kind,
      command: shownCommand(command, workload.connections),
      ...(notes[at] as Notes),
    })),
  }
}

/** The first one fills caches. Memory has rounds of its own: looking at it takes time. */
function roundsOf({ rounds, memoryRounds }: RoundsOrder): Round[] {
  const untimed = Array.from({ length: Math.max(1, memoryRounds) }, (_, n) => ({
    name: n === 0 ? 'warming up' : `memory ${n + 1} of ${memoryRounds}`,
    isTimed: false,
    watchesMemory: n < memoryRounds,
  }))
  const timed = Array.from({ length: rounds }, (_, n) => ({
    name: `round ${n + 1} of ${rounds}`,
    isTimed: true,
    watchesMemory: false,
  }))
  return [...untimed, ...timed]
}

/** Tells what it took, in short. */
async function takeTurn(
  subject: Subject,
  { isTimed, watchesMemory }: Round,
  noted: Notes,
  { prepared, place, runOnce }: RoundsOrder,
  setting: Setting,
): Promise<string> {
  const dir = setting.dirs[place]
  if (dir === undefined) throw new Error(`no directory on ${place}`)
  const places = makeRunPlaces(dir)
  // Nobody shall wait for what others have left to be written.
  if (place === 'disk') execFileSync('sync', ['-f', dir])
  const { measured, peakPssBytes, wrong } = await runOnce({ subject, prepared, places, watchesMemory }, setting)
  rmSync(places.dir, { recursive: true, force: true })
  if (wrong !== undefined || measured === undefined) {
    noted.wrong.push(wrong ?? 'it could not be timed')
    return `✗ ${noted.wrong.at(-1)}`
  }
  if (isTimed) noted.runs.push(measured)
  if (watchesMemory && peakPssBytes !== null) noted.peak_pss_bytes.push(peakPssBytes)
  return formatDuration(measured.wall_ms)
}
