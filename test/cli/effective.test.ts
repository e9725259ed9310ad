// What mpdl doctor shows of the options.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, expect, test, vi } from 'vitest'
import { configure } from '../../src/cli/configure.ts'
import { effectiveLines, hearTexts } from '../../src/cli/effective.ts'
import { addRunOptions } from '../../src/cli/run-options.ts'

const scratch = mkdtempSync(join(tmpdir(), 'mpdl-effective-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

async function lines(argv: readonly string[], file = '') {
  writeFileSync(join(scratch, 'mpdl.toml'), file, { mode: 0o600 })
  const command = addRunOptions(new Command(), true)
  const typed = hearTexts(command)
  command.parse([...argv], { from: 'user' })
  const { texts } = await configure(command, join(scratch, 'list'))
  const shown = effectiveLines(command, typed, texts)
  return shown.map((line) => line.replace(`${scratch}/`, '').split(/ {2,}/).join(' | '))
}

test('each option has its value as it was written and its source, and those that were set come first', async () => {
  vi.stubEnv('MPDL_TIMEOUT', '1500ms')
  const all = await lines(['-j', '4', '--no-mtime', '--report', 'a.json', '--report', 'b.txt'], 'tries = 3\n')
  expect(all.slice(0, 5)).toEqual([
    '--no-mtime | yes | command line',
    '--jobs | 4 | command line',
    '--tries | 3 | mpdl.toml line 1',
    '--timeout | 1500ms | MPDL_TIMEOUT',
    '--report | a.json, b.txt | command line',
  ])
  expect(all).toContain('--connect-timeout | 30s | default')
  expect(all).toContain('--min-speed | 1K/10m | default')
  expect(all).toContain('--out | - | default')
  expect(all).toContain('--force | no | default')
  vi.unstubAllEnvs()
})

test('of two that share a value, one was said', async () => {
  const direct = await lines(['--no-proxy'])
  expect(direct[0]).toBe('--no-proxy | yes | command line')
  expect(direct).toContain('--proxy | - | default')
  const proxied = await lines(['--proxy', 'http://h:1'])
  expect(proxied[0]).toBe('--proxy | http://h:1 | command line')
  expect(proxied).toContain('--no-proxy | no | default')
})

test('secrets are masked, whoever gave them', async () => {
  const file = 'header = ["A: canary", "B: canary"]\nproxy = "http://me:canary@h:1"\n'
  const typed = await lines(['-u', 'me:canary'], file.split('\n')[0])
  expect(typed.slice(0, 2)).toEqual(['--header | A: ***, B: *** | mpdl.toml line 1', '--user | me:*** | command line'])
  const named = join(scratch, 'named.toml')
  writeFileSync(named, file)
  const configured = await lines(['--config', named])
  expect(configured.join()).toContain('http://***@h:1')
  expect([...typed, ...configured].join()).not.toContain('canary')
})

test('an option that is off by a higher layer says so', async () => {
  vi.stubEnv('MPDL_FORCE', 'no')
  expect((await lines([], 'force = true'))[0]).toBe('--force | no | MPDL_FORCE')
  vi.unstubAllEnvs()
})
