// Shows a report as a page that needs nothing else. Knows nothing of what it says.

import { svgOf } from './chart.ts'
import { escapeHtml } from './escape-html.ts'
import type { Section, Table } from './table.ts'

const STYLE = `
:root { color-scheme: light dark }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px }
td, th { padding: .2rem .6rem; border-bottom: 1px solid #8884; text-align: right; vertical-align: bottom }
td:first-child, th:first-child, .text td, .text th { text-align: left }
svg { max-width: 44rem; display: block }
svg text { font: 11px system-ui, sans-serif; fill: currentColor }
svg g text { fill: inherit }
.grid { stroke: #8884 }`

export function htmlOf(sections: readonly Section[]): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>mpdl bench</title><style>${STYLE}</style></head><body>
${sections.map(sectionHtml).join('\n')}
</body></html>
`
}

function sectionHtml({ title, text, table, charts = [], notes = [] }: Section, index: number): string {
  const level = index === 0 ? 'h1' : 'h2'
  return [
    `<${level}>${escapeHtml(title)}</${level}>`,
    ...text.map((each) => `<p>${escapeHtml(each)}</p>`),
    ...(table === undefined ? [] : [tableHtml(table)]),
    ...charts.map(svgOf),
    ...(notes.length === 0 ? [] : [`<ul>${notes.map((note) => `<li>${escapeHtml(note)}</li>`).join('')}</ul>`]),
  ].join('\n')
}

function tableHtml({ header, rows, isText = false }: Table): string {
  const row = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${inline(cell)}</${tag}>`).join('')}</tr>`
  const body = rows.map((cells) => row(cells, 'td')).join('\n')
  const kind = isText ? ' class="text"' : ''
  const table = `<table${kind}><thead>${row(header, 'th')}</thead><tbody>${body}</tbody></table>`
  return `<div class="wide">${table}</div>`
}

/** Cells know one mark: `code`. */
const inline = (cell: string) => escapeHtml(cell).replace(/^`(.*)`$/, '<code>$1</code>')
