// Hears what an attempt says that posts objects instead of writing lines. Trusts nothing, and nothing at all after the
// first garbage.

import * as v from 'valibot'
import { childMessageSchema } from '../protocol/message.ts'
import type { LeaseEvent } from './isolation.ts'
import type { MessageCount } from './message-count.ts'

export function postedReader(messages: MessageCount, on: (event: LeaseEvent) => void): (value: unknown) => void {
  let isGarbled = false
  return (value) => {
    if (isGarbled) return
    messages.add()
    const parsed = v.safeParse(childMessageSchema, value, { abortEarly: true })
    if (parsed.success) return on({ kind: 'message', message: parsed.output })
    isGarbled = true
    on({ kind: 'garbled', detail: 'no known message' })
  }
}
