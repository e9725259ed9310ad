// Decides what counts as a checksum in a list. Knows nothing of hashing files.

import { CHECKSUM_ALGORITHMS, type Checksum, type ChecksumAlgorithm } from './job.ts'
import { excerpt } from './printable.ts'

const HEX_DIGITS: Readonly<Record<ChecksumAlgorithm, number>> = { md5: 32, 'sha-1': 40, 'sha-256': 64, 'sha-512': 128 }
export type ChecksumResult = { ok: true; checksum: Checksum } | { ok: false; problem: string }

/** `sha-256=HEX`; `sha256` and capitals are read too. */
export function parseChecksum(text: string): ChecksumResult {
  const equals = text.indexOf('=')
  if (equals < 0) return { ok: false, problem: 'checksum names no algorithm; write checksum=sha-256=HEX' }
  const spelling = text.slice(0, equals).trim()
  const hex = text.slice(equals + 1).trim()
  const name = spelling.toLowerCase().replace(/^sha(?=\d)/, 'sha-')
  const algorithm = CHECKSUM_ALGORITHMS.find((known) => known === name)
  if (algorithm === undefined) {
    const allowed = 'md5, sha-1, sha-256 and sha-512'
    return { ok: false, problem: `checksum algorithm "${excerpt(spelling)}" is unknown; ${allowed} are known` }
  }
  if (!/^[0-9a-f]*$/i.test(hex)) {
    return {
      ok: false,
      problem: `checksum ${algorithm} is not hexadecimal; give its ${HEX_DIGITS[algorithm]} hex digits`,
    }
  }
  if (hex.length !== HEX_DIGITS[algorithm]) {
    const counts = `checksum ${algorithm} has ${hex.length} hex digits and needs ${HEX_DIGITS[algorithm]}`
    return { ok: false, problem: `${counts}; copy it again in full` }
  }
  return { ok: true, checksum: { algorithm, hex: hex.toLowerCase() } }
}

/** A bare digest as sha256sum and its kin print it: the number of digits names the algorithm. */
export function checksumByLength(hex: string): ChecksumResult {
  const algorithm = CHECKSUM_ALGORITHMS.find((known) => HEX_DIGITS[known] === hex.length)
  if (algorithm !== undefined) return { ok: true, checksum: { algorithm, hex: hex.toLowerCase() } }
  const counts = '32 (md5), 40 (sha-1), 64 (sha-256) or 128 (sha-512)'
  return { ok: false, problem: `checksum before the URL has ${hex.length} hex digits; it must have ${counts}` }
}
