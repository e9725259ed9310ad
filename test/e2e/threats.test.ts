// Attacks on the built program: by servers, by lists, by whoever can write into its directories, by its own likes.
// The names in brackets are those of the coverage test.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  bodyOf,
  type FaultServer,
  type RecordedRequest,
  startFaultServer,
  startRefused,
} from '../fixtures/fault-server.ts'
import { startNpmProxy, withLogin } from '../fixtures/proxies.ts'
import { type Certificates, findProgram, selfSignedCa } from '../fixtures/servers.ts'
import {
  type Ended,
  filesIn,
  firstOf,
  type Home,
  newHome,
  ONCE,
  PROGRAM,
  proc,
  QUICK,
  type Running,
  run,
  start,
  stateOf,
  until,
} from './run-mpdl.ts'

const WHOLE = bodyOf(100_000)
const ESCAPE = '\x1b'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

describe('something planted where a file should go', () => {
  test('[target-is-symlink] [target-is-directory] [threat:planted-symlink] links and other things are refused', async () => {
    const home = newHome()
    const outside = home.at('outside')
    mkdirSync(outside)
    const victim = (name: string) => {
      const path = join(outside, name)
      writeFileSync(path, `precious ${name}`)
      return path
    }
    const at = (name: string) => join(home.out, name)
    const before: string[] = []
    const plantLink = (name: string, target: string) => symlinkSync(target, at(name))
    plantLink('target', victim('target'))
    plantLink('dangling', join(outside, 'dangling'))
    plantLink('part.part', victim('part'))
    plantLink('part-dangling.part', join(outside, 'part-dangling'))
    plantLink('note.part.json', victim('note'))
    plantLink('note-temporary.part.json~', victim('note-temporary'))
    plantLink('parent', outside)
    mkdirSync(at('deep'))
    plantLink('deep/parent', outside)
    linkSync(victim('hard'), at('hard.part'))
    mkdirSync(at('directory'))
    mkdirSync(at('part-directory.part'))
    execFileSync('mkfifo', [at('pipe'), at('part-pipe.part'), at('note-pipe.part.json')])
    before.push(...filesIn(outside))

    const cases: readonly (readonly [name: string, outcome: string, kind: string | undefined, options?: string])[] = [
      ['target', 'failed', 'target-is-symlink'],
      ['dangling', 'failed', 'target-is-symlink'],
      ['part', 'failed', 'target-is-symlink'],
      ['part-dangling', 'failed', 'target-is-symlink'],
      // A note is only read without following, and replaced by a rename: the link goes, its target stays.
      ['note', 'downloaded', undefined],
      ['note-temporary', 'downloaded', undefined],
      ['below', 'failed', 'target-is-symlink', ' dir=parent'],
      ['deep-below', 'failed', 'target-is-symlink', ' dir=deep/parent/more'],
      ['hard', 'failed', 'disk-error'],
      ['directory', 'failed', 'target-is-directory'],
      ['part-directory', 'failed', 'target-is-directory'],
      ['pipe', 'failed', 'disk-error'],
      ['part-pipe', 'failed', 'disk-error'],
      ['note-pipe', 'downloaded', undefined],
    ]
    const lines = cases.flatMap(([name, , , options]) => [
      server.url(`/ok/${name}`),
      ...(options === undefined ? [] : [options]),
    ])
    const ended = await run({ home, list: lines.join('\n'), args: ONCE })
    const rows = cases.map(([name]) => ended.report.jobs.find(({ url }) => url.endsWith(`/ok/${name}`)))
    expect(cases.map(([name], i) => [name, rows[i]?.outcome, rows[i]?.failure?.kind])).toEqual(
      cases.map(([name, outcome, kind]) => [name, outcome, kind]),
    )
    expect(ended.code).toBe(3)
    expect(rows[0]?.reason).toMatch(/\/target is a symbolic link; mpdl does not write through links$/)
    expect(rows[9]?.reason).toMatch(/\/directory is a directory, and a file should go there$/)
    expect(filesIn(outside)).toEqual(before)
    for (const name of before) expect(readFileSync(join(outside, name), 'utf8')).toBe(`precious ${name}`)
    for (const link of ['target', 'dangling', 'part.part', 'part-dangling.part', 'parent', 'deep/parent']) {
      expect(readlinkSync(at(link)), 'what was planted is left as it was').toContain(outside)
    }
    for (const [name, outcome] of cases) {
      if (outcome === 'downloaded') expect([name, ended.bytes(name).equals(WHOLE)]).toEqual([name, true])
    }
  })

  test('[threat:planted-symlink] a link that is planted while the download runs does not get the bytes', async () => {
    const home = newHome()
    const victim = home.at('victim')
    writeFileSync(victim, 'precious')
    const running = start({
      home,
      operands: [server.url('/slow/late?size=20000&rate=40000')],
      args: ['-T', '5s', '-t', '1'],
    })
    await running.event('response')
    symlinkSync(victim, join(home.out, 'late'))
    const ended = await running.ended
    expect(ended.row(1)).toMatchObject({ outcome: 'failed', failure: { kind: 'target-is-symlink' } })
    expect(readFileSync(victim, 'utf8')).toBe('precious')
    expect(lstatSync(join(home.out, 'late')).isSymbolicLink()).toBe(true)
  })
})

describe('names', () => {
  test('[threat:redirect-name] the name is that of the requested URL, whatever the redirect or the server says', async () => {
    const to = (path: string) => encodeURIComponent(server.url(path))
    const list = [
      server.url(`/redirect-to/wanted?url=${to('/ok/.bashrc')}`),
      server.url(`/redirect-to/wanted-too?url=${to('/ok/..%2f..%2f.profile')}`),
      server.url(`/redirect-to/wanted-three?url=${encodeURIComponent('//../../.ssh/authorized_keys')}`),
      server.url('/disposition/wanted-four'),
      server.url(`/disposition/wanted-five?value=${encodeURIComponent('attachment; filename="../../evil"')}`),
    ]
    const ended = await run({ list: list.join('\n'), args: ONCE })
    expect(ended.report.totals['downloaded']).toBe(4)
    expect(ended.files).toEqual(['wanted', 'wanted-five', 'wanted-four', 'wanted-too'])
    expect([...ended.seen].filter((name) => !name.startsWith('wanted'))).toEqual([])
    expect(readdirSync(ended.home.root).sort()).toEqual(['list.txt', 'out', 'report.json', 'runs', 'state'])
  })

  test('[threat:odd-names] every name becomes safe components below --dir, of at most 255 bytes', async () => {
    const odd = [
      '%2e%2e%2fescape',
      '..%2f..%2f..%2fetc%2fpasswd',
      '%2fetc%2fabsolute',
      'back%5c..%5cslash',
      'nul%00byte',
      'escape%1b%5b31mred',
      'newline%0a%0dname',
      'bidi%e2%80%aefdp.exe',
      'latin%ff%fe1',
      'con',
      'nul.txt',
      '.hidden',
      '-rf',
      '~',
      'trailing.%20',
      `${'x'.repeat(4000)}.tar.gz`,
      '%e2%82%ac'.repeat(200),
      'cafe%cc%81',
      '...',
      'a%20b%20c.part.json~',
    ]
    const list = odd.map((name) => server.url(`/ok/${name}`))
    for (const names of ['flat', 'tree', 'host']) {
      const ended = await run({ list: list.join('\n'), args: [...ONCE, '--names', names, '--fsync', 'none'] })
      expect([names, ended.code, ended.stderr]).toEqual([names, 0, ''])
      expect(ended.files).toHaveLength(odd.length)
      expect(readdirSync(ended.home.root).sort()).toEqual(['list.txt', 'out', 'report.json', 'runs', 'state'])
      for (const component of ended.files.flatMap((file) => file.split('/'))) {
        expect(Buffer.byteLength(component)).toBeLessThanOrEqual(255)
        expect(component).not.toMatch(/[\p{Cc}\p{Cf}\\:*?"<>|]|^[.\-~ ]|^(con|nul)(\.|$)/iu)
        expect(component).toBe(component.normalize('NFC'))
      }
    }
  }, 120_000)

  test('[threat:odd-names] what a list says of its own about names stays below --dir too, or is refused before a byte moves', async () => {
    const options = [
      'out=../../given',
      'out=/etc/given',
      'dir=../../..',
      'dir=/tmp',
      'out=a/./../b',
      'out=..',
      'out=a\0/../b',
    ]
    const list = options.flatMap((option, i) => [server.url(`/ok/given-${i}`), ` ${option}`])
    const before = server.requests.length
    const refused = await run({ list: list.join('\n'), isBare: true, args: ['-d', 'out'] })
    expect(refused.code).toBe(65)
    for (const [i] of options.entries()) expect(refused.stderr).toContain(`line ${2 * i + 2}: `)
    expect([server.requests.length - before, refused.files]).toEqual([0, []])
    const inside = await run({ list: `${server.url('/ok/x')}\n out=./a//b/./.c`, args: ONCE })
    expect(inside.files).toEqual(['a/b/%2Ec'])
  })

  test('[threat:injection] no escape, line break or bidi override reaches the terminal or breaks the log', async () => {
    const evil = encodeURIComponent(`${ESCAPE}[31mred${ESCAPE}]0;owned\x07\r\nmpdl: 1 = 1 downloaded \u202egnp`)
    const list = [
      server.url(`/status/404/1${evil}`),
      server.url(`/redirect-hostile/2${evil}?kind=escape`),
      server.url(`/redirect-hostile/x?kind=${evil}`),
      server.url('/hostile-headers/escape?escape'),
      server.url('/hostile-headers/cr?cr'),
      server.url('/hostile-headers/reason'),
      server.url(`/ok/${evil}?size=10`),
    ].join('\n')
    const home = newHome()
    const ended = await run({
      home,
      list,
      args: [...ONCE, '-v', '--progress', 'lines', '--report', home.at('report.txt')],
    })
    const tty = await run({ home: newHome(), list, args: [...ONCE, '--progress', 'tty'] })
    const told = [
      ended.stderr,
      readFileSync(home.at('report.txt'), 'utf8'),
      ...(await Promise.all(
        [1, 2, 3, 4, 5, 6, 7].map(async (line) => (await command(home, ['explain', `${line}`])).stdout),
      )),
      (await command(home, ['report'])).stdout,
      // The screen is drawn with sequences of mpdl's own: moving, erasing, colours.
      tty.stderr.replaceAll(new RegExp(`${ESCAPE}\\[[\\d;?]*[A-HJKhlm]`, 'g'), ''),
    ]
    for (const text of told) {
      expect(text).not.toBe('')
      expect(text.replaceAll(/[\n\t]/g, ' ')).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u)
      expect(text).not.toMatch(/^mpdl: 1 = 1 downloaded/m)
    }
    expect(tty.stderr).not.toContain(`${ESCAPE}[31mred`)
    for (const name of readdirSync(home.logs)) {
      const text = readFileSync(join(home.logs, name), 'utf8')
      expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
      for (const line of text.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('type')
    }
  })
})

/** Another command of the program, with what a run left in this home. */
async function command(home: Home, args: readonly string[]): Promise<Ended> {
  return run({ home, isBare: true, args: [...args, '--log-dir', home.logs] })
}

describe('secrets', () => {
  const CANARY = 'c4n4ry'
  /** As it was given, and as `Authorization` carries it. */
  const secret = (name: string) => `${CANARY}-${name}`
  const userinfo = Buffer.from(`alice:${secret('url')}`).toString('base64')
  const listUser = Buffer.from(`bob:${secret('list')}`).toString('base64')
  const codedUsers = ['option', 'environment', 'configuration', 'netrc'].map((source) =>
    Buffer.from(`alice:${secret(source)}`).toString('base64'),
  )
  const proxyUser = Buffer.from(`dave:${secret('proxy')}`).toString('base64')
  const TELLTALES = [
    ...[CANARY, CANARY.toUpperCase(), encodeURIComponent(`:${CANARY}`)],
    ...[userinfo, listUser, proxyUser, ...codedUsers],
  ]
  const hits = (text: string) => TELLTALES.filter((telltale) => text.includes(telltale))

  /** What was given, what is made to be fed back (both 0600 from the first byte), and what the server echoed. */
  const mayHoldSecrets = (name: string) =>
    /^list\.txt$|^\w+\.secret$|^failed\.txt(\.\d+~)?$|\.echo\.json(\.part)?$/.test(name)
  const writeSecret = (path: string, text: string) => writeFileSync(path, text, { mode: 0o600 })
  const hitsIn = (home: Home) =>
    filesIn(home.root)
      .filter((name) => !mayHoldSecrets(name))
      .filter((name) => hits(textOf(home.at(name))).length > 0)
  const textOf = (path: string) => {
    try {
      return readFileSync(path, 'latin1')
    } catch {
      // It went between the listing and now.
      return ''
    }
  }

  const signed = `X-Amz-Credential=AKIA&X-Amz-Signature=${secret('amz')}&token=${secret('token')}&sig=${secret('sas')}`
  const withUser = (path: string) => server.url(path).replace('http://', `http://alice:${secret('url')}@`)
  const to = (url: string) => encodeURIComponent(url)
  const list = () => `
${withUser(`/auth-echo/auth.echo.json?${signed}`)}
${server.url(`/echo-headers/list.echo.json?${signed}`)}
 header=X-Api-Key: ${secret('header')}
 header=Cookie: session=${secret('cookie')}
 user=bob
 password=${secret('list')}
${withUser(`/status/404/gone?${signed}`)}
${withUser(`/redirect-hostile/refused?kind=${to(`ftp://carol:${secret('location')}@127.0.0.1/?${signed}`)}`)}
${withUser(`/redirect-to/elsewhere?url=${to(server.url(`/ok/x?${signed}`).replace('//', `//carol:${secret('location')}@`))}`)}
${withUser(`/truncated/kept?at=100&${signed}`)}
 password=${secret('kept')}
${withUser(`/garbage/broken?${signed}`)}
${withUser(`/ok/crashes?${signed}`)}
${withUser(`/ok/memory?${signed}`)}
http://alice:${secret('url')}@nowhere.invalid/unknown?${signed}
http://alice:${secret('url')}@127.0.0.1:1/closed?${signed}
${withUser(`/slow/watched?size=30000&rate=15000&${signed}`)}
 header=X-Api-Key: ${secret('header')}
`

  test('[threat:secrets] none is in any log, report, note, database, message, argv or environment', async () => {
    const home = newHome()
    const running = start({
      home,
      list: list(),
      args: [
        ...['-T', '2s', '--kill-after', '200ms', '--retry-delay', '10ms', '-t', '2', '-v', '--json', '-j', '12'],
        ...[
          '-H',
          `X-Run-Secret: ${secret('run')}`,
          `-HX-Joined: ${secret('joined')}`,
          `--header=X-Equals: ${secret('equals')}`,
        ],
        ...[
          '--inject',
          'throw@13',
          '--inject',
          'abort@14',
          '--inject',
          'oom@15',
          '--max-memory',
          '64M',
          '--max-per-host',
          '12',
        ],
        ...['--failed-out', home.at('failed.txt'), '--report', home.at('report.txt')],
      ],
      env: { https_proxy: `http://dave:${secret('proxy')}@127.0.0.1:9`, MY_TOKEN: secret('environment') },
    })
    const seen = new Map<number, string>()
    const look = () => {
      for (const pid of running.children()) {
        if (!seen.has(pid)) seen.set(pid, proc(pid, 'cmdline') + proc(pid, 'environ'))
      }
      return hitsIn(home)
    }
    const during: string[] = []
    const watching = setInterval(() => during.push(...look()), 20)
    await running.event('response', ({ line }) => line === 18)
    process.kill(running.pid, 'SIGUSR1')
    const ended = await running.ended.finally(() => clearInterval(watching))

    // The secrets did arrive where they were meant to go.
    expect(JSON.parse(ended.bytes('auth.echo.json').toString())).toEqual({ authorization: `Basic ${userinfo}` })
    expect(JSON.parse(ended.bytes('list.echo.json').toString())).toMatchObject({
      authorization: `Basic ${listUser}`,
      'x-api-key': secret('header'),
      cookie: `session=${secret('cookie')}`,
      'x-run-secret': secret('run'),
      'x-joined': secret('joined'),
      'x-equals': secret('equals'),
    })
    expect(ended.report.totals['failed']).toBeGreaterThanOrEqual(5)
    expect(ended.report.jobs.flatMap(({ attempts }) => attempts).some(({ stderr }) => stderr !== null)).toBe(true)
    expect(ended.files).toContain('kept.part.json')

    expect(seen.size).toBeGreaterThan(0)
    for (const shown of seen.values()) expect(hits(shown)).toEqual([])
    expect(during).toEqual([])
    expect(hits(ended.stderr)).toEqual([])
    expect(hits(ended.stdout)).toEqual([])
    expect(hitsIn(home)).toEqual([])
    expect(filesIn(home.state)).toContain('mpdl/state.sqlite')
    for (const args of [['report'], ['runs'], ...ended.report.jobs.map(({ line }) => ['explain', `${line}`])]) {
      const told = await command(home, args)
      expect([args, hits(told.stdout), hits(told.stderr)]).toEqual([args, [], []])
      expect(told.stdout + told.stderr).not.toBe('')
    }
    const failed = home.at('failed.txt')
    expect(lstatSync(failed).mode & 0o777).toBe(0o600)
    expect(readFileSync(failed, 'utf8')).toContain(secret('url'))
  }, 120_000)

  test('[threat:secrets] nor are those of netrc, proxies, cookie jar, configuration, environment and options', async () => {
    const proxy = await startNpmProxy({ login: { user: 'dave', password: secret('proxy') } })
    const refusing = await startNpmProxy({ login: { user: 'dave', password: 'another' } })
    const refused = await startRefused()
    const through = (port: number) => `http://dave:${secret('proxy')}@127.0.0.1:${port}`
    const at = (path: string) => `${server.url(path)}${path.includes('?') ? '&' : '?'}${signed}`
    const rows = [
      at('/auth-echo/came.echo.json'),
      at('/echo-headers/headers.echo.json'),
      at('/digest/digest.echo.json'),
      at(`/set-cookie/cookie?token=${to(`session=${secret('session')}; Path=/; Max-Age=99`)}`),
      at('/status/401/refused'),
      at('/truncated/kept?at=100'),
      `${at('/ok/dead')}\n proxy=${through(refused.port)}`,
      `${at('/ok/refusing')}\n proxy=${through(refusing.port)}`,
      `https://127.0.0.1:${refused.port}/tunnel\n proxy=${through(proxy.port)}`,
      at('/ok/crashes'),
      at('/slow/watched?size=20000&rate=50000'),
    ].join('\n')
    const crashing = 1 + rows.split('\n').findIndex((line) => line.includes('/ok/crashes'))

    /** What gives the secrets, by source: each in a home of its own, as one would hide another. */
    const sources: Readonly<
      Record<string, (home: Home) => { args?: readonly string[]; env?: Record<string, string> }>
    > = {
      option: () => ({
        args: [
          '-u',
          `alice:${secret('option')}`,
          '-H',
          `X-Api-Key: ${secret('option')}`,
          '--proxy',
          through(proxy.port),
        ],
      }),
      environment: () => ({
        env: {
          MPDL_USER: `alice:${secret('environment')}`,
          MPDL_HEADER: `X-Api-Key: ${secret('environment')}`,
          MPDL_PROXY: through(proxy.port),
        },
      }),
      configuration: (home) => {
        writeSecret(
          home.at('config.secret'),
          `user = "alice:${secret('configuration')}"\nheader = ["X-Api-Key: ${secret('configuration')}"]\nproxy = "${through(proxy.port)}"\n`,
        )
        return { args: ['--config', home.at('config.secret')] }
      },
      netrc: (home) => {
        writeSecret(home.at('netrc.secret'), `machine 127.0.0.1 login alice password ${secret('netrc')}\n`)
        return {
          args: ['--netrc-file', home.at('netrc.secret')],
          env: { http_proxy: through(proxy.port), https_proxy: through(proxy.port) },
        }
      },
    }
    for (const [source, give] of Object.entries(sources)) {
      const home = newHome()
      const jar = home.at('cookies.secret')
      writeSecret(jar, `127.0.0.1\tFALSE\t/\tFALSE\t0\tjar\t${secret('jar')}\n`)
      const { args = [], env = {} } = give(home)
      const running = start({
        home,
        list: rows,
        env,
        args: [
          ...['-T', '400ms', '--kill-after', '200ms', '--retry-delay', '10ms', '-t', '2', '-v', '--json', '-j', '1'],
          ...[
            '--auth',
            'any',
            '--cookie-jar',
            jar,
            '--inject',
            `abort@${crashing}`,
            '--failed-out',
            home.at('failed.txt'),
          ],
          ...['--report', home.at('report.txt'), ...args],
        ],
      })
      const seen = new Map<number, string>()
      const watching = setInterval(() => {
        for (const pid of running.children()) {
          if (!seen.has(pid)) seen.set(pid, proc(pid, 'cmdline') + proc(pid, 'environ'))
        }
      }, 20)
      const ended = await running.ended.finally(() => clearInterval(watching))

      // The secrets did arrive where they were meant to go.
      const echoed = (name: string): Record<string, string> => JSON.parse(ended.bytes(name).toString())
      const basic = `Basic ${Buffer.from(`alice:${secret(source)}`).toString('base64')}`
      expect([source, echoed('came.echo.json')]).toEqual([source, { authorization: basic }])
      expect(echoed('headers.echo.json')['cookie']).toContain(`jar=${secret('jar')}`)
      expect(echoed('digest.echo.json')['authorization']).toMatch(/^Digest username="alice"/)
      expect(readFileSync(jar, 'utf8')).toContain(secret('session'))
      expect(proxy.asked().length).toBeGreaterThan(0)
      expect(ended.report.totals['failed']).toBeGreaterThanOrEqual(4)

      expect(seen.size).toBeGreaterThan(0)
      for (const shown of seen.values()) expect([source, hits(shown)]).toEqual([source, []])
      expect([source, hits(ended.stderr), hits(ended.stdout), hitsIn(home)]).toEqual([source, [], [], []])
      for (const words of [['report'], ...[1, 5, crashing].map((line) => ['explain', `${line}`])]) {
        const told = await command(home, words)
        expect([source, words, hits(told.stdout), hits(told.stderr)]).toEqual([source, words, [], []])
      }
      for (const words of [
        ['doctor', ...args],
        [...args, '--dry-run', home.list],
      ]) {
        const told = await run({ home, isBare: true, args: words, env })
        expect([source, words[0], hits(told.stdout), hits(told.stderr)]).toEqual([source, words[0], [], []])
        expect(told.stdout).not.toBe('')
      }
    }
    await Promise.all([proxy.stop(), refusing.stop(), refused.stop()])
  }, 180_000)

  test('[threat:secrets] what cannot even start tells none', async () => {
    const tell = async (what: Parameters<typeof run>[0]) => {
      const { code, stderr, stdout } = await run({ isBare: true, ...what })
      expect(code).not.toBe(0)
      expect([what, hits(stderr + stdout)]).toEqual([what, []])
    }
    await tell({ operands: [`ftp://alice:${secret('url')}@host/x?token=${secret('token')}`] })
    await tell({ operands: [`alice:${secret('url')}@example.com/x?token=${secret('token')}`] })
    await tell({ operands: [`https://alice:${secret('u/r#l')}@exa mple/`] })
    await tell({
      list: `http://alice:${secret('url')}@:port/x?token=${secret('token')}\nftp://alice:${secret('url')}@h/x`,
    })
    await tell({
      list: `${server.url('/ok/x')}\n pasword=${secret('list')}\n header=${secret('header')}\n user=bob:${secret('list')}\n bad`,
    })
    await tell({ operands: [server.url('/ok')], args: ['-H', `no colon ${secret('header')}`] })
    await tell({ operands: [server.url('/ok')], args: [`--header=${secret('header')}`] })
    const [operand, user] = [server.url('/ok'), `alice:${secret('option')}`]
    await tell({ operands: [operand], args: ['-u', user, '--auth', 'nonsense'] })
    await tell({ operands: [operand], args: ['-u', `${user}\n`] })
    await tell({ operands: [operand], args: [`--user=${user}`, `--usr=${user}`] })
    await tell({ operands: [operand], args: ['--proxy', `ftp://${user}@127.0.0.1`] })
    await tell({ operands: [operand], args: [`--proxy=http://${user}@127.0.0.1/${secret('path')}`] })
    await tell({ operands: [operand], env: { MPDL_USR: user, MPDL_PROXY: `socks4://${user}@127.0.0.1` } })
    await tell({ operands: [operand], env: { http_proxy: `socks4://${user}@127.0.0.1` } })
    const home = newHome()
    const given = home.at('given.secret')
    for (const [option, text] of [
      ['--config', `usr = "${user}"\n`],
      ['--config', `user = "${user}\n`],
      ['--config', `user = ["${user}"]\nheader = "${secret('header')}"\n`],
      ['--config', `user = "${user}"\nproxy = "ftp://${user}@h"\n`],
      ['--netrc-file', `machine h login a password ${secret('netrc')} nonsense ${secret('netrc')}\n`],
      ['--cookie-jar', `h\tFALSE\t/\tFALSE\t0\tname\t${secret('jar')}\t${secret('jar')}\n`],
      ['--cert', `-----BEGIN CERTIFICATE-----\n${secret('cert')}\n-----END CERTIFICATE-----\n`],
    ] as const) {
      writeSecret(given, text)
      await tell({ home, operands: [operand], args: [option, given] })
    }
  })

  test('[threat:secrets] a dry run shows the plan without them', async () => {
    const { code, stdout, stderr } = await run({ list: list(), args: ['--dry-run'] })
    expect([code, hits(stdout), hits(stderr)]).toEqual([0, [], []])
    expect(stdout).toContain('kept')
  })
})

describe('credentials over redirects', () => {
  const NAMES = ['authorization', 'cookie', 'x-api-key', 'proxy-authorization', 'x-run'] as const
  let certificates: Certificates
  let other: FaultServer
  let secure: FaultServer
  let otherSecure: FaultServer
  beforeAll(async () => {
    certificates = selfSignedCa()
    const tls = {
      key: readFileSync(certificates.keyPath),
      cert: readFileSync(certificates.certPath),
      ca: readFileSync(certificates.caPath),
    }
    ;[other, secure, otherSecure] = await Promise.all([
      startFaultServer(),
      startFaultServer({ tls }),
      startFaultServer({ tls }),
    ])
  })
  afterAll(async () => {
    await Promise.all([other?.stop(), secure?.stop(), otherSecure?.stop()])
    certificates?.remove()
  })
  const localhost = (url: string) => url.replace('127.0.0.1', 'localhost')
  const via = (from: FaultServer, name: string, target: string) =>
    from.url(`/redirect-to/${name}?url=${encodeURIComponent(target)}`)

  const HEADERS = ['Cookie: a=b', 'X-Api-Key: k', 'Proxy-Authorization: p']
  const headerLines = HEADERS.map((header) => ` header=${header}`)
  /** How the four secrets are given: to the job, in its URL, to the run, or by its netrc. */
  type Given = {
    readonly lines?: readonly string[]
    readonly userinfo?: string
    readonly args?: readonly string[]
    readonly netrc?: string
  }
  const GIVEN: readonly (readonly [name: string, how: Given])[] = [
    ['the list', { lines: [' user=alice', ' password=hunter2', ...headerLines] }],
    ['the URL', { userinfo: 'alice:hunter2@', lines: headerLines }],
    ['-u and -H', { args: ['-u', 'alice:hunter2', ...HEADERS.flatMap((header) => ['-H', header])] }],
    [
      'netrc',
      {
        netrc: 'machine 127.0.0.1 login alice password hunter2\nmachine localhost login alice password hunter2\n',
        lines: headerLines,
      },
    ],
  ]

  test.each(GIVEN)(
    '[threat:redirect-credentials] none arrives at another host, port or scheme, given by %s; all arrive at the same',
    async (_, how) => {
      const home = newHome()
      const netrc = home.at('netrc')
      writeFileSync(netrc, how.netrc ?? '', { mode: 0o600 })
      const [seenByOther, seenBySecure] = [other.requests.length, secure.requests.length]
      const back = via(other, 'hop', server.url('/echo-headers/back'))
      const cases: readonly (readonly [name: string, url: string, isSame: boolean])[] = [
        ['same', via(server, 'same', server.url('/echo-headers')), true],
        ['relative', via(server, 'relative', '/echo-headers'), true],
        ['port', via(server, 'port', other.url('/echo-headers')), false],
        ['host', via(server, 'host', localhost(server.url('/echo-headers'))), false],
        ['to-https', via(server, 'to-https', secure.url('/echo-headers')), false],
        ['from-https', via(secure, 'from-https', server.url('/echo-headers')), false],
        ['https-same', via(secure, 'https-same', secure.url('/echo-headers')), true],
        ['https-port', via(secure, 'https-port', otherSecure.url('/echo-headers')), false],
        ['https-host', via(secure, 'https-host', localhost(secure.url('/echo-headers'))), false],
        ['twice', via(server, 'twice', via(server, 'again', other.url('/echo-headers'))), false],
        ['userinfo', via(server, 'userinfo', other.url('/echo-headers').replace('//', '//mallory:theirs@')), false],
        ['no-scheme', via(server, 'no-scheme', `//127.0.0.1:${other.port}/echo-headers`), false],
        ['back', via(server, 'back', back), true],
      ]
      const given = how.lines ?? []
      const ended = await run({
        home,
        list: cases.flatMap(([, url]) => [url.replace('//', `//${how.userinfo ?? ''}`), ...given]).join('\n'),
        args: [
          ...[...ONCE, '--cacert', certificates.caPath, '-H', 'X-Run: r', ...(how.args ?? [])],
          ...(how.netrc === undefined ? [] : ['--netrc-file', netrc]),
        ],
      })
      expect([ended.code, ended.stderr]).toEqual([0, ''])
      for (const [name, , isSame] of cases) {
        const echoed: Record<string, string> = JSON.parse(ended.bytes(name).toString())
        expect([name, NAMES.filter((header) => header in echoed)]).toEqual([name, isSame ? NAMES : []])
      }
      // Every request that any of the servers saw, hops included: credentials only where they were given for.
      const strangers = (requests: readonly RecordedRequest[]) =>
        requests.filter(({ headers }) => NAMES.some((header) => header in headers)).map(({ path }) => path)
      expect(strangers(other.requests.slice(seenByOther))).toEqual([])
      expect(strangers(otherSecure.requests)).toEqual([])
      const strange = strangers(secure.requests.slice(seenBySecure))
      expect(strange.every((path) => path.includes('https') || path === '/echo-headers')).toBe(true)
    },
  )

  const HOPS = (own: FaultServer, targets: Readonly<Record<string, string>>) => ({
    same: own.url('/echo-headers/same'),
    ...targets,
    back: via(other, 'hop', own.url('/echo-headers/back')),
  })

  test('[threat:redirect-credentials] the answer to a digest challenge is for its origin only', async () => {
    const targets = HOPS(server, {
      port: other.url('/echo-headers'),
      host: localhost(server.url('/echo-headers')),
      'to-https': secure.url('/echo-headers'),
    })
    const list = Object.entries(targets)
      .map(([name, url]) => `${server.url(`/digest/${name}?url=${encodeURIComponent(url)}`)}\n out=${name}\n`)
      .join('')
    const args = [...ONCE, '--cacert', certificates.caPath, '-u', 'alice:hunter2', '--auth', 'digest']
    const ended = await run({ list, args })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    for (const name of Object.keys(targets)) {
      const { authorization }: Record<string, string> = JSON.parse(ended.bytes(name).toString())
      const isOwn = name === 'same' || name === 'back'
      expect([name, authorization]).toEqual([
        name,
        isOwn ? expect.stringMatching(`uri="/echo-headers/${name}"`) : undefined,
      ])
    }
  })

  test('[threat:redirect-credentials] the certificate of the client is shown to the origin of the URL only', async () => {
    const targets = HOPS(secure, {
      port: otherSecure.url('/echo-headers/port'),
      host: localhost(secure.url('/echo-headers/host')),
      'to-http': via(other, 'plain', otherSecure.url('/echo-headers/to-http')),
    })
    const list = Object.entries(targets)
      .map(([name, url]) => `${via(secure, name, url)}\n out=${name}\n`)
      .join('')
    const from = via(other, 'from-http', secure.url('/echo-headers/from-http'))
    const { caPath, clientCertPath, clientKeyPath } = certificates
    const ended = await run({
      list: `${list}${from}\n`,
      args: [...ONCE, '--cacert', caPath, '--cert', clientCertPath, '--key', clientKeyPath],
    })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    const shownTo = (path: string) =>
      [...secure.requests, ...otherSecure.requests].findLast((each) => each.path === `/echo-headers/${path}`)
        ?.clientName
    expect(['same', 'back'].map(shownTo)).toEqual(['mpdl client', 'mpdl client'])
    expect(['port', 'host', 'to-http', 'from-http'].map(shownTo)).toEqual([undefined, undefined, undefined, undefined])
  })

  test('[threat:redirect-credentials] cookies follow the rules of cookies: by host and path, whatever the port', async () => {
    const set = (from: FaultServer, value: string, to: string) =>
      from.url(`/set-cookie/x?value=${encodeURIComponent(value)}&url=${encodeURIComponent(to)}`)
    const list = [
      set(server, 'plain=1; Path=/', other.url('/echo-headers/port')),
      set(server, 'plain=1; Path=/', localhost(server.url('/echo-headers/host'))),
      set(server, 'plain=1; Path=/', secure.url('/echo-headers/to-https')),
      set(secure, 'secure=1; Path=/; Secure', otherSecure.url('/echo-headers/https')),
      set(other, 'deep=1; Path=/elsewhere', server.url('/echo-headers/path')),
    ].map((url, n) => `${url}\n out=${n}`)
    const ended = await run({
      list: list.join('\n'),
      args: [...ONCE, '-j', '1', '--cookies', '--cacert', certificates.caPath],
    })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    const cookies = list.map((_, n) => {
      const { cookie }: Record<string, string> = JSON.parse(ended.bytes(`${n}`).toString())
      return cookie
    })
    expect(cookies.map((cookie) => cookie?.split('; ').sort().join())).toEqual([
      'plain=1',
      undefined,
      'plain=1',
      'plain=1,secure=1',
      // This machine needs no TLS to be sure whom it talks to, say browsers and curl.
      'plain=1,secure=1',
    ])
  })

  test('[threat:redirect-credentials] a proxy is told its own password only, and no server is told that', async () => {
    const login = { user: 'dave', password: 'pr0xy' }
    const proxy = await startNpmProxy({ login })
    const before = [server, secure].map(({ requests }) => requests.length)
    const ended = await run({
      list: [server.url('/echo-headers/plain'), secure.url('/echo-headers/tunnel')].join('\n'),
      args: [
        ...[...ONCE, '--cacert', certificates.caPath, '--proxy', withLogin(proxy.url, login)],
        ...['-u', 'alice:hunter2', '-H', 'Cookie: a=b', '-H', 'X-Api-Key: k'],
      ],
    })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    const [plain, tunnel] = proxy.headers
    expect([plain, tunnel].map((headers) => headers?.['proxy-authorization'])).toEqual([
      'Basic ZGF2ZTpwcjB4eQ==',
      'Basic ZGF2ZTpwcjB4eQ==',
    ])
    const connect = proxy.headers[proxy.asked().findIndex((asked) => asked.startsWith('CONNECT'))]
    expect(NAMES.filter((name) => connect !== undefined && name in connect)).toEqual(['proxy-authorization'])
    const came = [server, secure].flatMap(({ requests }, n) => requests.slice(before[n]))
    expect(came.map(({ headers }) => headers['proxy-authorization'])).toEqual([undefined, undefined])
    await proxy.stop()
  })

  test('[threat:redirect-credentials] a mirror of another origin gets the header of the list, but no userinfo of its sister', async () => {
    const first = server.url('/status/404/mirrored').replace('//', '//alice:hunter2@')
    const ended = await run({ list: `${first}\t${other.url('/echo-headers/mirrored')}`, args: ONCE })
    expect(ended.row(1).outcome).toBe('downloaded')
    const asked = other.requests.filter(({ path }) => path === '/echo-headers/mirrored')
    expect(asked.map(({ headers }) => headers['authorization'])).toEqual([undefined])
  })
})

/** A server that sends half of everything and the rest when it is told to. */
async function startGate(): Promise<{
  url(name: string): string
  open(): void
  readonly asked: readonly string[]
  stop(): Promise<void>
}> {
  const held: (() => void)[] = []
  const asked: string[] = []
  let isOpen = false
  const gate: Server = createServer((request, response: ServerResponse) => {
    asked.push(request.url ?? '')
    const [, first] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? []
    const from = first === undefined ? 0 : Number(first)
    const rest = WHOLE.subarray(from)
    response.writeHead(from > 0 ? 206 : 200, {
      'Content-Length': rest.length,
      ETag: '"gate"',
      ...(from > 0 ? { 'Content-Range': `bytes ${from}-${WHOLE.length - 1}/${WHOLE.length}` } : {}),
    })
    response.write(rest.subarray(0, 1000))
    const finish = () => response.end(rest.subarray(1000))
    if (isOpen) finish()
    else held.push(finish)
  })
  await new Promise<void>((resolve) => gate.listen(0, '127.0.0.1', resolve))
  const address = gate.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  return {
    url: (name) => `http://127.0.0.1:${address.port}/${name}`,
    open: () => {
      isOpen = true
      for (const finish of held) finish()
    },
    asked,
    stop: () =>
      new Promise((resolve) => {
        gate.close(() => resolve())
        gate.closeAllConnections()
      }),
  }
}

describe('two runs on one file', () => {
  /** Another home whose files go to the same place. */
  const guestOf = ({ out, state }: Home): Home => ({ ...newHome(), out, state })

  /** Kills a run in the middle: what it leaves is a part with a dead process's pid in its note. */
  async function stale(home: Home, list: string, parts: number): Promise<void> {
    const first = start({ home, list, args: ['-T', '30s'] })
    const sizes = () =>
      filesIn(home.out).filter((name) => name.endsWith('.part') && lstatSync(join(home.out, name)).size > 0)
    await until('bytes of each', () => sizes().length === parts)
    first.process.kill('SIGKILL')
    await first.ended
  }

  test('[locked] [threat:two-runs] the second fails that job, names the first by its pid, and touches nothing', async () => {
    const gate = await startGate()
    const home = newHome()
    const first = start({ home, list: gate.url('one'), args: ['-T', '30s'] })
    await first.event('response')
    const second = await run({
      home: guestOf(home),
      list: `${gate.url('one')}\n${gate.url('two')}`,
      args: ['-T', '300ms', '-t', '1', '--kill-after', '200ms'],
    })
    expect(second.row(1)).toMatchObject({ outcome: 'failed', failure: { kind: 'locked', pid: first.pid } })
    expect(second.row(1).reason).toMatch(
      new RegExp(`/one\\.part is being written by another run \\(pid ${first.pid}\\)$`),
    )
    expect(second.row(1).attempts, 'no child was started for it').toHaveLength(0)
    expect([second.row(2).outcome, second.code]).toEqual(['killed', 3])
    gate.open()
    const ended = await first.ended
    expect([ended.code, ended.bytes('one').equals(WHOLE)]).toEqual([0, true])
    await gate.stop()
  })

  test.skipIf(findProgram('flock') === undefined)(
    '[locked] a note that names a dead process names nobody',
    async () => {
      const gate = await startGate()
      const home = newHome()
      await stale(home, gate.url('held'), 1)
      const dead: { readonly pid: number } = JSON.parse(readFileSync(join(home.out, 'held.part.json'), 'utf8'))
      expect(stateOf(dead.pid)).toBeUndefined()
      // The holder is no mpdl, or one that has not yet come to write its own note.
      const holder = spawn(findProgram('flock') ?? '', ['-n', join(home.out, 'held.part'), 'cat'], {
        stdio: ['pipe', 'pipe', 'ignore'],
      })
      holder.stdin.write('held')
      await once(holder.stdout, 'data')
      const ended = await run({ home, list: gate.url('held'), args: ONCE })
      holder.stdin.end()
      await once(holder, 'exit')
      expect(ended.row(1).failure).toEqual({ kind: 'locked', path: join(home.out, 'held.part') })
      expect(ended.row(1).reason).toMatch(/held\.part is being written by another run$/)
      gate.open()
      const after = await run({ home, list: gate.url('held'), args: ONCE })
      expect([after.code, after.bytes('held').equals(WHOLE)]).toEqual([0, true])
      await gate.stop()
    },
  )

  test('[locked] [threat:two-runs] of 20 starters at once over stale parts exactly one wins each file', async () => {
    const gate = await startGate()
    const home = newHome()
    const files = ['alpha', 'beta']
    const list = files.map((name) => gate.url(name)).join('\n')
    await stale(home, list, files.length)
    const starters: Running[] = Array.from({ length: 20 }, () =>
      start({ home: guestOf(home), list, args: ['-T', '60s', '-q'] }),
    )
    // Winners wait for the gate, so all that have ended a job were refused.
    const refusals = () =>
      starters.flatMap((each) => each.events().flatMap((event) => (event.type === 'job-ended' ? [event.row] : [])))
    await until('all but the winners are refused', () => refusals().length === 2 * (starters.length - 1), 60_000)
    gate.open()
    const ended = await Promise.all(starters.map((each) => each.ended))
    for (const file of files) {
      const rows = ended.map((each) => each.report.jobs.find(({ out }) => out === file))
      const winners = rows.flatMap((row, i) => (row?.outcome === 'downloaded' ? [i] : []))
      expect([file, winners.length]).toEqual([file, 1])
      const winner = starters[winners[0] ?? 0]?.pid
      const others = rows.filter((row) => row?.outcome !== 'downloaded')
      expect(others.map((row) => row?.failure?.kind)).toEqual(others.map(() => 'locked'))
      const named = others.map((row) => (row?.failure?.kind === 'locked' ? row.failure.pid : undefined))
      expect(named).toEqual(others.map(() => winner))
      expect(readFileSync(join(home.out, file)).equals(WHOLE)).toBe(true)
    }
    const fullWinners = ended.filter((each) => each.report.totals['downloaded'] === files.length).length
    expect(ended.filter(({ code }) => code === 3)).toHaveLength(starters.length - fullWinners)
    expect(filesIn(home.out)).toEqual(files)
    expect(gate.asked, 'one request each before, one each now').toHaveLength(4)
    await gate.stop()
  }, 120_000)
})

describe('the supervisor killed', () => {
  test('[threat:supervisor-killed] with one child that spins and another that is stopped: none is left, and it resumes', async () => {
    const home = newHome()
    const list = ['spins', 'stopped', 'receives']
      .map((name) => server.url(`/slow/${name}?size=60000&rate=40000`))
      .join('\n')
    const running = start({ home, list, args: ['-T', '30s', '--inject', 'ignore-term@1'] })
    await running.event('response', ({ line }) => line === 2)
    await running.event('response', ({ line }) => line === 3)
    const pids = running
      .events()
      .flatMap((event) => (event.type === 'attempt-started' && event.pid !== null ? [event.pid] : []))
    expect(pids).toHaveLength(3)
    const stopped = await running.event('attempt-started', ({ line }) => line === 2)
    process.kill(firstOf([stopped.pid]), 'SIGSTOP')
    await until('it is stopped', () => stateOf(firstOf([stopped.pid])) === 'T')
    const spinning = firstOf([(await running.event('attempt-started', ({ line }) => line === 1)).pid])
    await until('it spins', () => stateOf(spinning) === 'R')
    // The notes are written each second; what they know is what the next run need not ask for.
    await until('something is noted', () =>
      /"completed":\[\[0,/.test(readFileSync(join(home.out, 'receives.part.json'), 'utf8')),
    )
    running.process.kill('SIGKILL')
    await until('none is left', () => pids.every((pid) => stateOf(pid) === undefined), 1000)
    await running.ended
    const again = await run({ home, list: list.replaceAll('rate=40000', 'rate=900000'), args: QUICK })
    expect(again.code).toBe(0)
    for (const name of ['spins', 'stopped', 'receives']) {
      expect([name, again.bytes(name).equals(bodyOf(60_000))]).toEqual([name, true])
    }
    expect(again.row(3).resumed_from).toBeGreaterThan(0)
    expect(again.files).toEqual(['receives', 'spins', 'stopped'])
  })
})

describe.skipIf(findProgram('setpriv') === undefined)('a child', () => {
  test('[threat:child-confined] holds one file and may open nothing else, not even the list', async () => {
    const home = newHome()
    const list = `${server.url('/slow/confined?size=20000&rate=20000')}\n header=X-Api-Key: k`
    const running = start({ home, list, args: ['-T', '10s'] })
    await running.event('response')
    const pid = firstOf(running.children())
    const words = proc(pid, 'cmdline').split('\0')
    expect(words).toContain('--permission')
    expect(words.filter((word) => word.startsWith('--allow-'))).toEqual([
      `--allow-fs-read=${join(PROGRAM, '..', 'child.cjs')}`,
      '--allow-net',
    ])
    expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/^NoNewPrivs:\s+1$/m)
    const open = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
    expect(open.filter((path) => path.startsWith(home.root))).toEqual([join(home.out, 'confined.part')])
    expect(readlinkSync(`/proc/${pid}/cwd`)).toBe('/')
    const names = proc(pid, 'environ')
      .split('\0')
      .filter(Boolean)
      .map((word) => word.split('=')[0] ?? '')
    expect(names.sort()).toEqual(['HOME', 'LANG'])
    await running.ended
  })

  test('[threat:rejected-bytes] a part is private even where the umask gives everything away', async () => {
    const home = newHome()
    chmodSync(home.out, 0o777)
    const ended = await run({
      home,
      list: `${server.url('/truncated/refused')}\n${server.url('/ok/taken')}`,
      args: ONCE,
      wrap: ['sh', '-c', 'umask 0; exec "$@"', 'sh'],
    })
    const mode = (name: string) => (lstatSync(join(home.out, name)).mode & 0o777).toString(8)
    expect(ended.files).toEqual(['refused.part', 'refused.part.json', 'taken'])
    expect(ended.files.map(mode)).toEqual(['600', '600', '666'])
    expect(readdirSync(home.logs).map((name) => (lstatSync(join(home.logs, name)).mode & 0o777).toString(8))).toEqual([
      '600',
    ])
    expect((lstatSync(join(home.state, 'mpdl', 'state.sqlite')).mode & 0o777).toString(8)).toBe('600')
    expect(existsSync(join(home.out, 'refused'))).toBe(false)
  })
})
