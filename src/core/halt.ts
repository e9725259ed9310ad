// Decides when so many jobs have failed that a run should not go on. GNU parallel's --halt, of which only failures count
// here. Knows nothing of how a run is ended.

export interface HaltRule {
  /** `soon`: what runs comes to its end, nothing else begins. `now`: what runs is ended too. */
  readonly when: 'soon' | 'now'
  /** So many jobs. */
  readonly fail: number
  /** `fail` is in percent of the run's jobs. */
  readonly isPercent: boolean
}

/** As with GNU parallel: of a handful of jobs a tenth is reached by the first one, which says nothing. */
const LEAST_FOR_PERCENT = 3

/** `soon,fail=10%`, `now,fail=1`; undefined when it is no rule. */
export function parseHalt(text: string): HaltRule | undefined {
  const [, when, digits = '', percent] = /^(soon|now),fail=(\d{1,9})(%?)$/.exec(text) ?? []
  const fail = Number(digits)
  const isPercent = percent === '%'
  if ((when !== 'soon' && when !== 'now') || fail < 1 || (isPercent && fail > 100)) return undefined
  return { when, fail, isPercent }
}

/** As it was given. */
export function haltText({ when, fail, isPercent }: HaltRule): string {
  return `${when},fail=${fail}${isPercent ? '%' : ''}`
}

/** `total`: all jobs of the run, those that have not begun included. */
export function isHaltReached({ fail, isPercent }: HaltRule, failed: number, total: number): boolean {
  if (!isPercent) return failed >= fail
  return failed >= Math.min(LEAST_FOR_PERCENT, total) && failed * 100 >= fail * total
}
