// The options of `mpdl verify`: those of a run that say which files are meant, and how children may read them. Knows
// nothing of what is done with them.

import { Command } from 'commander'
import { addRunOptions, type RawRunOptions } from './run-options.ts'

/** Each with its help where a run's own would mislead. */
const OPTIONS = {
  dir: 'where the files are',
  out: null,
  jobs: 'files read at once',
  names: null,
  queryNames: null,
  onClash: 'two URLs, one name: an error, or name.1.ext, as in the run',
  keepGoing: 'report bad lines of the list instead of stopping',
  quiet: 'say nothing when all is well',
  verbose: 'name the files that are well, too',
  json: 'one JSON object a line on standard output, the last one with the sums',
  maxMemory: null,
  logDir: 'where run logs are',
  hangTimeout: null,
  config: null,
} as const satisfies Partial<Record<keyof RawRunOptions, string | null>>

export type VerifyOptions = Pick<RawRunOptions, keyof typeof OPTIONS>

const isOurs = (name: string): name is keyof typeof OPTIONS => name in OPTIONS

/** Names, defaults and checks are those of a run: what worked there works here. */
export function addVerifyOptions(command: Command): Command {
  for (const option of addRunOptions(new Command(), true).options) {
    const name = option.attributeName()
    if (!isOurs(name)) continue
    option.helpGroup('Options:').description = OPTIONS[name] ?? option.description
    command.addOption(option)
  }
  return command
}
