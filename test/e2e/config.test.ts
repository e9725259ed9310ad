// Proves that a run takes its options from the command line, the environment and a file, that a planted file harms
// nobody, and that what is secret stays so. Which value wins is proven without a run, in test/cli.
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { filesIn, type Home, newHome, ONCE, proc, type RunOptions, run, start } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

const CANARY = 'c4n4ry'

/** A command as it is typed, with nothing added. */
const typed = (args: readonly string[], options: RunOptions = {}) => run({ ...options, isBare: true, args })

/** Beside the list of this home, or wherever `name` says. */
function configIn(home: Home, lines: readonly string[], name = 'mpdl.toml', mode = 0o600): string {
  const path = home.at(name)
  writeFileSync(path, `${lines.join('\n')}\n`)
  chmodSync(path, mode)
  return path
}

/** Whether the text stands anywhere below the home but in these files. */
function filesWith(text: string, home: Home, but: readonly string[]): string[] {
  return readdirSync(home.root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !but.includes(path) && readFileSync(path).includes(text))
}

const headersOf = (path: string) => server.requests.filter((each) => each.path === path).map(({ headers }) => headers)

describe('a run', () => {
  test('[threat:secrets] sends the secrets of its file, of the environment and of argv, and keeps them', async () => {
    const home = newHome()
    const file = configIn(home, [`header = ["X-Api-Key: ${CANARY}"]`, `user = "file:${CANARY}"`], 'secrets.toml')
    const list = server.url('/ok/secrets.bin')
    const args = [...ONCE, '--config', file, '-cH', `X-Typed: ${CANARY}`, '-v']
    const ended = await run({ home, list, args, env: { MPDL_USER: `env:${CANARY}`, MPDL_NAMES: 'host' } })
    expect(ended.code).toBe(0)
    const [headers] = headersOf('/ok/secrets.bin')
    expect(headers).toMatchObject({
      'x-typed': CANARY,
      authorization: `Basic ${Buffer.from(`env:${CANARY}`).toString('base64')}`,
    })
    expect(headers, 'what was typed replaces the lower layer').not.toHaveProperty('x-api-key')
    expect(ended.files[0]).toMatch(/__ok__secrets\.bin$/)
    expect(ended.stderr + ended.stdout).not.toContain(CANARY)
    expect(filesWith(CANARY, home, [file])).toEqual([])
    expect(ended.report.run.argv).toContain('X-Typed: ***')
  })

  test('[threat:secrets] shows nobody on this machine what was typed', async () => {
    const home = newHome()
    const args = [...ONCE, '-T', '5s', '-u', `me:${CANARY}`, '-H', `X-Api-Key: ${CANARY}`, '--limit-rate', '16K']
    const going = start({ home, list: server.url('/ok/slow.bin?size=50000'), args })
    const { pid } = await going.event('attempt-started')
    const shown = [going.pid, pid ?? going.pid].map((each) => proc(each, 'cmdline') + proc(each, 'environ'))
    expect(shown.join()).not.toContain(CANARY)
    expect(shown[0]).toContain('-u me:*** -H X-Api-Key: ***')
    going.process.kill('SIGTERM')
    await going.ended
  })

  test('takes the file beside its list, and none where the list is no file', async () => {
    const home = newHome()
    configIn(home, ['names = "host"'])
    const url = server.url('/ok/beside.bin')
    expect((await run({ home, list: url, args: ONCE })).files).toEqual([expect.stringMatching(/__ok__beside\.bin$/)])
    const others: RunOptions[] = [{ operands: [url] }, { operands: ['-'], stdin: url }]
    for (const other of others) {
      const there = newHome()
      configIn(there, ['names = "host"'])
      expect((await run({ home: there, args: ONCE, ...other })).files).toEqual(['beside.bin'])
    }
  })

  test.each([
    ['can be written by others', 'names = "host"', 0o622, /mpdl\.toml can be written by others; chmod go-w /],
    ['names a proxy', 'proxy = "http://127.0.0.1:1"', 0o600, /line 1: proxy is not taken from a file that was only/],
    [
      'names a directory',
      'dir = "/tmp"',
      0o600,
      /line 1: dir is not taken from .*; give it with --config .*mpdl\.toml/,
    ],
    ['turns the sandbox off', 'sandbox = "off"', 0o600, /line 1: sandbox is not taken/],
  ])(
    '[threat:planted-configuration] stops before a byte moves when the file beside the list %s',
    async (_, line, mode, says) => {
      const home = newHome()
      configIn(home, [line], 'mpdl.toml', mode)
      const path = `/ok/planted${mode}${line.length}.bin`
      const ended = await run({ home, list: server.url(path), args: ONCE })
      expect([ended.code, ended.files, server.hits(path)]).toEqual([78, [], 0])
      expect(ended.stderr).toMatch(says)
    },
  )

  test('tells all that is wrong with file and environment at once, and repeats no secret', async () => {
    const home = newHome()
    configIn(home, ['jbos = 3', `header = "X-Api-Key ${CANARY}"`, `password = "${CANARY}"`])
    const ended = await run({ home, list: server.url('/ok/x'), args: ONCE, env: { MPDL_TRIES: 'many' } })
    expect(ended.code).toBe(78)
    expect(ended.stderr.trimEnd().split('\n')).toEqual([
      'mpdl: MPDL_TRIES is many; allowed are whole numbers from 1 to 1000',
      expect.stringMatching(/^mpdl: .*mpdl\.toml line 1: jbos is unknown; did you mean jobs\?$/),
      expect.stringMatching(/^mpdl: .*mpdl\.toml line 2: header: .*header has no colon; write "Name: value"$/),
      expect.stringMatching(/^mpdl: .*mpdl\.toml line 3: password is unknown; -u USER:PASSWORD, or password= in the/),
    ])
    expect(ended.stderr).not.toContain(CANARY)
  })

  test('an unknown option is told without the value that came with it', async () => {
    const ended = await typed([`--http-password=${CANARY}`, '--http-user=me', server.url('/ok/x')])
    expect(ended.stderr).toBe("mpdl: unknown option '--http-password'; -u USER:PASSWORD, or password= in the list\n")
    expect((await typed([`-b${CANARY}`, server.url('/ok/x')])).stderr).toMatch(
      /^mpdl: unknown option '-b'; --cookie-jar/,
    )
  })
})

describe('retry-failed', () => {
  const given = ['-H', `X-Api-Key: ${CANARY}`, '-u', `me:${CANARY}`]
  const basic = `Basic ${Buffer.from(`me:${CANARY}`).toString('base64')}`
  let count = 0

  /** A run that was given secrets and failed. */
  async function failed(args: readonly string[] = given, env: RunOptions['env'] = {}) {
    const path = `/status/503/again${++count}.bin?times=1`
    const home = newHome()
    const first = await run({ home, list: server.url(path), args: [...ONCE, ...args], env })
    expect(first.code).toBe(8)
    const retry = (more: readonly string[], now: RunOptions['env'] = {}) =>
      typed(['retry-failed', '--log-dir', home.logs, ...more], { home, env: now })
    return { home, path, retry }
  }

  test('says which secrets it has not, and asks no server without them', async () => {
    const { path, retry } = await failed()
    const ended = await retry([])
    expect(ended.code).toBe(64)
    expect(ended.stderr).toMatch(
      /was given -H and -u with a secret, .*give it again, or keep it in a file for --config/,
    )
    expect(ended.stderr).toContain('(header = "…", user = "…")')
    expect((await retry(['-u', `me:${CANARY}`])).stderr).toMatch(/was given -H with a secret/)
    expect(server.hits(path)).toBe(1)
  })

  test('takes them typed again, from the environment or from a file', async () => {
    const again = await failed()
    const other = await failed()
    const third = await failed()
    const file = configIn(other.home, [`header = "X-Api-Key: ${CANARY}"`, `user = "me:${CANARY}"`], 'secrets.toml')
    const env = { MPDL_HEADER: `X-Api-Key: ${CANARY}`, MPDL_USER: `me:${CANARY}` }
    const results = [await again.retry(given), await other.retry(['--config', file]), await third.retry([], env)]
    expect(results.map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ''],
      [0, ''],
      [0, ''],
    ])
    for (const { path, home } of [again, other, third]) {
      expect(headersOf(path).at(-1)).toMatchObject({ 'x-api-key': CANARY, authorization: basic })
      expect(filesWith(CANARY, home, [file])).toEqual([])
    }
  })

  test('keeps what only the environment said then, unless it says another thing now', async () => {
    const then = { MPDL_USER_AGENT: 'then', MPDL_QUERY_NAMES: 'yes' }
    const [kept, changed] = [await failed([], then), await failed([], then)]
    expect([(await kept.retry([])).code, (await changed.retry([], { MPDL_USER_AGENT: 'now' })).code]).toEqual([0, 0])
    expect(headersOf(kept.path).at(-1)).toMatchObject({ 'user-agent': 'then' })
    expect(headersOf(changed.path).at(-1)).toMatchObject({ 'user-agent': 'now' })
    expect(filesIn(kept.home.out)).toEqual([expect.stringContaining('times=1')])
  })

  test('asks again for a secret that only the environment held', async () => {
    const { path, retry, home } = await failed([], { MPDL_USER: `me:${CANARY}` })
    expect((await retry([])).stderr).toMatch(/was given -u with a secret/)
    expect([server.hits(path), filesWith(CANARY, home, [])]).toEqual([1, []])
    expect((await retry([], { MPDL_USER: `me:${CANARY}` })).code).toBe(0)
  })

  test('replaces by what is typed now what excluded it then', async () => {
    const { retry } = await failed(['--skip-existing'])
    expect(await retry(['--force'])).toMatchObject({ code: 0, stderr: '' })
  })

  test('finds its run by MPDL_LOG_DIR', async () => {
    const { home, path } = await failed([])
    const ended = await typed(['retry-failed'], { home, env: { MPDL_LOG_DIR: home.logs } })
    expect([ended.code, server.hits(path)]).toEqual([0, 2])
  })
})

test('verify follows the names of the configuration and ignores what it has no use for', async () => {
  const home = newHome()
  const lines = ['names = "host"', 'tries = 3', 'user-agent = "x"']
  configIn(home, lines)
  const list = server.url('/ok/verified.bin')
  expect((await run({ home, list, args: ONCE })).code).toBe(0)
  const verify = (env: RunOptions['env'] = {}) =>
    typed(['verify', '-d', home.out, '--log-dir', home.logs, home.list], { home, env })
  expect(await verify()).toMatchObject({ code: 0, stdout: 'verify: 1 = 1 ok\n' })
  expect(await verify({ MPDL_PROXY: 'nonsense://' })).toMatchObject({ code: 0, stderr: '' })
  configIn(home, [...lines, 'nmaes = "host"'])
  expect(await verify()).toMatchObject({ code: 78, stderr: expect.stringMatching(/line 4: nmaes is unknown; did you/) })
})

describe('doctor', () => {
  const rowOf = (stdout: string, option: string) =>
    stdout
      .split('\n')
      .find((line) => line.startsWith(`${option} `))
      ?.split(/ {2,}/)

  test('shows every option with its value and its source, secrets masked, in 80 columns', async () => {
    const home = newHome()
    writeFileSync(home.list, 'http://h/x\n')
    configIn(home, ['tries = 3', `user = "me:${CANARY}"`])
    const ended = await typed(['doctor', '-j', '4', '-H', `X-Api-Key: ${CANARY}`, 'list.txt'], {
      home,
      env: { MPDL_TIMEOUT: '5s', MPDL_JBOS: '1', https_proxy: `http://me:${CANARY}@p:1`, no_proxy: 'a.example' },
    })
    const rows = ['--jobs', '--tries', '--timeout', '--user', '--header', '--split'].map((option) =>
      rowOf(ended.stdout, option)?.slice(1),
    )
    expect(rows).toEqual([
      ['4', 'command line'],
      ['3', 'mpdl.toml line 1'],
      ['5s', 'MPDL_TIMEOUT'],
      ['me:***', 'mpdl.toml line 2'],
      ['X-Api-Key: ***', 'command line'],
      ['4', 'default'],
    ])
    expect(ended.stdout).toContain('https:// by way of http://***@p:1')
    expect(ended.stdout).toMatch(/^WEAK configuration +MPDL_JBOS is unknown; did you mean/m)
    expect([ended.code, ended.stderr]).toEqual([1, ''])
    expect(ended.stdout).not.toContain(CANARY)
    // What is wider is a path of this machine.
    expect(ended.stdout.split('\n').filter((line) => line.length > 80 && !line.includes('/'))).toEqual([])
  })

  test('calls a configuration weak that cannot be used, and goes on', async () => {
    const home = newHome()
    const file = configIn(home, ['jobs = 0', 'cert = "nowhere.pem"', `user = "me:${CANARY}"`], 'my.toml', 0o644)
    const ended = await typed(['doctor', '--config', file, 'nowhere.txt'], { home })
    const said = ended.stdout.replaceAll(/\n {10,}/g, ' ')
    expect(said).toMatch(/^WEAK configuration +there is no list nowhere\.txt$/m)
    expect(said).toMatch(/^WEAK configuration +\S*my\.toml line 1: jobs is 0; allowed are whole numbers/m)
    expect(said).toMatch(/^WEAK configuration +--cert: cannot read nowhere\.pem: ENOENT$/m)
    expect(said).toMatch(/^WEAK configuration +\S*my\.toml holds user and can be read by others; chmod 600 /m)
    expect(rowOf(ended.stdout, '--jobs')).toEqual(['--jobs', '8', 'default'])
    expect([ended.code, ended.stderr, said.includes(CANARY)]).toEqual([1, '', false])
  })
})

test('--help-all tells of the file and the environment once, not for each option', async () => {
  const { stdout } = await typed(['--help-all'])
  expect(stdout).toMatch(/^Configuration: every option can also stand, .* in mpdl\.toml beside the list/m)
  expect(stdout).not.toContain('(env:')
})
