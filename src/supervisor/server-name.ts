// Reads the name that a server suggests from its Content-Disposition. Knows nothing of what is on disk.

import { parse } from 'content-disposition'
import { excerpt } from '../core/printable.ts'
import { safeServerName } from '../core/server-name.ts'

export interface SuggestedName {
  /** Safe, one component; undefined where none is suggested, or none that can be used. */
  readonly name: string | undefined
  /** A sentence, where the server meant one. */
  readonly problem: string | undefined
}

/** `header`: as it came, its bytes as Latin-1. `filename*` wins over `filename` where it can be decoded (RFC 8187). */
export function suggestedName(header: string): SuggestedName {
  const text = utf8OrLatin1(header)
  const { filename } = parse(text).parameters
  const name = filename === undefined ? undefined : safeServerName(filename)
  const isMissed = name === undefined && /filename/i.test(text)
  const problem = isMissed ? `the server suggests no usable name: ${excerpt(text)}; the URL's is taken` : undefined
  return { name, problem }
}

/** RFC 9110 §5.5 leaves the bytes beyond ASCII open; those that form UTF-8 are hardly meant as anything else. */
function utf8OrLatin1(header: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(header, 'latin1'))
  } catch {
    return header
  }
}
