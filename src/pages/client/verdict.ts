// Decides what a cell of the fault matrix says in a few signs, and where the frontier runs. Knows nothing of pages.

import type { Culprit, FaultCell, FaultRow, KillMoment } from '../../compare/result.ts'
import { counted } from '../../reporters/summary.ts'
import { milliseconds } from './format.ts'

/** Whether every file is there and the run said so. */
export function holds(cell: FaultCell, files: number): boolean {
  return cell.fate === 'well' && cell.files_final === files
}

/** What a glance sees: a sign and the numbers that belong to it. */
export function verdictOf(cell: FaultCell, files: number): string {
  switch (cell.fate) {
    case 'well':
      return `${cell.files_first}→${cell.files_final} ${holds(cell, files) ? '✓' : '◐'}`
    case 'died':
      return '✗ run died'
    case 'never-ended':
      return '∞ never ended'
    case 'lied':
      return '! ended and lied'
  }
}

/** The signs of {@link verdictOf}, for the legend. */
export const SIGNS: readonly (readonly [sign: string, text: string])[] = [
  ['49→50 ✓', 'files after the first attempt → after retries: all are there'],
  ['44→47 ◐', 'ended and told the truth, but files are missing'],
  ['✗ run died', 'the whole run went down with one download'],
  ['∞ never ended', 'somebody has to end it by hand'],
  ['! ended and lied', 'it said that all is well, and it is not'],
]

export function remarkOf(cell: FaultCell): string {
  const left = cell.left_behind.length
  const parts = [
    cell.fate === 'well'
      ? cell.noticed_ms === null
        ? null
        : milliseconds(cell.noticed_ms)
      : `${cell.files_first}→${cell.files_final}`,
    cell.fate === 'died' || cell.fate === 'lied' ? exitText(cell) : null,
    left > 0 ? `${left} left behind` : null,
  ]
  return parts.filter((part) => part !== null).join(' · ')
}

export const CULPRITS: Readonly<Record<Culprit, string>> = {
  named: 'named at once',
  'after-quarantine': 'named after a quarantine of the suspects',
  'suspects-only': 'not named, only suspects are',
  not: 'not named',
}

export function exitText({ signal, exit_code }: FaultCell): string {
  return signal ?? (exit_code === null ? 'no exit' : `exit ${exit_code}`)
}

/** The whole cell in one sentence, for whoever does not see the table. */
export function sentenceOf(cell: FaultCell, title: string, files: number): string {
  const fate = {
    well: holds(cell, files) ? 'all is there' : 'ended and told the truth, files are missing',
    died: `the run died, ${exitText(cell)}`,
    'never-ended': 'the run never ended',
    lied: 'the run ended and lied',
  }[cell.fate]
  const noticed = cell.noticed_ms === null ? 'never noticed' : `noticed after ${milliseconds(cell.noticed_ms)}`
  return `${title}, ${cell.mode}: ${fate}; ${cell.files_first} of ${counted(files, 'file')} after the first attempt, ${
    cell.files_final
  } after retries; culprit ${CULPRITS[cell.culprit]}; ${noticed}`
}

/** Whether the frontier runs on the right side of this cell, and below it. */
export function edgesOf(
  rows: readonly FaultRow[],
  row: number,
  column: number,
  files: number,
): { readonly right: boolean; readonly below: boolean } {
  const at = (r: number, c: number) => {
    const cell = rows[r]?.cells[c]
    return cell === undefined ? null : holds(cell, files)
  }
  const here = at(row, column)
  const differs = (other: boolean | null) => other !== null && other !== here
  return { right: differs(at(row, column + 1)), below: differs(at(row + 1, column)) }
}

/** What is waited for between two moments of a kill. */
export function phaseOf(from: KillMoment['what'], to: KillMoment['what']): string {
  if (from === 'fault') return 'silence'
  if (from === 'SIGTERM') return 'grace'
  if (from === 'retried') return 'the next attempt'
  if (to === 'joined') return 'reaping'
  if (to === 'retried') return 'wait'
  if (to === 'run-ended') return 'the rest of the run'
  return 'decision'
}

export const MOMENTS: Readonly<Record<KillMoment['what'], string>> = {
  fault: 'fault',
  noticed: 'noticed',
  SIGTERM: 'SIGTERM',
  SIGKILL: 'SIGKILL',
  joined: 'joined',
  retried: 'tried again',
  'run-ended': 'run ended',
  'given-up': 'given up',
}

/** `fault │ silence 2,012 ms │ noticed │ …`: the kill on one line. */
export function killLine(moments: readonly KillMoment[]): string {
  return moments
    .flatMap(({ what, at_ms }, i) => {
      const next = moments[i + 1]
      if (next === undefined) return [MOMENTS[what]]
      return [MOMENTS[what], `${phaseOf(what, next.what)} ${milliseconds(next.at_ms - at_ms)}`]
    })
    .join(' │ ')
}
