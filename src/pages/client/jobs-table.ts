// Draws the table of jobs: sorts, filters, and keeps only the rows in the document that can be seen, so that thousands
// of them scroll like ten.

import type { Outcome } from '../../core/event.ts'
import { OUTCOMES } from '../../core/event.ts'
import { isUnfinished } from '../../core/report.ts'
import { counted, grouped } from '../../reporters/summary.ts'
import type { PageJob, RunData } from '../run-data.ts'
import { byId, el } from './dom.ts'
import { bytes, milliseconds } from './format.ts'
import { OUTCOME_SIGNS } from './outcomes.ts'

interface Column {
  readonly name: string
  readonly title: string
  readonly isNumber: boolean
  readonly key: (job: PageJob) => number | string
}

const BY_LINE: Column = { name: 'line', title: 'Line', isNumber: true, key: ({ line }) => line }
const COLUMNS: readonly Column[] = [
  BY_LINE,
  { name: 'outcome', title: 'Outcome', isNumber: false, key: ({ outcome }) => OUTCOMES.indexOf(outcome) },
  { name: 'file', title: 'File', isNumber: false, key: ({ out }) => out },
  { name: 'size', title: 'Size', isNumber: true, key: (job) => job.size_bytes ?? job.moved_bytes },
  { name: 'time', title: 'Time', isNumber: true, key: ({ total_ms }) => total_ms },
  { name: 'tries', title: 'Tries', isNumber: true, key: triesOf },
  { name: 'reason', title: 'What happened', isNumber: false, key: ({ reason }) => reason ?? '' },
]

/** Of `tbody tr` in the style sheet: 2.25 rem. */
const ROW_REM = 2.25
/** Rows above and below what is seen, so that scrolling meets no gap. */
const SPARE_ROWS = 10
const MOST_ON_PAPER = 500

function triesOf({ attempts }: PageJob): number {
  return attempts.reduce((most, { n, task }) => (task === 'fetch' ? Math.max(most, n) : most), 0)
}

/** `open` is called with the job of a row that was chosen. */
export function jobsTable(data: RunData, open: (job: PageJob) => void): HTMLElement {
  const texts = new Map(data.jobs.map((job) => [job, `${job.out}\n${job.url}\n${job.reason ?? ''}`.toLowerCase()]))
  const search = byId('search', HTMLInputElement)
  let wanted: Outcome | null = null
  let sorting = { column: BY_LINE, isDown: false }
  let shown: readonly PageJob[] = data.jobs
  const paper = matchMedia('print')

  const body = el('tbody')
  const heads = COLUMNS.map((column) => headOf(column, () => sortBy(column)))
  const table = el(
    'table',
    { 'aria-rowcount': data.jobs.length + 1 },
    el('caption', {}, 'The jobs of this run'),
    el('colgroup', {}, ...COLUMNS.map(({ name }) => el('col', { class: name }))),
    el('thead', {}, el('tr', { 'aria-rowindex': 1 }, ...heads)),
    body,
  )
  const scroller = el('div', { class: 'jobs', tabindex: 0, role: 'region', 'aria-label': 'Jobs, scrollable' }, table)
  const rowPx = ROW_REM * Number.parseFloat(getComputedStyle(document.documentElement).fontSize)

  function drawRows(): void {
    if (paper.matches) return drawOnPaper()
    const first = Math.max(0, Math.floor(scroller.scrollTop / rowPx) - SPARE_ROWS)
    const last = Math.min(shown.length, first + Math.ceil(scroller.clientHeight / rowPx) + 2 * SPARE_ROWS)
    const focused = document.activeElement?.closest('tr')?.getAttribute('aria-rowindex')
    body.replaceChildren(
      space(first * rowPx),
      ...shown.slice(first, last).map((job, i) => rowOf(job, first + i, open)),
      space((shown.length - last) * rowPx),
    )
    // Whoever reads by keyboard stays where they are while rows come and go.
    if (focused) body.querySelector<HTMLElement>(`[aria-rowindex="${focused}"] button`)?.focus({ preventScroll: true })
  }

  function drawOnPaper(): void {
    const bad = shown.filter(({ outcome }) => isUnfinished(outcome))
    const rows = (shown.length <= MOST_ON_PAPER ? shown : bad).slice(0, MOST_ON_PAPER)
    const left = shown.length - rows.length
    const note = el('td', { colspan: COLUMNS.length }, `${counted(left, 'more row')} not printed; mpdl report has all.`)
    body.replaceChildren(...rows.map((job, i) => rowOf(job, i, open)), ...(left > 0 ? [el('tr', {}, note)] : []))
  }

  function select(): void {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean)
    const { column, isDown } = sorting
    const sign = isDown ? -1 : 1
    shown = data.jobs
      .filter((job) => wanted === null || job.outcome === wanted)
      .filter((job) => words.every((word) => texts.get(job)?.includes(word)))
      .sort((a, b) => sign * compare(column.key(a), column.key(b)) || a.line - b.line)
    for (const [i, head] of heads.entries()) {
      const isSorted = COLUMNS[i] === column
      head.setAttribute('aria-sort', isSorted ? (isDown ? 'descending' : 'ascending') : 'none')
    }
    table.setAttribute('aria-rowcount', String(shown.length + 1))
    const jobs = shown.reduce((sum, job) => sum + job.jobs, 0)
    byId('count').textContent = `${grouped(jobs)} of ${counted(data.jobs_ended, 'job')}${leftOutText(data)}`
    scroller.scrollTop = 0
    drawRows()
  }

  function sortBy(column: Column): void {
    sorting = { column, isDown: sorting.column === column && !sorting.isDown }
    select()
  }

  search.addEventListener('input', select)
  byId('outcomes').append(
    outcomeChips(data, (outcome) => {
      wanted = outcome
      select()
    }),
  )
  scroller.addEventListener('scroll', drawRows, { passive: true })
  new ResizeObserver(drawRows).observe(scroller)
  paper.addEventListener('change', drawRows)
  select()
  return scroller
}

function compare(a: number | string, b: number | string): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  return a < b ? -1 : a > b ? 1 : 0
}

function leftOutText({ left_out }: RunData): string {
  return left_out === 0 ? '' : `; ${grouped(left_out)} that are not on this page are in mpdl report --format json`
}

function headOf({ name, title, isNumber }: Column, sort: () => void): HTMLElement {
  const button = el('button', { type: 'button' }, title)
  button.addEventListener('click', sort)
  return el('th', { scope: 'col', class: isNumber ? `${name} number` : name }, button)
}

function space(heightPx: number): HTMLElement {
  const row = el('tr', { class: 'space', 'aria-hidden': 'true' }, el('td'))
  row.style.height = `${heightPx}px`
  return row
}

function rowOf(job: PageJob, index: number, open: (job: PageJob) => void): HTMLElement {
  const name = el(
    'button',
    { type: 'button', title: job.url },
    job.out === '' ? `${counted(job.jobs, 'job')}, ${job.lines}` : job.out,
  )
  name.addEventListener('click', () => open(job))
  const size = job.size_bytes ?? job.moved_bytes
  const cells: readonly (Node | string)[] = [
    grouped(job.line),
    outcomeNode(job.outcome),
    name,
    size === 0 ? '–' : bytes(size),
    job.attempts.length === 0 ? '–' : milliseconds(job.total_ms),
    job.attempts.length === 0 ? '–' : String(triesOf(job)),
    job.reason ?? job.warnings[0] ?? '',
  ]
  return el(
    'tr',
    { 'aria-rowindex': index + 2 },
    ...COLUMNS.map(({ name: column, isNumber }, i) => {
      const isBad = column === 'outcome' && isUnfinished(job.outcome)
      return el('td', { class: `${column}${isNumber ? ' number' : ''}${isBad ? ' bad' : ''}` }, cells[i] ?? '')
    }),
  )
}

function outcomeNode(outcome: Outcome): HTMLElement {
  return el('span', {}, el('span', { class: 'glyph', 'aria-hidden': 'true' }, OUTCOME_SIGNS[outcome]), ` ${outcome}`)
}

/** One for all, then one for every outcome that occurs, with how many it has. */
function outcomeChips({ totals, jobs_ended }: RunData, choose: (outcome: Outcome | null) => void): HTMLElement {
  const choices: readonly (readonly [Outcome | null, string])[] = [
    [null, `All ${grouped(jobs_ended)}`],
    ...OUTCOMES.filter((outcome) => totals[outcome] > 0).map(
      (outcome) => [outcome, `${OUTCOME_SIGNS[outcome]} ${outcome} ${grouped(totals[outcome])}`] as const,
    ),
  ]
  const chips = choices.map(([outcome, text], i) => {
    const chip = el('button', { type: 'button', 'aria-pressed': String(i === 0) }, text)
    chip.addEventListener('click', () => {
      for (const other of chips) other.setAttribute('aria-pressed', String(other === chip))
      choose(outcome)
    })
    return chip
  })
  return el('div', { class: 'chips', role: 'group', 'aria-label': 'Outcomes' }, ...chips)
}
