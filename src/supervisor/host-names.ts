// Numbers hosts: those of the list first, in its order, then whatever redirects and mirrors lead to.

import { routeOf } from '../core/proxy.ts'
import { hostKey } from '../core/url-list.ts'

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

  /** `proxy`: the entry's own. */
  idOfUrl(url: string, proxy: string | undefined): number {
    return this.idOf(routeOf(hostKey(url), proxy))
  }

  nameOf(id: number): string {
    const name = this.#names[id]
    if (name === undefined) throw new Error(`host ${id} was never named`)
    return name
  }
}
