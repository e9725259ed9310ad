// Decides who a job says it is, and to whom: user and password of whatever source, for the job's own origin only.
// Knows nothing of schemes, challenges or files.

import type { Job } from './job.ts'

export interface UserPassword {
  readonly user: string
  readonly password: string
}

/**
 * `default`: Basic at once, and Digest where the server asks for it. `any`: nothing before a challenge, then the
 * strongest of what it names. `basic`, `digest`: only that.
 */
export const AUTH_MODES = ['default', 'any', 'basic', 'digest'] as const
export type AuthMode = (typeof AUTH_MODES)[number]

/** What the run adds to what the job says. */
export interface RunCredentials {
  /** `-u`. */
  readonly user: UserPassword | undefined
  /** The netrc entry for a host; `user`: only that one's. */
  readonly netrc: (host: string, user: string | undefined) => UserPassword | undefined
}

/** The job's own words win over those in its URL, these over `-u`, which is for all jobs, and that over netrc. */
export function credentialsFor(job: Job, requestedUrl: string, run: RunCredentials): UserPassword | undefined {
  const { hostname, username, password } = new URL(requestedUrl)
  const user = job.options.user ?? (username === '' && password === '' ? undefined : decoded(username))
  const secret = job.options.password ?? (password === '' ? undefined : decoded(password))
  if (user === undefined && secret === undefined) return run.user ?? run.netrc(hostname, undefined)
  if (secret !== undefined) return { user: user ?? '', password: secret }
  const known = run.user?.user === user ? run.user : run.netrc(hostname, user)
  return known ?? { user: user ?? '', password: '' }
}

/** Each run of escapes by itself: a `%` of the password's own may stand beside those the URL parser made. */
function decoded(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
    try {
      return decodeURIComponent(escapes)
    } catch {
      return escapes
    }
  })
}
