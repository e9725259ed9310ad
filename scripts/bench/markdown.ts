// Shows a report as Markdown. Knows nothing of what it says.

import type { Section, Table } from './table.ts'

export function markdownOf(sections: readonly Section[]): string {
  const parts = sections.map(({ title, text, table, notes = [] }, index) =>
    [
      `${index === 0 ? '#' : '##'} ${title}`,
      ...text,
      ...(table === undefined ? [] : [tableText(table)]),
      ...(notes.length === 0 ? [] : [notes.map((note) => `- ${note}`).join('\n')]),
    ].join('\n\n'),
  )
  return `${parts.join('\n\n')}\n`
}

export function tableText({ header, rows, isText = false }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  const rule = `|${header.map((_, at) => (at === 0 || isText ? ' --- ' : ' ---: ')).join('|')}|`
  return [line(header), rule, ...rows.map(line)].join('\n')
}
