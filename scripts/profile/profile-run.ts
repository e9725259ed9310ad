// Runs a workload with a program that records itself, and sees to it that the profiles of one run are there. Knows
// nothing of what is in them.

import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatDuration } from '../../src/core/units.ts'
import { CannotMeasure, EXIT_NO_ROOM, EXIT_NOT_INSTALLED } from '../bench/bench.ts'
import { findProgram } from '../bench/find-program.ts'
import { isTmpfs, lackOfRoom, MEMORY_DIR, makeScratch, spaceOf } from '../bench/places.ts'
import { startBenchServer } from '../bench/server.ts'
import { makeRunPlaces, prepare, type Setting } from '../bench/setting.ts'
import { subjectsFor } from '../bench/subjects.ts'
import { TOOLS } from '../bench/tools.ts'
import { wholeRun } from '../bench/whole-run.ts'
import type { Workload } from '../bench/workloads.ts'
import { ROLES } from './program.ts'

export interface ProfileOrder {
  readonly workload: Workload
  readonly isolation: string
  /** The program that records itself. */
  readonly mpdl: string
  /** Where it leaves its profiles. */
  readonly outDir: string
}

function removeProfiles(dir: string): void {
  for (const name of readdirSync(dir)) {
    const isOurs = ROLES.some(({ role }) => name.startsWith(`${role}-`))
    if (isOurs && /\.(?:cpuprofile|use\.json)$/.test(name)) rmSync(join(dir, name))
  }
}

/** What went wrong; undefined when every byte is there. */
export async function profileRun(
  { workload, isolation, mpdl, outDir }: ProfileOrder,
  signal: AbortSignal,
  say: (text: string) => void,
): Promise<string | undefined> {
  const nginx = findProgram('nginx')
  if (nginx === undefined) throw new CannotMeasure('nginx is not installed', EXIT_NOT_INSTALLED)
  const needed = spaceOf(workload)
  const isInMemory = isTmpfs(MEMORY_DIR) && lackOfRoom(MEMORY_DIR, needed) === undefined
  const noRoom = lackOfRoom(tmpdir(), isInMemory ? needed : 2 * needed)
  if (noRoom !== undefined) throw new CannotMeasure(noRoom, EXIT_NO_ROOM)
  const scratch = makeScratch(tmpdir())
  const place = isInMemory ? 'tmpfs' : 'disk'
  const dir = isInMemory ? makeScratch(MEMORY_DIR) : scratch
  const served = join(scratch, 'served')
  mkdirSync(served)
  const server = await startBenchServer(nginx, served, scratch)
  try {
    if (workload.way === 'tls' && !server.hasTls)
      throw new CannotMeasure('openssl is not installed', EXIT_NOT_INSTALLED)
    const programs = { node: process.execPath, mpdl }
    const setting: Setting = { server, programs, root: served, scratch, dirs: { [place]: dir }, signal, say }
    const prepared = await prepare(workload, setting)
    const [found] = subjectsFor(
      TOOLS.filter(({ name }) => name === `mpdl-${isolation}`),
      workload,
      place,
    )
    if (found === undefined) throw new Error(`mpdl does every workload, and not ${workload.name}`)
    const subject = { ...found, command: `${found.command} --sandbox off` }
    for (const name of ['warming up', 'profiled']) {
      removeProfiles(outDir)
      const turn = { subject, prepared, places: makeRunPlaces(dir), watchesMemory: false }
      const { measured, wrong } = await wholeRun(turn, setting)
      if (wrong !== undefined || measured === undefined) return wrong ?? 'it could not be timed'
      const { wall_ms, cpu_ms } = measured
      say(`${name}: ${workload.name}, ${isolation}: ${formatDuration(wall_ms)}, ${formatDuration(cpu_ms)} of CPU`)
    }
    return undefined
  } finally {
    await server.stop()
    for (const each of new Set([scratch, dir])) rmSync(each, { recursive: true, force: true })
  }
}
