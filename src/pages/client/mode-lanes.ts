// Draws the slots of every mode below each other on one axis of time, so that one sees at a glance what working at once
// saves.

import * as Plot from '@observablehq/plot'
import type { CompareMode, LaneBar, ModeCost } from '../../compare/result.ts'
import { COMPARE_MODES } from '../../compare/result.ts'
import { printable } from '../../core/printable.ts'
import { barLegend, barMarks } from './bars.ts'
import { chart } from './chart.ts'
import { el } from './dom.ts'
import { milliseconds } from './format.ts'
import { type Bar, condensed } from './lanes.ts'

const laneName = (mode: CompareMode, lane: number) => `${mode} ${lane}`

/** One after another above, the strongest isolation below. */
const ORDER = COMPARE_MODES.toReversed()

export function modeLanes(costs: readonly ModeCost[]): HTMLElement {
  const shown = ORDER.flatMap((mode) => costs.filter((cost) => cost.mode === mode && cost.lanes.length > 0))
  const bars = shown.flatMap(({ mode, lanes }) => lanes.map((bar) => barOf(mode, bar)))
  bars.sort((a, b) => a.from_ms - b.from_ms)
  const endMs = lastOf(bars)
  const groups = shown.map(({ mode, lanes }) => {
    const count = 1 + lanes.reduce((most, { lane }) => Math.max(most, lane), 0)
    const names = Array.from({ length: count }, (_, lane) => laneName(mode, lane))
    return { mode, names, middle: names[(count - 1) >> 1], endMs: lastOf(lanes) }
  })
  // A lane without bars keeps two modes apart.
  const domain = groups.flatMap(({ mode, names }) => [...names, mode])
  return el(
    'div',
    {},
    barLegend(bars),
    chart((width) => {
      const marginLeft = 82
      const marginRight = 84
      const pixelMs = endMs / Math.max(1, width - marginLeft - marginRight)
      return Plot.plot({
        width,
        height: domain.length * (domain.length <= 64 ? 11 : 5) + 40,
        marginLeft,
        marginRight,
        marginTop: 4,
        marginBottom: 36,
        ariaLabel: `Downloads in their slots; ${groups.map((group) => `${group.mode} ends after ${milliseconds(group.endMs)}`).join(', ')}`,
        style: { fontSize: '13px' },
        x: {
          domain: [0, endMs],
          label: 'since the run began',
          tickFormat: milliseconds,
          ticks: Math.max(2, Math.floor(width / 140)),
          grid: true,
        },
        y: { domain, axis: null, padding: 0 },
        marks: [
          Plot.text(groups, { y: 'middle', text: 'mode', frameAnchor: 'left', textAnchor: 'end', dx: -8 }),
          ...barMarks(condensed(bars, pixelMs), pixelMs),
          Plot.text(groups, {
            y: 'middle',
            x: 'endMs',
            text: (group: (typeof groups)[number]) => milliseconds(group.endMs),
            textAnchor: 'start',
            dx: 6,
            fontWeight: 'bold',
          }),
        ],
      })
    }),
  )
}

const lastOf = (spans: readonly { readonly to_ms: number }[]) =>
  spans.reduce((most, { to_ms }) => Math.max(most, to_ms), 1)

function barOf(mode: CompareMode, bar: LaneBar): Bar {
  return {
    lane: laneName(mode, bar.lane),
    from_ms: bar.from_ms,
    ready_ms: bar.ready_ms,
    to_ms: bar.to_ms,
    look: bar.result,
    isRetry: bar.is_retry,
    text: `line ${bar.line}, ${printable(bar.name)}\n${milliseconds(bar.from_ms)} to ${milliseconds(bar.to_ms)}`,
    count: 1,
  }
}
