// Decides how figures read on a page: units with a space that never breaks, digits in groups. Knows nothing of what
// they count.

import { formatBytes } from '../../core/units.ts'
import { grouped } from '../../reporters/summary.ts'

/** Numbers and units stay on one line. */
export const unbroken = (text: string) => text.replaceAll(' ', '\u00a0')

/** 2012 → `2,012 ms`; one decimal below ten. */
export function milliseconds(ms: number): string {
  return unbroken(`${Math.abs(ms) < 10 ? String(Math.round(ms * 10) / 10) : grouped(Math.round(ms))} ms`)
}

export const bytes = (value: number) => unbroken(formatBytes(value))

/** Three digits that count. */
export function plain(value: number): string {
  return value >= 100 ? grouped(Math.round(value)) : String(Number(value.toPrecision(3)))
}

export const times = (ratio: number) => unbroken(`${plain(ratio)} ×`)

export const percent = (share: number) => unbroken(`${plain(share * 100)} %`)

/** `2026-11-21 02:20:15 UTC`: the same for every reader. */
export function moment(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}
