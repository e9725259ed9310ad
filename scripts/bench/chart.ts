// Draws curves as SVG. Knows nothing of what they show.

import { escapeHtml } from './escape-html.ts'
import type { Chart, Curve } from './table.ts'

const WIDTH = 640
const HEIGHT = 300
const EDGE = { left: 56, right: 110, top: 24, bottom: 40 }
const RIGHT = WIDTH - EDGE.right
const BOTTOM = HEIGHT - EDGE.bottom
const COLORS = ['#d62728', '#1f77b4', '#2ca02c', '#ff7f0e', '#9467bd', '#8c564b', '#17becf']

interface Axis {
  readonly ticks: readonly number[]
  /** From 0 to 1. */
  readonly at: (value: number) => number
}

/** Whole powers of ten around all values. A logarithm knows no zero: what is nothing stands at the lowest. */
export function logAxis(values: readonly number[]): Axis {
  const logs = values.filter((value) => value > 0).map(Math.log10)
  const low = logs.length === 0 ? 0 : Math.floor(Math.min(...logs))
  const high = Math.max(low + 1, logs.length === 0 ? 1 : Math.ceil(Math.max(...logs)))
  return {
    ticks: Array.from({ length: high - low + 1 }, (_, n) => 10 ** (low + n)),
    at: (value) => (value <= 0 ? 0 : (Math.log10(value) - low) / (high - low)),
  }
}

type Scale = (value: number) => number

export function svgOf({ title, xLabel, yLabel, curves }: Chart): string {
  const all = curves.flatMap(({ points }) => points)
  const [xAxis, yAxis] = [logAxis(all.map(([x]) => x)), logAxis(all.map(([, y]) => y))]
  const x: Scale = (value) => round(EDGE.left + xAxis.at(value) * (RIGHT - EDGE.left))
  const y: Scale = (value) => round(BOTTOM - yAxis.at(value) * (BOTTOM - EDGE.top))
  const parts = [
    ...xAxis.ticks.map((tick) => grid(`M${x(tick)} ${EDGE.top}V${BOTTOM}`) + text(x(tick), BOTTOM + 16, short(tick))),
    ...yAxis.ticks.map(
      (tick) => grid(`M${EDGE.left} ${y(tick)}H${RIGHT}`) + text(EDGE.left - 6, y(tick) + 4, short(tick), 'end'),
    ),
    text((EDGE.left + RIGHT) / 2, HEIGHT - 6, xLabel),
    text(4, 14, yLabel, 'start'),
    ...curves.map((curve, at) => curveSvg(curve, at, x, y)),
  ]
  const label = escapeHtml(`${yLabel}, ${title}`)
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${label}">${parts.join('\n')}</svg>`
}

/** Its line, its points, which tell their figures, and its name at the side. */
function curveSvg({ name, points }: Curve, at: number, x: Scale, y: Scale): string {
  const color = COLORS[at % COLORS.length]
  const line = points.map(([px, py], n) => `${n === 0 ? 'M' : 'L'}${x(px)} ${y(py)}`).join('')
  const dots = points.map(([px, py]) => {
    const title = escapeHtml(`${name}: ${py.toPrecision(3)} at ${px}`)
    return `<circle cx="${x(px)}" cy="${y(py)}" r="3"><title>${title}</title></circle>`
  })
  const key = text(RIGHT + 8, EDGE.top + 8 + at * 18, name, 'start')
  const path = `<path d="${line}" fill="none" stroke="${color}" stroke-width="2"/>`
  return `<g fill="${color}">${path}${dots.join('')}${key}</g>`
}

const round = (pixels: number) => Math.round(pixels * 10) / 10

const grid = (path: string) => `<path class="grid" d="${path}"/>`

const text = (x: number, y: number, content: string, anchor = 'middle') =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}">${escapeHtml(content)}</text>`

const short = (value: number) =>
  value >= 1000 ? value.toLocaleString('en', { notation: 'compact' }) : String(Number(value.toPrecision(1)))
