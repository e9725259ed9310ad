// Keeps the end of what a child wrote for people, and no more of it.

const MAX_CHARS = 2000

export class LastWords {
  #text = ''

  get text(): string {
    return this.#text
  }

  add(text: string): void {
    this.#text = (this.#text + text).slice(-MAX_CHARS)
  }
}
