// Decides whether a name that a server suggests may be a file's, and in which form. Knows nothing of headers or disks.

import { foldKey, safeComponent } from './destination.ts'

/** What mpdl gives a meaning of its own, once it lies beside other downloads. */
const RESERVED = /^mpdl\.toml$|\.part(?:\.json~?)?$/

/**
 * One safe component: only what follows the last `/` or `\` (RFC 6266 §4.3), made safe as the name of a URL is. Undefined
 * where nothing usable is left.
 */
export function safeServerName(suggested: string): string | undefined {
  const last = (/[^/\\]*$/.exec(suggested)?.[0] ?? '').trim()
  if (/^\.*$/.test(last)) return undefined
  const name = safeComponent(last)
  return RESERVED.test(foldKey(last)) || RESERVED.test(foldKey(name)) ? undefined : name
}
