// Writes a response's body at its offset and counts: exactly as many bytes as were announced, or why not.

import { writeSync } from 'node:fs'
import type { ChildFailure } from '../protocol/message.ts'
import { childFailureOf, diskFailureOf } from './failure-of.ts'
import type { OpenResponse } from './request.ts'

export type BodyResult =
  | { readonly ok: true; readonly bytes: number }
  | { readonly ok: false; readonly failure: ChildFailure }

/**
 * Takes `lengthBytes` bytes (or all, until the server closes, when null) and writes them from `offsetBytes` on.
 * What comes beyond the announced length is not part of the answer (RFC 9112 §6.3) and is dropped.
 */
export async function receiveBody(
  response: OpenResponse,
  descriptor: number,
  want: { offsetBytes: number; lengthBytes: number | null; maxBytes?: number },
  onPosition: (bytes: number) => void,
): Promise<BodyResult> {
  const { lengthBytes, maxBytes = Number.POSITIVE_INFINITY } = want
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
  let failure: ChildFailure | undefined

  const error = isWhole()
    ? undefined
    : await response.receive((bytes) => {
        // Bytes behind the last one wanted may come in the same turn.
        if (failure !== undefined || isWhole()) return false
        if (lengthBytes === null && want.offsetBytes + received + bytes.length > maxBytes) {
          failure = { kind: 'too-large', limitBytes: maxBytes }
          return false
        }
        const wanted = lengthBytes === null ? bytes : bytes.subarray(0, lengthBytes - received)
        failure = writeAll(descriptor, wanted, want.offsetBytes + received)
        if (failure !== undefined) return false
        received += wanted.length
        onPosition(want.offsetBytes + received)
        return !isWhole()
      })
  response.discard()
  if (failure !== undefined) return { ok: false, failure }
  if (isWhole() || (lengthBytes === null && error === undefined)) return { ok: true, bytes: received }
  if (error === undefined) return truncated(undefined)
  const cause = childFailureOf(error, undefined)
  return cause.kind === 'protocol' ? { ok: false, failure: cause } : truncated('code' in cause ? cause.code : undefined)
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
