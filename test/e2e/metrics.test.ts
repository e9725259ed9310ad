// Proves that --metrics leaves one whole file after every run, and that its reader can read it. Knows nothing of the
// format but what promtool says.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { intoFile } from '../../src/cli/outputs.ts'
import { type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram, requireServer } from '../fixtures/servers.ts'
import { type Home, newHome, ONCE, run, start } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

const hasPromtool = requireServer('promtool', findProgram('promtool'))
const setpriv = findProgram('setpriv')
const isRoot = process.getuid?.() === 0
const good = () => server.url('/ok/a?size=1000')
const gone = () => server.url('/status/404/gone')

/** The values by name, where there is only one. */
function gaugesIn(path: string): ReadonlyMap<string, number> {
  const samples = readFileSync(path, 'utf8').matchAll(/^mpdl_([a-z_]+)\{.*\} (\S+)$/gm)
  return new Map([...samples].map(([, name = '', value]) => [name, Number(value)]))
}

function metricsHome(): Home & { readonly metrics: string } {
  const home = newHome()
  mkdirSync(home.at('collector'))
  return { ...home, metrics: home.at('collector/list.prom') }
}

describe('--metrics', () => {
  test('is written after a good run, and the last success outlives the bad ones', async () => {
    const home = metricsHome()
    const args = [...ONCE, '--metrics', home.metrics]
    const first = await run({ home, list: good(), args })
    expect([first.code, first.stderr]).toEqual([0, ''])
    const before = gaugesIn(home.metrics)
    const { run: header, totals } = first.report
    expect(before.get('last_run_success')).toBe(1)
    expect(before.get('last_run_start_timestamp_seconds')).toBe(header.started / 1000)
    expect(before.get('last_run_end_timestamp_seconds')).toBe((header.ended ?? 0) / 1000)
    expect(before.get('last_run_received_bytes')).toBe(totals['bytes'])
    const success = before.get('last_success_timestamp_seconds') ?? 0
    expect(success).toBeGreaterThanOrEqual(header.started / 1000)
    const second = await run({ home, list: `${good()}\n${gone()}`, args })
    expect(second.code).toBe(8)
    const after = gaugesIn(home.metrics)
    expect([after.get('last_run_success'), after.get('last_run_exit_code')]).toEqual([0, 8])
    expect(after.get('last_success_timestamp_seconds')).toBe(success)
    expect(readdirSync(home.at('collector'))).toEqual(['list.prom'])
  })

  test('is written when a signal ends the run', async () => {
    const home = metricsHome()
    const running = start({ home, list: server.url('/stall/half?size=1000'), args: ['--metrics', home.metrics] })
    await running.event('response')
    process.kill(running.pid, 'SIGTERM')
    expect((await running.ended).code).toBe(143)
    expect(gaugesIn(home.metrics).get('last_run_exit_code')).toBe(143)
    expect(gaugesIn(home.metrics).get('last_success_timestamp_seconds')).toBe(0)
  })

  test('can be read by node_exporter, which is another user, unless the umask says no', async () => {
    const home = metricsHome()
    for (const [umask, mode] of [
      ['022', 0o644],
      ['077', 0o600],
    ] as const) {
      const wrap = ['/bin/sh', '-c', `umask ${umask}; exec "$@"`, 'sh']
      await run({ home, list: good(), args: ['--metrics', home.metrics], wrap })
      expect(statSync(home.metrics).mode & 0o777).toBe(mode)
    }
  })

  test.skipIf(!hasPromtool)('is what promtool calls flawless, whatever the list is called', async () => {
    const home = metricsHome()
    const list = home.at('my "best"\\list\n# HELP x y\n{ü}=1.txt')
    writeFileSync(list, `${good()}\n${gone()}`)
    await run({ home, operands: [list], args: [...ONCE, '--metrics', home.metrics] })
    const input = readFileSync(home.metrics)
    const { status, stdout, stderr } = spawnSync(findProgram('promtool') ?? '', ['check', 'metrics'], { input })
    expect([status, `${stdout}${stderr}`]).toEqual([0, ''])
  })

  test('a pipe that nobody reads is told and not waited for, one that somebody reads gets all', async () => {
    const home = metricsHome()
    execFileSync('mkfifo', [home.metrics])
    const ended = await run({ home, list: good(), args: ['--metrics', home.metrics] })
    expect([ended.code, ended.stderr]).toEqual([73, expect.stringMatching(/^mpdl: cannot write .*list\.prom: ENXIO/)])
    const reader = spawn('cat', [home.metrics], { stdio: ['ignore', 'pipe', 'ignore'] })
    const hasRead = once(reader, 'close')
    let read = ''
    reader.stdout.on('data', (chunk: Buffer) => {
      read += String(chunk)
    })
    // Until its reader has come a pipe is as good as read by nobody.
    const again = await run({
      home,
      list: good(),
      args: ['--metrics', home.metrics],
      wrap: ['/bin/sh', '-c', 'exec 9>"$0"; exec "$@"', home.metrics],
    })
    await hasRead
    expect([again.code, again.stderr]).toEqual([0, ''])
    expect(read).toContain('mpdl_last_run_success{')
  })

  test('another suffix is refused: nobody would read it', async () => {
    const ended = await run({ list: good(), args: ['--metrics', 'list.txt'] })
    expect([ended.code, ended.stderr]).toEqual([64, expect.stringContaining('allowed are names that end in .prom')])
  })

  test.skipIf(!isRoot || setpriv === undefined)(
    'into a directory without rights is told, and the exit code is 73',
    async () => {
      const home = metricsHome()
      chmodSync(home.at('collector'), 0o755)
      for (const path of [home.root, home.out]) chownSync(path, 65_534, 65_534)
      const wrap = [setpriv ?? '', '--reuid=65534', '--regid=65534', '--clear-groups', '--']
      const args = [...ONCE, '--metrics', home.metrics]
      const fine = await run({ home, list: good(), args, wrap })
      expect([fine.code, fine.files]).toEqual([73, ['a']])
      expect(fine.stderr).toMatch(/^mpdl: cannot write .*\/list\.prom: EACCES.*\n$/)
      const bad = await run({ home, list: gone(), args, wrap })
      expect([bad.code, bad.stderr]).toEqual([8, expect.stringContaining('list.prom: EACCES')])
      expect(readdirSync(home.at('collector'))).toEqual([])
    },
  )

  test('into a directory that is not there is told before a byte moves', async () => {
    const home = metricsHome()
    const ended = await run({ home, list: good(), args: ['--metrics', home.at('nowhere/list.prom')] })
    expect([ended.code, ended.stderr]).toEqual([
      73,
      expect.stringMatching(/^mpdl: --metrics .*: there is no directory /),
    ])
    expect(ended.files).toEqual([])
  })
})

describe('a file that is replaced', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'mpdl-metrics-'))
  afterAll(() => rmSync(scratch, { recursive: true, force: true }))
  const at = (name: string) => join(scratch, name)

  test('is never seen in half by who reads it all the time, nor beside it under a name that is gathered', async () => {
    const path = at('list.prom')
    const whole = (version: number) => `begin ${version}\n${`${version}\n`.repeat(5000)}end ${version}\n`
    await intoFile(path, 0o666, async (write) => write(whole(0)))
    // Reads some times whenever it is asked to, and says whether every time it was whole.
    const code = `const fs = require('node:fs')
      const isWhole = () => {
        const names = fs.readdirSync(${JSON.stringify(scratch)}).filter((name) => name.endsWith('.prom'))
        const text = fs.readFileSync(${JSON.stringify(path)}, 'latin1')
        const version = /^begin (\\d+)\\n/.exec(text)?.[1]
        return text.endsWith('\\nend ' + version + '\\n') && names.length === 1
      }
      require('node:readline').createInterface({ input: process.stdin }).on('line', () => {
        console.log([...Array(20)].every(isWhole))
      })`
    const reader = spawn(process.execPath, ['-e', code], { stdio: ['pipe', 'pipe', 'inherit'] })
    const answers = createInterface({ input: reader.stdout })[Symbol.asyncIterator]()
    const ask = () => reader.stdin.write('\n')
    const answer = async () => (await answers.next()).value
    const seen = new Set<unknown>()
    for (let version = 1; version <= 50; version++) {
      const text = whole(version)
      await intoFile(path, 0o666, async (write) => {
        write(text.slice(0, 10_000))
        ask()
        seen.add(await answer())
        // The end of the file and its name come while this one reads.
        ask()
        write(text.slice(10_000))
      })
      seen.add(await answer())
    }
    reader.stdin.end()
    await once(reader, 'exit')
    expect(seen).toEqual(new Set(['true']))
    expect(readFileSync(path, 'utf8')).toBe(whole(50))
    expect(readdirSync(scratch)).toEqual(['list.prom'])
  })

  test('stays as it was when its successor cannot be written, and nothing lies beside it', async () => {
    const path = at('list.prom')
    await intoFile(path, 0o666, async (write) => write('old\n'))
    const failing = intoFile(path, 0o666, async (write) => {
      write('new')
      throw new Error('no more')
    })
    await expect(failing).rejects.toThrow('no more')
    expect(readFileSync(path, 'utf8')).toBe('old\n')
    expect(readdirSync(scratch)).toEqual(['list.prom'])
  })

  test('is replaced although a killed run of the same number has left its own beside it', async () => {
    const path = at('list.prom')
    writeFileSync(`${path}.${process.pid}~`, 'half of')
    await intoFile(path, 0o666, async (write) => write('new\n'))
    expect(readFileSync(path, 'utf8')).toBe('new\n')
    expect(readdirSync(scratch)).toEqual(['list.prom'])
  })
})
