// Stop rules of the built program: what is on disk afterwards, what a person reads, and that the next run goes on.

import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, sha256Of } from '../fixtures/fault-server.ts'
import { findProgram, type NginxServer, requireServer, startNginx } from '../fixtures/servers.ts'
import { type Ended, newHome, QUICK, type Running, run, start, until } from './run-mpdl.ts'

const MIB = 2 ** 20
const BIG = bodyOf(8 * MIB)
const PATIENT = [...QUICK, '-T', '10s', '--hang-timeout', '10s'] as const

describe.skipIf(!requireServer('nginx', findProgram('nginx')))('--halt', () => {
  let nginx: NginxServer
  let root: string
  /** Answers with 404, when the test says so. */
  const held: ServerResponse[] = []
  const keeper = createServer((_, response) => held.push(response))
  let missing: string
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'mpdl-e2e-www-'))
    mkdirSync(join(root, 'slow'))
    for (const name of ['slow/big.bin', 'big.bin']) writeFileSync(join(root, name), BIG)
    nginx = await startNginx({ root, extraConf: 'location /slow/ { limit_rate 2m; }' })
    await new Promise<void>((resolve) => keeper.listen(0, '127.0.0.1', resolve))
    const address = keeper.address()
    if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
    missing = `http://127.0.0.1:${address.port}/missing.pdf`
  })
  afterAll(async () => {
    keeper.closeAllConnections()
    keeper.close()
    await nginx?.stop()
    rmSync(root, { recursive: true, force: true })
  })

  /** Lets the 404 come when some of the big file is there. */
  const failUnderWay = async (running: Running): Promise<Ended> => {
    const part = join(running.home.out, 'big.bin.part')
    await running.event('response', ({ line }) => line === 1)
    await until('the file is under way', () => {
      const { size = 0 } = statSync(part, { throwIfNoEntry: false }) ?? {}
      return held.length > 0 && size >= MIB / 2
    })
    for (const response of held.splice(0)) response.writeHead(404).end()
    return running.ended
  }
  const list = (folder: string) =>
    [`${nginx.url}/${folder}big.bin`, missing, `${nginx.url}/big.bin`, '  out=later.bin'].join('\n')

  test('soon: the file under way is brought to its end, by more children where slots are idle', async () => {
    const args = [...PATIENT, '-j', '2', '-s', '2', '-k', '1M', '--halt', 'soon,fail=1']
    const ended = await failUnderWay(start({ list: list('slow/'), args }))
    expect([ended.code, ended.files]).toEqual([8, ['big.bin']])
    expect(sha256Of(ended.bytes('big.bin'))).toBe(sha256Of(BIG))
    expect(ended.report.totals).toMatchObject({ jobs: 3, downloaded: 1, failed: 1, 'not-started': 1 })
    expect(ended.row(1).attempts.length).toBeGreaterThan(1)
    expect(ended.stderr).toMatch(/^mpdl: 3 = 1 downloaded \+ 1 failed \+ 1 not-started in .*stopped early \(halt\)/)
    expect(ended.stderr).toContain('stopped early: 1 of 3 jobs failed (--halt soon,fail=1)')
  })

  test('now: what runs is ended, its bytes stay, and the next run goes on with them', async () => {
    const home = newHome()
    const args = [...PATIENT, '-j', '2', '-s', '1', '--halt', 'now,fail=1']
    const ended = await failUnderWay(start({ home, list: list('slow/'), args }))
    expect(ended.code).toBe(8)
    expect(ended.report.totals).toMatchObject({ jobs: 3, cancelled: 1, failed: 1, 'not-started': 1 })
    expect(ended.files).toEqual(['big.bin.part', 'big.bin.part.json'])
    expect(ended.row(1).kept).toBeGreaterThan(0)
    const next = await run({ home, list: `${nginx.url}/slow/big.bin`, args: PATIENT })
    expect([next.code, next.files]).toEqual([0, ['big.bin']])
    expect(next.row(1).resumed_from).toBeGreaterThan(0)
    expect(sha256Of(next.bytes('big.bin'))).toBe(sha256Of(BIG))
  })
})
