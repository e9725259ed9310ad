// The library's face. What `mpdl` does on the command line, for programs; everything else is internal.

export type { AttemptRecord, JobRow, Outcome, Proof, RunEvent, RunHeader } from './core/event.ts'
export type { Failure, FailureClass, FailureKind } from './core/failure.ts'
export { describe, isTransient } from './core/failure.ts'
export type { DownloadOptions, DownloadResult } from './download.ts'
export { download } from './download.ts'
