// Standard output carries data, so losing some of it is an error; a reader who has had enough is none.

import { UsageError } from './usage-error.ts'

let isClosed = false

/** Resolves when the text is handed over. Throws (73) when it cannot be; silent after EPIPE. */
export function writeOut(text: string): Promise<void> {
  if (isClosed) return Promise.resolve()
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => {
      if (error === null || error === undefined) return resolve()
      isClosed = true
      if ('code' in error && error.code === 'EPIPE') return resolve()
      const code = 'code' in error ? String(error.code) : error.message
      reject(new UsageError(`cannot write to standard output: ${code}`, 73))
    })
  })
}
