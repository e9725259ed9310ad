// Removes secrets from a command line before it is logged.

import { redactUrl } from '../core/redact.ts'

/** `-H`, also behind flags that take no value (`-vH`), with its value in the same word or in the next. */
const SHORT_HEADER = /^(-[nqvh]*H)(.*)$/s
const LONG_HEADER = /^(--header=)(.*)$/s

/** Header values go whole; URLs keep all but credentials and tokens. */
export function redactArgv(argv: readonly string[]): string[] {
  let isHeader = false
  return argv.map((word) => {
    if (isHeader) {
      isHeader = false
      return hideValue(word)
    }
    const [, option, value] = SHORT_HEADER.exec(word) ?? LONG_HEADER.exec(word) ?? []
    isHeader = word === '--header' || (option !== undefined && value === '' && !option.endsWith('='))
    if (option !== undefined && value !== undefined && value !== '') return option + hideValue(value)
    return word.includes('://') ? redactUrl(word) : word
  })
}

function hideValue(header: string): string {
  const colon = header.indexOf(':')
  return colon < 0 ? '***' : `${header.slice(0, colon)}: ***`
}
