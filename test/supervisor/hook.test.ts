// What becomes of the program of --on-finish, with real programs that behave as programs do.
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Hook, type HookEnd, type HookOptions } from '../../src/supervisor/hook.ts'
import { stateOf, until } from '../e2e/run-mpdl.ts'

const scratch = mkdtempSync(join(tmpdir(), 'mpdl-hook-'))
const daemons: number[] = []
afterAll(() => {
  for (const pid of daemons) process.kill(pid, 'SIGKILL')
  rmSync(scratch, { recursive: true, force: true })
})

let programs = 0

/** A program of these lines, in which `$AT` is a place for its files. */
function program(...lines: readonly string[]): { readonly path: string; at(name: string): string } {
  const path = join(scratch, `program-${++programs}`)
  writeFileSync(path, ['#!/bin/sh', `AT=${path}`, ...lines, ''].join('\n'))
  chmodSync(path, 0o755)
  return { path, at: (name) => `${path}.${name}` }
}

type Started = Pick<Hook, 'interrupt' | 'signalChildren'> & { readonly ended: Promise<HookEnd> }

const ENV = { PATH: process.env['PATH'] ?? '' }

function start(path: string, { env = ENV, ...options }: Partial<HookOptions> & { env?: typeof ENV } = {}): Started {
  const hook = new Hook({ program: path, timeoutMs: 60_000, graceMs: 5000, ...options })
  const ended = hook.run(env)
  return {
    ended,
    interrupt: (signal) => hook.interrupt(signal),
    signalChildren: (signal) => hook.signalChildren(signal),
  }
}

const wordIn = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8').trim() : '')
const pidIn = (path: string) => Number(wordIn(path))
/** Resolves when the program has written its file. */
const written = (path: string) => until(`${path} is written`, () => wordIn(path) !== '')
const isGone = (pid: number) => until(`${pid} is gone`, () => stateOf(pid) === undefined)

const IGNORES_TERM = "trap '' TERM"
const FOR_EVER = 'while :; do sleep 60; done'

describe('a program that ends by itself', () => {
  test('with 0 is no problem; its standard input is empty and its environment is what it was given', async () => {
    const { path } = program('cat', 'env | grep MPDL', 'echo to stderr >&2')
    const env = { ...ENV, MPDL_RUN_ID: 'x y' }
    const ended = await start(path, { env }).ended
    expect(ended).toMatchObject({ program: path, exit_code: 0, signal: null, problem: null })
    expect(ended.output.split('\n').sort()).toEqual(['', 'MPDL_RUN_ID=x y', 'to stderr'])
    expect(ended.ms).toBeGreaterThanOrEqual(0)
  })

  test('with another code is named, with the last thing it said', async () => {
    const { path } = program('echo one', 'echo "  cannot mail  "', 'echo', 'exit 3')
    expect(await start(path).ended).toMatchObject({
      exit_code: 3,
      signal: null,
      output: 'one\n  cannot mail  \n\n',
      problem: `--on-finish ${path} ended with exit code 3: cannot mail`,
    })
  })

  test('by a crash is named by its signal', async () => {
    const { path } = program('kill -SEGV $$')
    expect(await start(path).ended).toMatchObject({
      exit_code: null,
      signal: 'SIGSEGV',
      problem: `--on-finish ${path} died of SIGSEGV`,
    })
  })

  test('because it cannot be started is told with the cause', async () => {
    const gone = join(scratch, 'gone')
    const noInterpreter = program()
    writeFileSync(noInterpreter.path, '#!/no/such/interpreter\n')
    for (const path of [gone, noInterpreter.path]) {
      const { problem } = await start(path).ended
      expect(problem).toMatch(/^--on-finish .* ended with exit code 127: .*not found$/)
      expect(problem).toContain(path)
    }
    expect((await start(scratch).ended).problem).toMatch(/ ended with exit code 126: .*(denied|directory)$/i)
  })

  test('is found in PATH by its name', async () => {
    expect(await start('true').ended).toMatchObject({ program: 'true', exit_code: 0, problem: null })
  })
})

describe('what it prints', () => {
  test('of a gigabyte the end is kept', async () => {
    const { path } = program('head -c 1000000000 /dev/zero | tr "\\0" x', 'echo', 'echo the last line')
    const { output, problem } = await start(path).ended
    expect(problem).toBeNull()
    expect(output).toHaveLength(8192)
    expect(output.endsWith('xxx\nthe last line\n')).toBe(true)
    expect(process.memoryUsage().rss).toBeLessThan(500 * 2 ** 20)
  }, 120_000)

  test.each([
    ['random bytes', 'head -c 100000 /dev/urandom'],
    ['zeros', 'head -c 100000 /dev/zero'],
    ['bytes that are no UTF-8', 'head -c 100000 /dev/zero | tr "\\0" "\\377"'],
    ['quotes and backslashes', 'head -c 100000 /dev/zero | tr "\\0" "\\134"'],
    ['line ends', 'head -c 100000 /dev/zero | tr "\\0" "\\n"'],
  ])('%s are harmless, and leave room in the end of a log', async (_, line) => {
    const ended = await start(program(line, 'exit 1').path).ended
    expect(ended.output).not.toMatch(/[^\P{Cc}\n]|\p{Cs}/u)
    expect(ended.output.isWellFormed()).toBe(true)
    expect(Buffer.byteLength(JSON.stringify(ended))).toBeLessThan(32 * 1024)
    expect(ended.problem?.length).toBeLessThan(800)
  })

  test('characters that come in pieces through two pipes are whole', async () => {
    const { path } = program(
      "printf '\\303'",
      'sleep 0.05',
      "printf '\\360\\237' >&2",
      'sleep 0.05',
      "printf '\\251'",
      "printf '\\230\\200' >&2",
    )
    expect((await start(path).ended).output).toMatch(/^(é😀|😀é)$/)
  })

  test('secrets in URLs are masked, also in what is said of it', async () => {
    const ended = await start(program('echo "POST https://me:geheim@h.example/x?token=geheim failed"', 'exit 1').path)
      .ended
    expect(JSON.stringify(ended)).not.toContain('geheim')
    expect(ended.problem).toContain('POST https://***@h.example/x?token=*** failed')
  })
})

describe('a program that does not end', () => {
  test('is ended when its time is over, and that is named', async () => {
    const { path } = program(FOR_EVER)
    expect(await start(path, { timeoutMs: 300 }).ended).toMatchObject({
      exit_code: null,
      signal: 'SIGTERM',
      problem: `--on-finish ${path} was still running after 300ms and was ended (--on-finish-timeout)`,
    })
  })

  test('is told to by SIGTERM, with all it started, and what it says then changes nothing', async () => {
    const { path, at } = program("trap 'echo bye; exit 0' TERM", 'sleep 1000 &', 'echo $! > $AT.child', 'wait')
    const hook = start(path)
    await written(at('child'))
    hook.interrupt('SIGTERM')
    expect(await hook.ended).toMatchObject({
      exit_code: 0,
      problem: `--on-finish ${path} was ended by a SIGTERM to mpdl: bye`,
    })
    await isGone(pidIn(at('child')))
  })

  test('is killed when it ignores that, and so is a child of it that does', async () => {
    const { path, at } = program(IGNORES_TERM, `(${FOR_EVER}) &`, 'echo $! > $AT.child', FOR_EVER)
    const hook = start(path, { graceMs: 200 })
    await written(at('child'))
    hook.interrupt('SIGTERM')
    expect(await hook.ended).toMatchObject({ exit_code: null, signal: 'SIGKILL' })
    await isGone(pidIn(at('child')))
  })

  test('is killed although it is stopped', async () => {
    const { path, at } = program('echo $$ > $AT.pid', 'kill -STOP $$')
    const hook = start(path, { graceMs: 100 })
    await until('it is stopped', () => stateOf(pidIn(at('pid'))) === 'T')
    hook.interrupt('SIGTERM')
    expect(await hook.ended).toMatchObject({ signal: 'SIGKILL' })
  })

  test('is ended by an interrupt, which is named', async () => {
    const { path, at } = program('echo $$ > $AT.pid', FOR_EVER)
    const hook = start(path)
    await written(at('pid'))
    hook.interrupt('SIGTERM')
    expect(await hook.ended).toMatchObject({
      signal: 'SIGTERM',
      problem: `--on-finish ${path} was ended by a SIGTERM to mpdl`,
    })
  })

  test('is killed at once by a second interrupt', async () => {
    const { path, at } = program(IGNORES_TERM, 'echo $$ > $AT.pid', FOR_EVER)
    const hook = start(path, { graceMs: 1_000_000 })
    await written(at('pid'))
    hook.interrupt('SIGINT')
    hook.interrupt('SIGINT')
    expect(await hook.ended).toMatchObject({
      signal: 'SIGKILL',
      problem: expect.stringContaining('by a SIGINT to mpdl'),
    })
  })

  test('ends at once when the interrupt was there before it', async () => {
    const { path, at } = program('echo $$ > $AT.pid', FOR_EVER)
    const hook = new Hook({ program: path, timeoutMs: 60_000, graceMs: 5000 })
    hook.interrupt('SIGINT')
    expect((await hook.run(ENV)).problem).toContain('was ended by a SIGINT to mpdl')
    expect(stateOf(pidIn(at('pid')))).toBeUndefined()
  })

  test('sleeps and wakes with mpdl', async () => {
    const { path, at } = program('echo $$ > $AT.pid', 'exec sleep 1000')
    const hook = start(path)
    await written(at('pid'))
    hook.signalChildren('SIGSTOP')
    await until('it sleeps', () => stateOf(pidIn(at('pid'))) === 'T')
    hook.signalChildren('SIGCONT')
    await until('it is awake', () => stateOf(pidIn(at('pid'))) !== 'T')
    hook.interrupt('SIGTERM')
    await hook.ended
  })
})

describe('what it leaves behind', () => {
  test('in its own group is ended, and keeps nobody waiting', async () => {
    const { path, at } = program('sleep 1000 &', 'echo $! > $AT.child', 'echo started')
    const ended = await start(path, { graceMs: 1000 }).ended
    expect(ended).toMatchObject({ exit_code: 0, output: 'started\n', problem: null })
    expect(ended.ms).toBeLessThan(30_000)
    await isGone(pidIn(at('child')))
  })

  test('as a daemon that keeps its pipes keeps nobody waiting, and may live', async () => {
    const { path, at } = program(
      'setsid sh -c "echo \\$\\$ > $AT.daemon; exec sleep 1000" &',
      'while [ ! -s $AT.daemon ]; do sleep 0.01; done',
      'echo started',
    )
    const ended = await start(path).ended
    daemons.push(pidIn(at('daemon')))
    expect(ended).toMatchObject({ exit_code: 0, output: 'started\n', problem: null })
    expect(ended.ms).toBeLessThan(30_000)
    expect(stateOf(pidIn(at('daemon')))).toBeDefined()
  })

  test('as a daemon that never stops to write keeps nobody waiting either', async () => {
    const { path, at } = program(
      'setsid sh -c "echo \\$\\$ > $AT.daemon; exec yes" &',
      'while [ ! -s $AT.daemon ]; do sleep 0.01; done',
    )
    const ended = await start(path).ended
    expect(ended).toMatchObject({ exit_code: 0, problem: null })
    await isGone(pidIn(at('daemon')))
  })
})
