// Looks at processes from outside, through Linux's /proc: who belongs to a run, what it holds and what it has used.
// Knows nothing of what they do.

import { readdirSync, readFileSync } from 'node:fs'

/** `USER_HZ`, the same on every Linux whatever its kernel counts in. */
const TICKS_PER_S = 100

export interface ProcessName {
  readonly pid: number
  readonly name: string
}

function read(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, 'latin1')
  } catch {
    // Gone, or somebody else's: either way it is not ours any more.
    return ''
  }
}

/** Without this nothing can be judged from outside. */
export function hasProc(): boolean {
  return read('self/stat') !== ''
}

/** The process and all that descend from it, as far as their parents live. */
export function treeOf(pid: number): number[] {
  const children = read(`${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number)
  return [pid, ...children.flatMap(treeOf)]
}

/** Proportional set size; null where the kernel does not tell. */
export function pssBytesOf(pids: readonly number[]): number | null {
  const sizes = pids.map((pid) => /^Pss:\s+(\d+) kB/m.exec(read(`${pid}/smaps_rollup`))?.[1])
  const known = sizes.filter((size) => size !== undefined)
  return known.length === 0 ? null : known.reduce((sum, size) => sum + Number(size) * 1024, 0)
}

/** Of the one that holds most. */
export function largestResidentBytes(pids: readonly number[]): number {
  return Math.max(...pids.map((pid) => Number(/^VmRSS:\s+(\d+) kB/m.exec(read(`${pid}/status`))?.[1] ?? 0) * 1024))
}

/**
 * User and system time of all processes that this one has waited for, and of all that those had waited for: what it
 * grows by when a process is joined is the time of that one's whole tree. Hundredths of a second.
 */
export function joinedCpuMs(): number {
  const stat = read('self/stat')
  // The name stands in parentheses and may itself hold some.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return ((Number(fields[13]) + Number(fields[14])) * 1000) / TICKS_PER_S
}

/** Living processes that were started with this variable in their environment, wherever their parents went. */
export function processesWith(variable: string): ProcessName[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => `\0${read(`${pid}/environ`)}`.includes(`\0${variable}\0`))
    .filter((pid) => !/^State:\s+[ZX]/m.test(read(`${pid}/status`)))
    .map((pid) => ({ pid: Number(pid), name: nameOf(pid) }))
}

/** The script that a Node runs says more than `node`. */
function nameOf(pid: string): string {
  const script = /[^/\0]+\.c?js(?=\0)/.exec(read(`${pid}/cmdline`))?.[0]
  return script ?? read(`${pid}/comm`).trim()
}
