// Proves what is taken for memory, by a file system that is, one that is not, and a path that is nowhere.
import { expect, test } from 'vitest'
import { isInMemory } from '../../src/supervisor/memory-disk.ts'

test.runIf(process.platform === 'linux')('a tmpfs is in memory', () => {
  expect(isInMemory('/dev/shm')).toBe(true)
})

test.each(['/proc', import.meta.dirname, '/nowhere/at/all'])('%s is not', (path) => {
  expect(isInMemory(path)).toBe(false)
})
