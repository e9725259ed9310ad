// Reads a netrc file if it is safe from others. Decides nothing about who it is for.

import { isUtf8 } from 'node:buffer'
import { closeSync, constants, openSync, readFileSync } from 'node:fs'
import type { NetrcEntry } from '../core/netrc.ts'
import { parseNetrc } from '../core/netrc.ts'
import { printable } from '../core/printable.ts'
import { codeOf } from './disk-failure.ts'
import { whyNotPrivate } from './private-file.ts'
import type { NetrcSettings } from './settings.ts'

export type NetrcReading =
  | { readonly ok: true; readonly entries: readonly NetrcEntry[] }
  | { readonly ok: false; readonly problem: string }

const MAX_BYTES = 2 ** 20

/** Why a netrc that was asked for cannot be used, to be said before a byte moves. */
export function netrcProblem({ file, isOn }: NetrcSettings): string | undefined {
  const reading = isOn ? readNetrc(file) : undefined
  return reading?.ok === false ? reading.problem : undefined
}

/** The problem names the file and what to do about it, and holds nothing of its content. */
export function readNetrc(file: string): NetrcReading {
  const name = printable(file)
  const refuse = (problem: string): NetrcReading => ({ ok: false, problem: `netrc ${name} ${problem}` })
  let descriptor: number | undefined
  try {
    // A FIFO nobody writes to would be waited for.
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
    const unfit = whyNotPrivate(descriptor, name, MAX_BYTES)
    if (unfit !== undefined) return refuse(unfit)
    const text = readFileSync(descriptor)
    // A password that lost its bytes would be a wrong one.
    if (!isUtf8(text)) return refuse('is no UTF-8 text; save it as UTF-8')
    const parsed = parseNetrc(new TextDecoder().decode(text))
    return parsed.ok ? parsed : refuse(`line ${parsed.line}: ${parsed.problem}`)
  } catch (error) {
    const code = codeOf(error)
    if (code === undefined) throw error
    return refuse(code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`)
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}
