// Decides how what grows is shown: a table and curves, a value a file. Knows nothing of how it was measured.

import { medianOf } from '../../src/compare/spread.ts'
import { type Metric, valuesOf } from './ratio.ts'
import type { Growth, ToolResult } from './result.ts'
import { type Chart, NONE, type Section } from './table.ts'

interface Shown {
  readonly metric: Metric
  readonly label: string
  readonly shownValue: (median: number, files: number) => number
}

const perFile = (ms: number, files: number) => ms / files
const COSTS: readonly Shown[] = [
  { metric: 'wall', label: 'wall ms a file', shownValue: perFile },
  { metric: 'cpu', label: 'CPU ms a file', shownValue: perFile },
]
const MEMORY: readonly Shown[] = [{ metric: 'memory', label: 'PSS MiB', shownValue: (bytes) => bytes / 2 ** 20 }]
const TITLES: Readonly<Record<Growth['name'], string>> = {
  files: 'Scale: the list grows',
  connections: 'Scale: concurrency grows',
  lines: 'Scale: memory of a list',
}

export function growthSections(growth: readonly Growth[]): Section[] {
  return growth.map((each) => {
    const charts = (each.name === 'lines' ? MEMORY : COSTS).map((shown) => chartOf(each, shown))
    const xs = each.points.map(({ x }) => x)
    const header = ['', ...xs.map((x) => x.toLocaleString('en'))]
    const rows = charts.flatMap(({ yLabel, curves }) =>
      curves.map(({ name, points }) => [
        `${name}, ${yLabel}`,
        ...xs.map((x) => points.find(([at]) => at === x)?.[1].toPrecision(3) ?? NONE),
      ]),
    )
    const wrong = each.points.flatMap(({ x, result }) =>
      result.tools.filter((tool) => tool.wrong.length > 0).map(({ tool, wrong }) => `${tool} at ${x}: ${wrong[0]}`),
    )
    return { title: TITLES[each.name], text: [`${each.about}.`], table: { header, rows }, charts, notes: wrong }
  })
}

function chartOf({ name, points, about }: Growth, { metric, label, shownValue }: Shown): Chart {
  const tools = [...new Set(points.flatMap(({ result }) => result.tools.filter(isShown).map(({ tool }) => tool)))]
  return {
    title: about,
    xLabel: name,
    yLabel: label,
    curves: tools.map((tool) => ({
      name: tool,
      points: points.flatMap(({ x, result }) => {
        const found = result.tools.find((each) => each.tool === tool)
        const values = found === undefined ? [] : valuesOf(found, metric)
        return values.length === 0 ? [] : [[x, shownValue(medianOf(values), result.files)] as const]
      }),
    })),
  }
}

const isShown = ({ kind }: ToolResult) => kind !== 'floor'
