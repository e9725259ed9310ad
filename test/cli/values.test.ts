// Values of options: what is taken, and that a wrong one is told what is allowed.

import { describe, expect, test } from 'vitest'
import {
  duration,
  headerLine,
  injection,
  integer,
  mediaTypes,
  minSpeed,
  outPattern,
  proxy,
  reportPath,
  size,
  userPassword,
} from '../../src/cli/values.ts'

describe('a value that is right', () => {
  test.each([
    [integer(1, 1000), '8', 8],
    [duration(1), '250ms', 250],
    [duration(1), '90', 90_000],
    [duration(0), '0', 0],
    [duration(1), '1h30m', 5_400_000],
    [size(1), '16M', 16 * 2 ** 20],
    [minSpeed, '1K/10m', { bytesPerSecond: 1024, windowMs: 600_000 }],
    [minSpeed, '2M', { bytesPerSecond: 2 * 2 ** 20, windowMs: 600_000 }],
    [minSpeed, 'off', { bytesPerSecond: 0, windowMs: 600_000 }],
    [outPattern, 'image-%n.jpg', 'image-%n.jpg'],
    [outPattern, '100%%.jpg', '100%%.jpg'],
    [userPassword, 'me:a:b', { user: 'me', password: 'a:b' }],
    [userPassword, 'me:', { user: 'me', password: '' }],
    [userPassword, ':token', { user: '', password: 'token' }],
    [userPassword, 'me', { user: 'me', password: undefined }],
    [proxy, 'h:1', 'http://h:1'],
    [mediaTypes, 'Application/PDF, image/*', ['application/pdf', 'image/*']],
  ] as const)('%o takes %s', (parse, text, value) => {
    expect(parse(text)).toEqual(value)
  })

  test('lists grow with each use', () => {
    expect(headerLine('B: 2', headerLine('A: 1'))).toEqual([
      ['A', '1'],
      ['B', '2'],
    ])
    expect(injection('segv@3*', injection('spin@2'))).toEqual([
      { fault: 'spin', line: 2, isEveryAttempt: false },
      { fault: 'segv', line: 3, isEveryAttempt: true },
    ])
    expect(mediaTypes('text/csv', mediaTypes('image/*'))).toEqual(['image/*', 'text/csv'])
    expect(reportPath('b.txt', reportPath('a.json'))).toEqual(['a.json', 'b.txt'])
  })
})

describe('a value that is wrong', () => {
  test.each([
    [integer(1, 1000), '0', 'from 1 to 1000'],
    [integer(1, 1000), '1e3', 'from 1 to 1000'],
    [integer(1, 1000), '-1', 'from 1 to 1000'],
    [duration(1), '0', 'above zero'],
    [duration(1), '5 parsecs', '250ms, 30s, 5m, 6h'],
    [duration(1), '30d', 'at most 24d'],
    [size(64 * 2 ** 20), '16M', 'at least 64M'],
    [size(1), 'big', '500K, 16M, 2G'],
    [minSpeed, '1K/never', '1K/10m'],
    [headerLine, 'no colon', '"Name: value"'],
    [headerLine, 'Evil: a\r\nX: b', 'may not stand in a header'],
    [headerLine, 'Range: bytes=0-', 'mpdl itself'],
    [injection, 'explode@1', 'spin, ignore-term'],
    [injection, 'spin', 'KIND@LINE'],
    [outPattern, 'a%b', '%n'],
    [reportPath, 'report.pdf', '.json or .txt'],
    [userPassword, '', 'USER:PASSWORD'],
    [userPassword, 'me\n:x', 'no server accepts'],
    [proxy, 'ftp://h', 'http, https, socks5 and socks5h'],
    [mediaTypes, 'pdf', 'application/pdf'],
    [mediaTypes, 'image/*,', 'application/pdf'],
    [mediaTypes, '*/*', 'application/pdf'],
    [mediaTypes, 'text/html; charset=utf-8', 'application/pdf'],
  ] as const)('%o refuses %s and says what is allowed', (parse, text, allowed) => {
    expect(() => parse(text)).toThrow(allowed)
  })
})
