import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { JobRow, RunEvent } from '../../src/core/event.ts'
import { fingerprint } from '../../src/core/hash.ts'
import { findRuns } from '../../src/supervisor/past-runs.ts'
import { PastFiles } from '../../src/supervisor/verify-past.ts'
import { jobEnded, runEnded, runStarted, START } from '../events.ts'

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-past-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const A = '00000000000000aa'
const B = 'fedcba9876543210'
const HEX = `00${'1f'.repeat(31)}`
const row = (id: string, changes: Partial<JobRow> = {}) => jobEnded({ id, ...changes })

/** Writes a night's log; later nights are newer. */
function night(n: number, ...events: readonly RunEvent[]): string {
  const path = join(dir, `2026112${n}T020000Z-aa.ndjson`)
  const all = [{ mpdl: 1, ...runStarted({ id: `R${n}`, started: START + n }) }, ...events]
  writeFileSync(path, all.map((event) => `${JSON.stringify(event)}\n`).join(''))
  return path
}

async function past(isStopped = () => false) {
  const problems: string[] = []
  const files = new PastFiles({ runs: await findRuns(dir), onProblem: (text) => problems.push(text), isStopped })
  return { files, problems }
}

test('the newest run that finished a file says what it should be', async () => {
  night(1, row(A, { size: 10, sha256: HEX }), row(B, { size: 5 }), runEnded())
  night(2, row(A, { size: 20 }), row(B, { outcome: 'failed', size: null }), runEnded())
  night(3, row(A, { outcome: 'unchanged', size: 20, sha256: HEX }), row(B, { outcome: 'skipped', size: 7 }))
  const { files } = await past()
  expect(await files.recorded(A)).toEqual({ runId: 'R3', sizeBytes: 20, sha256: HEX })
  expect(await files.recorded(B)).toEqual({ runId: 'R1', sizeBytes: 5, sha256: undefined })
})

test('the last outcome is that of the last run alone', async () => {
  night(1, row(A), row(B))
  night(2, row(A, { outcome: 'killed', size: null }))
  const { files } = await past()
  expect(await files.lastOutcome(A)).toBe('killed')
  expect(await files.recorded(B)).toMatchObject({ runId: 'R1' })
  expect(await files.lastOutcome(B)).toBeUndefined()
})

test('older logs are not read where newer ones know', async () => {
  const old = night(1, row(A))
  night(2, row(A, { size: 2 }))
  const { files, problems } = await past()
  unlinkSync(old)
  expect(await files.recorded(A)).toMatchObject({ sizeBytes: 2 })
  expect(problems).toEqual([])
  expect(await files.recorded(B)).toBeUndefined()
  expect(problems).toEqual([`the log ${old} cannot be read: ENOENT`])
})

test('without runs nothing is known', async () => {
  const { files } = await past()
  expect([await files.lastOutcome(A), await files.recorded(A)]).toEqual([undefined, undefined])
})

test('rows that mpdl would not have written are passed over', async () => {
  const path = night(1, row('../../etc', { size: 1 }), row(A, { size: 3, sha256: 'none' }))
  writeFileSync(path, '{"type":"job-ended","at":1,"row":{"id":7}}\n{"type":"job-ended"\n', { flag: 'a' })
  const { files } = await past()
  expect(await files.recorded(A)).toEqual({ runId: 'R1', sizeBytes: 3, sha256: undefined })
})

test('reading ends when it is told to', async () => {
  night(1, row(A), row(B))
  const { files } = await past(() => true)
  expect(await files.recorded(A)).toBeUndefined()
})

test('what a run under way writes meanwhile is taken in, and it is newer than what older runs said', async () => {
  night(1, row(A, { size: 1 }), runEnded())
  const log = night(2)
  const { files } = await past()
  expect(await files.recorded(A)).toMatchObject({ runId: 'R1', sizeBytes: 1 })
  const [torn, rest] = [0, 60].map((from) =>
    JSON.stringify(row(A, { size: 2 })).slice(from, from === 0 ? 60 : undefined),
  )
  writeFileSync(log, torn ?? '', { flag: 'a' })
  await files.readOn()
  expect(await files.recorded(A)).toMatchObject({ runId: 'R1' })
  writeFileSync(log, `${rest}\n`, { flag: 'a' })
  await files.readOn()
  expect(await files.recorded(A)).toMatchObject({ runId: 'R2', sizeBytes: 2 })
})

test('the log of a run that has ended is not read on', async () => {
  const log = night(1, runEnded())
  const { files, problems } = await past()
  expect(await files.recorded(A)).toBeUndefined()
  unlinkSync(log)
  await files.readOn()
  expect(problems).toEqual([])
})

test('the name that a server gave a file is told, one that leads elsewhere is not', async () => {
  const id = fingerprint('sub/get.php')
  const named = (out: string, changes: Partial<JobRow> = {}) => row(id, { out, ...changes })
  const nameIn = async (...rows: readonly RunEvent[]) => {
    night(1, ...rows)
    return await (await past()).files.serverName(id)
  }
  expect(await nameIn(named('sub/report.pdf'))).toBe('report.pdf')
  expect(await nameIn(named('sub/report.pdf', { outcome: 'unchanged' }))).toBe('report.pdf')
  expect(await nameIn(named('sub/get.php'))).toBeUndefined()
  expect(await nameIn(named('sub/report.pdf', { outcome: 'failed', size: null }))).toBeUndefined()
  expect(await nameIn(named('sub/..'))).toBeUndefined()
  expect(await nameIn()).toBeUndefined()
})
