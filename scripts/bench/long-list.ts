// Lists of very many lines: how long until something happens, and what they hold in memory. Knows nothing of the rest
// of the benchmark.

import { join } from 'node:path'
import { hangDoorbell } from './doorbell.ts'
import { firstDownload } from './first-download.ts'
import type { WorkloadResult } from './result.ts'
import { measure } from './rounds.ts'
import { type Setting, writeLists } from './setting.ts'
import { subjectsFor } from './subjects.ts'
import type { Tool } from './tools.ts'
import { fileName, type Place, type Workload } from './workloads.ts'

const CONNECTIONS = 8

/** What nobody who reads a list as URLs can be faster than. */
const READ_AND_PARSE = [
  'const text = require("node:fs").readFileSync(process.argv[1], "utf8");',
  'for (const line of text.split("\\n")) if (line !== "") new URL(line)',
].join(' ')

export interface LongListOrder {
  readonly name: string
  readonly lines: number
  readonly tools: readonly Tool[]
  readonly place: Place
  readonly rounds: number
  readonly memoryRounds: number
  /** Memory of the tool's first process only. */
  readonly isOfFirst: boolean
}

export async function measureLongList(order: LongListOrder, setting: Setting): Promise<WorkloadResult> {
  const { name, lines, place } = order
  const bell = await hangDoorbell()
  try {
    const workload: Workload = {
      name,
      about: `a list of ${lines.toLocaleString('en')} lines, up to the first request`,
      shape: 'list',
      files: lines,
      sizeBytes: 0,
      source: '',
      connections: CONNECTIONS,
      way: 'plain',
      places: [place],
      floor: { name: 'read + new URL', command: `{node} -e '${READ_AND_PARSE}' {list}`, bringsFiles: false },
    }
    const urls = Array.from({ length: lines }, (_, n) => `${bell.url}/${fileName(n)}`)
    const { programs, scratch } = setting
    const n = `${CONNECTIONS}`
    const places = { ...programs, ...writeLists(join(scratch, name), urls), n, n16: n }
    return await measure(
      {
        prepared: { workload, names: [], places },
        place,
        subjects: subjectsFor(order.tools, workload, place),
        rounds: order.rounds,
        memoryRounds: order.memoryRounds,
        runOnce: firstDownload(bell, order.isOfFirst),
      },
      setting,
    )
  } finally {
    await bell.stop()
  }
}

/** It hands on each line as it reads it: its first request says nothing of the list. */
export const readsLists = ({ name }: Tool) => name !== 'xargs-curl'
