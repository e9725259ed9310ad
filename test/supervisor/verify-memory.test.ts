import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
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
  target: path,
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
  expect(looking.find('/d/a')).toEqual({ sizeBytes: 7, mtimeMs: 1.5, urlKey: 'k' })
  expect(looking.find('/d/b')).toBeUndefined()
  expect(footprint()).toEqual(before)
  looking.close()
  expect(footprint()).toEqual(before)
  expect(looking.find('/d/a')).toBeUndefined()
})

test('what a run remembers meanwhile is found, too', async () => {
  const first = state()
  first.remember(file('/d/a', 7))
  first.close()
  const looking = memory()
  looking.find('/d/a')
  const run = state()
  await run.remember(file('/d/a', 8))
  expect(looking.find('/d/a')).toMatchObject({ sizeBytes: 8 })
  await run.remember(file('/d/b', 9))
  expect(looking.find('/d/b')).toMatchObject({ sizeBytes: 9 })
  run.close()
  expect(looking.find('/d/b')).toMatchObject({ sizeBytes: 9 })
  looking.close()
})

test('a file that a server named is found by what its job is called otherwise', () => {
  const run = state()
  run.remember({ ...file('/d/report.pdf', 7), target: '/d/get.php' })
  run.remember(file('/d/a', 8))
  run.close()
  const looking = memory()
  expect(['/d/get.php', '/d/a', '/d/report.pdf'].map((path) => looking.findNamed(path))).toEqual([
    '/d/report.pdf',
    undefined,
    undefined,
  ])
  expect(looking.find('/d/report.pdf')).toEqual({ sizeBytes: 7, mtimeMs: 1.5, urlKey: 'k' })
  looking.close()
})

test('a memory from before there were such names is read as far as it goes, and stays as it is', () => {
  const path = join(dir, 'state.sqlite')
  const old = new DatabaseSync(path)
  old.exec(
    'CREATE TABLE finished (path TEXT, url_key TEXT, size_bytes INTEGER, mtime_ms REAL); PRAGMA user_version = 1',
  )
  old.exec(`INSERT INTO finished VALUES ('/d/a', 'k', 7, 1.5)`)
  old.close()
  const before = footprint()
  const looking = memory()
  expect([looking.find('/d/a'), looking.findNamed('/d/a')]).toEqual([
    { sizeBytes: 7, mtimeMs: 1.5, urlKey: 'k' },
    undefined,
  ])
  looking.close()
  expect(footprint()).toEqual(before)
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
