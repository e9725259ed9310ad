// Decides the sign of each outcome, which tells them apart without colour.

import type { Outcome } from '../../core/event.ts'

export const OUTCOME_SIGNS: Readonly<Record<Outcome, string>> = {
  downloaded: '✓',
  unchanged: '=',
  skipped: '–',
  failed: '✗',
  killed: '⊘',
  crashed: '†',
  abandoned: '?',
  cancelled: '○',
  'not-started': '·',
}
