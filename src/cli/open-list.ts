// Opens a list, or says all that is wrong with it. Knows nothing of what is done with it.

import { excerpt } from '../core/printable.ts'
import { spoolDir } from '../places.ts'
import type { JobList, ListSource } from '../supervisor/job-list.ts'
import { openJobList } from '../supervisor/job-list.ts'
import { nameOf } from './list-source.ts'
import type { RawRunOptions } from './run-options.ts'
import { UsageError } from './usage-error.ts'

/** What decides which rows are jobs and what their files are called. */
export type ListOptions = Pick<RawRunOptions, 'out' | 'names' | 'queryNames' | 'onClash' | 'keepGoing'>

/** Errors of a list, where they go into a mail. */
const MOST_MAILED = 20
const MOST_CHARS = 500

/** Opens and checks the list. Throws a UsageError with all that is wrong with it; `work` is what was not done then. */
export async function openList(
  source: ListSource,
  options: ListOptions,
  work: 'downloaded' | 'verified',
): Promise<JobList> {
  const isOneName = options.out !== undefined && !/(?<!%)(?:%%)*%n/.test(options.out)
  const oneNameFor = (jobs: number) =>
    new UsageError(`-o ${options.out} is one name for ${jobs} jobs; number them with %n, like image-%n.jpg`)
  // Otherwise the answer would be that they clash, which helps less.
  if (isOneName && source.kind === 'urls' && source.urls.length > 1) throw oneNameFor(source.urls.length)
  const opened = await openJobList(source, {
    naming: {
      names: options.names,
      queryNames: options.queryNames ?? false,
      ...(options.out === undefined ? {} : { outPattern: options.out }),
    },
    onClash: options.onClash,
    keepGoing: options.keepGoing ?? false,
    foldCase: process.platform === 'darwin',
    spoolDir: spoolDir(),
  })
  if (opened.ok) {
    const { list } = opened
    if (isOneName && list.size > 1) {
      list.close()
      throw oneNameFor(list.size)
    }
    return list
  }
  // Who reads it as mail wants to know how bad it is; who has a terminal can mend it all at once.
  const shown = process.stderr.isTTY === true ? opened.errors : opened.errors.slice(0, MOST_MAILED)
  const lines = shown.map(({ line, problem }) =>
    line === 0 ? problem : `${nameOf(source)} line ${line}: ${excerpt(problem, MOST_CHARS)}`,
  )
  const count = opened.errors.length + opened.more
  if (count > MOST_MAILED) lines.unshift(`${nameOf(source)}: ${count} lines are wrong`)
  const more = count > shown.length ? [`and ${count - shown.length} more`] : []
  const hint =
    opened.kind === 'bad-list' && opened.errors.some(({ line }) => line > 0)
      ? [`nothing was ${work}; --keep-going skips bad lines`]
      : []
  throw new UsageError([...lines, ...more, ...hint].join('\n'), opened.kind === 'no-list' ? 66 : 65)
}
