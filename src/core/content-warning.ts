// Decides whether what a server sent is likely not what a name promises. Only warns: the server may be right.

/** Kinds of file that are never HTML; a page in their place is a login form or an error in disguise. */
const NEVER_HTML =
  /\.(pdf|zip|gz|tgz|xz|zst|bz2|7z|iso|jpe?g|png|gif|webp|mp[34]|mkv|webm|docx?|xlsx?|pptx?|epub|csv|exe|dmg|deb|rpm|jar)$/i

/** `target`: the path the file gets; undefined when there is nothing to say. */
export function contentWarning(contentType: string | undefined, target: string): string | undefined {
  return contentType?.toLowerCase().startsWith('text/html') === true && NEVER_HTML.test(target)
    ? 'the server sent HTML, which is hardly what the name promises'
    : undefined
}
