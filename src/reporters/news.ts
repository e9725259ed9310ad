// Decides what a run says of its list that the run before it did not: the first line is the whole story. Knows nothing
// of terminals or files.

import type { News } from '../core/news.ts'
import type { Report } from '../core/report.ts'
import {
  causeTexts,
  clipped,
  counted,
  doubtLines,
  doubtTexts,
  failedJobs,
  grouped,
  mailable,
  notStartedLines,
  type SummaryOptions,
  sayer,
  stopTexts,
  sumsText,
  troubleLines,
  urlText,
  warningLines,
  wholeOf,
} from './summary.ts'

const MAX_LINES = 30
/** How many of them each may have at most; the new failures get what is left, eight at least. */
const MAX_DOUBTS = 2
const MAX_NOT_STARTED = 2
const MAX_WARNING_LINES = 3
/** Where there is nothing else to tell. */
const MAX_WARNINGS = 9
const MAX_AGAIN = 7
const MAX_RECOVERED = 3

/** At most thirty lines; none where nothing is new. */
export function newsLines(report: Report, news: News, { whole }: Pick<SummaryOptions, 'whole'> = {}): string[] {
  const first = headline(report, news)
  if (first === undefined) return []
  const say = sayer()
  const again = troubleLines(news.again, { room: MAX_AGAIN })
  const command = wholeOf(report, whole)
  const isQuiet = failedJobs(news.fresh) === 0 && again.length === 0
  const warnings = warningLines(news.fresh, say, '', isQuiet ? MAX_WARNINGS : undefined)
  const before = clipped(doubtLines(report, say), MAX_DOUBTS)
  const after = [
    ...(news.fresh.stops.length > 0 ? clipped(notStartedLines(report, say), MAX_NOT_STARTED) : []),
    ...clipped(warnings, isQuiet ? 2 * MAX_WARNINGS : MAX_WARNING_LINES),
    ...(again.length > 0 ? ['still failing (said once a week):', ...again] : []),
    ...recoveredLines(news),
    ...(command === null ? [] : [`the whole report: ${command}`]),
  ]
  const room = MAX_LINES - 1 - before.length - after.length
  return [first, ...before, ...troubleLines(news.fresh, { room }), ...after].map(mailable)
}

/** `mpdl: 2 newly failing (HTTP 404 at example.com), 1 recovered, 5 still failing: 100 = …`; none where nothing is new. */
function headline(report: Report, { fresh, again, stillFailing, recovered }: News): string | undefined {
  const [failing, due] = [failedJobs(fresh), failedJobs(again)]
  const news = [
    ...doubtTexts(report),
    ...stopTexts(fresh),
    ...stopTexts(again).map((text) => `again ${text}`),
    ...(failing > 0 ? [`${failing} newly failing (${causeTexts(fresh).join(', ')})`] : []),
    ...(recovered.count > 0 ? [`${recovered.count} recovered`] : []),
    ...(fresh.warningCount > 0 ? [counted(fresh.warningCount, 'warning')] : []),
  ]
  if (news.length === 0 && due === 0) return undefined
  const oldCauses = due === stillFailing ? ` (${causeTexts(again).join(', ')})` : ''
  // What is known by now is no reason to speak, but whoever does tells the whole story.
  const known = fresh.stops.length + again.stops.length === 0 ? stopTexts(report).map((text) => `again ${text}`) : []
  const old = stillFailing > 0 ? [`${stillFailing} still failing${oldCauses}`] : []
  return `mpdl: ${[...news, ...old, ...known].join(', ')}: ${sumsText(report)}`
}

function recoveredLines({ recovered: { count, samples } }: News): string[] {
  const shown = samples.slice(0, MAX_RECOVERED).sort((a, b) => a.line - b.line)
  const more = count - shown.length
  return [
    ...(count > 0 ? ['recovered:'] : []),
    ...shown.map(({ line, url }) => `line ${line} ${urlText(url)}`),
    ...(more > 0 ? [`and ${grouped(more)} more`] : []),
  ]
}
