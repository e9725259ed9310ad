// A mistake of the caller's, with the exit code it deserves (sysexits: 64 usage, 66 no input, 78 configuration …).

export class UsageError extends Error {
  readonly exitCode: number

  /** `message` says what was given, what is allowed and what to do. */
  constructor(message: string, exitCode = 64) {
    super(message)
    this.exitCode = exitCode
  }
}
