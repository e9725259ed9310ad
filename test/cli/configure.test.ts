// Which value an option gets from the command line, the environment and a file, and what is said of a mistake.

import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { unknownVariables } from '../../src/cli/config-keys.ts'
import { type Configured, configure, configured } from '../../src/cli/configure.ts'
import { addRunOptions, type RawRunOptions, RUN_OPTIONS } from '../../src/cli/run-options.ts'
import { addVerifyOptions } from '../../src/cli/verify-options.ts'

const scratch = mkdtempSync(join(tmpdir(), 'mpdl-config-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

let dir = ''
let count = 0
beforeEach(() => {
  vi.unstubAllEnvs()
  dir = join(scratch, String(++count))
  mkdirSync(dir)
})

interface Told {
  readonly argv?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Given with --config. */
  readonly file?: string
  /** Lies beside the list. */
  readonly found?: string
  readonly command?: Command
}

interface Outcome extends Configured {
  readonly options: RawRunOptions
  sourceOf(name: keyof RawRunOptions): string
}

/** The paths of this test's own directory are left out of sentences and sources. */
const short = (text: string) => text.replaceAll(`${dir}/`, '')

async function told({ argv = [], env = {}, file, found, command = addRunOptions(new Command(), true) }: Told) {
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
  const named = join(dir, 'my.toml')
  if (file !== undefined) writeFileSync(named, file)
  if (found !== undefined) writeFileSync(join(dir, 'mpdl.toml'), found, { mode: 0o600 })
  command.parse([...(file === undefined ? [] : ['--config', named]), ...argv], { from: 'user' })
  const outcome = await configure(command, join(dir, 'list.txt'))
  return {
    ...outcome,
    problems: outcome.problems.map(short),
    options: command.opts<RawRunOptions>(),
    sourceOf: (name: keyof RawRunOptions) => short(command.getOptionValueSource(name) ?? ''),
  } satisfies Outcome
}

describe('an option', () => {
  test('is what was typed, else what the environment says, else the file, else the default', async () => {
    const file = 'jobs = 2\ntries = 2\nsplit = 2\n'
    const { options, problems, sourceOf } = await told({
      argv: ['--jobs', '4'],
      env: { MPDL_JOBS: '3', MPDL_TRIES: '3' },
      file,
    })
    expect(problems).toEqual([])
    expect([options.jobs, options.tries, options.split, options.maxPerHost]).toEqual([4, 3, 2, 6])
    const sources = (['jobs', 'tries', 'split', 'maxPerHost'] as const).map(sourceOf)
    expect(sources).toEqual(['cli', 'MPDL_TRIES', 'my.toml line 3', 'default'])
  })

  test('is read by the parser of the command line, as text or as a number', async () => {
    const file = 'timeout = 30\nlimit-rate = "500K"\nmin-speed = "off"\nnames = "tree"\nuser = "me:a:b"'
    const { options } = await told({ file })
    expect(options).toMatchObject({
      timeout: 30_000,
      limitRate: 500 * 1024,
      minSpeed: { bytesPerSecond: 0 },
      names: 'tree',
      user: { user: 'me', password: 'a:b' },
    })
  })

  test('that may be repeated is an array in a file and lines in the environment', async () => {
    const { options } = await told({
      file: 'header = ["A: 1", "B: 2"]\naccept-type = "image/*, application/PDF"',
      env: { MPDL_REPORT: 'a.json\nb.txt\n' },
    })
    expect(options.header).toEqual([
      ['A', '1'],
      ['B', '2'],
    ])
    expect(options.acceptType).toEqual(['image/*', 'application/pdf'])
    expect(options.report).toEqual(['a.json', 'b.txt'])
  })

  test('that may be repeated is replaced by a higher layer, not added to', async () => {
    const { options } = await told({ argv: ['-H', 'C: 3'], file: 'header = ["A: 1", "B: 2"]' })
    expect(options.header).toEqual([['C', '3']])
  })

  test.each([
    ['true', true],
    ['1', true],
    ['YES', true],
    ['false', false],
    ['0', false],
    ['no', false],
  ])('without a value is %s in the environment', async (word, value) => {
    const { options } = await told({ env: { MPDL_KEEP_GOING: word }, file: `keep-going = ${!value}` })
    expect(options.keepGoing).toBe(value)
  })

  test('that begins with no- is written with it', async () => {
    expect((await told({ file: 'no-mtime = true' })).options.mtime).toBe(false)
    expect((await told({ file: 'no-log = false' })).options.log).toBe(true)
    expect((await told({ env: { MPDL_NO_PROXY: '1' }, file: 'proxy = "http://h:1"' })).options.proxy).toBe(false)
    expect((await told({ env: { MPDL_NO_PROXY: '0' }, file: 'no-proxy = true' })).options.proxy).toBeUndefined()
  })

  test('is not told by an empty variable', async () => {
    const { options, problems } = await told({ env: { MPDL_JOBS: '', MPDL_HEADER: '' } })
    expect([problems, options.jobs, options.header]).toEqual([[], 8, undefined])
  })

  test.each(RUN_OPTIONS.map((option) => [option.name()]))('--%s is known to the environment', async (name) => {
    const variable = `MPDL_${name.toUpperCase().replaceAll('-', '_')}`
    expect(unknownVariables({ [variable]: 'x', [`${variable}XXXXX`]: 'x' })).toHaveLength(1)
  })
})

describe('options that exclude each other', () => {
  test('the higher layer wins without a word', async () => {
    const file = 'skip-existing = true'
    const typed = await told({ argv: ['--force'], file })
    expect([typed.problems, typed.options.force, typed.options.skipExisting]).toEqual([[], true, undefined])
    const inEnvironment = await told({ env: { MPDL_TIMESTAMPING: '1' }, file })
    expect([inEnvironment.problems, inEnvironment.options.timestamping]).toEqual([[], true])
    expect(inEnvironment.options.skipExisting).toBeUndefined()
  })

  test('one that is off excludes nothing', async () => {
    const { options, problems } = await told({ file: 'skip-existing = true\nforce = false' })
    expect([problems, options.force, options.skipExisting]).toEqual([[], false, true])
  })

  test.each([
    ['force = true\nskip-existing = true', 'my.toml line 2: skip-existing contradicts my.toml line 1; keep one'],
    ['timestamping = true\n\nforce = true', 'my.toml line 3: force contradicts my.toml line 1; keep one'],
    ['proxy = "http://h:1"\nno-proxy = true', 'my.toml line 2: no-proxy contradicts my.toml line 1; keep one'],
  ])('in one file are a mistake: %j', async (file, sentence) => {
    expect((await told({ file })).problems).toEqual([sentence])
  })
})

describe('a mistake', () => {
  test.each([
    ['jbos = 3', 'jbos is unknown; did you mean jobs?'],
    ['max_per_host = 3', 'max_per_host is unknown; did you mean max-per-host?'],
    ['skipExisting = true', 'skipExisting is unknown; did you mean skip-existing?'],
    ['timestamp = true', 'timestamp is unknown; did you mean timestamping?'],
    ['j = 3', 'j is unknown; did you mean jobs?'],
    ['retry = 3', 'retry is unknown; --tries N (the first attempt counts)'],
    ['all-proxy = "h"', 'all-proxy is unknown; --proxy URL'],
    ['colour = "red"', 'colour is unknown; mpdl --help-all shows what there is, to be written without the dashes'],
    ['[mpdl]\njobs = 3', 'mpdl is a section, and there are none; write its keys at the top of the file'],
    ['jobs = 0', 'jobs is 0; allowed are whole numbers from 1 to 1000'],
    ['jobs = "many"', 'jobs is many; allowed are whole numbers from 1 to 1000'],
    ['jobs = [1, 2]', 'jobs takes one text or number'],
    ['timeout = 2026-01-01', 'timeout takes one text or number'],
    ['report = [["a.json"], 2026-01-01]', 'report takes text, or several: ["…", "…"]'],
    ['names = "deep"', 'names is deep; allowed choices are flat, tree, host'],
    ['accept-type = ["image/*", "pdf"]', 'accept-type is image/*, pdf; allowed are media types like application/pdf'],
    ['force = "maybe"', 'force is maybe; allowed are true and false (1, 0, yes, no, on, off)'],
    ['config = "other.toml"', 'config cannot stand in a configuration file'],
  ])('%j is told with its line and what is right', async (file, sentence) => {
    const { problems } = await told({ file: `# first\n${file}\n` })
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(`my.toml line 2: ${sentence}`)
  })

  test('in the environment names the variable', async () => {
    expect((await told({ env: { MPDL_JOBS: 'zero' } })).problems).toEqual([
      'MPDL_JOBS is zero; allowed are whole numbers from 1 to 1000',
    ])
    expect(unknownVariables({ MPDL_JBOS: '3', MPDL_JOBS: '3', MPDL_: '', OTHER: '' })).toEqual([
      'MPDL_JBOS is unknown; did you mean MPDL_JOBS?',
      'MPDL_ is unknown',
    ])
  })

  test.each([
    ['header = ["X-Api-Key canary"]'],
    ['header = [["canary"]]'],
    ['user = "me\\u0007:canary"'],
    ['proxy = "ftp://me:canary@host"'],
    ['proxy = "http://me:canary@host/path"'],
    ['password = "canary"'],
    ['header = "A: canary" canary'],
    ['header = "A: canary'],
    ['header = "A: \\canary"'],
    ['canary = canary'],
  ])('never repeats what may be a secret: %j', async (file) => {
    const { problems } = await told({ file })
    expect(problems).toHaveLength(1)
    expect(problems.join().replace('canary is unknown', '')).not.toContain('canary')
  })

  test('in what TOML is has its line and column', async () => {
    const { problems } = await told({ file: 'jobs = 3\nheader = ["A: b"\n' })
    expect(problems[0]).toMatch(/^my\.toml line \d, column \d+: .*; write lines like: jobs = 16/)
  })

  test('is told together with all others, and leaves with 78', async () => {
    vi.stubEnv('MPDL_TRIES', 'x')
    writeFileSync(join(dir, 'my.toml'), 'jbos = 3\njobs = 0\n')
    const command = addRunOptions(new Command(), true).parse(['--config', join(dir, 'my.toml')], { from: 'user' })
    const error = await configured(command, undefined).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ exitCode: 78 })
    expect(String(error).split('\n')).toHaveLength(3)
  })
})

describe('the line of a key', () => {
  test('is right behind comments, arrays and texts over several lines', async () => {
    const file = [
      '# jobs = 1',
      'header = [',
      '  "A: 1", # jobs = 1',
      ']',
      'user-agent = """',
      'jobs = 1"""',
      '',
      '"jobs" = 0',
    ].join('\r\n')
    const { problems, sourceOf } = await told({ file })
    expect(problems.at(-1)).toContain('my.toml line 8: jobs is 0')
    expect(sourceOf('header')).toBe('my.toml line 2')
  })
})

describe('the file beside the list', () => {
  test('is read without being named, and not where another is, or none is wanted', async () => {
    expect((await told({ found: 'jobs = 2' })).options.jobs).toBe(2)
    expect((await told({ found: 'jobs = 2', argv: ['--no-config'] })).options.jobs).toBe(8)
    expect((await told({ found: 'jobs = 2', env: { MPDL_NO_CONFIG: '1' } })).options.jobs).toBe(8)
    vi.unstubAllEnvs()
    expect((await told({ found: 'jobs = 2', file: 'tries = 3' })).options.jobs).toBe(8)
    const other = join(dir, 'other.toml')
    writeFileSync(other, 'jobs = 3')
    expect((await told({ found: 'jobs = 2', env: { MPDL_CONFIG: other } })).options.jobs).toBe(3)
  })

  test('is not looked for where there is no list file', async () => {
    vi.spyOn(process, 'cwd').mockReturnValue(dir)
    writeFileSync(join(dir, 'mpdl.toml'), 'jobs = 2')
    const command = addRunOptions(new Command(), true).parse([], { from: 'user' })
    expect((await configure(command, undefined)).file).toBeUndefined()
  })

  const KEPT = [
    'proxy = "http://h:1"',
    'no-proxy = true',
    'cacert = "ca.pem"',
    'cert = "c.pem"',
    'key = "k.pem"',
    'insecure = true',
    'dir = "/etc"',
    'out = "x"',
    'log-dir = "x"',
    'report = "x.json"',
    'failed-out = "x"',
    'cookie-jar = "x"',
    'netrc-file = "x"',
    'sandbox = "off"',
    'inject = "spin@1"',
    'block-private = false',
  ]
  test.each(KEPT)('may not say %s, which --config may', async (line) => {
    const key = line.split(' ')[0]
    const { problems, options } = await told({ found: `\n${line}`, argv: [] })
    expect(problems).toEqual([
      `mpdl.toml line 2: ${key} is not taken from a file that was only found beside the list; ` +
        'give it with --config mpdl.toml',
    ])
    expect(options).toMatchObject({ dir: '.' })
    expect((await told({ file: line })).problems).toEqual([])
  })

  test('may ask for more safety', async () => {
    expect((await told({ found: 'block-private = true' })).options.blockPrivate).toBe(true)
  })

  test('is refused when others can write it', async () => {
    writeFileSync(join(dir, 'mpdl.toml'), 'jobs = 2')
    for (const mode of [0o620, 0o602, 0o666]) {
      chmodSync(join(dir, 'mpdl.toml'), mode)
      const { problems, options } = await told({})
      expect(problems[0]).toContain('mpdl.toml can be written by others; chmod go-w mpdl.toml')
      expect(options.jobs).toBe(8)
    }
  })

  test('is refused when it is a link, a directory or another thing', async () => {
    writeFileSync(join(dir, 'real.toml'), 'jobs = 2', { mode: 0o600 })
    symlinkSync('real.toml', join(dir, 'mpdl.toml'))
    expect((await told({})).problems[0]).toContain('mpdl.toml is no plain file')
    rmSync(join(dir, 'mpdl.toml'))
    mkdirSync(join(dir, 'mpdl.toml'))
    expect((await told({})).problems[0]).toContain('mpdl.toml is no plain file')
  })

  test.runIf(process.geteuid?.() === 0)('is refused when it belongs to somebody else', async () => {
    writeFileSync(join(dir, 'mpdl.toml'), 'jobs = 2', { mode: 0o600 })
    chownSync(join(dir, 'mpdl.toml'), 12_345, 12_345)
    expect((await told({})).problems[0]).toContain('mpdl.toml belongs to somebody else (uid 12345)')
    expect((await told({ argv: ['--config', join(dir, 'mpdl.toml')] })).options.jobs).toBe(2)
  })

  test('cannot be missing when it was named', async () => {
    const { problems } = await told({ argv: ['--config', join(dir, 'nowhere.toml')] })
    expect(problems).toEqual(['cannot read nowhere.toml: ENOENT'])
  })
})

test('a command that has only some of the options ignores the others, right or wrong', async () => {
  const command = addVerifyOptions(new Command())
  const { problems, options } = await told({ command, file: 'jobs = 3\nproxy = "nonsense://"\nnames = "tree"' })
  expect([problems, options.jobs, options.names, 'proxy' in options]).toEqual([[], 3, 'tree', false])
})
