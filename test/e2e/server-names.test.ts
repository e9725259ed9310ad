// Proves that a server may suggest a file's name and nothing else: not its directory, not another file's place.
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { filesIn, newHome, ONCE, run, start, until } from './run-mpdl.ts'

const NAMED = [...ONCE, '--content-disposition']

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

/** A URL that ends in `name` and whose server calls the file by `header`. */
const url = (name: string, header: string, query = '') =>
  server.url(`/disposition/${name}?value=${encodeURIComponent(header)}${query}`)
const called = (name: string) => `attachment; filename="${name}"`

describe("the server's name", () => {
  test('is asked for only with --content-disposition, and only where the list says none', async () => {
    const list = [url('a', called('named-a')), url('b', called('named-b')), '  out=mine'].join('\n')
    expect((await run({ list, args: ONCE })).files).toEqual(['a', 'mine'])
    const ended = await run({ list, args: NAMED })
    expect([ended.code, ended.files, ended.stderr]).toEqual([0, ['mine', 'named-a'], ''])
    expect([ended.row(1).out, ended.row(2).out]).toEqual(['named-a', 'mine'])
    expect(ended.seen).not.toContain('a')
  })

  test('is found again the night after: no body moves, and the file is not touched', async () => {
    const list = url('get.php', called('report.pdf'))
    const { home, ...first } = await run({ list, args: NAMED })
    expect(first.row(1)).toMatchObject({ outcome: 'downloaded', out: 'report.pdf', proof: 'length' })
    const before = statSync(join(home.out, 'report.pdf'))
    const second = await run({ home, list, args: NAMED })
    expect(second.row(1)).toMatchObject({ outcome: 'unchanged', out: 'report.pdf', size_download: 0 })
    expect([second.code, second.stderr, second.files]).toEqual([0, '', ['report.pdf']])
    expect(statSync(join(home.out, 'report.pdf')).ctimeMs).toBe(before.ctimeMs)
    const skipped = await run({ home, list, args: [...NAMED, '--skip-existing'] })
    expect(skipped.row(1)).toMatchObject({ outcome: 'skipped', out: 'report.pdf' })
  })

  test('replaces what the same job left under it, and makes room where the server chooses another', async () => {
    const home = newHome()
    await run({ home, list: url('get.php', called('v1.bin'), '&seed=1'), args: NAMED })
    const same = await run({ home, list: url('get.php', called('v1.bin'), '&seed=2'), args: NAMED })
    expect([same.code, same.files, same.bytes('v1.bin').equals(bodyOf(100_000, 2))]).toEqual([0, ['v1.bin'], true])
    const other = await run({ home, list: url('get.php', called('v2.bin'), '&seed=3'), args: NAMED })
    expect([other.code, other.files]).toEqual([0, ['v1.bin', 'v2.bin']])
    expect(other.bytes('v1.bin').equals(bodyOf(100_000, 2))).toBe(true)
    const again = await run({ home, list: url('get.php', called('v2.bin'), '&seed=3'), args: NAMED })
    expect(again.row(1)).toMatchObject({ outcome: 'unchanged', out: 'v2.bin' })
    // What it left under the name before is nobody's now, so nobody may replace it.
    const back = await run({ home, list: url('get.php', called('v1.bin'), '&seed=4'), args: NAMED })
    expect(back.kind(1)).toBe('name-taken')
  })

  test('is replaced by its own job when somebody edited or touched it, as any download is', async () => {
    const list = url('get.php', called('mine.bin'))
    const { home } = await run({ list, args: NAMED })
    writeFileSync(join(home.out, 'mine.bin'), 'edited')
    const ended = await run({ home, list, args: NAMED })
    expect([ended.code, ended.files, ended.bytes('mine.bin').equals(bodyOf(100_000))]).toEqual([0, ['mine.bin'], true])
  })

  test('finds its files again where the state was lost, by their bytes, and gives no second name', async () => {
    const jobs = [url('a', called('one.bin'), '&seed=1'), url('b', called('two.bin'), '&seed=2')]
    const list = jobs.join('\n')
    const { home } = await run({ list, args: NAMED })
    const before = statSync(join(home.out, 'one.bin'))
    for (const args of [NAMED, [...NAMED, '--on-clash', 'rename']]) {
      rmSync(home.state, { recursive: true })
      const ended = await run({ home, list, args })
      expect([ended.code, ended.stderr, ended.files]).toEqual([0, '', ['one.bin', 'two.bin']])
      expect(ended.row(1).warnings).toEqual(['the same file was here already, and stays'])
      expect(statSync(join(home.out, 'one.bin')).ino).toBe(before.ino)
      expect((await run({ home, list, args })).report.totals).toMatchObject({ unchanged: 2 })
    }
    writeFileSync(join(home.out, 'one.bin'), Buffer.alloc(100_000))
    rmSync(home.state, { recursive: true })
    const other = await run({ home, list, args: NAMED })
    expect([other.kind(1), other.row(2).outcome]).toEqual(['name-taken', 'downloaded'])
  })

  test('that is in the directory of --names tree stays there', async () => {
    const ended = await run({ list: url('get.php', called('../up.bin')), args: [...NAMED, '--names', 'tree'] })
    expect(ended.files).toEqual([`${new URL(server.url('/')).host.replace(':', '%3A')}/disposition/up.bin`])
  })

  test('is kept with a part, for an answer that does not repeat it', async () => {
    const home = newHome()
    writeFileSync(join(home.out, 'taken.bin'), 'mine')
    const list = url('get.php', called('taken.bin'))
    const first = await run({ home, list, args: NAMED })
    expect(first.row(1)).toMatchObject({ outcome: 'failed', failure: { kind: 'name-taken' }, kept: 100_000 })
    rmSync(join(home.out, 'taken.bin'))
    // Now the part is whole, so all that comes is a 304.
    const second = await run({ home, list, args: NAMED })
    expect(second.row(1)).toMatchObject({ outcome: 'downloaded', out: 'taken.bin', size_download: 0, http_code: 304 })
    expect([second.files, second.bytes('taken.bin').equals(bodyOf(100_000))]).toEqual([['taken.bin'], true])
  })

  test('is written down before the first byte counts, for a run that is killed before the last one', async () => {
    const home = newHome()
    const running = start({ home, list: url('get.php', called('report.pdf'), '&rate=50000'), args: NAMED })
    const note = () => JSON.parse(readFileSync(join(home.out, 'get.php.part.json'), 'utf8'))
    await until('a byte counts', () => existsSync(join(home.out, 'get.php.part.json')) && note().completed.length > 0)
    expect(note()).toMatchObject({ name: 'report.pdf' })
    running.process.kill('SIGKILL')
    await running.ended
  })

  test('gives way to that of the URL where it cannot be used, and the report says so', async () => {
    const list = ['..', '', 'x.part', 'mpdl.toml', 'a/'].map((name, i) => url(`own-${i}`, called(name)))
    const ended = await run({ list: [...list, url('none', 'inline')].join('\n'), args: NAMED })
    expect([ended.code, ended.files]).toEqual([0, ['none', 'own-0', 'own-1', 'own-2', 'own-3', 'own-4']])
    for (const line of [1, 2, 3, 4, 5]) expect(ended.row(line).warnings.join()).toContain('no usable name')
    expect(ended.row(6).warnings).toEqual([])
  })

  test('[threat:redirect-name] whatever it is, it is one safe name in the directory', async () => {
    const hostile: [header: string, name: string][] = [
      [called('../../x'), 'x'],
      [called('/etc/x2'), 'x2'],
      [called('..\\\\..\\\\x3'), 'x3'],
      ["attachment; filename*=UTF-8''..%2f..%2fx4", 'x4'],
      ["attachment; filename*=UTF-8''nul%00byte", 'nul%00byte'],
      ["attachment; filename*=UTF-8''esc%1b%5b31mred", 'esc%1B[31mred'],
      ["attachment; filename*=UTF-8''bidi%e2%80%aefdp.exe", 'bidi%E2%80%AEfdp.exe'],
      [called('con'), '%63on'],
      [called('.bashrc'), '%2Ebashrc'],
      [called('-rf'), '%2Drf'],
      ["attachment; filename*=koi8-r''%c6; filename=fallback-1", 'fallback-1'],
      ["attachment; filename*=UTF-8''%ff; filename=fallback-2", 'fallback-2'],
      ['attachment; filename="na\xefve"', 'naïve'],
    ]
    const list = hostile.map(([header], i) => url(`hostile-${i}`, header))
    list.push(url('long', called(`${'x'.repeat(4096)}.pdf`)))
    const ended = await run({ list: list.join('\n'), args: NAMED })
    const long = ended.row(list.length).out
    expect([Buffer.byteLength(long) <= 240, long.endsWith('.pdf')]).toEqual([true, true])
    expect([ended.code, ended.files]).toEqual([0, [...hostile.map(([, name]) => name), long].sort()])
    // Beside what the test itself keeps there, nothing came to be outside of it.
    expect(filesIn(ended.home.root).filter((name) => !/^(?:out|state|runs|list\.txt|report\.json)/.test(name))).toEqual(
      [],
    )
  })
})

describe('[name-taken] [threat:redirect-name] what a server named never replaces', () => {
  const list = () => url('get.php', called('mine.bin'))

  test("a file of the user's", async () => {
    const home = newHome()
    writeFileSync(join(home.out, 'mine.bin'), 'precious')
    const ended = await run({ home, list: list(), args: NAMED })
    expect([ended.code, ended.kind(1), readFileSync(join(home.out, 'mine.bin'), 'utf8')]).toEqual([
      3,
      'name-taken',
      'precious',
    ])
    const renamed = await run({ home, list: list(), args: [...NAMED, '--on-clash', 'rename'] })
    expect(renamed.row(1)).toMatchObject({ outcome: 'downloaded', out: 'mine.1.bin' })
    expect(readFileSync(join(home.out, 'mine.bin'), 'utf8')).toBe('precious')
    const again = await run({ home, list: list(), args: [...NAMED, '--on-clash', 'rename'] })
    expect([again.row(1).outcome, again.files]).toEqual(['unchanged', ['mine.1.bin', 'mine.bin']])
  })

  test('a symbolic link or a directory', async () => {
    const home = newHome()
    writeFileSync(home.at('outside'), 'outside')
    symlinkSync(home.at('outside'), join(home.out, 'link'))
    mkdirSync(join(home.out, 'dir'))
    const ended = await run({
      home,
      list: [url('a', called('link')), url('b', called('dir'))].join('\n'),
      args: [...NAMED, '--on-clash', 'rename'],
    })
    expect([ended.kind(1), ended.kind(2)]).toEqual(['target-is-symlink', 'target-is-directory'])
    expect(readFileSync(home.at('outside'), 'utf8')).toBe('outside')
  })

  test("another job's file: of two with one name the second fails, or is numbered", async () => {
    const two = [url('a', called('one.bin'), '&seed=1'), url('b', called('one.bin'), '&seed=2')].join('\n')
    const ended = await run({ list: two, args: [...NAMED, '-j', '1'] })
    expect([ended.code, ended.row(1).out, ended.kind(2)]).toEqual([3, 'one.bin', 'name-taken'])
    expect(ended.bytes('one.bin').equals(bodyOf(100_000, 1))).toBe(true)
    expect(ended.report.totals).toMatchObject({ downloaded: 1, failed: 1 })

    const both = await run({ list: two, args: [...NAMED, '-j', '1', '--on-clash', 'rename'] })
    expect([both.code, both.row(1).out, both.row(2).out]).toEqual([0, 'one.bin', 'one.1.bin'])
    expect(both.bytes('one.1.bin').equals(bodyOf(100_000, 2))).toBe(true)
    const again = await run({ home: both.home, list: two, args: [...NAMED, '--on-clash', 'rename'] })
    expect(again.report.totals).toMatchObject({ unchanged: 2, bytes: 0 })
  })

  test('many jobs that are named alike at once each get a file of their own', async () => {
    const many = Array.from({ length: 12 }, (_, i) => url(`n${i}`, called('same.csv'), `&seed=${i}`))
    const ended = await run({
      list: many.join('\n'),
      args: [...NAMED, '-j', '12', '--max-per-host', '12', '--on-clash', 'rename'],
    })
    expect([ended.code, ended.report.totals['downloaded'], ended.files.length]).toEqual([0, 12, 12])
    for (const [i] of many.entries()) {
      expect(ended.bytes(ended.row(i + 1).out).equals(bodyOf(100_000, i))).toBe(true)
    }
    const again = await run({ home: ended.home, list: many.join('\n'), args: [...NAMED, '--on-clash', 'rename'] })
    expect(again.report.totals, 'and each is remembered').toMatchObject({ unchanged: 12, bytes: 0 })
  })

  test('a name that the list has for another job is not for the server to give, whichever comes first', async () => {
    const two = [url('a', called('plain.bin'), '&seed=1'), server.url('/ok/plain.bin?seed=2')].join('\n')
    const ended = await run({ list: two, args: [...NAMED, '-j', '1'] })
    expect([ended.kind(1), ended.row(2).out]).toEqual(['name-taken', 'plain.bin'])
    expect(ended.bytes('plain.bin').equals(bodyOf(100_000, 2))).toBe(true)
    const both = await run({ list: two, args: [...NAMED, '-j', '1', '--on-clash', 'rename'] })
    expect([both.code, both.row(1).out, both.row(2).out]).toEqual([0, 'plain.1.bin', 'plain.bin'])
  })

  test("nor does a URL's own name replace what a server gave another job the night before", async () => {
    const named = url('a', called('plain.bin'), '&seed=1')
    const { home } = await run({ list: named, args: NAMED })
    const ended = await run({ home, list: `${named}\n${server.url('/ok/plain.bin?seed=2')}`, args: NAMED })
    expect([ended.row(1).outcome, ended.kind(2)]).toEqual(['unchanged', 'name-taken'])
    expect(ended.bytes('plain.bin').equals(bodyOf(100_000, 1))).toBe(true)
  })

  test('each job finds its own again, whichever comes first to the name that both are given', async () => {
    const jobs = [url('a', called('one.bin'), '&seed=1'), url('b', called('one.bin'), '&seed=2')]
    const args = [...NAMED, '-j', '1', '--on-clash', 'rename', '--force']
    const { home } = await run({ list: jobs.join('\n'), args })
    const again = await run({ home, list: jobs.toReversed().join('\n'), args })
    expect([again.row(1).out, again.row(2).out, again.files]).toEqual([
      'one.1.bin',
      'one.bin',
      ['one.1.bin', 'one.bin'],
    ])
    expect(again.bytes('one.bin').equals(bodyOf(100_000, 1))).toBe(true)
  })

  test('nor is it "unchanged" for another job, though that asks the same URL', async () => {
    const named = url('a', called('one.bin'))
    const { home } = await run({ list: named, args: NAMED })
    const ended = await run({ home, list: `${named}\n  out=one.bin`, args: NAMED })
    expect([ended.kind(1), ended.files.includes('one.bin')]).toEqual(['name-taken', true])
  })
})

test('[threat:supervisor-killed] a run that is killed while files get their names loses none and doubles none', async () => {
  const home = newHome()
  const names = Array.from({ length: 24 }, (_, i) => `named-${String(i).padStart(2, '0')}`)
  const list = names.map((name, i) => url(`get-${i}`, called(name), `&seed=${i}`)).join('\n')
  for (const have of [1, 6, 11]) {
    const running = start({ home, list, args: NAMED, hasNoReport: true })
    await until('some have their names', () => filesIn(home.out).filter((name) => names.includes(name)).length >= have)
    running.process.kill('SIGKILL')
    await running.ended
  }
  const last = await run({ home, list, args: NAMED })
  expect([last.code, last.stderr, last.files]).toEqual([0, '', names])
  for (const [i, name] of names.entries()) expect(last.bytes(name).equals(bodyOf(100_000, i)), name).toBe(true)
})

describe('verify', () => {
  const names = ['a', 'b'].map((name) => `named-${name}`)
  const list = () => names.map((name) => url(`get-${name}`, called(name))).join('\n')

  test('finds such files by the state, and by the log where the state is gone', async () => {
    const { home } = await run({ list: list(), args: NAMED })
    const verify = () =>
      run({ home, isBare: true, operands: ['verify', home.list, '-d', home.out, '--log-dir', home.logs, '-v'] })
    const known = await verify()
    expect([known.code, known.stdout]).toEqual([
      0,
      [
        'line 1 named-a ok: size and time are as mpdl left them',
        'line 2 named-b ok: size and time are as mpdl left them',
        'verify: 2 = 2 ok\n',
      ].join('\n'),
    ])
    rmSync(join(home.out, 'named-b'))
    expect((await verify()).stdout).toContain('line 2 named-b missing: the last run left it there')

    rmSync(join(home.state, 'mpdl', 'state.sqlite'))
    const { stdout } = await verify()
    expect(stdout).toMatch(/^line 1 named-a ok: size is as run \S+ left it$/m)
    expect(stdout).toMatch(/^line 2 named-b missing: the last run left it there$/m)
  })
})
