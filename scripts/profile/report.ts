// Tells what the profiles of a run come to, for each kind of process. Knows nothing of how they were taken.

import { readdirSync, readFileSync } from 'node:fs'
import type { Profiler } from 'node:inspector'
import { join } from 'node:path'
import { formatBytes } from '../../src/core/units.ts'
import { costsOf } from './costs.ts'
import { ROLES } from './program.ts'
import type { Use } from './recorder.ts'

/** `top`: functions in each list. */
export function reportOn(dir: string, top: number): string {
  const names = readdirSync(dir).filter((name) => name.endsWith('.cpuprofile'))
  const tables = ROLES.flatMap(({ role }) => {
    const own = names.filter((name) => name.startsWith(`${role}-`)).map((name) => join(dir, name))
    return own.length === 0 ? [] : [tableOf(role, own, top)]
  })
  return `${tables.join('\n')}
Milliseconds are those of the clock while something ran, by a sample every quarter of one; where the machine had other
work, they are more than CPU. "(program)" is native code without a name. What a process uses before its first line is
its start, and in no profile. A supervisor's CPU is that of its threads, too. The profiler makes everything slower.

In ${dir}: ${names.length} × .cpuprofile; their lines are those of program/dist there. As a flame chart: Chrome's
developer tools (Performance, "Load profile"), VS Code, or speedscope.
`
}

function tableOf(role: string, paths: readonly string[], top: number): string {
  const read = <T>(path: string): T => JSON.parse(readFileSync(path, 'utf8'))
  const uses = paths.map((path) => read<Use>(path.replace(/cpuprofile$/, 'use.json')))
  const costs = costsOf(paths.map((path) => read<Profiler.Profile>(path)))
  const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0)
  const cpuMs = sum(uses.map((use) => use.cpuUs)) / 1000
  const bootMs = sum(uses.map((use) => use.bootCpuUs)) / 1000
  const allMs = sum(costs.map((cost) => cost.selfMs))
  const peak = formatBytes(Math.max(...uses.map((use) => use.maxResidentBytes)))
  const line = (ms: number, name: string) =>
    `${ms.toFixed(1).padStart(9)} ${((ms / allMs) * 100).toFixed(1).padStart(5)}  ${name}`
  const list = (by: 'selfMs' | 'totalMs') =>
    [...costs]
      .sort((a, b) => b[by] - a[by])
      .slice(0, top)
      .map((cost) => line(cost[by], cost.name))
  return [
    `== ${role} × ${paths.length}: CPU ${cpuMs.toFixed(0)} ms, of that start ${bootMs.toFixed(0)} ms; at most ${peak}`,
    `profiled ${allMs.toFixed(0)} ms`,
    '',
    '       ms     %  by itself',
    ...list('selfMs'),
    '',
    '       ms     %  with what it called',
    ...list('totalMs'),
    '',
  ].join('\n')
}
