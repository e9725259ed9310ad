// Decides what is downloaded where no list was given: fifty made-up forms of the sizes that forms have, from an origin of
// its own. Knows nothing of how they are downloaded.

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { bodyOf, type MadeUpFile, SENT_PATH } from './origin.ts'
import type { Tools } from './subject.ts'

/** On bare loopback an answer comes at once, and doing several at a time would show nothing. */
export const SAMPLE_LATENCY_MS = 50
const FILES = 50
const KIB = 1024

export function sampleFiles(latencyMs: number): MadeUpFile[] {
  return Array.from({ length: FILES }, (_, n) => ({
    name: `form-${String(n + 1).padStart(2, '0')}.pdf`,
    // Large and small ones mixed; 37 and 50 have no common factor, so each size comes once.
    sizeBytes: (20 + ((n * 37) % FILES) * 4) * KIB,
    latencyMs,
  }))
}

/** Hashes of what the files must be, by their names. */
export type Truth = ReadonlyMap<string, string>

export function truthOf(files: readonly MadeUpFile[]): Truth {
  return new Map(files.map((file) => [file.name, createHash('sha256').update(bodyOf(file)).digest('hex')]))
}

export interface OriginProcess {
  readonly port: number
  /** Bytes of bodies that have left so far. */
  sentBytes(): Promise<number>
  stop(): Promise<void>
}

/** In a process of its own. It ends with this one, whose end of the pipe closes however that ends. */
export async function startOriginProcess({ program, originCommand }: Tools): Promise<OriginProcess> {
  // A session of its own: Ctrl-C must not end it before those that download from it.
  const child = spawn(process.execPath, [program, originCommand], {
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const port = await firstNumber(child)
  return {
    port,
    sentBytes: async () => Number(await (await fetch(`http://127.0.0.1:${port}${SENT_PATH}`)).text()),
    stop: async () => {
      child.stdin?.end()
      await exited
    },
  }
}

async function firstNumber(child: ChildProcess): Promise<number> {
  let said = ''
  for await (const chunk of child.stdout ?? []) {
    said += String(chunk)
    if (said.endsWith('\n')) return Number(said)
  }
  throw new Error('the sample origin does not start')
}
