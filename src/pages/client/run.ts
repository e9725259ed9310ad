// Puts a run on its page: its sums, its time line, its jobs. Each part is drawn in a file of its own.

import { OUTCOMES } from '../../core/event.ts'
import { printable } from '../../core/printable.ts'
import { formatDuration } from '../../core/units.ts'
import { counted, grouped } from '../../reporters/summary.ts'
import type { RunData } from '../run-data.ts'
import { byId, dataOf, el, facts } from './dom.ts'
import { bytes, moment } from './format.ts'
import { openJob } from './job-dialog.ts'
import { jobsTable } from './jobs-table.ts'
import { runLanes } from './run-lanes.ts'

const data = dataOf<RunData>()
const { run, totals, jobs, elapsed_ms: elapsedMs, moved_bytes: movedBytes } = data

const sums = OUTCOMES.filter((outcome) => totals[outcome] > 0).map(
  (outcome) => `${grouped(totals[outcome])} ${outcome}`,
)
const speed = elapsedMs === 0 ? '' : `, ${bytes((movedBytes / elapsedMs) * 1000)}/s`
byId('kicker').append(printable(run === null ? 'mpdl run' : `mpdl run ${run.id}: ${run.list.name}`))
byId('story').replaceChildren(sums.length === 0 ? 'No jobs' : `${grouped(data.jobs_ended)} = ${sums.join(' + ')}`)
byId('lead').append(
  `in ${formatDuration(elapsedMs)}, ${bytes(movedBytes)}${speed}, ${grouped(data.retries)} ${data.retries === 1 ? 'retry' : 'retries'}`,
)
byId('problems').append(...data.problems.map((problem) => el('li', {}, problem)))
byId('problems').hidden = data.problems.length === 0

const open = (job: RunData['jobs'][number]) => openJob(job, run?.id ?? 'last')
const hasAttempts = jobs.some(({ attempts }) => attempts.length > 0)
if (hasAttempts) byId('lanes').append(runLanes(jobs, elapsedMs, open))
byId('timeline').hidden = !hasAttempts
byId('table').append(jobsTable(data, open))

if (run !== null) {
  document.title = printable(`mpdl run ${run.id}`)
  byId('facts').append(
    ...facts([
      ['Mode', `${run.mode}, sandbox ${run.sandbox}`],
      ['Tries', `up to ${run.tries} for each job`],
      ['List', `${run.list.path ?? run.list.name}, ${counted(run.list.jobs, 'job')}`],
      ['Files in', run.dir],
      ['Command', run.argv.join(' ')],
      ['Exit code', String(data.exit_code)],
      ['When', `${moment(run.started)}, for ${formatDuration(elapsedMs)}`],
      ['Where', `${run.host}, mpdl ${run.version}, Node ${run.node}`],
    ]),
  )
}
