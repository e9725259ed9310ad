// What mpdl cron-line prints is run as cron and systemd run it, with names that nobody should give to anything.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram, requireServer } from '../fixtures/servers.ts'
import { CRONS, throughCron, withoutPlace } from '../fixtures/through-cron.ts'
import { type Ended, filesIn, type Home, newHome, type RunOptions, run } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

const HOSTILE = `it's 100% "so" \\% $HOME;\`id\` é~ \\`
const NIGHTLY = /^\d+ 2 \* \* \* /

const cronLine = (args: readonly string[], options: RunOptions = {}) =>
  run({ ...options, isBare: true, args: ['cron-line', ...args] })

/** The line below its comment. */
function lineOf({ stdout }: Ended): string {
  const [comment, line, ...rest] = stdout.split('\n')
  expect([comment?.startsWith('# mpdl '), rest]).toEqual([true, ['']])
  return line ?? ''
}

/** What a person would have in the crontab's place: nothing of the test's environment. */
const CRON_ENV = { HOME: userInfo().homedir, LOGNAME: userInfo().username, SHELL: '/bin/sh', PATH: '/usr/bin:/bin' }

interface Said {
  readonly code: number | null
  readonly said: string
}

/** As cron does once the time fields are off. */
async function asCron(line: string, cron = Object.values(CRONS)[0]): Promise<Said> {
  if (cron === undefined) throw new Error('no cron')
  const command = throughCron(line.replace(/^@\w+ |^(?:\S+ ){5}/, ''), cron)
  return await saying('/bin/sh', ['-c', command], { cwd: CRON_ENV.HOME, env: CRON_ENV })
}

async function saying(
  file: string,
  args: readonly string[],
  options: { cwd: string; env: NodeJS.ProcessEnv },
): Promise<Said> {
  const child = spawn(file, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  }
  const [code] = await once(child, 'close')
  return { code, said }
}

function hostileHome(): { readonly home: Home; readonly directory: string; readonly list: string } {
  const home = newHome()
  const directory = home.at(HOSTILE)
  mkdirSync(directory)
  const list = `${HOSTILE}.txt`
  writeFileSync(join(directory, list), `${server.url('/ok/a.bin?size=5000')}\n`)
  return { home, directory, list }
}

describe('the line', () => {
  test('downloads from the directory it was made in, in the same state, and says nothing', async () => {
    const made = await cronLine(['-d', 'pdf'], { list: server.url('/ok/a.bin?size=5000') })
    const line = lineOf(made)
    expect([made.code, withoutPlace(made.stderr)]).toEqual([0, ''])
    expect(line).toMatch(NIGHTLY)
    expect(line).toContain(` --run-deadline 21h -d pdf ${made.home.list}`)
    expect(await asCron(line)).toEqual({ code: 0, said: '' })
    expect(filesIn(made.home.at('pdf'))).toEqual(['a.bin'])
    expect(existsSync(join(made.home.state, 'mpdl', 'logs'))).toBe(true)
  })

  test.each(Object.entries(CRONS))('keeps hostile names as they are where cron %s', async (_, cron) => {
    const { home, directory, list } = hostileHome()
    const args = ['-d', `-o${HOSTILE}`, '-H', `X: ${HOSTILE}`, list]
    const made = await cronLine(args, { home, wrap: ['env', '-C', directory], env: { NETRC: HOSTILE } })
    expect(made.code, made.stderr).toBe(0)
    expect(await asCron(lineOf(made), cron)).toEqual({ code: 0, said: '' })
    expect(filesIn(join(directory, `-o${HOSTILE}`))).toEqual(['a.bin'])
  })

  test.skipIf(!requireServer('crontab', findProgram('crontab')))('is taken by crontab', async () => {
    const { home, directory, list } = hostileHome()
    const made = await cronLine(['--schedule', '@weekly', list], { home, wrap: ['env', '-C', directory] })
    const checked = spawnSync('crontab', ['-n', '-'], { input: made.stdout, encoding: 'utf8' })
    expect([checked.status, `${checked.stdout}${checked.stderr}`]).toEqual([0, expect.stringContaining('success')])
  })

  test('takes along what is set here and changes a run, and the umask', async () => {
    const env = { MPDL_TRIES: '2', TZ: 'Asia/Tokyo', https_proxy: 'http://h:1', LANG: 'C', MPDL_NOTHING: 'x' }
    const wrap = ['/bin/sh', '-c', 'umask 027; exec "$0" "$@"']
    const line = lineOf(await cronLine([], { list: server.url('/ok/a.bin'), env, wrap }))
    expect(line).toMatch(
      / && umask 027 && HOME=\S+ XDG_STATE_HOME=\S+ TZ=Asia\/Tokyo https_proxy=http:\/\/h:1 MPDL_TRIES=2 \//,
    )
    expect(line).not.toMatch(/LANG|MPDL_NOTHING/)
  })

  test('says that it is silent where it is', async () => {
    const options = { list: server.url('/ok/a.bin') }
    const comments = [await cronLine([], options), await cronLine(['-v'], options)].map(
      ({ stdout }) => stdout.split('\n')[0],
    )
    expect(comments[0]).toMatch(/list\.txt: mail comes only when something is wrong$/)
    expect(comments[1]).toMatch(/list\.txt$/)
  })

  test('starts different lists at different minutes, and one list always at the same', async () => {
    const home = newHome()
    const lists = ['a', 'b', 'c', 'd', 'e'].map((name) => home.at(name))
    for (const list of lists) writeFileSync(list, server.url('/ok/a.bin'))
    const minutes = async () => {
      const made = await Promise.all(lists.map((list) => cronLine([list], { home })))
      return made.map((each) => lineOf(each).split(' ')[0])
    }
    const first = await minutes()
    expect(new Set(first).size).toBeGreaterThan(1)
    expect(await minutes()).toEqual(first)
  })

  test('of a list that has the name of a command is of the list', async () => {
    const home = newHome()
    writeFileSync(home.at('report'), server.url('/ok/a.bin?size=5000'))
    const line = lineOf(await cronLine(['report', '--run-deadline', '1h', '-d', 'out'], { home }))
    expect(await asCron(line)).toEqual({ code: 0, said: '' })
    expect(filesIn(home.out)).toEqual(['a.bin'])
  })

  test('leaves out its own options only, and those not where they are values', async () => {
    const home = newHome()
    writeFileSync(home.list, server.url('/ok/a.bin'))
    const run = ['-d', '--systemd', '-qo', '--schedule', '-j', '2', '--', home.list]
    const made = await cronLine(['--schedule=@daily', ...run.slice(0, -2), '--schedule', '@hourly', ...run.slice(-2)], {
      home,
    })
    expect(withoutPlace(made.stderr)).toBe('')
    expect(lineOf(made)).toMatch(/^@hourly /)
    expect(lineOf(made).split(' --run-deadline 54m ')[1]).toBe(run.join(' '))
  })
})

describe('the deadline of the run', () => {
  const deadlineIn = async (args: readonly string[], options: RunOptions = {}) => {
    const made = await cronLine(args, { list: server.url('/ok/a.bin'), ...options })
    expect(made.code, made.stderr).toBe(0)
    const words = lineOf(made).split(' ')
    return [words[words.indexOf('--run-deadline') + 1], withoutPlace(made.stderr).trimEnd()]
  }

  test('is nine tenths of the shortest time between two starts', async () => {
    expect(await deadlineIn(['--schedule', '* * * * *'])).toEqual(['54s', ''])
    expect(await deadlineIn(['--schedule', '@monthly'])).toEqual(['24d', ''])
  })

  test('is what somebody said, with a warning when that is too long', async () => {
    expect(await deadlineIn(['--schedule', '@daily', '--run-deadline', '6h'])).toEqual(['6h', ''])
    const [typed, warning] = await deadlineIn(['--schedule', '@hourly', '--run-deadline', '2h'])
    expect([typed, warning]).toEqual([
      '2h',
      expect.stringMatching(/^mpdl: --run-deadline 2h leaves no time before the next start after 1h/),
    ])
    const made = await cronLine([], { list: server.url('/ok/a.bin'), env: { MPDL_RUN_DEADLINE: '5h' } })
    expect(lineOf(made)).toContain('MPDL_RUN_DEADLINE=5h')
    expect(lineOf(made)).not.toContain('--run-deadline')
  })

  test('cannot be told from @reboot', async () => {
    const made = await cronLine(['--schedule', '@reboot'], { list: server.url('/ok/a.bin') })
    expect(lineOf(made)).not.toContain('--run-deadline')
    expect(withoutPlace(made.stderr)).toMatch(/^mpdl: @reboot has no period: the run has no deadline unless/)
  })
})

describe('what cannot work at night is said now', () => {
  const url = 'http://127.0.0.1:1/x'
  test.each<readonly [what: string, args: readonly string[], code: number, says: RegExp]>([
    ['an unknown option', ['--jbos', '3', url], 64, /unknown option '--jbos'/],
    ['seconds', ['--schedule', '* * * * * *', url], 64, /'--schedule <CRON>' argument .* allowed are five fields/],
    ['standard input', ['-'], 64, /cron gives nothing on standard input; give a list file/],
    ['a device', ['/dev/null'], 64, /\/dev\/null is no file/],
    ['a missing list', ['nowhere.txt'], 66, /nowhere\.txt does not exist/],
    ['a URL that is none', ['http://'], 65, /command line line 1: /],
    [
      'a password to be asked for',
      ['-u', 'me', url],
      64,
      /-u me asks for the password on a terminal, and cron has none/,
    ],
    ['half a certificate', ['--key', 'k.pem', url], 78, /--key needs the certificate/],
    ['two lines', ['-d', 'a\nb', url], 64, /a\\x0ab holds the end of a line/],
    ['too much', ['-A', 'x'.repeat(900), url], 64, /the command takes \d+ bytes, and cron allows 998; .*--config FILE/],
  ])('%s', async (_, args, code, says) => {
    const made = await cronLine(args)
    expect([made.code, made.stdout]).toEqual([code, ''])
    expect(made.stderr).toMatch(says)
  })

  test('a list with a bad line may be mended until then', async () => {
    const made = await cronLine([], { list: 'nonsense\n' })
    expect(made.code).toBe(0)
    expect(made.stderr).toMatch(/line 1: /)
    expect(lineOf(made)).toMatch(NIGHTLY)
  })

  test('a secret is taken along with a warning that does not repeat it', async () => {
    const made = await cronLine(['-u', 'me:canary', '-H', 'X: canary'], {
      list: server.url('/ok/a.bin'),
      env: { http_proxy: 'http://me:canary@h:1', MPDL_PROXY: 'http://h:1' },
    })
    expect(lineOf(made)).toContain('-u me:canary')
    expect(withoutPlace(made.stderr)).toMatch(
      /^mpdl: -H, -u, http_proxy: a secret will stand in the crontab, .*--config FILE\n$/,
    )
    expect(made.stderr).not.toContain('canary')
  })
})

interface Units {
  /** By file name. */
  readonly files: ReadonlyMap<string, string>
  readonly service: string
}

function unitsIn(stdout: string): Units {
  const [, ...parts] = stdout.split(/^# \/etc\/systemd\/system\/(.*)\n/m)
  const files = new Map<string, string>()
  for (let i = 0; i < parts.length; i += 2) files.set(parts[i] ?? '', parts[i + 1] ?? '')
  expect([...files.keys()].map((name) => name.replace(/.*\./, ''))).toEqual(['service', 'timer'])
  return { files, service: [...files.values()][0] ?? '' }
}

const settings = (unit: string, name: string) =>
  unit.split('\n').flatMap((line) => (line.startsWith(`${name}=`) ? [line.slice(name.length + 1)] : []))

/** By the rules of systemd.syntax(7) and systemd.service(5). */
function wordsOf(value: string): string[] {
  return [...value.matchAll(/"((?:\\.|[^"\\])*)"|(\S+)/g)].map(([, quoted, plain = '']) =>
    (quoted?.replace(/\\(.)/g, '$1') ?? plain).replaceAll('%%', '%'),
  )
}

describe('with --systemd', () => {
  const hasSystemd = requireServer('systemd-analyze', findProgram('systemd-analyze'))

  test.skipIf(!hasSystemd)('units are accepted without a word, whatever the names', async () => {
    const { home, directory, list } = hostileHome()
    const plain = newHome()
    writeFileSync(plain.at('urls.txt'), server.url('/ok/a.bin'))
    const hook = ['--on-finish', '/bin/true', '--schedule', '30 4 1,15 * 5']
    const all = await Promise.all([
      cronLine(['--systemd', '-d', 'out', 'urls.txt'], { home: plain }),
      cronLine(['--systemd', '--schedule', '@reboot', server.url('/ok/a.bin')]),
      cronLine(['--systemd', '-d', HOSTILE, list, ...hook], {
        home,
        wrap: ['env', '-C', directory],
        env: { NETRC: HOSTILE },
      }),
    ])
    for (const made of all) {
      expect(made.code, made.stderr).toBe(0)
      const { files } = unitsIn(made.stdout)
      const paths = [...files].map(([name, text]) => {
        const path = made.home.at(name)
        writeFileSync(path, text)
        return path
      })
      const said = spawnSync('systemd-analyze', ['verify', '--man=no', ...paths], { encoding: 'utf8' })
      expect([said.status, said.stdout, said.stderr]).toEqual([0, '', ''])
    }
  })

  test('the service does what the run would, written so that systemd reads the same words', async () => {
    const { home, directory, list } = hostileHome()
    const made = await cronLine(['--systemd', '-d', HOSTILE, '-H', `X: ${HOSTILE}`, list], {
      home,
      wrap: ['env', '-C', directory],
      env: { NETRC: HOSTILE },
    })
    const { service } = unitsIn(made.stdout)
    const [node = '', ...args] = wordsOf(settings(service, 'ExecStart')[0] ?? '')
    const cwd = (settings(service, 'WorkingDirectory')[0] ?? '').replaceAll('%%', '%')
    const variables = settings(service, 'Environment')
      .flatMap(wordsOf)
      .map((each) => each.split(/=(.*)/s).slice(0, 2))
    expect(cwd).toBe(`${directory}/`)
    expect(Object.fromEntries(variables)).toMatchObject({ NETRC: HOSTILE, XDG_STATE_HOME: home.state })
    const env = { ...CRON_ENV, ...Object.fromEntries(variables) }
    const words = args.map((word) => word.replaceAll('$$', '$'))
    expect(await saying(node, words, { cwd, env })).toEqual({ code: 0, said: '' })
    expect(filesIn(join(directory, HOSTILE))).toEqual(['a.bin'])
  })

  test('units are called after the list, or after the host of a URL, and no two lists share a name', async () => {
    const home = newHome()
    const lists = ['urls.txt', 'a b@c\\', `${'x'.repeat(150)}é${'%'.repeat(50)}`]
    for (const list of lists) writeFileSync(home.at(list), server.url('/ok/a.bin'))
    const names = await Promise.all(
      [...lists, 'https://www.example.com/x'].map(async (operand) => {
        const { files } = unitsIn((await cronLine(['--systemd', operand], { home })).stdout)
        return [...files.keys()][0]
      }),
    )
    expect(names).toEqual([
      expect.stringMatching(/^mpdl-urls-[0-9a-f]{6}\.service$/),
      expect.stringMatching(/^mpdl-a\\x20b\\x40c\\x5c-[0-9a-f]{6}\.service$/),
      expect.stringMatching(/^mpdl-[0-9a-f]{16}-[0-9a-f]{6}\.service$/),
      expect.stringMatching(/^mpdl-www\.example\.com-[0-9a-f]{6}\.service$/),
    ])
    const elsewhere = await cronLine(['--systemd', '-d', 'other', 'urls.txt'], { home })
    expect([...unitsIn(elsewhere.stdout).files.keys()]).not.toContain(names[0])
  })

  test('the service may write where the run does and nowhere else', async () => {
    const home = newHome()
    for (const name of ['r', 'm', 'f', 'l', 'c']) mkdirSync(home.at(name))
    const made = await cronLine(
      [
        '--report',
        'r/x.json',
        '--metrics',
        'm/x.prom',
        '--failed-out',
        'f/x',
        '--log-dir',
        'l',
        '--cookie-jar',
        'c/x',
        '-d',
        'out',
      ],
      { home, list: server.url('/ok/a.bin') },
    )
    expect(made.code, made.stderr).toBe(0)
    const units = await cronLine(['--systemd', ...(lineOf(made).split('main.js ')[1]?.split(' ') ?? [])], { home })
    const { service } = unitsIn(units.stdout)
    // The state is not there yet, so that its parent must let it be made.
    expect(settings(service, 'ReadWritePaths')).toEqual([home.root, tmpdir()])
    mkdirSync(join(home.state, 'mpdl'), { recursive: true })
    const again = await cronLine(['--systemd', ...(lineOf(made).split('main.js ')[1]?.split(' ') ?? [])], { home })
    expect(settings(unitsIn(again.stdout).service, 'ReadWritePaths')).toEqual([
      ...['c', 'f', 'l', 'm', 'out', 'r', 'state/mpdl'].map(home.at),
      tmpdir(),
    ])
    expect(settings(service, 'TimeoutStartSec')).toEqual([String(21 * 3600 + 5 + 60)])
  })
})
