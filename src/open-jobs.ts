// From what a program hands over to a checked list: jobs become JSON Lines, so that they are read as any list is. Knows
// nothing of what is done with them.

import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { type JobInput, type Jobs, JobsError, type ListFile } from './jobs.ts'
import { type JobList, type ListRules, type ListSource, openJobList } from './supervisor/job-list.ts'

/**
 * Reads all jobs, aside and not into memory, and checks them. Undefined where an iterable had none: a program may have
 * nothing to do. Throws a {@link JobsError}, what the iterable threw, or the signal's reason.
 */
export async function openJobs(jobs: Jobs, rules: ListRules, signal: AbortSignal): Promise<JobList | undefined> {
  const lines = isListFile(jobs) ? undefined : new JobLines(isIterable(jobs) ? jobs : [jobs], signal)
  const source: ListSource = isListFile(jobs)
    ? { kind: 'file', path: jobs.list }
    : { kind: 'stream', stream: Readable.from(lines ?? []), name: 'the list of jobs' }
  const opened = await openJobList(source, rules, async () => {
    signal.throwIfAborted()
    await setImmediate()
  })
  if (opened.ok && signal.aborted) opened.list.close()
  signal.throwIfAborted()
  if (opened.ok) return opened.list
  if (lines?.thrown !== undefined) throw lines.thrown.error
  if (lines?.count === 0) return undefined
  const indexOf = (line: number) => (lines === undefined || line === 0 ? null : line - 1)
  const problems = opened.errors.map(({ line, problem }) => ({ index: indexOf(line), line, problem }))
  throw new JobsError(problems, opened.more)
}

export function isListFile(jobs: Jobs): jobs is ListFile {
  return typeof jobs === 'object' && 'list' in jobs
}

/** A string is a URL here and not its characters. */
function isIterable(jobs: Exclude<Jobs, ListFile>): jobs is Iterable<JobInput> | AsyncIterable<JobInput> {
  return typeof jobs === 'object' && (Symbol.iterator in jobs || Symbol.asyncIterator in jobs)
}

const CHUNK_LENGTH = 65_536

/** The jobs as JSON Lines, in pieces worth a system call. */
class JobLines {
  readonly #jobs: Iterable<JobInput> | AsyncIterable<JobInput>
  readonly #signal: AbortSignal
  /** How many there were; undefined before the last. */
  count: number | undefined
  /** What their iterable threw. */
  thrown: { readonly error: unknown } | undefined

  constructor(jobs: Iterable<JobInput> | AsyncIterable<JobInput>, signal: AbortSignal) {
    this.#jobs = jobs
    this.#signal = signal
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    let count = 0
    let text = ''
    try {
      for await (const job of untilAborted(this.#jobs, this.#signal)) {
        count++
        text += `${rowOf(job)}\n`
        if (text.length < CHUNK_LENGTH) continue
        yield text
        text = ''
        // An endless iterable that never waits would keep timers, and with them an abort, from being heard.
        await setImmediate()
      }
    } catch (error) {
      this.thrown = { error }
      throw error
    }
    yield text
    this.count = count
  }
}

/** What is no object says where its URL should be; so no text is taken for an option, a comment or two rows. */
function rowOf(job: JobInput): string {
  const json = JSON.stringify(job) ?? 'null'
  return json.startsWith('{') ? json : `{"url":${json}}`
}

/** Like `for await`, but an abort ends it while the iterable is silent, too. */
async function* untilAborted<T>(
  items: Iterable<T> | AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
  let giveUp = (_reason: unknown) => {}
  const onAbort = () => giveUp(signal.reason)
  signal.addEventListener('abort', onAbort)
  let isDone = false
  try {
    for (;;) {
      signal.throwIfAborted()
      // Not Promise.race: that would keep a reaction for every item until the signal is gone.
      const result = await new Promise<IteratorResult<T>>((resolve, reject) => {
        giveUp = reject
        Promise.resolve(iterator.next()).then(resolve, reject)
      })
      isDone = result.done === true
      if (result.done === true) return
      yield result.value
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    // Not waited for: an iterable that is asleep hears of it when it wakes.
    if (!isDone)
      Promise.resolve()
        .then(() => iterator.return?.())
        .catch(() => {})
  }
}
