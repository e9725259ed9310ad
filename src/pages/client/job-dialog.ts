// Shows one job: what came of it, and its attempts in order. Knows nothing of the other jobs.

import { counted, grouped } from '../../reporters/summary.ts'
import type { PageAttempt, PageJob } from '../run-data.ts'
import { byId, el, facts, wide } from './dom.ts'
import { bytes, milliseconds, unbroken } from './format.ts'
import { OUTCOME_SIGNS } from './outcomes.ts'

export function openJob(job: PageJob, runId: string): void {
  const dialog = byId('job', HTMLDialogElement)
  const title = job.out === '' ? counted(job.jobs, 'job') : job.out
  dialog.replaceChildren(
    el('form', { method: 'dialog' }, el('button', {}, 'Close')),
    el('h3', { id: 'job-title' }, title),
    el(
      'dl',
      {},
      ...facts([
        ['Outcome', `${OUTCOME_SIGNS[job.outcome]} ${job.outcome}${job.reason === null ? '' : `: ${job.reason}`}`],
        ['In the list', job.lines],
        ...(job.url === '' ? [] : ([['URL', job.url]] as const)),
        ...(job.http_code === null ? [] : ([['HTTP status', String(job.http_code)]] as const)),
        ...(job.attempts.length === 0 ? [] : ([['Bytes', bytesText(job)]] as const)),
        ...job.warnings.map((warning) => ['Warning', warning] as const),
      ]),
    ),
    ...(job.attempts.length === 0 ? [] : [wide('Attempts', attemptTable(job.attempts))]),
    el('p', {}, 'Every event of it: ', el('code', {}, `mpdl explain ${runId} ${job.line}`)),
  )
  dialog.showModal()
}

function bytesText({ moved_bytes: moved, size_bytes: size, kept_bytes: kept }: PageJob): string {
  const parts = [`${bytes(moved)} moved`]
  if (size !== null) parts.push(`the file has ${grouped(size)} bytes`)
  if (kept > 0) parts.push(`${bytes(kept)} kept for the next run`)
  return parts.join(', ')
}

const HEADS = ['Attempt', 'By', 'Began', 'Took', 'Bytes', 'What happened']

function attemptTable(attempts: readonly PageAttempt[]): HTMLElement {
  return el(
    'table',
    { class: 'figures' },
    el('caption', {}, 'Attempts; times since the run began'),
    el('thead', {}, el('tr', {}, ...HEADS.map((head) => el('th', { scope: 'col' }, head)))),
    el(
      'tbody',
      {},
      ...attempts.map((attempt) =>
        el(
          'tr',
          {},
          el('td', {}, attempt.task === 'hash' ? 'check' : attempt.n),
          el('td', {}, unbroken(attempt.unit)),
          el('td', { class: 'number' }, milliseconds(attempt.from_ms)),
          el('td', { class: 'number' }, milliseconds(attempt.to_ms - attempt.from_ms)),
          el('td', { class: 'number' }, bytes(attempt.bytes)),
          el('td', {}, `${attempt.result}${attempt.sentence === null ? '' : `: ${attempt.sentence}`}`),
        ),
      ),
    ),
  )
}
