// Shows what several connections for one file bring, with and without a limit for each, and what a `kill -9` in the
// middle costs: which bytes were there, which were believed, how many came twice. Counts what the origin sent.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bodyOf, type MadeUpFile, urlOf } from './origin.ts'
import type { ConnectionsResult, SegmentMap } from './result.ts'
import type { OriginProcess } from './sample.ts'
import { spreadOf } from './spread.ts'
import { outDirOf, type SubjectEnd, startSubject, type Tools } from './subject.ts'
import { CLEAN_LIMITS } from './watch.ts'

const MIB = 2 ** 20
const NAME = 'atlas.pdf'
const SIZE_BYTES = 16 * MIB
const LIMIT_BYTES_PER_S = 2 * MIB
const CONNECTIONS = [1, 4, 16]
/** Slower: between two notes a second passes, and the kill must come after one and well before the end. */
const KILLED_BYTES_PER_S = MIB
const KILL_AT = 0.6
const POLL_MS = 20
const BLOCK_BYTES = 64 * 1024

export interface ConnectionsOrder {
  readonly origin: OriginProcess
  readonly repeat: number
  readonly freshHome: () => string
  readonly onRun: (text: string) => void
}

export async function showConnections(order: ConnectionsOrder, tools: Tools): Promise<ConnectionsResult> {
  const rows: ConnectionsResult['rows'][number][] = []
  for (const limit of [null, LIMIT_BYTES_PER_S]) {
    for (const connections of CONNECTIONS) {
      const walls: number[] = []
      for (let run = 0; run < order.repeat; run++) {
        order.onRun(`one file by ${connections}${limit === null ? '' : ', each limited'}`)
        const { wallMs } = await sound(
          download(order.freshHome(), connections, limit, order.origin, tools).ended,
          tools,
        )
        walls.push(wallMs)
      }
      const wall = spreadOf(walls)
      rows.push({
        connections,
        limit_bytes_per_s: limit,
        wall_ms: wall,
        bytes_per_s: (SIZE_BYTES * 1000) / wall.median,
      })
    }
  }
  return { size_bytes: SIZE_BYTES, rows, ...(await showKill(order, tools)) }
}

const fileAt = (limit: number | null): MadeUpFile => ({
  name: NAME,
  sizeBytes: SIZE_BYTES,
  ...(limit === null ? {} : { bytesPerS: limit }),
})

function download(home: string, connections: number, limit: number | null, { port }: OriginProcess, tools: Tools) {
  const many = [`--split=${connections}`, `--jobs=${connections}`, `--max-per-host=${connections}`]
  return startSubject(
    {
      home,
      args: ['--no-config', ...many, '--min-split-size=1M', urlOf(port, fileAt(limit))],
      isRehearsal: false,
      limits: CLEAN_LIMITS,
      measuresMemory: false,
    },
    tools,
  )
}

/** Throws when the run did not bring the file: then there is nothing to show. */
async function sound(ended: Promise<SubjectEnd>, { signal }: Tools): Promise<SubjectEnd> {
  const end = await ended
  signal.throwIfAborted()
  if (end.exitCode !== 0) throw new Error(`one file by several connections: ${end.lastWords}`)
  return end
}

async function showKill(order: ConnectionsOrder, tools: Tools) {
  const { origin } = order
  const home = order.freshHome()
  order.onRun('one file by 4, killed in the middle')
  const sentBefore = await origin.sentBytes()
  const killed = download(home, 4, KILLED_BYTES_PER_S, origin, tools)
  let isOver = false
  const ended = killed.ended.finally(() => {
    isOver = true
  })
  while (!isOver && (await origin.sentBytes()) - sentBefore < SIZE_BYTES * KILL_AT) await sleep(POLL_MS)
  if (!isOver) process.kill(killed.pid, 'SIGKILL')
  await ended
  tools.signal.throwIfAborted()
  const part = join(outDirOf(home), `${NAME}.part`)
  if (!existsSync(part)) throw new Error('the file was whole before its supervisor could be killed')
  const before = map('written when it was killed', writtenRanges(readFileSync(part)))
  const after = map('noted: what the next run builds on', notedRanges(`${part}.json`))
  await sound(download(home, 4, KILLED_BYTES_PER_S, origin, tools).ended, tools)
  const whole = map('whole', writtenRanges(readFileSync(join(outDirOf(home), NAME))))
  return { maps: [before, after, whole], refetched_bytes: (await origin.sentBytes()) - sentBefore - SIZE_BYTES }
}

const map = (label: string, ranges: SegmentMap['ranges']): SegmentMap => ({ label, size_bytes: SIZE_BYTES, ranges })

/** Where the part has the origin's bytes, whatever anybody noted. */
function writtenRanges(part: Buffer): [number, number][] {
  const body = bodyOf({ name: NAME, sizeBytes: SIZE_BYTES })
  const ranges: [number, number][] = []
  for (let from = 0; from < SIZE_BYTES; from += BLOCK_BYTES) {
    const to = Math.min(SIZE_BYTES, from + BLOCK_BYTES)
    if (!part.subarray(from, to).equals(body.subarray(from, to))) continue
    const last = ranges.at(-1)
    if (last?.[1] === from) last[1] = to
    else ranges.push([from, to])
  }
  return ranges
}

function notedRanges(path: string): [number, number][] {
  const note: { completed: [number, number][] } = JSON.parse(readFileSync(path, 'utf8'))
  return note.completed
}
