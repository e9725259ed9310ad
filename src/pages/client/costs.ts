// Draws what each mode costs: bars with their spread, the same as numbers, and an honest comparison of threads with
// processes, wherever either wins.

import * as Plot from '@observablehq/plot'
import type { FaultMatrix, ModeCost, Spread } from '../../compare/result.ts'
import { counted } from '../../reporters/summary.ts'
import { chart } from './chart.ts'
import { el } from './dom.ts'
import { bytes, milliseconds, plain, times } from './format.ts'
import { orDash } from './matrix.ts'
import { holds } from './verdict.ts'

interface Metric {
  readonly title: string
  readonly of: (cost: ModeCost) => Spread | null
  readonly format: (value: number) => string
}

const METRICS: readonly Metric[] = [
  { title: 'Wall time', of: (cost) => cost.wall_ms, format: milliseconds },
  { title: 'CPU time, whole tree', of: (cost) => cost.cpu_ms, format: milliseconds },
  { title: 'Memory, whole tree at its peak', of: (cost) => cost.peak_pss_bytes, format: bytes },
  { title: 'First byte', of: (cost) => cost.first_byte_ms, format: milliseconds },
  { title: 'Start of one unit', of: (cost) => cost.unit_start_ms, format: milliseconds },
]

/** No spread: it is a ratio of medians. */
const RATIO: Metric = {
  title: 'Time over that of sequential',
  of: ({ ratio_to_sequential: ratio }) => (ratio === null ? null : { median: ratio, min: ratio, max: ratio }),
  format: times,
}

export function costCharts(costs: readonly ModeCost[]): HTMLElement[] {
  return [...METRICS, RATIO]
    .filter(({ of }) => costs.some((cost) => of(cost) !== null))
    .map((metric) =>
      el(
        'div',
        {},
        el('h3', {}, metric.title),
        chart((widthPx) => costChart(costs, metric, widthPx)),
      ),
    )
}

interface Measured extends Spread {
  readonly mode: string
}

function costChart(costs: readonly ModeCost[], { title, of, format }: Metric, width: number): Element {
  const measured = costs.flatMap((cost): Measured[] => {
    const spread = of(cost)
    return spread === null ? [] : [{ mode: cost.mode, ...spread }]
  })
  const isSpread = measured.some(({ min, max }) => min !== max)
  const whiskers = { y: 'mode', stroke: 'var(--ink)', strokeWidth: 1.5 } as const
  return Plot.plot({
    width,
    height: costs.length * 27 + 8,
    marginLeft: 78,
    marginRight: 78,
    marginTop: 4,
    marginBottom: 4,
    ariaLabel: `${title}: ${measured.map(({ mode, median }) => `${mode} ${format(median)}`).join(', ')}`,
    x: { axis: null, domain: [0, Math.max(...measured.map(({ max }) => max), Number.MIN_VALUE)] },
    y: { label: null, domain: costs.map(({ mode }) => mode), tickSize: 0, padding: 0.35 },
    style: { fontSize: '13px' },
    marks: [
      Plot.ruleX([0], { stroke: 'var(--soft)' }),
      Plot.barX(measured, { y: 'mode', x: 'median', fill: 'var(--bar)' }),
      ...(isSpread
        ? [
            Plot.ruleY(measured, { ...whiskers, x1: 'min', x2: 'max' }),
            Plot.tickX(measured, { ...whiskers, x: 'min', insetTop: 4, insetBottom: 4 }),
            Plot.tickX(measured, { ...whiskers, x: 'max', insetTop: 4, insetBottom: 4 }),
          ]
        : [Plot.ruleX([1], { stroke: 'var(--ink)', strokeDasharray: '3 3' })]),
      Plot.text(measured, {
        y: 'mode',
        x: 'max',
        text: ({ median }: Measured) => format(median),
        textAnchor: 'start',
        dx: 6,
        fill: 'var(--ink)',
      }),
    ],
  })
}

const RATES: readonly Metric[] = [
  { title: 'Files per second', of: (cost) => cost.files_per_s, format: plain },
  { title: 'Bytes per second', of: (cost) => cost.bytes_per_s, format: bytes },
]

/** A column for each mode, as in the fault matrix: the median, and below it from the least to the most. */
export function costTable(costs: readonly ModeCost[], repeat: number): HTMLElement {
  const row = (title: string, cells: readonly Node[]) =>
    el('tr', {}, el('th', { scope: 'row' }, title), ...cells.map((cell) => el('td', { class: 'number' }, cell)))
  return el(
    'table',
    { class: 'figures' },
    el('caption', {}, `Medians of ${counted(repeat, 'run')}, and from the least to the most`),
    el(
      'thead',
      {},
      el('tr', {}, el('td'), ...costs.map(({ mode }) => el('th', { scope: 'col', class: 'number' }, mode))),
    ),
    el(
      'tbody',
      {},
      ...[...METRICS, ...RATES].map(({ title, of, format }) =>
        row(
          title,
          costs.map((cost) => spreadNode(of(cost), format)),
        ),
      ),
      row(
        RATIO.title,
        costs.map((cost) => el('span', {}, orDash(cost.ratio_to_sequential, times))),
      ),
    ),
  )
}

export function spreadNode(spread: Spread | null, format: (value: number) => string): HTMLElement {
  if (spread === null) return el('span', {}, '–')
  const { median, min, max } = spread
  return el('span', {}, format(median), min === max ? null : el('small', {}, `${format(min)} – ${format(max)}`))
}

/** Where threads win and where they lose, from the same numbers. Empty where one of both did not run. */
export function honestLists(costs: readonly ModeCost[], faults: FaultMatrix | null): HTMLElement[] {
  const [byThread, byProcess] = (['thread', 'process'] as const).map((mode) => costs.find((cost) => cost.mode === mode))
  const compared =
    byThread === undefined || byProcess === undefined
      ? []
      : METRICS.flatMap(({ title, of, format }) => {
          const [thread, process] = [of(byThread)?.median, of(byProcess)?.median]
          if (thread === undefined || process === undefined) return []
          const text = `${title}: ${format(thread)} against ${format(process)}, ${times(thread / process)}.`
          return [{ isWon: thread < process, text }]
        })
  const survived = faults === null ? [] : survivalTexts(faults)
  const list = (title: string, texts: readonly string[]) =>
    texts.length === 0
      ? []
      : [el('div', {}, el('h3', {}, title), el('ul', {}, ...texts.map((text) => el('li', {}, text))))]
  const lists = [
    ...list(
      'Where threads win over processes',
      compared.filter(({ isWon }) => isWon).map(({ text }) => text),
    ),
    ...list('Where they do not', [...compared.filter(({ isWon }) => !isWon).map(({ text }) => text), ...survived]),
  ]
  return lists.length === 0 ? [] : [el('div', { class: 'columns' }, ...lists)]
}

function survivalTexts({ rows, files, modes }: FaultMatrix): string[] {
  return modes
    .filter((mode) => mode === 'thread' || mode === 'process')
    .map((mode) => {
      const held = rows.filter(({ cells }) => cells.some((cell) => cell.mode === mode && holds(cell, files)))
      return `Of ${counted(rows.length, 'fault')} a run with ${mode} isolation survives ${held.length} with every file.`
    })
}
