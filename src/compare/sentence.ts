// Decides what a comparison comes to in words. Knows nothing of terminals or pages.

import type { CompareMode, FaultMatrix, ModeCost } from './result.ts'

const NAMES: Readonly<Record<CompareMode, string>> = {
  process: 'processes',
  pool: 'a pool of processes',
  thread: 'threads',
  inline: 'inline',
  sequential: 'one after another',
}

/** What no way to keep downloads apart helps against. */
export const NOT_SOLVED: readonly string[] = [
  'The disk is shared: when it is full or slow, it is so for all.',
  'So are the network and the server: what they slow down or refuse, they do to every mode.',
  'So is the kernel, and the memory of the machine: when it runs out, the kernel chooses who dies.',
  'A process that waits inside the kernel (state D) obeys nobody. mpdl names it and goes on without its slot.',
  'A server that lies about what it sends is believed, unless the list has checksums.',
  'The supervisor is one process: who ends it ends the run. The parts stay, and the next run goes on.',
]

export interface Found {
  readonly costs: readonly ModeCost[]
  readonly faults: FaultMatrix | null
}

/** The numbers that matter, in one sentence; empty when nothing was measured. */
export function headline({ costs, faults }: Found): string {
  return [isolationClause(costs), concurrencyClause(costs), ...(faults === null ? [] : faultClauses(faults))]
    .filter((clause) => clause !== '')
    .join('; ')
}

function isolationClause(costs: readonly ModeCost[]): string {
  const cost = costs.find(({ isolation_cpu_ms_per_url }) => isolation_cpu_ms_per_url !== null)
  if (cost === undefined || cost.isolation_cpu_ms_per_url === null) return ''
  const share =
    cost.isolation_share === null ? '' : `, ${Math.round(cost.isolation_share * 100)} % of the median download`
  return `${NAMES[cost.mode]} cost ${oneDecimal(cost.isolation_cpu_ms_per_url)} ms CPU a URL${share}`
}

/** Inline differs from one after another in nothing but that; else the strongest that was measured must do. */
function concurrencyClause(costs: readonly ModeCost[]): string {
  const at = (mode: CompareMode) => costs.find((cost) => cost.mode === mode)
  const ratio = (at('inline') ?? costs.find(({ mode }) => mode !== 'sequential'))?.ratio_to_sequential ?? null
  if (ratio === null) return ''
  const factor = oneDecimal(1 / ratio)
  return Number(factor) > 1
    ? `concurrency was ${factor} × faster than one after another`
    : 'concurrency was no faster than one after another'
}

function faultClauses({ files, modes, rows }: FaultMatrix): string[] {
  return modes.map((mode) => {
    const cells = rows.flatMap((row) => row.cells.filter((cell) => cell.mode === mode))
    const kept = cells.filter(({ fate, files_final }) => fate === 'well' && files_final === files).length
    const least = Math.min(...cells.map(({ files_final }) => files_final))
    const loss = kept === cells.length ? '' : `, at worst ${least} files of ${files}`
    return `${NAMES[mode]} came through ${kept} of ${cells.length} faults${loss}`
  })
}

/** Where threads are the better choice; empty where that was not measured. */
export function threadsWin({ costs }: Found): string {
  const process = costs.find(({ mode }) => mode === 'process')
  const thread = costs.find(({ mode }) => mode === 'thread')
  if (process === undefined || thread === undefined) return ''
  const claims = [
    claim('starting one', process.unit_start_ms?.median, thread.unit_start_ms?.median, (ms) => `${oneDecimal(ms)} ms`),
    claim('memory', process.peak_pss_bytes?.median, thread.peak_pss_bytes?.median, (n) => `${mebibytes(n)} MiB`),
    claim('CPU', process.cpu_ms.median, thread.cpu_ms.median, (ms) => `${(ms / 1000).toFixed(2)} s`),
  ].filter((text) => text !== '')
  return claims.length === 0 ? '' : `threads win where nothing breaks: ${claims.join(', ')}`
}

function claim(
  what: string,
  process: number | undefined,
  thread: number | undefined,
  text: (value: number) => string,
): string {
  const isWon = process !== undefined && thread !== undefined && thread < process
  return isWon ? `${what} ${text(thread)} instead of ${text(process)}` : ''
}

const oneDecimal = (value: number) => value.toFixed(1).replace(/\.0$/, '')
const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20)
