// Decides whether rows reach a reader once and in order, however far behind he is and whatever becomes of the disk.

import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import type { JobRow, RunEvent } from '../../src/core/event.ts'
import { openJobList } from '../../src/supervisor/job-list.ts'
import { RunRows } from '../../src/supervisor/run-rows.ts'
import { jobEnded, runStarted, START } from '../events.ts'

const root = mkdtempSync(join(tmpdir(), 'mpdl-rows-test-'))
let spoolDir = ''
let count = 0
afterAll(() => rmSync(root, { recursive: true, force: true }))
beforeEach(() => {
  spoolDir = mkdtempSync(join(root, 'spool-'))
})

const endedTogether = (lines: readonly (readonly [number, number])[]): RunEvent => ({
  type: 'jobs-ended',
  at: START,
  outcome: 'not-started',
  failure: null,
  reason: 'the night is over',
  count: lines.reduce((sum, [first, last]) => sum + last - first + 1, 0),
  lines,
})

async function listOf(text: string) {
  const path = join(root, `list-${count++}.txt`)
  writeFileSync(path, text)
  const opened = await openJobList(
    { kind: 'file', path },
    { naming: { names: 'flat', queryNames: false }, onClash: 'fail', keepGoing: true, foldCase: false, spoolDir },
  )
  if (!opened.ok) throw new Error('the list is good')
  return { path, list: opened.list }
}

async function linesOf(rows: AsyncIterable<JobRow>): Promise<number[]> {
  const lines: number[] = []
  for await (const { line } of rows) lines.push(line)
  return lines
}

/** Files of these directories that this process holds open, those without a name included. */
const openFiles = () =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`)
      return path.startsWith(root) ? [path] : []
    } catch {
      return []
    }
  })

const upTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1)

describe('rows', () => {
  test('of thousands of jobs wait in one file without a name, and come in order', async () => {
    const rows = new RunRows(spoolDir)
    rows.push(runStarted())
    for (const line of upTo(1700)) rows.push(jobEnded({ line }))
    expect(openFiles()).toEqual([expect.stringMatching(/mpdl-rows-.* \(deleted\)$/)])
    expect(readdirSync(spoolDir)).toEqual([])
    rows.end()
    expect(await linesOf(rows.read())).toEqual(upTo(1700))
    rows.close()
    expect(openFiles()).toEqual([])
  })

  test('that are read as they come need no file', async () => {
    const rows = new RunRows(spoolDir)
    const reader = rows.read()
    for (const line of upTo(1200)) {
      const next = reader.next()
      rows.push(jobEnded({ line }))
      expect((await next).value).toMatchObject({ line })
    }
    expect(openFiles()).toEqual([])
    rows.end()
    expect((await reader.next()).done).toBe(true)
  })

  test('that come while others are read from the file stay behind them', async () => {
    const rows = new RunRows(spoolDir)
    for (const line of upTo(600)) rows.push(jobEnded({ line }))
    const reader = rows.read()
    const first = await reader.next()
    for (let line = 601; line <= 1300; line++) rows.push(jobEnded({ line }))
    rows.end()
    expect([first.value?.line, ...(await linesOf(reader))]).toEqual(upTo(1300))
    rows.close()
  })

  test('are not lost where there is no room for them on disk', async () => {
    const rows = new RunRows(join(spoolDir, 'nowhere'))
    for (const line of upTo(1200)) rows.push(jobEnded({ line }))
    rows.end()
    expect(await linesOf(rows.read())).toEqual(upTo(1200))
  })

  test('end for a reader who waits when they are forgotten', async () => {
    const { list } = await listOf('http://h/1\nhttp://h/2\nhttp://h/3\n')
    const rows = new RunRows(spoolDir)
    rows.begin(list)
    rows.push(endedTogether([[1, 3]]))
    const reader = rows.read()
    expect((await reader.next()).value).toMatchObject({ line: 1 })
    rows.close()
    expect((await reader.next()).done).toBe(true)
    expect(openFiles()).toEqual([])
  })
})

describe('jobs that ended together', () => {
  test('are told apart, with what the list knows of each', async () => {
    const { list } = await listOf(
      '# a list\nhttp://h/1\n  out=one\nhttp://u:secret@h/2?token=abc\n\nno URL\nhttp://h/4\nhttp://h/5\n',
    )
    const rows = new RunRows(spoolDir)
    rows.begin(list)
    rows.push(
      endedTogether([
        [2, 6],
        [8, 8],
      ]),
    )
    rows.end()
    const seen: JobRow[] = []
    for await (const row of rows.read()) seen.push(row)
    expect(seen.map(({ index, line, out, outcome, reason }) => [index, line, out, outcome, reason])).toEqual(
      [
        [0, 2, 'one'],
        [1, 4, '2'],
        [2, 6, ''],
        [4, 8, '5'],
      ].map((row) => [...row, 'not-started', 'the night is over']),
    )
    expect(JSON.stringify(seen)).not.toMatch(/secret|abc/)
    rows.close()
  })
})
