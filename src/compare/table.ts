// Decides how rows of values are laid out: in a table, or, where that is too wide, with a line for each value. Knows
// nothing of what they mean.

export interface Screen {
  readonly columns: number
  /** A text in lines of at most that many columns. */
  readonly wrap: (text: string) => string[]
}

/** Its title, then its values. */
export type Row = readonly string[]

/** Rows under a heading each; under none where that is empty. */
export type Groups = readonly (readonly [heading: string, rows: readonly Row[]])[]

export function tableLines(header: Row, groups: Groups, { columns, wrap }: Screen): string[] {
  const { widths, gap, isTable } = layoutOf(header, groups, columns)
  const pad = (cell: string, i: number) => (i === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[i] ?? 0))
  const tableRow = (row: Row) => [row.map(pad).join(gap).trimEnd()]
  const nameWidth = Math.max(...header.map((name) => name.length))
  const block = ([title = '', ...cells]: Row) => [
    title,
    ...cells.map((cell, i) => `  ${(header[i + 1] ?? '').padEnd(nameWidth)} ${cell}`),
  ]
  const body = groups.flatMap(([heading, rows]) => [
    ...(heading === '' ? [] : wrap(`— ${heading}`)),
    ...rows.flatMap(isTable ? tableRow : block),
  ])
  return isTable ? [...tableRow(header), ...body] : body
}

/** Whether it is shown as a table, and not as one value a line. */
export function fits(header: Row, groups: Groups, columns: number): boolean {
  return layoutOf(header, groups, columns).isTable
}

function layoutOf(header: Row, groups: Groups, columns: number) {
  const all = [header, ...groups.flatMap(([, rows]) => rows)]
  const widths = header.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)))
  const widthWith = (gap: string) => widths.reduce((sum, width) => sum + width + gap.length, -gap.length)
  // Air where there is room for it.
  const gap = widthWith('  ') <= columns ? '  ' : ' '
  return { widths, gap, isTable: widthWith(gap) <= columns }
}
