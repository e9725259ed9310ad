// Decides what SIGUSR1 prints: where the run stands at this moment. Knows nothing of signals or screens.

import type { Progress, Status } from '../core/event.ts'
import { OUTCOMES } from '../core/event.ts'
import { printable } from '../core/printable.ts'
import type { Report } from '../core/report.ts'
import { endedJobs } from '../core/report.ts'
import { formatBytes, formatDuration } from '../core/units.ts'

/** The status as lines: the run, its active jobs, and the hosts that are left in peace for now. */
export function statusLines(status: Status, report: Report): string[] {
  const { run, totals } = report
  const of = run === null ? '' : ` of ${run.list.jobs}`
  const sums = OUTCOMES.filter((outcome) => totals[outcome] > 0).map((outcome) => `${totals[outcome]} ${outcome}`)
  const since = run === null ? '' : ` after ${formatDuration(Math.max(0, status.at - run.started))}`
  return [
    `mpdl${run === null ? '' : ` ${printable(run.id)}`}${since}: ${endedJobs(report)}${of} done` +
      `${sums.length > 0 ? ` (${sums.join(', ')})` : ''}, ${status.active.length} active in ${status.slots} slots, ` +
      `${status.waiting} waiting, ${formatBytes(report.movedBytes)} in finished jobs`,
    ...status.active.map((progress) => `  ${activeText(progress, status.at)}`),
    ...status.pausedHosts.map(
      ({ host, until }) =>
        `  ${printable(host)} is left in peace for ${formatDuration(Math.max(0, until - status.at))}`,
    ),
  ]
}

function activeText(progress: Progress, at: number): string {
  const { line, phase, pid, segments, bytes, sizeBytes, attempt, startedAt, out } = progress
  const share = sizeBytes === null || sizeBytes === 0 ? '' : ` (${Math.floor((bytes / sizeBytes) * 100)}%)`
  const size = sizeBytes === null ? ' of unknown' : ` of ${formatBytes(sizeBytes)}${share}`
  const parts = [`line ${line} ${phase} ${formatBytes(bytes)}${size}`]
  if (segments > 1) parts.push(`${segments} children`)
  else if (pid !== null) parts.push(`pid ${pid}`)
  if (attempt > 1) parts.push(`attempt ${attempt}`)
  return `${parts.join(', ')}, for ${formatDuration(Math.max(0, at - startedAt))}: ${printable(out)}`
}
