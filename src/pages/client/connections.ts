// Draws one file that came over several connections: how long it took, and which of its bytes were there before and
// after a kill.

import * as Plot from '@observablehq/plot'
import type { ConnectionsResult, SegmentMap } from '../../compare/result.ts'
import { chart } from './chart.ts'
import { spreadNode } from './costs.ts'
import { el } from './dom.ts'
import { bytes, milliseconds, percent } from './format.ts'

const HEADS = ['Connections', 'Limit of each', 'Time', 'Speed']

export function connectionTable({ rows, size_bytes }: ConnectionsResult): HTMLElement {
  return el(
    'table',
    { class: 'figures' },
    el('caption', {}, `A file of ${bytes(size_bytes)}: medians, and from the least to the most`),
    el('thead', {}, el('tr', {}, ...HEADS.map((head) => el('th', { scope: 'col', class: 'number' }, head)))),
    el(
      'tbody',
      {},
      ...rows.map(({ connections, limit_bytes_per_s: limit, wall_ms, bytes_per_s }) =>
        el(
          'tr',
          {},
          el('th', { scope: 'row', class: 'number' }, connections),
          el('td', { class: 'number' }, limit === null ? 'none' : `${bytes(limit)}/s`),
          el('td', { class: 'number' }, spreadNode(wall_ms, milliseconds)),
          el('td', { class: 'number' }, `${bytes(bytes_per_s)}/s`),
        ),
      ),
    ),
  )
}

const sumOf = ({ ranges }: SegmentMap) => ranges.reduce((sum, [from, to]) => sum + to - from, 0)

/** Positions that are powers of two apart: bytes are counted so. */
function roundBytes(most: number, count: number): number[] {
  const step = 2 ** Math.ceil(Math.log2(Math.max(1, most / count)))
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step)
}

export function segmentMaps(maps: readonly SegmentMap[]): HTMLElement {
  const labelOf = (map: SegmentMap) =>
    `${map.label}: ${bytes(sumOf(map))}, ${percent(map.size_bytes === 0 ? 1 : sumOf(map) / map.size_bytes)}`
  const pieces = maps.flatMap((map) => map.ranges.map(([from, to]) => ({ label: labelOf(map), from, to })))
  const wholes = maps.map((map) => ({ label: labelOf(map), to: map.size_bytes }))
  const most = Math.max(...wholes.map(({ to }) => to))
  return chart((width) =>
    Plot.plot({
      width,
      height: maps.length * 58 + 36,
      marginLeft: 12,
      marginRight: 36,
      marginTop: 12,
      marginBottom: 32,
      ariaLabel: `Bytes that were there. ${maps.map(labelOf).join('; ')}`,
      style: { fontSize: '13px' },
      x: { domain: [0, most], label: null, tickFormat: bytes, ticks: roundBytes(most, width / 120) },
      y: { domain: maps.map(labelOf), axis: null, padding: 0.5 },
      marks: [
        Plot.barX(wholes, { y: 'label', x: 'to', fill: 'url(#hatch)', stroke: 'var(--soft)' }),
        Plot.barX(pieces, { y: 'label', x1: 'from', x2: 'to', fill: 'var(--bar)' }),
        Plot.text(wholes, { y: 'label', x: 0, text: 'label', textAnchor: 'start', lineAnchor: 'bottom', dy: -18 }),
      ],
    }),
  )
}
