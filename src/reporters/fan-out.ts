// Decides that one reporter's trouble is nobody else's: several reporters look like one. Knows nothing of what they do.

import type { Reporter, RunEvent, Status } from '../core/event.ts'

export interface NamedReporter {
  readonly name: string
  readonly reporter: Reporter
}

/**
 * Several reporters as one. A reporter that throws or rejects hears nothing more, and `warn` is told once: a broken
 * screen must not stop a download.
 */
export function fanOut(reporters: readonly NamedReporter[], warn: (message: string) => void): Reporter {
  const alive = new Set(reporters)
  const cut = (named: NamedReporter, error: unknown) => {
    if (!alive.delete(named)) return
    warn(
      `output "${named.name}" failed and was switched off: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
  const each = (tell: (reporter: Reporter) => void) => {
    for (const named of alive) {
      try {
        tell(named.reporter)
      } catch (error) {
        cut(named, error)
      }
    }
  }
  return {
    event: (event: RunEvent) => each((reporter) => reporter.event(event)),
    progress: (status: Status) => each((reporter) => reporter.progress?.(status)),
    note: (text: string) => each((reporter) => reporter.note?.(text)),
    async close() {
      await Promise.all(
        [...alive].map(async (named) => {
          try {
            await named.reporter.close?.()
          } catch (error) {
            cut(named, error)
          }
        }),
      )
    },
  }
}
