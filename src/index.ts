// The library's face. What `mpdl` does on the command line, for programs; everything else is internal.

export type { UserPassword } from './core/credentials.ts'
export type { AttemptRecord, JobRow, LineRange, Outcome, Proof, RunEvent, RunHeader } from './core/event.ts'
export type { Failure, FailureClass, FailureKind } from './core/failure.ts'
export { describe, isTransient } from './core/failure.ts'
export type { IsolationName } from './core/isolation-name.ts'
export type { FailureGroup, ReportWarning, Stop } from './core/report.ts'
export type { Download, DownloadReport } from './download.ts'
export { download } from './download.ts'
export type { DownloadOptions } from './download-options.ts'
export type { JobInput, JobProblem, JobSpec, Jobs, ListFile } from './jobs.ts'
export { JobsError } from './jobs.ts'
