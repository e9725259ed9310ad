// Proves what -c does with files that another tool began, and that it spares those it was not meant for. Knows nothing
// of how a part is kept.
import { chmodSync, linkSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, sha256Of, startFaultServer, startRefused } from '../fixtures/fault-server.ts'
import { type Ended, type Home, newHome, ONCE, QUICK, run, start, until } from './run-mpdl.ts'

const WHOLE = bodyOf(100_000)
const HERE = 40_000
const CONTINUE = [...ONCE, '-c'] as const
const WARNING = 'continued what another tool began: nothing but the length says that it is one file'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

/** A home where another tool has left these files. */
function homeWith(files: Readonly<Record<string, Uint8Array>>): Home {
  const home = newHome()
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(home.out, name), bytes)
  return home
}

/** `Range` and `If-Range` of each request for this path, oldest first. */
const asked = (path: string) =>
  server.requests.flatMap(({ path: target, headers }) =>
    target.split('?')[0] === path ? [[headers['range'], headers['if-range']]] : [],
  )

function expectOnly(ended: Ended, name: string, body: Uint8Array): void {
  expect([ended.code, ended.files]).toEqual([0, [name]])
  expect(sha256Of(ended.bytes(name))).toBe(sha256Of(body))
}

describe('-c', () => {
  const sum = ` checksum=sha-256=${sha256Of(WHOLE)}`

  test('[threat:resume-mix] a whole file that is not what the list says is fetched anew', async () => {
    const home = homeWith({ other: bodyOf(WHOLE.length, 9) })
    const ended = await run({ home, list: `${server.url('/ok/other')}\n${sum}`, args: [...QUICK, '-c', '-t', '2'] })
    expectOnly(ended, 'other', WHOLE)
  })

  test("what turns out to be no part of the file stays its owner's until there is a better one", async () => {
    const thesis = Buffer.from('my thesis')
    const home = homeWith({ thesis })
    const wrong = ` checksum=sha-256=${'0'.repeat(64)}`
    const ended = await run({ home, list: `${server.url('/ok/thesis')}\n${wrong}`, args: [...QUICK, '-c', '-t', '2'] })
    expect([ended.code, ended.files]).toEqual([9, ['thesis']])
    expect(ended.bytes('thesis').equals(thesis)).toBe(true)
  })

  test('[foreign-part] a file that aria2 has not finished is refused: it may have holes', async () => {
    const home = homeWith({ holes: WHOLE.subarray(0, HERE), 'holes.aria2': bodyOf(50) })
    const ended = await run({ home, operands: [server.url('/ok/holes')], args: CONTINUE })
    expect([ended.code, ended.kind(1), ended.files]).toEqual([3, 'foreign-part', ['holes', 'holes.aria2']])
  })

  test.each([
    ['a partial file of its final name', 'final', 'final'],
    ['a part without a note', 'noteless', 'noteless.part'],
  ])('goes on with %s: only the rest is asked for, and a warning says what that proves', async (_, name, left) => {
    const home = homeWith({ [left]: WHOLE.subarray(0, HERE) })
    const ended = await run({ home, operands: [server.url(`/ok/${name}`)], args: CONTINUE })
    expectOnly(ended, name, WHOLE)
    expect(asked(`/ok/${name}`)).toEqual([[`bytes=${HERE}-`, undefined]])
    expect(ended.row(1)).toMatchObject({
      outcome: 'downloaded',
      http_code: 206,
      resumed_from: HERE,
      size_download: WHOLE.length - HERE,
      proof: 'length',
      warnings: [WARNING],
    })
    // Now it is a file like any other.
    const again = await run({ home, operands: [server.url(`/ok/${name}`)], args: CONTINUE })
    expect(again.row(1)).toMatchObject({ outcome: 'unchanged', warnings: [] })
  })

  test('leaves a whole file of another tool as it is: the server has no more', async () => {
    const home = homeWith({ complete: WHOLE })
    const ended = await run({ home, operands: [server.url('/ok/complete')], args: CONTINUE })
    expectOnly(ended, 'complete', WHOLE)
    expect(asked('/ok/complete')).toEqual([[`bytes=${WHOLE.length}-`, undefined]])
    expect(ended.row(1)).toMatchObject({ outcome: 'downloaded', http_code: 416, size_download: 0, size: WHOLE.length })
  })

  test.each([
    ['is longer than the file', '/ok/longer', WHOLE.length + 5],
    ['is continued by a server that serves no ranges', '/ignore-range/ignored', HERE],
    ['is continued by a server that contradicts itself', '/range-lies/lied?kind=start', HERE],
    ['is empty', '/ok/empty', 0],
  ])('starts over where what is there %s', async (_, path, sizeBytes) => {
    const name = path.replace(/^.*\/|\?.*$/g, '')
    const home = homeWith({ [name]: bodyOf(sizeBytes) })
    const ended = await run({ home, operands: [server.url(path)], args: CONTINUE })
    expectOnly(ended, name, WHOLE)
    expect(ended.row(1)).toMatchObject({ resumed_from: 0, http_code: 200, size_download: WHOLE.length })
    const warnings = sizeBytes === 0 ? [] : [expect.stringMatching(`^started over, ${sizeBytes} bytes dropped: `)]
    expect(ended.row(1).warnings).toEqual(warnings)
  })

  test('[checksum] [threat:resume-mix] fetches it anew where the checksum says that it was another file', async () => {
    const home = homeWith({ mixed: bodyOf(HERE, 2) })
    const list = `${server.url('/ok/mixed')}\n checksum=sha-256=${sha256Of(WHOLE)}`
    const ended = await run({ home, list, args: [...QUICK, '-c', '-t', '2'] })
    expectOnly(ended, 'mixed', WHOLE)
    expect(ended.row(1)).toMatchObject({ proof: 'length+checksum', num_retries: 1 })
    expect(asked('/ok/mixed')).toEqual([
      [`bytes=${HERE}-`, undefined],
      [undefined, undefined],
    ])
    expect(ended.row(1).warnings).not.toContain(WARNING)
  })

  test('lets several children bring the rest, and none of what is there', async () => {
    const body = bodyOf(8 * 2 ** 20)
    const here = 3 * 2 ** 20
    const home = homeWith({ shared: body.subarray(0, here) })
    const ended = await run({
      home,
      operands: [server.url(`/slow/shared?size=${body.length}&rate=1000000`)],
      args: [...CONTINUE, '-T', '5s', '-k', '1M'],
    })
    expectOnly(ended, 'shared', body)
    const ranges = ended.row(1).attempts.flatMap(({ range }) => (range === null ? [] : [range[0]]))
    expect(ranges.length).toBeGreaterThanOrEqual(3)
    expect(Math.min(...ranges)).toBe(here)
    expect(ended.row(1)).toMatchObject({ resumed_from: here, size_download: body.length - here, warnings: [WARNING] })
  })

  test.each([
    ['twice', CONTINUE],
    ['once', ONCE],
  ])('is given %s: what was begun is gone on with after a kill, and the warning stays', async (name, args) => {
    const home = homeWith({ [name]: WHOLE.subarray(0, HERE) })
    const list = server.url(`/slow/${name}?rate=40000`)
    const running = start({ home, list, args: CONTINUE })
    const sizeOf = () => statSync(join(home.out, `${name}.part`), { throwIfNoEntry: false })?.size ?? 0
    await until('something is added', () => sizeOf() > HERE)
    running.process.kill('SIGKILL')
    const { files } = await running.ended
    expect(files).toEqual([`${name}.part`, `${name}.part.json`])
    const again = await run({ home, list: list.replace('40000', '9000000'), args })
    expectOnly(again, name, WHOLE)
    expect(again.row(1).resumed_from).toBeGreaterThanOrEqual(HERE)
    expect(again.row(1).warnings).toEqual([WARNING])
  })

  test.each([
    ['the server cannot be reached', (dead: string) => dead, 4],
    ['the server says 404', () => server.url('/status/404/kept'), 8],
    ['the server says 503', () => server.url('/status/503/kept'), 8],
    ['no head comes', () => server.url('/stall-headers/kept'), 4],
    ['the server says nothing at all', () => server.url('/empty-reply/kept'), 4],
  ])('gives the file back untouched when %s', async (_, urlOf, code) => {
    const refused = await startRefused()
    const home = homeWith({ kept: WHOLE.subarray(0, HERE) })
    const path = join(home.out, 'kept')
    chmodSync(path, 0o640)
    utimesSync(path, 1_700_000_000, 1_700_000_000)
    const before = statSync(path)
    const ended = await run({
      home,
      operands: [urlOf(`http://127.0.0.1:${refused.port}/kept`)],
      args: [...QUICK, '-c', '-t', '2'],
    })
    await refused.stop()
    expect([ended.code, ended.files]).toEqual([code, ['kept']])
    const { ino, mode, mtimeMs, nlink } = statSync(path)
    expect([ino, mode, mtimeMs, nlink]).toEqual([before.ino, before.mode, before.mtimeMs, 1])
    expect(ended.bytes('kept').equals(WHOLE.subarray(0, HERE))).toBe(true)
  })

  test('keeps the mode of the file it goes on with, as it does of one it replaces', async () => {
    const home = homeWith({ adopted: WHOLE.subarray(0, HERE), replaced: WHOLE })
    for (const name of ['adopted', 'replaced']) chmodSync(join(home.out, name), 0o600)
    const modeOf = (name: string) => statSync(join(home.out, name)).mode & 0o777
    await run({ home, operands: [server.url('/ok/replaced')], args: ONCE })
    const ended = await run({ home, operands: [server.url('/ok/adopted')], args: CONTINUE })
    expect(sha256Of(ended.bytes('adopted'))).toBe(sha256Of(WHOLE))
    expect([modeOf('replaced'), modeOf('adopted')]).toEqual([0o600, 0o600])
  })

  test('goes on after a kill between the two steps of taking a file over', async () => {
    const home = homeWith({ halfway: WHOLE.subarray(0, HERE) })
    linkSync(join(home.out, 'halfway'), join(home.out, 'halfway.part'))
    const ended = await run({ home, operands: [server.url('/ok/halfway')], args: CONTINUE })
    expectOnly(ended, 'halfway', WHOLE)
  })

  test('does not write into a file that has a second name', async () => {
    const home = homeWith({ linked: WHOLE.subarray(0, HERE) })
    linkSync(join(home.out, 'linked'), home.at('second-name'))
    const ended = await run({ home, operands: [server.url('/ok/linked')], args: CONTINUE })
    expectOnly(ended, 'linked', WHOLE)
    expect(asked('/ok/linked')).toEqual([[undefined, undefined]])
    expect(readFileSync(home.at('second-name')).equals(WHOLE.subarray(0, HERE))).toBe(true)
  })

  test('touches no file that mpdl itself has finished: unchanged stays, and what grew is fetched whole', async () => {
    const list = ['/ok/same', '/grows/grew?by=1000'].map((path) => server.url(path)).join('\n')
    const first = await run({ list, args: ONCE })
    const inodeOf = (name: string) => statSync(join(first.home.out, name)).ino
    const same = inodeOf('same')
    server.bump('/grows/grew')
    const second = await run({ home: first.home, list, args: CONTINUE })
    expect([second.code, second.files]).toEqual([0, ['grew', 'same']])
    expect(second.row(1)).toMatchObject({ outcome: 'unchanged', size_download: 0, warnings: [] })
    expect(inodeOf('same')).toBe(same)
    expect(second.row(2)).toMatchObject({
      outcome: 'downloaded',
      resumed_from: 0,
      size_download: 101_000,
      warnings: [],
    })
    expect(second.bytes('grew').equals(bodyOf(101_000))).toBe(true)
    for (const path of ['/ok/same', '/grows/grew']) {
      expect(asked(path).map(([range]) => range)).toEqual([undefined, undefined])
    }
  })

  test('goes on with a part of mpdl as without it', async () => {
    const list = server.url('/truncated/own?at=50000')
    const first = await run({ list, args: ONCE })
    const again = await run({ home: first.home, list: list.replace('at=50000', 'at=100000'), args: CONTINUE })
    expectOnly(again, 'own', WHOLE)
    expect(again.row(1)).toMatchObject({ resumed_from: 50_000, warnings: [] })
    expect(asked('/truncated/own').at(-1)).toEqual(['bytes=50000-', '"100000-1"'])
  })
})

describe('without -c', () => {
  test('[foreign-part] a part without a note is refused and left alone', async () => {
    const home = homeWith({ 'theirs.part': WHOLE.subarray(0, HERE) })
    const ended = await run({ home, operands: [server.url('/ok/theirs')], args: ONCE })
    expect([ended.code, ended.kind(1), ended.files]).toEqual([3, 'foreign-part', ['theirs.part']])
    expect(readFileSync(join(home.out, 'theirs.part')).equals(WHOLE.subarray(0, HERE))).toBe(true)
    expect(asked('/ok/theirs')).toEqual([])
  })

  test('a partial file of the final name is replaced whole, and not before the new one is there', async () => {
    const home = homeWith({ old: WHOLE.subarray(0, HERE) })
    const refused = await startRefused()
    const failed = await run({ home, operands: [`http://127.0.0.1:${refused.port}/old`], args: ONCE })
    await refused.stop()
    expect([failed.code, failed.files]).toEqual([4, ['old']])
    const ended = await run({ home, operands: [server.url('/ok/old')], args: ONCE })
    expectOnly(ended, 'old', WHOLE)
    expect(asked('/ok/old')).toEqual([[undefined, undefined]])
    expect(ended.row(1)).toMatchObject({ resumed_from: 0, warnings: [] })
  })
})
