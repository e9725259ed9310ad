// Writes a response's body at its offset and counts: exactly as many bytes as were announced, or why not.

import { writeSync } from 'node:fs'
import type { ChildFailure } from '../protocol/message.ts'
import { childFailureOf, diskFailureOf } from './failure-of.ts'
import type { OpenResponse } from './request.ts'

export type BodyResult = { readonly ok: true; readonly bytes: number } | { readonly ok: false; readonly failure: ChildFailure }

/**
 * Takes `lengthBytes` bytes (or all, until the server closes, when null) and writes them from `offsetBytes` on.
 * What comes beyond the announced length is not part of the answer (RFC 9112 §6.3) and is dropped.
 */
export async function receiveBody(
  response: OpenResponse,
  descriptor: number,
  want: { offsetBytes: number; lengthBytes: number | null },
  onPosition: (bytes: number) => void,
): Promise<BodyResult> {
  const { lengthBytes } = want
  let received = 0
  const truncated = (code: string | undefined): BodyResult => ({
    ok: false,
    failure: {
      kind: 'truncated',
      receivedBytes: received,
      ...(lengthBytes === null ? {} : { expectedBytes: lengthBytes }),
      ...(code === undefined ? {} : { code }),
    },
  })
  const isWhole = () => lengthBytes !== null && received >= lengthBytes

  try {
    if (response.body !== null && !isWhole()) {
      for await (const chunk of response.body) {
        const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
        const wanted = lengthBytes === null ? bytes : bytes.subarray(0, lengthBytes - received)
        const failure = writeAll(descriptor, wanted, want.offsetBytes + received)
        if (failure !== undefined) return { ok: false, failure }
        received += wanted.length
        onPosition(want.offsetBytes + received)
        if (isWhole()) break
      }
    }
  } catch (error) {
    if (isWhole()) return { ok: true, bytes: received }
    const failure = childFailureOf(error, undefined)
    return failure.kind === 'protocol' ? { ok: false, failure } : truncated('code' in failure ? failure.code : undefined)
  } finally {
    response.discard()
  }
  if (isWhole()) return { ok: true, bytes: received }
  if (lengthBytes !== null) return truncated(undefined)
  const socketError = response.socketError()
  return socketError === undefined ? { ok: true, bytes: received } : truncated(socketError.code)
}

function writeAll(descriptor: number, bytes: Uint8Array, position: number): ChildFailure | undefined {
  let done = 0
  try {
    while (done < bytes.length) done += writeSync(descriptor, bytes, done, bytes.length - done, position + done)
  } catch (error) {
    return diskFailureOf(error)
  }
  return undefined
}
