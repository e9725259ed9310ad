// Writes the page of a comparison. All that is on it is in the data; the page's own script draws it.

import type { Comparison } from '../compare/result.ts'
import { embedded, halves } from './template.ts'

/** One self-contained file; `template` is the built `compare-page.html`. */
export function comparePage(comparison: Comparison, template: string): string {
  const [before, after] = halves(template)
  return before + embedded(comparison) + after
}
