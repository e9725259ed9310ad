import { afterEach, expect, test } from 'vitest'
import { localTime } from '../../src/core/local-time.ts'

const zone = process.env['TZ']
afterEach(() => {
  if (zone === undefined) delete process.env['TZ']
  else process.env['TZ'] = zone
})

test.each([
  ['UTC', '2026-11-21 02:20:05'],
  ['Asia/Kolkata', '2026-11-21 07:50:05'],
  ['America/New_York', '2026-11-20 21:20:05'],
])('a moment has the time of the wall in %s', (timeZone, shown) => {
  process.env['TZ'] = timeZone
  expect(localTime(Date.UTC(2026, 10, 21, 2, 20, 5, 999))).toBe(shown)
})
