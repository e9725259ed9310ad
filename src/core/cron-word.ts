// Decides how a word is written in the command of a crontab line, so that /bin/sh gets it as it was. Knows nothing of
// what the word says.

const PLAIN = /^[\w@+=:,./-]+$/

/**
 * Crons differ in what they make of a backslash: all turn `\%` into a percent sign or leave that to the shell, and some
 * turn `\\` into one. So a backslash stands before a percent sign outside of quotes, or alone between quotes.
 */
export function cronWord(text: string): string {
  if (text === '') return "''"
  return text.replace(/%|\\|'+|[^%\\']+/g, (piece) => {
    if (piece === '%') return '\\%'
    if (piece.startsWith("'")) return `"${piece}"`
    return PLAIN.test(piece) ? piece : `'${piece}'`
  })
}

/** Why it cannot stand in a line at all, to follow what names it. */
export function whyNoWord(text: string): string | undefined {
  if (/[\n\r\0]/.test(text)) return 'holds the end of a line, which cannot stand in a crontab or a unit'
  // What Node makes of bytes that are no text: the file of that name would not be found again.
  return text.includes('\ufffd') ? 'holds bytes that are no UTF-8, and would be written differently' : undefined
}

/** Where a program should not stand that is started for years: what takes it away; undefined where it stays. */
export function whyShortLived(path: string): string | undefined {
  if (/^(?:\/var)?\/tmp\/|\/_npx\/|\/\.cache\/|\/fnm_multishells\/|^\/nix\/store\//.test(path))
    return 'is in a place that is emptied'
  const isVersioned =
    /\/(?:v|node-?v?)\d+(?:\.\d+)*[^/]*\//.test(path) || /\/(?:versions|installs|Cellar)\/.*\d/.test(path)
  return isVersioned ? 'goes when that version is replaced' : undefined
}
