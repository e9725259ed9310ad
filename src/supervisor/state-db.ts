// What outlives runs: the validators of finished files. A cache, never the truth: missing or damaged it is made
// anew, and unwritable it is done without.

import { chmodSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Validator } from '../core/validator.ts'
import { makeDirs } from './make-dirs.ts'

export interface FinishedFile {
  /** Absolute. */
  readonly path: string
  /** Absolute: what its job's URL calls it. Another path only where a server gave the name. */
  readonly target: string
  readonly urlKey: string
  readonly validator: Validator
  readonly sizeBytes: number
  readonly mtimeMs: number
}

export interface StateDb {
  /** What mpdl left at this path, if it still knows. */
  find(path: string): FinishedFile | undefined
  /** What the job of this target left under a name that the server gave. */
  findNamed(target: string): FinishedFile | undefined
  /**
   * A job has one file: what it left under a name that a server gave before is no longer its own. Resolves when a kill
   * cannot lose it any more; all that is said in one turn of the event loop is one transaction.
   */
  remember(file: FinishedFile): Promise<void>
  close(): void
}

const FILE_NAME = 'state.sqlite'
const SCHEMA_VERSION = 2
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS finished (
    path TEXT PRIMARY KEY, url_key TEXT NOT NULL, etag TEXT, last_modified TEXT, is_date_strong INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, mtime_ms REAL NOT NULL, target TEXT
  ) WITHOUT ROWID;
  CREATE UNIQUE INDEX IF NOT EXISTS finished_by_target ON finished (target) WHERE target IS NOT NULL`

interface Opened {
  readonly db: DatabaseSync
  readonly find: StatementSync
  readonly findNamed: StatementSync
  readonly remember: StatementSync
  readonly forgetNamed: StatementSync
  /** Each statement by itself would be a transaction of its own: these cost more than what they hold. */
  readonly begin: StatementSync
  readonly commit: StatementSync
}

/** Opens on first use. `onProblem` is called once, with a sentence, when it has to do without. */
export function openStateDb(dir: string, onProblem: (sentence: string) => void): StateDb {
  let opened: Opened | undefined
  let isBroken = false
  /** Not in the database yet. */
  const waiting: FinishedFile[] = []
  let written: Promise<void> | undefined

  function use<T>(action: (state: Opened) => T): T | undefined {
    if (isBroken) return undefined
    try {
      opened ??= open(dir)
      try {
        return action(opened)
      } catch (error) {
        // Damage deep inside shows only when it is read.
        if (!isDamage(error)) throw error
        opened.db.close()
        opened = undefined
        removeDatabase(dir)
        opened = open(dir)
        return action(opened)
      }
    } catch (error) {
      isBroken = true
      const why = error instanceof Error ? error.message : String(error)
      onProblem(`the state in ${dir} cannot be used (${why}); what is unchanged will be downloaded again`)
      return undefined
    }
  }

  /** Whoever reads looks for what was said before, too. */
  function read<T>(action: (state: Opened) => T): T | undefined {
    write()
    return use(action)
  }

  function write(): void {
    if (waiting.length === 0) return
    use((state) => writeAll(state, waiting))
    waiting.length = 0
  }

  return {
    find: (path) => read(({ find }) => fileOf(find.get(path))),
    findNamed: (target) => read(({ findNamed }) => fileOf(findNamed.get(target))),
    remember(file) {
      waiting.push(file)
      written ??= new Promise((resolve) => {
        setImmediate(() => {
          written = undefined
          write()
          resolve()
        })
      })
      return written
    },
    close() {
      write()
      try {
        opened?.db.close()
      } catch {
        // A cache that cannot be closed is as good as closed.
      }
      opened = undefined
      isBroken = true
    },
  }
}

function writeAll({ db, begin, remember, forgetNamed, commit }: Opened, files: readonly FinishedFile[]): void {
  begin.run()
  try {
    for (const { path, target, urlKey, validator, sizeBytes, mtimeMs } of files) {
      const { etag, lastModified, isDateStrong } = validator
      forgetNamed.run(target)
      remember.run(
        path,
        urlKey,
        etag ?? null,
        lastModified ?? null,
        isDateStrong === true ? 1 : 0,
        sizeBytes,
        mtimeMs,
        target === path ? null : target,
      )
    }
    commit.run()
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

function open(dir: string): Opened {
  makeDirs(dir, 0o700)
  const path = join(dir, FILE_NAME)
  try {
    return prepare(path)
  } catch (error) {
    if (!isDamage(error)) throw error
    removeDatabase(dir)
    return prepare(path)
  }
}

/** Only what SQLite itself calls damaged is thrown away; a full disk or a missing right is not damage. */
function isDamage(error: unknown): boolean {
  const message = error instanceof Error ? error.message : ''
  return /not a database|malformed|corrupt|no such column|values were supplied|wrong schema/i.test(message)
}

function removeDatabase(dir: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(join(dir, FILE_NAME + suffix), { force: true })
}

function prepare(path: string): Opened {
  // Loaded late: a first run of a fresh list never needs it.
  const sqlite: typeof import('node:sqlite') = process.getBuiltinModule('node:sqlite')
  const db = new sqlite.DatabaseSync(path, { timeout: 2000 })
  try {
    chmodSync(path, 0o600)
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
    // Two runs may begin at once: the second must see what the first has made of an old database.
    db.exec('BEGIN IMMEDIATE')
    const version = db.prepare('PRAGMA user_version').get()?.['user_version']
    if (version === 1) db.exec('ALTER TABLE finished ADD COLUMN target TEXT')
    else if (version !== 0 && version !== SCHEMA_VERSION) throw new Error('wrong schema')
    db.exec(`${SCHEMA}; PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`)
    return {
      db,
      find: db.prepare('SELECT * FROM finished WHERE path = ?'),
      findNamed: db.prepare('SELECT * FROM finished WHERE target = ?'),
      remember: db.prepare('INSERT OR REPLACE INTO finished VALUES (?, ?, ?, ?, ?, ?, ?, ?)'),
      begin: db.prepare('BEGIN IMMEDIATE'),
      commit: db.prepare('COMMIT'),
      forgetNamed: db.prepare('DELETE FROM finished WHERE target = ?'),
    }
  } catch (error) {
    db.close()
    throw error
  }
}

function fileOf(row: Record<string, unknown> | undefined): FinishedFile | undefined {
  const { path, url_key, etag, last_modified, is_date_strong, size_bytes, mtime_ms, target } = row ?? {}
  if (typeof path !== 'string' || typeof url_key !== 'string') return undefined
  if (typeof size_bytes !== 'number' || typeof mtime_ms !== 'number') return undefined
  return {
    path,
    target: typeof target === 'string' ? target : path,
    urlKey: url_key,
    validator: {
      ...(typeof etag === 'string' ? { etag } : {}),
      ...(typeof last_modified === 'string' ? { lastModified: last_modified } : {}),
      isDateStrong: is_date_strong === 1,
    },
    sizeBytes: size_bytes,
    mtimeMs: mtime_ms,
  }
}
