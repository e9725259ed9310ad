// The benchmark: finds out what is there, makes what is downloaded, and has everything measured that was asked for.
// Knows nothing of command lines and of what the result looks like.

import { mkdirSync, rmSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { machineHere } from '../../src/compare/machine.ts'
import { findProgram, versionOf } from './find-program.ts'
import { GROWTH_LARGEST, measureGrowth } from './growth.ts'
import { measureLongList, readsLists } from './long-list.ts'
import { type Options, wantsGrowth, wantsLongList } from './options.ts'
import { isTmpfs, lackOfRoom, MEMORY_DIR, makeScratch, spaceOf } from './places.ts'
import type { BenchResult, WorkloadResult } from './result.ts'
import { measure } from './rounds.ts'
import { type BenchServer, startBenchServer } from './server.ts'
import { prepare, type Setting } from './setting.ts'
import { findTools, type Installed, type Programs, subjectsFor } from './subjects.ts'
import { wholeRun } from './whole-run.ts'
import { MILLION_LINES, type Place, shrink, shrinkCount, WORKLOADS, type Workload } from './workloads.ts'

/** The benchmark cannot be made here; the message says why. */
export class CannotMeasure extends Error {
  readonly exitCode: number
  constructor(message: string, exitCode: number) {
    super(message)
    this.exitCode = exitCode
  }
}

export const EXIT_NO_ROOM = 73
export const EXIT_NOT_INSTALLED = 78

/** Rejects with the signal's reason when that is aborted; nothing it started or wrote is left in any case. */
export async function bench(
  options: Options,
  programs: Programs,
  { signal, say }: Pick<Setting, 'signal' | 'say'>,
): Promise<BenchResult> {
  const startedAt = new Date().toISOString()
  const before = loadavg()[0] ?? 0
  const nginx = findProgram('nginx')
  if (nginx === undefined) throw new CannotMeasure('nginx is not installed', EXIT_NOT_INSTALLED)
  const installed = await findTools(options.tools, programs)
  const workloads = WORKLOADS.filter(({ name }) => options.only.includes(name)).map((each) =>
    shrink(each, options.scale),
  )
  const leftOut: string[] = []
  if (installed.missing.length > 0) leftOut.push(`not installed: ${installed.missing.join(', ')}`)
  const places = choosePlaces(workloads, options, leftOut)
  say(
    `tools: ${Object.entries(installed.versions)
      .map((each) => each.join(' '))
      .join(', ')}`,
  )
  for (const sentence of leftOut) say(sentence)

  const dirs = Object.fromEntries(places.map((place) => [place, makeScratch(placeDir(place, options))]))
  const scratch = makeScratch(options.scratchDir)
  const root = join(scratch, 'served')
  mkdirSync(root)
  let server: BenchServer | undefined
  try {
    server = await startBenchServer(nginx, root, scratch)
    const setting: Setting = { server, programs, root, scratch, dirs, signal, say }
    const results = await measureAll(workloads, options, installed, places, setting, leftOut)
    const growthPlace = places[0]
    const growth =
      wantsGrowth(options) && growthPlace !== undefined
        ? await measureGrowth({ ...options, tools: installed.tools, place: growthPlace }, setting)
        : []
    return {
      schema: 1,
      started_at: startedAt,
      ended_at: new Date().toISOString(),
      machine: machineHere(),
      load_average: { before, after: loadavg()[0] ?? 0 },
      versions: { ...installed.versions, nginx: await versionOf([nginx, '-v']) },
      scale: options.scale,
      rounds: options.rounds,
      workloads: results,
      growth,
      left_out: leftOut,
    }
  } finally {
    await server?.stop()
    for (const dir of [scratch, ...Object.values(dirs)]) rmSync(dir, { recursive: true, force: true })
  }
}

async function measureAll(
  workloads: readonly Workload[],
  options: Options,
  { tools }: Installed,
  places: readonly Place[],
  setting: Setting,
  leftOut: string[],
): Promise<WorkloadResult[]> {
  const { rounds, memoryRounds, scale } = options
  const results: WorkloadResult[] = []
  for (const workload of workloads) {
    if (workload.way === 'tls' && !setting.server.hasTls) {
      leftOut.push(`${workload.name}: openssl is not installed`)
      continue
    }
    setting.say(`${workload.name}: ${workload.about}${scale === 1 ? '' : `, times ${scale}`}`)
    const prepared = await prepare(workload, setting)
    for (const place of placesFor(workload, places)) {
      const subjects = subjectsFor(tools, workload, place)
      // Of memory nothing else is to be seen on a disk.
      const order = { prepared, place, subjects, rounds, memoryRounds: place === 'disk' ? 0 : memoryRounds }
      results.push(await measure({ ...order, runOnce: wholeRun }, setting))
    }
  }
  const [place] = places
  if (wantsLongList(options) && place !== undefined) {
    const order = { name: 'million', lines: shrinkCount(MILLION_LINES, scale), tools: tools.filter(readsLists) }
    setting.say(`million: a list of ${order.lines.toLocaleString('en')} lines`)
    results.push(await measureLongList({ ...order, place, rounds, memoryRounds, isOfFirst: false }, setting))
  }
  return results
}

/** Its own; where none of these is there, or wanted, the first that is. */
function placesFor(workload: Workload, places: readonly Place[]): readonly Place[] {
  const own = places.filter((place) => workload.places.includes(place))
  return own.length > 0 ? own : places.slice(0, 1)
}

const placeDir = (place: Place, { scratchDir }: Options) => (place === 'tmpfs' ? MEMORY_DIR : scratchDir)

/** Those that are there and large enough. Throws where what is served has no room, or nothing is left. */
function choosePlaces(workloads: readonly Workload[], options: Options, leftOut: string[]): Place[] {
  const { scratchDir, places } = options
  const served = new Map(workloads.map((workload) => [workload.source, spaceOf(workload)]))
  const servedBytes = [...served.values()].reduce((sum, bytes) => sum + bytes, 0)
  const largest = [...workloads, ...(wantsGrowth(options) ? [GROWTH_LARGEST] : [])].map(spaceOf)
  const outputBytes = Math.max(0, ...largest)
  const noRoom = lackOfRoom(scratchDir, servedBytes + (places.includes('disk') ? outputBytes : 0))
  if (noRoom !== undefined) throw new CannotMeasure(noRoom, EXIT_NO_ROOM)
  const lacks = (place: Place): string | undefined => {
    if (place === 'tmpfs')
      return isTmpfs(MEMORY_DIR) ? lackOfRoom(MEMORY_DIR, outputBytes) : `no tmpfs at ${MEMORY_DIR}`
    return isTmpfs(scratchDir) ? `${scratchDir} is no disk but a tmpfs; --scratch names another` : undefined
  }
  const chosen = places.filter((place) => {
    const lack = lacks(place)
    if (lack !== undefined) leftOut.push(`on ${place}: ${lack}`)
    return lack === undefined
  })
  if (chosen.length === 0) throw new CannotMeasure(leftOut.join('; '), EXIT_NO_ROOM)
  return chosen
}
