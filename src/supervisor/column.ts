// Keeps numbers of one width for rows that come one by one. Knows nothing of what they mean.

const PIECE_CELLS = 16_384

export type Numbers = Uint8Array | Uint32Array | Float64Array
export type NumbersConstructor = new (length: number) => Numbers

/** A growing column of numbers. Grows by pieces: doubling would hold every row twice for a moment. */
export class Column {
  readonly #make: NumbersConstructor
  readonly #pieces: Numbers[] = []
  length = 0

  constructor(make: NumbersConstructor) {
    this.#make = make
  }

  push(value: number): void {
    if (this.length % PIECE_CELLS === 0) this.#pieces.push(new this.#make(PIECE_CELLS))
    this.length++
    this.set(this.length - 1, value)
  }

  set(index: number, value: number): void {
    const piece = this.#pieces[Math.floor(index / PIECE_CELLS)]
    if (piece !== undefined) piece[index % PIECE_CELLS] = value
  }

  at(index: number): number {
    const value = index < this.length ? this.#pieces[Math.floor(index / PIECE_CELLS)]?.[index % PIECE_CELLS] : undefined
    if (value === undefined) throw new RangeError(`the list has no row ${index}`)
    return value
  }
}
