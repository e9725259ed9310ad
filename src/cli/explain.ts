// mpdl explain: the timeline of one job.

import type { RunEvent } from '../core/event.ts'
import { explainLines, isAbout, titleLine } from '../reporters/explain.ts'
import { readEvents } from '../supervisor/past-runs.ts'
import { pastRun } from './past.ts'
import { writeOut } from './stdout.ts'
import { UsageError } from './usage-error.ts'

const JOB_ID = /^[0-9a-f]{16}$/

/** `words`: `LINE`, `JOB`, `RUN LINE` or `RUN JOB`. 1 when the run knows nothing of it. */
export async function explain(words: readonly string[], options: { logDir?: string }): Promise<number> {
  const what = words.at(-1) ?? ''
  if (words.length > 2 || !(JOB_ID.test(what) || /^\d{1,9}$/.test(what))) {
    throw new UsageError(
      `explain what? Give a line number of the list or a job id (16 hex digits), not ${words.join(' ')}`,
    )
  }
  const { path, run } = await pastRun(words.length === 2 ? (words[0] ?? '') : 'last', options.logDir)
  const line = JOB_ID.test(what) ? await lineOfJob(path, what) : Number(what)
  const about: RunEvent[] = []
  for await (const event of readEvents(path).events) {
    if (line !== undefined && isAbout(event, line)) about.push(event)
  }
  const title = line === undefined || about.length === 0 ? [] : [titleLine(run, line)]
  await writeOut(`${[...title, ...explainLines(about)].join('\n')}\n`)
  return about.length > 0 ? 0 : 1
}

async function lineOfJob(path: string, id: string): Promise<number | undefined> {
  for await (const event of readEvents(path).events) {
    if (event.type === 'job-started' && event.id === id) return event.line
    if (event.type === 'job-ended' && event.row.id === id) return event.row.line
  }
  return undefined
}
