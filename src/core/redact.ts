// Decides what of a text is a secret and masks it. Knows nothing of who looks.

import { excerpt } from './printable.ts'

const MASK = '***'
const SECRET_KEY =
  /token|key|sig|secret|pass|pwd|auth|credential|session|^x-amz-|code|jwt|sas|hmac|policy|ticket|bearer|otp|nonce|^sid$/i
const USERINFO = /((?:https?|ftp):[\\/]|[\\/]{2})[^\\/?#]*@/gi
// A password with an unescaped / ? or # makes the URL invalid, and it is the invalid URL that gets quoted.
const BROKEN_USERINFO = /(?:(?:https?|ftp):[\\/]|[\\/]{2})(?![[\\/])(?=[^\\/?#@:]*:(?!\d*(?:[\\/?#]|$)))/i
const BARE_USERINFO = /^\s*[^\s\\/?#@:]+:[^\s\\/?#]*@/

/**
 * The text with the userinfo of every URL and the values of secret-looking query keys replaced by `***`.
 * Needs no valid URL. Rather masks too much than too little: a masked value reaches to the next `&` or `#`.
 */
export function redactUrl(text: string): string {
  const withoutUser = redactBrokenUser(text.replace(USERINFO, `$1${MASK}@`).replace(BARE_USERINFO, `${MASK}@`))
  return /[?&;#]/.test(withoutUser) ? redactQuery(withoutUser) : withoutUser
}

/** Up to the last @: where the password ends cannot be known. */
function redactBrokenUser(text: string): string {
  const end = text.lastIndexOf('@')
  const start = end < 0 ? null : BROKEN_USERINFO.exec(text.slice(0, end))
  return start === null ? text : text.slice(0, start.index) + start[0] + MASK + text.slice(end)
}

/** Splits instead of matching: one pass whatever the text, where a pattern could be made to backtrack. */
function redactQuery(text: string): string {
  const [beforeQuery = '', ...rest] = text.split(/([?&;#])/)
  let shown = beforeQuery
  let isMasking = false
  for (let i = 0; i < rest.length; i += 2) {
    const separator = rest[i] ?? ''
    const pair = rest[i + 1] ?? ''
    // `;` and `?` may belong to the value of the secret before them.
    if (isMasking && separator !== '&' && separator !== '#') continue
    const keyEnd = pair.indexOf('=')
    isMasking =
      keyEnd > 0 && (SECRET_KEY.test(unescapeAscii(pair.slice(0, keyEnd))) || holdsSecret(pair.slice(keyEnd + 1)))
    shown += separator + (isMasking ? `${pair.slice(0, keyEnd)}=${MASK}` : pair)
  }
  return shown
}

/** A value that is itself a URL, escaped, as behind `?url=`: one level deep, so that a text cannot ask for many. */
function holdsSecret(value: string): boolean {
  if (!value.includes('%')) return false
  const inner = unescapeAscii(value)
  const isSecretPair = (pair: string) => {
    const keyEnd = pair.indexOf('=')
    return keyEnd > 0 && SECRET_KEY.test(pair.slice(0, keyEnd))
  }
  return (
    inner !== redactBrokenUser(inner.replace(USERINFO, `$1${MASK}@`)) ||
    inner
      .split(/[?&;#]/)
      .slice(1)
      .some(isSecretPair)
  )
}

function unescapeAscii(text: string): string {
  return text.replace(/%([0-7][0-9a-f])/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

/** What a problem may quote from a list: redacted, then an excerpt, in double quotes. */
export function quoted(text: string): string {
  return `"${excerpt(redactUrl(text))}"`
}

/** {@link redactUrl} for every URL in a longer text, such as a crashed child's last words. */
export function redactText(text: string): string {
  return text.replace(/(?:https?|socks5h?):\/\/[^\s"'<>]+/gi, redactUrl)
}
