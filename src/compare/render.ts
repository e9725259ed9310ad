// Decides how a comparison looks on a terminal: tables where they fit, one value a line where they do not. Needs no
// colour. Knows nothing of streams.

import { formatBytes, formatDuration } from '../core/units.ts'
import type {
  CompareMode,
  Comparison,
  ConnectionsResult,
  Demonstrations,
  FaultBand,
  FaultCell,
  FaultMatrix,
  ModeCost,
  RunFate,
  Spread,
} from './result.ts'
import { FAULT_BANDS } from './result.ts'
import { threadsWin } from './sentence.ts'
import { medianOf } from './spread.ts'
import { fits, type Groups, type Row, type Screen, tableLines } from './table.ts'

const BANDS: Readonly<Record<FaultBand, string>> = {
  polite: 'a polite failure',
  javascript: 'JavaScript goes wrong: threads hold',
  machine: 'the machine goes wrong: only processes hold',
}

const GLYPHS: Readonly<Record<RunFate, string>> = { well: '◐', died: '✗', 'never-ended': '∞', lied: '!' }
/** What they stand for; a run that ended well needs no words. */
const FATES: Readonly<Record<Exclude<RunFate, 'well'>, string>> = {
  died: 'run died',
  'never-ended': 'never ended',
  lied: 'ended and lied',
}
const GLYPH_MEANINGS = (['died', 'never-ended', 'lied'] as const).map((fate) => `${GLYPHS[fate]} ${FATES[fate]}`)
const LEGEND = `files whole after one attempt → with retries; ✓ all are there, ◐ ended well without them, ${GLYPH_MEANINGS.join(', ')}`
const NONE = '-'

/** The whole of it, in lines. */
export function comparisonLines(comparison: Comparison, screen: Screen): string[] {
  const { costs, faults, demonstrations } = comparison
  const parts = [
    costs.length === 0 ? [] : [...screen.wrap(conditions(comparison)), '', ...costTable(costs, screen)],
    faults === null ? [] : matrixLines(faults, costs, screen),
    demonstrations === null ? [] : demonstrationLines(demonstrations, screen),
    [comparison.sentence, threadsWin(comparison)].filter((text) => text !== '').flatMap(screen.wrap),
    faults === null ? [] : ['What even processes do not solve:', ...comparison.not_solved.flatMap(screen.wrap)],
  ]
  return parts.filter((part) => part.length > 0).flatMap((part, i) => (i === 0 ? part : ['', ...part]))
}

function conditions({ list, jobs, repeat }: Comparison): string {
  const latency = list.latency_ms === null ? '' : `, ${list.latency_ms} ms before each answer`
  return `${list.name}: ${list.jobs} files, ${formatBytes(list.bytes)}, ${jobs} at once${latency}; median of ${repeat}`
}

function costTable(costs: readonly ModeCost[], screen: Screen): string[] {
  const header = ['', 's (from–to)', 'files/s', 'MiB/s', 'CPU s', 'memory', '1st byte', 'unit', 'ratio']
  const rows = costs.map((cost) => [
    cost.mode,
    `${seconds(cost.wall_ms.median)} (${seconds(cost.wall_ms.min)}–${seconds(cost.wall_ms.max)})`,
    cost.files_per_s.median.toFixed(1),
    (cost.bytes_per_s.median / 2 ** 20).toFixed(1),
    seconds(cost.cpu_ms.median),
    mebibytes(cost.peak_pss_bytes),
    formatDuration(cost.first_byte_ms.median),
    cost.unit_start_ms === null ? NONE : formatDuration(cost.unit_start_ms.median),
    cost.ratio_to_sequential === null ? NONE : cost.ratio_to_sequential.toFixed(2),
  ])
  return tableLines(header, [['', rows]], screen)
}

function matrixLines(matrix: FaultMatrix, costs: readonly ModeCost[], screen: Screen): string[] {
  const { files, line, modes, rows } = matrix
  const bandsWith = (text: typeof cellText) =>
    FAULT_BANDS.map((band): [string, Row[]] => [
      BANDS[band],
      rows
        .filter((row) => row.band === band)
        .map(({ title, cells }) => [title, ...cells.map((cell) => text(cell, files))]),
    ])
  const cost = (mode: CompareMode) => costs.find((each) => each.mode === mode)
  const prices: Row[] = [
    ['CPU for isolation', ...modes.map((mode) => price(cost(mode)?.isolation_cpu_ms_per_url))],
    ['starting a unit', ...modes.map((mode) => price(cost(mode)?.unit_start_ms?.median))],
  ]
  const cellsOf = (mode: CompareMode) => rows.flatMap(({ cells }) => cells.filter((cell) => cell.mode === mode))
  const afterwards: Row[] = [
    ['culprit known', ...modes.map((mode) => share(cellsOf(mode), isKnown))],
    ['noticed (median)', ...modes.map((mode) => noticed(cellsOf(mode)))],
    ['processes left', ...modes.map((mode) => String(cellsOf(mode).flatMap(({ left_behind }) => left_behind).length))],
  ]
  const header = ['', ...modes]
  const below: [string, Row[]][] = [
    ['price per URL', costs.length === 0 ? [] : prices],
    ['afterwards', afterwards],
  ]
  const inWords = [...bandsWith(wordedCellText), ...below]
  const groups: Groups = fits(header, inWords, screen.columns) ? inWords : [...bandsWith(cellText), ...below]
  return [
    ...screen.wrap(`One of ${files} downloads goes wrong (line ${line}): ${LEGEND}.`),
    '',
    ...tableLines(
      header,
      groups.filter(([, each]) => each.length > 0),
      screen,
    ),
  ]
}

/** `49→50 ✓`. */
export function cellText({ files_first, files_final, fate }: FaultCell, files: number): string {
  return `${files_first}→${files_final} ${fate === 'well' && files_final === files ? '✓' : GLYPHS[fate]}`
}

/** `24 ✗ run died`: what was there in the end, where it did not end well. */
export function wordedCellText(cell: FaultCell, files: number): string {
  const { fate, files_final } = cell
  return fate === 'well' ? cellText(cell, files) : `${files_final} ${GLYPHS[fate]} ${FATES[fate]}`
}

const isKnown = ({ culprit }: FaultCell) => culprit === 'named' || culprit === 'after-quarantine'
const share = (cells: readonly FaultCell[], holds: (cell: FaultCell) => boolean) =>
  `${cells.filter(holds).length}/${cells.length}`
const price = (ms: number | null | undefined) => (ms === null || ms === undefined ? NONE : `${ms.toFixed(1)} ms`)

function noticed(cells: readonly FaultCell[]): string {
  const times = cells.map(({ noticed_ms }) => noticed_ms).filter((ms) => ms !== null)
  return times.length === 0 ? 'never' : formatDuration(medianOf(times))
}

function demonstrationLines({ cpu_bound, killed_lock_holder, connections }: Demonstrations, screen: Screen): string[] {
  const { wrap } = screen
  const works = cpu_bound.map(({ mode, wall_ms, cpu_ms, busy_cores }) => [
    mode,
    seconds(wall_ms),
    seconds(cpu_ms),
    busy_cores.toFixed(2),
  ])
  return [
    ...wrap('The same work for the processor in every job:'),
    ...tableLines(['', 's', 'CPU s', 'busy cores'], [['', works]], screen),
    '',
    'A lock whose holder is killed:',
    ...killed_lock_holder.flatMap(({ mode, is_still_locked, text }) =>
      wrap(`${mode}: ${is_still_locked ? '✗ stays locked' : '✓ free'}. ${text}`),
    ),
    '',
    ...connectionLines(connections, screen),
  ]
}

function connectionLines({ size_bytes, rows, maps, refetched_bytes }: ConnectionsResult, screen: Screen): string[] {
  const { columns, wrap } = screen
  const limitText = (limit: number | null) => (limit === null ? 'none' : `${formatBytes(limit)}/s`)
  const speeds = rows.map(({ connections, limit_bytes_per_s, wall_ms, bytes_per_s }) => [
    String(connections),
    limitText(limit_bytes_per_s),
    seconds(wall_ms.median),
    (bytes_per_s / 2 ** 20).toFixed(1),
  ])
  const width = Math.max(10, Math.min(columns, 80) - 4)
  return [
    ...wrap(`One file of ${formatBytes(size_bytes)} by several connections:`),
    ...tableLines(['connections', 'limit of each', 's', 'MiB/s'], [['', speeds]], screen),
    '',
    ...wrap(`The supervisor killed in the middle (kill -9): ${formatBytes(refetched_bytes)} were fetched twice`),
    ...maps.flatMap(({ label, ranges }) => [...wrap(label), `  ${segmentBar(ranges, size_bytes, width)}`]),
  ]
}

/** `█` where all of a stretch is there, `▒` where some is, `·` where nothing is. */
export function segmentBar(ranges: readonly (readonly [number, number])[], sizeBytes: number, width: number): string {
  const stretch = sizeBytes / width
  return Array.from({ length: width }, (_, i) => {
    const [from, to] = [i * stretch, (i + 1) * stretch]
    const there = ranges.reduce((sum, [a, b]) => sum + Math.max(0, Math.min(b, to) - Math.max(a, from)), 0)
    return there >= stretch * 0.999 ? '█' : there > 0 ? '▒' : '·'
  }).join('')
}

const seconds = (ms: number) => (ms / 1000).toFixed(2)
const mebibytes = (bytes: Spread | null) => (bytes === null ? NONE : `${Math.round(bytes.median / 2 ** 20)} MiB`)
