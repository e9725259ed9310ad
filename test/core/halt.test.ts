import { describe, expect, test } from 'vitest'
import type { HaltRule } from '../../src/core/halt.ts'
import { haltText, isHaltReached, parseHalt } from '../../src/core/halt.ts'

const rule = (text: string): HaltRule => {
  const parsed = parseHalt(text)
  if (parsed === undefined) throw new Error(`${text} is no rule`)
  return parsed
}

test.each(['soon,fail=1', 'now,fail=3', 'soon,fail=10%', 'now,fail=100%'])('%s is understood', (text) => {
  expect(haltText(rule(text))).toBe(text)
})

test.each([
  '',
  'soon',
  'fail=1',
  'never',
  'soon,fail=0',
  'now,fail=0%',
  'now,fail=101%',
  'soon,success=1',
  'soon,fail=-1',
])('%j is no rule', (text) => {
  expect(parseHalt(text)).toBeUndefined()
})

describe('the rule is reached', () => {
  test('by so many failures, whatever the size of the list', () => {
    expect(isHaltReached(rule('now,fail=2'), 1, 2)).toBe(false)
    expect(isHaltReached(rule('now,fail=2'), 2, 1_000_000)).toBe(true)
  })

  test('by a share of all jobs, not of those that ended so far', () => {
    expect(isHaltReached(rule('soon,fail=10%'), 9, 100)).toBe(false)
    expect(isHaltReached(rule('soon,fail=10%'), 10, 100)).toBe(true)
  })

  test('as a share only by three, or by all of fewer', () => {
    expect(isHaltReached(rule('soon,fail=1%'), 2, 100)).toBe(false)
    expect(isHaltReached(rule('soon,fail=1%'), 3, 100)).toBe(true)
    expect(isHaltReached(rule('soon,fail=50%'), 1, 2)).toBe(false)
    expect(isHaltReached(rule('soon,fail=50%'), 2, 2)).toBe(true)
  })
})
