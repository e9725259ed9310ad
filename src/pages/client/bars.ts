// Decides how attempts look when they are drawn over time, and what the signs mean. Knows nothing of pages.

import * as Plot from '@observablehq/plot'
import { el, svg } from './dom.ts'
import type { Bar, Look } from './lanes.ts'

interface Style {
  readonly fill: string
  /** Told apart without colour: by pattern and by sign. */
  readonly sign: string
  readonly text: string
}

export const LOOKS: Readonly<Record<Look, Style>> = {
  done: { fill: 'var(--bar)', sign: '', text: 'done' },
  unchanged: { fill: 'url(#dots)', sign: '', text: 'not changed' },
  failed: { fill: 'var(--paper)', sign: '✗', text: 'failed' },
  killed: { fill: 'url(#hatch)', sign: '⊘', text: 'ended by mpdl' },
  crashed: { fill: 'url(#cross)', sign: '†', text: 'crashed' },
}
const RETRY_SIGN = '↻'

/** More signs than these would cover each other; the patterns remain. */
const MOST_SIGNS = 300

/** The marks of a plot whose `y` are lanes and whose `x` are ms; `pixelMs` is the time that a pixel stands for. */
export function barMarks(bars: readonly Bar[], pixelMs: number): Plot.Markish[] {
  const looks = Map.groupBy(bars, ({ look }) => look)
  const starting = bars.filter(({ from_ms, ready_ms }) => ready_ms > from_ms)
  const signed = bars.filter(({ look, isRetry }) => isRetry || LOOKS[look].sign !== '')
  const place = { y: 'lane', insetTop: 1, insetBottom: 1, clip: true } as const
  return [
    ...[...looks].map(([look, some]) =>
      Plot.barX(some, {
        ...place,
        x1: 'from_ms',
        // What matters is seen however short it was.
        x2: ({ from_ms, to_ms }: Bar) => Math.max(to_ms, from_ms + pixelMs * (look === 'done' ? 0.5 : 3)),
        fill: LOOKS[look].fill,
        stroke: look === 'done' ? null : 'var(--ink)',
        strokeWidth: 0.75,
      }),
    ),
    Plot.barX(starting, {
      ...place,
      x1: 'from_ms',
      x2: ({ ready_ms, to_ms }: Bar) => Math.min(ready_ms, to_ms),
      fill: 'var(--paper)',
      stroke: 'var(--bar)',
      strokeWidth: 1,
    }),
    // Where bars are too many for signs, a line at its beginning still marks a retry.
    Plot.tickX(
      bars.filter(({ isRetry }) => isRetry),
      { x: 'from_ms', y: 'lane', stroke: 'var(--ink)', strokeWidth: 1.5, clip: true },
    ),
    Plot.text(signed.length > MOST_SIGNS ? [] : signed, {
      x: 'from_ms',
      y: 'lane',
      text: ({ look, isRetry }: Bar) => (isRetry ? RETRY_SIGN : '') + LOOKS[look].sign,
      textAnchor: 'start',
      dx: 1,
      clip: true,
      fontSize: 11,
      fontWeight: 'bold',
      fill: 'var(--ink)',
      stroke: 'var(--paper)',
      strokeWidth: 3,
    }),
    Plot.tip(
      bars,
      Plot.pointer({ x1: 'from_ms', x2: 'to_ms', y: 'lane', title: 'text', maxRadius: 12, fill: 'var(--paper)' }),
    ),
  ]
}

/** What the bars mean, those that occur. */
export function barLegend(bars: readonly Bar[]): HTMLElement {
  const looks = new Set<string>(bars.map(({ look }) => look))
  return el(
    'ul',
    { class: 'legend', 'aria-label': 'Legend' },
    bars.some(({ from_ms, ready_ms }) => ready_ms > from_ms) ? entry('var(--paper)', '', 'starting') : null,
    ...Object.entries(LOOKS)
      .filter(([look]) => looks.has(look))
      .map(([, { fill, sign, text }]) => entry(fill, sign, text)),
    bars.some(({ isRetry }) => isRetry)
      ? el('li', {}, el('b', {}, `▏${RETRY_SIGN}`), 'another attempt at the same job')
      : null,
  )
}

function entry(fill: string, sign: string, text: string): HTMLElement {
  const box = svg('svg', { width: 26, height: 12, 'aria-hidden': 'true' })
  box.append(
    svg('rect', { x: 0.5, y: 0.5, width: 25, height: 11, fill, stroke: sign === '' ? 'var(--bar)' : 'var(--ink)' }),
  )
  return el('li', {}, box, sign === '' ? null : el('b', {}, sign), text)
}
