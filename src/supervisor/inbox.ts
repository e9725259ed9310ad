// A queue of events for one reader: everything that happens to a run arrives here and is handled one at a time.

export class Inbox<T> {
  readonly #arrived: T[] = []
  #wanted: ((event: T) => void) | undefined

  push(event: T): void {
    const wanted = this.#wanted
    this.#wanted = undefined
    if (wanted === undefined) this.#arrived.push(event)
    else wanted(event)
  }

  next(): Promise<T> {
    const event = this.#arrived.shift()
    if (event !== undefined) return Promise.resolve(event)
    return new Promise((resolve) => {
      this.#wanted = resolve
    })
  }
}
