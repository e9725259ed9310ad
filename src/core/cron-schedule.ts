// Decides what the time fields of a crontab line mean, and how far apart two starts are. Accepts what every cron takes
// to mean the same; knows nothing of commands, time zones or the present.

/** Sorted values of each field. */
export interface CronTimes {
  readonly minutes: readonly number[]
  readonly hours: readonly number[]
  readonly days: readonly number[]
  readonly months: readonly number[]
  /** 0 is Sunday; never 7. */
  readonly weekdays: readonly number[]
  /** A day needs to be one of `days` or of `weekdays`, and not both: when neither field begins with a star. */
  readonly isEitherDay: boolean
}

export interface CronSchedule {
  /** As it was given, with single spaces. */
  readonly text: string
  /** Undefined for `@reboot`. */
  readonly times: CronTimes | undefined
}

export type ParsedSchedule =
  | { readonly ok: true; readonly schedule: CronSchedule }
  /** Goes on where something has named the schedule. */
  | { readonly ok: false; readonly problem: string }

interface Field {
  readonly name: string
  readonly least: number
  readonly most: number
  /** From the least value on. */
  readonly words: readonly string[]
}

const FIELDS: readonly Field[] = [
  { name: 'minute', least: 0, most: 59, words: [] },
  { name: 'hour', least: 0, most: 23, words: [] },
  { name: 'day of month', least: 1, most: 31, words: [] },
  { name: 'month', least: 1, most: 12, words: 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ') },
  { name: 'day of week', least: 0, most: 7, words: 'sun mon tue wed thu fri sat'.split(' ') },
]

const NICKNAMES: ReadonlyMap<string, string> = new Map([
  ['@hourly', '0 * * * *'],
  ['@daily', '0 0 * * *'],
  ['@midnight', '0 0 * * *'],
  ['@weekly', '0 0 * * 0'],
  ['@monthly', '0 0 1 * *'],
  ['@yearly', '0 0 1 1 *'],
  ['@annually', '0 0 1 1 *'],
])

export function parseSchedule(given: string): ParsedSchedule {
  const text = given.trim().replace(/[ \t]+/g, ' ')
  if (text === '@reboot') return { ok: true, schedule: { text, times: undefined } }
  if (text.startsWith('@') && !NICKNAMES.has(text)) {
    return { ok: false, problem: `known are @reboot ${[...NICKNAMES.keys()].join(' ')}` }
  }
  const parts = (NICKNAMES.get(text) ?? text).split(' ')
  if (parts.length !== FIELDS.length) {
    const seconds = parts.length > FIELDS.length ? '; cron has no seconds and no years' : ''
    return { ok: false, problem: `allowed are five fields like "17 2 * * *", or @daily and the like${seconds}` }
  }
  const values: number[][] = []
  for (const [i, field] of FIELDS.entries()) {
    const read = valuesOf(parts[i] ?? '', field)
    if (typeof read === 'string') return { ok: false, problem: `${field.name} ${read}` }
    values.push(read)
  }
  const [minutes = [], hours = [], days = [], months = [], weekdays = []] = values
  const isStarred = (part: string | undefined) => part?.startsWith('*') === true
  const times: CronTimes = {
    minutes,
    hours,
    days,
    months,
    weekdays,
    isEitherDay: !isStarred(parts[2]) && !isStarred(parts[4]),
  }
  if (startDays(times).length === 0) return { ok: false, problem: 'such a day never comes' }
  return { ok: true, schedule: { text, times } }
}

/** Sorted; or what is wrong, to follow the field's name. */
function valuesOf(part: string, field: Field): number[] | string {
  const { least, most, words } = field
  const numberOf = (text: string) => (/^\d+$/.test(text) ? Number(text) : indexOf(words, text) + least)
  const values = new Set<number>()
  for (const item of part.split(',')) {
    const [, star, from = '', to, step = '1'] = /^(?:(\*)|(\w+)(?:-(\w+))?)(?:\/(\d{1,4}))?$/.exec(item) ?? []
    if (star === undefined && from === '')
      return `"${item}" is not for cron; allowed are *, 5, 1-5, */2, 1-9/2 and lists`
    if (star === undefined && to === undefined && item.includes('/')) {
      return `"${item}" has a step but no range; write ${from}-${most}/${step}`
    }
    const first = star === undefined ? numberOf(from) : least
    const last = star === undefined ? numberOf(to ?? from) : most
    if (!(first >= least && last <= most)) {
      const names = words.length > 0 ? ` and ${words[0]} to ${words.at(-1)}` : ''
      return `"${item}" is out of range; allowed are ${least} to ${most}${names}`
    }
    if (first > last) return `"${item}" runs backwards, which cron takes for never; ${forwards(words)}`
    if (Number(step) < 1 || Number(step) > most) return `"${item}" has a step that is no step`
    for (let value = first; value <= last; value += Number(step)) values.add(most === 7 ? value % 7 : value)
  }
  return [...values].sort((a, b) => a - b)
}

function indexOf(words: readonly string[], text: string): number {
  const index = words.indexOf(text.toLowerCase())
  return index < 0 ? Number.NaN : index
}

function forwards(words: readonly string[]): string {
  return words.length === 7 ? 'write Sunday as 7: 5-7' : 'write two ranges'
}

const DAY_MINUTES = 1440
/** Twice as many years as the calendar needs until dates fall on the same weekdays again, leap days included. */
const DAYS_LOOKED_AT = 2 * 28 * 365.25

/** Days on which something starts, counted from one that began a year. */
function startDays({ days, months, weekdays, isEitherDay }: CronTimes): number[] {
  const found: number[] = []
  for (let day = 0; day < DAYS_LOOKED_AT; day++) {
    const date = new Date(day * 86_400_000)
    const isDay = days.includes(date.getUTCDate())
    const isWeekday = weekdays.includes(date.getUTCDay())
    const isToday = isEitherDay ? isDay || isWeekday : isDay && isWeekday
    if (isToday && months.includes(date.getUTCMonth() + 1)) found.push(day)
  }
  return found
}

/** Between two starts, by a clock that nobody sets forward or back. */
export function shortestGapMs(times: CronTimes): number {
  const starts = times.hours.flatMap((hour) => times.minutes.map((minute) => hour * 60 + minute))
  const overnight = least(startDays(times)) * DAY_MINUTES + (starts[0] ?? 0) - (starts.at(-1) ?? 0)
  return Math.min(least(starts), overnight) * 60_000
}

function least(sorted: readonly number[]): number {
  return sorted.reduce((gap, value, i) => Math.min(gap, value - (sorted[i - 1] ?? Number.NEGATIVE_INFINITY)), Infinity)
}

const MOST_MS = 24 * 86_400_000
const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
] as const

/** What a run may take so that it is over before the next: nine tenths of the gap, in a unit that people like. */
export function deadlineFor(gapMs: number): string {
  const ms = Math.min(0.9 * gapMs, MOST_MS)
  // Rounded down a single one of two or three would give too much away.
  const [name, unitMs] = UNITS.find(([, size]) => ms >= 4 * size) ?? ['s', 1000]
  return `${Math.floor(ms / unitMs)}${name}`
}
