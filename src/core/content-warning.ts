// Decides whether what a server sent is likely not what a name promises. Only warns: the server may be right.

import { codingOf } from './coding.ts'
import { excerpt } from './printable.ts'

/** Kinds of file that are never HTML; a page in their place is a login form or an error in disguise. */
const NEVER_HTML =
  /\.(pdf|zip|gz|tgz|xz|zst|bz2|7z|iso|jpe?g|png|gif|webp|mp[34]|mkv|webm|docx?|xlsx?|pptx?|epub|csv|exe|dmg|deb|rpm|jar)$/i

/** Names that promise a compressed file: there a coding that nobody asked for may be the file itself. */
const COMPRESSED = /\.(gz|tgz|svgz|br|zst|xz|bz2|Z)$/i

/** What came, as its head says. */
export interface Content {
  readonly contentType?: string
  readonly contentEncoding?: string
  /** The coding was asked for and is gone. */
  readonly isDecoded: boolean
}

/** As it was sent, with a coding that nobody took off. */
export function isStoredCoded({ contentEncoding, isDecoded }: Content): boolean {
  return !isDecoded && codingOf(contentEncoding) !== 'identity'
}

/** `target`: the path the file gets. One sentence for each thing that is odd. */
export function contentWarnings(content: Content, target: string): string[] {
  const { contentType, contentEncoding } = content
  const isPage = contentType?.toLowerCase().startsWith('text/html') === true && NEVER_HTML.test(target)
  const isCoded = isStoredCoded(content) && !COMPRESSED.test(target)
  return [
    ...(isPage ? ['the server sent HTML, which is hardly what the name promises'] : []),
    ...(isCoded ? [`stored as sent, coded ${excerpt(contentEncoding ?? '', 30)} (--compressed decodes)`] : []),
  ]
}
