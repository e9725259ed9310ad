// Proves what the program keeps of V8's work beside itself, and that nobody but its owner can make it keep anything.
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findProgram } from '../fixtures/servers.ts'
import { PROGRAM } from './run-mpdl.ts'

const setpriv = findProgram('setpriv')
const canDropRights = process.getuid?.() === 0 && setpriv !== undefined

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-compiled-'))
  chmodSync(dir, 0o755)
  for (const name of ['main.js', 'mpdl.js']) cpSync(join(PROGRAM, '..', name), join(dir, name))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const VERSION = ['main.js', '--version']

function start(wrap: readonly string[] = []): string {
  const [file = '', ...args] = [...wrap, process.execPath, ...VERSION]
  const { stdout, stderr, status } = spawnSync(file, args, { cwd: dir, encoding: 'utf8', env: {} })
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
  return stdout
}

function kept(): string[] {
  const compiled = join(dir, '.compiled')
  return readdirSync(compiled, { recursive: true, encoding: 'utf8' })
    .map((name) => join(compiled, name))
    .filter((path) => statSync(path).isFile())
}

test('the second start finds what the first has made, and it is nobody else’s to change', () => {
  const said = start()
  const before = kept().map((path) => [path, statSync(path).mtimeMs])
  expect(before).not.toEqual([])
  expect(start()).toBe(said)
  expect(kept().map((path) => [path, statSync(path).mtimeMs])).toEqual(before)
  for (const path of kept()) expect(statSync(path).mode & 0o022).toBe(0)
})

test('what was damaged is made anew', () => {
  const said = start()
  for (const path of kept()) {
    const bytes = readFileSync(path)
    writeFileSync(path, bytes.fill(0x41, bytes.length / 2))
  }
  expect(start()).toBe(said)
  for (const path of kept()) writeFileSync(path, '')
  expect(start()).toBe(said)
})

test.skipIf(!canDropRights)('who does not own the program leaves nothing beside it, even where he might', () => {
  chmodSync(dir, 0o777)
  start([setpriv ?? '', '--reuid=65534', '--regid=65534', '--clear-groups', '--'])
  expect(readdirSync(dir)).not.toContain('.compiled')
})
