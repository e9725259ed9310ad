// Decides whether sizes and durations are read and written as people mean them.

import { describe, expect, test } from 'vitest'
import { formatBytes, formatDuration, parseDuration, parseSize } from '../../src/core/units.ts'
import fc from '../fixtures/property.ts'

describe('parseSize', () => {
  test.each([
    ['0', 0],
    ['17', 17],
    ['1K', 1024],
    ['10M', 10_485_760],
    ['1.5g', 1_610_612_736],
    ['2 GiB', 2_147_483_648],
    [' 3MB ', 3_145_728],
    ['1T', 1_099_511_627_776],
    ['1b', 1],
  ])('%j is %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes)
  })

  test.each(['', 'K', '-1', '1X', '1e3', '1,5M', '0x10', '1KK', '99999999999T'])('%j is no size', (text) => {
    expect(parseSize(text)).toBeUndefined()
  })
})

describe('parseDuration', () => {
  test.each([
    ['0', 0],
    ['250ms', 250],
    ['30s', 30_000],
    ['1m30s', 90_000],
    ['6h', 21_600_000],
    ['1d', 86_400_000],
    ['1.5h', 5_400_000],
    ['90', 90_000],
    ['0.5', 500],
    [' 5m ', 300_000],
  ])('%j is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms)
  })

  test.each(['', 's', '-1s', '1 s', '1w', '1s2', 'soon', '1e3', '9999999999999d'])('%j is no duration', (text) => {
    expect(parseDuration(text)).toBeUndefined()
  })
})

describe('formatBytes', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [10_240, '10.0 KiB'],
    [43_515_904, '41.5 MiB'],
    [1_073_741_823, '1.00 GiB'],
    [2 ** 40, '1.00 TiB'],
    [5000 * 2 ** 40, '5000.0 TiB'],
  ])('%d bytes are %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text)
  })

  test('what is written reads back within a percent', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 50 }), (bytes) => {
        const back = parseSize(formatBytes(bytes))
        expect(Math.abs((back ?? Number.NaN) - bytes)).toBeLessThanOrEqual(bytes * 0.01 + 1)
      }),
    )
  })
})

describe('formatDuration', () => {
  test.each([
    [0, '0ms'],
    [999.4, '999ms'],
    [1000, '1s'],
    [1500, '1.5s'],
    [9949, '9.9s'],
    [9951, '10s'],
    [59_499, '59s'],
    [59_500, '1m'],
    [95_000, '1m35s'],
    [3_600_000, '1h'],
    [90_061_000, '1d1h'],
  ])('%d ms are %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text)
  })

  test('what is written reads back as about the same time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 9 }), (ms) => {
        const back = parseDuration(formatDuration(ms))
        expect(Math.abs((back ?? Number.NaN) - ms)).toBeLessThanOrEqual(ms * 0.05 + 1)
      }),
    )
  })
})
