// Decides whether a list of any size and shape is checked once and read again truly.

import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  createReadStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { destination, foldKey } from '../../src/core/destination.ts'
import { fingerprint } from '../../src/core/hash.ts'
import { type JobList, type ListRules, type ListSource, openJobList } from '../../src/supervisor/job-list.ts'
import { parseList } from '../fixtures/parse-list.ts'
import fc from '../fixtures/property.ts'

const dir = mkdtempSync(join(tmpdir(), 'mpdl-job-list-'))
const spoolDir = join(dir, 'spool')
mkdirSync(spoolDir)
afterAll(() => rmSync(dir, { recursive: true }))

const RULES: ListRules = {
  naming: { names: 'flat', queryNames: false },
  onClash: 'fail',
  keepGoing: false,
  foldCase: false,
  spoolDir,
}
const TREE = { naming: { names: 'tree', queryNames: false } } as const
const GOING = { keepGoing: true } as const
const RENAME = { onClash: 'rename' } as const

let files = 0
function file(content: string | Uint8Array): ListSource & { kind: 'file' } {
  const path = join(dir, `list-${++files}.txt`)
  writeFileSync(path, content)
  return { kind: 'file', path }
}

async function open(content: string | Uint8Array | ListSource, rules: Partial<ListRules> = {}): Promise<JobList> {
  const source = typeof content === 'object' && 'kind' in content ? content : file(content)
  const result = await openJobList(source, { ...RULES, ...rules })
  if (!result.ok) throw new Error(JSON.stringify(result))
  return result.list
}

async function errorsOf(content: string | Uint8Array | ListSource, rules: Partial<ListRules> = {}): Promise<string[]> {
  const source = typeof content === 'object' && 'kind' in content ? content : file(content)
  const result = await openJobList(source, { ...RULES, ...rules })
  if (!result.ok) return result.errors.map(({ line, problem }) => `${line}: ${problem}`)
  result.list.close()
  return []
}

async function targetsOf(content: string, rules: Partial<ListRules> = {}): Promise<(string | undefined)[]> {
  const list = await open(content, rules)
  const targets = Array.from({ length: list.size }, (_, i) => {
    const fate = list.fateOf(i)
    return fate.kind === 'job' ? list.read(i)?.target : fate.kind === 'same' ? `same as ${fate.asLine}` : fate.kind
  })
  list.close()
  return targets
}

describe('reading', () => {
  test('jobs carry line, target, id and options, and hosts are counted once', async () => {
    const list = await open('# head\nhttps://a.example/x#f\n  out=d/y\n\nhttp://b.example:81/z\nhttps://a.example/w')
    expect([list.size, list.lineCount, list.hosts]).toEqual([3, 6, ['a.example:443', 'b.example:81']])
    expect([0, 1, 2].map((i) => [list.lineOf(i), list.hostOf(i), list.fateOf(i)])).toEqual([
      [2, 0, { kind: 'job' }],
      [5, 1, { kind: 'job' }],
      [6, 0, { kind: 'job' }],
    ])
    expect(list.read(0)).toEqual({
      index: 0,
      line: 2,
      id: fingerprint('d/y'),
      urls: ['https://a.example/x'],
      target: 'd/y',
      options: { out: 'd/y' },
    })
    expect(() => list.lineOf(3)).toThrow(RangeError)
    list.close()
    list.close()
  })

  test('a byte-order mark, CRLF and UTF-8 change nothing', async () => {
    const list = await open('\uFEFFhttps://h/ä\r\n\tout=ö.txt\r\nhttps://h/b\r\n')
    expect(list.read(0)?.options.out).toBe('ö.txt')
    expect(list.read(1)).toMatchObject({ line: 3, target: 'b' })
    expect(list.lineCount).toBe(3)
    list.close()
  })

  test('rows that an editor changed meanwhile are not guessed at', async () => {
    const source = file('https://h/aaa\nhttps://h/bbb\n')
    const list = await open(source)
    writeFileSync(source.path, 'https://h/aaa\nhttps://h/bbc\n')
    expect(list.read(0)?.target).toBe('aaa')
    expect(list.read(1)).toBeUndefined()
    writeFileSync(source.path, '')
    expect(list.read(0)).toBeUndefined()
    list.close()
  })

  test('a list that is edited while it is checked is refused', async () => {
    const text = `https://h/aaa\nhttps://h/ccc\n${'# -\n'.repeat(300_000)}https://h/aaa\n`
    const source = file(text)
    const result = await openJobList(source, { ...RULES, ...GOING }, async () => {
      writeFileSync(source.path, text.replace('aaa', 'bbb'))
    })
    expect(result).toMatchObject({ ok: false, kind: 'bad-list', errors: [{ line: 0 }] })
    if (!result.ok) expect(result.errors[0]?.problem).toContain('changed while it was being read; run again')
  })

  test('lines that come to the list later change nothing', async () => {
    const source = file('https://h/aaa')
    const list = await open(source)
    appendFileSync(source.path, 'b\n out=x\n')
    expect(list.read(0)?.target).toBe('aaa')
    list.close()
  })

  test('URLs of the command line are rows of their own, whatever they look like', async () => {
    const list = await open({ kind: 'urls', urls: ['https://h/a', 'https://h/b'] })
    expect([list.name, list.size, list.lineOf(1), list.read(1)?.target]).toEqual(['command line', 2, 2, 'b'])
    list.close()
    const odd = await errorsOf({ kind: 'urls', urls: ['https://h/a\n out=x', '# x', 'https://h/b\thttps://h/c'] })
    expect(odd.map((text) => text.slice(0, 2))).toEqual(['1:', '2:', '3:'])
    expect(await errorsOf({ kind: 'urls', urls: [] })).toEqual([
      '0: command line holds no URL; write one http:// or https:// URL a line',
    ])
  })

  test('what is read by index is what a direct parse gives, over 200,000 rows', async () => {
    const rows = Array.from({ length: 200_000 }, (_, i) => {
      const url = `https://host-${i % 97}.example/dir/${i}.bin`
      if (i % 10 === 0)
        return `# ${i}\n\n${url}\thttps://mirror.example/${i}\n  out=n/${i}.bin\n # -\n  tries=${1 + (i % 5)}`
      if (i % 10 === 1) return JSON.stringify({ url, out: `é-${i}`, timeout: 5 })
      return i % 10 === 2 ? `${'ab'.repeat(32)}  ${url}` : url
    })
    const text = rows.join('\n')
    const { entries } = parseList(text)
    const list = await open(text)
    expect([list.size, list.hosts.length]).toEqual([200_000, 97])
    for (let n = 0; n < 5000; n++) {
      const index = (n * 7919) % list.size
      const entry = entries[index]
      expect(list.read(index)).toMatchObject({ line: entry?.line, urls: entry?.urls, options: entry?.options })
      expect(list.hosts[list.hostOf(index)]).toBe(`host-${index % 97}.example:443`)
    }
    list.close()
  })

  test('signals get their turn: a long list pauses about every 20,000 lines', async () => {
    let pauses = 0
    const result = await openJobList(file(`${'# -\n'.repeat(100_000)}https://h/x`), RULES, async () => {
      pauses++
    })
    expect(result.ok).toBe(true)
    expect(pauses).toBe(5)
    if (result.ok) result.list.close()
  })
})

describe('sources', () => {
  const text = Array.from({ length: 50_000 }, (_, i) => `https://h/${i}\n`).join('')

  test('gzip is recognised by its bytes, in a file or a stream, and leaves no file behind', async () => {
    for (const source of [
      file(gzipSync(text)),
      { kind: 'stream', stream: Readable.from([gzipSync(text)]), name: 'stdin' },
    ] satisfies ListSource[]) {
      const list = await open(source)
      expect(list.size).toBe(50_000)
      expect(list.read(49_999)?.target).toBe('49999')
      expect(readdirSync(spoolDir)).toEqual([])
      list.close()
    }
  })

  test('a stream may come in pieces, as text or as bytes', async () => {
    const stream = Readable.from(['\uFEFFhttps://h/', 'ä\n', Buffer.from(' out='), Buffer.from('x')])
    const list = await open({ kind: 'stream', stream, name: 'standard input' })
    expect([list.name, list.read(0)?.target]).toEqual(['standard input', 'x'])
    list.close()
    const { path } = file(text)
    const large = await open({ kind: 'stream', stream: createReadStream(path, { highWaterMark: 7777 }), name: '-' })
    expect(large.size).toBe(50_000)
    large.close()
  })

  test('a pipe given by its path is read once and kept', async () => {
    const path = join(dir, 'fifo')
    execFileSync('mkfifo', [path])
    const opening = open({ kind: 'file', path })
    await writeFile(path, 'https://h/x\n')
    const list = await opening
    expect(list.read(0)?.target).toBe('x')
    list.close()
  })

  test('damaged gzip is a bad list', async () => {
    const packed = gzipSync(text)
    const problem = 'is damaged or cut off gzip; copy or pack it again'
    for (const bytes of [packed.subarray(0, 500), Buffer.concat([packed.subarray(0, 60), Buffer.alloc(900, 7)])]) {
      const result = await openJobList(file(bytes), RULES)
      expect(result).toMatchObject({ ok: false, kind: 'bad-list', errors: [{ line: 0 }] })
      if (!result.ok) expect(result.errors[0]?.problem).toContain(problem)
    }
  })

  test('a list that is not there is told from one that is wrong', async () => {
    const missing = join(dir, 'missing.txt')
    const give = 'give a list file, a URL or - for standard input'
    expect(await openJobList({ kind: 'file', path: missing }, RULES)).toEqual({
      ok: false,
      kind: 'no-list',
      errors: [{ line: 0, problem: `${missing} does not exist; ${give}` }],
      more: 0,
    })
    expect(await errorsOf({ kind: 'file', path: dir })).toEqual([
      `0: ${dir} is a directory; give a list file, a URL or - for standard input`,
    ])
    expect(await errorsOf({ kind: 'file', path: 'example.com/x?token=secret' })).toEqual([
      '0: example.com/x?token=*** does not exist; did you mean https://example.com/x?token=***?',
    ])
    expect(await errorsOf({ kind: 'file', path: `${file('').path}/x` })).toEqual([
      expect.stringMatching(/^0: .* does not exist; give a list file/),
    ])
    expect(await errorsOf({ kind: 'file', path: 'a\0b' }).catch((error: unknown) => `${error}`)).toEqual([
      `0: a\\x00b cannot be read: ERR_INVALID_ARG_VALUE; ${give}`,
    ])
  })

  test.runIf(process.platform === 'linux')(
    'a file whose first byte cannot be read is no list, and is closed',
    async () => {
      const descriptors = readdirSync('/proc/self/fd').length
      expect(await errorsOf({ kind: 'file', path: '/proc/self/mem' })).toEqual([
        '0: /proc/self/mem cannot be read: EIO; give a list file, a URL or - for standard input',
      ])
      expect(readdirSync('/proc/self/fd')).toHaveLength(descriptors)
    },
  )

  test.skipIf(process.getuid?.() === 0)('an unreadable list says that it is one', async () => {
    const source = file('https://h/x')
    chmodSync(source.path, 0)
    expect(await errorsOf(source)).toEqual([`0: ${source.path} may not be read by this user; change its permissions`])
  })

  test('a stream that breaks and a place that cannot be written are told as such', async () => {
    const broken = new Readable({ read: () => {} })
    const opening = errorsOf({ kind: 'stream', stream: broken, name: 'stdin' })
    broken.push('https://h/x\n')
    broken.destroy(new Error('boom'))
    expect(await opening).toEqual(['0: stdin cannot be read: the stream failed; run again with a list that can'])
    const nowhere = { spoolDir: join(dir, 'nowhere') }
    expect(await errorsOf({ kind: 'stream', stream: Readable.from(['x']), name: 'stdin' }, nowhere)).toEqual([
      `0: stdin cannot be copied to ${nowhere.spoolDir}: ENOENT; make it writable`,
    ])
  })

  test('a list without a URL is a bad list', async () => {
    for (const content of ['', '\n\n# nothing\n  # here\n', '\uFEFF', gzipSync('')]) {
      const result = await openJobList(file(content), { ...RULES, ...GOING })
      expect(result).toMatchObject({ ok: false, kind: 'bad-list', errors: [{ line: 0 }] })
      if (!result.ok) expect(result.errors[0]?.problem).toContain('holds no URL')
    }
  })

  test('no result but ok keeps a descriptor', async () => {
    const count = () => readdirSync('/proc/self/fd').length
    const before = count()
    await errorsOf('nope\n')
    await errorsOf('')
    await errorsOf(file(gzipSync('nope')))
    await errorsOf(file(gzipSync(text).subarray(0, 100)))
    const list = await open(file(gzipSync(text)))
    list.close()
    expect(count()).toBe(before)
  })
})

describe('bad rows', () => {
  test('all errors of a list come at once, in the order of the lines', async () => {
    const errors = await errorsOf('nope\nhttps://h/a\n bad=1\n tries=0\nhttps://i/a\n')
    expect(errors.map((text) => text.slice(0, 2))).toEqual(['1:', '3:', '4:'])
  })

  test('a thousand errors are kept and the rest is counted', async () => {
    const result = await openJobList(file('nope\n'.repeat(2500)), RULES)
    expect(result.ok).toBe(false)
    if (!result.ok) expect([result.errors.length, result.more]).toEqual([1000, 1500])
    const clashing = Array.from({ length: 1500 }, (_, i) => `https://h/${i}/x`).join('\n')
    const clash = await openJobList(file(clashing), RULES)
    if (!clash.ok) expect([clash.errors.length, clash.more]).toEqual([1000, 499])
  })

  test('with keepGoing bad rows have an index, a line and their problem', async () => {
    const list = await open(' out=orphan\n dir=x\nhttps://h/a\nnope\n tries=0\nhttps://i/b\nhttps://j/a\n', GOING)
    expect([list.size, list.hosts]).toEqual([5, ['h:443', 'i:443', 'j:443']])
    expect(Array.from({ length: 5 }, (_, i) => [list.lineOf(i), list.fateOf(i)])).toEqual([
      [1, { kind: 'bad', problem: expect.stringContaining('no job above') }],
      [3, { kind: 'job' }],
      [4, { kind: 'bad', problem: expect.stringMatching(/^"nope" is no URL; .*; tries is "0"; /) }],
      [6, { kind: 'job' }],
      [7, { kind: 'bad', problem: expect.stringContaining('becomes a, as line 3 does') }],
    ])
    expect(list.read(2)).toBeUndefined()
    list.close()
  })

  test('the problem of a row that was edited meanwhile is that', async () => {
    const source = file('nope\n')
    const list = await open(source, GOING)
    writeFileSync(source.path, 'none\n')
    expect(list.fateOf(0)).toEqual({ kind: 'bad', problem: 'was edited after the list had been checked' })
    list.close()
  })

  test('a binary file is told once, not a thousand times', async () => {
    const binary = `https://h/a\n${'\0\u0001x\n'.repeat(50_000)}`
    expect(await errorsOf(binary)).toEqual([
      '2: has a NUL byte; this looks like a binary file, not a list; give a text file with one URL a line',
    ])
    const list = await open(`https://h/a\n${'\0'.repeat(100_000)}\nhttps://h/b`, GOING)
    expect([0, 1, 2].map((i) => list.fateOf(i).kind)).toEqual(['job', 'bad', 'job'])
    list.close()
  })

  test('UTF-16 is taken for binary, Latin-1 for what it is', async () => {
    expect(await errorsOf(Buffer.from('\uFEFFhttps://h/x\n', 'utf16le'))).toEqual([
      expect.stringContaining('1: has a NUL byte'),
    ])
    expect(await errorsOf(Buffer.from('https://h/a\nhttps://h/ä\n', 'latin1'))).toEqual([
      '2: is not valid UTF-8; save the list as UTF-8',
    ])
  })

  test('a line may have 64 KiB and not a byte more, wherever buffers end', async () => {
    const line = (lengthBytes: number) => `${`https://h/${'a/'.repeat(40_000)}`.slice(0, lengthBytes - 1)}x`
    expect(await errorsOf(`${line(65_536)}\r\n`)).toEqual([])
    const tooLong = 'is longer than 64 KiB; put each URL on a line of its own'
    expect(await errorsOf(`${line(65_537)}\r\n`)).toEqual([`1: ${tooLong}`])
    for (const lengthBytes of [70_000, 1 << 20, (1 << 20) + 1, 3_500_000]) {
      const content = `https://h/first\n${'x'.repeat(lengthBytes)}\nhttps://h/last\n out=l\n`
      expect(await errorsOf(content)).toEqual([`2: ${tooLong}`])
      const list = await open(content, GOING)
      expect([list.size, list.lineCount]).toEqual([3, 4])
      expect(list.fateOf(1)).toEqual({ kind: 'bad', problem: tooLong })
      expect(list.read(2)).toMatchObject({ line: 3, target: 'l' })
      list.close()
    }
    expect(await errorsOf(`https://h/first\n out=${'x'.repeat(2_000_000)}`)).toEqual([`2: ${tooLong}`])
  })

  test('options of a row are bounded, and comments do not count unless they are between', async () => {
    const many = `https://h/a\n${' header=a: b\n'.repeat(100_000)}`
    expect(await errorsOf(`${many}https://h/b`)).toEqual([
      '1: has more than 1 MiB of options and comments; remove some',
    ])
    const list = await open(`https://h/a\n${'# comment\n'.repeat(300_000)}https://h/b\n`)
    expect([list.size, list.lineCount]).toEqual([2, 300_002])
    list.close()
  })

  test('a path that no system takes is told before a byte moves', async () => {
    const deep = `https://h/${'directory/'.repeat(320)}x`
    expect(await errorsOf(deep)).toEqual([])
    expect(await errorsOf(deep, TREE)).toEqual([expect.stringContaining('is longer than 3072 bytes')])
  })
})

describe('clashes', () => {
  test('the same URL is skipped, another one with its name is an error', async () => {
    expect(await targetsOf('https://h/x\nhttps://h/y\nhttps://h/x#f\n')).toEqual(['x', 'y', 'same as 1'])
    expect(await errorsOf('https://h/report.pdf\n\nhttps://i/report.pdf\nhttps://i/a\nhttps://j/a\n')).toEqual([
      '3: becomes report.pdf, as line 1 does; use --names tree, out= or --on-clash rename',
      '5: becomes a, as line 4 does; use --names tree, out= or --on-clash rename',
    ])
  })

  test('the same URL with another name is another job', async () => {
    expect(await targetsOf('https://h/x\nhttps://h/x\n out=y\n')).toEqual(['x', 'y'])
  })

  test('rename numbers in the order of the list and around every other target', async () => {
    const text = ['a/x.txt', 'b/x.txt', 'c/x.txt', 'd/x.1.txt', 'b/x.txt', 'a/x.txt'].map((path) => `https://h/${path}`)
    expect(await targetsOf(text.join('\n'), RENAME)).toEqual([
      'x.txt',
      'x.2.txt',
      'x.3.txt',
      'x.1.txt',
      'same as 2',
      'same as 1',
    ])
  })

  test('case matters only where the file system says so', async () => {
    const text = 'https://h/Report.pdf\nhttps://h/report.PDF\n'
    expect(await targetsOf(text)).toEqual(['Report.pdf', 'report.PDF'])
    expect(await errorsOf(text, { foldCase: true })).toEqual([
      '2: becomes report.PDF, as line 1 does, where case is ignored; use --names tree, out= or --on-clash rename',
    ])
    expect(await targetsOf(text, { ...RENAME, foldCase: true })).toEqual(['Report.pdf', 'report.1.PDF'])
  })

  test('a file where another needs a directory is found in either order', async () => {
    const remedy = 'use out= or --on-clash rename'
    expect(await errorsOf('https://h/a\nhttps://h/a/b/c\nhttps://h/a/b/d\n', TREE)).toEqual([
      `2: becomes h/a/b/c, and line 1 a file where that needs a directory; ${remedy}`,
      `3: becomes h/a/b/d, and line 1 a file where that needs a directory; ${remedy}`,
    ])
    expect(await errorsOf('https://h/a/b/c\nhttps://h/a\n', TREE)).toEqual([
      `2: becomes the file h/a, which line 1 needs as a directory; ${remedy}`,
    ])
    expect(await errorsOf('https://h/x\n out=a\nhttps://h/y\n dir=a\n')).toEqual([
      expect.stringContaining('becomes a/y, and line 1 a file where that needs a directory'),
    ])
  })

  test('the file gives way to the directory under rename, whichever came first', async () => {
    expect(await targetsOf('https://h/a\nhttps://h/a/b/c\nhttps://h/a.1\n', { ...TREE, ...RENAME })).toEqual([
      'h/a.2',
      'h/a/b/c',
      'h/a.1',
    ])
    expect(await targetsOf('https://h/a/b/c\nhttps://h/a\n', { ...TREE, ...RENAME })).toEqual(['h/a/b/c', 'h/a.1'])
  })

  test("a name that is another's unfinished part is found in either order", async () => {
    const problem = (name: string, line = 2) =>
      `${line}: becomes ${name} and would share a .part file with line 1; use --names tree, out= or --on-clash rename`
    expect(await errorsOf('https://h/x\nhttps://h/x.part\n')).toEqual([problem('x.part')])
    expect(await errorsOf('https://h/x.part.json\nhttps://h/x\n')).toEqual([problem('x')])
    expect(await errorsOf('https://h/y\n out=x.part/y\nhttps://h/x\n')).toEqual([problem('x', 3)])
    expect(await errorsOf('https://h/x.part\nhttps://h/y.part.json\n')).toEqual([])
    expect(await targetsOf('https://h/x.part\nhttps://h/x\nhttps://h/x.1\n', RENAME)).toEqual(['x.2.part', 'x', 'x.1'])
    expect(await targetsOf('https://h/y\n out=x.part/y\nhttps://h/x\n', RENAME)).toEqual(['x.part/y', 'x.1'])
  })

  test('a numbering pattern counts rows, and one without a number clashes', async () => {
    const naming = (outPattern: string) => ({ naming: { ...RULES.naming, outPattern } })
    expect(await targetsOf('https://h/a\nnope\nhttps://h/b\n', { ...GOING, ...naming('%n.jpg') })).toEqual([
      '1.jpg',
      'bad',
      '3.jpg',
    ])
    expect(await errorsOf('https://h/a\nhttps://h/b\n', naming('x.jpg'))).toHaveLength(1)
  })

  test('whatever the list, no two jobs get one name, a directory as a file, or each other’s part', async () => {
    const component = fc.constantFrom('a', 'b', 'A', 'a.part', 'b.part.json', 'a.1', 'a.1.part', 'x.1')
    const path = fc.array(component, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
    const row = fc.oneof(
      path.map((text) => `https://h/${text}`),
      fc.tuple(path, path).map(([text, out]) => `https://h/${text}\n out=${out}`),
    )
    const rules = fc.record({
      naming: fc.constantFrom('flat' as const, 'tree' as const).map((names) => ({ names, queryNames: false })),
      onClash: fc.constantFrom('fail' as const, 'rename' as const),
      foldCase: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 14 }), rules, async (rows, some) => {
        const list = await open(
          { kind: 'stream', stream: Readable.from([rows.join('\n')]), name: '-' },
          { ...some, ...GOING },
        )
        const keys: string[] = []
        for (let i = 0; i < list.size; i++) {
          const job = list.fateOf(i).kind === 'job' ? list.read(i) : undefined
          if (some.onClash === 'rename') expect(list.fateOf(i).kind).not.toBe('bad')
          if (job !== undefined) keys.push(some.foldCase ? foldKey(job.target) : job.target)
        }
        list.close()
        const names = new Set(keys)
        expect(names.size).toBe(keys.length)
        const onDisk = new Set(keys)
        for (const key of keys) {
          for (let at = key.indexOf('/'); at >= 0; at = key.indexOf('/', at + 1)) {
            expect(names).not.toContain(key.slice(0, at))
            onDisk.add(key.slice(0, at))
          }
        }
        for (const key of keys) {
          expect(onDisk).not.toContain(`${key}.part`)
          expect(onDisk).not.toContain(`${key}.part.json`)
        }
      }),
      { numRuns: 600 },
    )
  })
})

test('arbitrary bytes never throw, and lines are counted as they are', async () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc
      .constantFrom(
        '\n',
        '\r\n',
        'https://h/',
        '\uFEFF',
        ' out=',
        '\t',
        '#',
        '{"url":"https://h/j"}',
        'x',
        '/',
        '\0',
        'ä',
      )
      .map((text) => Buffer.from(text)),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 40 }), async (pieces) => {
      const bytes = Buffer.concat([Buffer.from('https://first/\n'), ...pieces])
      const source: ListSource = { kind: 'stream', stream: Readable.from([bytes]), name: '-' }
      const list = await open(source, { ...GOING, ...RENAME })
      const newlines = bytes.toString('latin1').split('\n')
      expect(list.lineCount).toBe(newlines.length - (newlines.at(-1) === '' ? 1 : 0))
      for (let i = 0; i < list.size; i++) {
        const fate = list.fateOf(i)
        if (fate.kind === 'bad') expect(fate.problem).not.toBe('')
        else expect(list.read(i)).toMatchObject({ index: i, line: list.lineOf(i) })
      }
      list.close()
    }),
    { numRuns: 500 },
  )
})

test('reading in two passes agrees with parsing the text at once', async () => {
  const row = fc
    .tuple(fc.nat(30), fc.constantFrom('', '\n', '\n# c', '\n  out=o', '\n\n\tdir=d\n tries=2'))
    .map(([n, rest]) => `https://h${n % 3}/${n}${rest}`)
  await fc.assert(
    fc.asyncProperty(fc.array(row, { minLength: 1 }), fc.constantFrom('\n', '\r\n'), async (rows, end) => {
      const text = rows.join('\n').replaceAll('\n', end)
      const list = await open({ kind: 'stream', stream: Readable.from([text]), name: '-' }, { ...GOING, ...RENAME })
      const { entries } = parseList(text)
      expect(list.size).toBe(entries.length)
      for (const [i, entry] of entries.entries()) {
        expect(list.read(i)).toMatchObject({ ...entry })
        if (list.fateOf(i).kind === 'same') expect(list.read(i)?.target).toBe(destination(entry, i + 1, RULES.naming))
      }
      list.close()
    }),
    { numRuns: 200 },
  )
})

test('the list itself is never written', async () => {
  const source = file('https://h/x\n')
  const before = readFileSync(source.path)
  const list = await open(source)
  list.read(0)
  list.close()
  expect(readFileSync(source.path)).toEqual(before)
})
