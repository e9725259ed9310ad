// Decides how data gets into a page. A page is one file, built beforehand, with one place for its data inside a script
// element that no browser runs. Knows nothing of what the data mean.

import { printableJson } from '../core/printable.ts'

/** Where the data stand in a template. */
export const PLACE = '@@data@@'

/** What stands before the data and what after them; a template without exactly one place is none. */
export function halves(template: string): readonly [before: string, after: string] {
  const [before, after, ...more] = template.split(PLACE)
  if (before === undefined || after === undefined || more.length > 0) throw new Error(`a page needs one ${PLACE}`)
  return [before, after]
}

/** JSON that cannot end the script element it stands in, nor open a comment there: `<` begins all of these. */
export function embedded(value: unknown): string {
  return printableJson(JSON.stringify(value)).replaceAll('<', '\\u003c')
}
