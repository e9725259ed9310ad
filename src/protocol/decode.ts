// Turns a line of the wire into a message, or says why it is none. Trusts nothing.

import * as v from 'valibot'
import type { ChildMessage, Command } from './message.ts'
import { childMessageSchema, commandSchema } from './message.ts'
import type { SharedOrder, SharedReport } from './shared-wire.ts'
import { orderSchema, reportSchema } from './shared-wire.ts'

export type Decoded<T> = { readonly ok: true; readonly message: T } | { readonly ok: false; readonly detail: string }

function decode<T>(line: string, schema: v.GenericSchema<unknown, T>): Decoded<T> {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return { ok: false, detail: 'not JSON' }
  }
  return check(value, schema)
}

function check<T>(value: unknown, schema: v.GenericSchema<unknown, T>): Decoded<T> {
  const parsed = v.safeParse(schema, value, { abortEarly: true })
  if (parsed.success) return { ok: true, message: parsed.output }
  const [issue] = parsed.issues
  const path = issue.path
    ?.map((item) => String(item.key))
    .join('.')
    .slice(0, 60)
  return { ok: false, detail: path === undefined || path === '' ? 'no known message' : `wrong ${path}` }
}

export function decodeChildMessage(line: string): Decoded<ChildMessage> {
  return decode(line, childMessageSchema)
}

/** One that did not come as a line. */
export function checkChildMessage(value: unknown): Decoded<ChildMessage> {
  return check(value, childMessageSchema)
}

export function decodeCommand(line: string): Decoded<Command> {
  return decode(line, commandSchema)
}

export function decodeOrder(line: string): Decoded<SharedOrder> {
  return decode(line, orderSchema)
}

export function decodeReport(line: string): Decoded<SharedReport> {
  return decode(line, reportSchema)
}
