// What a hostile user found, each told the way it was met: by an operator, through the built program.

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, sha256Of, startFaultServer } from '../fixtures/fault-server.ts'
import { newHome, ONCE, PROGRAM, QUICK, run, start } from './run-mpdl.ts'

let server: FaultServer
/** Answers by the rule a test sets. */
let own: Server
let answer: (request: IncomingMessage, response: ServerResponse) => void
const ownUrl = (path: string) => `http://127.0.0.1:${(own.address() as AddressInfo).port}${path}`

beforeAll(async () => {
  server = await startFaultServer()
  own = createServer((request, response) => answer(request, response))
  await new Promise<void>((resolve) => own.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  await server.stop()
  own.closeAllConnections()
  await new Promise((resolve) => own.close(resolve))
})

describe('a server that lies', () => {
  test('[no-room] about a length no disk has fails its own job, and the others download', async () => {
    answer = (_, response) => {
      response.writeHead(200, { 'content-length': 1e15 })
      response.write('x')
    }
    const ended = await run({
      list: [ownUrl('/huge.bin'), server.url('/ok/a.bin?size=5000'), server.url('/ok/b.bin?size=5000')].join('\n'),
      args: [...QUICK, '-j', '1'],
    })
    expect(ended.row(1)).toMatchObject({ outcome: 'failed', failure: { kind: 'no-room' } })
    expect(ended.report.totals).toMatchObject({ downloaded: 2, failed: 1, 'not-started': 0 })
    expect(ended.code).toBe(3)
  })

  test('with a 206 that repeats no validator gets nothing joined: the file is entirely the new one', async () => {
    const [v1, v2] = [bodyOf(100_000, 1), bodyOf(100_000, 2)]
    let requests = 0
    answer = (request, response) => {
      requests++
      if (requests === 1) {
        response.writeHead(200, { etag: '"v1"', 'content-length': v1.length })
        response.write(v1.subarray(0, 50_000), () => response.destroy())
      } else if (request.headers.range === undefined) {
        response.writeHead(200, { etag: '"v2"', 'content-length': v2.length })
        response.end(v2)
      } else {
        const from = Number(/\d+/.exec(request.headers.range)?.[0])
        const range = `bytes ${from}-${v2.length - 1}/${v2.length}`
        response.writeHead(206, { 'content-range': range, 'content-length': v2.length - from })
        response.end(v2.subarray(from))
      }
    }
    const ended = await run({ list: ownUrl('/file.bin'), args: [...QUICK] })
    expect(ended.row(1)).toMatchObject({ outcome: 'downloaded', num_retries: 1 })
    expect(sha256Of(ended.bytes('file.bin'))).toBe(sha256Of(v2))
    expect(ended.row(1).warnings.join()).toContain('does not repeat its validator')
    expect(requests).toBe(3)
  })

  test('[protocol] that switches protocols unasked is told off at once', async () => {
    const ended = await run({ list: server.url('/101/a'), args: ['-t', '1', '-T', '10s'] })
    expect(ended.row(1).failure).toEqual({ kind: 'protocol', code: 'upgrade-unasked' })
    expect([ended.code, ended.ms < 9000]).toEqual([7, true])
  })
})

describe('files of somebody else', () => {
  test('[foreign-part] a file that has the name of the part is refused and left as it is', async () => {
    const home = newHome()
    writeFileSync(join(home.out, 'doc.part'), 'my own notes')
    const ended = await run({ home, list: server.url('/ok/doc?size=1000'), args: ONCE })
    expect(ended.row(1)).toMatchObject({ outcome: 'failed', failure: { kind: 'foreign-part' } })
    expect(readFileSync(join(home.out, 'doc.part'), 'utf8')).toBe('my own notes')
    expect(existsSync(join(home.out, 'doc'))).toBe(false)
  })

  test('a part removed during the transfer is told as gone, with nothing kept and no litter', async () => {
    const going = start({ list: server.url('/slow/gone.bin?size=60000&rate=40000'), args: ['-t', '1', '-T', '10s'] })
    await going.event('response')
    execFileSync('rm', [join(going.home.out, 'gone.bin.part')])
    const ended = await going.ended
    expect(ended.row(1)).toMatchObject({ failure: { kind: 'disk-error', code: 'ENOENT' }, kept: 0 })
    expect(ended.files).toEqual([])
  })
})

describe('retry-failed', () => {
  const retry = (home: ReturnType<typeof newHome>, ...args: string[]) =>
    run({ home, isBare: true, args: ['retry-failed', '--log-dir', home.logs, ...args] })

  test('names what failed and stands in the list no more, and is not content', async () => {
    const home = newHome()
    await run({ home, list: `${server.url('/status/500/a')}\n${server.url('/ok/b')}\n`, args: ONCE })
    writeFileSync(home.list, `${server.url('/ok/c')}\n`)
    const ended = await retry(home)
    expect(ended.stderr).toContain('no longer in')
    expect(ended.stderr).toContain('/status/500/a')
    expect(ended.code).toBe(1)
  })

  test('--dry-run plans only what it would run', async () => {
    const home = newHome()
    await run({ home, list: `${server.url('/ok/a')}\n${server.url('/status/500/b')}\n`, args: ONCE })
    const ended = await retry(home, '--dry-run')
    expect(ended.stdout).toMatch(/^line 2\tb\t\S+\n$/)
  })
})

describe('output that cannot be written', () => {
  test.each([
    ['the report', ['--json']],
    ['the plan', ['--dry-run']],
  ])('%s on a full device is an error', (_, args) => {
    const home = newHome()
    const program = [process.execPath, PROGRAM, ...args, '-d', home.out, '--no-log', 'http://127.0.0.1:1/x', '-t', '1']
    const command = `${program.join(' ')} > /dev/full`
    const env = { ...process.env, XDG_STATE_HOME: home.state }
    const { stderr, status } = spawnSync('/bin/sh', ['-c', command], { encoding: 'utf8', env })
    expect(stderr).toContain('cannot write')
    // A failed download is worse than a lost report.
    expect(status).toBe(args[0] === '--json' ? 4 : 73)
  })
})

describe('what was typed', () => {
  test('a rehearsal of a line that is no job is refused', async () => {
    const ended = await run({ list: server.url('/ok/a'), args: ['--inject', 'segv@99'], hasNoReport: true })
    expect([ended.code, ended.stderr.trim()]).toEqual([64, expect.stringContaining('line 99')])
  })

  test.each(['../up', '/tmp/x', 'a/../../b'])('-o %s leads outside and is refused', async (name) => {
    const ended = await run({ operands: [server.url('/ok/a')], args: ['-o', name], hasNoReport: true })
    expect([ended.code, ended.stderr]).toEqual([64, expect.stringContaining('below --dir')])
  })

  test('a list that never ends to arrive does not outlast --run-deadline', async () => {
    const home = newHome()
    const child = spawn(process.execPath, [PROGRAM, '--run-deadline', '500ms', '-d', home.out, '-'], {
      env: { ...process.env, XDG_STATE_HOME: home.state },
      stdio: ['pipe', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => {
      said += String(chunk)
    })
    const [code] = await once(child, 'close')
    expect([code, said]).toEqual([12, expect.stringContaining('--run-deadline')])
  })

  test('a current directory that is gone is said in one line', () => {
    const { stderr, status } = spawnSync(
      '/bin/sh',
      ['-c', `d=$(mktemp -d) && cd "$d" && rmdir "$d" && ${process.execPath} ${PROGRAM} -d /tmp http://127.0.0.1:1/x`],
      { encoding: 'utf8' },
    )
    expect([stderr.trim().split('\n').length, status]).toEqual([1, 73])
  })

  test('a wrong checksum is one try, whatever else looked at the file', async () => {
    const list = `${server.url('/ok/a?size=100')}\n  checksum=md5=${'0'.repeat(32)}\n`
    const ended = await run({ list, args: ONCE })
    expect(ended.row(1).failure).toMatchObject({ kind: 'checksum' })
    expect(ended.stderr).not.toContain('2 tries')
  })
})
