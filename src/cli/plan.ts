// --dry-run: what would be downloaded from where to where. Nothing is asked of any server.

import { printable } from '../core/printable.ts'
import { redactUrl } from '../core/redact.ts'
import { chunked } from '../reporters/json.ts'
import { quietWriter } from '../reporters/plain.ts'
import { counted } from '../reporters/summary.ts'
import type { JobList } from '../supervisor/job-list.ts'
import type { RawRunOptions } from './run-options.ts'
import { writeOut } from './stdout.ts'

export async function printPlan(
  list: JobList,
  options: RawRunOptions,
  isSelected: (index: number) => boolean = () => true,
): Promise<number> {
  const out = chunked(writeOut)
  const write = (text: string) => out.add(text)
  let jobs = 0
  let bad = 0
  for (let index = 0; index < list.size; index++) {
    if (!isSelected(index)) continue
    const fate = list.fateOf(index)
    const line = list.lineOf(index)
    if (fate.kind === 'bad') {
      bad++
      await write(`line ${line}\tbad\t${printable(fate.problem)}\n`)
    } else if (fate.kind === 'same') await write(`line ${line}\tskipped\tsame as line ${fate.asLine}\n`)
    else {
      const job = list.read(index)
      if (job === undefined) continue
      jobs++
      const mirrors = job.urls.length > 1 ? `\t${job.urls.length} mirrors` : ''
      await write(`line ${line}\t${printable(job.target)}\t${printable(redactUrl(job.urls[0]))}${mirrors}\n`)
    }
  }
  const perHost = `at most ${options.maxPerHost} per host`
  await out.flush()
  quietWriter(process.stderr)(
    `mpdl: ${jobs} to download from ${counted(list.hosts.length, 'host')} into ${options.dir}, ` +
      `${options.jobs} at once, ${perHost}; nothing was downloaded (--dry-run)\n`,
  )
  return bad > 0 ? 1 : 0
}
