// The note beside a part: which version it is of and which bytes are there. Believed only as far as it can be
// checked. Knows nothing of how bytes get there.

import { closeSync, constants, fstatSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import * as v from 'valibot'
import { safeComponent } from '../core/destination.ts'
import type { Range } from '../core/segment.ts'
import { areSoundRanges } from '../core/segment.ts'
import type { Validator } from '../core/validator.ts'
import { createFile, replaceFile } from './replace-file.ts'

const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const ranges = v.array(v.strictTuple([whole, whole]))

const schema = v.object({
  mpdl: v.literal(1),
  version: v.string(),
  job: v.string(),
  /** Redacted: for people. `urlKey` is what is compared. */
  url: v.string(),
  urlKey: v.string(),
  validator: v.object({
    etag: v.exactOptional(v.string()),
    lastModified: v.exactOptional(v.string()),
    isDateStrong: v.exactOptional(v.boolean()),
  }),
  sizeBytes: v.nullable(whole),
  /** Begun by another tool and adopted with -c: of which version these bytes are, nobody knows. */
  isForeign: v.exactOptional(v.literal(true)),
  /** What it will be called, where the server has a say in that. */
  name: v.exactOptional(
    v.pipe(
      v.string(),
      v.check((name) => safeComponent(name) === name),
    ),
  ),
  /** In the page cache at least: true for this boot only. */
  completed: ranges,
  /** On the disk, fdatasynced: true for ever. */
  synced: ranges,
  bootId: v.nullable(v.string()),
  /** Who is writing; for the message to a second run. */
  pid: v.pipe(v.number(), v.integer()),
  /** The note of a whole run, of which a part has just begun, and what that run calls it. */
  run: v.exactOptional(v.pipe(v.string(), v.regex(/^\.mpdl-[0-9a-f]{16}$/))),
})

export interface Control {
  readonly version: string
  readonly job: string
  readonly url: string
  readonly urlKey: string
  readonly validator: Validator
  readonly sizeBytes: number | undefined
  readonly isForeign?: true
  readonly name?: string
  readonly completed: readonly Range[]
  readonly synced: readonly Range[]
  readonly bootId: string | undefined
  readonly pid: number
  readonly run?: string
}

/** Undefined when there is none, or when it is damaged, another tool's, or contradicts itself. */
export function readControl(path: string): Control | undefined {
  const descriptor = openControl(path)
  if (descriptor === undefined) return undefined
  try {
    return parseControl(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** To be read; undefined when there is nothing that could be. */
export function openControl(path: string): number | undefined {
  try {
    // A pipe planted here would otherwise be waited for without end.
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch {
    return undefined
  }
}

/** What {@link readControl} gives, of an open one. */
export function parseControl(descriptor: number): Control | undefined {
  let value: unknown
  try {
    if (!fstatSync(descriptor).isFile()) return undefined
    value = JSON.parse(readFileSync(descriptor, 'utf8'))
  } catch {
    return undefined
  }
  const parsed = v.safeParse(schema, value)
  if (!parsed.success) return undefined
  const { sizeBytes, bootId, mpdl: _, ...rest } = parsed.output
  const size = sizeBytes ?? undefined
  if (!areSoundRanges(rest.completed, size) || !areSoundRanges(rest.synced, size)) return undefined
  return { ...rest, sizeBytes: size, bootId: bootId ?? undefined }
}

/** Replaces the note as a whole. Throws what the disk throws. */
export function writeControl(path: string, control: Control): void {
  replaceFile(path, textOf(control), { temporary: `${path}~`, isDurable: false })
}

/** Writes the first note; false where there is one already. Throws what the disk throws. */
export function createControl(path: string, control: Control): boolean {
  return createFile(path, textOf(control), { temporary: `${path}~`, isDurable: false })
}

/**
 * Writes over the note where it is, because a full disk has no room for a second one; only when the blocks it has
 * are enough. A crash in between costs the note, not the truth: half a note is not believed.
 */
export function overwriteControl(path: string, control: Control): void {
  const descriptor = openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const stat = fstatSync(descriptor)
    const bytes = Buffer.from(textOf(control))
    if (!stat.isFile() || stat.nlink > 1 || stat.blocks * 512 < bytes.length) return
    ftruncateSync(descriptor, writeSync(descriptor, bytes, 0, bytes.length, 0))
  } finally {
    closeSync(descriptor)
  }
}

export function textOf({ sizeBytes, bootId, ...rest }: Control): string {
  return JSON.stringify({ mpdl: 1, ...rest, sizeBytes: sizeBytes ?? null, bootId: bootId ?? null })
}

/** The ranges that are still true: all of this boot, else only what was on the disk. Within the part's length. */
export function survivingRanges(control: Control, thisBoot: string | undefined, partBytes: number): readonly Range[] {
  const sameBoot = control.bootId !== undefined && control.bootId === thisBoot
  const kept = sameBoot ? control.completed : control.synced
  return kept.every(([, end]) => end <= partBytes) ? kept : []
}
