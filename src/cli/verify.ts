// mpdl verify: what is on disk against the list's checksums and what earlier runs left. Asks no server and changes
// nothing.

import { constants } from 'node:os'
import { resolve } from 'node:path'
import { printable, printableJson } from '../core/printable.ts'
import { formatDuration } from '../core/units.ts'
import type { VerdictName } from '../core/verify.ts'
import { isWell, VERDICTS } from '../core/verify.ts'
import { defaultSettings } from '../defaults.ts'
import { logDirFor } from '../places.ts'
import { chunked } from '../reporters/json.ts'
import { quietWriter } from '../reporters/plain.ts'
import { childIsolation } from '../session.ts'
import type { JobList } from '../supervisor/job-list.ts'
import { findRuns } from '../supervisor/past-runs.ts'
import type { Settings } from '../supervisor/settings.ts'
import { listenToSignals } from '../supervisor/signals.ts'
import { openFileMemory } from '../supervisor/verify-memory.ts'
import { PastFiles } from '../supervisor/verify-past.ts'
import type { VerifiedLine } from '../supervisor/verify-run.ts'
import { Verification } from '../supervisor/verify-run.ts'
import { realWorld } from '../supervisor/world.ts'
import { listPathOf, sourceOf } from './list-source.ts'
import { openList } from './open-list.ts'
import { writeOut } from './stdout.ts'
import type { VerifyOptions } from './verify-options.ts'

/** How many lines got each verdict. */
type Sums = Map<VerdictName, number>

/** 0 when every file is as it should be, 1 when something was found. Mistakes of the caller's are UsageErrors. */
export async function verify(operands: readonly string[], options: VerifyOptions): Promise<number> {
  const list = await openList(sourceOf(operands), options, 'verified')
  try {
    return await verifyList(list, listPathOf(operands), options)
  } finally {
    list.close()
  }
}

async function verifyList(list: JobList, listPath: string | null, options: VerifyOptions): Promise<number> {
  const settings: Settings = Object.freeze({
    ...defaultSettings(),
    dir: resolve(options.dir),
    jobs: options.jobs,
    maxMemoryBytes: options.maxMemory,
    hangTimeoutMs: options.hangTimeout,
  })
  const say = quietWriter(process.stderr)
  const warn = (message: string) => say(`mpdl: ${printable(message)}\n`)
  const { runs, otherDir } = await runsOf(list, listPath, settings.dir, options.logDir)
  const memory = openFileMemory(settings.stateDir, warn)
  const past = new PastFiles({ runs, onProblem: warn, isStopped: () => verification.signal !== undefined })
  const out = chunked(writeOut)
  const verification = new Verification({
    list,
    settings,
    isolation: childIsolation(settings),
    past,
    memory,
    world: realWorld,
    onWait: out.flush,
  })
  const silence = listenToSignals(verification, () => say(statusText(verification, list)))
  const sums: Sums = new Map()
  const count = (verdict: VerdictName, lines: number) => sums.set(verdict, (sums.get(verdict) ?? 0) + lines)
  let told = 0
  try {
    for await (const line of verification.lines()) {
      told++
      count(line.verdict, 1)
      if (isShown(line.verdict, options)) await out.add(options.json === true ? jsonLine(line) : textLine(line))
    }
  } finally {
    silence()
    memory.close()
  }
  if (told < list.size) count('not-verified', list.size - told)
  const code = exitCode(verification, sums)
  if (code !== 0 || options.quiet !== true) {
    await out.add(
      options.json === true ? jsonSummary(list, sums, verification, code) : textSummary(list, sums, verification),
    )
  }
  await out.flush()
  if (verification.abandoned > 0) warn('not every child could be ended; those named above still run')
  if (code !== 0 && otherDir !== undefined) {
    warn(`the last run of this list wrote into ${otherDir}; verify that with -d`)
  }
  return code
}

/** Those that may speak for these files, newest first; `otherDir` where there are only runs into another directory. */
async function runsOf(list: JobList, listPath: string | null, dir: string, logDir: string | undefined) {
  const runs = (await findRuns(logDirFor(logDir, listPath ?? list.name))).filter(({ run }) =>
    listPath === null ? run.list.path === null && run.list.name === list.name : run.list.path === listPath,
  )
  const here = runs.filter(({ run }) => run.dir === dir)
  return { runs: here, otherDir: here.length === 0 ? runs[0]?.run.dir : undefined }
}

/** As a run's: what casts doubt on the answer comes first, then a signal, then the machine, then what was found. */
function exitCode({ abandoned, signal, isShortOfProcesses }: Verification, sums: Sums): number {
  if (abandoned > 0) return 70
  if (isSignal(signal)) return 128 + constants.signals[signal]
  if (isShortOfProcesses) return 71
  return [...sums.keys()].every(isWell) ? 0 : 1
}

const isSignal = (name: string | undefined): name is NodeJS.Signals => name !== undefined && name in constants.signals

function isShown(verdict: VerdictName, { quiet, verbose, json }: VerifyOptions): boolean {
  return !isWell(verdict) || (quiet !== true && (verbose === true || json === true))
}

function textLine({ line, out, verdict, reason }: VerifiedLine): string {
  const name = out === null ? '' : ` ${printable(out)}`
  return `line ${line}${name} ${verdict}${reason === null ? '' : `: ${printable(reason)}`}\n`
}

function jsonLine({ line, id, url, out, verdict, proof, reason, sizeBytes: size, digest }: VerifiedLine): string {
  const row = { type: 'file', line, id, url, out, verdict, proof, reason, size, digest }
  return `${printableJson(JSON.stringify(row))}\n`
}

/** `verify: 6 = 3 ok + 1 missing + 2 differs`: no separators, because scripts look at it. */
function textSummary({ size }: JobList, sums: Sums, { signal }: Verification): string {
  const shown = VERDICTS.filter((name) => sums.has(name)).map((name) => `${sums.get(name)} ${name}`)
  return `verify: ${size} = ${shown.join(' + ')}${signal === undefined ? '' : `, stopped by ${signal}`}\n`
}

function jsonSummary({ size }: JobList, sums: Sums, { signal }: Verification, code: number): string {
  const all = Object.fromEntries(VERDICTS.map((name) => [name, sums.get(name) ?? 0]))
  return `${JSON.stringify({ type: 'summary', lines: size, ...all, signal: signal ?? null, exit_code: code })}\n`
}

/** Where it stands, for SIGUSR1. */
function statusText(verification: Verification, list: JobList): string {
  const { at, active, waiting } = verification.status()
  const reading = active.map(
    ({ line, out, pid, startedAt }) =>
      `  line ${line} ${printable(out)}, pid ${pid ?? '?'}, for ${formatDuration(at - startedAt)}\n`,
  )
  return `verify: ${list.size - waiting} of ${list.size} looked at, ${active.length} being read\n${reading.join('')}`
}
