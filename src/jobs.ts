// What a program may hand over as jobs, and how it is told that they are wrong. Knows nothing of how they are read.

/**
 * One file: where it comes from and what is special about it. What is left out follows the options of the run.
 *
 * @example
 * const job: JobSpec = {
 *   url: ['https://example.com/form.pdf', 'https://mirror.example.net/form.pdf'],
 *   out: 'tax/form.pdf',
 *   checksum: 'sha-256=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
 * }
 */
export interface JobSpec {
  /** `http:` or `https:`; several are mirrors of one file. */
  readonly url: string | URL | readonly (string | URL)[]
  /** The file's path below `dir`; by default it is made from the URL, as `names` says. */
  readonly out?: string | undefined
  /** A directory below the run's `dir`. */
  readonly dir?: string | undefined
  /** `ALGORITHM=HEX`; md5, sha-1, sha-256 or sha-512. */
  readonly checksum?: string | undefined
  /** Sent to the origin of the URL only; by name, or as lines `Name: value`. */
  readonly headers?: Readonly<Record<string, string>> | readonly string[] | undefined
  readonly user?: string | undefined
  readonly password?: string | undefined
  /** For all attempts together: `250ms`, `30s`, `5m`, `6h`, or a number of seconds. */
  readonly deadline?: string | number | undefined
  /** No body bytes for this long end an attempt: as `deadline`. */
  readonly timeout?: string | number | undefined
  readonly tries?: number | undefined
  /** Children at once for this file. */
  readonly split?: number | undefined
  /** `http://`, `https://`, `socks5://` or `socks5h://`; `none`: directly. */
  readonly proxy?: string | undefined
}

/**
 * A URL, or a URL and more.
 *
 * @example
 * const jobs: JobInput[] = ['https://example.com/a.pdf', { url: 'https://example.com/b.pdf', out: 'second.pdf' }]
 */
export type JobInput = string | URL | JobSpec

/**
 * A list as the command line reads it: text with a URL a line, JSON Lines, lines of `sha256sum`, or gzip of these.
 *
 * @example
 * const jobs: ListFile = { list: 'urls.txt' }
 */
export interface ListFile {
  /** Its path. */
  readonly list: string
}

/**
 * One job, many, or a list.
 *
 * @example
 * async function* jobs(): AsyncGenerator<JobInput> {
 *   for await (const { link } of database.query('select link from forms')) yield link
 * }
 */
export type Jobs = JobInput | ListFile | Iterable<JobInput> | AsyncIterable<JobInput>

/**
 * One thing that is wrong with the jobs.
 *
 * @example
 * const problem: JobProblem = { index: 2, line: 3, problem: '"h//x" is no URL; give one that starts with http://' }
 */
export interface JobProblem {
  /** Position in the iterable, from 0; null in a list file, and where it is about all jobs. */
  readonly index: number | null
  /** Line of the list, for an iterable `index` + 1; 0 where it is about all jobs. */
  readonly line: number
  /** What is wrong and what to do about it; secrets are masked. */
  readonly problem: string
}

/**
 * The jobs cannot be run, and nothing was downloaded: all that is wrong with them, at once.
 *
 * @example
 * try {
 *   await download(jobs).report
 * } catch (error) {
 *   if (error instanceof JobsError) for (const { index, problem } of error.problems) console.error(index, problem)
 * }
 */
export class JobsError extends Error {
  override readonly name: 'JobsError' = 'JobsError'
  /** At most 1,000. */
  readonly problems: readonly JobProblem[]
  /** How many there are beyond these. */
  readonly more: number

  /** @internal */
  constructor(problems: readonly JobProblem[], more: number) {
    super([...problems.map(sentence), ...(more > 0 ? [`and ${more} more`] : [])].join('\n'))
    this.problems = problems
    this.more = more
  }
}

function sentence({ index, line, problem }: JobProblem): string {
  if (line === 0) return problem
  return index === null ? `line ${line}: ${problem}` : `line ${line} (index ${index}): ${problem}`
}
