// Draws a run's attempts in their slots, and lets one look closer at a stretch of time. Knows nothing of jobs but their
// attempts.

import * as Plot from '@observablehq/plot'
import { printable } from '../../core/printable.ts'
import { formatDuration } from '../../core/units.ts'
import { counted } from '../../reporters/summary.ts'
import type { PageAttempt, PageJob } from '../run-data.ts'
import { barLegend, barMarks } from './bars.ts'
import { chart } from './chart.ts'
import { el } from './dom.ts'
import { milliseconds } from './format.ts'
import { type Bar, condensed, freeLanes, type Look } from './lanes.ts'

interface JobBar extends Bar {
  readonly job: PageJob
}

const LOOK: Readonly<Record<PageAttempt['result'], Look>> = {
  done: 'done',
  unchanged: 'unchanged',
  failed: 'failed',
  killed: 'killed',
  crashed: 'crashed',
  abandoned: 'killed',
  cancelled: 'killed',
}

function barsOf(jobs: readonly PageJob[]): JobBar[] {
  const attempts = jobs
    .flatMap((job) => job.attempts.map((attempt) => ({ job, attempt })))
    .sort((a, b) => a.attempt.from_ms - b.attempt.from_ms)
  const lanes = freeLanes(attempts.map(({ attempt }) => attempt))
  return attempts.map(({ job, attempt }, i): JobBar => {
    const { n, task, unit, from_ms, to_ms, result, sentence } = attempt
    const what = task === 'hash' ? 'check of the file' : `attempt ${n}`
    const why = sentence === null ? '' : `\n${printable(sentence)}`
    return {
      job,
      lane: String(lanes[i]),
      from_ms,
      ready_ms: from_ms,
      to_ms,
      look: LOOK[result],
      isRetry: n > 1 && task === 'fetch',
      text: `line ${job.line}, ${printable(job.out)}\n${what}, ${unit}, ${milliseconds(to_ms - from_ms)}${why}`,
      count: 1,
    }
  })
}

const MARGIN_LEFT = 12
const MARGIN_RIGHT = 24
const MARGIN_TOP = 4
const MARGIN_BOTTOM = 40
const ZOOM = 4

/** `open` is called with the job of a bar that was chosen. */
export function runLanes(jobs: readonly PageJob[], elapsedMs: number, open: (job: PageJob) => void): HTMLElement {
  const bars = barsOf(jobs)
  const lanes = [...new Set(bars.map(({ lane }) => lane))]
  const endMs = bars.reduce((most, { to_ms }) => Math.max(most, to_ms), Math.max(1, elapsedMs))
  const lanePx = laneHeight(lanes.length)
  const heightPx = lanes.length * lanePx + MARGIN_TOP + MARGIN_BOTTOM
  let view: readonly [fromMs: number, toMs: number] = [0, endMs]
  let chartPx = 0

  const place = chart((width) => {
    chartPx = width
    return draw(width)
  })
  const label = el('span', { role: 'status' })
  const look = (fromMs: number, toMs: number) => {
    const spanMs = Math.min(endMs, Math.max(10, toMs - fromMs))
    const startMs = Math.min(Math.max(0, fromMs), endMs - spanMs)
    view = [startMs, startMs + spanMs]
    tell()
    if (chartPx > 0) place.replaceChildren(draw(chartPx))
  }
  const zoom = (factor: number) => () => {
    const middleMs = (view[0] + view[1]) / 2
    const halfMs = ((view[1] - view[0]) / 2) * factor
    look(middleMs - halfMs, middleMs + halfMs)
  }
  const move = (share: number) => () => {
    const byMs = (view[1] - view[0]) * share
    look(view[0] + byMs, view[1] + byMs)
  }
  const buttons = {
    closer: button('Closer', zoom(1 / ZOOM)),
    wider: button('Wider', zoom(ZOOM)),
    earlier: button('Earlier', move(-0.5)),
    later: button('Later', move(0.5)),
    whole: button('The whole run', () => look(0, endMs)),
  }
  const tell = () => {
    label.textContent = `${formatDuration(view[0])} to ${formatDuration(view[1])} of ${formatDuration(endMs)}`
    for (const each of [buttons.wider, buttons.whole]) each.disabled = view[1] - view[0] >= endMs
    buttons.earlier.disabled = view[0] <= 0
    buttons.later.disabled = view[1] >= endMs
  }
  tell()

  const pixelMs = () => (view[1] - view[0]) / Math.max(1, chartPx - MARGIN_LEFT - MARGIN_RIGHT)

  function draw(width: number): Element {
    const shown = condensed(
      bars.filter(({ from_ms, to_ms }) => to_ms >= view[0] && from_ms <= view[1]),
      pixelMs(),
    )
    const plot = Plot.plot({
      width,
      height: heightPx,
      marginLeft: MARGIN_LEFT,
      marginRight: MARGIN_RIGHT,
      marginTop: MARGIN_TOP,
      marginBottom: MARGIN_BOTTOM,
      ariaLabel: `${counted(bars.length, 'attempt')} in ${counted(lanes.length, 'slot')}, ${label.textContent}`,
      style: { fontSize: '13px' },
      x: {
        domain: view,
        label: 'since the run began',
        tickFormat: formatDuration,
        ticks: Math.max(2, Math.floor(width / 140)),
        grid: true,
      },
      y: { domain: lanes, axis: null, padding: 0 },
      marks: barMarks(shown, pixelMs()),
    })
    select(plot)
    return plot
  }

  /** A drag chooses a stretch of time, a click what lies under it. */
  function select(plot: Element): void {
    const timeOf = (event: PointerEvent) => {
      const { left, width } = plot.getBoundingClientRect()
      return view[0] + (((event.clientX - left) / width) * chartPx - MARGIN_LEFT) * pixelMs()
    }
    let beganMs: number | null = null
    plot.addEventListener('pointerdown', (event) => {
      if (event instanceof PointerEvent && event.button === 0) beganMs = timeOf(event)
    })
    plot.addEventListener('pointerup', (event) => {
      if (beganMs === null || !(event instanceof PointerEvent)) return
      const [fromMs, toMs] = [beganMs, timeOf(event)].sort((a, b) => a - b)
      beganMs = null
      if (fromMs === undefined || toMs === undefined) return
      if (toMs - fromMs > 5 * pixelMs()) return look(fromMs, toMs)
      choose(fromMs, laneAt(plot, event.clientY))
    })
  }

  function laneAt(plot: Element, clientY: number): string | undefined {
    const { top, height } = plot.getBoundingClientRect()
    return lanes[Math.floor((((clientY - top) / height) * heightPx - MARGIN_TOP) / lanePx)]
  }

  function choose(atMs: number, lane: string | undefined): void {
    const nearMs = 3 * pixelMs()
    const hits = bars.filter((bar) => bar.lane === lane && bar.from_ms - nearMs <= atMs && atMs <= bar.to_ms + nearMs)
    const [hit, ...more] = hits
    if (hit === undefined) return
    // What is too narrow to be hit is looked at closer first.
    if (more.length > 1) look(atMs - 20 * pixelMs(), atMs + 20 * pixelMs())
    else open(hit.job)
  }

  const toolbar = { class: 'toolbar', role: 'group', 'aria-label': 'Part of the run that is shown' }
  return el(
    'div',
    {},
    el('div', toolbar, ...Object.values(buttons), label),
    barLegend(bars),
    el('div', { class: 'lanes' }, place),
  )
}

const laneHeight = (lanes: number) => (lanes <= 16 ? 20 : lanes <= 64 ? 12 : 6)

function button(text: string, act: () => void): HTMLButtonElement {
  const made = el('button', { type: 'button' }, text)
  made.addEventListener('click', act)
  return made
}
