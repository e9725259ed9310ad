// The one loop: takes what happened, asks core what it means, does it. Ends when every job has one outcome and
// every child is joined.

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { KillCause } from '../core/attempt.ts'
import type { CrashStreak } from '../core/breaker.ts'
import { countCrash, NO_CRASHES } from '../core/breaker.ts'
import type { IndependentCounts, Outcome, RunEvent, RunHeader, Status } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'
import { describe, isConnectFailure } from '../core/failure.ts'
import type { Fault } from '../core/fault.ts'
import { haltText, isHaltReached } from '../core/halt.ts'
import type { HostInput, HostVerdict } from '../core/host.ts'
import { hostInputOf } from '../core/host.ts'
import type { Job } from '../core/job.ts'
import { redactUrl } from '../core/redact.ts'
import { isTrouble } from '../core/report.ts'
import { ADVANCE_BYTES, decideRetry } from '../core/retry.ts'
import { Roster } from '../core/roster.ts'
import type { Start } from '../core/schedule.ts'
import { Schedule } from '../core/schedule.ts'
import { totalBytes } from '../core/segment.ts'
import type { Hardening } from '../isolation/hardening.ts'
import type { Isolation } from '../isolation/isolation.ts'
import { Authenticator } from './authenticator.ts'
import type { CookieJar } from './cookie-jar.ts'
import { Deadlines } from './deadlines.ts'
import { HostNames } from './host-names.ts'
import { Inbox } from './inbox.ts'
import type { JobList } from './job-list.ts'
import type { JobEnd, JobRunContext, JobRunResult } from './job-run.ts'
import { JobRun } from './job-run.ts'
import type { JobState } from './job-state.ts'
import { progressOf, rowOf } from './job-state.ts'
import { lineRanges } from './line-ranges.ts'
import { bootId } from './liveness.ts'
import { syncFileSystem } from './part-file.ts'
import { RateLimiter } from './rate-limiter.ts'
import { RunLock } from './run-lock.ts'
import type { Seat } from './seat.ts'
import { Seats } from './seats.ts'
import type { Settings } from './settings.ts'
import type { StateDb } from './state-db.ts'
import { inspectTarget } from './target.ts'
import type { FreedChild } from './transfer.ts'
import type { World } from './world.ts'
import { steady } from './world.ts'

export interface RunParts {
  readonly settings: Settings
  readonly header: RunHeader
  readonly list: JobList
  /** Only these rows run; the rest of the list is none of this run's business. */
  readonly only?: (index: number) => boolean
  /** By row: what comes first, 0 before all else. */
  readonly ranks?: Uint8Array
  readonly isolation: Isolation
  readonly hardening: Hardening
  readonly state: StateDb
  readonly cookies?: CookieJar
  readonly world: World
  readonly emit: (event: RunEvent) => void
  readonly progress?: (status: Status) => void
  readonly progressEveryMs: number
}

/** What the outside may tell a run: signals, mostly. */
export interface RunControls {
  /** Ends the run: children stopped and joined, parts kept, everything reported. Again: at once. */
  interrupt(signal: string): void
  /** Job control: children sleep and wake with their supervisor. */
  signalChildren(signal: 'SIGSTOP' | 'SIGCONT'): void
  status(): Status
}

type Happening =
  | { readonly on: 'job-run-ended'; readonly start: Start; readonly result: JobRunResult }
  | { readonly on: 'seat-free'; readonly seat: Seat; readonly child: FreedChild }
  | { readonly on: 'job-deadline'; readonly index: number }
  | { readonly on: 'wake' }
  | { readonly on: 'tick' }
  | { readonly on: 'interrupt'; readonly signal: string }
  | { readonly on: 'run-deadline' }
  | { readonly on: 'host-down'; readonly host: number }
  | { readonly on: 'bug'; readonly error: unknown }

type StopCause = Extract<RunEvent, { type: 'stopping' }>['cause']

/** Runs the list and resolves with the counts that were made apart from the events. */
export function startRun(parts: RunParts): { readonly controls: RunControls; readonly done: Promise<void> } {
  const run = new Run(parts)
  return { controls: run, done: run.main() }
}

/** Rows of one fate are announced in turns, so that signals and timers are heard meanwhile. */
const ROWS_PER_TURN = 5000
const DRAIN_PER_TURN = 1000

class Run implements RunControls {
  readonly #parts: RunParts
  readonly #inbox = new Inbox<Happening>()
  readonly #schedule: Schedule
  readonly #deadlines: Deadlines
  readonly #jobs = new Roster<number, JobState>()
  readonly #seats: Seats
  readonly #hosts: HostNames
  readonly #context: JobRunContext
  readonly #counts = { listed: 0, spawned: 0, reaped: 0, abandoned: 0, filesOnDisk: 0, bytesOnDisk: 0 }
  readonly #limiter: RateLimiter | undefined
  #streak: CrashStreak = NO_CRASHES
  /** Nothing begins any more; what runs comes to its end. */
  #isClosing = false
  /** What runs is being ended, too. */
  #isStopping = false
  #failed = 0
  /** By the monotonic clock. */
  #endsAtMs = Number.POSITIVE_INFINITY
  #signal: string | undefined
  #wake: NodeJS.Timeout | undefined

  constructor(parts: RunParts) {
    const { settings, list } = parts
    const world = steady(parts.world)
    this.#parts = { ...parts, world }
    this.#hosts = new HostNames(list.hosts)
    const { jobs, maxPerHost, retryDelayMs, retryAfterMaxMs, waitMs } = settings
    const rules = { maxPerHost, retryDelayMs, retryAfterMaxMs }
    this.#schedule = new Schedule(list.size, jobs, rules, {
      ranks: parts.ranks,
      pauseMs: () => jittered(waitMs, world.random()),
    })
    this.#seats = new Seats(this.#schedule, this.#hosts, world.monotonicMs)
    this.#deadlines = new Deadlines(
      world,
      () => this.#inbox.push({ on: 'tick' }),
      (gapMs) => this.#emit({ type: 'suspended', at: world.nowMs(), gap_ms: Math.round(gapMs) }),
    )
    const { limitBytesPerSecond } = settings
    this.#limiter =
      limitBytesPerSecond === undefined ? undefined : new RateLimiter(limitBytesPerSecond, world.monotonicMs)
    this.#context = {
      settings,
      authenticator: new Authenticator({
        mode: settings.auth,
        user: settings.credentials,
        netrc: settings.netrc,
        cnonce: () => randomBytes(16).toString('hex'),
      }),
      cookies: parts.cookies,
      takenNames: settings.serverNames ? new Map() : undefined,
      isolation: parts.isolation,
      deadlines: this.#deadlines,
      hardening: parts.hardening,
      runLock: new RunLock(settings.dir, { version: settings.version, bootId: bootId() }, parts.hardening),
      state: parts.state,
      world,
      bootId: bootId(),
      emit: (event) => this.#emit(event),
      onChild: (child) => {
        if (child.unit !== undefined) this.#counts.spawned++
      },
      onReaped: (end) => {
        if (end.unit === undefined) return
        if (end.wasReaped) this.#counts.reaped++
        else this.#counts.abandoned++
      },
      limiter: this.#limiter,
      onHop: (seat, toHost) => this.#seats.move(seat, toHost),
      onShareable: () => this.#inbox.push({ on: 'wake' }),
      onSeatFree: (seat, child) => this.#inbox.push({ on: 'seat-free', seat, child }),
    }
  }

  interrupt(signal: string): void {
    this.#inbox.push({ on: 'interrupt', signal })
  }

  signalChildren(signal: 'SIGSTOP' | 'SIGCONT'): void {
    for (const { run } of this.#jobs.values()) for (const child of run?.children ?? []) child.signal(signal)
  }

  status(): Status {
    const { world, settings } = this.#parts
    const now = world.nowMs()
    const active = this.#jobs.values().flatMap(progressOf)
    const offset = now - world.monotonicMs()
    const pausedHosts = this.#schedule
      .paused(world.monotonicMs())
      .map(({ host, untilMs }) => ({ host: this.#hosts.nameOf(host), until: Math.round(untilMs + offset) }))
    return { at: now, active, waiting: this.#schedule.waiting, slots: settings.jobs, pausedHosts }
  }

  async main(): Promise<void> {
    const { settings, world, state, header } = this.#parts
    this.#emit({ type: 'run-started', at: world.nowMs(), run: header })
    const { runDeadlineMs } = settings
    let runTimer: NodeJS.Timeout | undefined
    if (runDeadlineMs !== undefined) {
      const leftMs = this.#untilRunDeadline(runDeadlineMs)
      this.#endsAtMs = world.monotonicMs() + leftMs
      runTimer = setTimeout(() => this.#inbox.push({ on: 'run-deadline' }), leftMs)
    }
    const screen = this.#startScreen()
    try {
      await this.#enterJobs()
      this.#haltIfReached()
      while (!this.#isOver()) {
        this.#startWhatMay()
        if (this.#isOver()) break
        this.#planWake()
        this.#handle(await this.#inbox.next())
        this.#haltIfReached()
      }
    } catch (error) {
      // A bug of ours must not leave children behind: none is ours to keep after this.
      for (const { run } of this.#jobs.values()) run?.stop({ kind: 'stopped', reason: 'internal error' }, true)
      await this.#join()
      throw error
    } finally {
      clearTimeout(runTimer)
      clearTimeout(this.#wake)
      clearInterval(screen)
    }
    await this.#join()
    if (settings.fsync === 'run') await syncFileSystem(settings.dir)
    state.close()
    const counts: IndependentCounts = this.#counts
    this.#emit({ type: 'run-ended', at: world.nowMs(), counts, signal: this.#signal ?? null })
  }

  /** Every child is joined before anything is reported; one that cannot be reaped would be waited for for ever. */
  async #join(): Promise<void> {
    // Bounded where there are children that cannot be reaped, except with a process each.
    const { isolation } = this.#parts
    if (this.#counts.abandoned === 0 || isolation.name !== 'process') await isolation.close()
    this.#deadlines.close()
    this.#context.runLock.close()
  }

  #untilRunDeadline(runDeadlineMs: number): number {
    // A clock that was put back since must not make the run's time longer.
    const goneMs = Math.max(0, this.#parts.world.nowMs() - this.#parts.header.started)
    return Math.max(0, runDeadlineMs - goneMs)
  }

  #startScreen(): NodeJS.Timeout | undefined {
    const { progress, progressEveryMs } = this.#parts
    return progress === undefined ? undefined : setInterval(() => progress(this.status()), progressEveryMs)
  }

  #emit(event: RunEvent): void {
    this.#parts.emit(event)
  }

  /** Puts every row where it belongs: into the schedule, or straight to its outcome. */
  async #enterJobs(): Promise<void> {
    const { list, only, ranks } = this.#parts
    // Neighbours of one fate are told together: a list may hold the same line a million times.
    let alike: { outcome: Outcome; failure: Failure | null; reason: string; indexes: number[] } | undefined
    const tell = () => {
      if (alike !== undefined) this.#endMany(alike.indexes, alike.outcome, alike.failure, alike.reason)
      alike = undefined
    }
    for (let index = 0; index < list.size; index++) {
      if (index % ROWS_PER_TURN === ROWS_PER_TURN - 1) await new Promise((resolve) => setImmediate(resolve))
      if (only !== undefined && !only(index)) continue
      this.#counts.listed++
      const fate = list.fateOf(index)
      if (fate.kind === 'job') {
        this.#reserveName(index)
        if (ranks === undefined || ranks[index] === 0) this.#schedule.add(index, list.hostOf(index))
        continue
      }
      const isSame = fate.kind === 'same'
      const reason = isSame ? `same as line ${fate.asLine}` : fate.problem
      if (alike?.reason !== reason || alike.indexes.length >= ROWS_PER_TURN) {
        tell()
        const failure: Failure | null = isSame ? null : { kind: 'bad-line', problem: fate.problem }
        alike = { outcome: isSame ? 'skipped' : 'failed', failure, reason, indexes: [] }
      }
      alike?.indexes.push(index)
    }
    tell()
    const ranksLeft = new Set(ranks)
    ranksLeft.delete(0)
    for (const rank of [...ranksLeft].sort((a, b) => a - b)) {
      for (let index = 0; index < list.size; index++) {
        if (index % ROWS_PER_TURN === ROWS_PER_TURN - 1) await new Promise((resolve) => setImmediate(resolve))
        if (ranks?.[index] !== rank || only?.(index) === false || list.fateOf(index).kind !== 'job') continue
        this.#schedule.add(index, list.hostOf(index))
      }
    }
  }

  /** The names of the list are not a server's to give to another of its jobs. */
  #reserveName(index: number): void {
    const { settings, list } = this.#parts
    const { takenNames } = this.#context
    const target = takenNames === undefined ? undefined : list.read(index)?.target
    if (target !== undefined) takenNames?.set(join(settings.dir, target), index)
  }

  #isOver(): boolean {
    return this.#jobs.size === 0 && this.#schedule.waiting === 0
  }

  #startWhatMay(): void {
    const { world } = this.#parts
    while (!this.#isClosing) {
      const start = this.#schedule.next(world.monotonicMs())
      if (start === undefined) break
      this.#start(start)
    }
    this.#seats.resumeGranted()
    if (!this.#isStopping) this.#shareSpareSlots()
    if (!this.#isClosing && this.#schedule.isStarved) {
      this.#stop('crash-loop', { kind: 'stopped', reason: 'every slot is held by a child that cannot be ended' })
    }
  }

  #start(start: Start): void {
    const { settings, list, world } = this.#parts
    let state = this.#jobs.get(start.index)
    if (state === undefined) {
      const job = list.read(start.index)
      if (job === undefined) {
        this.#schedule.release(start.host)
        const failure: Failure = { kind: 'list-changed' }
        return this.#endMany([start.index], 'failed', failure, describe(failure))
      }
      state = this.#newState(job, start.host)
      this.#jobs.set(start.index, state)
      this.#emit({
        type: 'job-started',
        at: world.nowMs(),
        index: job.index,
        line: job.line,
        id: job.id,
        url: redactUrl(job.urls[0]),
        out: job.target,
      })
    }
    state.attempt++
    state.askedMirror = state.mirror
    const { job, mirror, attempt, waitMs, startOver, isAlone } = state
    const fault = faultFor(settings, job.line, attempt)
    const seat = this.#seats.take(start.host)
    const run = new JobRun(this.#context, { job, mirror, attempt, waitMs, startOver, fault, isAlone, seat })
    state.run = run
    run.run().then(
      (result) => this.#inbox.push({ on: 'job-run-ended', start, result }),
      (error: unknown) => this.#inbox.push({ on: 'bug', error }),
    )
  }

  /** Slots that no job wants go to the files under way, the one with most left to bring first. */
  #shareSpareSlots(): void {
    if (this.#schedule.spare === 0) return
    const runs = this.#jobs.values().flatMap(({ run }) => (run?.transfer === undefined ? [] : [run]))
    runs.sort((a, b) => leftOf(b) - leftOf(a))
    for (const { transfer, progress } of runs) {
      const wanted = transfer?.wants(this.#schedule.spare) ?? 0
      if (transfer === undefined || wanted === 0) continue
      const helpers = this.#seats.takeSpare(progress.job, transfer.loads, wanted)
      if (helpers.length > 0) for (const seat of transfer.share(helpers)) this.#seats.free(seat, false)
    }
  }

  #newState(job: Job, host: number): JobState {
    const { settings, world } = this.#parts
    const afterMs = job.options.deadlineMs ?? settings.deadlineMs
    // Not the first where that one's host was given up before the job began.
    const mirror = Math.max(
      0,
      job.urls.findIndex((url) => this.#hosts.idOfUrl(url, job.options.proxy) === host),
    )
    return {
      job,
      startedAtMs: world.nowMs(),
      deadline:
        afterMs === undefined
          ? undefined
          : {
              timer: setTimeout(() => this.#inbox.push({ on: 'job-deadline', index: job.index }), afterMs),
              atMs: world.monotonicMs() + afterMs,
              afterMs,
            },
      attempts: [],
      warnings: [],
      mirror,
      askedMirror: mirror,
      countedTries: job.urls.map(() => 0),
      attempt: 0,
      waitMs: 0,
      startOver: false,
      isAlone: false,
      resumedFromBytes: undefined,
      furthestBytes: 0,
      run: undefined,
      lastFailure: undefined,
      lastResult: undefined,
    }
  }

  #handle(happening: Happening): void {
    switch (happening.on) {
      case 'job-run-ended':
        return this.#onJobRunEnded(happening.start, happening.result)
      case 'tick':
        return this.#onTick()
      case 'seat-free':
        return this.#onSeatFree(happening.seat, happening.child)
      case 'wake':
        return
      case 'job-deadline':
        return this.#onJobDeadline(happening.index)
      case 'run-deadline':
        return this.#onRunDeadline()
      case 'host-down':
        return this.#giveUpHost(happening.host)
      case 'interrupt':
        return this.#onInterrupt(happening.signal)
      case 'bug':
        throw happening.error
    }
  }

  #onTick(): void {
    for (const { run } of this.#jobs.values()) run?.tick()
    this.#limiter?.tick()
    // The timer stood still while the machine slept.
    if (this.#parts.world.monotonicMs() >= this.#endsAtMs) this.#onRunDeadline()
  }

  #onRunDeadline(): void {
    this.#stop('run-deadline', { kind: 'run-deadline', afterMs: this.#parts.settings.runDeadlineMs ?? 0 })
  }

  #onInterrupt(signal: string): void {
    if (this.#signal === undefined) {
      this.#signal = signal
      const failure: KillCause = { kind: 'cancelled', signal }
      if (!this.#isStopping) return this.#stop('signal', failure)
    }
    // Asked twice: no more grace.
    for (const { run } of this.#jobs.values()) run?.stop({ kind: 'cancelled', signal }, true)
  }

  #onJobDeadline(index: number): void {
    const state = this.#jobs.get(index)
    if (state === undefined) return
    const failure: KillCause = { kind: 'deadline', afterMs: state.deadline?.afterMs ?? 0 }
    if (state.run !== undefined) return state.run.stop(failure)
    // It waits, for a retry or for its host: its place in the queue is given up.
    this.#schedule.cancel(index)
    this.#endJob(state, { ok: false, failure })
  }

  /** One of several children of a file has ended; the others go on, so nothing is decided about the job. */
  #onSeatFree(seat: Seat, { job, failure, hasReceived }: FreedChild): void {
    this.#seats.settle(seat)
    const end =
      failure === undefined ? ({ ok: true, outcome: 'downloaded' } as const) : ({ ok: false, failure } as const)
    // A host that serves others is not down: it takes no more connections.
    const isUnanswered = failure !== undefined && (isConnectFailure(failure) || failure.kind === 'network')
    const isTurnedAway = isUnanswered && !hasReceived && this.#schedule.activeOf(seat.host) > 1
    const input = isTurnedAway
      ? ({ on: 'refused', job: job.index } as const)
      : hostInputOf(end, { index: job.index, isProbe: false })
    if (input !== undefined) this.#judgeHost(seat.host, input, failure)
    if (failure?.kind === 'spawn' && this.#schedule.active > 1) this.#schedule.shrinkToRunning()
    this.#seats.free(seat, failure?.kind === 'abandoned')
  }

  #judgeHost(host: number, input: HostInput, failure: Failure | undefined): HostVerdict {
    const verdict = this.#schedule.judge(host, input, this.#parts.world.monotonicMs())
    if (verdict.change !== undefined) this.#announceHost(host, verdict.change, failure)
    return verdict
  }

  #onJobRunEnded(start: Start, result: JobRunResult): void {
    const state = this.#jobs.get(start.index)
    if (state === undefined) throw new Error('an attempt of no job')
    const { seat } = result
    const { host } = seat
    this.#seats.settle(seat)
    state.run = undefined
    state.lastResult = result
    state.resumedFromBytes ??= result.resumedFromBytes
    state.warnings.push(...result.warnings)

    const failure = result.end.ok ? undefined : result.end.failure
    // A probe that was redirected tells of another host.
    const isProbe = start.isProbe && host === start.host
    const hostInput = hostInputOf(result.end, { index: start.index, isProbe })
    const verdict = hostInput === undefined ? undefined : this.#judgeHost(host, hostInput, failure)
    // The machine has no room for another child, and others run: wait for them, go on with fewer, blame nobody.
    const lacksRoom = failure?.kind === 'spawn' && this.#schedule.active > 1
    if (lacksRoom) this.#schedule.shrinkToRunning()
    this.#seats.free(seat, result.isSeatLost)

    state.isAlone ||= result.isSuspect
    // The try is that of the attempt it gets alone.
    const isSuspect = failure?.kind === 'suspect'
    const isUncounted = lacksRoom || isSuspect || verdict?.isUncounted === true
    const hasAdvanced = result.keptBytes - state.furthestBytes >= ADVANCE_BYTES
    state.furthestBytes = Math.max(state.furthestBytes, result.keptBytes)
    // Several children may have worked on it: that was one try.
    const decisive = result.attempts.findLast(({ task, failure: of }) => task === 'fetch' && of?.kind !== 'not-needed')
    state.attempts.push(
      ...result.attempts.map((record) => ({
        ...record,
        counted: record.task === 'hash' || (record === decisive && !isUncounted && !hasAdvanced),
      })),
    )
    const crash = lacksRoom ? { streak: this.#streak } : countCrash(this.#streak, start.index, failure)
    this.#streak = crash.streak

    if (result.end.ok) this.#endJob(state, result.end)
    else this.#afterFailure(state, result.end.failure, { isUncounted, hasAdvanced, host })

    if (failure?.kind === 'disk-full') {
      this.#stop('disk-full', { kind: 'stopped', reason: describe(failure) })
    } else if (crash.broken !== undefined) {
      const isDisk = failure?.kind === 'no-room'
      const what = isDisk ? 'did not fit' : failure?.kind === 'spawn' ? 'had no child' : 'crashed alike'
      const reason = `five different jobs in a row ${what} (${crash.broken})`
      this.#stop(isDisk ? 'disk-full' : 'crash-loop', { kind: 'stopped', reason })
    }
    if (verdict?.change === 'down') this.#giveUpHost(host)
  }

  #afterFailure(
    state: JobState,
    failure: Failure,
    { isUncounted, hasAdvanced, host }: { isUncounted: boolean; hasAdvanced: boolean; host: number },
  ): void {
    const { settings, world } = this.#parts
    const nowMs = world.monotonicMs()
    state.lastFailure = failure
    if (this.#isClosing) {
      // What it failed of by itself is told, even when the stop was on its way.
      return this.#endJob(state, { ok: false, failure })
    }
    if (isUncounted) {
      state.waitMs = 0
      return this.#planRetry(state, 0, describe(failure), { host, counted: false })
    }
    const decision = decideRetry(
      failure,
      {
        mirror: state.mirror,
        countedTries: state.countedTries,
        isJoined: state.lastResult?.isJoined ?? false,
        hasAdvanced,
      },
      {
        tries: state.job.options.tries ?? settings.tries,
        retryDelayMs: settings.retryDelayMs,
        retryAfterMaxMs: settings.retryAfterMaxMs,
      },
      {
        nowMs,
        random: world.random(),
        ...(state.deadline === undefined ? {} : { deadlineAtMs: state.deadline.atMs }),
      },
    )
    if (decision.do === 'give-up') {
      const { failure: last } = decision
      const inWallTime: Failure =
        last.kind === 'try-later' ? { ...last, atMs: Math.round(world.nowMs() + last.waitMs) } : last
      return this.#endJob(state, { ok: false, failure: inWallTime })
    }
    state.mirror = decision.mirror
    state.countedTries = decision.countedTries
    state.startOver = decision.startOver
    state.waitMs = decision.waitMs
    const { urls, options } = state.job
    const next = this.#hosts.idOfUrl(urls[state.mirror] ?? urls[0], options.proxy)
    // Nothing starts at a host that was given up, so nothing may wait for it.
    if (this.#isDown(next)) return this.#endJob(state, { ok: false, failure })
    this.#planRetry(state, decision.waitMs, describe(failure), { host: next, counted: !hasAdvanced })
  }

  #planRetry(
    state: JobState,
    waitMs: number,
    reason: string,
    { host, counted }: { host: number; counted: boolean },
  ): void {
    const { world } = this.#parts
    const { index, line } = state.job
    this.#emit({
      type: 'retry-planned',
      at: world.nowMs(),
      index,
      line,
      wait_ms: waitMs,
      reason,
      start_over: state.startOver,
      counted,
    })
    this.#schedule.delay(index, host, world.monotonicMs() + waitMs)
  }

  #haltIfReached(): void {
    const { halt } = this.#parts.settings
    const { listed } = this.#counts
    // Where nothing is left there is nothing to stop.
    if (halt === undefined || this.#isClosing || this.#isOver() || !isHaltReached(halt, this.#failed, listed)) return
    const cause: KillCause = {
      kind: 'stopped',
      reason: `${this.#failed} of ${listed} jobs failed (--halt ${haltText(halt)})`,
    }
    if (halt.when === 'now') this.#stop('halt', cause)
    else this.#close('halt', cause)
  }

  #stop(cause: StopCause, failure: KillCause): void {
    if (this.#isStopping) return
    this.#isStopping = true
    this.#close(cause, failure, () => {
      for (const { run } of this.#jobs.values()) run?.stop(failure)
    })
  }

  /** Ends all that waits. */
  #close(cause: StopCause, failure: KillCause, endRunning: () => void = () => {}): void {
    this.#isClosing = true
    const reason = failure.kind === 'stopped' ? failure.reason : describe(failure)
    this.#emit({ type: 'stopping', at: this.#parts.world.nowMs(), cause, reason })
    endRunning()
    // A byte a row, because the rest of a million lines may be concerned.
    const isNotStarted = new Uint8Array(this.#parts.list.size)
    for (const index of this.#schedule.takeAll()) {
      const state = this.#jobs.get(index)
      if (state === undefined) isNotStarted[index] = 1
      else this.#endJob(state, { ok: false, failure: state.lastFailure ?? failure })
    }
    this.#endMany(marked(isNotStarted), 'not-started', null, reason)
  }

  #endMany(indexes: Iterable<number>, outcome: Outcome, failure: Failure | null, reason: string): void {
    const { list, world } = this.#parts
    for (const { count, lines } of lineRanges(indexes, (index) => list.lineOf(index))) {
      // Bad lines were there before anything was asked, and --keep-going says to go on.
      if (isFailed(outcome) && failure?.kind !== 'bad-line') this.#failed += count
      this.#emit({ type: 'jobs-ended', at: world.nowMs(), outcome, failure, reason, count, lines })
    }
  }

  #announceHost(host: number, change: 'cap-lowered' | 'paused' | 'down', failure: Failure | undefined): void {
    const { world } = this.#parts
    const { pausedUntilMs, cap } = this.#schedule.healthOf(host)
    this.#emit({
      type: 'host-changed',
      at: world.nowMs(),
      host: this.#hosts.nameOf(host),
      change,
      reason: failure === undefined ? '' : describe(failure),
      until: change === 'paused' ? Math.round(world.nowMs() + pausedUntilMs - world.monotonicMs()) : null,
      cap,
    })
  }

  /** Fails what waits for a host that is down, some at a time; jobs with a mirror elsewhere go there. */
  #giveUpHost(host: number): void {
    const cause = this.#schedule.healthOf(host).downBecause ?? 'it cannot be reached'
    const failure: Failure = { kind: 'host-down', host: this.#hosts.nameOf(host), cause }
    const fresh = this.#schedule.drain(host, DRAIN_PER_TURN)
    const lost: number[] = []
    for (const index of [...this.#schedule.takeDelayed(host), ...fresh]) {
      const state = this.#jobs.get(index)
      if (state !== undefined) this.#endJob(state, { ok: false, failure: state.lastFailure ?? failure })
      else if (!this.#goToMirror(index)) lost.push(index)
    }
    this.#endMany(
      lost.sort((a, b) => a - b),
      'failed',
      failure,
      describe(failure),
    )
    if (fresh.length > 0) setImmediate(() => this.#inbox.push({ on: 'host-down', host }))
  }

  #goToMirror(index: number): boolean {
    const job = this.#parts.list.read(index)
    const hosts = job?.urls.map((url) => this.#hosts.idOfUrl(url, job.options.proxy))
    const host = hosts?.find((id) => !this.#isDown(id))
    if (host === undefined) return false
    this.#schedule.delay(index, host, this.#parts.world.monotonicMs())
    return true
  }

  #isDown(host: number): boolean {
    return this.#schedule.healthOf(host).downBecause !== undefined
  }

  #endJob(state: JobState, end: JobEnd): void {
    const { world } = this.#parts
    clearTimeout(state.deadline?.timer)
    this.#jobs.delete(state.job.index)
    const row = rowOf(state, end, world.nowMs())
    if (row.outcome === 'downloaded') this.#countOnDisk(row.out)
    if (isFailed(row.outcome)) this.#failed++
    this.#emit({ type: 'job-ended', at: world.nowMs(), row })
  }

  /** Asks the disk, not the events, whether the file is there. */
  #countOnDisk(out: string): void {
    const seen = inspectTarget(join(this.#parts.settings.dir, out))
    if (seen.kind !== 'file') return
    this.#counts.filesOnDisk++
    this.#counts.bytesOnDisk += seen.sizeBytes
  }

  #planWake(): void {
    clearTimeout(this.#wake)
    const atMs = this.#schedule.wakeAtMs()
    if (atMs === undefined) return
    const waitMs = Math.max(0, Math.ceil(atMs - this.#parts.world.monotonicMs()))
    this.#wake = setTimeout(() => this.#inbox.push({ on: 'wake' }), Math.min(waitMs, 2 ** 31 - 1))
  }
}

/** What was cancelled says nothing of how the list fares. */
function isFailed(outcome: Outcome): boolean {
  return isTrouble(outcome) && outcome !== 'cancelled'
}

/** Half as long to one and a half times as long, like wget's --random-wait. */
function jittered(waitMs: number, random: number): number {
  return waitMs * (0.5 + random)
}

/** Bytes that are still to come; a file of unknown size is the last to be helped. */
function leftOf({ sizeBytes = 0, ranges }: JobRun): number {
  return sizeBytes - totalBytes(ranges)
}

/** The positions of the marks, ascending. */
function* marked(marks: Uint8Array): Generator<number> {
  for (let index = marks.indexOf(1); index >= 0; index = marks.indexOf(1, index + 1)) yield index
}

function faultFor(settings: Settings, line: number, attempt: number): Fault | undefined {
  return settings.inject.find((order) => order.line === line && (order.isEveryAttempt || attempt === 1))?.fault
}
