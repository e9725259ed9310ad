// Decides whether what is on disk is what the list and earlier runs say it should be. Knows nothing of how a file is
// looked at or hashed.

import { isAsLeft, type Look } from './as-left.ts'
import type { Outcome } from './event.ts'
import type { Failure } from './failure.ts'
import { describe } from './failure.ts'
import type { Checksum } from './job.ts'
import { formatBytes } from './units.ts'

/** What may be said of a line of the list, in the order in which a summary counts them. */
export const VERDICTS = [
  'ok',
  'skipped',
  'missing',
  'unfinished',
  'differs',
  'unknown',
  'refused',
  'unreadable',
  'bad',
  'not-verified',
] as const
export type VerdictName = (typeof VERDICTS)[number]

/** What makes a file believed: the list's checksum, what its run hashed, or only how it looks from outside. */
export type VerifyProof = 'checksum' | 'recorded-checksum' | 'size+mtime' | 'size'

export interface Verdict {
  readonly verdict: VerdictName
  readonly proof: VerifyProof | null
  /** A sentence; null when the verdict says it all. */
  readonly reason: string | null
}

export type TargetFacts =
  | { readonly kind: 'missing' }
  | { readonly kind: 'file'; readonly sizeBytes: number; readonly mtimeMs: number }
  | { readonly kind: 'refused'; readonly failure: Failure }

export interface PartFacts {
  /** What the next run would go on from. */
  readonly keptBytes: number
  /** Of the whole file; undefined where nobody told. */
  readonly sizeBytes: number | undefined
  /** Begun by another tool. */
  readonly isForeign: boolean
  /** Who is writing it now. */
  readonly writerPid: number | undefined
}

/** What the last run that finished this file says of it. */
export interface RecordedFile {
  readonly runId: string
  readonly sizeBytes: number
  /** Lower-case hexadecimal; undefined where that run did not hash. */
  readonly sha256: string | undefined
}

/** How mpdl left a file, whichever list it was of. */
export interface RememberedFile {
  readonly sizeBytes: number
  readonly mtimeMs: number
  /** Of the URL that it came from. */
  readonly urlKey: string
}

/** All that is known of a job's file before it is read. */
export interface FileFacts {
  readonly checksum: Checksum | undefined
  readonly target: TargetFacts
  readonly part: PartFacts | undefined
  /** What the last run says became of the job; undefined where it says nothing. */
  readonly lastOutcome: Outcome | undefined
  readonly recorded: RecordedFile | undefined
  readonly remembered: RememberedFile | undefined
  /** Of the job's URLs. */
  readonly urlKeys: readonly string[]
}

export type DigestFacts =
  | { readonly ok: true; readonly hex: string }
  | { readonly ok: false; readonly failure: Failure }

export interface ExpectedDigest {
  readonly checksum: Checksum
  /** How much there is to read. */
  readonly sizeBytes: number
  readonly proof: Extract<VerifyProof, 'checksum' | 'recorded-checksum'>
  /** `the list says`. */
  readonly witness: string
}

/** The digest the file must have; undefined where reading it would prove nothing. */
export function expectedDigest({ checksum, target, recorded }: FileFacts): ExpectedDigest | undefined {
  if (target.kind !== 'file') return undefined
  const { sizeBytes } = target
  if (checksum !== undefined) return { checksum, sizeBytes, proof: 'checksum', witness: 'the list says' }
  if (recorded?.sha256 === undefined || recorded.sizeBytes !== sizeBytes) return undefined
  return {
    checksum: { algorithm: 'sha-256', hex: recorded.sha256 },
    sizeBytes,
    proof: 'recorded-checksum',
    witness: `run ${recorded.runId} recorded`,
  }
}

/** `digest`: of the file, wherever {@link expectedDigest} names one. */
export function judge(facts: FileFacts, digest?: DigestFacts): Verdict {
  const { target, part, lastOutcome } = facts
  if (target.kind === 'refused') return refusal(target.failure)
  if (target.kind === 'missing') return part === undefined ? missing(lastOutcome) : unfinished(part)
  const expected = expectedDigest(facts)
  if (expected === undefined) {
    const seen = judgeByLooks(target, facts)
    // What a run is at work on is not yet as anybody says.
    return seen.verdict !== 'ok' && part?.writerPid !== undefined ? unfinished(part) : seen
  }
  if (digest === undefined) throw new Error('a file was judged before it was read')
  if (!digest.ok) {
    const name = digest.failure.kind === 'cancelled' ? 'not-verified' : 'unreadable'
    return verdict(name, describe(digest.failure))
  }
  const { algorithm, hex } = expected.checksum
  if (digest.hex === hex) return ok(expected.proof, `${algorithm} is as ${expected.witness}`)
  return verdict('differs', `${algorithm} is ${digest.hex}, ${expected.witness} ${hex}`)
}

/** Whether a second look may find it better: a run under way writes down what it left only after it is there. */
export function isDoubtful(facts: FileFacts): boolean {
  return facts.target.kind === 'file' && expectedDigest(facts) === undefined && judge(facts).verdict !== 'ok'
}

/** Whether a person need not hear of it. */
export function isWell(name: VerdictName): boolean {
  return name === 'ok' || name === 'skipped'
}

const verdict = (name: VerdictName, reason: string | null): Verdict => ({ verdict: name, proof: null, reason })
const ok = (proof: VerifyProof, reason: string): Verdict => ({ verdict: 'ok', proof, reason })

function judgeByLooks(file: Look, { recorded, remembered, urlKeys }: FileFacts): Verdict {
  if (remembered !== undefined && isAsLeft(remembered, file) && !urlKeys.includes(remembered.urlKey)) {
    return verdict('differs', 'mpdl left the file of another URL there')
  }
  if (remembered !== undefined && isAsLeft(remembered, file)) {
    return ok('size+mtime', 'size and time are as mpdl left them')
  }
  const known = recorded ?? remembered
  if (known === undefined) return verdict('unknown', 'neither the list nor a run says what it should be')
  const witness = recorded === undefined ? 'mpdl' : `run ${recorded.runId}`
  if (known.sizeBytes !== file.sizeBytes) {
    return verdict('differs', `${file.sizeBytes} bytes, ${witness} left ${known.sizeBytes}`)
  }
  // Where the sizes differ, what is remembered is another version, whose time says nothing about this one.
  if (remembered?.sizeBytes === file.sizeBytes)
    return verdict('differs', 'changed since mpdl left it: same size, another time')
  return ok('size', `size is as ${witness} left it`)
}

function refusal(failure: Failure): Verdict {
  if (failure.kind === 'target-is-symlink') return verdict('refused', `${failure.path} is a symbolic link`)
  if (failure.kind === 'target-is-directory') return verdict('refused', 'a directory stands there')
  // What is neither file, link nor directory: a pipe, a socket, a device.
  if (failure.kind === 'disk-error' && failure.code === 'EEXIST') return verdict('refused', 'it is no regular file')
  return verdict('unreadable', describe(failure))
}

function missing(lastOutcome: Outcome | undefined): Verdict {
  if (lastOutcome === undefined) return verdict('missing', null)
  const wasThere = lastOutcome === 'downloaded' || lastOutcome === 'unchanged' || lastOutcome === 'skipped'
  return verdict('missing', wasThere ? 'the last run left it there' : `${lastOutcome} in the last run`)
}

function unfinished({ keptBytes, sizeBytes, isForeign, writerPid }: PartFacts): Verdict {
  const size = sizeBytes === undefined ? 'a size nobody told' : formatBytes(sizeBytes)
  const parts = [`${formatBytes(keptBytes)} of ${size}`]
  if (isForeign) parts.push('begun by another tool')
  if (writerPid !== undefined) parts.push(`being written by pid ${writerPid}`)
  return verdict('unfinished', parts.join(', '))
}
