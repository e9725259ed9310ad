// Looks up how mpdl left its files, in the state that outlives runs. Changes nothing there, not even by opening it:
// what is missing stays missing, and what is damaged is for the next run to repair.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import type { RememberedFile } from '../core/verify.ts'

export interface FileMemory {
  /** `path`: absolute. */
  find(path: string): RememberedFile | undefined
  /** Where the file of this target is, when a server named it; both absolute. */
  findNamed(target: string): string | undefined
  close(): void
}

interface Opened {
  readonly db: DatabaseSync
  readonly find: StatementSync
  /** Undefined where the run that made the database knew nothing of names from servers. */
  readonly findNamed: StatementSync | undefined
  /** Taken for a file that nobody writes. */
  readonly isImmutable: boolean
}

/** Opens on first use. `onProblem` is called once, with a sentence, when it has to do without. */
export function openFileMemory(stateDir: string, onProblem: (sentence: string) => void): FileMemory {
  const path = join(stateDir, 'state.sqlite')
  const isBeingWritten = () => existsSync(`${path}-wal`)
  let opened: Opened | undefined
  let isOver = !existsSync(path)

  type Row = Record<string, unknown> | undefined
  const look = (query: (opened: Opened) => Row): Row => {
    opened ??= open(path, !isBeingWritten())
    const row = query(opened)
    if (!opened.isImmutable || !isBeingWritten()) return row
    // Somebody has begun to write. SQLite makes its log before it changes the database, so this comes in time.
    close()
    opened = open(path, false)
    return query(opened)
  }

  const tryToLook = (query: (opened: Opened) => Row): Row => {
    if (isOver) return undefined
    try {
      return look(query)
    } catch (error) {
      isOver = true
      const why = error instanceof Error ? error.message : String(error)
      onProblem(`the state in ${stateDir} cannot be read (${why}); only the list and the logs are compared`)
      return undefined
    }
  }

  const close = () => {
    opened?.db.close()
    opened = undefined
  }

  return {
    find(file) {
      const row = tryToLook(({ find }) => find.get(file)) ?? {}
      const { size_bytes: sizeBytes, mtime_ms: mtimeMs, url_key: urlKey } = row
      const isWhole = typeof sizeBytes === 'number' && typeof mtimeMs === 'number' && typeof urlKey === 'string'
      return isWhole ? { sizeBytes, mtimeMs, urlKey } : undefined
    },
    findNamed(target) {
      const { path: named } = tryToLook(({ findNamed }) => findNamed?.get(target)) ?? {}
      return typeof named === 'string' ? named : undefined
    },
    close() {
      isOver = true
      close()
    },
  }
}

/** Even a reader leaves SQLite's own files behind unless it takes the database for immutable. */
function open(path: string, isImmutable: boolean): Opened {
  const sqlite: typeof import('node:sqlite') = process.getBuiltinModule('node:sqlite')
  const url = pathToFileURL(path)
  if (isImmutable) url.searchParams.set('immutable', '1')
  const db = new sqlite.DatabaseSync(url, { readOnly: true, timeout: 2000 })
  try {
    const columns = db.prepare("SELECT name FROM pragma_table_info('finished')").all()
    const hasNames = columns.some(({ name }) => name === 'target')
    return {
      db,
      find: db.prepare('SELECT size_bytes, mtime_ms, url_key FROM finished WHERE path = ?'),
      findNamed: hasNames ? db.prepare('SELECT path FROM finished WHERE target = ?') : undefined,
      isImmutable,
    }
  } catch (error) {
    db.close()
    throw error
  }
}
