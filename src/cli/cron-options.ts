// The options of `mpdl cron-line` beside those of a run. Knows nothing of what is printed.

import { InvalidArgumentError } from 'commander'
import { type CronSchedule, parseSchedule } from '../core/cron-schedule.ts'
import { printable } from '../core/printable.ts'
import type { RawRunOptions } from './run-options.ts'

export interface CronLineOptions extends RawRunOptions {
  readonly schedule?: CronSchedule
  readonly systemd?: boolean
}

export const CRON_HEADING = 'When and how:'

export function cronSchedule(text: string): CronSchedule {
  const parsed = parseSchedule(text)
  if (!parsed.ok) throw new InvalidArgumentError(`${printable(parsed.problem)}.`)
  return parsed.schedule
}
