// The content codings that are decoded where --compressed asks for it (RFC 9110 §8.4.1), and what they are called.

export const CODINGS = ['gzip', 'deflate', 'br'] as const
export type Coding = (typeof CODINGS)[number]

/** `identity` where the bytes are the file's own; undefined where it is none that can be decoded. */
export function codingOf(contentEncoding: string | undefined): Coding | 'identity' | undefined {
  const name = contentEncoding?.trim().toLowerCase() || 'identity'
  if (name === 'identity') return name
  // RFC 9110 §8.4.1.3: the old name of gzip.
  return name === 'x-gzip' ? 'gzip' : CODINGS.find((coding) => coding === name)
}
