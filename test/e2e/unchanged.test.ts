// Proves that only what changed is fetched, on the server or here, and that nothing else is so much as touched.
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, sha256Of } from '../fixtures/fault-server.ts'
import { findProgram, type NginxServer, requireServer, startNginx } from '../fixtures/servers.ts'
import { type Ended, type Home, newHome, ONCE, run, start } from './run-mpdl.ts'

const nginxPath = findProgram('nginx')
const HOUR_AGO = Math.floor(Date.now() / 1000) - 3600

const bytesMoved = (ended: Ended) => ended.report.jobs.reduce((sum, { size_download }) => sum + size_download, 0)
const linesOf = (ended: Ended, outcome: string) =>
  ended.report.jobs.flatMap((row) => (row.outcome === outcome ? [row.line] : [])).sort((a, b) => a - b)
const looksOf = (home: Home) =>
  readdirSync(home.out).map((name) => {
    const { ino, size, mtimeMs, ctimeMs } = statSync(join(home.out, name))
    return { name, ino, size, mtimeMs, ctimeMs }
  })

describe.skipIf(!requireServer('nginx', nginxPath))('a list on nginx', () => {
  const FILES = 150
  const nameOf = (line: number) => `form-${line}.pdf`
  let nginx: NginxServer
  let root: string
  let list: string

  const publish = (name: string, bytes: Uint8Array, seconds = HOUR_AGO) => {
    writeFileSync(join(root, name), bytes)
    utimesSync(join(root, name), seconds, seconds)
  }

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'mpdl-root-'))
    nginx = await startNginx({ root })
    const names = Array.from({ length: FILES }, (_, i) => nameOf(i + 1))
    for (const [i, name] of names.entries()) publish(name, bodyOf(1000 + i, i))
    list = names.map((name) => `${nginx.url}/${name}\n`).join('')
  })
  afterAll(async () => {
    await nginx?.stop()
    rmSync(root, { recursive: true, force: true })
  })

  test('moves nothing the second time; then exactly what changed there, was edited here or was deleted here', async () => {
    const first = await run({ list, args: ONCE })
    const { home } = first
    const before = looksOf(home)
    const second = await run({ home, list, args: ONCE })
    expect([second.code, second.stderr, bytesMoved(second)]).toEqual([0, '', 0])
    expect(second.report.totals).toMatchObject({ unchanged: FILES, downloaded: 0 })
    expect(looksOf(home), 'not so much as touched').toEqual(before)

    publish(nameOf(7), bodyOf(5000, 700), HOUR_AGO + 60)
    appendFileSync(join(home.out, nameOf(8)), 'a remark')
    writeFileSync(join(home.out, nameOf(9)), bodyOf(1008, 900))
    rmSync(join(home.out, nameOf(10)))
    const third = await run({ home, list, args: ONCE })
    expect([third.code, linesOf(third, 'downloaded')]).toEqual([0, [7, 8, 9, 10]])
    expect(third.report.totals).toMatchObject({ unchanged: FILES - 4 })
    expect(third.bytes(nameOf(7)).equals(bodyOf(5000, 700))).toBe(true)
    for (const line of [8, 9, 10]) expect(third.bytes(nameOf(line)).equals(bodyOf(999 + line, line - 1))).toBe(true)
  })

  test('two runs that overlap leave every file whole, and remember each', async () => {
    const home = newHome()
    // Of one list there would be one run only.
    const copy = home.at('copy.txt')
    writeFileSync(copy, list)
    const both = [start({ home, list, args: ONCE, hasNoReport: true, hasNoLog: true })]
    both.push(start({ home, operands: [copy], args: ONCE, hasNoReport: true, hasNoLog: true }))
    for (const ended of await Promise.all(both.map((running) => running.ended))) {
      // Who comes second fails a job that the other is at work on, and no other.
      expect([0, 3]).toContain(ended.code)
      expect(ended.stderr).not.toMatch(/HTTP|HUNG|CRASHED|internal/)
    }
    const third = await run({ home, list, args: ONCE })
    expect([third.code, bytesMoved(third)]).toEqual([0, 0])
    expect(third.report.totals).toMatchObject({ unchanged: FILES })
    expect(third.files).toHaveLength(FILES)
    for (let line = 1; line <= FILES; line++) {
      const name = third.row(line).out
      expect(third.bytes(name).equals(readFileSync(join(root, name))), name).toBe(true)
    }
  })

  describe('-N', () => {
    /** Files that mpdl has never seen, with a size and an age. */
    const put = (home: Home, name: string, bytes: Uint8Array, seconds: number) => {
      writeFileSync(join(home.out, name), bytes)
      utimesSync(join(home.out, name), seconds, seconds)
    }
    const logSince = (before: number) =>
      nginx
        .accessLog()
        .slice(before)
        .map((line) => line.split(' ').slice(0, 3).join(' '))

    test('asks for a file it did not fetch by size and time, and leaves it as it is where both fit', async () => {
      for (const name of ['same', 'younger-here', 'older-here', 'other-size']) publish(name, bodyOf(2000, 5))
      const home = newHome()
      put(home, 'same', bodyOf(2000, 6), HOUR_AGO)
      put(home, 'younger-here', bodyOf(2000, 6), HOUR_AGO + 100)
      put(home, 'older-here', bodyOf(2000, 6), HOUR_AGO - 100)
      put(home, 'other-size', bodyOf(2001, 6), HOUR_AGO)
      const urls = ['same', 'younger-here', 'older-here', 'other-size'].map((name) => `${nginx.url}/${name}`)
      const before = looksOf(home).filter(({ name }) => ['same', 'younger-here'].includes(name))
      const seen = nginx.accessLog().length
      const asked = await run({ home, list: urls.join('\n'), args: [...ONCE, '-N', '-j', '1'] })
      expect([asked.code, linesOf(asked, 'unchanged'), linesOf(asked, 'downloaded')]).toEqual([0, [1, 2], [3, 4]])
      expect(logSince(seen)).toEqual([
        'HEAD /same 200',
        'HEAD /younger-here 200',
        'HEAD /older-here 200',
        'GET /older-here 200',
        'HEAD /other-size 200',
        'GET /other-size 200',
      ])
      expect(looksOf(home).filter(({ name }) => ['same', 'younger-here'].includes(name))).toEqual(before)
      for (const name of ['older-here', 'other-size']) expect(asked.bytes(name).equals(bodyOf(2000, 5))).toBe(true)

      // What it fetched it knows by its ETag from here on; what it only looked at it does not take for its own.
      const again = nginx.accessLog().length
      await run({ home, list: urls.join('\n'), args: [...ONCE, '-N', '-j', '1'] })
      expect(logSince(again)).toEqual([
        'HEAD /same 200',
        'HEAD /younger-here 200',
        'GET /older-here 304',
        'GET /other-size 304',
      ])
      const without = await run({ home, list: urls.join('\n'), args: ONCE })
      expect(linesOf(without, 'downloaded')).toEqual([1, 2])
    })

    test('does not take an edit for a younger version', async () => {
      publish('edited', bodyOf(2000, 5))
      const operands = [`${nginx.url}/edited`]
      const { home } = await run({ operands, args: [...ONCE, '-N'] })
      writeFileSync(join(home.out, 'edited'), bodyOf(2000, 6))
      const ended = await run({ home, operands, args: [...ONCE, '-N'] })
      expect([ended.row(1).outcome, ended.bytes('edited').equals(bodyOf(2000, 5))]).toEqual(['downloaded', true])
    })

    test('fetches what is not here without asking first', async () => {
      publish('absent', bodyOf(2000, 5))
      const seen = nginx.accessLog().length
      const ended = await run({ operands: [`${nginx.url}/absent`], args: [...ONCE, '-N'] })
      expect([ended.code, logSince(seen)]).toEqual([0, ['GET /absent 200']])
    })

    test('[checksum] does not take size and time for more than the checksum of the list', async () => {
      publish('sum', bodyOf(2000, 5))
      const home = newHome()
      put(home, 'sum', bodyOf(2000, 6), HOUR_AGO)
      const ended = await run({
        home,
        list: `${nginx.url}/sum\n checksum=sha-256=${sha256Of(bodyOf(2000, 5))}`,
        args: [...ONCE, '-N'],
      })
      expect(ended.row(1)).toMatchObject({ outcome: 'downloaded', proof: 'length+checksum' })
      expect(ended.bytes('sum').equals(bodyOf(2000, 5))).toBe(true)
    })
  })
})

describe('a file that changes here while the server is asked', () => {
  const WHOLE = bodyOf(3000)
  let server: Server
  /** Called with each request for what may be unchanged, before it is answered. */
  let onQuestion: () => void
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const isQuestion = request.headers['if-none-match'] !== undefined || request.method === 'HEAD'
    if (isQuestion) onQuestion()
    const headers = { etag: '"v1"', 'last-modified': new Date(HOUR_AGO * 1000).toUTCString() }
    const is304 = request.headers['if-none-match'] === '"v1"'
    response.writeHead(is304 ? 304 : 200, is304 ? headers : { ...headers, 'content-length': WHOLE.length })
    response.end(request.method === 'HEAD' || is304 ? undefined : WHOLE)
  }
  const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/file`

  beforeAll(async () => {
    server = createServer(answer)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  })
  afterAll(() => server.close())
  afterEach(() => {
    onQuestion = () => {}
  })

  const changes: [name: string, change: (path: string) => void][] = [
    ['edited', (path) => appendFileSync(path, 'a remark')],
    ['replaced by one of the same size', (path) => writeFileSync(path, bodyOf(3000, 9))],
    ['deleted', (path) => rmSync(path)],
  ]

  test.each(changes)('%s: is fetched whole, although the answer was 304', async (_, change) => {
    onQuestion = () => {}
    const first = await run({ operands: [url()], args: ONCE })
    const { home } = first
    onQuestion = () => change(join(home.out, 'file'))
    const second = await run({ home, operands: [url()], args: ONCE })
    expect([second.code, second.row(1).outcome, second.row(1).http_code]).toEqual([0, 'downloaded', 200])
    expect(second.bytes('file').equals(WHOLE)).toBe(true)
    onQuestion = () => {}
    const third = await run({ home, operands: [url()], args: ONCE })
    expect(third.row(1).outcome).toBe('unchanged')
  })

  test.each(changes)('%s: is fetched whole, although -N found nothing younger', async (_, change) => {
    const home = newHome()
    writeFileSync(join(home.out, 'file'), bodyOf(3000, 8))
    onQuestion = () => change(join(home.out, 'file'))
    const ended = await run({ home, operands: [url()], args: [...ONCE, '-N'] })
    expect([ended.code, ended.row(1).outcome]).toEqual([0, 'downloaded'])
    expect(ended.bytes('file').equals(WHOLE)).toBe(true)
  })
})
