// The wire of a process that several downloads share: the same conversations as in message.ts, each under a number.
//
// Law: `open` begins a conversation and names its file, which the child opens itself, because a descriptor cannot follow
// a process that runs already. It must be the very file the supervisor holds: device and inode are compared. Then
// everything said carries the number, either way, until the child says `left`: it has closed the file, writes nothing
// more, and whatever is still told under that number is dropped. Numbers are never used twice. The child ends when
// the wire does.

import * as v from 'valibot'
import { childMessageSchema, commandSchema } from './message.ts'
import { variant } from './variant.ts'

const number = v.pipe(v.number(), v.safeInteger(), v.minValue(1))

export const orderSchema = variant('type', [
  v.strictObject({
    type: v.literal('open'),
    id: number,
    path: v.string(),
    /** As text: they are 64 bits wide. */
    device: v.string(),
    inode: v.string(),
    access: v.picklist(['read', 'write']),
    /** To be rehearsed; a child that was not built for that ends at once. */
    fault: v.exactOptional(v.string()),
  }),
  v.strictObject({ type: v.literal('tell'), id: number, command: commandSchema }),
])

export const reportSchema = variant('type', [
  v.strictObject({ type: v.literal('said'), id: number, message: childMessageSchema }),
  v.strictObject({ type: v.literal('left'), id: number }),
])

/** To the child. */
export type SharedOrder = v.InferOutput<typeof orderSchema>
/** From the child. */
export type SharedReport = v.InferOutput<typeof reportSchema>
