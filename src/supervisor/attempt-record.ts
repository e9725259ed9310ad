// Turns an ended child into the record the report keeps of it.

import type { AttemptRecord, ByteRange } from '../core/event.ts'
import type { Failure } from '../core/failure.ts'
import { printable } from '../core/printable.ts'
import { redactText, redactUrl } from '../core/redact.ts'
import type { Unit } from '../isolation/isolation.ts'
import type { ChildEnd } from './child-run.ts'
import { pidOf } from './child-run.ts'

const LAST_WORDS_CHARS = 500

/** What the supervisor knows of an attempt besides its child's end. */
export interface AttemptFacts {
  readonly n: number
  readonly task: 'fetch' | 'hash'
  readonly url: string
  readonly startedAtMs: number
  readonly endedAtMs: number
  readonly movedBytes: number
  readonly resumedFromBytes: number
  readonly range: ByteRange | null
  readonly waitMs: number
  readonly isUnchanged: boolean
  readonly failure: Failure | undefined
}

export function attemptRecord(facts: AttemptFacts, end: ChildEnd): AttemptRecord {
  const { failure } = facts
  return {
    n: facts.n,
    task: facts.task,
    ...unitRecord(end.unit),
    boot_ms: end.bootMs === undefined ? null : Math.round(end.bootMs * 1000) / 1000,
    url: redactUrl(facts.url),
    started: facts.startedAtMs,
    ended: facts.endedAtMs,
    exit_code: end.exitCode ?? null,
    signal: end.signal ?? null,
    kill_reason: end.killReason ?? null,
    signal_sent: end.signalSent ?? null,
    max_rss: end.maxResidentBytes ?? null,
    bytes: facts.movedBytes,
    range: facts.range,
    resumed_from: facts.resumedFromBytes,
    wait_ms: facts.waitMs,
    result: failure !== undefined ? 'failed' : facts.isUnchanged ? 'unchanged' : 'done',
    failure: failure ?? null,
    lingered: end.result.lingered,
    counted: true,
    stderr: end.lastWords === '' ? null : printable(redactText(withoutFrames(end.lastWords)).slice(-LAST_WORDS_CHARS)),
  }
}

/** What ran it, as log and report name it. */
export function unitRecord(unit: Unit | undefined): Pick<AttemptRecord, 'unit' | 'pid' | 'thread'> {
  return {
    unit: unit?.kind ?? null,
    pid: pidOf(unit) ?? null,
    thread: unit?.kind === 'thread' ? unit.thread : null,
  }
}

/** The error itself stands above its stack, and would be cut away to keep where it passed through. */
function withoutFrames(lastWords: string): string {
  return lastWords.replace(/^\s*(?:at |\d+: 0x).*\n?/gm, '')
}
