// Names the ways to keep downloads apart, and decides which one a run gets when it is left to mpdl.

/** From the strongest to the weakest. */
export const ISOLATIONS = ['process', 'pool', 'thread', 'inline'] as const

/** What runs one attempt: a fresh process, a place in a shared one, a fresh thread, or the supervisor itself. */
export type IsolationName = (typeof ISOLATIONS)[number]

/** A process for every attempt costs tens of milliseconds: for more jobs than these, mpdl shares a few. */
export const MOST_JOBS_BY_PROCESS = 100

/** `auto`: as strong as the length of the list allows. */
export function chooseIsolation(wanted: IsolationName | 'auto', jobs: number): IsolationName {
  if (wanted !== 'auto') return wanted
  return jobs <= MOST_JOBS_BY_PROCESS ? 'process' : 'pool'
}
