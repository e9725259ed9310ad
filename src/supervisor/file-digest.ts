// Has one file hashed by a child of its own, under the same deadlines as a download. Knows nothing of why.

import { closeSync, constants, openSync } from 'node:fs'
import type { AttemptRecord } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'
import type { ChecksumAlgorithm, Job } from '../core/job.ts'
import type { ChildRun } from './child-run.ts'
import { diskFailure } from './disk-failure.ts'
import type { JobChildContext } from './job-child.ts'
import { JobChild } from './job-child.ts'
import type { Settings } from './settings.ts'
import { limitsOf } from './settings.ts'

export interface DigestOrder {
  readonly job: Job
  readonly attempt: number
  readonly path: string
  readonly sizeBytes: number
  readonly algorithm: ChecksumAlgorithm
  readonly isAlone: boolean
  /** Another digest is the failure `checksum`; undefined: any will do. */
  readonly expectedHex?: string
}

/** `record`: undefined when no child was started. `hex`: undefined when there is no digest. */
export type Digest =
  | { readonly ok: true; readonly hex: string; readonly record: AttemptRecord }
  | {
      readonly ok: false
      readonly failure: Failure
      readonly hex: string | undefined
      readonly record: AttemptRecord | undefined
    }

const NO_DIGEST: Failure = { kind: 'child-error', detail: 'it claims no digest' }
const NOTHING_MOVED = { movedBytes: 0, resumedFromBytes: 0, range: null, isUnchanged: false }

/** `onChild` gets the child as soon as it is there. */
export async function digestFile(
  context: JobChildContext & { readonly settings: Settings },
  { job, attempt, path, sizeBytes, algorithm, isAlone, expectedHex }: DigestOrder,
  onChild: (child: ChildRun) => void,
): Promise<Digest> {
  const { settings } = context
  let descriptor: number
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch (error) {
    return { ok: false, failure: diskFailure(error, 'read', path), hex: undefined, record: undefined }
  }
  try {
    const child = new JobChild(context, {
      job,
      attempt,
      task: 'hash',
      url: job.urls[0],
      host: '',
      range: null,
      waitMs: 0,
      order: {
        task: { kind: 'hash', algorithms: [algorithm], sizeBytes, beatMs: settings.beatMs },
        file: { descriptor, path, access: 'read' },
        isAlone,
      },
      limits: limitsOf(settings, job.options.timeoutMs),
      positionBytes: () => 0,
      onMessage: () => {},
    })
    onChild(child.run)
    const end = await child.ended()
    const { result } = end
    const hex = result.ok && result.claim.kind === 'done' ? result.claim.digests?.[algorithm] : undefined
    const failure = result.ok ? judge(hex, algorithm, expectedHex) : result.failure
    const record = child.record(end, { ...NOTHING_MOVED, failure })
    return failure === undefined && hex !== undefined
      ? { ok: true, hex, record }
      : { ok: false, failure: failure ?? NO_DIGEST, hex, record }
  } finally {
    closeSync(descriptor)
  }
}

function judge(hex: string | undefined, algorithm: string, expected: string | undefined): Failure | undefined {
  if (hex === undefined) return NO_DIGEST
  return expected === undefined || hex === expected ? undefined : { kind: 'checksum', algorithm, expected, actual: hex }
}
