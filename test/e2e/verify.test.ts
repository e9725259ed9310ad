// mpdl verify, as an operator meets it the morning after: through the built program, on what real runs left.

import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, sha256Of, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram } from '../fixtures/servers.ts'
import { childrenOf, firstOf, type Home, newHome, ONCE, PROGRAM, QUICK, run, start, until } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

const argsOf = (home: Home, args: readonly string[]) => [
  'verify',
  '-d',
  home.out,
  '--log-dir',
  home.logs,
  ...args,
  home.list,
]
const verify = (home: Home, ...args: string[]) => run({ home, isBare: true, args: argsOf(home, args) })

/** Through a shell, and without all that other helpers watch and write beside it. */
function verifyInShell(home: Home, behind = ''): { status: number | null; stdout: string; stderr: string } {
  const command = [process.execPath, PROGRAM, ...argsOf(home, [])].join(' ')
  const env = { ...process.env, XDG_STATE_HOME: home.state }
  return spawnSync('/bin/sh', ['-c', `${command} ${behind}`], { encoding: 'utf8', env })
}
const verifying = (home: Home, ...args: string[]) => start({ home, isBare: true, args: argsOf(home, args) })

const checksum = (bytes: Uint8Array) => `  checksum=sha-256=${sha256Of(bytes)}`
const BODY = bodyOf(1000)
const WRONG = '0'.repeat(64)

interface JsonLine {
  readonly type: 'file' | 'summary'
  readonly line?: number
  readonly verdict?: string
  readonly [key: string]: unknown
}
const jsonOf = (stdout: string): JsonLine[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line): JsonLine => JSON.parse(line))

/** Everything below the home with what changes when it is touched; reading may only move the time of access. */
function footprint(home: Home): unknown[] {
  return readdirSync(home.root, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { size, mtimeMs, ctimeMs, mode, ino } = lstatSync(home.at(name))
      return [name, size, mtimeMs, ctimeMs, mode, ino]
    })
}

describe('after a good run', () => {
  const list = () =>
    [
      server.url('/ok/listed?size=1000'),
      checksum(BODY),
      server.url('/ok/plain?size=1000'),
      server.url('/no-validator/bare?size=1000'),
      server.url('/ok/plain?size=1000'),
    ].join('\n')

  async function nightBefore(): Promise<Home> {
    const home = newHome()
    const { code } = await run({ home, list: list(), args: ONCE })
    expect(code).toBe(0)
    return home
  }

  test('everything is ok, and it is one line that adds up', async () => {
    const { stdout, stderr, code } = await verify(await nightBefore())
    expect([stdout, stderr, code]).toEqual(['verify: 4 = 3 ok + 1 skipped\n', '', 0])
  })

  test('-q says nothing, -v names the files and why they are believed', async () => {
    const home = await nightBefore()
    expect((await verify(home, '-q')).stdout).toBe('')
    expect((await verify(home, '-v')).stdout.split('\n')).toEqual([
      'line 1 listed ok: sha-256 is as the list says',
      'line 3 plain ok: size and time are as mpdl left them',
      'line 4 bare ok: size and time are as mpdl left them',
      'line 5 skipped: same as line 3',
      'verify: 4 = 3 ok + 1 skipped',
      '',
    ])
  })

  test('--json says the same for machines, the sums last', async () => {
    const { stdout, code } = await verify(await nightBefore(), '--json')
    const rows = jsonOf(stdout)
    expect(rows.map(({ verdict, proof, line }) => [line, verdict, proof])).toEqual([
      [1, 'ok', 'checksum'],
      [3, 'ok', 'size+mtime'],
      [4, 'ok', 'size+mtime'],
      [5, 'skipped', null],
      [undefined, undefined, undefined],
    ])
    expect(rows[0]).toMatchObject({
      type: 'file',
      out: 'listed',
      size: 1000,
      digest: { algorithm: 'sha-256', hex: sha256Of(BODY) },
    })
    expect(rows.at(-1)).toMatchObject({ type: 'summary', lines: 4, ok: 3, skipped: 1, missing: 0, exit_code: code })
  })

  test('nothing is touched and no server is asked', async () => {
    const home = await nightBefore()
    const [before, asked] = [footprint(home), server.requests.length]
    expect(verifyInShell(home).status).toBe(0)
    expect(footprint(home)).toEqual(before)
    expect(server.requests.length).toBe(asked)
  })

  test('what was changed since is found, whichever way', async () => {
    const home = await nightBefore()
    appendFileSync(join(home.out, 'bare'), 'x')
    utimesSync(join(home.out, 'plain'), 1, 1)
    // Same size, same time: only its bytes tell.
    const { atimeMs, mtimeMs } = statSync(join(home.out, 'listed'))
    const spoilt = Buffer.from(BODY)
    spoilt.fill(0, 500, 510)
    writeFileSync(join(home.out, 'listed'), spoilt)
    utimesSync(join(home.out, 'listed'), atimeMs / 1000, mtimeMs / 1000)
    const { stdout, code } = await verify(home)
    expect(stdout.split('\n')).toEqual([
      `line 1 listed differs: sha-256 is ${sha256Of(spoilt)}, the list says ${sha256Of(BODY)}`,
      'line 3 plain differs: changed since mpdl left it: same size, another time',
      expect.stringMatching(/^line 4 bare differs: 1001 bytes, run \S+ left 1000$/),
      'verify: 4 = 1 skipped + 3 differs',
      '',
    ])
    expect(code).toBe(1)
  })

  test('a digest that the run computed is believed when the list names none any more', async () => {
    const home = await nightBefore()
    writeFileSync(home.list, server.url('/ok/listed?size=1000'))
    expect((await verify(home, '-v')).stdout).toMatch(/^line 1 listed ok: sha-256 is as run \S+ recorded\n/)
    writeFileSync(join(home.out, 'listed'), Buffer.alloc(1000))
    expect((await verify(home)).stdout).toMatch(/^line 1 listed differs: sha-256 is \w+, run \S+ recorded \w+\n/)
  })

  test('an earlier run speaks for what a later one did not touch', async () => {
    const home = await nightBefore()
    writeFileSync(home.list, `${list()}\n${server.url('/status/404/gone')}\n`)
    await run({ home, isBare: true, args: ['retry-failed', '--log-dir', home.logs, ...ONCE] })
    await run({ home, args: [...ONCE, '--skip-existing', home.list] })
    const { stdout, code } = await verify(home)
    expect([stdout, code]).toEqual([
      'line 6 gone missing: failed in the last run\nverify: 5 = 3 ok + 1 skipped + 1 missing\n',
      1,
    ])
  })

  test('without its logs and its memory only checksums are left', async () => {
    const home = await nightBefore()
    rmSync(home.logs, { recursive: true })
    rmSync(home.state, { recursive: true })
    const { stdout, code } = await verify(home)
    expect(stdout).toContain('line 3 plain unknown: neither the list nor a run says what it should be\n')
    expect(stdout).toMatch(/verify: 4 = 1 ok \+ 1 skipped \+ 2 unknown\n$/)
    expect(code).toBe(1)
  })

  test('the directory of the last run is named where another one was looked into', async () => {
    const home = await nightBefore()
    const ended = await run({
      home,
      isBare: true,
      args: ['verify', '-d', home.at('elsewhere'), '--log-dir', home.logs, home.list],
    })
    expect(ended.stdout).toBe(
      'line 1 listed missing\nline 3 plain missing\nline 4 bare missing\nverify: 4 = 1 skipped + 3 missing\n',
    )
    expect(ended.stderr).toBe(`mpdl: the last run of this list wrote into ${home.out}; verify that with -d\n`)
  })
})

describe('what stands on the disk', () => {
  test('is told line by line, in the order of the list', async () => {
    const home = newHome()
    const put = (name: string, bytes: string | Uint8Array) => writeFileSync(join(home.out, name), bytes)
    put('right', BODY)
    put('wrong', BODY)
    put('strange', 'who put it there?')
    put('theirs.part', 'bytes of another tool')
    mkdirSync(join(home.out, 'directory'))
    symlinkSync('right', join(home.out, 'link'))
    spawnSync('mkfifo', [join(home.out, 'pipe')])
    const names = ['right', 'wrong', 'strange', 'theirs', 'directory', 'link', 'pipe', 'gone']
    const sums = new Map([
      ['right', checksum(BODY)],
      ['wrong', `  checksum=md5=${'0'.repeat(32)}`],
      ['pipe', checksum(BODY)],
    ])
    writeFileSync(
      home.list,
      names.flatMap((name) => [`http://127.0.0.1:1/${name}`, ...(sums.has(name) ? [sums.get(name)] : [])]).join('\n'),
    )
    const { stdout, stderr, code } = await verify(home, '-v', '-j', '2')
    expect(stdout.split('\n')).toEqual([
      'line 1 right ok: sha-256 is as the list says',
      expect.stringMatching(/^line 3 wrong differs: md5 is [0-9a-f]{32}, the list says 0{32}$/),
      'line 5 strange unknown: neither the list nor a run says what it should be',
      'line 6 theirs unfinished: 21 B of a size nobody told, begun by another tool',
      'line 7 directory refused: a directory stands there',
      `line 8 link refused: ${home.out}/link is a symbolic link`,
      'line 9 pipe refused: it is no regular file',
      'line 11 gone missing',
      'verify: 8 = 1 ok + 1 missing + 1 unfinished + 1 differs + 1 unknown + 3 refused',
      '',
    ])
    expect([stderr, code]).toEqual(['', 1])
  })

  test('an unfinished download says how far it came', async () => {
    const home = newHome()
    const list = server.url('/slow/half?size=400000&rate=200000')
    const running = start({ home, list, args: QUICK })
    await until('bytes of it', () => (statSync(join(home.out, 'half.part'), { throwIfNoEntry: false })?.size ?? 0) > 0)
    running.process.kill('SIGTERM')
    await running.ended
    const { stdout, code } = await verify(home)
    expect(stdout).toMatch(/^line 1 half unfinished: [\d.]+ KiB of 390\.6 KiB\nverify: 1 = 1 unfinished\n$/)
    expect(code).toBe(1)
  })

  test('what a run is writing is left in peace, and its pid is named', async () => {
    const home = newHome()
    const list = `${server.url('/ok/first?size=1000')}\n${server.url('/slow/second?size=400000&rate=200000')}\n`
    const running = start({ home, list, args: ['-T', '5s'] })
    await running.event('job-ended')
    const note = home.at('out/second.part.json')
    await until('its note tells its size', () => existsSync(note) && readFileSync(note, 'utf8').includes('400000'))
    const { stdout } = verifyInShell(home)
    expect(stdout).toMatch(
      new RegExp(
        `^line 2 second unfinished: .* of 390\\.6 KiB, being written by pid ${running.pid}\nverify: 2 = 1 ok \\+ 1 unfinished\n$`,
      ),
    )
    expect((await running.ended).code).toBe(0)
    expect((await verify(home)).stdout).toBe('verify: 2 = 2 ok\n')
  })

  test('names cannot move a cursor', async () => {
    const home = newHome()
    writeFileSync(home.list, '{"url": "http://127.0.0.1:1/x", "out": "a\\u001b[31mb\\u202e"}\n')
    const { stdout } = await verify(home)
    const json = (await verify(home, '--json')).stdout
    for (const character of ['\u001b', '\u202e']) expect(stdout + json).not.toContain(character)
  })
})

describe('a list', () => {
  test('that is bad is told at once, and with --keep-going its good lines are verified', async () => {
    const home = newHome()
    writeFileSync(home.list, 'gopher://h/a\nhttp://127.0.0.1:1/b\n')
    const strict = await verify(home)
    expect([strict.code, strict.stdout]).toEqual([65, ''])
    expect(strict.stderr).toContain('nothing was verified; --keep-going skips bad lines')
    const lenient = await verify(home, '--keep-going')
    expect(lenient.stdout).toMatch(/^line 1 bad: .*\nline 2 b missing\nverify: 2 = 1 missing \+ 1 bad\n$/)
    expect(lenient.code).toBe(1)
  })

  test('that is not there is said so', async () => {
    expect((await verify(newHome())).code).toBe(66)
  })

  test('may come packed, from standard input, or as URLs', async () => {
    const home = newHome()
    writeFileSync(join(home.out, 'a'), BODY)
    const text = `http://127.0.0.1:1/a\n${checksum(BODY)}\n`
    writeFileSync(home.list, gzipSync(text))
    expect((await verify(home)).stdout).toBe('verify: 1 = 1 ok\n')
    const piped = await run({ home, isBare: true, args: ['verify', '-d', home.out, '-'], stdin: text })
    expect([piped.stdout, piped.code]).toEqual(['verify: 1 = 1 ok\n', 0])
    const url = await run({ home, isBare: true, args: ['verify', '-d', home.out, 'http://127.0.0.1:1/b'] })
    expect([url.stdout, url.code]).toEqual(['line 1 b missing\nverify: 1 = 1 missing\n', 1])
  })

  test('has the names that its run gave', async () => {
    const home = newHome()
    const list = [1, 2].map((n) => server.url(`/ok/same?size=100${n}`)).join('\n')
    for (const names of [
      ['--query-names'],
      ['--on-clash', 'rename'],
      ['-o', 'part-%n'],
      ['--names', 'host', '--query-names'],
    ]) {
      await run({ home, list, args: [...ONCE, ...names] })
      expect((await verify(home, ...names)).stdout).toBe('verify: 2 = 2 ok\n')
    }
  })

  test('of many lines needs no child for what is not there', async () => {
    const home = newHome()
    const lines = Array.from({ length: 100_000 }, (_, n) => `http://127.0.0.1:1/${n}`)
    writeFileSync(home.list, lines.join('\n'))
    const ended = await verify(home)
    expect(ended.stdout).toMatch(/^line 1 0 missing\nline 2 1 missing\n/)
    expect(ended.stdout).toMatch(/\nline 100000 99999 missing\nverify: 100000 = 100000 missing\n$/)
  })
})

describe('what was typed', () => {
  test('the help shows no option that does nothing here', async () => {
    const { stdout } = await run({ isBare: true, args: ['verify', '--help'] })
    expect([...stdout.matchAll(/^ {2}(?:-\w, )?--([\w-]+)/gm)].map(([, name]) => name).sort()).toEqual(
      [
        ['config', 'dir', 'hang-timeout', 'help', 'jobs', 'json', 'keep-going', 'log-dir', 'max-memory', 'names'],
        ['no-config', 'on-clash', 'out', 'query-names', 'quiet', 'verbose'],
      ].flat(),
    )
  })

  test.each([
    [['verify'], 'missing required argument'],
    [['verify', '-t', '3', 'x'], "unknown option '-t'"],
    [['verify', '-j', '0', 'x'], 'whole numbers from 1 to 1000'],
  ])('%j is a mistake', async (args, message) => {
    const { code, stderr } = await run({ isBare: true, args })
    expect([code, stderr]).toEqual([64, expect.stringContaining(message)])
  })
})

/** Large enough to be met while it is read; zeros need no room on the disk. */
const ENDLESS_BYTES = 32 * 2 ** 30

/** One file that takes long to read, and a small one behind it. */
function homeWithEndless(): Home {
  const home = newHome()
  writeFileSync(join(home.out, 'endless'), '')
  truncateSync(join(home.out, 'endless'), ENDLESS_BYTES)
  writeFileSync(join(home.out, 'small'), BODY)
  writeFileSync(
    home.list,
    `http://127.0.0.1:1/endless\n  checksum=sha-256=${WRONG}\nhttp://127.0.0.1:1/small\n${checksum(BODY)}\n`,
  )
  return home
}

/** The pid of the child that reads the endless file, once it does. */
async function reader(supervisor: number): Promise<number> {
  const reading = () => childrenOf(supervisor).filter((pid) => bytesReadBy(pid) > 64 * 2 ** 20)
  await until('a child reads', () => reading().length > 0)
  return firstOf(reading())
}

function bytesReadBy(pid: number): number {
  try {
    return Number(/^rchar: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

describe('a child', () => {
  test('[crash-signal] [threat:child-killed] that is killed costs one verdict', async () => {
    const running = verifying(homeWithEndless())
    process.kill(await reader(running.pid), 'SIGKILL')
    const { stdout, code } = await running.ended
    expect(stdout).toBe(
      'line 1 endless unreadable: CRASHED the child died of SIGKILL\nverify: 2 = 1 ok + 1 unreadable\n',
    )
    expect(code).toBe(1)
  })

  test('[hang] [threat:child-killed] that stands still is ended and costs one verdict', async () => {
    const running = verifying(homeWithEndless(), '--hang-timeout', '2s')
    process.kill(await reader(running.pid), 'SIGSTOP')
    const { stdout, code } = await running.ended
    expect(stdout).toBe('line 1 endless unreadable: HUNG no heartbeat for 2s\nverify: 2 = 1 ok + 1 unreadable\n')
    expect(code).toBe(1)
  })

  const setpriv = findProgram('setpriv')
  test.skipIf(process.getuid?.() !== 0 || setpriv === undefined)(
    '[disk-error] is not even started for what may not be read',
    async () => {
      const home = newHome()
      for (const name of ['sealed', 'open']) writeFileSync(join(home.out, name), BODY)
      chmodSync(join(home.out, 'sealed'), 0o600)
      writeFileSync(home.list, ['sealed', 'open'].map((name) => `http://h/${name}\n${checksum(BODY)}\n`).join(''))
      const wrap = [setpriv ?? '', '--reuid=65534', '--regid=65534', '--clear-groups', '--']
      const { stdout, code } = await run({ home, isBare: true, args: argsOf(home, []), wrap })
      expect(stdout).toBe(
        `line 1 sealed unreadable: cannot read ${home.out}/sealed: permission denied (EACCES)\n` +
          'verify: 2 = 1 ok + 1 unreadable\n',
      )
      expect(code).toBe(1)
    },
  )
})

describe('a signal', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s ends it with its children joined and the sums told', async (signal, code) => {
    const running = verifying(homeWithEndless(), '-j', '1')
    await reader(running.pid)
    running.process.kill(signal)
    const ended = await running.ended
    expect(ended.stdout).toBe(
      `line 1 endless not-verified: cancelled by ${signal}\nverify: 2 = 2 not-verified, stopped by ${signal}\n`,
    )
    expect(ended.code).toBe(code)
  })

  test('a second one kills a child that does not hear', async () => {
    const running = verifying(homeWithEndless())
    const pid = await reader(running.pid)
    process.kill(pid, 'SIGSTOP')
    running.process.kill('SIGINT')
    running.process.kill('SIGINT')
    const ended = await running.ended
    expect([ended.code, ended.stdout]).toEqual([130, expect.stringContaining('stopped by SIGINT\n')])
  })

  test('SIGUSR1 tells what is being read', async () => {
    const running = verifying(homeWithEndless())
    const pid = await reader(running.pid)
    running.process.kill('SIGUSR1')
    await until('the status', () => running.stderr().includes('being read'))
    expect(running.stderr()).toMatch(
      new RegExp(`^verify: 2 of 2 looked at, [12] being read\n {2}line 1 endless, pid ${pid}, for `),
    )
    running.process.kill('SIGINT')
    await running.ended
  })
})

describe('output', () => {
  test('that cannot be written is an error', () => {
    const home = newHome()
    writeFileSync(home.list, 'http://127.0.0.1:1/a\n')
    const { status, stderr } = verifyInShell(home, '> /dev/full')
    expect([status, stderr]).toEqual([73, expect.stringContaining('cannot write to standard output: ENOSPC')])
  })

  test('that nobody reads to the end is none', () => {
    const home = newHome()
    writeFileSync(home.list, Array.from({ length: 20_000 }, (_, n) => `http://127.0.0.1:1/${n}`).join('\n'))
    const { stdout, stderr } = verifyInShell(home, '| head -n 1')
    expect([stdout, stderr]).toEqual(['line 1 0 missing\n', ''])
  })
})
