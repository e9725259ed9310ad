// Finds past runs by what a person typed, and says when one is not past yet.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { printable } from '../core/printable.ts'
import { logDirsToSearch } from '../places.ts'
import { quietWriter } from '../reporters/plain.ts'
import { findRuns, type PastRun, resolveRun, stateOf } from '../supervisor/past-runs.ts'
import { UsageError } from './usage-error.ts'

/** Throws a UsageError (66) that says where was looked. Of a run that is going on it says so on standard error. */
export async function pastRun(wanted: string, logDir: string | undefined): Promise<PastRun> {
  const past = await namedRun(wanted, logDir)
  if (stateOf(past) === 'running') quietWriter(process.stderr)(`mpdl: ${goingOn(past)}\n`)
  return past
}

/** Throws a UsageError (66), and (75) where that run is going on. */
export async function finishedRun(wanted: string, logDir: string | undefined): Promise<PastRun> {
  const past = await namedRun(wanted, logDir)
  if (stateOf(past) !== 'running') return past
  throw new UsageError(`${goingOn(past)}; wait for its end, or name an earlier run (mpdl runs)`, 75)
}

function goingOn({ run }: PastRun): string {
  return `run ${printable(run.id)} of ${printable(run.list.name)} is still going on (pid ${run.pid})`
}

async function namedRun(wanted: string, logDir: string | undefined): Promise<PastRun> {
  const dirs = logDirsToSearch(logDir)
  if (wanted === 'last') {
    const [last] = await newestRuns(dirs, 1)
    if (last !== undefined) return last
    throw noRuns('no runs', dirs)
  }
  const resolved = await resolveRun(dirs.flatMap(withChildren), wanted)
  if (resolved.ok) return resolved.run
  throw new UsageError(resolved.problem, 66)
}

/** `what` was not found in `dirs`. */
export function noRuns(what: string, dirs: readonly string[]): UsageError {
  return new UsageError(`${what} in ${dirs.join(' or ')}; name a log with --log-dir DIR or give its file`, 66)
}

/** Of all these directories together, newest first; `limit` is for each. */
export async function newestRuns(dirs: readonly string[], limit?: number): Promise<PastRun[]> {
  const found = await Promise.all(dirs.flatMap(withChildren).map((dir) => findRuns(dir, limit)))
  return found.flat().sort((a, b) => b.run.started - a.run.started)
}

/** The state directory has one for each list. */
function withChildren(dir: string): string[] {
  try {
    const below = readdirSync(dir, { withFileTypes: true })
    return [dir, ...below.filter((entry) => entry.isDirectory()).map((entry) => join(dir, entry.name))]
  } catch {
    return [dir]
  }
}
