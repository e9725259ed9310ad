// Proves that a file is entirely of one version, however often its download was interrupted and whatever the server
// did meanwhile. Knows nothing of how a part is kept.

import { once } from 'node:events'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, sha256Of, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram, type NginxServer, requireServer, startNginx } from '../fixtures/servers.ts'
import { type Home, newHome, ONCE, QUICK, run, start, until } from './run-mpdl.ts'

const WHOLE = bodyOf(100_000)
const KEPT = 50_000

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

const partOf = (home: Home, name: string) => join(home.out, `${name}.part`)
const controlOf = (home: Home, name: string) => `${partOf(home, name)}.json`

function readNote(home: Home, name: string): Record<string, unknown> {
  const note: Record<string, unknown> = JSON.parse(readFileSync(controlOf(home, name), 'utf8'))
  return note
}

function changeNote(home: Home, name: string, change: Readonly<Record<string, unknown>>): void {
  writeFileSync(controlOf(home, name), JSON.stringify({ ...readNote(home, name), ...change }))
}

function bytesOnDisk(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

/** Ranges that were asked of these names, in the order of the names; undefined where the whole was asked. */
function rangesSince(before: number, names: readonly string[]): (string | undefined)[] {
  const requests = server.requests.slice(before)
  return names.map((name) => requests.find(({ path }) => path.split('?')[0]?.endsWith(`/${name}`))?.headers['range'])
}

/** Half of each file, as a server leaves it that breaks off. */
async function interrupted(paths: readonly string[]): Promise<Home> {
  const urls = paths.map((path) => `${server.url(path)}${path.includes('?') ? '&' : '?'}at=${KEPT}`)
  const first = await run({ list: urls.join('\n'), args: ONCE })
  expect(first.report.jobs.map(({ kept }) => kept)).toEqual(paths.map(() => KEPT))
  expect(first.files).toHaveLength(2 * paths.length)
  return first.home
}

describe('a part of an earlier run', () => {
  test('is continued where it ends, and only the rest is moved', async () => {
    const home = await interrupted(['/truncated/honest'])
    const before = server.requests.length
    const second = await run({ home, operands: [server.url('/truncated/honest?at=100000')], args: ONCE })
    expect(second.row(1)).toMatchObject({
      outcome: 'downloaded',
      proof: 'length',
      resumed_from: KEPT,
      size_download: KEPT,
      http_code: 206,
      warnings: [],
    })
    expect(second.bytes('honest').equals(WHOLE)).toBe(true)
    expect(second.files).toEqual(['honest'])
    expect(rangesSince(before, ['honest'])).toEqual([`bytes=${KEPT}-`])
  })

  test('is told as such, also where the first request brought no answer', async () => {
    const ETAG = '"one"'
    const HEADERS = { 'content-length': KEPT, etag: ETAG, 'accept-ranges': 'bytes' }
    let requests = 0
    const moody = createServer((request, response) => {
      const range = request.headers.range
      if (requests++ === 0) {
        response.writeHead(200, { ...HEADERS, 'content-length': WHOLE.length })
        response.write(WHOLE.subarray(0, KEPT), () => response.destroy())
      } else if (requests === 2) response.destroy()
      else {
        expect([range, request.headers['if-range']]).toEqual([`bytes=${KEPT}-`, ETAG])
        response.writeHead(206, { ...HEADERS, 'content-range': `bytes ${KEPT}-${WHOLE.length - 1}/${WHOLE.length}` })
        response.end(WHOLE.subarray(KEPT))
      }
    }).listen(0, '127.0.0.1')
    await once(moody, 'listening')
    const list = `http://127.0.0.1:${(moody.address() as AddressInfo).port}/moody`
    const { home } = await run({ list, args: ONCE })
    const second = await run({ home, list, args: QUICK })
    moody.close()
    expect(second.row(1).attempts.map(({ resumed_from: from, result }) => [from, result])).toEqual([
      [0, 'failed'],
      [KEPT, 'done'],
    ])
    expect(second.row(1)).toMatchObject({ outcome: 'downloaded', resumed_from: KEPT })
  })

  test('[threat:resume-mix] is dropped where the server answers a range wrongly, whatever the lie', async () => {
    const lies = ['total', 'start', 'missing', 'validator', '200', '416', 'multipart']
    const paths = lies.map((kind) => `/range-lies/${kind}?kind=${kind}`)
    const home = await interrupted(paths)
    const second = await run({ home, list: paths.map((path) => server.url(path)).join('\n'), args: ONCE })
    expect([second.code, second.report.totals['downloaded']]).toEqual([0, lies.length])
    for (const [i, kind] of lies.entries()) {
      expect([kind, second.row(i + 1).resumed_from]).toEqual([kind, 0])
      expect([kind, second.row(i + 1).warnings.join()]).toEqual([
        kind,
        expect.stringContaining('started over, 50000 bytes'),
      ])
      expect([kind, second.bytes(kind).equals(WHOLE)]).toEqual([kind, true])
    }
  })

  test('[threat:resume-mix] is no beginning where nothing strong says which version it is of', async () => {
    const paths = ['/weak-etag/weak', '/no-validator/none', '/ignore-range/ignored']
    const home = await interrupted(paths)
    const before = server.requests.length
    const second = await run({ home, list: paths.map((path) => server.url(path)).join('\n'), args: ONCE })
    expect(second.code).toBe(0)
    for (const { out, resumed_from } of second.report.jobs) {
      expect([out, resumed_from, second.bytes(out).equals(WHOLE)]).toEqual([out, 0, true])
    }
    // A strong validator may be asked with; the other two must not even ask.
    expect(rangesSince(before, ['weak', 'none', 'ignored'])).toEqual([undefined, undefined, `bytes=${KEPT}-`])
  })

  test('[threat:resume-mix] of a file that changed, grew or shrank meanwhile gives way to the new one', async () => {
    const files = [
      { path: '/changing/changed?version', after: bodyOf(100_000, 2) },
      { path: '/grows/grew?by=1000', after: bodyOf(101_000) },
      { path: '/grows/shrank?by=-1000', after: bodyOf(99_000) },
      { path: '/grows/shrank-below?by=-60000', after: bodyOf(40_000) },
    ]
    const home = await interrupted(files.map(({ path }) => path))
    for (const { path } of files) server.bump(path.split('?')[0] ?? path)
    const second = await run({ home, list: files.map(({ path }) => server.url(path)).join('\n'), args: ONCE })
    expect(second.code).toBe(0)
    for (const [i, { path, after }] of files.entries()) {
      const { out, outcome, resumed_from, size } = second.row(i + 1)
      expect([outcome, resumed_from, size]).toEqual(['downloaded', 0, after.length])
      expect([path, second.bytes(out).equals(after)]).toEqual([path, true])
    }
  })

  test('[threat:resume-mix] a file that changes at every attempt is never a blend', async () => {
    // Whoever does not hold the newest version gets yet another one, and each reply breaks off.
    const path = `/changing/restless?at=${KEPT}`
    const ended = await run({ operands: [server.url(path)], args: [...QUICK, '-t', '4'] })
    expect(ended.row(1).outcome).toBe('downloaded')
    const seeds = [1, 2, 3, 4, 5, 6].filter((seed) => ended.bytes('restless').equals(bodyOf(100_000, seed)))
    expect(seeds).toHaveLength(1)
  })

  test('[threat:resume-mix] garbage beyond what was recorded is cut off', async () => {
    const home = await interrupted(['/truncated/tail', '/truncated/tail-beyond', '/no-validator/tail-whole'])
    appendFileSync(partOf(home, 'tail'), Buffer.alloc(10_000, 'x'))
    // More than the file will ever have, so that a length alone would call it whole.
    appendFileSync(partOf(home, 'tail-beyond'), Buffer.alloc(90_000, 'x'))
    appendFileSync(partOf(home, 'tail-whole'), Buffer.alloc(90_000, 'x'))
    const sum = sha256Of(WHOLE)
    const second = await run({
      home,
      list: [
        `${server.url('/truncated/tail?at=100000')}\n checksum=sha-256=${sum}`,
        server.url('/truncated/tail-beyond?at=100000'),
        server.url('/no-validator/tail-whole'),
      ].join('\n'),
      args: ONCE,
    })
    expect(second.report.jobs.map(({ outcome }) => outcome)).toEqual(['downloaded', 'downloaded', 'downloaded'])
    const at = (out: string) => second.report.jobs.find((row) => row.out === out)?.resumed_from
    expect([at('tail'), at('tail-beyond'), at('tail-whole')]).toEqual([KEPT, KEPT, 0])
    for (const name of ['tail', 'tail-beyond', 'tail-whole']) expect(sha256Of(second.bytes(name))).toBe(sum)
  })

  test('[threat:resume-mix] bytes altered within what was recorded are found by the checksum, and fetched anew', async () => {
    const home = await interrupted(['/truncated/altered'])
    const part = readFileSync(partOf(home, 'altered'))
    part.fill(0, 1000, 2000)
    writeFileSync(partOf(home, 'altered'), part)
    const list = `${server.url('/truncated/altered?at=100000')}\n checksum=sha-256=${sha256Of(WHOLE)}`
    const second = await run({ home, list, args: [...QUICK, '-t', '2'] })
    expect(second.row(1)).toMatchObject({ outcome: 'downloaded', proof: 'length+checksum', sha256: sha256Of(WHOLE) })
    expect(second.row(1).attempts.map(({ task, failure }) => [task, failure?.kind])).toEqual([
      ['fetch', undefined],
      ['hash', 'checksum'],
      ['fetch', undefined],
      ['hash', undefined],
    ])
    expect(second.bytes('altered').equals(WHOLE)).toBe(true)
  })

  test('of another boot counts only as far as it was on the disk', async () => {
    const names = ['unsynced', 'synced', 'no-boot']
    const home = await interrupted(names.map((name) => `/truncated/${name}`))
    const other = '00000000-0000-4000-8000-000000000000'
    changeNote(home, 'unsynced', { bootId: other, synced: [] })
    changeNote(home, 'synced', { bootId: other, synced: [[0, 20_000]] })
    changeNote(home, 'no-boot', { bootId: null, synced: [[0, 20_000]] })
    for (const name of names) {
      // What the power cut left of the pages that were never written.
      const part = readFileSync(partOf(home, name))
      part.fill(0, name === 'unsynced' ? 0 : 20_000)
      writeFileSync(partOf(home, name), part)
    }
    const before = server.requests.length
    const list = names.map((name) => server.url(`/truncated/${name}?at=100000`)).join('\n')
    const second = await run({ home, list, args: ONCE })
    expect(second.code).toBe(0)
    for (const name of names) expect([name, second.bytes(name).equals(WHOLE)]).toEqual([name, true])
    expect(rangesSince(before, names)).toEqual([undefined, 'bytes=20000-', 'bytes=20000-'])
  })

  test('whose note is damaged, or fits no longer, is started over', async () => {
    const damages: Readonly<Record<string, (home: Home, name: string) => void>> = {
      empty: (home, name) => writeFileSync(controlOf(home, name), ''),
      cut: (home, name) => truncateSync(controlOf(home, name), 100),
      binary: (home, name) => writeFileSync(controlOf(home, name), bodyOf(500)),
      array: (home, name) => writeFileSync(controlOf(home, name), '[]'),
      future: (home, name) => changeNote(home, name, { mpdl: 2 }),
      'of-another-job': (home, name) => changeNote(home, name, { job: '0123456789abcdef' }),
      'of-another-url': (home, name) => changeNote(home, name, { urlKey: '0123456789abcdef' }),
      overlap: (home, name) => {
        changeNote(home, name, {
          completed: [
            [0, 30_000],
            [20_000, 50_000],
          ],
        })
      },
      backwards: (home, name) => changeNote(home, name, { completed: [[50_000, 0]] }),
      negative: (home, name) => changeNote(home, name, { completed: [[-1, 50_000]] }),
      beyond: (home, name) => changeNote(home, name, { completed: [[0, 500_000]] }),
      fraction: (home, name) => changeNote(home, name, { completed: [[0, 1.5]] }),
      'part-shorter': (home, name) => truncateSync(partOf(home, name), 100),
      'part-gone': (home, name) => rmSync(partOf(home, name)),
    }
    const names = Object.keys(damages)
    const home = await interrupted(names.map((name) => `/truncated/${name}`))
    for (const [name, damage] of Object.entries(damages)) damage(home, name)
    const before = server.requests.length
    const list = names.map((name) => server.url(`/truncated/${name}?at=100000`)).join('\n')
    const second = await run({ home, list, args: ONCE })
    expect([second.code, second.stderr]).toEqual([0, ''])
    for (const name of names) expect([name, second.bytes(name).equals(WHOLE)]).toEqual([name, true])
    expect(rangesSince(before, names)).toEqual(names.map(() => undefined))
    expect(second.files).toEqual([...names].sort())
  })

  test('that is whole but never got its name gets it without another byte', async () => {
    const home = await interrupted(['/truncated/complete'])
    writeFileSync(partOf(home, 'complete'), Buffer.concat([WHOLE, Buffer.from('and what is not of it')]))
    changeNote(home, 'complete', { completed: [[0, WHOLE.length]] })
    const second = await run({ home, operands: [server.url('/truncated/complete')], args: ONCE })
    expect(second.row(1)).toMatchObject({ outcome: 'downloaded', size_download: 0, http_code: 304, size: WHOLE.length })
    expect(second.bytes('complete').equals(WHOLE)).toBe(true)
    expect(second.files).toEqual(['complete'])
  })
})

describe('a finished file', () => {
  test('that did not change moves no body, and one that grew or changed is fetched anew', async () => {
    const files = [
      { path: '/ok/same', after: WHOLE },
      { path: '/grows/finished-grew?by=1000', after: bodyOf(101_000) },
      { path: '/grows/finished-shrank?by=-1000', after: bodyOf(99_000) },
      { path: '/changing/finished-changed?version', after: bodyOf(100_000, 2) },
    ]
    const list = files.map(({ path }) => server.url(path)).join('\n')
    const first = await run({ list, args: ONCE })
    expect(first.report.totals['downloaded']).toBe(4)
    for (const { path } of files) server.bump(path.split('?')[0] ?? path)
    const second = await run({ home: first.home, list, args: ONCE })
    expect(second.report.jobs.toSorted((a, b) => a.line - b.line).map(({ outcome }) => outcome)).toEqual([
      'unchanged',
      'downloaded',
      'downloaded',
      'downloaded',
    ])
    expect(second.row(1)).toMatchObject({ size_download: 0, http_code: 304 })
    for (const [i, { path, after }] of files.entries()) {
      expect([path, second.bytes(second.row(i + 1).out).equals(after)]).toEqual([path, true])
    }
  })

  test('that somebody edited, or whose history is lost, is fetched anew', async () => {
    const list = ['edited', 'replaced', 'kept'].map((name) => server.url(`/ok/${name}`)).join('\n')
    const first = await run({ list, args: ONCE })
    const { home } = first
    appendFileSync(join(home.out, 'edited'), 'more')
    writeFileSync(join(home.out, 'replaced'), bodyOf(WHOLE.length, 7))
    const second = await run({ home, list, args: ONCE })
    expect([1, 2, 3].map((line) => second.row(line).outcome)).toEqual(['downloaded', 'downloaded', 'unchanged'])
    for (const name of ['edited', 'replaced', 'kept']) expect(second.bytes(name).equals(WHOLE)).toBe(true)
    // A database that is none is made anew, without a word and without harm.
    writeFileSync(join(home.state, 'mpdl', 'state.sqlite'), bodyOf(10_000))
    for (const suffix of ['-wal', '-shm']) rmSync(join(home.state, 'mpdl', `state.sqlite${suffix}`), { force: true })
    const third = await run({ home, list, args: ONCE })
    expect([third.code, third.report.totals['downloaded']]).toEqual([0, 3])
    const fourth = await run({ home, list, args: ONCE })
    expect([fourth.code, fourth.report.totals['unchanged']]).toEqual([0, 3])
  })
})

const nginxPath = findProgram('nginx')
describe.skipIf(!requireServer('nginx', nginxPath))('with nginx', () => {
  const SLOW_BYTES_PER_SECOND = 300_000
  let nginx: NginxServer
  let root: string
  const nowSeconds = Math.floor(Date.now() / 1000)

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'mpdl-root-'))
    nginx = await startNginx({
      root,
      extraConf: `location /slow/ { limit_rate ${SLOW_BYTES_PER_SECOND / 1000}k; }`,
    })
  })
  afterAll(async () => {
    await nginx?.stop()
    rmSync(root, { recursive: true, force: true })
  })

  /** Last changed so many seconds ago; nginx makes its ETag of this second and the size, and of nothing else. */
  const publish = (path: string, bytes: Uint8Array, secondsAgo: number) => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), bytes)
    const when = nowSeconds - secondsAgo
    utimesSync(join(root, path), when, when)
  }
  const urlsOf = (paths: readonly string[]) => paths.map((path) => `${nginx.url}/${path}`).join('\n')

  /** Runs until each of these parts has some bytes, then is interrupted as by Ctrl-C. */
  async function interruptedAt(paths: readonly string[], atLeastBytes: number): Promise<Home> {
    const running = start({ list: urlsOf(paths), args: ['--kill-after', '200ms'] })
    const parts = paths.map((path) => partOf(running.home, path.slice(path.lastIndexOf('/') + 1)))
    await until('bytes of each', () => parts.every((part) => bytesOnDisk(part) >= atLeastBytes))
    running.process.kill('SIGINT')
    const ended = await running.ended
    expect(ended.code).toBe(130)
    expect(ended.report.totals['cancelled']).toBe(paths.length)
    for (const { kept } of ended.report.jobs) expect(kept).toBeGreaterThanOrEqual(atLeastBytes)
    return running.home
  }

  test('[threat:resume-mix] what changed, grew or shrank after an interruption is entirely the new file', async () => {
    const before = bodyOf(450_000)
    const after: Readonly<Record<string, Buffer>> = {
      'slow/same': before,
      'slow/changed': bodyOf(450_000, 2),
      'slow/grew': bodyOf(460_000, 3),
      'slow/shrank': bodyOf(440_000, 4),
      'slow/shrank-below': bodyOf(20_000, 5),
    }
    const paths = Object.keys(after)
    for (const path of paths) publish(path, before, 7200)
    const home = await interruptedAt(paths, 50_000)
    for (const [path, bytes] of Object.entries(after)) if (path !== 'slow/same') publish(path, bytes, 3600)
    const second = await run({ home, list: urlsOf(paths), args: ['-j', '5'] })
    expect(second.code).toBe(0)
    for (const [path, bytes] of Object.entries(after)) {
      const row = second.report.jobs.find(({ url }) => url.endsWith(path))
      expect([path, row?.outcome, (row?.resumed_from ?? 0) > 0]).toEqual([path, 'downloaded', path === 'slow/same'])
      expect([path, second.bytes(row?.out ?? '').equals(bytes)]).toEqual([path, true])
    }
  })

  test('[threat:resume-mix] what changed, grew or shrank after it was finished is entirely the new file', async () => {
    const files = [
      { path: 'd/same', before: bodyOf(50_000), after: bodyOf(50_000) },
      { path: 'd/changed', before: bodyOf(50_000), after: bodyOf(50_000, 2) },
      { path: 'd/grew', before: bodyOf(50_000), after: bodyOf(60_000) },
      { path: 'd/shrank', before: bodyOf(50_000), after: bodyOf(40_000) },
      { path: 'd/emptied', before: bodyOf(50_000), after: bodyOf(0) },
    ]
    for (const { path, before } of files) publish(path, before, 7200)
    const list = urlsOf(files.map(({ path }) => path))
    const first = await run({ list, args: ONCE })
    expect(first.report.totals['downloaded']).toBe(files.length)
    for (const { path, after } of files) if (path !== 'd/same') publish(path, after, 3600)
    const second = await run({ home: first.home, list, args: ONCE })
    expect(second.code).toBe(0)
    for (const [i, { path, after }] of files.entries()) {
      const { outcome, out } = second.row(i + 1)
      expect([path, outcome]).toEqual([path, path === 'd/same' ? 'unchanged' : 'downloaded'])
      expect([path, second.bytes(out).equals(after)]).toEqual([path, true])
    }
  })

  test('[threat:resume-mix] two different files with one ETag and one name are never taken for each other', async () => {
    const [a, b] = [bodyOf(450_000, 1), bodyOf(450_000, 2)]
    publish('slow/a/one-tag', a, 7200)
    publish('slow/b/one-tag', b, 7200)
    const tagOf = async (path: string) => (await fetch(`${nginx.url}/${path}`, { method: 'HEAD' })).headers.get('etag')
    expect(await tagOf('slow/a/one-tag')).toBe(await tagOf('slow/b/one-tag'))
    const home = await interruptedAt(['slow/a/one-tag'], 50_000)
    const second = await run({ home, list: urlsOf(['slow/b/one-tag']) })
    expect(second.row(1)).toMatchObject({ outcome: 'downloaded', resumed_from: 0 })
    expect(second.bytes('one-tag').equals(b)).toBe(true)
    // Nor is the finished one of the other path "unchanged".
    const third = await run({ home, list: urlsOf(['slow/a/one-tag']) })
    expect(third.row(1)).toMatchObject({ outcome: 'downloaded', http_code: 200 })
    expect(third.bytes('one-tag').equals(a)).toBe(true)
  })

  test('[checksum] [threat:resume-mix] another file behind the same URL and ETag is found by the checksum', async () => {
    const [before, after] = [bodyOf(450_000, 1), bodyOf(450_000, 2)]
    publish('slow/swapped', before, 7200)
    const home = await interruptedAt(['slow/swapped'], 50_000)
    publish('slow/swapped', after, 7200)
    const list = (bytes: Uint8Array) => `${nginx.url}/slow/swapped\n checksum=sha-256=${sha256Of(bytes)}`
    const second = await run({ home, list: list(after), args: ['--retry-delay', '10ms'] })
    expect(second.row(1)).toMatchObject({ outcome: 'downloaded', proof: 'length+checksum', num_retries: 1 })
    expect(second.row(1).attempts[0]?.resumed_from).toBeGreaterThan(0)
    expect(second.row(1).attempts[1]?.failure?.kind).toBe('checksum')
    expect(second.bytes('swapped').equals(after)).toBe(true)
  })

  test('[checksum] a finished file whose checksum is another now is not "unchanged", whatever the ETag says', async () => {
    const [before, after] = [bodyOf(50_000, 1), bodyOf(50_000, 2)]
    const list = (bytes: Uint8Array) => `${nginx.url}/d/relisted\n checksum=sha-256=${sha256Of(bytes)}`
    publish('d/relisted', before, 7200)
    const first = await run({ list: list(before), args: ONCE })
    expect(first.row(1).outcome).toBe('downloaded')
    const same = await run({ home: first.home, list: list(before), args: ONCE })
    expect(same.row(1).outcome).toBe('unchanged')
    publish('d/relisted', after, 7200)
    const second = await run({ home: first.home, list: list(after), args: ONCE })
    expect(second.row(1)).toMatchObject({ outcome: 'downloaded', proof: 'length+checksum' })
    expect(second.bytes('relisted').equals(after)).toBe(true)
    // A sum that fits neither leaves the old file as it was, and says so.
    const third = await run({ home: first.home, list: list(bodyOf(50_000, 3)), args: ONCE })
    expect(third.row(1)).toMatchObject({ outcome: 'failed', failure: { kind: 'checksum' } })
    expect(third.code).toBe(9)
    expect(third.bytes('relisted').equals(after)).toBe(true)
  })

  test('[threat:supervisor-killed] kill -9 of the supervisor at any instant leaves no process and no wrong byte', async () => {
    const body = bodyOf(1_200_000)
    publish('slow/killed', body, 7200)
    const list = `${nginx.url}/slow/killed\n checksum=sha-256=${sha256Of(body)}`
    const home = newHome()
    const killedAt: number[] = []
    const goOn = async (instant: (running: ReturnType<typeof start>) => Promise<unknown>) => {
      const running = start({ home, list, args: QUICK })
      await instant(running)
      killedAt.push(bytesOnDisk(partOf(home, 'killed')))
      running.process.kill('SIGKILL')
      // Also asserts that no process of it is left within a second.
      const { signal, files } = await running.ended
      expect(signal).toBe('SIGKILL')
      expect(files).not.toContain('killed')
    }
    await goOn((running) => until('its first child', () => running.children().length > 0))
    await goOn((running) => running.event('attempt-started'))
    await goOn((running) => running.event('response'))
    for (const share of [0.1, 0.3, 0.5, 0.7, 0.9]) {
      await goOn(() => until('more bytes', () => bytesOnDisk(partOf(home, 'killed')) >= share * body.length))
    }
    const last = await run({ home, list, args: QUICK })
    expect(last.row(1)).toMatchObject({ outcome: 'downloaded', proof: 'length+checksum', sha256: sha256Of(body) })
    expect(last.row(1).resumed_from, 'what the note remembers of the last kill').toBeGreaterThan(0)
    expect(last.files).toEqual(['killed'])
    expect(killedAt.at(-1)).toBeGreaterThanOrEqual(0.9 * body.length)
  })

  test('[threat:supervisor-killed] kill -9 while a file is checked or gets its name', async () => {
    const body = bodyOf(40_000_000)
    publish('d/checked', body, 7200)
    const list = `${nginx.url}/d/checked\n checksum=sha-256=${sha256Of(body)}`
    const home = newHome()
    const running = start({ home, list, args: QUICK })
    await running.event('attempt-started', ({ task }) => task === 'hash')
    running.process.kill('SIGKILL')
    const { files } = await running.ended
    expect(files).toContain('checked.part')
    const again = start({ home, list, args: QUICK })
    await again.event('attempt-ended', ({ attempt }) => attempt.task === 'hash')
    again.process.kill('SIGKILL')
    await again.ended
    const last = await run({ home, list, args: QUICK })
    expect(last.code).toBe(0)
    expect(sha256Of(last.bytes('checked'))).toBe(sha256Of(body))
    expect(last.files).toEqual(['checked'])
  })
})
