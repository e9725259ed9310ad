// What one line of the list asks for. Knows nothing of files, processes or time.

/** Digest algorithms a list may name, in the spelling of RFC 9530 and Metalink. */
export const CHECKSUM_ALGORITHMS = ['md5', 'sha-1', 'sha-256', 'sha-512'] as const
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number]

export interface Checksum {
  readonly algorithm: ChecksumAlgorithm
  /** Lower-case hexadecimal. */
  readonly hex: string
}

/** The options one list entry may carry; what is absent follows the run's own setting. */
export interface EntryOptions {
  readonly out?: string
  readonly dir?: string
  readonly checksum?: Checksum
  readonly headers?: readonly (readonly [name: string, value: string])[]
  readonly user?: string
  readonly password?: string
  readonly deadlineMs?: number
  readonly timeoutMs?: number
  readonly tries?: number
  readonly split?: number
  /** Absolute URL of a proxy with its credentials, or `none`: directly, whatever the run says. */
  readonly proxy?: string
}

/** One row of the list: the mirrors of one file and its options. `line` counts from 1. */
export interface Entry {
  readonly line: number
  /** Absolute http(s) URLs, credentials and query kept, fragment dropped; at least one. */
  readonly urls: readonly [string, ...string[]]
  readonly options: EntryOptions
}

/** An entry with its place in the run and on disk. */
export interface Job {
  /** Position among the list's entries, from 0. */
  readonly index: number
  readonly line: number
  /** Hash of `target`: a rotated token in the URL does not lose the part. */
  readonly id: string
  readonly urls: readonly [string, ...string[]]
  /** Path relative to `--dir`, with `/` between components, every component safe. */
  readonly target: string
  readonly options: EntryOptions
}
