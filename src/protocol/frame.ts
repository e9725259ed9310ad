// Cuts a byte stream into lines and nothing else.
//
// Node's own channel (`ipc: true`) was tried and left: a child that writes raw bytes to it makes JSON.parse
// throw inside the *parent's* read callback, as an uncaught exception that names no child, and a line without
// an end is buffered without a limit. One bad child would cost the run. A socket pair with these frames costs
// the bad child only.

export type Frame = { readonly kind: 'line'; readonly line: string } | { readonly kind: 'too-long' }

/** Feed chunks, get whole lines. After a too long line everything until its end is dropped. */
export class FrameReader {
  #pending: Buffer[] = []
  #pendingBytes = 0
  #isDropping = false
  readonly #maxBytes: number

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = []
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      // Nearly every line lies in one chunk, and need not be put together.
      if (this.#pendingBytes === 0 && !this.#isDropping && end - start <= this.#maxBytes) {
        frames.push({ kind: 'line', line: chunk.toString('utf8', start, end) })
      } else {
        this.#keep(chunk.subarray(start, end), frames)
        if (!this.#isDropping) frames.push({ kind: 'line', line: Buffer.concat(this.#pending).toString('utf8') })
        this.#clear()
        this.#isDropping = false
      }
      start = end + 1
    }
    this.#keep(chunk.subarray(start), frames)
    return frames
  }

  #keep(part: Buffer, frames: Frame[]): void {
    if (this.#isDropping || part.length === 0) return
    if (this.#pendingBytes + part.length > this.#maxBytes) {
      frames.push({ kind: 'too-long' })
      this.#isDropping = true
      this.#clear()
      return
    }
    this.#pending.push(part)
    this.#pendingBytes += part.length
  }

  #clear(): void {
    this.#pending = []
    this.#pendingBytes = 0
  }
}

export function encodeFrame(message: object): string {
  return `${JSON.stringify(message)}\n`
}
