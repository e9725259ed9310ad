// Counts messages between two looks.

export class MessageCount {
  #count = 0

  add(): void {
    this.#count++
  }

  take(): number {
    const count = this.#count
    this.#count = 0
    return count
  }
}
