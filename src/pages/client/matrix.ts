// Draws the fault matrix: a staircase of what each mode survives, and behind every cell its kill timeline and its log.

import type {
  CompareMode,
  Comparison,
  FaultBand,
  FaultCell,
  FaultMatrix,
  FaultRow,
  KillMoment,
  ModeCost,
} from '../../compare/result.ts'
import { el, facts } from './dom.ts'
import { bytes, milliseconds, percent } from './format.ts'
import {
  CULPRITS,
  edgesOf,
  exitText,
  holds,
  killLine,
  MOMENTS,
  phaseOf,
  remarkOf,
  SIGNS,
  sentenceOf,
  verdictOf,
} from './verdict.ts'

const BANDS: Readonly<Record<FaultBand, readonly [title: string, note: string]>> = {
  polite: ['A polite failure', 'everybody holds'],
  javascript: ['JavaScript goes wrong', 'threads hold'],
  machine: ['The machine goes wrong', 'only processes hold'],
}

export const MODE_NOTES: Readonly<Record<CompareMode, string>> = {
  process: 'a fresh child process for every attempt',
  pool: 'a few child processes, shared',
  thread: 'a worker thread for every attempt',
  inline: 'all in one thread',
  sequential: 'inline, one after another',
}

const OPENED = '[aria-expanded="true"]'

/** `aria` roles are said aloud because narrow windows lay the table out as a grid, and browsers then forget them. */
export function matrix({ faults, costs }: Pick<Comparison, 'costs'> & { readonly faults: FaultMatrix }): HTMLElement {
  const { files, line, modes, rows } = faults
  const bands = Map.groupBy(rows, ({ band }) => band)
  const table = el(
    'table',
    { class: 'matrix', role: 'table' },
    el('caption', {}, `Files that arrived of ${files} when line ${line} goes wrong`),
    el(
      'thead',
      { role: 'rowgroup' },
      el(
        'tr',
        { role: 'row' },
        el('th', { role: 'columnheader' }, ''),
        ...modes.map((mode) =>
          el('th', { scope: 'col', role: 'columnheader' }, mode, el('small', {}, MODE_NOTES[mode])),
        ),
      ),
    ),
    ...[...bands].map(([band, some]) =>
      el(
        'tbody',
        { role: 'rowgroup' },
        bandRow(BANDS[band], faults, some[0]),
        ...some.map((row) => faultRow(row, rows, files, modes)),
      ),
    ),
    costs.length === 0 ? null : priceRows(costs, faults),
  )
  table.addEventListener('keydown', ({ key }) => {
    const opener = key === 'Escape' ? table.querySelector<HTMLElement>(OPENED) : null
    opener?.click()
    opener?.focus()
  })
  return el(
    'div',
    {},
    el(
      'ul',
      { class: 'legend', 'aria-label': 'Legend' },
      ...SIGNS.map(([sign, text]) => el('li', {}, el('b', {}, sign), text)),
    ),
    table,
  )
}

/** The frontier of the first row runs through the band's title, so that it is one line from top to bottom. */
function bandRow(
  [title, note]: readonly [string, string],
  { rows, files, modes }: FaultMatrix,
  first?: FaultRow,
): HTMLElement {
  return el(
    'tr',
    { class: 'band', role: 'row' },
    el('th', { scope: 'rowgroup', role: 'rowheader' }, title, el('small', {}, note)),
    ...modes.map((_, column) => {
      const isEdge = first !== undefined && edgesOf(rows, rows.indexOf(first), column, files).right
      return el('td', { class: isEdge ? 'edge-right' : null, role: 'cell' })
    }),
  )
}

function faultRow(row: FaultRow, rows: readonly FaultRow[], files: number, modes: readonly CompareMode[]): HTMLElement {
  const line = el(
    'tr',
    { class: 'fault', role: 'row' },
    el('th', { scope: 'row', role: 'rowheader' }, row.title),
    ...row.cells.map((cell, column) => {
      const edges = edgesOf(rows, rows.indexOf(row), column, files)
      const looks = [holds(cell, files) && 'holds', edges.right && 'edge-right', edges.below && 'edge-below']
      return el('td', { class: looks.filter(Boolean).join(' '), role: 'cell' }, button(cell, row.title, files))
    }),
  )
  const buttons = line.querySelectorAll('button')
  for (const [column, each] of [...buttons].entries()) {
    const cell = row.cells[column]
    if (cell !== undefined) each.addEventListener('click', () => toggle(line, each, cell, row, files, modes.length))
  }
  return line
}

function button(cell: FaultCell, title: string, files: number): HTMLElement {
  const label = `${sentenceOf(cell, title, files)}. Kill timeline`
  return el(
    'button',
    { class: 'cell', type: 'button', 'aria-expanded': 'false', 'aria-label': label },
    el('b', {}, verdictOf(cell, files)),
    el('small', {}, remarkOf(cell)),
  )
}

/** One cell is open at a time; what is open belongs to the row above it. */
function toggle(
  line: HTMLElement,
  opener: HTMLElement,
  cell: FaultCell,
  row: FaultRow,
  files: number,
  columns: number,
): void {
  const isOpen = opener.getAttribute('aria-expanded') === 'true'
  const table = line.closest('table')
  for (const other of table?.querySelectorAll(OPENED) ?? []) other.setAttribute('aria-expanded', 'false')
  for (const other of table?.querySelectorAll('.detail') ?? []) other.remove()
  if (isOpen) return
  opener.setAttribute('aria-expanded', 'true')
  const detail = el(
    'tr',
    { class: 'detail', role: 'row' },
    el('td', { colspan: columns + 1, role: 'cell' }, ...detailOf(cell, row, files)),
  )
  line.after(detail)
}

function detailOf(cell: FaultCell, row: FaultRow, files: number): HTMLElement[] {
  return [
    el('h4', {}, `${row.title}, ${cell.mode}`),
    el(
      'dl',
      { class: 'facts' },
      ...facts([
        ['Files', `${cell.files_first} of ${files} after the first attempt, ${cell.files_final} after retries`],
        ['The run', `${verdictOf(cell, files)} (${exitText(cell)})`],
        ['The culprit', CULPRITS[cell.culprit]],
        ['Noticed', cell.noticed_ms === null ? 'never' : `after ${milliseconds(cell.noticed_ms)}`],
        ['Left behind', leftText(cell)],
      ]),
    ),
    killTable(cell.kill_timeline),
    el('h4', {}, 'From the log of the run'),
    el(
      'pre',
      { tabindex: 0, 'aria-label': 'Log lines' },
      ...cell.log.flatMap((text, i) => (i === 0 ? [text] : [el('br'), text])),
    ),
  ]
}

function leftText({ left_behind: left }: FaultCell): string {
  return left.length === 0 ? 'no process' : left.map(({ pid, name }) => `${name} (pid ${pid})`).join(', ')
}

/** A table and not a chart: each bar stands beside the words and the number it draws. */
function killTable(moments: readonly KillMoment[]): HTMLElement {
  const startMs = moments[0]?.at_ms ?? 0
  const spanMs = Math.max(1, (moments.at(-1)?.at_ms ?? 0) - startMs)
  return el(
    'table',
    { class: 'moments' },
    el('caption', {}, 'Kill timeline'),
    el(
      'thead',
      {},
      el(
        'tr',
        {},
        el('th', { scope: 'col', class: 'number' }, 'at'),
        el('th', { scope: 'col' }, 'what happened'),
        el('th', { scope: 'col', class: 'number' }, 'and then'),
        el('th', { scope: 'col', class: 'drawn' }, `0 to ${milliseconds(spanMs)}`),
      ),
    ),
    el(
      'tbody',
      {},
      ...moments.map((moment, i) => {
        const next = moments[i + 1]
        return el(
          'tr',
          {},
          el('td', { class: 'number' }, milliseconds(moment.at_ms)),
          el('td', {}, el('strong', {}, MOMENTS[moment.what]), ' ', el('small', {}, moment.text)),
          ...(next === undefined ? [el('td'), el('td', { class: 'drawn' })] : stretch(moment, next, startMs, spanMs)),
        )
      }),
    ),
  )
}

function stretch(from: KillMoment, to: KillMoment, startMs: number, spanMs: number): HTMLElement[] {
  const bar = el('i')
  bar.style.marginLeft = `${((from.at_ms - startMs) / spanMs) * 99}%`
  bar.style.width = `${((to.at_ms - from.at_ms) / spanMs) * 99}%`
  return [
    el(
      'td',
      { class: 'number' },
      el('small', {}, phaseOf(from.what, to.what)),
      ` ${milliseconds(to.at_ms - from.at_ms)}`,
    ),
    el('td', { class: 'drawn' }, el('span', { class: 'track', 'aria-hidden': 'true' }, bar)),
  ]
}

type Price = readonly [title: string, of: (cost: ModeCost) => string]

const PRICES: readonly Price[] = [
  ['CPU beyond inline, per URL', (cost) => orDash(cost.isolation_cpu_ms_per_url, milliseconds)],
  ['the same, over a download’s time', (cost) => orDash(cost.isolation_share, percent)],
  ['start of one unit', (cost) => orDash(cost.unit_start_ms?.median, milliseconds)],
  ['memory at its peak', (cost) => orDash(cost.peak_pss_bytes?.median, bytes)],
]

/** A dash where nothing was measured or there is nothing to measure. */
export function orDash(value: number | null | undefined, format: (value: number) => string): string {
  return value === null || value === undefined ? '–' : format(value)
}

function priceRows(costs: readonly ModeCost[], faults: FaultMatrix): HTMLElement {
  return el(
    'tbody',
    { role: 'rowgroup' },
    bandRow(['Price per URL', 'what the isolation costs'], faults),
    ...PRICES.map(([title, of]) =>
      el(
        'tr',
        { class: 'fault price', role: 'row' },
        el('th', { scope: 'row', role: 'rowheader' }, title),
        ...faults.modes.map((mode) => {
          const cost = costs.find((each) => each.mode === mode)
          return el('td', { role: 'cell' }, cost === undefined ? '–' : of(cost))
        }),
      ),
    ),
  )
}

/** Paper cannot be clicked: every kill on a line of its own. */
export function killLines({ rows }: FaultMatrix): HTMLElement[] {
  return rows.flatMap(({ title, cells }) => [
    el('h3', {}, title),
    el(
      'ul',
      {},
      ...cells.map((cell) =>
        el('li', {}, `${cell.mode}: ${killLine(cell.kill_timeline)}; culprit ${CULPRITS[cell.culprit]}`),
      ),
    ),
  ])
}
