// Decides whether the schedule starts what may start and only that, by holding it against a model so naive that
// it is plainly right.

import { describe, expect, test } from 'vitest'
import type { HostHealth, HostInput, HostRules } from '../../src/core/host.ts'
import { capOf, freshHost, judgeHost } from '../../src/core/host.ts'
import type { Start } from '../../src/core/schedule.ts'
import { Schedule } from '../../src/core/schedule.ts'
import fc from '../fixtures/property.ts'

const HOSTS = 4

type JobState =
  | { readonly is: 'fresh' | 'again' | 'active' | 'held'; readonly host: number }
  /** `cancelled` while it waited: it is over, but its place is kept until its time has come. */
  | { readonly is: 'delayed' | 'cancelled'; readonly host: number; readonly atMs: number }
  | { readonly is: 'over' }

/** The same rules over one plain list of jobs, looked through from the start each time. */
class Model {
  readonly jobs: JobState[]
  readonly health: HostHealth[]
  readonly slots: number
  readonly rules: HostRules
  readonly ranks: readonly number[]
  /** The hosts of further children of jobs under way. */
  readonly helpers: number[] = []
  lost = 0

  constructor(hosts: readonly number[], slots: number, rules: HostRules, ranks: readonly number[]) {
    this.ranks = ranks
    this.jobs = hosts.map((host) => ({ is: 'fresh', host }))
    this.health = Array.from({ length: HOSTS }, () => freshHost(rules))
    this.slots = slots
    this.rules = rules
  }

  all(is: JobState['is'], host?: number): number[] {
    return this.jobs.flatMap((job, index) =>
      job.is === is && (host === undefined || (job.is !== 'over' && job.host === host)) ? [index] : [],
    )
  }

  hostOf(index: number): number {
    const job = this.jobs[index]
    if (job === undefined || job.is === 'over') throw new Error(`job ${index} is nowhere`)
    return job.host
  }

  healthOf(host: number): HostHealth {
    return this.health[host] ?? freshHost(this.rules)
  }

  get active(): number {
    return this.all('active').length + this.all('held').length + this.helpers.length
  }

  get waiting(): number {
    return this.all('fresh').length + this.all('again').length + this.all('delayed').length
  }

  activeOf(host: number): number {
    return this.all('active', host).length + this.helpers.filter((of) => of === host).length
  }

  get spare(): number {
    return Math.max(0, this.slots - this.active - this.lost - this.waiting)
  }

  takeSpare(host: number, nowMs: number): boolean {
    const comeFirst = (['held', 'delayed', 'cancelled'] as const).flatMap((is) => this.all(is, host)).length
    const isTaken = this.spare > 0 && this.hasRoom(host, nowMs, this.activeOf(host) + comeFirst)
    if (isTaken) this.helpers.push(host)
    return isTaken
  }

  hasRoom(host: number, nowMs: number, taken = this.activeOf(host)): boolean {
    const health = this.healthOf(host)
    return taken < capOf(health) && health.pausedUntilMs <= nowMs
  }

  byRank(indexes: readonly number[]): number[] {
    return indexes.toSorted((a, b) => (this.ranks[a] ?? 0) - (this.ranks[b] ?? 0) || a - b)
  }

  /** Jobs of one host in the order in which they start. */
  queueOf(host: number): number[] {
    return [...this.all('again', host), ...this.byRank(this.all('fresh', host))]
  }

  wake(nowMs: number): void {
    this.jobs.forEach((job, index) => {
      if (job.is === 'delayed' && job.atMs <= nowMs) this.jobs[index] = { is: 'again', host: job.host }
      if (job.is === 'cancelled' && job.atMs <= nowMs) this.jobs[index] = { is: 'over' }
    })
  }

  next(nowMs: number): Start | undefined {
    this.wake(nowMs)
    if (this.active + this.lost >= this.slots) return undefined
    const heads = Array.from({ length: HOSTS }, (_, host) => host).flatMap((host) => {
      // Children that are held for this host come before its waiting jobs.
      const taken = this.activeOf(host) + this.all('held', host).length
      const [index] = this.queueOf(host)
      return index === undefined || !this.hasRoom(host, nowMs, taken) ? [] : [{ index, host }]
    })
    const [least] = this.byRank(heads.map(({ index }) => index))
    const first = heads.find(({ index }) => index === least)
    if (first === undefined) return undefined
    this.jobs[first.index] = { is: 'active', host: first.host }
    return { ...first, isProbe: this.healthOf(first.host).isProbing }
  }

  judge(host: number, input: HostInput, nowMs: number): void {
    const at = { nowMs, othersRunning: this.activeOf(host) - 1 }
    this.health[host] = judgeHost(this.healthOf(host), input, this.rules, at).health
  }
}

type Operation =
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'start'; readonly most: number }
  | { readonly do: 'end'; readonly which: number; readonly input: HostInput['on'] | 'crash'; readonly waitMs?: number }
  | { readonly do: 'lose'; readonly which: number }
  | { readonly do: 'cancel'; readonly which: number }
  | { readonly do: 'move'; readonly which: number; readonly to: number }
  | { readonly do: 'help'; readonly host: number }
  | { readonly do: 'end-help'; readonly which: number }
  | { readonly do: 'grant' }
  | { readonly do: 'drain'; readonly host: number; readonly most: number }
  | { readonly do: 'take-delayed'; readonly host?: number }

const host = fc.nat(HOSTS - 1)
const which = fc.nat(1000)
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass'), ms: fc.constantFrom(0, 1, 100, 2000, 60_000) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('start'), most: fc.integer({ min: 1, max: 6 }) }) },
  {
    weight: 8,
    arbitrary: fc.record(
      {
        do: fc.constant('end'),
        which,
        input: fc.constantFrom<HostInput['on'] | 'crash'>('success', 'refused', 'connect-failure', 'answered', 'crash'),
        waitMs: fc.constantFrom(0, 50, 2000),
      },
      { requiredKeys: ['do', 'which', 'input'] },
    ),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lose'), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel'), which }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('move'), which, to: host }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('help'), host }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('end-help'), which }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('grant') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drain'), host, most: fc.integer({ min: 1, max: 5 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('take-delayed'), host }, { requiredKeys: ['do'] }),
  },
)

const pick = (of: readonly number[], at: number): number | undefined => of[at % Math.max(1, of.length)]
const sorted = (indexes: Iterable<number>) => [...indexes].toSorted((a, b) => a - b)

/** With every job in it that there is. */
function ranked(hosts: readonly number[], slots: number, rules: HostRules, ranks?: readonly number[]): Schedule {
  const schedule = new Schedule(hosts.length, slots, rules, {
    ranks: ranks === undefined ? undefined : Uint8Array.from(ranks),
  })
  const order = hosts.map((_, index) => index).sort((a, b) => (ranks?.[a] ?? 0) - (ranks?.[b] ?? 0))
  for (const index of order) schedule.add(index, hosts[index] ?? 0)
  return schedule
}

/** The schedule and the model side by side; every answer must be the same. */
class Pair {
  readonly schedule: Schedule
  readonly model: Model
  nowMs = 1000

  constructor(hosts: readonly number[], slots: number, rules: HostRules, ranks?: readonly number[]) {
    this.schedule = ranked(hosts, slots, rules, ranks)
    this.model = new Model(hosts, slots, rules, ranks ?? [])
  }

  perform(what: Operation): void {
    const { schedule, model, nowMs } = this
    switch (what.do) {
      case 'pass':
        this.nowMs += what.ms
        return
      case 'start':
        for (let n = 0; n < what.most; n++) expect(schedule.next(nowMs)).toEqual(model.next(nowMs))
        return
      case 'end': {
        const index = pick(sorted([...model.all('active'), ...model.all('held')]), what.which)
        if (index !== undefined) this.end(index, what.input, what.waitMs)
        return
      }
      case 'lose': {
        // Losing a slot is rare; were all lost, nothing more could be learned.
        const index = pick(model.all('active'), what.which)
        if (index === undefined || model.lost > 0) return
        schedule.loseSlot(model.hostOf(index))
        model.jobs[index] = { is: 'over' }
        model.lost++
        return
      }
      case 'cancel': {
        const index = pick(sorted([...model.all('delayed'), ...model.all('again')]), what.which)
        if (index === undefined) return
        schedule.cancel(index)
        const job = model.jobs[index]
        model.jobs[index] = job?.is === 'delayed' ? { ...job, is: 'cancelled' } : { is: 'over' }
        return
      }
      case 'move': {
        const index = pick(model.all('active'), what.which)
        if (index === undefined) return
        const from = model.hostOf(index)
        const mayGoOn = from === what.to || model.hasRoom(what.to, nowMs)
        expect(schedule.move(index, from, what.to, nowMs)).toBe(mayGoOn)
        model.jobs[index] = { is: mayGoOn ? 'active' : 'held', host: what.to }
        return
      }
      case 'help':
        expect(schedule.takeSpare(what.host, nowMs)).toBe(model.takeSpare(what.host, nowMs))
        return
      case 'end-help': {
        const [host] = model.helpers.splice(what.which % Math.max(1, model.helpers.length), 1)
        if (host !== undefined) schedule.release(host)
        return
      }
      case 'grant': {
        const granted = schedule.grants(nowMs)
        for (const index of granted) {
          expect(model.jobs[index]?.is).toBe('held')
          expect(model.hasRoom(model.hostOf(index), nowMs)).toBe(true)
          model.jobs[index] = { is: 'active', host: model.hostOf(index) }
        }
        for (const index of model.all('held')) expect(model.hasRoom(model.hostOf(index), nowMs)).toBe(false)
        return
      }
      case 'drain': {
        const expected = model.queueOf(what.host).slice(0, what.most)
        expect(schedule.drain(what.host, what.most)).toEqual(expected)
        for (const index of expected) model.jobs[index] = { is: 'over' }
        return
      }
      case 'take-delayed': {
        const expected = model.all('delayed', what.host)
        expect(sorted(schedule.takeDelayed(what.host))).toEqual(expected)
        for (const index of [...expected, ...model.all('cancelled')]) model.jobs[index] = { is: 'over' }
      }
    }
  }

  end(index: number, input: HostInput['on'] | 'crash', waitMs: number | undefined): void {
    const { schedule, model, nowMs } = this
    const of = model.hostOf(index)
    expect(schedule.forget(index, of)).toBe(model.jobs[index]?.is === 'held')
    model.jobs[index] = { is: 'active', host: of }
    if (input !== 'crash') {
      const judged: HostInput =
        input === 'connect-failure'
          ? { on: input, cause: 'refused', isProbe: model.healthOf(of).isProbing }
          : input === 'refused'
            ? { on: input, job: index, ...(index % 2 === 0 ? { retryAfterMs: 500 } : {}) }
            : { on: input }
      schedule.judge(of, judged, nowMs)
      model.judge(of, judged, nowMs)
    }
    schedule.release(of)
    model.jobs[index] = { is: 'over' }
    if (waitMs === undefined) return
    schedule.delay(index, of, nowMs + waitMs)
    model.jobs[index] = { is: 'delayed', host: of, atMs: nowMs + waitMs }
  }

  compare(): void {
    const { schedule, model, nowMs } = this
    expect([schedule.waiting, schedule.active, schedule.spare]).toEqual([model.waiting, model.active, model.spare])
    expect(schedule.isStarved).toBe(model.lost >= model.slots)
    for (let of = 0; of < HOSTS; of++) {
      expect(schedule.activeOf(of)).toBe(model.activeOf(of))
      expect(schedule.healthOf(of)).toEqual(model.healthOf(of))
    }
    expect(schedule.paused(nowMs).toSorted((a, b) => a.host - b.host)).toEqual(
      model.health.flatMap(({ pausedUntilMs }, of) =>
        pausedUntilMs > nowMs ? [{ host: of, untilMs: pausedUntilMs }] : [],
      ),
    )
    expect(schedule.active + model.lost).toBeLessThanOrEqual(model.slots)
    // It wakes at the latest when the first wait is over; waking too early is harmless.
    const waits = model.jobs.flatMap((job) => (job.is === 'delayed' ? [job.atMs] : []))
    if (waits.length > 0) expect(schedule.wakeAtMs()).toBeLessThanOrEqual(Math.min(...waits))
  }
}

const setting = fc.record({
  // Of few jobs, so that slots are to spare, or of many.
  hosts: fc.oneof(fc.array(host, { maxLength: 5 }), fc.array(host, { maxLength: 40 })),
  slots: fc.integer({ min: 2, max: 8 }),
  maxPerHost: fc.integer({ min: 1, max: 4 }),
  ranks: fc.option(fc.array(fc.nat(3), { minLength: 40, maxLength: 40 }), { nil: undefined }),
})
const rulesOf = (maxPerHost: number): HostRules => ({ maxPerHost, retryDelayMs: 100, retryAfterMaxMs: 600_000 })

describe('against the model', () => {
  test('any history gives the same starts, counts, holds and pauses, and what is left is left exactly once', () => {
    fc.assert(
      fc.property(
        setting,
        fc.array(operation, { maxLength: 120 }),
        ({ hosts, slots, maxPerHost, ranks }, operations) => {
          const pair = new Pair(hosts, slots, rulesOf(maxPerHost), ranks)
          for (const what of operations) {
            pair.perform(what)
            pair.compare()
          }
          const { model, schedule } = pair
          const left = sorted([...model.all('fresh'), ...model.all('again'), ...model.all('delayed')])
          expect(sorted(schedule.takeAll())).toEqual(left)
          expect([schedule.waiting, schedule.next(pair.nowMs + 1e9)]).toEqual([0, undefined])
        },
      ),
      { numRuns: 400 },
    )
  })

  test('a run that ends every transfer and sleeps until it is woken comes to its end, with nothing lost', () => {
    fc.assert(
      fc.property(setting, fc.infiniteStream(fc.nat(99)), ({ hosts, slots, maxPerHost, ranks }, chance) => {
        const schedule = ranked(hosts, slots, rulesOf(maxPerHost), ranks)
        const attempts = new Map<number, number>()
        const running: { index: number; host: number; isProbe: boolean }[] = []
        const ended = new Set<number>()
        let nowMs = 0
        const roll = () => chance.next().value ?? 0
        for (let turn = 0; schedule.waiting > 0 || running.length > 0; turn++) {
          expect(turn).toBeLessThan(20_000)
          for (let start = schedule.next(nowMs); start !== undefined; start = schedule.next(nowMs)) {
            expect(running.some(({ index }) => index === start.index) || ended.has(start.index)).toBe(false)
            expect(schedule.activeOf(start.host)).toBeLessThanOrEqual(maxPerHost)
            attempts.set(start.index, (attempts.get(start.index) ?? 0) + 1)
            const to = roll() < 20 ? roll() % HOSTS : start.host
            // Held or not, it ends some time; here a held child simply ends in its turn.
            schedule.move(start.index, start.host, to, nowMs)
            running.push({ ...start, host: to })
          }
          schedule.grants(nowMs)
          const at = roll() % Math.max(1, running.length)
          const [over] = running.splice(at, 1)
          if (over === undefined) {
            const wakeAtMs = schedule.wakeAtMs()
            if (wakeAtMs === undefined) return expect.unreachable('jobs wait and nothing will ever wake them')
            nowMs = Math.max(nowMs, wakeAtMs)
            continue
          }
          schedule.forget(over.index, over.host)
          const isLast = (attempts.get(over.index) ?? 0) >= 5
          const fate = roll() % 4
          const input: HostInput =
            fate === 0
              ? { on: 'connect-failure', cause: 'x', isProbe: over.isProbe }
              : fate === 1
                ? { on: 'refused', job: over.index }
                : { on: 'success' }
          const { isUncounted } = schedule.judge(over.host, input, nowMs)
          schedule.release(over.host)
          if (fate > 1 || isLast) ended.add(over.index)
          else {
            if (isUncounted) attempts.set(over.index, (attempts.get(over.index) ?? 1) - 1)
            schedule.delay(over.index, over.host, nowMs + roll() * 10)
          }
        }
        expect(sorted(ended)).toEqual(hosts.map((_, index) => index))
        expect(schedule.active).toBe(0)
      }),
      { numRuns: 200 },
    )
  })
})

const RULES = rulesOf(2)
const started = (schedule: Schedule, nowMs = 0): number[] => {
  const indexes: number[] = []
  for (let start = schedule.next(nowMs); start !== undefined; start = schedule.next(nowMs)) indexes.push(start.index)
  return indexes
}

describe('one after the other', () => {
  test('a crowded host does not block the others', () => {
    const schedule = new Schedule(6, 4, RULES)
    for (const [index, of] of [0, 0, 0, 0, 1, 1].entries()) schedule.add(index, of)
    expect(started(schedule)).toEqual([0, 1, 4, 5])
    schedule.release(1)
    expect(started(schedule)).toEqual([])
    schedule.release(0)
    expect(started(schedule)).toEqual([2])
  })

  test('a child held for its new host comes before the jobs that wait for that host', () => {
    const schedule = new Schedule(6, 4, RULES)
    for (const [index, of] of [0, 1, 1, 1, 1, 1].entries()) schedule.add(index, of)
    expect(started(schedule)).toEqual([0, 1, 2])
    expect(schedule.move(0, 0, 1, 0)).toBe(false)
    schedule.release(1)
    expect(started(schedule)).toEqual([])
    expect(schedule.grants(0)).toEqual([0])
    schedule.release(1)
    expect(started(schedule)).toEqual([3])
  })

  test('jobs that waited come before the fresh ones of their host', () => {
    const schedule = new Schedule(4, 2, RULES)
    for (let index = 0; index < 4; index++) schedule.add(index, 0)
    expect(started(schedule)).toEqual([0, 1])
    schedule.release(0)
    schedule.delay(1, 0, 50)
    expect(started(schedule, 49)).toEqual([2])
    schedule.release(0)
    expect(started(schedule, 50)).toEqual([1])
  })

  test('a job that came back and found no slot is among what is left', () => {
    const schedule = new Schedule(3, 1, RULES)
    for (let index = 0; index < 3; index++) schedule.add(index, 0)
    expect(schedule.next(0)?.index).toBe(0)
    schedule.release(0)
    schedule.delay(0, 0, 50)
    expect([schedule.next(0)?.index, schedule.next(50)]).toEqual([1, undefined])
    expect(sorted(schedule.takeAll())).toEqual([0, 2])
    expect(schedule.waiting).toBe(0)
  })

  test('a paused host starts again by itself when its pause is over', () => {
    const schedule = new Schedule(2, 2, RULES)
    schedule.add(0, 0)
    schedule.add(1, 0)
    expect(schedule.next(0)?.index).toBe(0)
    schedule.judge(0, { on: 'refused', job: 0, retryAfterMs: 500 }, 0)
    schedule.release(0)
    expect(started(schedule, 499)).toEqual([])
    expect(schedule.wakeAtMs()).toBe(500)
    expect(started(schedule, 500)).toEqual([1])
    expect(schedule.wakeAtMs()).toBeUndefined()
  })

  test('with a pause between starts a host gets them one by one, whoever wants to start', () => {
    const pauses = [100, 50, 200]
    const schedule = new Schedule(4, 4, RULES, { pauseMs: () => pauses.shift() ?? 0 })
    for (const [index, of] of [0, 0, 1, 0].entries()) schedule.add(index, of)
    expect(started(schedule)).toEqual([0, 2])
    expect(schedule.wakeAtMs()).toBe(50)
    expect([started(schedule, 99), schedule.move(0, 1, 0, 99)]).toEqual([[], false])
    expect([schedule.grants(99), schedule.grants(100)]).toEqual([[], [0]])
    schedule.release(0)
    expect([started(schedule, 299), started(schedule, 300)]).toEqual([[], [1]])
  })

  test('a host that could not be reached is asked by one job alone, which is called a probe', () => {
    const schedule = new Schedule(9, 8, rulesOf(8))
    for (let index = 0; index < 9; index++) schedule.add(index, 0)
    expect(started(schedule)).toHaveLength(8)
    for (let n = 0; n < 8; n++) {
      schedule.judge(0, { on: 'connect-failure', cause: 'x', isProbe: false }, 0)
      schedule.release(0)
      schedule.delay(n, 0, 0)
    }
    expect(schedule.next(1000)).toEqual({ index: 0, host: 0, isProbe: true })
    expect(schedule.next(1000)).toBeUndefined()
  })
})

describe('ranks', () => {
  test('all of a lower rank come before all of a higher one, in list order within a rank', () => {
    const schedule = ranked([0, 1, 0, 1, 0, 1], 8, rulesOf(8), [2, 1, 0, 1, 0, 2])
    expect(started(schedule)).toEqual([2, 4, 1, 3, 0, 5])
  })

  test('a crowded host whose jobs come first does not block the others', () => {
    const schedule = ranked([0, 0, 0, 1, 2], 4, RULES, [0, 0, 0, 2, 1])
    expect(started(schedule)).toEqual([0, 1, 4, 3])
  })

  test('a job that waited comes before the fresh ones of its host, whatever their rank', () => {
    const schedule = ranked([0, 0, 0], 1, RULES, [0, 0, 1])
    expect(started(schedule)).toEqual([0])
    schedule.release(0)
    schedule.delay(0, 0, 50)
    expect(started(schedule, 49)).toEqual([1])
    schedule.release(0)
    schedule.cancel(0)
    expect(started(schedule, 50)).toEqual([2])
  })

  test('a job that waited competes with other hosts by its own rank', () => {
    const schedule = ranked([0, 1, 1], 1, RULES, [1, 0, 2])
    expect(started(schedule)).toEqual([1])
    schedule.release(1)
    schedule.delay(1, 1, 0)
    expect(started(schedule)).toEqual([1])
    schedule.release(1)
    expect(started(schedule)).toEqual([0])
    schedule.release(0)
    expect(started(schedule)).toEqual([2])
  })

  test('ranks in which there is nobody are passed over', () => {
    expect(started(ranked([0, 0, 0], 8, rulesOf(8), [250, 7, 250]))).toEqual([1, 0, 2])
  })
})

describe('a spare slot', () => {
  const scheduleOf = (hosts: readonly number[], slots: number, maxPerHost: number) => {
    const schedule = new Schedule(hosts.length, slots, rulesOf(maxPerHost))
    for (const [index, of] of hosts.entries()) schedule.add(index, of)
    return schedule
  }
  const helpersOf = (schedule: Schedule, host: number, nowMs = 0) => {
    let helpers = 0
    while (schedule.takeSpare(host, nowMs)) helpers++
    return helpers
  }

  test('is one that no job wants, and there are as many of them as the host has room for', () => {
    const schedule = scheduleOf([0], 8, 3)
    expect([schedule.next(0)?.index, schedule.spare]).toEqual([0, 7])
    expect([helpersOf(schedule, 0), helpersOf(schedule, 1), schedule.spare]).toEqual([2, 3, 2])
    schedule.release(1)
    expect(schedule.spare).toBe(3)
  })

  test('is none while jobs wait for their host, for their retry or for a slot', () => {
    const schedule = scheduleOf([0, 0, 0, 1], 3, 1)
    expect(started(schedule)).toEqual([0, 3])
    expect([schedule.spare, helpersOf(schedule, 2)]).toEqual([0, 0])
    schedule.release(1)
    schedule.delay(3, 1, 1000)
    expect([schedule.spare, helpersOf(schedule, 2)]).toEqual([0, 0])
  })

  test('is not at a host that jobs will come back to, as far as they need the room', () => {
    const schedule = scheduleOf([0, 0, 0], 8, 4)
    expect(started(schedule)).toEqual([0, 1, 2])
    for (const index of [1, 2]) {
      schedule.release(0)
      schedule.delay(index, 0, 1000)
    }
    expect(helpersOf(schedule, 0)).toBe(1)
    expect(started(schedule, 1000)).toEqual([1, 2])
    for (let n = 0; n < 2; n++) schedule.release(0)
    expect(helpersOf(schedule, 0, 1000)).toBe(2)
  })

  test('is kept for nobody who was taken from the queue', () => {
    const schedule = scheduleOf([0, 1], 8, 2)
    expect(started(schedule)).toEqual([0, 1])
    for (const index of [0, 1]) {
      schedule.release(index)
      schedule.delay(index, index, 1000)
    }
    expect(schedule.takeDelayed(0)).toEqual([0])
    expect([helpersOf(schedule, 0), helpersOf(schedule, 1)]).toEqual([2, 1])
  })

  test('is not at a host that is left in peace, nor in the place of a child that is held for it', () => {
    const paused = scheduleOf([0], 8, 4)
    paused.next(0)
    paused.judge(0, { on: 'refused', job: 0, retryAfterMs: 500 }, 0)
    expect([helpersOf(paused, 0, 499), helpersOf(paused, 0, 500)]).toEqual([0, 3])

    const held = scheduleOf([0, 1], 8, 1)
    expect(started(held)).toEqual([0, 1])
    expect(held.move(7, 0, 1, 0)).toBe(false)
    held.release(1)
    expect(helpersOf(held, 1)).toBe(0)
    expect(held.grants(0)).toEqual([7])
  })

  test('is none of those that were lost', () => {
    const schedule = scheduleOf([0, 0], 3, 4)
    expect(started(schedule)).toEqual([0, 1])
    schedule.loseSlot(0)
    expect(helpersOf(schedule, 0)).toBe(1)
  })
})

test('a million jobs take bounded memory and no long calls', () => {
  const size = 1_000_000
  const bytes = () => process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers
  const before = bytes()
  const schedule = new Schedule(size, 8, RULES)
  for (let index = 0; index < size; index++) schedule.add(index, index % 1000)
  expect(bytes() - before).toBeLessThan(100 * 2 ** 20)
  for (let index = 0; index < 10_000; index++) {
    const start = schedule.next(0)
    expect(start?.index).toBe(index)
    schedule.release(start?.host ?? 0)
  }
  expect(schedule.waiting).toBe(size - 10_000)
  expect(schedule.drain(7, size)).toHaveLength(990)
  let left = 0
  for (const _ of schedule.takeAll()) left++
  expect(left).toBe(size - 10_000 - 990)
})

test('with no room for another child the slots shrink to what runs, and never to none', () => {
  const schedule = new Schedule(6, 4, { maxPerHost: 4, retryDelayMs: 1, retryAfterMaxMs: 1 })
  for (let index = 0; index < 6; index++) schedule.add(index, 0)
  for (let i = 0; i < 3; i++) schedule.next(0)
  schedule.shrinkToRunning()
  schedule.release(0)
  expect(schedule.next(0)).toBeUndefined()
  schedule.release(0)
  expect(schedule.next(0)?.index).toBe(3)
  schedule.release(0)
  schedule.shrinkToRunning()
  schedule.release(0)
  expect(schedule.next(0)?.index).toBe(4)
})
