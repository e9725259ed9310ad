// Undoes a content coding between a connection and whoever receives its body, with back-pressure both ways. Knows
// nothing of files or sizes: who wants no more stops receiving.

import type { BrotliDecompress, Gunzip, Inflate } from 'node:zlib'
import type { Coding } from '../core/coding.ts'
import type { Sink } from './delivery.ts'
import { codeOf, KnownFailure } from './failure-of.ts'
import type { OpenResponse } from './request.ts'

type Decoder = Gunzip | Inflate | BrotliDecompress

/** Comes out at once, at most. Each piece costs a turn of the thread pool. */
const CHUNK_BYTES = 256 * 1024

/** The same response, its body decoded. An empty body has no coding, whatever its head says: some servers do so. */
export function decoded(response: OpenResponse, coding: Coding): OpenResponse {
  /** Where nothing announces the end of the body, an early one is that of a connection. */
  const isEndOpen = !response.head.headers.some(([name]) => /^(?:content-length|transfer-encoding)$/i.test(name))
  const isCutOff = (error: Error) => isEndOpen && codeOf(error) === 'Z_BUF_ERROR'
  const broken = (code: string) => new KnownFailure({ kind: 'broken-coding', coding, code })
  let decoder: Decoder | undefined

  async function receive(sink: Sink): Promise<Error | undefined> {
    const decoding = Promise.withResolvers<Error | undefined>()
    let givenBytes = 0
    const start = (firstByte: number): Decoder => {
      const started = decoderFor(coding, firstByte)
      started.on('data', (bytes: Uint8Array) => {
        if (!sink(bytes)) started.pause()
      })
      started.on('drain', () => response.resume())
      // What follows the end is no part of the file, and no server means to send it: curl refuses it too.
      started.on('end', () => decoding.resolve(started.bytesWritten < givenBytes ? broken('trailing-data') : undefined))
      started.on('error', (error) => decoding.resolve(isCutOff(error) ? error : broken(codeOf(error) ?? 'unknown')))
      return started
    }
    const connection = response.receive((bytes) => {
      const [firstByte] = bytes
      if (firstByte === undefined) return true
      givenBytes += bytes.length
      decoder ??= start(firstByte)
      // The connection's buffer is used again, and the decoder works in another thread.
      return decoder.write(Buffer.from(bytes))
    })
    void connection.then((error) => {
      if (decoder === undefined) decoding.resolve(error)
      else decoder.end()
    })
    const failure = await decoding.promise
    // What broke the connection broke the coding too.
    const isConnectionOver = decoder?.writableEnded ?? true
    return isConnectionOver ? ((await connection) ?? failure) : failure
  }

  return {
    ...response,
    receive,
    resume() {
      decoder?.resume()
    },
    discard() {
      decoder?.destroy()
      response.discard()
    },
  }
}

/** Loaded late: most bodies are not coded. */
function decoderFor(coding: Coding, firstByte: number): Decoder {
  const zlib = process.getBuiltinModule('node:zlib')
  const options = { chunkSize: CHUNK_BYTES }
  if (coding === 'gzip') return zlib.createGunzip(options)
  if (coding === 'br') return zlib.createBrotliDecompress(options)
  // RFC 9110 §8.4.1.2: it is the zlib format (RFC 1950), which begins with method 8, and some servers leave that off.
  return (firstByte & 0x0f) === 8 ? zlib.createInflate(options) : zlib.createInflateRaw(options)
}
