// Decides whether versions are told apart, and bytes joined only under a strong validator.

import { describe, expect, test } from 'vitest'
import {
  canRecognise,
  conditionalHeaders,
  confirms,
  contradicts,
  header,
  strongValidator,
  validatorOf,
} from '../../src/core/validator.ts'
import fc from '../fixtures/property.ts'

const DATE = 'Sat, 21 Nov 2026 03:00:00 GMT'
const MINUTE_OLDER = 'Sat, 21 Nov 2026 02:59:00 GMT'
const LESS_THAN_A_MINUTE_OLDER = 'Sat, 21 Nov 2026 02:59:01 GMT'
const of = (fields: Readonly<Record<string, string>>) => validatorOf(Object.entries(fields))

test('a header is found whatever its case, the first one of several', () => {
  expect(
    header(
      [
        ['eTAG', 'a'],
        ['ETag', 'b'],
      ],
      'etag',
    ),
  ).toBe('a')
  expect(header([], 'etag')).toBeUndefined()
})

describe('the validator of a response', () => {
  test('is its ETag and its Last-Modified', () => {
    expect(of({ ETag: '"v1"', 'Last-Modified': MINUTE_OLDER, Date: DATE })).toEqual({
      etag: '"v1"',
      lastModified: MINUTE_OLDER,
      isDateStrong: true,
    })
  })

  test.each(['"v1', 'v1"', 'v 1', '"a"b"', '"a b"', 'w/"v1"', 'W/v1', '', '"a\u0007"', '"é—"'])(
    'takes %j for no ETag',
    (etag) => {
      expect(of({ etag })).toEqual({})
    },
  )

  test('asks with a word that lacks its quotes, and joins nothing by it', () => {
    const bare = of({ etag: 'v1-x:y' })
    expect([bare, strongValidator(bare)]).toEqual([{ etag: 'v1-x:y' }, undefined])
    expect(conditionalHeaders(bare)).toEqual([['If-None-Match', 'v1-x:y']])
    expect(strongValidator({ ...bare, lastModified: DATE, isDateStrong: true })).toBe(DATE)
  })

  test.each(['""', 'W/""', '"a!#~"', 'W/"x:y-z"'])('takes %s for an ETag', (etag) => {
    expect(of({ etag })).toEqual({ etag })
  })

  test('calls a date strong only when it is at least a minute older than the response', () => {
    const isStrong = (lastModified: string, date?: string) =>
      of({ 'last-modified': lastModified, ...(date === undefined ? {} : { date }) }).isDateStrong
    expect(isStrong(MINUTE_OLDER, DATE)).toBe(true)
    expect(isStrong(LESS_THAN_A_MINUTE_OLDER, DATE)).toBe(false)
    expect(isStrong(DATE, MINUTE_OLDER)).toBe(false)
    expect(isStrong(MINUTE_OLDER)).toBe(false)
    expect(isStrong(MINUTE_OLDER, 'nonsense')).toBe(false)
  })

  test('leaves out a Last-Modified that is no date', () => {
    expect(of({ 'last-modified': 'yesterday', date: DATE })).toEqual({})
  })
})

describe('joining bytes', () => {
  test('needs a strong validator', () => {
    expect(strongValidator({ etag: '"v1"' })).toBe('"v1"')
    expect(strongValidator({ lastModified: MINUTE_OLDER, isDateStrong: true })).toBe(MINUTE_OLDER)
    expect(strongValidator({ lastModified: MINUTE_OLDER, isDateStrong: false })).toBeUndefined()
    expect(strongValidator({ lastModified: MINUTE_OLDER })).toBeUndefined()
    expect(strongValidator({})).toBeUndefined()
  })

  test('is never allowed by a weak ETag, whatever the date beside it', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^W\/"[!#-~]{0,20}"$/), fc.boolean(), (etag, isDateStrong) => {
        expect(of({ etag }).etag).toBe(etag)
        expect(strongValidator({ etag, lastModified: MINUTE_OLDER, isDateStrong })).toBeUndefined()
      }),
    )
  })
})

test('two validators contradict each other only in what both of them say', () => {
  expect(contradicts({ etag: '"a"' }, { etag: '"b"' })).toBe(true)
  expect(contradicts({ etag: '"a"' }, { etag: 'W/"a"' })).toBe(true)
  expect(contradicts({ etag: '"a"', lastModified: DATE }, { etag: '"a"', lastModified: MINUTE_OLDER })).toBe(false)
  expect(contradicts({ lastModified: DATE }, { lastModified: MINUTE_OLDER })).toBe(true)
  expect(contradicts({ lastModified: DATE }, { lastModified: DATE })).toBe(false)
  expect(contradicts({ etag: '"a"' }, { lastModified: DATE })).toBe(false)
  expect(contradicts({}, {})).toBe(false)
})

test('the question whether it changed uses the better of what is known', () => {
  expect(conditionalHeaders({ etag: 'W/"a"', lastModified: DATE })).toEqual([['If-None-Match', 'W/"a"']])
  expect(conditionalHeaders({ lastModified: DATE })).toEqual([['If-Modified-Since', DATE]])
  expect(conditionalHeaders({})).toEqual([])
})

test('a version is recognised by anything that names it, be it weak', () => {
  expect([{ etag: 'W/"v1"' }, { lastModified: DATE }, {}].map(canRecognise)).toEqual([true, true, false])
})

describe('a part of the version that was asked for', () => {
  const asked = { etag: '"v1"', lastModified: MINUTE_OLDER, isDateStrong: true }

  test('repeats the validator it was asked with; where that is an ETag, the date does not matter', () => {
    expect(confirms(asked, { etag: '"v1"' })).toBe(true)
    expect(confirms(asked, { etag: '"v1"', lastModified: DATE })).toBe(true)
    expect(confirms({ lastModified: MINUTE_OLDER }, { lastModified: MINUTE_OLDER, etag: '"v9"' })).toBe(true)
  })

  test.each([[{}], [{ lastModified: MINUTE_OLDER }], [{ etag: '"v2"' }], [{ etag: 'W/"v1"' }]])(
    'is not what says %j',
    (given) => {
      expect(confirms(asked, given)).toBe(false)
    },
  )
})
