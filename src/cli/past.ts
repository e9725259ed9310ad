// Finds a past run by what a person typed.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { logDirsToSearch } from '../places.ts'
import { findRuns, type PastRun, resolveRun } from '../supervisor/past-runs.ts'
import { UsageError } from './usage-error.ts'

/** Throws a UsageError (66) that says where was looked. */
export async function pastRun(wanted: string, logDir: string | undefined): Promise<PastRun> {
  const dirs = logDirsToSearch(logDir).flatMap(withChildren)
  if (wanted === 'last') {
    const newest = await Promise.all(dirs.map(async (dir) => (await findRuns(dir, 1))[0]))
    const [last] = newest.filter((run) => run !== undefined).sort((a, b) => b.run.started - a.run.started)
    if (last !== undefined) return last
    throw new UsageError(
      `no runs in ${dirs.slice(0, 2).join(' or ')}; name a log with --log-dir DIR or give its file`,
      66,
    )
  }
  const problems: string[] = []
  for (const dir of dirs) {
    const resolved = await resolveRun(dir, wanted)
    if (resolved.ok) return resolved.run
    problems.push(resolved.problem)
  }
  throw new UsageError(problems[0] ?? `no run ${wanted}`, 66)
}

/** Without a list the logs of all lists are looked through: a directory each. */
function withChildren(dir: string): string[] {
  try {
    const below = readdirSync(dir, { withFileTypes: true })
    return [dir, ...below.filter((entry) => entry.isDirectory()).map((entry) => join(dir, entry.name))]
  } catch {
    return [dir]
  }
}
