// What the time fields of a crontab line mean, with croner as the second opinion.

import { Cron } from 'croner'
import { describe, expect, test } from 'vitest'
import { type CronTimes, deadlineFor, parseSchedule, shortestGapMs } from '../../src/core/cron-schedule.ts'
import fc from '../fixtures/property.ts'
import { anySchedule } from '../fixtures/schedules.ts'

function times(text: string): CronTimes {
  const parsed = parseSchedule(text)
  if (!parsed.ok) throw new Error(`${text}: ${parsed.problem}`)
  if (parsed.schedule.times === undefined) throw new Error(`${text} has no times`)
  return parsed.schedule.times
}

function problem(text: string): string {
  const parsed = parseSchedule(text)
  return parsed.ok ? '' : parsed.problem
}

describe('a schedule', () => {
  test('has lists, ranges, steps and names in any case, and Sunday is 0 and 7', () => {
    expect(times('0,30 1-3 */10 jan-MAR/2 Mon,5,7')).toEqual({
      minutes: [0, 30],
      hours: [1, 2, 3],
      days: [1, 11, 21, 31],
      months: [1, 3],
      weekdays: [0, 1, 5],
      isEitherDay: false,
    })
    expect(times('* * * * 0-7').weekdays).toEqual([0, 1, 2, 3, 4, 5, 6])
  })

  test('is repeated with single spaces, and a nickname as it is', () => {
    expect(parseSchedule(' 17\t2  * * * ')).toMatchObject({ schedule: { text: '17 2 * * *' } })
    expect(parseSchedule('@weekly')).toMatchObject({ schedule: { text: '@weekly', times: { weekdays: [0] } } })
    expect(parseSchedule('@reboot')).toEqual({ ok: true, schedule: { text: '@reboot', times: undefined } })
  })

  test('means one day or the other only where neither field begins with a star', () => {
    expect(times('0 0 13 * 5').isEitherDay).toBe(true)
    expect(times('0 0 */2 * 1').isEitherDay).toBe(false)
    expect(times('0 0 13 * *').isEitherDay).toBe(false)
  })

  test.each([
    ['* * * *', /^allowed are five fields like "17 2 \* \* \*"[^;]*$/],
    ['* * * * * *', /cron has no seconds/],
    ['@Daily', /^known are @reboot @hourly @daily/],
    ['60 * * * *', /^minute "60" is out of range; allowed are 0 to 59$/],
    ['* * 0 * *', /^day of month "0" is out of range/],
    ['* * * mon *', /^month "mon" is out of range; allowed are 1 to 12 and jan to dec$/],
    ['* * * * sunday', /^day of week "sunday" is out of range; allowed are 0 to 7 and sun to sat$/],
    ['* * * * fri-sun', /^day of week "fri-sun" runs backwards.*write Sunday as 7/],
    ['22-2 * * * *', /^minute "22-2" runs backwards.*two ranges/],
    ['5/3 * * * *', /^minute "5\/3" has a step but no range; write 5-59\/3$/],
    ['*/0 * * * *', /^minute "\*\/0" has a step that is no step$/],
    ['*/60 * * * *', /no step$/],
    ['* * L * *', /^day of month "L" is out of range/],
    ['* * 15W * *', /^day of month "15W" is out of range/],
    ['* * * * 5#2', /^day of week "5#2" is not for cron/],
    ['* * ? * *', /^day of month "\?" is not for cron/],
    ['1,,2 * * * *', /^minute "" is not for cron/],
    ['* * * * +5', /is not for cron/],
    ['*-5 * * * *', /is not for cron/],
    ['0 0 31 2,4 *', /^such a day never comes$/],
    ['', /^allowed are five fields/],
  ])('%j is refused with a sentence', (text, sentence) => {
    expect(problem(text)).toMatch(sentence)
  })

  test('of whatever shape is read as croner reads it, or refused', () => {
    fc.assert(
      fc.property(anySchedule, (text) => {
        const parsed = parseSchedule(text)
        if (!parsed.ok) return
        const { isEitherDay, minutes, hours } = times(text)
        const starts = new Cron(text, { mode: '5-part', timezone: 'UTC', domAndDow: !isEitherDay }).nextRuns(30)
        expect(starts.length).toBeGreaterThan(0)
        for (const start of starts) {
          expect(minutes).toContain(start.getUTCMinutes())
          expect(hours).toContain(start.getUTCHours())
        }
        const gaps = starts.slice(1).map((start, i) => start.getTime() - (starts[i]?.getTime() ?? 0))
        expect(Math.min(...gaps)).toBeGreaterThanOrEqual(shortestGapMs(times(text)))
      }),
      { numRuns: 100 },
    )
  })

  test('of any text is read or refused with a sentence', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const parsed = parseSchedule(text)
        expect(parsed.ok || parsed.problem.length > 0).toBe(true)
      }),
    )
  })
})

const MINUTE = 60_000
const DAY = 1440 * MINUTE

test.each([
  ['* * * * *', MINUTE],
  ['*/7 * * * *', 4 * MINUTE],
  ['0 * * * *', 60 * MINUTE],
  ['17 2 * * *', DAY],
  ['0 1,23 * * *', 120 * MINUTE],
  ['59,0 0,23 * * *', MINUTE],
  ['0 0 * * 1-5', DAY],
  ['0 0 * * 0', 7 * DAY],
  ['0 0 1 * *', 28 * DAY],
  ['0 0 1 * 1', DAY],
  ['30 23 31 12 *', 365 * DAY],
  ['0 0 29 2 *', 1461 * DAY],
  ['0 0 29 2 */7', 28 * 1461 * (DAY / 4)],
])('between two starts of %s are at least %d ms', (text, gapMs) => {
  expect(shortestGapMs(times(text))).toBe(gapMs)
})

test('a run may take nine tenths of the gap, rounded down to what people like to read', () => {
  const minutes = [1, 2, 5, 15, 30, 60, 120, 360, 720, 1440, 2 * 1440, 7 * 1440, 28 * 1440]
  expect(minutes.map((gap) => deadlineFor(gap * MINUTE))).toEqual(
    '54s 108s 4m 13m 27m 54m 108m 5h 10h 21h 43h 6d 24d'.split(' '),
  )
})
