// Finds values by 64-bit fingerprint. Knows nothing of what is fingerprinted.

/** What {@link PrintTable.find} answers when nothing fits. */
export const ABSENT = -1

/** Open addressing over 64-bit fingerprints. Equal prints may have several values: the caller tells them apart. */
export class PrintTable {
  #slots = 1024
  #high = new Uint32Array(this.#slots)
  #low = new Uint32Array(this.#slots)
  /** Value + 1; 0 is a free slot. */
  #value = new Uint32Array(this.#slots)
  #used = 0

  /** The first value of this print that `isIt` takes, or {@link ABSENT}. Values are whole numbers from 0. */
  find(high: number, low: number, isIt: (value: number) => boolean): number {
    for (let slot = low & (this.#slots - 1); ; slot = (slot + 1) & (this.#slots - 1)) {
      const value = this.#value[slot] ?? 0
      if (value === 0) return ABSENT
      if (this.#high[slot] === high && this.#low[slot] === low && isIt(value - 1)) return value - 1
    }
  }

  add(high: number, low: number, value: number): void {
    if (this.#used * 4 >= this.#slots * 3) this.#grow()
    this.#put(high, low, value + 1)
    this.#used++
  }

  #put(high: number, low: number, stored: number): void {
    let slot = low & (this.#slots - 1)
    while (this.#value[slot] !== 0) slot = (slot + 1) & (this.#slots - 1)
    this.#high[slot] = high
    this.#low[slot] = low
    this.#value[slot] = stored
  }

  #grow(): void {
    const [high, low, value] = [this.#high, this.#low, this.#value]
    this.#slots *= 2
    this.#high = new Uint32Array(this.#slots)
    this.#low = new Uint32Array(this.#slots)
    this.#value = new Uint32Array(this.#slots)
    for (const [slot, stored] of value.entries()) {
      if (stored !== 0) this.#put(high[slot] ?? 0, low[slot] ?? 0, stored)
    }
  }
}
