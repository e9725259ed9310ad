// Reads the dates of HTTP headers (RFC 9110 §5.6.7). Knows nothing of what they are for.

/** All three forms begin so; Date.parse itself takes `0`, `-5` and `1.5` for dates. */
const DAY_NAME = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)/i

/** Ms since the epoch; NaN for what is no date. */
export function httpDateMs(text: string | undefined): number {
  const trimmed = text?.trim() ?? ''
  if (!DAY_NAME.test(trimmed)) return Number.NaN
  // The asctime form names no zone and means UTC.
  return Date.parse(/GMT$/i.test(trimmed) ? trimmed : `${trimmed} GMT`)
}
