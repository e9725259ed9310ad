// A whole run over scripted children, in fake time. Knows nothing of what the children say.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { vi } from 'vitest'
import type { JobRow, RunEvent } from '../../src/core/event.ts'
import { freshReport, step, sumsUp } from '../../src/core/report.ts'
import { defaultSettings } from '../../src/defaults.ts'
import type { ChildMessage } from '../../src/protocol/message.ts'
import { runHeader } from '../../src/session.ts'
import { openJobList } from '../../src/supervisor/job-list.ts'
import { type RunParts, startRun } from '../../src/supervisor/run.ts'
import type { Settings } from '../../src/supervisor/settings.ts'
import type { World } from '../../src/supervisor/world.ts'
import type { Script } from '../fixtures/scripted-isolation.ts'
import { scriptedIsolation } from '../fixtures/scripted-isolation.ts'

export const NO_TOOLS = {
  setpriv: undefined,
  prlimit: undefined,
  flock: undefined,
  fallocate: undefined,
  maxDescriptors: undefined,
  hasPermissionModel: true,
}

/** Immediates and microtasks stay real: they carry the files' input and output. */
export function fakeTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
}

export function head(status: number, headers: [string, string][]): ChildMessage {
  return { type: 'head', status, headers, remoteAddress: '127.0.0.1', timings: {} }
}

/** Lets so much time pass, and then what is under way arrive. */
export async function advance(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms)
  await new Promise((resolve) => setImmediate(resolve))
}

/** The disk takes its own time, however much of ours passes meanwhile. */
const PATIENCE_MS = 30_000

/** Lets time pass in steps until `isReached`. */
export async function advanceUntil(isReached: () => boolean, stepMs: number): Promise<void> {
  for (const giveUpAtMs = Date.now() + PATIENCE_MS; !isReached(); ) {
    if (Date.now() > giveUpAtMs) throw new Error('it never came to pass')
    await advance(stepMs)
  }
}

/** Its clocks are those of fakeTime. */
export const fakeWorld: World = {
  nowMs: () => Math.round(1_800_000_000_000 + performance.now()),
  monotonicMs: () => performance.now(),
  random: () => 0.5,
}

/** Starts a run of `lines` below `dir`; the n-th child does what `scripts(n)` says. `parts`: real ones, if wanted. */
export async function run(
  dir: string,
  lines: readonly string[],
  scripts: (n: number) => Script,
  changes: Partial<Settings> = {},
  parts: Partial<Pick<RunParts, 'state' | 'hardening' | 'world'>> = {},
) {
  const listPath = join(dir, 'list.txt')
  writeFileSync(listPath, `${lines.join('\n')}\n`)
  const settings: Settings = {
    ...defaultSettings(),
    dir: join(dir, 'out'),
    stateDir: join(dir, 'state'),
    minDiskFreeBytes: 0,
    retryDelayMs: 10,
    ...changes,
  }
  const naming = { names: 'flat' as const, queryNames: false }
  const rules = { naming, onClash: 'fail' as const, keepGoing: true, foldCase: false, spoolDir: dir }
  const opened = await openJobList({ kind: 'file', path: listPath }, rules)
  if (!opened.ok) throw new Error('the list of the test is wrong')
  const { list } = opened
  const { isolation, children } = scriptedIsolation(scripts)
  const events: RunEvent[] = []
  const report = freshReport()
  const world = parts.world ?? fakeWorld
  const { controls, done } = startRun({
    settings,
    header: runHeader(settings, list, { listPath, argv: [], startedMs: world.nowMs() }),
    list,
    isolation,
    hardening: NO_TOOLS,
    state: { find: () => undefined, findNamed: () => undefined, remember: async () => {}, close: () => {} },
    world,
    emit: (event) => {
      events.push(event)
      step(report, event)
    },
    progressEveryMs: 1000,
    ...parts,
  })
  let isDone = false
  const finished = done.finally(() => {
    isDone = true
  })
  const untilDone = async () => {
    await advanceUntil(() => isDone, 50)
    await finished
  }
  const rows = () => events.flatMap((event): JobRow[] => (event.type === 'job-ended' ? [event.row] : []))
  const differences = () => (report.counts === null ? ['no end'] : sumsUp(report, report.counts))
  return { listPath, children, events, controls, untilDone, rows, report, differences }
}
