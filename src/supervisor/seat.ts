// A child's right to run: one of the slots of --jobs, and one of the places at the host it talks to.

export interface Seat {
  /** Names it to the schedule. */
  readonly ticket: number
  /** Where it counts now: a redirect moves it. */
  host: number
  /** Its child waits for room at that host; called when there is some. */
  resume: (() => void) | undefined
}

/** For a further child of a file: its seat, and the mirror it goes to, an index into the job's URLs. */
export interface Helper {
  readonly seat: Seat
  readonly mirror: number
}
