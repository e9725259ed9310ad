// Turns what the disk refuses into a failure. Anything that is not the disk's is a bug and thrown on.

import type { Failure } from '../core/failure.ts'

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

export function diskFailure(error: unknown, operation: string, path: string): Failure {
  const code = codeOf(error)
  if (code === undefined) throw error
  // Running out of descriptors says nothing about this file: it is the machine that has no room for another child.
  if (code === 'EMFILE' || code === 'ENFILE') return { kind: 'spawn', code }
  return code === 'ENOSPC' || code === 'EDQUOT'
    ? { kind: 'disk-full', path }
    : { kind: 'disk-error', code, operation, path }
}
