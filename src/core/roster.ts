// Holds what is under way, each under its key. Knows nothing of it.

/**
 * A map for what comes and goes by the thousand. V8 makes whatever replaces an old map's table old from the start, and
 * to a minor collection a dead old table still holds all that was in it: every download would stay in memory, with all
 * that belongs to it, until the next major one. So the table names cells, and who leaves empties its own.
 */
export class Roster<K, V extends object> {
  readonly #cells = new Map<K, { value: V | undefined }>()

  get size(): number {
    return this.#cells.size
  }

  has(key: K): boolean {
    return this.#cells.has(key)
  }

  get(key: K): V | undefined {
    return this.#cells.get(key)?.value
  }

  set(key: K, value: V): void {
    this.delete(key)
    this.#cells.set(key, { value })
  }

  delete(key: K): void {
    const cell = this.#cells.get(key)
    if (cell !== undefined) cell.value = undefined
    this.#cells.delete(key)
  }

  clear(): void {
    for (const key of this.#cells.keys()) this.delete(key)
  }

  /** As they are now: it does not matter who comes or goes meanwhile. */
  values(): V[] {
    return Array.from(this.#cells.values(), ({ value }) => value).filter((value) => value !== undefined)
  }
}
