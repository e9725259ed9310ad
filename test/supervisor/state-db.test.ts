// Decides whether what outlives runs is a cache: right when it is there, harmless when it is not.

import { execFile, execFileSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FinishedFile, StateDb } from '../../src/supervisor/state-db.ts'
import { openStateDb } from '../../src/supervisor/state-db.ts'

const FILE: FinishedFile = {
  path: '/files/a',
  target: '/files/a',
  urlKey: 'key',
  validator: { etag: '"v1"', lastModified: 'Sat, 21 Nov 2026 03:00:00 GMT', isDateStrong: true },
  sizeBytes: 2 ** 40,
  mtimeMs: 1_800_000_000_000.5,
}
const MODULE = join(import.meta.dirname, '../../src/supervisor/state-db.ts')

let dir: string
let file: string
let problems: string[]
let opened: StateDb[]

beforeEach(() => {
  dir = join(mkdtempSync(join(tmpdir(), 'mpdl-test-')), 'state')
  file = join(dir, 'state.sqlite')
  problems = []
  opened = []
})

afterEach(() => {
  for (const db of opened) db.close()
  rmSync(join(dir, '..'), { recursive: true, force: true })
})

function open(): StateDb {
  const db = openStateDb(dir, (sentence) => problems.push(sentence))
  opened.push(db)
  return db
}

describe('what is remembered', () => {
  test('is found by the next run, and the newest of a path counts', () => {
    const first = open()
    first.remember({ ...FILE, urlKey: 'older' })
    first.remember(FILE)
    first.close()
    expect(open().find('/files/a')).toEqual(FILE)
    expect(open().find('/files/b')).toBeUndefined()
    expect(problems).toEqual([])
  })

  test('may have no validator', () => {
    const db = open()
    db.remember({ ...FILE, validator: {} })
    expect(db.find('/files/a')?.validator).toEqual({ isDateStrong: false })
  })

  test('under a name from a server is found by what its job is called otherwise, too', () => {
    const db = open()
    const named = { ...FILE, path: '/files/report.pdf', target: '/files/get.php' }
    db.remember(named)
    expect([db.findNamed('/files/get.php'), db.find('/files/report.pdf')]).toEqual([named, named])
    expect([db.find('/files/get.php'), db.findNamed('/files/report.pdf')]).toEqual([undefined, undefined])
    db.remember(FILE)
    expect(db.findNamed('/files/a'), 'it has its own name').toBeUndefined()
  })

  test('of a job is one file: what it left under another name is no longer its own', () => {
    const db = open()
    const target = '/files/get.php'
    db.remember({ ...FILE, path: '/files/v1', target })
    db.remember({ ...FILE, path: '/files/v2', target })
    expect([db.findNamed(target)?.path, db.find('/files/v1')]).toEqual(['/files/v2', undefined])
    db.remember({ ...FILE, path: target, target })
    expect([db.findNamed(target), db.find('/files/v2'), db.find(target)?.path]).toEqual([undefined, undefined, target])
    db.remember({ ...FILE, path: '/files/v3', target })
    db.remember({ ...FILE, path: '/files/v3', target: '/files/v3' })
    expect(db.findNamed(target), 'another job has the place').toBeUndefined()
  })

  test('stays with its owner', async () => {
    await open().remember(FILE)
    expect(lstatSync(file).mode & 0o777).toBe(0o600)
    expect(lstatSync(dir).mode & 0o777).toBe(0o700)
  })
})

describe('what is remembered in one turn of the event loop', () => {
  const named = (path: string): FinishedFile => ({ ...FILE, path, target: path })

  test('is one transaction: nobody else sees a part of it', async () => {
    const db = open()
    await db.remember(named('/files/before'))
    const other = new DatabaseSync(file, { readOnly: true })
    const count = () => other.prepare('SELECT count(*) AS n FROM finished').get()?.['n']
    const both = [db.remember(named('/files/a')), db.remember(named('/files/b'))]
    expect(count()).toBe(1)
    await both[0]
    expect(count()).toBe(3)
    other.close()
  })

  test('survives a kill when it was awaited, and only then', async () => {
    const code = `
      import { openStateDb } from ${JSON.stringify(MODULE)}
      const db = openStateDb(process.argv[1], (sentence) => console.log(sentence))
      const remember = (path) => db.remember({ ...${JSON.stringify(FILE)}, path, target: path })
      remember('/files/a')
      await remember('/files/b')
      remember('/files/c')
      process.kill(process.pid, 'SIGKILL')`
    const killed = promisify(execFile)(process.execPath, ['--input-type=module', '-e', code, dir])
    await expect(killed).rejects.toMatchObject({ signal: 'SIGKILL', stdout: '' })
    const db = open()
    expect(['a', 'b', 'c'].map((name) => db.find(`/files/${name}`)?.path)).toEqual(['/files/a', '/files/b', undefined])
    expect(problems).toEqual([])
  })
})

test('nothing is made before it is used, nor after it was closed', () => {
  const db = open()
  expect(existsSync(dir)).toBe(false)
  db.close()
  db.remember(FILE)
  expect(db.find('/files/a')).toBeUndefined()
  expect(existsSync(dir)).toBe(false)
})

/** As mpdl 0.1 made it. */
function makeOldDatabase(): void {
  mkdirSync(dir, { recursive: true })
  const old = new DatabaseSync(file)
  old.exec(`CREATE TABLE finished (
    path TEXT PRIMARY KEY, url_key TEXT NOT NULL, etag TEXT, last_modified TEXT, is_date_strong INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, mtime_ms REAL NOT NULL) WITHOUT ROWID; PRAGMA user_version = 1`)
  old.exec(`INSERT INTO finished VALUES ('/files/a', 'key', '"v1"', NULL, 0, 7, 1.5)`)
  old.close()
}

describe('an older database', () => {
  test('is continued with what it knows', () => {
    makeOldDatabase()
    const db = open()
    expect(db.find('/files/a')).toMatchObject({ target: '/files/a', validator: { etag: '"v1"' }, sizeBytes: 7 })
    db.remember({ ...FILE, path: '/files/report.pdf', target: '/files/get.php' })
    expect(db.findNamed('/files/get.php')?.path).toBe('/files/report.pdf')
    expect(problems).toEqual([])
  })

  test('is continued by two runs that begin at once', async () => {
    makeOldDatabase()
    const code = `
      import { openStateDb } from ${JSON.stringify(MODULE)}
      const db = openStateDb(process.argv[1], (sentence) => console.log(sentence))
      console.log(db.find('/files/a')?.sizeBytes)`
    const begin = () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', code, dir])
    const said = await Promise.all(Array.from({ length: 4 }, begin))
    expect(said.map(({ stdout }) => stdout)).toEqual(['7\n', '7\n', '7\n', '7\n'])
  })
})

describe('is made anew', () => {
  const works = () => {
    const db = open()
    db.remember(FILE)
    expect(db.find('/files/a')).toEqual(FILE)
    expect(problems).toEqual([])
  }

  test('when it is garbage', () => {
    mkdirSync(dir, { recursive: true })
    writeFileSync(file, 'this is no database '.repeat(1000))
    works()
  })

  test('when it is empty', () => {
    mkdirSync(dir, { recursive: true })
    writeFileSync(file, '')
    works()
  })

  test.each([
    'PRAGMA user_version = 99',
    'PRAGMA user_version = 1; CREATE TABLE finished (path TEXT PRIMARY KEY, other TEXT)',
  ])('when it is of another schema: %s', (sql) => {
    mkdirSync(dir, { recursive: true })
    const db = new DatabaseSync(file)
    db.exec(sql)
    db.close()
    works()
  })

  test('when its damage shows only later', () => {
    const db = open()
    for (let n = 0; n < 2000; n++) db.remember({ ...FILE, path: `/files/${n}`, target: `/files/${n}` })
    db.close()
    const descriptor = openSync(file, 'r+')
    for (let at = 2 * 4096; at < statSync(file).size; at += 4096)
      writeSync(descriptor, Buffer.alloc(4096, 7), 0, 4096, at)
    closeSync(descriptor)
    const damaged = open()
    damaged.find('/files/7')
    damaged.remember(FILE)
    expect(damaged.find('/files/a')).toEqual(FILE)
    expect(problems).toEqual([])
  })
})

describe('is done without', () => {
  test('when a file stands where its directory should be, and says so once', () => {
    writeFileSync(dir, '')
    const db = open()
    db.remember(FILE)
    db.remember(FILE)
    expect(db.find('/files/a')).toBeUndefined()
    expect(problems).toEqual([expect.stringMatching(/cannot be used .*downloaded again$/)])
  })

  test.runIf(process.getuid?.() === 0)('when the directory may not be written', () => {
    mkdirSync(dir, { recursive: true, mode: 0o755 })
    const code = `
      import { openStateDb } from ${JSON.stringify(MODULE)}
      const problems = []
      const db = openStateDb(process.argv[1], (sentence) => problems.push(sentence))
      await db.remember(${JSON.stringify(FILE)})
      console.log(JSON.stringify([problems.length, db.find('/files/a') ?? null]))`
    const asNobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--']
    execFileSync('chmod', ['755', join(dir, '..')])
    const told = execFileSync('setpriv', [...asNobody, process.execPath, '--input-type=module', '-e', code, dir], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    expect(JSON.parse(told.toString())).toEqual([1, null])
  })
})

test('processes that open and write it at the same time lose nothing', async () => {
  const code = `
    import { openStateDb } from ${JSON.stringify(MODULE)}
    const [dir, name] = process.argv.slice(1)
    const db = openStateDb(dir, (sentence) => console.log(sentence))
    for (let n = 0; n < 50; n++) db.remember({ ...${JSON.stringify(FILE)}, path: name + n, target: name + n })
    db.close()`
  const names = ['a', 'b', 'c', 'd']
  const told = await Promise.all(
    names.map((name) => promisify(execFile)(process.execPath, ['--input-type=module', '-e', code, dir, name])),
  )
  expect(told.map(({ stdout }) => stdout)).toEqual(names.map(() => ''))
  const db = open()
  const missing = names
    .flatMap((name) => Array.from({ length: 50 }, (_, n) => name + n))
    .filter((path) => db.find(path) === undefined)
  expect(missing).toEqual([])
})
