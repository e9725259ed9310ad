// Decides what a report says of a benchmark: medians, spreads, ratios to the best peer. Knows nothing of Markdown and
// HTML.

import { medianOf, spreadOf } from '../../src/compare/spread.ts'
import { formatBytes } from '../../src/core/units.ts'
import { growthSections } from './growth-sections.ts'
import { introduction } from './introduction.ts'
import { bestPeer, isTie, METRICS, type Metric, ratioOf, valuesOf } from './ratio.ts'
import type { BenchResult, ToolResult, WorkloadResult } from './result.ts'
import { NONE, type Section, type Table } from './table.ts'

const UNIT: Readonly<Record<Metric, { readonly title: string; readonly of: number; readonly digits: number }>> = {
  wall: { title: 'wall s', of: 1000, digits: 3 },
  cpu: { title: 'CPU s', of: 1000, digits: 3 },
  memory: { title: 'PSS MiB', of: 2 ** 20, digits: 0 },
}
const BEST = '× best peer'

export function sectionsOf(result: BenchResult): Section[] {
  return [
    introduction(result),
    ...(result.workloads.length === 0 ? [] : [overview(result)]),
    ...result.workloads.map(workloadSection),
    ...growthSections(result.growth),
    ...(result.workloads.length === 0 ? [] : [commands(result)]),
  ]
}

const titleOf = ({ workload, place }: WorkloadResult) => `${workload} on ${place}`

/** Wall times only, so that it can be seen at a glance who lost. */
function overview({ workloads }: BenchResult): Section {
  const names = [...new Set(workloads.flatMap(({ tools }) => tools.filter(isMpdl).map(({ tool }) => tool)))]
  const rows = workloads.map((each) => {
    const best = bestPeer(each.tools, 'wall')
    const cells = names.map((name) => {
      const tool = each.tools.find(({ tool }) => tool === name)
      return tool === undefined ? NONE : ratioText(tool, best, 'wall')
    })
    return [titleOf(each), best === undefined ? NONE : `${best.tool} ${amount(best, 'wall', false)}`, ...cells]
  })
  return {
    title: 'Wall time, as a multiple of the best peer',
    text: [],
    table: { header: ['', 'best peer, s', ...names], rows },
  }
}

const isMpdl = ({ kind }: ToolResult) => kind === 'mpdl'

function workloadSection(result: WorkloadResult): Section {
  const { about, connections, files, size_bytes, tools } = result
  const what = size_bytes === 0 ? '' : `${files.toLocaleString('en')} × ${formatBytes(size_bytes)}, `
  return {
    title: titleOf(result),
    text: [`${about}: ${what}${connections === 1 ? 'one connection' : `${connections} connections`}.`],
    table: tableOf(tools, size_bytes === 0 ? 0 : files),
    notes: tools.filter(({ wrong }) => wrong.length > 0).map(wrongNote),
  }
}

const wrongNote = ({ tool, wrong, runs }: ToolResult) =>
  `${tool}: ${wrong.length} runs failed, ${runs.length} timed ones went well: ${wrong[0]}`

export function tableOf(tools: readonly ToolResult[], files: number): Table {
  const floor = tools.find(({ kind }) => kind === 'floor')
  const hasMemory = tools.some(({ peak_pss_bytes }) => peak_pss_bytes.length > 0)
  const metrics = METRICS.filter((metric) => metric !== 'memory' || hasMemory)
  const best = new Map(metrics.map((metric) => [metric, bestPeer(tools, metric)]))
  const perFile = files > 1
  return {
    header: [
      '',
      ...metrics.flatMap((metric) => [UNIT[metric].title, BEST]),
      ...(perFile ? ['CPU ms a file'] : []),
      ...(floor === undefined ? [] : [`wall × ${floor.tool}`]),
    ],
    rows: tools.map((tool) => [
      tool.wrong.length === 0 ? tool.tool : `${tool.tool} ✗`,
      ...metrics.flatMap((metric) => [amount(tool, metric, true), ratioText(tool, best.get(metric), metric)]),
      ...(perFile ? [perFileText(tool, files)] : []),
      ...(floor === undefined ? [] : [ratioText(tool, floor, 'wall')]),
    ]),
  }
}

function amount(tool: ToolResult, metric: Metric, hasSpread: boolean): string {
  const values = valuesOf(tool, metric)
  if (values.length === 0) return NONE
  const { of, digits } = UNIT[metric]
  const text = (value: number) => (value / of).toFixed(value / of >= 10 ? Math.min(digits, 1) : digits)
  const { median, min, max } = spreadOf(values)
  return hasSpread && values.length > 1 ? `${text(median)} (${text(min)}–${text(max)})` : text(median)
}

/** `1.08 tie`; nothing where there were too few rounds for it. */
function ratioText(tool: ToolResult, to: ToolResult | undefined, metric: Metric): string {
  const ratio = to === undefined ? undefined : ratioOf(valuesOf(tool, metric), valuesOf(to, metric))
  if (ratio === undefined) return NONE
  return `${ratio.toFixed(2)}${tool !== to && isTie(ratio) ? ' tie' : ''}`
}

function perFileText(tool: ToolResult, files: number): string {
  const values = valuesOf(tool, 'cpu')
  return values.length === 0 ? NONE : (medianOf(values) / files).toPrecision(3)
}

function commands({ workloads }: BenchResult): Section {
  const rows = workloads.flatMap((each, index) => {
    const isSameOnDisk = workloads.findIndex(({ workload }) => workload === each.workload) < index
    const tools = isSameOnDisk ? each.tools.filter(({ tool }) => tool.endsWith('nosync')) : each.tools
    return tools.map(({ command }) => [each.workload, `\`${command}\``])
  })
  return { title: 'Commands', text: [], table: { header: ['', 'command'], rows, isText: true } }
}
