// Proves with the built program that a window ends a run in time, and that the next run goes on where it was ended.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RunEvent } from '../../src/core/event.ts'
import { bodyOf, sha256Of } from '../fixtures/fault-server.ts'
import { findProgram, type NginxServer, requireServer, startNginx } from '../fixtures/servers.ts'
import { type Ended, newHome, run, start } from './run-mpdl.ts'

const FILES = 200
const SIZE = 20_000
/** A second each: nginx gives the bytes of the first second at once. */
const RATE = '10k'
const nameOf = (n: number) => `form-${n}.pdf`
const contentOf = (n: number) => bodyOf(SIZE + n, n)

const canRun = requireServer('nginx', findProgram('nginx'))

const namesIn = (events: readonly RunEvent[]) =>
  events.flatMap((event) => (event.type === 'job-started' ? [event.out] : []))

/** Told of the end that it came to, by name. */
const outcomesOf = (events: readonly RunEvent[]) =>
  new Map(events.flatMap((event) => (event.type === 'job-ended' ? [[event.row.out, event.row.outcome]] : [])))

describe.skipIf(!canRun)('a window', () => {
  let nginx: NginxServer
  let root: string
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'mpdl-e2e-www-'))
    mkdirSync(join(root, 'slow'))
    for (let n = 1; n <= FILES; n++) writeFileSync(join(root, 'slow', nameOf(n)), contentOf(n))
    nginx = await startNginx({ root, extraConf: `location /slow/ { limit_rate ${RATE}; }` })
  })
  afterAll(async () => {
    await nginx?.stop()
    rmSync(root, { recursive: true, force: true })
  })

  const names = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, n) => nameOf(first + n))
  const listOf = (those: readonly string[]) => those.map((name) => `${nginx.url}/slow/${name}\n`).join('')
  const bodies = (lines: readonly string[], name: string) =>
    lines
      .filter((line) => line.startsWith('GET ') && line.includes(`/${name} `))
      .map((line) => Number(line.split(' ')[3]))

  const expectAllRight = (ended: Ended, last: number) => {
    expect(ended.files).toEqual(names(1, last).toSorted())
    for (let n = 1; n <= last; n++) expect(sha256Of(ended.bytes(nameOf(n)))).toBe(sha256Of(contentOf(n)))
  }

  test('ends a run of 200 slow URLs in time; the next has first what had not started, then what failed', async () => {
    const home = newHome()
    const missing = ['missing-1.pdf', 'missing-2.pdf']
    const many = ['-j', '40', '--max-per-host', '40']
    const night1 = [...names(1, 3), ...missing, ...names(4, FILES - 2)]
    const first = await run({ home, list: listOf(night1), args: [...many, '--run-deadline', '3s'] })
    const killAfterMs = 5000
    expect(first.ms).toBeLessThan(3000 + killAfterMs + 1000)
    const { totals } = first.report
    expect(totals).toMatchObject({ jobs: FILES, failed: 2 })
    const { downloaded = 0, failed = 0, killed = 0, 'not-started': notStarted = 0 } = totals
    expect(downloaded + failed + killed + notStarted).toBe(FILES)
    expect(downloaded).toBeGreaterThan(0)
    expect(notStarted).toBeGreaterThan(0)
    expect(first.code).toBe(8)

    const outcomes = outcomesOf(first.events)
    const rankOf = (name: string) => {
      const outcome = outcomes.get(name)
      if (outcome === undefined) return night1.includes(name) ? 0 : 2
      return outcome === 'downloaded' ? 2 : 1
    }
    const before = nginx.accessLog().length
    const night2 = [
      nameOf(FILES),
      ...night1.toReversed().flatMap((name, n) => (n === 50 ? [nameOf(199), name] : [name])),
    ]
    const second = await run({ home, list: listOf(night2), args: many })
    expect(namesIn(second.events)).toEqual([0, 1, 2].flatMap((rank) => night2.filter((name) => rankOf(name) === rank)))
    expect(second.report.totals).toMatchObject({ jobs: FILES + 2, unchanged: downloaded, failed: 2, 'not-started': 0 })
    expectAllRight(second, FILES)

    const since = nginx.accessLog().slice(before)
    const done = [...outcomes].flatMap(([name, outcome]) => (outcome === 'downloaded' ? [name] : []))
    for (const name of done) expect(bodies(since, name), name).toEqual([0])
    for (const name of names(1, FILES).filter((name) => !outcomes.has(name)))
      expect(bodies(since, name), name).toHaveLength(1)
  })

  test('of which nobody heard the end, kill -9, is gone on with all the same', async () => {
    const home = newHome()
    const list = listOf(names(1, 14))
    const running = start({ home, list, args: ['-j', '4'] })
    await running.event('job-ended', ({ row }) => row.line >= 3)
    running.process.kill('SIGKILL')
    const killed = await running.ended
    expect(killed.signal).toBe('SIGKILL')
    const outcomes = outcomesOf(killed.events)
    const begun = new Set(namesIn(killed.events))
    const rankOf = (name: string) => (outcomes.get(name) === 'downloaded' ? 2 : begun.has(name) ? 1 : 0)

    const night2 = names(1, 14).toReversed()
    const before = nginx.accessLog().length
    const second = await run({ home, list: listOf(night2), args: ['-j', '4'] })
    expect([second.code, second.stderr]).toEqual([0, ''])
    expect(namesIn(second.events)).toEqual([0, 1, 2].flatMap((rank) => night2.filter((name) => rankOf(name) === rank)))
    expectAllRight(second, 14)
    const since = nginx.accessLog().slice(before)
    for (const [name] of outcomes) expect(bodies(since, name), name).toEqual([0])
  })

  test('is told once, and not each night that it is hit', async () => {
    const home = newHome()
    const args = ['-j', '2', '--run-deadline', '1s', '--notify', 'changes']
    const first = await run({ home, list: listOf(names(1, 40)), args })
    const second = await run({ home, list: listOf(names(1, 40)), args })
    for (const { code, report } of [first, second]) {
      expect(code).toBe(12)
      expect(report.totals['not-started']).toBeGreaterThan(0)
    }
    expect(first.stderr).toMatch(/^mpdl: /)
    expect(second.stderr).toBe('')
  })
})
