// Proves what the command line answers: to mistakes, to questions about past runs, and where its reports and logs go.
// Knows nothing of faults.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { type Ended, filesIn, type Home, newHome, ONCE, QUICK, type RunOptions, run, start } from './run-mpdl.ts'

const MANIFEST: { readonly version: string } = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8'),
)

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

/** A command as it is typed, with nothing added. */
const typed = (args: readonly string[], options: RunOptions = {}) => run({ ...options, isBare: true, args })

/** The machine has two cores, and most of a start is waiting. */
async function eachTyped<T>(items: readonly T[], argsOf: (item: T) => readonly string[]): Promise<Map<T, Ended>> {
  const results = new Map<T, Ended>()
  const left = [...items]
  const work = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) results.set(item, await typed(argsOf(item)))
  }
  await Promise.all([work(), work(), work()])
  return results
}

describe('a mistake on the command line', () => {
  type Mistake = readonly [args: readonly string[], code: number, says: RegExp]
  const url = 'http://127.0.0.1:1/x'
  const mistakes: readonly Mistake[] = [
    [[], 64, /^mpdl: what should be downloaded\? Give a list file, URLs, or - for standard input/],
    [['nowhere.txt'], 66, /^mpdl: nowhere\.txt does not exist; give a list file, a URL or - /],
    [['example.com/x.pdf'], 66, /did you mean https:\/\/example\.com\/x\.pdf\?/],
    [['ftp://example.com/x'], 64, /^mpdl: ftp:\/\/example\.com\/x: only http:\/\/ and https:\/\/ are supported/],
    [['file:///etc/passwd'], 64, /only http:\/\/ and https:\/\/ are supported/],
    [[url, 'list.txt'], 64, /give either one list or any number of URLs/],
    [['a.txt', 'b.txt'], 64, /several lists: cat LIST1 LIST2 \| mpdl -/],
    [['/'], 66, /is a directory/],
    [['--jbos', '3', url], 64, /unknown option '--jbos'\n\(Did you mean --jobs\?\)/],
    [['-j', '0', url], 64, /'-j, --jobs <N>' argument '0' is invalid\. allowed are whole numbers from 1 to 1000/],
    [['-j', 'many', url], 64, /argument 'many' is invalid/],
    [['-j'], 64, /option '-j, --jobs <N>' argument missing/],
    [['-T', '5x', url], 64, /argument '5x' is invalid\. allowed are durations like 250ms, 30s, 5m, 6h/],
    [['--deadline', '0s', url], 64, /above zero/],
    [['--max-filesize', 'big', url], 64, /allowed are sizes like 500K, 16M, 2G/],
    [['--max-memory', '1M', url], 64, /sizes of at least 64M/],
    [['--min-speed', '1K/0s', url], 64, /SIZE\/DURATION like 1K\/10m/],
    [['--names', 'deep', url], 64, /Allowed choices are flat, tree, host/],
    [['-o', 'a%x', url], 64, /%n becomes the job's number/],
    [['-o', 'one', url, `${url}2`], 64, /-o one is one name for 2 jobs; number them with %n/],
    [['--report', 'night.pdf', url], 64, /names that end in \.html, \.json or \.txt/],
    [['--force', '--skip-existing', url], 64, /cannot be used with/],
    [['--inject', 'earthquake@1', url], 64, /KIND one of error, throw, rejection, spin/],
    [['-H', 'X-Api-Key canary', url], 64, /^mpdl: option -H: header has no colon; write "Name: value"\n$/],
    [['--cacert', 'nowhere.pem', url], 78, /--cacert: cannot read nowhere\.pem: ENOENT/],
    [['--cacert', '/dev/null', url], 78, /--cacert: \/dev\/null holds no PEM certificate/],
    [['-d', '/dev/null', url], 73, /cannot write into \/dev\/null: it is no directory; choose another with -d DIR/],
    [['-d', '/proc/nowhere/below', url], 73, /cannot write into \/proc\/nowhere\/below: ENOENT/],
    [['-O', url], 64, /unknown option '-O'; curl -O is what mpdl does anyway/],
    [['-i', 'list.txt'], 64, /unknown option '-i'; wget -i LIST: give the list as an operand/],
    [['-u', '', url], 64, /option -u: it is empty/],
    [['doctor', 'who', 'what'], 64, /too many arguments for 'doctor'/],
    [['-x', 'http://me:canary@p', url], 64, /unknown option '-x'; .*--proxy/],
    [['--proxy', 'ftp://me:canary@p', url], 64, /--proxy/],
    [['--cookie-jar', '/dev/null', url], 78, /\/dev\/null/],
    [['--location', url], 64, /redirects are followed anyway/],
    [['--retry=3', url], 64, /--tries N \(the first attempt counts\)/],
    [['explain'], 64, /missing required argument/],
    [['explain', 'yesterday'], 64, /explain what\? Give a line number of the list or a job id/],
    [['report'], 66, /no runs in .*; name a log with --log-dir DIR or give its file/],
    [['report', 'nowhere'], 66, /no run nowhere in /],
    [['report', './list.ndjson'], 66, /no file \.\/list\.ndjson/],
    [['report', '--format', 'pdf'], 64, /Allowed choices are text, json, html/],
    [['retry-failed'], 66, /no runs in /],
  ]
  let results: Map<Mistake, Ended>
  beforeAll(async () => {
    results = await eachTyped(mistakes, ([args]) => args)
  })

  for (const mistake of mistakes) {
    const [args, code, says] = mistake
    test(`mpdl ${args.join(' ')} leaves with ${code}`, () => {
      const ended = results.get(mistake)
      expect([ended?.code, ended?.stdout]).toEqual([code, ''])
      expect(ended?.stderr).toMatch(says)
      expect(ended?.stderr, 'a sentence, no stack').not.toMatch(/\n\s+at /)
      expect(ended?.stderr, 'what was given may be a secret').not.toContain('canary')
      expect(filesIn(ended?.home.root ?? ''), 'nothing was made').toEqual([])
    })
  }
})

describe('help and version', () => {
  test('--version says the version of the package', async () => {
    const [long, short] = await Promise.all([typed(['--version']), typed(['-V'])])
    expect([long.code, long.stdout, long.stderr]).toEqual([0, `mpdl ${MANIFEST.version}\n`, ''])
    expect(short.stdout).toBe(long.stdout)
  })

  test('--help has what most people need, --help-all everything, both on standard output', async () => {
    const [help, all] = await Promise.all([typed(['--help']), typed(['--help-all'])])
    expect([help.code, help.stderr, all.code, all.stderr]).toEqual([0, '', 0, ''])
    const optionsOf = (text: string) => new Set(text.match(/(?<=^ {2}(?:-\w, )?)--[a-z-]+/gm))
    const [few, every] = [optionsOf(help.stdout), optionsOf(all.stdout)]
    expect([...few].filter((name) => !every.has(name))).toEqual([])
    expect([...every].filter((name) => !few.has(name)).sort()).toEqual(
      [
        '--auth',
        '--block-private',
        '--cert',
        '--fsync',
        '--hang-timeout',
        '--inject',
        '--insecure',
        '--key',
        '--kill-after',
        '--log-dir',
        '--log-keep',
        '--max-memory',
        '--max-redirects',
        '--min-disk-free',
        '--netrc-file',
        '--no-config',
        '--no-log',
        '--no-mtime',
        '--no-proxy',
        '--on-finish-timeout',
        '--retry-after-max',
        '--retry-delay',
        '--sandbox',
      ].sort(),
    )
    for (const command of ['report', 'explain', 'retry-failed', 'doctor'])
      expect(help.stdout).toContain(`  ${command} `)
    expect(help.stdout).toContain('Exit codes:')
    expect(all.stdout).toMatch(/Rehearsals[\s\S]*ignore-term/)
  })

  test('each command has its own help', async () => {
    const results = await eachTyped(['get', 'report', 'explain', 'retry-failed', 'doctor'], (name) => [name, '--help'])
    for (const [name, ended] of results) {
      expect([ended.code, ended.stderr]).toEqual([0, ''])
      expect(ended.stdout).toContain(name)
    }
  })

  test('doctor proves the sandbox, and leaves with 0 only when nothing is weak', async () => {
    const ended = await typed(['doctor'])
    expect(ended.stdout).toMatch(/^ok {3}sandbox: write a file +denied$/m)
    expect(ended.stdout).toMatch(/^ok {3}sandbox: write its own file +allowed$/m)
    expect(ended.stdout).toMatch(/^ok {3}file locks +a second holder is refused$/m)
    expect(ended.stderr).toBe('')
    expect(ended.code).toBe(/^WEAK/m.test(ended.stdout) ? 1 : 0)
  })
})

describe('reports of a run', () => {
  let home: Home
  let ended: Ended
  const list = () =>
    [
      '# a comment',
      server.url('/ok/good.bin'),
      server.url('/status/404/gone.bin?token=canary'),
      '  header=X-Api-Key: canary',
      server.url('/truncated/torn.bin?times=1'),
      server.url('/status/503/later.bin?times=1'),
    ].join('\n')

  beforeAll(async () => {
    home = newHome()
    const outputs = ['--report', home.at('night.txt'), '--failed-out', home.at('failed.txt'), '--json']
    ended = await run({ home, list: list(), args: [...ONCE, '-j', '1', ...outputs] })
  })

  test('standard output carries the JSON that was asked for, the same as --report writes', () => {
    expect(JSON.parse(ended.stdout)).toEqual(ended.report)
    expect(ended.report.schema).toBe(1)
    expect(ended.report.exit_code).toBe(ended.code)
    expect(ended.report.run.argv).toContain('--json')
    expect(ended.report.jobs.map(({ line, outcome }) => [line, outcome])).toEqual([
      [2, 'downloaded'],
      [3, 'failed'],
      [5, 'failed'],
      [6, 'failed'],
    ])
  })

  test('several classes failed, and the lowest of them is the exit code', () => {
    expect(ended.code).toBe(4)
  })

  test('the text report begins with the summary that standard error has', () => {
    const text = readFileSync(home.at('night.txt'), 'utf8')
    expect(text.startsWith(ended.stderr)).toBe(true)
    expect(text).toMatch(/^line 2 downloaded good\.bin, 97\.7 KiB, .*, length$/m)
    expect(text).toMatch(/^line 3 http:.* failed: HTTP 404 Not Found$/m)
  })

  test('failed entries are kept as they stood, secrets included, for their owner only, and can be fed back', async () => {
    const path = home.at('failed.txt')
    const text = readFileSync(path, 'utf8')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(text).toBe(`${list().split('\n').slice(2).join('\n')}\n`)
    const again = await run({ home, operands: [path], args: ONCE })
    expect(again.report.totals).toMatchObject({ jobs: 3, downloaded: 2, failed: 1 })
    expect(again.row(3)).toMatchObject({ outcome: 'downloaded', resumed_from: 50_000 })
    expect(again.bytes('torn.bin').equals(bodyOf(100_000))).toBe(true)
    expect(server.requests.find(({ path: asked }) => asked.startsWith('/status/404'))?.headers['x-api-key']).toBe(
      'canary',
    )
  })

  test('files already there are replaced by new reports, never by half of one, and never keep others out less', async () => {
    const own = newHome()
    writeFileSync(own.at('failed.txt'), 'old')
    chmodSync(own.at('failed.txt'), 0o644)
    const args = [...ONCE, '--failed-out', own.at('failed.txt')]
    await run({ home: own, operands: [server.url('/status/404/a?password=canary')], args })
    expect(statSync(own.at('failed.txt')).mode & 0o777).toBe(0o600)
    await run({ home: own, operands: [server.url('/ok/a')], args })
    expect(readFileSync(own.at('failed.txt'), 'utf8')).toBe('')
    expect(readdirSync(own.root).filter((name) => name.includes('~'))).toEqual([])
  })

  test('a report that cannot be written is an error of its own, and the others are written', async () => {
    const nowhere = ['--report', '/proc/r.json', '--failed-out', '/proc/f.txt']
    const good = await run({ operands: [server.url('/ok/a')], args: [...ONCE, ...nowhere] })
    expect(good.code).toBe(73)
    expect(good.row(1).outcome).toBe('downloaded')
    expect(good.stderr.match(/^mpdl: cannot write \/proc\/[rf]\.(json|txt): /gm)).toHaveLength(2)
    const bad = await run({ operands: [server.url('/status/404/a')], args: [...ONCE, ...nowhere] })
    expect(bad.code, 'what went wrong before counts more').toBe(8)
  })

  test('mpdl report renders the run again, as text and as JSON', async () => {
    const { id } = ended.report.run
    const log = ['--log-dir', home.logs]
    const text = await typed(['report', ...log, id], { home })
    expect([text.code, text.stderr]).toEqual([1, ''])
    expect(text.stdout).toBe(readFileSync(home.at('night.txt'), 'utf8'))
    const json = await typed(['report', ...log, '--format', 'json', join(home.logs, `${id}.ndjson`)], { home })
    expect(json.code).toBe(1)
    expect(JSON.parse(json.stdout)).toEqual(JSON.parse(ended.stdout))
  })

  test('mpdl explain tells the life of a job by line and by id', async () => {
    const run_ = ended.report.run.id
    const log = ['--log-dir', home.logs]
    const byLine = await typed(['explain', ...log, run_, '5'], { home })
    expect([byLine.code, byLine.stderr]).toEqual([0, ''])
    const { pid } = ended.row(5).attempts[0] ?? { pid: null }
    expect(byLine.stdout).toMatch(/line 5 started: http/)
    expect(byLine.stdout).toContain(`attempt 1 (pid ${pid}) asks for`)
    expect(byLine.stdout).toMatch(/failed: the connection ended after 48\.8 KiB of 97\.7 KiB, 48\.8 KiB kept/)
    const byId = await typed(['explain', ...log, run_, ended.row(5).id], { home })
    expect(byId.stdout).toBe(byLine.stdout)
    const unknown = await typed(['explain', ...log, run_, '1'], { home })
    expect([unknown.code, unknown.stdout]).toEqual([1, 'nothing is known of this job in this run\n'])
  })
})

describe('where nobody watches', () => {
  const one = () => [server.url('/ok/a')]

  test('success is silent; -v names line, pid and file; -q does not even that', async () => {
    const [silent, verbose, quiet] = await Promise.all([
      run({ operands: one(), args: ONCE }),
      run({ operands: one(), args: [...ONCE, '-v'] }),
      run({ operands: one(), args: [...ONCE, '-v', '-q'] }),
    ])
    expect([silent.code, silent.stdout, silent.stderr]).toEqual([0, '', ''])
    expect(verbose.stderr).toMatch(new RegExp(`^line 1 pid ${verbose.row(1).attempts[0]?.pid} a$`, 'm'))
    expect([quiet.code, quiet.stderr]).toEqual([0, ''])
  })

  test('CI gets a line for each job, a journal one line in all, an inherited JOURNAL_STREAM proves nothing', async () => {
    const list = [server.url('/ok/a'), server.url('/ok/b')].join('\n')
    const journal = 'JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec "$@"'
    const [ci, lines, service, inherited] = await Promise.all([
      run({ list, args: ONCE, env: { CI: 'true' } }),
      run({ list, args: [...ONCE, '--progress', 'lines'] }),
      run({ list, args: ONCE, wrap: ['/bin/sh', '-c', journal, 'sh'] }),
      run({ list, args: ONCE, env: { JOURNAL_STREAM: '8:12345' } }),
    ])
    for (const { stderr } of [ci, lines]) {
      expect(stderr.match(/^\[[12]\/2\] line [12] downloaded [ab], 97\.7 KiB, .*$/gm)).toHaveLength(2)
    }
    expect(service.stderr).toMatch(/^mpdl: 2 = 2 downloaded in [^\n]*\n$/)
    expect(inherited.stderr).toBe('')
  })
})

describe('the run log', () => {
  const good = () => ({ operands: [server.url('/ok/a')], args: ONCE })
  const logsIn = (path: string) =>
    existsSync(path) ? readdirSync(path).filter((name) => name.endsWith('.ndjson')) : []

  test('it is private, in --log-dir, $MPDL_LOG_DIR, ./logs or the state directory, in this order', async () => {
    const home = newHome()
    const outcome = await run({ ...good(), home, env: { MPDL_LOG_DIR: home.at('env') } })
    expect(logsIn(home.logs)).toEqual([`${outcome.report.run.id}.ndjson`])
    expect(statSync(join(home.logs, `${outcome.report.run.id}.ndjson`)).mode & 0o777).toBe(0o600)
    const args = [...ONCE, '-d', home.out, server.url('/ok/a')]
    await typed(args, { home, env: { MPDL_LOG_DIR: home.at('env') } })
    expect(logsIn(home.at('env'))).toHaveLength(1)
    await typed(args, { home })
    const [list] = readdirSync(join(home.state, 'mpdl', 'logs'))
    expect(logsIn(join(home.state, 'mpdl', 'logs', list ?? ''))).toHaveLength(1)
    mkdirSync(home.at('logs'))
    await typed(args, { home })
    expect(logsIn(home.at('logs'))).toHaveLength(1)
    // Without a list being named, the last run is found wherever it went.
    const last = await typed(['report', '--format', 'json'], { home })
    expect(JSON.parse(last.stdout)).toMatchObject({ run: { id: logsIn(home.at('logs'))[0]?.slice(0, -7) } })
  })

  test('--no-log keeps none, and the reports are as full as ever', async () => {
    const ended = await run({ ...good(), args: [...ONCE, '--no-log', '--json'] })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(existsSync(ended.home.logs)).toBe(false)
    expect(JSON.parse(ended.stdout)).toEqual(ended.report)
    expect(ended.report.jobs).toHaveLength(1)
  })

  test('a log that cannot be kept warns once and stops nothing', async () => {
    const home = newHome()
    writeFileSync(home.at('file'), '')
    mkdirSync(home.at('taken'))
    for (const path of [home.at('file'), home.at('file/below'), '/proc/nowhere']) {
      // A directory of the test's own beside `--log-dir`, which the helper would give as well.
      const ended = await run({
        ...good(),
        home,
        hasNoLog: true,
        args: [...ONCE, '--log-dir', path, '--force', '--json'],
      })
      expect(ended.code).toBe(0)
      expect(ended.stderr.match(/no run log/g)).toHaveLength(1)
      expect(ended.report.warnings).toMatchObject([{ line: null, message: expect.stringContaining('no run log: ') }])
      expect(JSON.parse(ended.stdout).jobs).toHaveLength(1)
    }
  })

  test('a state directory that cannot be used warns once and stops nothing', async () => {
    const home = newHome()
    const ended = await run({ ...good(), home, env: { XDG_STATE_HOME: '/proc/nowhere' } })
    expect(ended.code).toBe(0)
    expect(ended.row(1).outcome).toBe('downloaded')
    expect(ended.stderr.match(/the state in \/proc\/nowhere\/mpdl cannot be used/g)).toHaveLength(1)
    const again = await run({ ...good(), home, env: { XDG_STATE_HOME: '/proc/nowhere' } })
    expect(again.row(1).outcome, 'without a memory all is downloaded again').toBe('downloaded')
  })

  test('--log-keep deletes the oldest logs of this list and nothing else', async () => {
    const home = newHome()
    mkdirSync(home.logs)
    writeFileSync(join(home.logs, '20000101T000000Z-abcdef.ndjson'), '{"not":"ours"}\n')
    const kept: string[] = []
    for (let n = 0; n < 4; n++) {
      const { report } = await run({ home, list: server.url('/ok/a'), args: [...ONCE, '--log-keep', '2'] })
      kept.push(`${report.run.id}.ndjson`)
    }
    const other = await run({ home, operands: [server.url('/ok/a')], args: [...ONCE, '--log-keep', '1'] })
    expect(logsIn(home.logs).sort()).toEqual(
      ['20000101T000000Z-abcdef.ndjson', ...kept.slice(2), `${other.report.run.id}.ndjson`].sort(),
    )
  })
})

describe('mpdl retry-failed', () => {
  const runAgain = (home: Home, args: readonly string[] = []) => {
    const report = home.at('again.json')
    return typed(['retry-failed', '--log-dir', home.logs, '--report', report, ...args], { home }).then((ended) => ({
      ended,
      again: existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : undefined,
    }))
  }

  test('what failed and what was never started is run again with the options of then, and nothing else', async () => {
    const home = newHome()
    const list = [
      server.url('/ok/good'),
      server.url('/status/500/bad?times=1'),
      server.url('/stall/stuck?times=1'),
      server.url('/ok/never-1'),
      server.url('/ok/never-2'),
    ].join('\n')
    const args = ['-j', '1', '--run-deadline', '1500ms', '-t', '1', '-T', '20s', '-H', 'X-Night: yes']
    const first = await run({ home, list, args: [...args, '--fsync', 'none'] })
    expect(first.report.totals).toMatchObject({ downloaded: 1, failed: 1, killed: 1, 'not-started': 2 })
    expect(first.code).toBe(8)

    const refused = await runAgain(home)
    expect([refused.ended.code, refused.ended.stderr]).toEqual([
      64,
      expect.stringMatching(
        /was given -H with a secret, which its log does not hold; give it again, or keep it in a file for --config/,
      ),
    ])
    const second = await runAgain(home, ['-H', 'X-Night: again', '--run-deadline', '30s'])
    expect([second.ended.code, second.ended.stderr]).toEqual([0, ''])
    expect(second.again.totals).toMatchObject({ jobs: 4, downloaded: 4 })
    expect(second.again.jobs.find(({ line }: { line: number }) => line === 3).resumed_from).toBe(50_000)
    expect(second.ended.files).toEqual(['bad', 'good', 'never-1', 'never-2', 'stuck'])
    expect(second.ended.bytes('stuck').equals(bodyOf(100_000))).toBe(true)
    expect(server.requests.at(-1)?.headers['x-night']).toBe('again')
    expect(server.hits('/ok/good')).toBe(1)

    const third = await runAgain(home, ['-H', 'X-Night: again'])
    expect([third.ended.code, third.ended.stderr]).toEqual([
      0,
      expect.stringMatching(/^mpdl: nothing failed in run \S+\n$/),
    ])
  })

  test('of a run whose supervisor was killed, all that has no good end is run', async () => {
    const home = newHome()
    const list = [server.url('/ok/done'), server.url('/slow/torn?times=1&rate=20000'), server.url('/ok/never')].join(
      '\n',
    )
    const running = start({ home, list, args: ['-j', '1', '-T', '20s'] })
    await running.event('response', ({ line }) => line === 2)
    process.kill(running.pid, 'SIGKILL')
    expect((await running.ended).signal).toBe('SIGKILL')
    const told = await typed(['report', '--log-dir', home.logs], { home })
    expect([told.code, told.stdout]).toEqual([
      1,
      expect.stringContaining('NOT FINISHED: the log of this run has no end'),
    ])
    const { again, ended } = await runAgain(home)
    expect([ended.code, ended.files]).toEqual([0, ['done', 'never', 'torn']])
    expect(again.jobs.map(({ line }: { line: number }) => line).sort()).toEqual([2, 3])
    expect(ended.bytes('torn').equals(bodyOf(100_000))).toBe(true)
  })

  test('jobs are known by what they are, so a list that was edited still finds them', async () => {
    const home = newHome()
    const bad = server.url('/status/500/moved?times=1')
    await run({ home, list: [server.url('/ok/a'), bad].join('\n'), args: ONCE })
    writeFileSync(home.list, ['# edited', bad, server.url('/ok/new'), server.url('/ok/a')].join('\n'))
    const { again, ended } = await runAgain(home)
    expect(ended.code).toBe(0)
    expect(again.jobs.map(({ out }: { out: string }) => out)).toEqual(['moved'])
  })

  test('a run of URLs, or of a list that is gone, cannot be read again', async () => {
    const home = newHome()
    const { report } = await run({ home, list: server.url('/status/404/a'), args: ONCE })
    await run({ home, operands: [server.url('/status/404/b')], args: ONCE })
    const urls = await runAgain(home)
    expect([urls.ended.code, urls.ended.stderr]).toEqual([
      66,
      expect.stringContaining('only a list file can be read again'),
    ])
    renameSync(home.list, home.at('away'))
    const gone = await runAgain(home, [report.run.id])
    expect([gone.ended.code, gone.ended.stderr]).toEqual([
      66,
      expect.stringContaining(`the list of run ${report.run.id} is gone`),
    ])
  })
})

describe('two runs on one file', () => {
  test('[locked] the second fails that job, naming the pid of the first, and downloads the rest', async () => {
    const home = newHome()
    const slow = server.url('/slow/shared?size=20000&rate=10000')
    const first = start({ home, operands: [slow], args: [...QUICK, '-T', '10s'] })
    await first.event('response')
    // A home of its own, because processes are told apart by it; the later -d is the one that counts.
    const second = await run({ list: [slow, server.url('/ok/other')].join('\n'), args: [...ONCE, '-d', home.out] })
    const shared = second.row(1)
    expect(second.code).toBe(3)
    expect(shared).toMatchObject({ outcome: 'failed', failure: { kind: 'locked', pid: first.pid } })
    expect(shared.reason).toBe(`${join(home.out, 'shared.part')} is being written by another run (pid ${first.pid})`)
    expect(second.report.totals).toMatchObject({ downloaded: 1, failed: 1 })
    const ended = await first.ended
    expect([ended.code, ended.row(1).num_retries]).toEqual([0, 0])
    expect(ended.bytes('shared').equals(bodyOf(20_000))).toBe(true)
  })
})
