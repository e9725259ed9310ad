// Proves what the nights of one list say of it, with a clock that is moved on by a day for each. Knows nothing of how it
// is remembered.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { withClock } from '../fixtures/fake-clock.ts'
import { findProgram, type NginxServer, requireServer, startNginx } from '../fixtures/servers.ts'
import { type Ended, type Home, newHome, QUICK, run } from './run-mpdl.ts'

const canRun = [requireServer('nginx', findProgram('nginx')), requireServer('faketime', findProgram('faketime'))].every(
  Boolean,
)

const root = mkdtempSync(join(tmpdir(), 'mpdl-nights-'))
let server: NginxServer
const put = (name: string) => writeFileSync(join(root, name), name.repeat(1000))
const remove = (name: string) => rmSync(join(root, name))

beforeAll(async () => {
  if (!canRun) return
  server = await startNginx({ root, extraConf: `location /crawl/ { alias ${root}/; limit_rate 100; }` })
})
afterAll(async () => {
  if (canRun) await server.stop()
  rmSync(root, { recursive: true, force: true })
})

const listOf = (names: readonly string[]) => names.map((name) => `${server.url}/${name}\n`).join('')

const night = (home: Home, n: number, names: readonly string[], ...args: string[]) =>
  run({ home, list: listOf(names), args: [...QUICK, '-T', '10s', ...args], wrap: withClock(`+${n}d`) })

/** Its lines, without what differs between two runs of a test. */
const mailOf = ({ stderr }: Ended) => stderr.trimEnd().split('\n').filter(Boolean).map(anonymous)

const anonymous = (line: string) =>
  line
    .replaceAll(server.url, 'http://example.org')
    .replaceAll(`127.0.0.1:${server.port}`, 'example.org')
    .replace(/ in \S+, [\d.]+ \w+, [\d.]+ \S+, process/, ' in TIME, SIZE, SPEED, process')
    .replaceAll(/mpdl report \S+/g, 'mpdl report RUN')

/** The lists as they stand, night by night, and what becomes of the server's files before. */
const FIRST_LIST = ['a', 'b1', 'b2', 'c', 'd']
const LATER_LIST = ['new', 'd', 'b2', 'c', 'b1', 'a']
const listOn = (n: number) => (n < 6 ? FIRST_LIST : LATER_LIST)
const CHANGES: Readonly<Record<number, () => void>> = {
  2: () => ['b1', 'b2'].forEach(remove),
  4: () => remove('c'),
  6: () => put('c'),
  11: () => ['b1', 'b2'].forEach(put),
}

const END = 'the whole report: mpdl report RUN'
/** What is not here is silence. */
const MAILS: Readonly<Record<number, readonly string[]>> = {
  2: [
    'mpdl: 2 newly failing (HTTP 404 at example.org): 5 = 3 unchanged + 2 failed in TIME, SIZE, SPEED, process',
    '2 failed, HTTP 404 at example.org:',
    '  line 2 http://example.org/b1 HTTP 404 Not Found',
    '  line 3 http://example.org/b2 HTTP 404 Not Found',
    END,
  ],
  4: [
    'mpdl: 1 newly failing (HTTP 404 at example.org), 2 still failing: 5 = 2 unchanged + 3 failed in TIME, SIZE, SPEED, process',
    'line 4 http://example.org/c HTTP 404 Not Found',
    END,
  ],
  6: [
    'mpdl: 1 recovered, 2 still failing: 6 = 2 downloaded + 2 unchanged + 2 failed in TIME, SIZE, SPEED, process',
    'recovered:',
    'line 4 http://example.org/c',
    END,
  ],
  9: [
    'mpdl: 2 still failing (HTTP 404 at example.org): 6 = 4 unchanged + 2 failed in TIME, SIZE, SPEED, process',
    'still failing (said once a week):',
    '2 failed, HTTP 404 at example.org:',
    '  line 3 http://example.org/b2 HTTP 404 Not Found',
    '  line 5 http://example.org/b1 HTTP 404 Not Found',
    END,
  ],
  11: [
    'mpdl: 2 recovered: 6 = 2 downloaded + 4 unchanged in TIME, SIZE, SPEED, process',
    'recovered:',
    'line 3 http://example.org/b2',
    'line 5 http://example.org/b1',
    END,
  ],
}

describe.skipIf(!canRun)('the nights of one list', () => {
  test('two files are missing for nine nights, one for two, and the list changes meanwhile: five mails in twelve nights', {
    timeout: 120_000,
  }, async () => {
    for (const name of LATER_LIST) put(name)
    const home = newHome()
    for (let n = 1; n <= 12; n++) {
      CHANGES[n]?.()
      const ended = await night(home, n, listOn(n), '--notify', 'changes')
      expect([n, ...mailOf(ended)]).toEqual([n, ...(MAILS[n] ?? [])])
      expect([n, ended.code]).toEqual([n, n >= 2 && n <= 10 ? 8 : 0])
    }
  })

  test('without --notify changes every night says it', { timeout: 120_000 }, async () => {
    put('a')
    const home = newHome()
    for (let n = 1; n <= 4; n++) {
      const mail = mailOf(await night(home, n, ['a', 'never']))
      const sums = `${n === 1 ? 'downloaded' : 'unchanged'} + 1 failed in TIME, SIZE, SPEED, process`
      expect([n, ...mail]).toEqual([
        n,
        `mpdl: 2 = 1 ${sums}: HTTP 404 at example.org`,
        'line 2 http://example.org/never HTTP 404 Not Found',
      ])
    }
  })

  test('a window that is always too small is told once and then once a week', { timeout: 120_000 }, async () => {
    put('slow')
    const home = newHome()
    const heads = new Map<number, string | undefined>()
    for (const n of [1, 2, 7, 8, 9]) {
      rmSync(home.out, { recursive: true, force: true })
      mkdirSync(home.out)
      const ended = await night(home, n, ['crawl/slow'], '--notify', 'changes', '--run-deadline', '1s', '-T', '1m')
      expect([n, ended.code]).toEqual([n, 12])
      heads.set(n, mailOf(ended)[0]?.split(':')[1])
    }
    expect([...heads]).toEqual([
      [1, ' stopped early (run deadline)'],
      [2, undefined],
      [7, undefined],
      [8, ' again stopped early (run deadline)'],
      [9, undefined],
    ])
  })
})
