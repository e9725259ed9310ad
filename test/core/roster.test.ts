// Decides whether what left is gone, from the roster and from memory.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { Roster } from '../../src/core/roster.ts'

test('who came is there until he leaves', () => {
  const roster = new Roster<number, { name: string }>()
  const [anna, ben] = [{ name: 'Anna' }, { name: 'Ben' }]
  roster.set(1, anna)
  roster.set(2, ben)
  expect([roster.size, roster.has(1), roster.get(1), roster.values()]).toEqual([2, true, anna, [anna, ben]])
  roster.delete(1)
  roster.delete(7)
  expect([roster.size, roster.has(1), roster.get(1), roster.values()]).toEqual([1, false, undefined, [ben]])
})

test('who takes the key of another replaces him', () => {
  const roster = new Roster<number, { name: string }>()
  roster.set(1, { name: 'Anna' })
  roster.set(1, { name: 'Ben' })
  expect([roster.size, roster.values()]).toEqual([1, [{ name: 'Ben' }]])
})

test('all may leave at once, and while they are gone through', () => {
  const roster = new Roster<number, { key: number }>()
  for (const key of [1, 2, 3]) roster.set(key, { key })
  for (const { key } of roster.values()) roster.delete(key)
  expect(roster.size).toBe(0)
  for (const key of [1, 2, 3]) roster.set(key, { key })
  roster.clear()
  expect([roster.size, roster.values()]).toEqual([0, []])
})

test('of those that came and went no more stays in memory than what a minor collection keeps', () => {
  setFlagsFromString('--expose-gc')
  const collect: (options: { type: 'minor' }) => void = runInNewContext('gc')
  const roster = new Roster<number, number[]>()
  for (let key = -8; key < 0; key++) roster.set(key, [])
  // What is there for so long is old.
  for (let n = 0; n < 4; n++) collect({ type: 'minor' })
  roster.clear()
  const before = process.memoryUsage().heapUsed
  const [count, elements] = [5000, 1000]
  for (let key = 0; key < count; key++) {
    roster.set(key, new Array<number>(elements).fill(key))
    roster.delete(key - 16)
    if (key % 100 === 0) collect({ type: 'minor' })
  }
  const grownBytes = process.memoryUsage().heapUsed - before
  expect(grownBytes).toBeLessThan((count * elements * 4) / 4)
})
