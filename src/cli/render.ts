// Decides which room renders a run in which format. Knows nothing of where the text goes.

import { readFile } from 'node:fs/promises'
import { dirname, extname, join } from 'node:path'
import type { RunEvent } from '../core/event.ts'
import type { Report } from '../core/report.ts'
import { writeRunPage } from '../pages/run.ts'
import type { WriteChunk } from '../reporters/json.ts'
import { writeJsonReport } from '../reporters/json.ts'
import { writeTextReport } from '../reporters/text.ts'
import { bundle } from '../session.ts'

export type ReportFormat = 'text' | 'json' | 'html'

const FORMAT_OF_SUFFIX: Readonly<Record<string, ReportFormat>> = { '.txt': 'text', '.json': 'json', '.html': 'html' }

/** Of a path that `reportPath` let through. */
export function formatOf(path: string): ReportFormat {
  return FORMAT_OF_SUFFIX[extname(path)] ?? 'text'
}

/** A built page without its data; they lie beside the other bundles. */
export async function pageTemplate(name: 'run' | 'compare'): Promise<string> {
  return await readFile(join(dirname(bundle('child.cjs')), `${name}-page.html`), 'utf8')
}

/** `events` from the run's start to its end, `report` what they add up to. */
export async function writeReport(
  format: ReportFormat,
  events: AsyncIterable<RunEvent>,
  report: Report,
  write: WriteChunk,
  exitCode: number,
): Promise<void> {
  switch (format) {
    case 'text':
      return await writeTextReport(events, report, write)
    case 'json':
      return await writeJsonReport(events, report, write, exitCode)
    case 'html':
      return await writeRunPage({ events, report, exitCode, template: await pageTemplate('run') }, write)
  }
}
