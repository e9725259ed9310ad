// A moment as the clock on the wall shows it. Knows nothing of the present.

/** `2026-11-21 02:20:15`, in the time zone of this process. */
export function localTime(ms: number): string {
  const date = new Date(ms)
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()].map(padded).join('-')
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(padded).join(':')}`
}

const padded = (n: number) => String(n).padStart(2, '0')
