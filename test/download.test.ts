// The library's face, as a program imports it: the built bundle.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type * as library from '../src/index.ts'
import { bodyOf, type FaultServer, startFaultServer } from './fixtures/fault-server.ts'

const bundle = join(import.meta.dirname, '..', 'dist', 'index.js')
let root = ''
let dir = ''
let count = 0
let server: FaultServer
let download: typeof library.download

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'mpdl-library-'))
  server = await startFaultServer()
  const face: typeof library = await import(bundle)
  download = face.download
})
afterAll(async () => {
  await server.stop()
  rmSync(root, { recursive: true, force: true })
})
beforeEach(() => {
  dir = join(root, String(count++))
})

const options = () => ({ dir, stateDir: join(root, 'state'), tries: 1, minDiskFreeBytes: 0 })

test('downloads URLs and tells each outcome; a failed download is a row and no error', async () => {
  const types = new Set<string>()
  const { ok, totals, rows, discrepancies } = await download(
    [server.url('/ok/a.bin?size=3000'), server.url('/status/404/b')],
    { ...options(), onEvent: ({ type }) => types.add(type) },
  )
  expect([ok, totals.downloaded, totals.failed, discrepancies]).toEqual([false, 1, 1, []])
  expect(rows.find(({ line }) => line === 2)).toMatchObject({ outcome: 'failed', http_code: 404 })
  expect(readFileSync(join(dir, 'a.bin'))).toEqual(bodyOf(3000))
  expect([...types]).toEqual(expect.arrayContaining(['run-started', 'attempt-started', 'job-ended', 'run-ended']))
})

test('reads a list, and a wrong one is an error that names every bad line', async () => {
  const list = join(root, 'list.txt')
  writeFileSync(list, `${server.url('/ok/x')}\n  out=named.bin\n`)
  expect(await download({ list }, options())).toMatchObject({ ok: true, totals: { downloaded: 1 } })
  expect(existsSync(join(dir, 'named.bin'))).toBe(true)
  writeFileSync(list, 'ftp://h/x\nexample.com/y\n')
  await expect(download({ list }, options())).rejects.toThrow(/line 1: .*ftp.*\nline 2: .*no scheme/)
})

test('an abort stops and joins the children and keeps the part', async () => {
  const abort = new AbortController()
  const { ok, rows } = await download([server.url('/slow/s.bin?size=400000&rate=100000')], {
    ...options(),
    signal: abort.signal,
    onEvent: ({ type }) => type === 'response' && abort.abort(),
  })
  expect([ok, rows[0]?.outcome, rows[0]?.failure]).toEqual([
    false,
    'cancelled',
    { kind: 'cancelled', signal: 'AbortSignal' },
  ])
  expect(existsSync(join(dir, 's.bin'))).toBe(false)
})
