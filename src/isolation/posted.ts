// Hears what an attempt says that posts objects instead of writing lines. Trusts nothing, and nothing at all after the
// first garbage.

import { checkChildMessage } from '../protocol/decode.ts'
import type { LeaseEvent } from './isolation.ts'
import type { MessageCount } from './message-count.ts'

export function postedReader(messages: MessageCount, on: (event: LeaseEvent) => void): (value: unknown) => void {
  let isGarbled = false
  return (value) => {
    if (isGarbled) return
    messages.add()
    const decoded = checkChildMessage(value)
    if (decoded.ok) return on({ kind: 'message', message: decoded.message })
    isGarbled = true
    on({ kind: 'garbled', detail: decoded.detail })
  }
}
