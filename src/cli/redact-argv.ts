// Removes secrets from a command line before it is logged.

import { redactUrl } from '../core/redact.ts'

const SECRET_OPTIONS = ['-H', '--header']

/** Header values go whole; URLs keep all but credentials and tokens. */
export function redactArgv(argv: readonly string[]): string[] {
  return argv.map((word, at) => {
    const before = argv[at - 1]
    if (before !== undefined && SECRET_OPTIONS.includes(before)) return hideValue(word)
    const joined = SECRET_OPTIONS.find((name) => word.startsWith(name.startsWith('--') ? `${name}=` : name))
    if (joined !== undefined && word !== joined) {
      const start = joined.startsWith('--') ? joined.length + 1 : joined.length
      return word.slice(0, start) + hideValue(word.slice(start))
    }
    return /^[a-z]+:\/\//i.test(word) ? redactUrl(word) : word
  })
}

function hideValue(header: string): string {
  const colon = header.indexOf(':')
  return colon < 0 ? '***' : `${header.slice(0, colon)}: ***`
}
