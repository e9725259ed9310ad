// A run from its start to its end, and whether every byte is there. Knows nothing of rounds.

import type { Once, Turn } from './rounds.ts'
import { commandOf, differenceIn, type Setting, toolEnvironment } from './setting.ts'
import { timedRun } from './timed-run.ts'

export async function wholeRun(
  { subject, prepared, places, watchesMemory }: Turn,
  { root, signal }: Setting,
): Promise<Once> {
  const { measured, peakPssBytes, failure } = await timedRun({
    command: commandOf(subject.command, prepared, places),
    env: toolEnvironment(places),
    sayingsPath: places.sayings,
    watchesMemory,
    signal,
  })
  const wrong = failure ?? (subject.bringsFiles ? differenceIn(places.out, prepared, root) : undefined)
  return { measured, peakPssBytes, wrong }
}
