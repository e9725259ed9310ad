// Proves what is left of a run's log when the run, or the disk under it, comes to a bad end, and which logs stay.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { type Home, newHome, ONCE, run, start, until } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

const listOf = (...paths: string[]) => `${paths.map((path) => server.url(path)).join('\n')}\n`
const logsOf = (dir: string) =>
  readdirSync(dir)
    .sort()
    .map((name) => readFileSync(join(dir, name), 'utf8'))

/** Every line is an event, and the last one is whole. */
function expectWhole(log: string): void {
  expect(log.at(-1)).toBe('\n')
  for (const line of log.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('type')
}

test('runs that are killed at any time leave logs of whole lines after the next run at the latest', async () => {
  const home = newHome()
  const list = listOf(...Array.from({ length: 60 }, (_, i) => `/ok/${i}`))
  const path = (known: ReadonlySet<string>) =>
    existsSync(home.logs) ? readdirSync(home.logs).find((name) => !known.has(name)) : undefined
  for (const bytes of [1, 20_000, 50_000]) {
    const known = new Set(existsSync(home.logs) ? readdirSync(home.logs) : [])
    const running = start({ home, list, args: [...ONCE, '--isolate', 'pool', '--force'] })
    await until('its log has grown', () => {
      const name = path(known)
      return name !== undefined && readFileSync(join(home.logs, name)).length >= bytes
    })
    running.process.kill('SIGKILL')
    await running.ended
  }
  expect((await run({ home, list, args: ONCE })).code).toBe(0)
  const logs = logsOf(home.logs)
  expect(logs).toHaveLength(4)
  for (const log of logs) expectWhole(log)
})

test('--log-keep spares the last good run and the last that failed', async () => {
  const home = newHome()
  const night = async (...paths: string[]) =>
    (await run({ home, list: listOf(...paths), args: [...ONCE, '--log-keep', '1'] })).report.run.id
  const kept = () => readdirSync(home.logs).map((name) => name.replace('.ndjson', ''))
  const failed = await night('/status/404/b')
  const nights = [await night('/ok/a'), await night('/ok/a'), await night('/ok/a')]
  expect(kept().sort()).toEqual([failed, ...nights.slice(1)].sort())
  const again = await night('/status/404/b')
  expect(kept().sort()).toEqual([failed, nights[2], again].sort())
})

const SMALL_DISK = 'mount -t tmpfs -o size=16k tmpfs "$1" || exit 99; dir=$1; shift; "$@"; code=$?'

function canMount(): boolean {
  try {
    execFileSync('unshare', ['-m', 'sh', '-c', 'mount -t tmpfs tmpfs /mnt'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

describe.skipIf(!canMount())('a disk that is full of its log', () => {
  /** What lay there is copied out, because the disk is seen by the run alone. */
  const onSmallDisk = (home: Home) => {
    mkdirSync(home.at('small'))
    mkdirSync(home.at('copy'))
    const copy = `cp "$dir"/* ${home.at('copy')}; exit $code`
    return ['unshare', '-m', 'sh', '-c', `${SMALL_DISK}; ${copy}`, 'sh', home.at('small')]
  }

  test('stops nothing, and the log ends in a whole line', async () => {
    const home = newHome()
    const ended = await run({
      home,
      list: listOf(...Array.from({ length: 30 }, (_, i) => `/ok/${i}`)),
      hasNoLog: true,
      args: [...ONCE, '--log-dir', home.at('small')],
      wrap: onSmallDisk(home),
    })
    expect(ended.code).toBe(0)
    expect(ended.report.totals).toMatchObject({ downloaded: 30 })
    expect(ended.stderr).toMatch(/the run log is incomplete: \S+: ENOSPC/)
    const [log = ''] = logsOf(home.at('copy'))
    expect(log.length).toBeGreaterThan(8000)
    expectWhole(log)
  })
})
