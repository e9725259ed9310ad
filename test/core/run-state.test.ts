import { describe, expect, test } from 'vitest'
import { isRecent } from '../../src/core/run-state.ts'

describe('a run is recent', () => {
  test('until it is older than that', () => {
    expect(isRecent(1000, 1500, 500)).toBe(true)
    expect(isRecent(1000, 1501, 500)).toBe(false)
  })

  test('although a clock that was set back since says that it will be, and not for ever then', () => {
    expect(isRecent(1500, 1000, 500)).toBe(true)
    expect(isRecent(1501, 1000, 500)).toBe(false)
  })
})
