// Decides how text from servers and lists may reach a screen: nothing in it can move the cursor, end the line or
// reorder its neighbours. Knows nothing of secrets or of widths.

// Bidi controls reorder what stands around them, tags and zero-width characters hide text. The joiners U+200C and
// U+200D stay: Persian words and family emoji need them.
const UNSAFE =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}\u00ad\u200b\u2060-\u2064\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu
const NOT_ASCII = /[^\x20-\x7e]/gu

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0
  const hex = code.toString(16)
  if (code < 0x100) return `\\x${hex.padStart(2, '0')}`
  return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\u{${hex}}`
}

/** The text on one line, with whatever a terminal would obey or hide spelled out: `\x1b`, `\u202e`, `\u{e0041}`. */
export function printable(text: string): string {
  return text.replace(UNSAFE, escaped)
}

/** {@link printable}, cut to `limit` characters: what a sentence may quote of a text of any length. */
export function excerpt(text: string, limit = 100): string {
  // Cut before escaping bounds the work, cut after it bounds the result.
  const characters = Array.from(printable(text.slice(0, limit * 2 + 2)))
  return characters.length <= limit ? characters.join('') : `${characters.slice(0, limit - 1).join('')}…`
}

/**
 * {@link printable} for a terminal that does not speak UTF-8. There the second byte of an `ě` is a C1 control,
 * so everything outside ASCII is spelled out.
 */
export function printableAscii(text: string): string {
  return text.replace(NOT_ASCII, escaped)
}

/** JSON text that means the same and is safe to look at: JSON itself escapes only C0. */
export function printableJson(json: string): string {
  return json.replace(UNSAFE, (character) => {
    let units = ''
    for (let i = 0; i < character.length; i++) units += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`
    return units
  })
}
