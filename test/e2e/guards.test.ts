// Proves what is not let in although the server sends it: wrong types, files too large, pages in disguise. Knows nothing
// of servers' reasons.
import { readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { filesIn, newHome, ONCE, QUICK, run, start, until } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0
const typed = (type: string, name: string) => `${server.url(`/ok/${name}?type=${encodeURIComponent(type)}`)}\n`

describe('--accept-type', () => {
  test('[type-refused] only what is accepted is a file; what is not is named, and moves no body', async () => {
    const good = ['application/pdf', 'Application/PDF; charset=binary', 'image/png', 'IMAGE/jpeg']
    const bad = ['text/html; charset=utf-8', 'application/pdfx', 'application/octet-stream', 'imagery/png']
    const list = [...good, ...bad].map((type, n) => typed(type, `file-${n}`)).join('')
    const ended = await run({ list, args: [...ONCE, '--accept-type', 'application/pdf,image/*', '-t', '3'] })
    expect([...good, ...bad].map((_, n) => ended.kind(n + 1))).toEqual([
      ...good.map(() => undefined),
      ...bad.map(() => 'type-refused'),
    ])
    expect(ended.row(5).reason).toBe('the server sends text/html; accepted is application/pdf, image/* (--accept-type)')
    for (const row of bad.map((_, n) => ended.row(good.length + n + 1))) {
      expect([row.attempts.length, row.size_download, row.kept]).toEqual([1, 0, 0])
      expect(ended.seen).not.toContain(row.out)
    }
    expect(ended.code).toBe(7)
  })

  test('[type-refused] a file that is here stays when the server sends something else in its place', async () => {
    const home = newHome()
    const before = await run({ home, list: typed('application/pdf', 'form.pdf'), args: ONCE })
    const list = `${server.url('/html-for-pdf.pdf')}\n out=form.pdf\n`
    const ended = await run({ home, list, args: [...ONCE, '--accept-type', 'application/pdf'] })
    expect(ended.kind(1)).toBe('type-refused')
    expect(ended.bytes('form.pdf').equals(before.bytes('form.pdf'))).toBe(true)
    expect(ended.files).toEqual(['form.pdf'])
  })

  test('given twice it adds up; what is no type is an error that says what one is', async () => {
    const list = typed('image/png', 'a') + typed('text/csv', 'b')
    const both = await run({ list, args: [...ONCE, '--accept-type', 'image/png', '--accept-type', 'text/csv'] })
    expect(both.code).toBe(0)
    const wrong = await run({ list, args: ['--accept-type', 'pdf'] })
    expect([wrong.code, wrong.stderr]).toEqual([64, expect.stringMatching(/--accept-type.*pdf.*application\/pdf/)])
  })
})

describe('--max-filesize', () => {
  test('[too-large] announced or not, decoded or not: no file is larger, and one of just that size is fine', async () => {
    const list = [
      '/ok/announced?size=100001',
      '/chunked/unannounced?size=100001',
      '/coded/gzip/decoded?size=100001',
      '/ok/just?size=100000',
      '/chunked/just-so?size=100000',
      '/coded/gzip/just-decoded?size=100000',
    ].map((path) => server.url(path))
    const ended = await run({ list: list.join('\n'), args: [...ONCE, '--max-filesize', '100000', '--compressed'] })
    const rows = list.map((_, n) => ended.row(n + 1))
    expect(rows.map(({ out, failure, size }) => [out, failure?.kind, size])).toEqual([
      ['announced', 'too-large', null],
      ['unannounced', 'too-large', null],
      ['decoded', 'too-large', null],
      ['just', undefined, 100_000],
      ['just-so', undefined, 100_000],
      ['just-decoded', undefined, 100_000],
    ])
    expect(ended.row(1).size_download).toBe(0)
  })
})

describe('a page in disguise', () => {
  test('HTML where a .pdf or .zip was asked for is a download with a warning; where HTML was asked for it is none', async () => {
    const list = ['form.pdf', 'archive.zip', 'page.html', 'page'].map((name) => typed('text/html', name)).join('')
    const ended = await run({ list, args: [...ONCE, '--progress', 'lines'] })
    expect(ended.code).toBe(0)
    const warning = 'the server sent HTML, which is hardly what the name promises'
    expect([1, 2, 3, 4].map((line) => ended.row(line).warnings)).toEqual([[warning], [warning], [], []])
    expect(ended.stderr).toMatch(/^warning: line 1: the server sent HTML/m)
  })
})

describe('what the run itself reads and writes', () => {
  test('[name-taken] [threat:planted-configuration] is no name for a download: list, configuration, report, jar', async () => {
    const home = newHome()
    const names = ['list.txt', 'mpdl.toml', 'night.json', 'failed.txt', 'jar', 'fine.bin']
    const list = names.map((name) => `${server.url(`/ok/${name}`)}\n`).join('')
    const at = (name: string) => join(home.root, name)
    const args = [
      '-d',
      home.root,
      '--report',
      at('night.json'),
      '--failed-out',
      at('failed.txt'),
      '--cookie-jar',
      at('jar'),
    ]
    const ended = await run({ home, list, args: [...ONCE, ...args] })
    const taken = 'name-taken'
    expect(names.map((_, n) => ended.kind(n + 1))).toEqual([taken, undefined, taken, taken, taken, undefined])
    expect(ended.row(1).reason).toMatch(/list\.txt is not replaced: it is the list of this run/)
    expect(readFileSync(home.list, 'utf8')).toBe(list)
    // No download is ever called so, wherever it goes: a list may come to lie beside it.
    expect([ended.row(2).out, filesIn(home.root).includes('mpdl.toml')]).toEqual(['%6Dpdl.toml', false])
    expect(readFileSync(at('night.json'), 'utf8')).toContain('"schema"')
    const named = server.url(`/disposition/get?value=${encodeURIComponent('attachment; filename="jar"')}`)
    const again = await run({ home, list: named, args: [...ONCE, ...args, '--content-disposition'] })
    expect(again.kind(1)).toBe('name-taken')
  })

  test.each([
    ['--failed-out', 'list.txt'],
    ['--failed-out', 'link.txt'],
    ['--cookie-jar', 'list.txt'],
    ['--cookie-jar', 'mpdl.toml'],
    ['--cookie-jar', 'report.json'],
  ])('%s %s is a mistake, and the list stays', async (option, name) => {
    const home = newHome()
    symlinkSync('list.txt', join(home.root, 'link.txt'))
    const list = `${server.url('/ok/a.bin')}\n`
    const ended = await run({
      home,
      list,
      args: [option, join(home.root, name), '--report', join(home.root, 'report.json')],
    })
    expect([ended.code, ended.stderr]).toEqual([64, expect.stringMatching(/would overwrite another file of this run/)])
    expect(readFileSync(home.list, 'utf8')).toBe(list)
  })
})

test('[name-taken] --skip-existing touches no file that came while the run was at work', async () => {
  const home = newHome()
  const list = server.url('/ok/late.bin?size=400000&rate=200000')
  const running = start({ home, list, args: [...QUICK, '-T', '10s', '-t', '1', '--skip-existing'] })
  await until('bytes are there', () => sizeOf(join(home.out, 'late.bin.part')) > 0)
  writeFileSync(join(home.out, 'late.bin'), 'mine')
  const ended = await running.ended
  expect([ended.kind(1), readFileSync(join(home.out, 'late.bin'), 'utf8')]).toEqual(['name-taken', 'mine'])
})
