import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openStateDb } from '../../src/supervisor/state-db.ts'
import { openFileMemory } from '../../src/supervisor/verify-memory.ts'

let dir = ''
beforeEach(() => {
  // Characters that mean something in the URL by which SQLite is given its path.
  dir = join(mkdtempSync(join(tmpdir(), 'mpdl-memory-')), 'state ?#%')
  mkdirSync(dir)
})
afterEach(() => rmSync(join(dir, '..'), { recursive: true, force: true }))

const file = (path: string, sizeBytes: number) => ({
  path,
  urlKey: 'k',
  validator: { etag: '"a"' },
  sizeBytes,
  mtimeMs: 1.5,
})
const state = () => openStateDb(dir, (sentence) => expect.unreachable(sentence))
const memory = () => openFileMemory(dir, (sentence) => expect.unreachable(sentence))
const footprint = () => readdirSync(dir).map((name) => [name, statSync(join(dir, name)).mtimeMs])

test('what a run remembered is found, and looking leaves no trace', () => {
  const run = state()
  run.remember(file('/d/a', 7))
  run.close()
  const before = footprint()
  const looking = memory()
  expect(looking.find('/d/a')).toEqual({ sizeBytes: 7, mtimeMs: 1.5 })
  expect(looking.find('/d/b')).toBeUndefined()
  expect(footprint()).toEqual(before)
  looking.close()
  expect(footprint()).toEqual(before)
  expect(looking.find('/d/a')).toBeUndefined()
})

test('what a run remembers meanwhile is found, too', () => {
  const first = state()
  first.remember(file('/d/a', 7))
  first.close()
  const looking = memory()
  looking.find('/d/a')
  const run = state()
  run.remember(file('/d/a', 8))
  expect(looking.find('/d/a')).toMatchObject({ sizeBytes: 8 })
  run.remember(file('/d/b', 9))
  expect(looking.find('/d/b')).toMatchObject({ sizeBytes: 9 })
  run.close()
  expect(looking.find('/d/b')).toMatchObject({ sizeBytes: 9 })
  looking.close()
})

test('where nothing was ever remembered nothing is made', () => {
  const looking = memory()
  expect(looking.find('/d/a')).toBeUndefined()
  looking.close()
  expect(readdirSync(dir)).toEqual([])
})

test('a damaged memory is said once, and stays as it is', () => {
  const path = join(dir, 'state.sqlite')
  writeFileSync(path, 'no database '.repeat(1000))
  const problems: string[] = []
  const looking = openFileMemory(dir, (sentence) => problems.push(sentence))
  expect([looking.find('/d/a'), looking.find('/d/a')]).toEqual([undefined, undefined])
  looking.close()
  expect(problems).toEqual([expect.stringContaining('not a database')])
  expect(statSync(path).size).toBe(12_000)
})
