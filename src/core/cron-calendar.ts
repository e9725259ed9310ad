// Decides how a cron schedule is written for a timer of systemd. Knows nothing of the rest of the unit.

import type { CronTimes } from './cron-schedule.ts'

const WEEKDAYS = ['', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']

/** Values for OnCalendar=; two where cron starts on a day of the month or on a weekday, whichever comes. */
export function onCalendar({ minutes, hours, days, months, weekdays, isEitherDay }: CronTimes): string[] {
  const time = `${among(hours, 24)}:${among(minutes, 60)}:00`
  const on = (names: string, day: string) => `${names === '*' ? '' : `${names} `}*-${among(months, 12)}-${day} ${time}`
  // A week of systemd begins on Monday.
  const week = weekdays.map((day) => (day === 0 ? 7 : day)).sort((a, b) => a - b)
  const names = among(week, 7, (day) => WEEKDAYS[day] ?? '')
  const date = among(days, 31)
  return isEitherDay ? [on('*', date), on(names, '*')] : [on(names, date)]
}

const twoDigits = (value: number) => String(value).padStart(2, '0')

/** `*` for all there are, else ranges and single values; sorted they come. */
function among(values: readonly number[], all: number, write = twoDigits): string {
  if (values.length === all) return '*'
  const runs: number[][] = []
  for (const value of values) {
    const run = runs.at(-1)
    if (run !== undefined && run.at(-1) === value - 1) run.push(value)
    else runs.push([value])
  }
  return runs
    .flatMap((run) => (run.length < 3 ? run.map(write) : [`${write(run[0] ?? 0)}..${write(run.at(-1) ?? 0)}`]))
    .join(',')
}
