// mpdl report: renders a past run again from its log.

import { freshReport, step, sumsUp } from '../core/report.ts'
import { readEvents } from '../supervisor/past-runs.ts'
import { exitCode } from './exit-code.ts'
import { pastRun } from './past.ts'
import { type ReportFormat, writeReport } from './render.ts'
import { writeOut } from './stdout.ts'

/** 0 when that run was fine, 1 when it was not or has no end. */
export async function report(wanted: string, options: { format: ReportFormat; logDir?: string }): Promise<number> {
  const { path } = await pastRun(wanted, options.logDir)
  const summed = freshReport()
  for await (const event of readEvents(path).events) step(summed, event)
  const code = exitCode(summed, summed.counts === null ? ['the log has no end'] : sumsUp(summed, summed.counts))
  const again = readEvents(path).events
  await writeReport(options.format, again, summed, writeOut, code)
  return code === 0 ? 0 : 1
}
