// Decides the shape of the text report: the summary, then every job on a line of its own, written as it is read. Knows
// nothing of files.

import type { RunEvent } from '../core/event.ts'
import type { Report } from '../core/report.ts'
import { rememberSignals } from '../core/report.ts'
import type { WriteChunk } from './json.ts'
import { chunked } from './json.ts'
import { bulkLine, rowLine, summaryLines } from './summary.ts'

/** Writes the report of a run for people: `report` is what `events` add up to. */
export async function writeTextReport(
  events: AsyncIterable<RunEvent>,
  report: Report,
  write: WriteChunk,
): Promise<void> {
  const out = chunked(write)
  const signals = new Map<number, string[]>()
  await out.add(`${summaryLines(report).join('\n')}\n\n`)
  for await (const event of events) {
    const sent = rememberSignals(signals, event)
    if (event.type === 'job-ended') {
      const full = out.add(`${rowLine(event.row, report.run?.tries, sent)}\n`)
      if (full !== undefined) await full
    } else if (event.type === 'jobs-ended') {
      await out.add(`${bulkLine(event)}\n`)
    }
  }
  await out.flush()
}
