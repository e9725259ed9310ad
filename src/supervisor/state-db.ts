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
  readonly urlKey: string
  readonly validator: Validator
  readonly sizeBytes: number
  readonly mtimeMs: number
}

export interface StateDb {
  /** What mpdl left at this path, if it still knows. */
  find(path: string): FinishedFile | undefined
  remember(file: FinishedFile): void
  close(): void
}

const FILE_NAME = 'state.sqlite'
const SCHEMA_VERSION = 1
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS finished (
    path TEXT PRIMARY KEY, url_key TEXT NOT NULL, etag TEXT, last_modified TEXT, is_date_strong INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, mtime_ms REAL NOT NULL
  ) WITHOUT ROWID`

/** Opens on first use. `onProblem` is called once, with a sentence, when it has to do without. */
export function openStateDb(dir: string, onProblem: (sentence: string) => void): StateDb {
  let opened: { db: DatabaseSync; find: StatementSync; remember: StatementSync } | undefined
  let isBroken = false

  function use<T>(action: (state: NonNullable<typeof opened>) => T): T | undefined {
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

  return {
    find: (path) =>
      use(({ find }) => {
        const row = find.get(path)
        return row === undefined ? undefined : fileOf(path, row)
      }),
    remember(file) {
      const { etag, lastModified, isDateStrong } = file.validator
      use(({ remember }) =>
        remember.run(
          file.path,
          file.urlKey,
          etag ?? null,
          lastModified ?? null,
          isDateStrong === true ? 1 : 0,
          file.sizeBytes,
          file.mtimeMs,
        ),
      )
    },
    close() {
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

function open(dir: string): { db: DatabaseSync; find: StatementSync; remember: StatementSync } {
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

function prepare(path: string): { db: DatabaseSync; find: StatementSync; remember: StatementSync } {
  // Loaded late: a first run of a fresh list never needs it.
  const sqlite: typeof import('node:sqlite') = process.getBuiltinModule('node:sqlite')
  const db = new sqlite.DatabaseSync(path, { timeout: 2000 })
  try {
    chmodSync(path, 0o600)
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
    const version = db.prepare('PRAGMA user_version').get()?.['user_version']
    if (version !== 0 && version !== SCHEMA_VERSION) throw new Error('wrong schema')
    db.exec(`${SCHEMA}; PRAGMA user_version = ${SCHEMA_VERSION}`)
    return {
      db,
      find: db.prepare('SELECT * FROM finished WHERE path = ?'),
      remember: db.prepare('INSERT OR REPLACE INTO finished VALUES (?, ?, ?, ?, ?, ?, ?)'),
    }
  } catch (error) {
    db.close()
    throw error
  }
}

function fileOf(path: string, row: Record<string, unknown>): FinishedFile | undefined {
  const { url_key, etag, last_modified, is_date_strong, size_bytes, mtime_ms } = row
  if (typeof url_key !== 'string' || typeof size_bytes !== 'number' || typeof mtime_ms !== 'number') return undefined
  return {
    path,
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
