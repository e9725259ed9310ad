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
  close(): void
}

interface Opened {
  readonly db: DatabaseSync
  readonly query: StatementSync
  /** Taken for a file that nobody writes. */
  readonly isImmutable: boolean
}

/** Opens on first use. `onProblem` is called once, with a sentence, when it has to do without. */
export function openFileMemory(stateDir: string, onProblem: (sentence: string) => void): FileMemory {
  const path = join(stateDir, 'state.sqlite')
  const isBeingWritten = () => existsSync(`${path}-wal`)
  let opened: Opened | undefined
  let isOver = !existsSync(path)

  const look = (file: string): Record<string, unknown> | undefined => {
    opened ??= open(path, !isBeingWritten())
    const row = opened.query.get(file)
    if (!opened.isImmutable || !isBeingWritten()) return row
    // Somebody has begun to write. SQLite makes its log before it changes the database, so this comes in time.
    close()
    opened = open(path, false)
    return opened.query.get(file)
  }

  const close = () => {
    opened?.db.close()
    opened = undefined
  }

  return {
    find(file) {
      if (isOver) return undefined
      try {
        const { size_bytes: sizeBytes, mtime_ms: mtimeMs } = look(file) ?? {}
        return typeof sizeBytes === 'number' && typeof mtimeMs === 'number' ? { sizeBytes, mtimeMs } : undefined
      } catch (error) {
        isOver = true
        const why = error instanceof Error ? error.message : String(error)
        onProblem(`the state in ${stateDir} cannot be read (${why}); only the list and the logs are compared`)
        return undefined
      }
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
    return { db, query: db.prepare('SELECT size_bytes, mtime_ms FROM finished WHERE path = ?'), isImmutable }
  } catch (error) {
    db.close()
    throw error
  }
}
