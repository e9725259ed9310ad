// Numbers hosts: those of the list first, in its order, then whatever redirects and mirrors lead to.

import { hostOf } from '../core/redirect.ts'

export class HostNames {
  readonly #names: string[]
  readonly #ids: Map<string, number>

  constructor(listed: readonly string[]) {
    this.#names = [...listed]
    this.#ids = new Map(listed.map((name, id) => [name, id]))
  }

  /** `name`: with its port, like `example.com:443`. */
  idOf(name: string): number {
    let id = this.#ids.get(name)
    if (id === undefined) {
      id = this.#names.push(name) - 1
      this.#ids.set(name, id)
    }
    return id
  }

  idOfUrl(url: string): number {
    return this.idOf(hostOf(new URL(url)))
  }

  nameOf(id: number): string {
    const name = this.#names[id]
    if (name === undefined) throw new Error(`host ${id} was never named`)
    return name
  }
}
