// Proves what becomes of lists: every way to write one, and every mistake in one, told before a byte moves. Knows nothing
// of faults on the wire.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, sha256Of, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram } from '../fixtures/servers.ts'
import { type Ended, newHome, ONCE, QUICK, type RunOptions, run, start } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

const url = (name: string) => server.url(`/ok/${name}`)
const linesOf = (ended: Ended) => ended.stderr.replace(/\n$/, '').split('\n')

/** Nothing on disk, nothing asked: the answer came before a byte moved. */
async function refused(options: RunOptions): Promise<Ended> {
  const before = server.requests.length
  const ended = await run({ args: ONCE, ...options })
  expect(server.requests.length, 'no server was asked').toBe(before)
  expect([...ended.seen]).toEqual([])
  expect(ended.events).toEqual([])
  expect(ended.stdout).toBe('')
  return ended
}

describe('a list that is wrong', () => {
  test('every mistake is told at once, each with its line, and no secret with any', async () => {
    const list = [
      url('good'), // 1
      'file:///etc/passwd',
      'data:text/plain,hello',
      'ftp://example.com/x',
      'example.com/form.pdf', // 5
      'http:///',
      'http://me:canary@example.com:99999/x',
      '  chekcsum=sha-256=00',
      '  tries=0',
      '  out=/etc/passwd', // 10
      '  out=../escape',
      '  deadline=soon',
      '  password=canary\u0007',
      '  header=canary',
      '/etc/passwd', // 15
      'http://a.example/x http://b.example/x',
      '\thttp://c.example/x',
      '{"url": 3}',
      '{"url": "canary',
      'abcdef01  http://example.com/short-sum', // 20
      'http://exa mple/',
    ].join('\n')
    const ended = await refused({ list })
    expect(ended.code).toBe(65)
    const expected: readonly (readonly [line: number, says: RegExp])[] = [
      [2, /"file:" is not supported; only http and https are/],
      [3, /"data:" is not supported/],
      [4, /"ftp:" is not supported/],
      [5, /example\.com\/form\.pdf has no scheme; did you mean https:\/\/example\.com\/form\.pdf\?/],
      [6, /is no valid URL/],
      [7, /"http:\/\/\*\*\*@example\.com:99999\/x" is no valid URL; check its host and port/],
      [8, /option "chekcsum=" is unknown; did you mean checksum=\?/],
      [9, /tries is "0"; it must be a whole number from 1 to 1000/],
      [10, /an absolute path; it must stay below --dir/],
      [11, /it must stay below --dir, so remove "\.\."/],
      [12, /deadline is "soon"; it must be a duration from 1ms to 24d/],
      [13, /password has a control character/],
      [14, /header has no colon/],
      [15, /"\/etc\/passwd" is no URL/],
      [16, /has a space between URLs; put each on its own line, or a TAB between mirrors of one file/],
      [17, /starts with a space or TAB and so is an option of the job above/],
      [18, /"url" must be a string or an array of strings/],
      [19, /is not valid JSON/],
      [20, /checksum before the URL has 8 hex digits/],
      [21, /is no valid URL/],
    ]
    const lines = linesOf(ended)
    for (const [i, [line, says]] of expected.entries()) {
      expect(lines[i]).toMatch(says)
      expect(lines[i]).toMatch(new RegExp(`^mpdl: \\S+list\\.txt line ${line}: `))
    }
    expect(lines.slice(expected.length)).toEqual(['mpdl: nothing was downloaded; --keep-going skips bad lines'])
    expect(ended.stderr).not.toContain('canary')
  })

  test('five thousand errors are a mail that begins with how many, and not a hundred kilobytes', async () => {
    const ended = await refused({ list: Array.from({ length: 5000 }, (_, n) => `gopher://x/${n}`).join('\n') })
    const lines = linesOf(ended)
    expect(lines[0]).toMatch(/^mpdl: \S+list\.txt: 5000 lines are wrong$/)
    expect(lines.slice(-2)).toEqual([
      'mpdl: and 4980 more',
      'mpdl: nothing was downloaded; --keep-going skips bad lines',
    ])
    expect([ended.code, lines.length]).toEqual([65, 23])
  })

  test('lists without a URL, binary ones, damaged ones and what is no list', async () => {
    const home = newHome()
    writeFileSync(home.at('secret.txt'), url('a'))
    chmodSync(home.at('secret.txt'), 0)
    const gzip = gzipSync(`${url('a')}\n`.repeat(1000))
    const cases: readonly (readonly [options: RunOptions, code: number, says: RegExp])[] = [
      [{ list: '' }, 65, /^mpdl: \S+list\.txt holds no URL; write one http:\/\/ or https:\/\/ URL a line\n$/],
      [{ list: '# only\n\n   \n# comments\n' }, 65, /holds no URL/],
      [{ list: '\n\n', args: [...ONCE, '--keep-going'] }, 65, /holds no URL/],
      [{ list: bodyOf(10_000) }, 65, /^mpdl: \S+list\.txt line \d+: .*(?:binary|UTF-8)/],
      [
        { list: Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13]) },
        65,
        /^mpdl: \S+list\.txt line \d+: /,
      ],
      [{ list: gzip.subarray(0, gzip.length - 20) }, 65, /is damaged or cut off gzip; copy or pack it again/],
      [{ list: Buffer.concat([gzip.subarray(0, 30), Buffer.alloc(50)]) }, 65, /is damaged or cut off gzip/],
      [{ list: gzipSync('') }, 65, /holds no URL/],
      [{ list: `http://example.com/${'x'.repeat(70_000)}` }, 65, /line 1: is longer than 64 KiB/],
      [{ list: `  out=x\n${url('a')}` }, 65, /line 1: is an option .* with no job above/],
      [{ operands: ['-'], stdin: '' }, 65, /^mpdl: standard input holds no URL/],
      [{ operands: ['-'] }, 65, /^mpdl: standard input holds no URL/],
      [{ operands: ['/proc/self/mem'] }, 66, /cannot be read: EIO/],
      [{ operands: ['/'] }, 66, /is a directory/],
      [{ operands: ['lists/below'] }, 66, /does not exist/],
    ]
    for (const [options, code, says] of cases) {
      const ended = await refused(options)
      expect(ended.stderr).toMatch(says)
      expect(ended.code, ended.stderr).toBe(code)
    }
    const setpriv = findProgram('setpriv')
    if (process.getuid?.() === 0 && setpriv !== undefined) {
      const wrap = [setpriv, '--reuid=64018', '--regid=64018', '--clear-groups', '--']
      const ended = await run({ home, operands: [home.at('secret.txt')], wrap, isBare: true })
      expect([ended.code, ended.stderr]).toEqual([66, expect.stringContaining('may not be read by this user')])
    }
  })

  test('two URLs that would get one name are a mistake, unless they may be told apart', async () => {
    const list = [url('a'), server.url('/slow/a?rate=1000000'), url('b'), url('b'), url('A')].join('\n')
    const clash = await refused({ list })
    expect(clash.code).toBe(65)
    expect(linesOf(clash)[0]).toMatch(/line 2: becomes a, as line 1 does; use --names tree, out= or --on-clash rename$/)

    const renamed = await run({ list, args: [...ONCE, '--on-clash', 'rename'] })
    expect([renamed.code, renamed.files]).toEqual([0, ['A', 'a', 'a.1', 'b']])
    const tree = await run({ list, args: [...ONCE, '--names', 'tree'] })
    const host = `127.0.0.1%3A${server.port}`
    expect([tree.code, tree.files]).toEqual([0, ['ok/A', 'ok/a', 'ok/b', 'slow/a'].map((name) => `${host}/${name}`)])
    for (const { report } of [renamed, tree]) {
      expect(report.totals).toMatchObject({ jobs: 5, downloaded: 4, skipped: 1 })
      expect(report.bulk).toMatchObject([{ outcome: 'skipped', reason: 'same as line 3', count: 1, lines: [[4, 4]] }])
    }
  })

  test('[bad-line] with --keep-going bad lines count as failed, and the good ones are downloaded', async () => {
    const list = [url('good-1'), 'ftp://example.com/x', 'ftp://example.com/y', url('good-2'), url('good-2?other')]
    const ended = await run({ list: list.join('\n'), args: [...ONCE, '--keep-going'] })
    expect([ended.code, ended.files]).toEqual([1, ['good-1', 'good-2']])
    expect(ended.report.totals).toMatchObject({ jobs: 5, downloaded: 2, failed: 3, spawned: 2 })
    expect(ended.report.bulk).toMatchObject([
      { outcome: 'failed', failure: { kind: 'bad-line' }, count: 2, lines: [[2, 3]] },
      { outcome: 'failed', failure: { kind: 'bad-line' }, count: 1, lines: [[5, 5]] },
    ])
    expect(ended.stderr).toMatch(/^mpdl: 5 = 2 downloaded \+ 3 failed in /)
    expect(ended.stderr).toContain('"ftp:" is not supported')
    expect(ended.stderr).toContain('becomes good-2, as line')
  })

  test('[list-changed] a line that is not what it was when its turn comes is not downloaded', async () => {
    const line = (name: string) => `${url(name)}\n`
    const running = start({
      list: `${server.url('/delay/first?ms=1500')}\n${line('second')}${line('third')}`,
      args: [...QUICK, '-T', '5s', '-j', '1'],
    })
    await running.event('attempt-started')
    // In place, as an editor or a script with > does it.
    writeFileSync(running.home.list, `${server.url('/delay/first?ms=1500')}\n${line('sEcond')}`)
    const ended = await running.ended
    expect(ended.code).toBe(1)
    expect(ended.row(1).outcome).toBe('downloaded')
    expect(ended.report.bulk).toMatchObject([
      { outcome: 'failed', failure: { kind: 'list-changed' }, lines: [[2, 2]] },
      { outcome: 'failed', failure: { kind: 'list-changed' }, lines: [[3, 3]] },
    ])
    expect(ended.stderr).toContain('the list was edited while mpdl was reading it')
    expect(ended.files).toEqual(['first'])
  })
})

describe('a list in many shapes', () => {
  const names = ['a', 'b', 'c']
  const whole = async (options: RunOptions) => {
    const ended = await run({ args: ONCE, ...options })
    expect([ended.code, ended.stdout, ended.stderr]).toEqual([0, '', ''])
    expect(ended.files).toEqual(names)
    for (const name of names) expect(ended.bytes(name).equals(bodyOf(100_000))).toBe(true)
    return ended
  }

  test('CRLF, a byte-order mark, comments, blank lines and a missing last newline', async () => {
    const list = `\uFEFF# comment\r\n${url('a')}\r\n\r\n  \r\n${url('b')}\r\n  # not an option\r\n${url('c')}`
    const ended = await whole({ list })
    expect(ended.report.jobs.map(({ line }) => line).sort()).toEqual([2, 5, 7])
  })

  test('gzip by its content and not by its name; standard input; gzip on standard input; a pipe', async () => {
    const text = names.map(url).join('\n')
    const ended = await whole({ list: gzipSync(text) })
    expect(ended.report.run.list.path).toBe(ended.home.list)
    const stdin = await whole({ operands: ['-'], stdin: text })
    expect(stdin.report.run.list).toMatchObject({ name: 'standard input', path: null, jobs: 3 })
    await whole({ operands: ['-'], stdin: gzipSync(text) })
    const home = newHome()
    writeFileSync(home.list, text)
    await whole({ home, operands: ['/dev/stdin'], wrap: ['/bin/sh', '-c', `cat '${home.list}' | "$@"`, 'sh'] })
  })

  test('several URLs as operands are a list, and none of them is read as a file', async () => {
    await whole({ operands: names.map(url) })
  })

  test('JSON Lines with every key', async () => {
    const home = newHome()
    const list = [
      JSON.stringify({ url: url('x1'), out: 'a' }),
      JSON.stringify({ url: [server.url('/status/404'), url('x2')], out: 'b', tries: 1 }),
      JSON.stringify({
        url: server.url('/auth-echo'),
        out: 'c.json',
        dir: 'sub/dir',
        user: 'me',
        password: 'pass word:1',
        headers: { 'X-One': 'two' },
        timeout: '5s',
        deadline: 60_000,
        checksum: `sha-256=${sha256Of(Buffer.from(JSON.stringify({ authorization: basic('me', 'pass word:1') })))}`,
      }),
    ].join('\n')
    const ended = await run({ home, list, args: ONCE })
    expect([ended.code, ended.stderr, ended.files]).toEqual([0, '', ['a', 'b', 'sub/dir/c.json']])
    expect(ended.row(3).proof).toBe('length+checksum')
    expect(server.requests.findLast(({ path }) => path === '/auth-echo')?.headers['x-one']).toBe('two')
  })

  const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

  test('options below a line: header, user, password, out, dir, timeout, tries', async () => {
    const list = [
      server.url('/auth-echo/one'),
      '  user=me',
      '\tpassword=secret = with spaces ',
      server.url('/echo-headers/two'),
      ' header=X-Tenant: north',
      ' header=X-Trace: 1',
      server.url('/stall-headers/three'),
      '  timeout=100ms',
      server.url('/status/503/four'),
      '  tries=3',
      url('five'),
      '  out=deep/er/5.bin',
      '  dir=below',
    ].join('\n')
    const ended = await run({ list, args: ['-t', '1', '-T', '20s', '--retry-delay', '1ms', '-H', 'X-All: yes'] })
    expect(JSON.parse(ended.bytes('one').toString())).toEqual({ authorization: basic('me', 'secret = with spaces ') })
    expect(JSON.parse(ended.bytes('two').toString())).toMatchObject({
      'x-tenant': 'north',
      'x-trace': '1',
      'x-all': 'yes',
    })
    expect(ended.row(7)).toMatchObject({ failure: { kind: 'headers-timeout', afterMs: 500 } })
    expect(ended.row(9).attempts.filter(({ counted }) => counted)).toHaveLength(3)
    expect(ended.row(11)).toMatchObject({ out: 'below/deep/er/5.bin', outcome: 'downloaded' })
    expect(server.requests.find(({ path }) => path === '/ok/five')?.headers).not.toHaveProperty('x-tenant')
  })

  test('[checksum] lines of sha256sum are verified; a wrong sum leaves no file, and sha256sum -c agrees with the right', async () => {
    const sum = sha256Of(bodyOf(100_000))
    const wrong = sum.replace(/^./, (digit) => (digit === '0' ? '1' : '0'))
    const md5 = createHash('md5').update(bodyOf(100_000)).digest('hex')
    const list = [
      `${sum}  ${url('a')}`,
      `${sum.toUpperCase()} *${url('b')}`,
      `${md5}  ${url('c')}`,
      `${wrong}  ${url('d')}`,
    ]
    const ended = await run({ list: list.join('\n'), args: QUICK })
    expect(ended.code).toBe(9)
    for (const line of [1, 2, 3]) {
      expect(ended.row(line)).toMatchObject({ outcome: 'downloaded', proof: 'length+checksum' })
    }
    expect(ended.row(1).sha256).toBe(sum)
    expect(ended.row(4)).toMatchObject({
      outcome: 'failed',
      failure: { kind: 'checksum', algorithm: 'sha-256', expected: wrong, actual: sum },
      num_retries: 0,
      size: null,
    })
    expect(ended.row(4).reason).toBe(`sha-256 is ${sum}, the list says ${wrong}`)
    expect(ended.seen).not.toContain('d')
    expect(ended.files).toEqual(['a', 'b', 'c'])
    const sums = ['a', 'b', 'c'].map((name) => `${sum}  ${name}\n`).join('')
    expect(execFileSync('sha256sum', ['-c'], { cwd: ended.home.out, input: sums, encoding: 'utf8' })).toMatch(
      /a: OK\nb: OK/,
    )
  })
})

describe('--dry-run', () => {
  test('shows where everything would go, asks no server and makes nothing', async () => {
    const list = [
      url('a'),
      `${url('mirrored')}\thttp://me:canary@other.example/mirrored?token=canary`,
      url('a'),
      server.url('/ok/%2e%2e%2f%2e%2e%2fetc%2fpasswd'),
      `${server.url('/ok/')}%1b%5b31mred?x=1`,
      '  dir=sub',
    ].join('\n')
    const ended = await run({ list, args: ['--dry-run'] })
    expect(ended.code).toBe(0)
    expect(ended.stdout.split('\n')).toEqual([
      `line 1\ta\t${url('a')}`,
      `line 2\tmirrored\t${url('mirrored')}\t2 mirrors`,
      'line 3\tskipped\tsame as line 1',
      expect.stringMatching(/^line 4\t%2E%2E?.*%2F.*passwd\t/),
      expect.stringMatching(/^line 5\tsub\/%1B\[31mred\t/),
      '',
    ])
    expect(ended.stderr).toMatch(/^mpdl: 4 to download from 1 host into .*; nothing was downloaded \(--dry-run\)\n$/)
    for (const secret of ['canary', '\u001b']) expect(ended.stdout + ended.stderr).not.toContain(secret)
    expect([ended.files, ended.events]).toEqual([[], []])
    expect(server.hits('/ok/mirrored')).toBe(0)
  })

  test('a wrong list is as wrong as ever, and --keep-going shows what it would skip', async () => {
    const list = `${url('a')}\nftp://example.com/x`
    expect((await run({ list, args: ['-n'] })).code).toBe(65)
    const ended = await run({ list, args: ['-n', '--keep-going'] })
    expect(ended.code).toBe(1)
    expect(ended.stdout).toMatch(/^line 2\tbad\t"ftp:" is not supported/m)
  })
})

describe('names', () => {
  test('--names, --query-names, -o and out= put files where they say', async () => {
    const list = [server.url('/ok/dir/x.bin?v=1&size=10'), server.url('/ok/?size=11')].join('\n')
    const host = `127.0.0.1%3A${server.port}`
    const cases: readonly (readonly [args: readonly string[], files: readonly string[]])[] = [
      [[], ['index.html', 'x.bin']],
      [['--query-names'], ['index.html%3Fsize=11', 'x.bin%3Fv=1&size=10']],
      [
        ['--names', 'tree'],
        [`${host}/ok/dir/x.bin`, `${host}/ok/index.html`],
      ],
      [
        ['--names', 'host'],
        [`${host}__ok__dir__x.bin`, `${host}__ok__index.html`],
      ],
      [
        ['-o', 'image-%n.jpg'],
        ['image-1.jpg', 'image-2.jpg'],
      ],
    ]
    for (const [args, files] of cases) {
      const ended = await run({ list, args: [...ONCE, ...args] })
      expect([ended.code, ended.files], args.join(' ')).toEqual([0, files])
      expect(ended.report.jobs.map(({ size }) => size).sort()).toEqual([10, 11])
    }
  })

  test('--skip-existing touches nothing that is there; without it what is unchanged moves no byte; --force always does', async () => {
    const home = newHome()
    const list = [url('kept'), server.url('/ok/mine?size=10')].join('\n')
    writeFileSync(`${home.out}/mine`, 'my own file')
    const skipped = await run({ home, list, args: [...ONCE, '--skip-existing'] })
    expect([skipped.code, skipped.row(2).outcome]).toEqual([0, 'skipped'])
    expect(readFileSync(`${home.out}/mine`, 'utf8')).toBe('my own file')
    const asked = await run({ home, list, args: ONCE })
    expect(asked.report.totals).toMatchObject({ unchanged: 1, downloaded: 1, bytes: 10 })
    expect(asked.bytes('mine').equals(bodyOf(10))).toBe(true)
    const forced = await run({ home, list, args: [...ONCE, '--force'] })
    expect(forced.report.totals).toMatchObject({ downloaded: 2, bytes: 100_010 })
  })
})
