// How a part of the report is made of text, tables and curves, whatever it is shown as.

/** A cell for what was not measured, or may not be said. */
export const NONE = '–'

export interface Table {
  readonly header: readonly string[]
  /** The first cell of each names it. */
  readonly rows: readonly (readonly string[])[]
  /** Figures stand to the right. */
  readonly isText?: boolean
}

export interface Curve {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

/** Both axes are logarithmic: what is twice as much is equally far everywhere. */
export interface Chart {
  readonly title: string
  readonly xLabel: string
  readonly yLabel: string
  readonly curves: readonly Curve[]
}

export interface Section {
  readonly title: string
  readonly text: readonly string[]
  readonly table?: Table
  readonly charts?: readonly Chart[]
  readonly notes?: readonly string[]
}
