// How schedules are written for systemd, which says itself when they come.

import { spawnSync } from 'node:child_process'
import { Cron } from 'croner'
import { expect, test } from 'vitest'
import { onCalendar } from '../../src/core/cron-calendar.ts'
import { type CronTimes, parseSchedule } from '../../src/core/cron-schedule.ts'
import fc from '../fixtures/property.ts'
import { anySchedule } from '../fixtures/schedules.ts'
import { findProgram, requireServer } from '../fixtures/servers.ts'

function times(text: string): CronTimes | undefined {
  const parsed = parseSchedule(text)
  return parsed.ok ? parsed.schedule.times : undefined
}

const written = (text: string) => {
  const parsed = times(text)
  if (parsed === undefined) throw new Error(`${text} is no schedule`)
  return onCalendar(parsed)
}

test.each([
  ['17 2 * * *', ['*-*-* 02:17:00']],
  ['* * * * *', ['*-*-* *:*:00']],
  ['*/15 1-5,9 * * *', ['*-*-* 01..05,09:00,15,30,45:00']],
  ['0 0 1,2 jan-mar *', ['*-01..03-01,02 00:00:00']],
  ['0 6 * * mon-fri', ['Mon..Fri *-*-* 06:00:00']],
  ['0 6 * * 0,6', ['Sat,Sun *-*-* 06:00:00']],
  ['0 6 * * 5-7', ['Fri..Sun *-*-* 06:00:00']],
  ['0 6 * * 0-6', ['*-*-* 06:00:00']],
  ['30 4 1,15 * 5', ['*-*-01,15 04:30:00', 'Fri *-*-* 04:30:00']],
  ['0 0 */10 * 1', ['Mon *-*-01,11,21,31 00:00:00']],
])('%s is %j', (text, calendar) => {
  expect(written(text)).toEqual(calendar)
})

const FROM = '2026-11-21 14:00:00 UTC'
const STARTS = 5

/** As seconds since 1970, by systemd itself. */
function startsOf(calendars: readonly string[]): number[] {
  const words = calendars.map((calendar) => `${calendar} UTC`)
  const { stdout, stderr, status } = spawnSync(
    'systemd-analyze',
    ['calendar', `--base-time=${FROM}`, `--iterations=${STARTS}`, ...words],
    { encoding: 'utf8', env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' } },
  )
  expect([status, stderr]).toEqual([0, ''])
  const found = [...stdout.matchAll(/(?:Next elapse|Iter(?:ation|\.) #\d+): \w+ (\S+ \S+) UTC/g)]
  const seconds = found.map(([, at = '']) => Date.parse(`${at.replace(' ', 'T')}Z`) / 1000)
  return [...new Set(seconds)].sort((a, b) => a - b).slice(0, STARTS)
}

test.skipIf(!requireServer('systemd-analyze', findProgram('systemd-analyze')))('systemd starts when cron does', () => {
  const check = (text: string) => {
    const parsed = times(text)
    if (parsed === undefined) return
    const cron = new Cron(text, { mode: '5-part', timezone: 'UTC', domAndDow: !parsed.isEitherDay })
    const starts = cron.nextRuns(STARTS, new Date(Date.parse(FROM.replace(' UTC', 'Z').replace(' ', 'T'))))
    const expected = starts.map((start) => start.getTime() / 1000)
    // Some days come so rarely that systemd does not look so far.
    const seen = startsOf(onCalendar(parsed))
    expect([text, seen]).toEqual([text, expected.slice(0, Math.max(1, seen.length))])
  }
  expect(startsOf(written('30 4 1,15 * 5'))).toHaveLength(STARTS)
  for (const text of ['30 4 1,15 * 5', '*/15 1-5,9 * * *', '0 6 * * 5-7', '59 23 31 12 *', '0 0 29 2 *']) check(text)
  fc.assert(fc.property(anySchedule, check), { numRuns: 60 })
})
