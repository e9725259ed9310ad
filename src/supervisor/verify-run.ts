// Goes through a list in order and finds a verdict for each line; what must be read is read by children, several at a
// time. Changes nothing on disk. Knows nothing of how verdicts are shown.

import { lstatSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Status } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'
import { describe } from '../core/failure.ts'
import type { Checksum, ChecksumAlgorithm, Job } from '../core/job.ts'
import { redactUrl } from '../core/redact.ts'
import { codedKey, urlKey } from '../core/request.ts'
import type { ExpectedDigest, FileFacts, TargetFacts, Verdict } from '../core/verify.ts'
import { expectedDigest, isDoubtful, judge } from '../core/verify.ts'
import type { Isolation } from '../isolation/isolation.ts'
import type { ChildRun } from './child-run.ts'
import { Deadlines } from './deadlines.ts'
import { diskFailure } from './disk-failure.ts'
import type { Digest } from './file-digest.ts'
import { digestFile } from './file-digest.ts'
import { Inbox } from './inbox.ts'
import type { JobChildContext } from './job-child.ts'
import type { JobList } from './job-list.ts'
import { bootId } from './liveness.ts'
import type { RunControls } from './run.ts'
import type { Settings } from './settings.ts'
import { inspectTarget } from './target.ts'
import type { FileMemory } from './verify-memory.ts'
import { lookAtPart } from './verify-part.ts'
import type { PastFiles } from './verify-past.ts'
import type { World } from './world.ts'

/** One line of the list; what concerns a job is null where the line is none. */
export interface VerifiedLine extends Verdict {
  readonly line: number
  readonly id: string | null
  /** Redacted. */
  readonly url: string | null
  readonly out: string | null
  readonly sizeBytes: number | null
  /** What was computed, whether it fits or not. */
  readonly digest: Checksum | null
}

export interface VerificationParts {
  readonly list: JobList
  readonly settings: Settings
  readonly isolation: Isolation
  readonly past: PastFiles
  readonly memory: FileMemory
  readonly world: World
  /** Called before it waits for a child: a good moment to show what is there. */
  readonly onWait: () => Promise<void>
}

/** A line on its way; those behind it may be done sooner. */
interface Pending {
  done: VerifiedLine | undefined
}

/** What was seen of a job's file. */
interface Look {
  readonly facts: FileFacts
  /** Absolute. */
  readonly path: string
}

interface Reading {
  readonly job: Job
  readonly sizeBytes: number
  readonly startedAtMs: number
  child: ChildRun | undefined
}

type Happening =
  | { readonly pending: Pending; readonly done: VerifiedLine; readonly reading: Reading }
  | { readonly bug: unknown }

/** Lines that are known before an earlier one is, at most: bounds the memory. */
const LINES_AHEAD = 10_000
/** Lines without a child are done in turns, so that signals are heard meanwhile. */
const LINES_PER_TURN = 1000
/** A run under way may replace a file while it is read. */
const MAX_LOOKS = 3

export class Verification implements RunControls {
  readonly #parts: VerificationParts
  readonly #context: JobChildContext & { readonly settings: Settings }
  readonly #deadlines: Deadlines
  readonly #inbox = new Inbox<Happening>()
  readonly #readings = new Set<Reading>()
  readonly #bootId = bootId()
  #looked = 0
  #signal: string | undefined
  #abandoned = 0
  #isShortOfProcesses = false
  #lastDirectory = { target: '', failure: undefined as Failure | undefined }

  constructor(parts: VerificationParts) {
    this.#parts = parts
    const { isolation, settings, world } = parts
    this.#deadlines = new Deadlines(
      world,
      () => {
        for (const { child } of this.#readings) child?.observe()
      },
      () => {},
    )
    this.#context = {
      isolation,
      deadlines: this.#deadlines,
      world,
      settings,
      emit: () => {},
      onChild: () => {},
      onReaped: ({ wasReaped }) => {
        if (!wasReaped) this.#abandoned++
      },
    }
  }

  /** What ended it early. */
  get signal(): string | undefined {
    return this.#signal
  }

  /** Children that not even SIGKILL ended. */
  get abandoned(): number {
    return this.#abandoned
  }

  /** The machine had no room for a child. */
  get isShortOfProcesses(): boolean {
    return this.#isShortOfProcesses
  }

  /** The first time children are asked to leave and no further line is begun; then they are made to. */
  interrupt(signal: string): void {
    const isSecond = this.#signal !== undefined
    this.#signal ??= signal
    for (const { child } of this.#readings) child?.stop({ kind: 'cancelled', signal: this.#signal }, isSecond)
  }

  signalChildren(signal: 'SIGSTOP' | 'SIGCONT'): void {
    for (const { child } of this.#readings) child?.signal(signal)
  }

  status(): Status {
    const { world, list, settings } = this.#parts
    const active = [...this.#readings].map(({ job, sizeBytes, startedAtMs, child }) => ({
      index: job.index,
      line: job.line,
      out: job.target,
      pid: child?.pid ?? null,
      phase: child?.phase ?? ('starting' as const),
      bytes: sizeBytes,
      ranges: [[0, sizeBytes] as const],
      segments: 1,
      sizeBytes,
      attempt: 1,
      startedAt: startedAtMs,
    }))
    return { at: world.nowMs(), active, waiting: list.size - this.#looked, slots: settings.jobs, pausedHosts: [] }
  }

  /** The lines in order, fewer than the list has after an interrupt. Every child is joined when it ends, however. */
  async *lines(): AsyncGenerator<VerifiedLine, void, undefined> {
    const { list, settings } = this.#parts
    const ahead: Pending[] = []
    try {
      while (this.#looked < list.size && this.#signal === undefined) {
        if (this.#looked % LINES_PER_TURN === LINES_PER_TURN - 1) await setImmediate()
        const pending = await this.#begin(this.#looked)
        if (pending === undefined) break
        this.#looked++
        ahead.push(pending)
        yield* doneFirst(ahead)
        while (this.#readings.size + this.#abandoned >= settings.jobs || ahead.length >= LINES_AHEAD) {
          if (this.#readings.size === 0) return
          await this.#settleOne()
          yield* doneFirst(ahead)
        }
      }
      while (this.#readings.size > 0) {
        await this.#settleOne()
        yield* doneFirst(ahead)
      }
    } finally {
      await this.#join()
    }
  }

  async #settleOne(): Promise<void> {
    await this.#parts.onWait()
    const happening = await this.#inbox.next()
    if ('bug' in happening) throw happening.bug
    happening.pending.done = happening.done
    this.#readings.delete(happening.reading)
  }

  /** Whoever reads the lines may leave early, or fail. */
  async #join(): Promise<void> {
    for (const { child } of this.#readings) child?.stop({ kind: 'stopped', reason: 'nobody waits for it' }, true)
    // One that cannot be reaped would be waited for for ever.
    if (this.#abandoned === 0) await this.#parts.isolation.close()
    this.#deadlines.close()
  }

  /** Undefined after an interrupt, which may have cut short what was to be known of the line. */
  async #begin(index: number): Promise<Pending | undefined> {
    const { list, world, past } = this.#parts
    const line = list.lineOf(index)
    const fate = list.fateOf(index)
    if (fate.kind === 'same') return { done: noJob(line, 'skipped', `same as line ${fate.asLine}`) }
    if (fate.kind === 'bad') return { done: noJob(line, 'bad', fate.problem) }
    const job = list.read(index)
    if (job === undefined) return { done: noJob(line, 'bad', describe({ kind: 'list-changed' })) }
    let look = await this.#lookFor(job)
    if (isDoubtful(look.facts)) {
      await past.readOn()
      look = await this.#lookFor(job)
    }
    if (this.#signal !== undefined) return undefined
    const expected = expectedDigest(look.facts)
    if (expected === undefined) return { done: this.#verified(job, look) }
    const pending: Pending = { done: undefined }
    const { sizeBytes } = expected
    const reading: Reading = { job, sizeBytes, startedAtMs: world.nowMs(), child: undefined }
    this.#readings.add(reading)
    this.#read(reading, look).then(
      (done) => this.#inbox.push({ pending, done, reading }),
      (bug: unknown) => this.#inbox.push({ bug }),
    )
    return pending
  }

  async #read(reading: Reading, first: Look): Promise<VerifiedLine> {
    const { job } = reading
    let look = first
    for (let looks = 1; ; looks++) {
      const expected = expectedDigest(look.facts)
      if (expected === undefined) return this.#verified(job, look)
      const { algorithm } = expected.checksum
      const digest = await this.#digest(reading, look.path, expected)
      const now = await this.#lookFor(job)
      const isSettled = isSameFile(look, now) || this.#signal !== undefined || looks === MAX_LOOKS
      if (isSettled) return this.#verified(job, look, digest, algorithm)
      look = now
    }
  }

  async #digest(reading: Reading, path: string, { checksum, sizeBytes }: ExpectedDigest): Promise<Digest> {
    const order = { job: reading.job, attempt: 1, path, sizeBytes, algorithm: checksum.algorithm, isAlone: false }
    const digest = await digestFile(this.#context, order, (child) => {
      reading.child = child
      if (this.#signal !== undefined) child.stop({ kind: 'cancelled', signal: this.#signal })
    })
    reading.child = undefined
    this.#isShortOfProcesses ||= !digest.ok && digest.failure.kind === 'spawn'
    return digest
  }

  async #lookFor(job: Job): Promise<Look> {
    const { settings, past, memory } = this.#parts
    const ownPath = join(settings.dir, job.target)
    const { checksum } = job.options
    // The part first: between the two looks a run may give it its final name.
    const part = lookAtPart(ownPath, this.#bootId)
    let path = memory.findNamed(ownPath) ?? ownPath
    if (path === ownPath && part === undefined && isMissing(ownPath)) {
      const name = await past.serverName(job.id)
      if (name !== undefined) path = join(dirname(ownPath), name)
    }
    const target = this.#lookAt(path, job.target)
    // What the list says needs no further witness.
    const needsWitness = target.kind === 'file' && checksum === undefined
    const facts = {
      checksum,
      target,
      part,
      lastOutcome: target.kind === 'missing' && part === undefined ? await past.lastOutcome(job.id) : undefined,
      recorded: needsWitness ? await past.recorded(job.id) : undefined,
      remembered: needsWitness ? memory.find(path) : undefined,
      urlKeys: job.urls.flatMap((url) => [urlKey(url), codedKey(url)]),
    }
    return { facts, path }
  }

  #verified(job: Job, { facts, path }: Look, digest?: Digest, algorithm?: ChecksumAlgorithm): VerifiedLine {
    const { target } = facts
    return {
      ...judge(facts, digest),
      line: job.line,
      id: job.id,
      url: redactUrl(job.urls[0]),
      out: relative(this.#parts.settings.dir, path),
      sizeBytes: target.kind === 'file' ? target.sizeBytes : null,
      digest: digest?.ok === true && algorithm !== undefined ? { algorithm, hex: digest.hex } : null,
    }
  }

  #lookAt(path: string, target: string): TargetFacts {
    const failure = this.#linkOnTheWay(target)
    if (failure !== undefined) return { kind: 'refused', failure }
    return isMissing(path) ? { kind: 'missing' } : inspectTarget(path)
  }

  /** A link below `--dir` leads elsewhere, and no run follows it. Neighbours mostly share a directory. */
  #linkOnTheWay(target: string): Failure | undefined {
    const directory = target.slice(0, Math.max(0, target.lastIndexOf('/')))
    if (directory === '') return undefined
    if (directory !== this.#lastDirectory.target) {
      this.#lastDirectory = { target: directory, failure: firstLink(this.#parts.settings.dir, directory) }
    }
    return this.#lastDirectory.failure
  }
}

/** A million exceptions would take longer than all the rest. */
function isMissing(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) === undefined
  } catch {
    return false
  }
}

function firstLink(dir: string, directory: string): Failure | undefined {
  let path = dir
  for (const component of directory.split('/')) {
    path = join(path, component)
    try {
      const stat = lstatSync(path, { throwIfNoEntry: false })
      if (stat === undefined) return undefined
      if (stat.isSymbolicLink()) return { kind: 'target-is-symlink', path }
    } catch (error) {
      return diskFailure(error, 'look at', path)
    }
  }
  return undefined
}

function* doneFirst(ahead: Pending[]): Generator<VerifiedLine, void, undefined> {
  for (let done = ahead[0]?.done; done !== undefined; done = ahead[0]?.done) {
    ahead.shift()
    yield done
  }
}

function isSameFile(before: Look, now: Look): boolean {
  const [was, is] = [before.facts.target, now.facts.target]
  return (
    before.path === now.path &&
    was.kind === 'file' &&
    is.kind === 'file' &&
    was.sizeBytes === is.sizeBytes &&
    was.mtimeMs === is.mtimeMs
  )
}

function noJob(line: number, verdict: 'skipped' | 'bad', reason: string): VerifiedLine {
  return { line, verdict, reason, proof: null, id: null, url: null, out: null, sizeBytes: null, digest: null }
}
