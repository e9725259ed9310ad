// What one file costs as lists and concurrency grow, and what a list holds in memory. Knows nothing of charts.

import { measureLongList } from './long-list.ts'
import type { Growth, WorkloadResult } from './result.ts'
import { measure } from './rounds.ts'
import { TINY_PATH } from './server.ts'
import { prepare, type Setting } from './setting.ts'
import { subjectsFor } from './subjects.ts'
import type { Tool } from './tools.ts'
import { wholeRun } from './whole-run.ts'
import { type Place, shrinkCount, type Workload } from './workloads.ts'

const FILE_COUNTS = [1, 10, 100, 1000, 10_000, 100_000]
const CONNECTIONS = [1, 2, 4, 8, 16, 32, 64]
const LINE_COUNTS = [1, 100, 10_000, 100_000, 1_000_000]
const USUAL_CONNECTIONS = 8
const USUAL_FILES = 2000
/** A curve needs no more, and there are many of them. */
const MAX_ROUNDS = 3
/** A process for every file of a long list says nothing new and takes an hour. */
const MOST_FILES: Readonly<Record<string, number>> = { 'mpdl-process': 1000, 'xargs-curl': 1000 }
const SHOWN = ['mpdl-process', 'mpdl-pool', 'curl', 'aria2c', 'wget2']
const SHOWN_MEMORY = ['mpdl-pool', 'curl', 'aria2c', 'wget2']

export const GROWTH_LARGEST = { files: Math.max(...FILE_COUNTS), sizeBytes: 1 }

export interface GrowthOrder {
  readonly tools: readonly Tool[]
  readonly place: Place
  readonly rounds: number
  readonly scale: number
}

export async function measureGrowth(order: GrowthOrder, setting: Setting): Promise<Growth[]> {
  const counts = (list: readonly number[]) => [...new Set(list.map((count) => shrinkCount(count, order.scale)))]
  const files = await along(counts(FILE_COUNTS), (x) => tinyFiles(x, USUAL_CONNECTIONS, order, setting))
  const usualFiles = shrinkCount(USUAL_FILES, order.scale)
  const connections = await along(CONNECTIONS, (x) => tinyFiles(usualFiles, x, order, setting))
  const lines = await along(counts(LINE_COUNTS), (x) => heldLines(x, order, setting))
  return [
    { name: 'files', about: `tiny files, ${USUAL_CONNECTIONS} at once`, points: files },
    { name: 'connections', about: `${usualFiles.toLocaleString('en')} tiny files`, points: connections },
    { name: 'lines', about: 'memory of the first process (mpdl: the supervisor)', points: lines },
  ]
}

async function along(xs: readonly number[], at: (x: number) => Promise<WorkloadResult>): Promise<Growth['points']> {
  const points: { x: number; result: WorkloadResult }[] = []
  for (const x of xs) points.push({ x, result: await at(x) })
  return points
}

async function tinyFiles(files: number, connections: number, order: GrowthOrder, setting: Setting) {
  const { place, rounds } = order
  const workload: Workload = {
    name: `scale, ${files.toLocaleString('en')} files by ${connections}`,
    about: 'tiny files',
    shape: 'list',
    files,
    sizeBytes: 1,
    source: TINY_PATH,
    connections,
    way: 'plain',
    places: [place],
  }
  const tools = order.tools.filter(({ name }) => SHOWN.includes(name) && files <= (MOST_FILES[name] ?? files))
  return await measure(
    {
      prepared: await prepare(workload, setting),
      place,
      subjects: subjectsFor(tools, workload, place),
      rounds: Math.min(rounds, MAX_ROUNDS),
      memoryRounds: 0,
      runOnce: wholeRun,
    },
    setting,
  )
}

async function heldLines(lines: number, { tools, place, rounds }: GrowthOrder, setting: Setting) {
  return await measureLongList(
    {
      name: `scale, ${lines.toLocaleString('en')} lines`,
      lines,
      tools: tools.filter(({ name }) => SHOWN_MEMORY.includes(name)),
      place,
      rounds: 0,
      memoryRounds: Math.min(rounds, MAX_ROUNDS),
      isOfFirst: true,
    },
    setting,
  )
}
