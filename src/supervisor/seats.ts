// Gives children their seats: takes and frees what the schedule counts, and wakes those that wait for room at a host.
// Knows nothing of what the children do.

import type { Job } from '../core/job.ts'
import type { Schedule } from '../core/schedule.ts'
import type { HostNames } from './host-names.ts'
import type { Helper, Seat } from './seat.ts'

export class Seats {
  readonly #schedule: Schedule
  readonly #hosts: HostNames
  readonly #monotonicMs: () => number
  readonly #taken = new Map<number, Seat>()
  #tickets = 0

  constructor(schedule: Schedule, hosts: HostNames, monotonicMs: () => number) {
    this.#schedule = schedule
    this.#hosts = hosts
    this.#monotonicMs = monotonicMs
  }

  /** For what the schedule already counts as active at `host`. */
  take(host: number): Seat {
    const seat: Seat = { ticket: ++this.#tickets, host, resume: undefined }
    this.#taken.set(seat.ticket, seat)
    return seat
  }

  /** Its child has ended; `isLost`: or can not be made to. */
  free(seat: Seat, isLost: boolean): void {
    this.#taken.delete(seat.ticket)
    if (isLost) this.#schedule.loseSlot(seat.host)
    else this.#schedule.release(seat.host)
  }

  /** Its child was sent to another host: true when there is room, false when `seat.resume` will be called. */
  move(seat: Seat, toHostName: string): boolean {
    const from = seat.host
    seat.host = this.#hosts.idOf(toHostName)
    return this.#schedule.move(seat.ticket, from, seat.host, this.#monotonicMs())
  }

  /** Its child waits no more, if it did. Before anything is judged or freed. */
  settle(seat: Seat): void {
    this.#schedule.forget(seat.ticket, seat.host)
  }

  /** Wakes the children whose host has room now. */
  resumeGranted(): void {
    for (const ticket of this.#schedule.grants(this.#monotonicMs())) this.#taken.get(ticket)?.resume?.()
  }

  /** Spare seats at the mirrors of one file, the least busy one first, as far as their hosts have room. */
  takeSpare({ urls, options }: Job, loads: readonly number[], wanted: number): Helper[] {
    const nowMs = this.#monotonicMs()
    const mirrors = urls.map((url, mirror) => ({
      mirror,
      host: this.#hosts.idOfUrl(url, options.proxy),
      load: loads[mirror] ?? Number.POSITIVE_INFINITY,
    }))
    const helpers: Helper[] = []
    while (helpers.length < wanted) {
      mirrors.sort((a, b) => a.load - b.load || a.mirror - b.mirror)
      const found = mirrors.find(({ load, host }) => Number.isFinite(load) && this.#schedule.takeSpare(host, nowMs))
      if (found === undefined) break
      found.load++
      helpers.push({ seat: this.take(found.host), mirror: found.mirror })
    }
    return helpers
  }
}
