// Holds what arrives of a body until somebody takes it, and tells how it ended. Knows nothing of connections.

/** Bytes are the sink's until it returns. True: more is welcome; false: not before `resume`. */
export type Sink = (bytes: Uint8Array) => boolean

export class Delivery {
  readonly #ended = Promise.withResolvers<Error | undefined>()
  readonly #early: Uint8Array[] = []
  #sink: Sink = (bytes) => {
    this.#early.push(Buffer.from(bytes))
    return false
  }

  /** Whether more is welcome. */
  hand(bytes: Uint8Array): boolean {
    return this.#sink(bytes)
  }

  /** Nothing more will come: as the framing says, or because of an error. The first to tell is believed. */
  end(error?: Error): void {
    this.#ended.resolve(error)
  }

  /** Hands over every byte that arrived, in order, those before an error included; resolves with that error. */
  receive(sink: Sink, resume: () => void): Promise<Error | undefined> {
    this.#sink = sink
    const isWelcome = this.#early.splice(0).map((bytes) => sink(bytes))
    if (!isWelcome.includes(false)) resume()
    return this.#ended.promise
  }
}
