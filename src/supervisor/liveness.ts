// Looks at a process from outside, through /proc: is it stopped, how much memory does it hold. Where there is no
// /proc, nothing is known and nothing is concluded.

import { readFileSync } from 'node:fs'
import { codeOf } from './disk-failure.ts'

export interface ProcessSight {
  /** Stopped by a signal or a tracer. */
  readonly isStopped: boolean
  readonly residentBytes: number
  /** All it ever handed to write calls, as the kernel counts; undefined where that may not be read. */
  readonly writtenBytes: number | undefined
}

/** Undefined when the process is gone, is a zombie, or the platform has no /proc. */
export function lookAt(pid: number): ProcessSight | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    const state = /^State:\s+(\S)/m.exec(status)?.[1] ?? ''
    if (state === 'Z' || state === 'X') return undefined
    const residentKiB = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0)
    return {
      isStopped: state === 'T' || state === 't',
      residentBytes: residentKiB * 1024,
      writtenBytes: writtenBytesOf(pid),
    }
  } catch {
    return undefined
  }
}

function writtenBytesOf(pid: number): number | undefined {
  try {
    const written = /^wchar: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1]
    return written === undefined ? undefined : Number(written)
  } catch {
    return undefined
  }
}

/** Whether a process of this pid is there, be it ours or not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

/** Identifies this boot of the machine; undefined where the platform does not tell. */
export function bootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  } catch {
    return undefined
  }
}
