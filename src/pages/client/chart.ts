// Decides when a chart is drawn: once there is a width, and again when it changes. Knows nothing of what is drawn.

import { el } from './dom.ts'

/** A place for a chart; `draw` gets its width in pixels. */
export function chart(draw: (widthPx: number) => Element): HTMLElement {
  const place = el('div', { class: 'chart' })
  let drawnPx = 0
  new ResizeObserver(([entry]) => {
    const widthPx = Math.floor(entry?.contentRect.width ?? 0)
    if (widthPx === drawnPx || widthPx === 0) return
    drawnPx = widthPx
    place.replaceChildren(draw(widthPx))
  }).observe(place)
  return place
}
