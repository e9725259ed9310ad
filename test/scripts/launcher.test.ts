// The two ways to start mpdl from a checkout, as a person, a link and cron do it.

import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const LAUNCHER = join(ROOT, 'scripts', 'mpdl')
let dir = ''
let server: FaultServer

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-launcher-'))
  server = await startFaultServer()
})
afterAll(async () => {
  await server.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** As cron does: no PATH but the system's, no terminal, another directory. */
function underCron(file: string, args: readonly string[]) {
  return spawnSync('/usr/bin/env', ['-i', `HOME=${dir}`, 'PATH=/usr/bin:/bin', file, ...args], {
    cwd: dir,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

describe('the launcher', () => {
  test('downloads a list under the environment of cron, from another directory, without a word', async () => {
    writeFileSync(join(dir, 'urls.txt'), `${server.url('/ok/a.bin?size=5000')}\n`)
    // The server lives in this process, so the launcher must not block it.
    const { promise, resolve } = Promise.withResolvers<{ code: number | null; said: string }>()
    const child = spawn('/usr/bin/env', ['-i', `HOME=${dir}`, 'PATH=/usr/bin:/bin', LAUNCHER, 'urls.txt'], { cwd: dir })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += String(chunk)))
    child.on('close', (code) => resolve({ code, said }))
    expect(await promise).toEqual({ code: 0, said: '' })
    expect(readFileSync(join(dir, 'a.bin'))).toEqual(bodyOf(5000))
  })

  test('works through a symbolic link to a symbolic link', () => {
    symlinkSync(LAUNCHER, join(dir, 'one'))
    symlinkSync('one', join(dir, 'two'))
    const { stdout, status } = underCron(join(dir, 'two'), ['--version'])
    expect(stdout).toMatch(/^mpdl \d+\.\d+\.\d+\n$/)
    expect(status).toBe(0)
  })

  test('passes on the exit code of a wrong call', () => {
    const { stderr, status } = underCron(LAUNCHER, ['--jobs', 'many', 'urls.txt'])
    expect(status).toBe(64)
    expect(stderr).toContain('whole numbers from 1 to 1000')
  })
})

describe('main.js under a Node that is too old', () => {
  test('says in one line which Node it needs and exits 78', () => {
    // The version is all that is looked at, so a wrong one can be put in its place.
    const old = join(dir, 'old.mjs')
    writeFileSync(
      old,
      `Object.defineProperty(process.versions, 'node', { value: '20.20.2' })\nawait import(${JSON.stringify(join(ROOT, 'dist', 'main.js'))})\n`,
    )
    const { stderr, status } = spawnSync(process.execPath, [old], { encoding: 'utf8' })
    expect(stderr).toMatch(/^mpdl needs Node 22\.21 or newer; this is 20\.20\.2 .*\n$/)
    expect(status).toBe(78)
  })
})

describe('npm start', () => {
  test('downloads the five forms of the sample origin, each in a child of its own', () => {
    const { stderr: said, status } = spawnSync('npm', ['start', '--silent'], {
      cwd: ROOT,
      encoding: 'utf8',
      env: { ...process.env, CI: 'true' },
    })
    expect(status).toBe(0)
    expect(said).toContain('5 = 5 downloaded')
    expect(new Set([...said.matchAll(/ pid (\d+) /g)].map(([, pid]) => pid)).size).toBe(5)
    rmSync(/The files are in (\S+)\/downloads/.exec(said)?.[1] ?? join(dir, 'none'), { recursive: true, force: true })
  })
})
