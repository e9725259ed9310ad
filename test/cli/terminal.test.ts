// Progress in a real terminal: what tmux shows is what a person sees.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram, requireServer } from '../fixtures/servers.ts'

const PROGRAM = join(import.meta.dirname, '..', '..', 'dist', 'main.js')
const hasTmux = requireServer('tmux', findProgram('tmux'))
const ARABIC = 'ملف-عربي-طويل-جدا.bin'

let dir = ''
/** A server of its own for each test: one that is being killed would still answer the next. */
let socket = ''
let server: FaultServer

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-tty-'))
  server = await startFaultServer()
})
afterAll(async () => {
  await server.stop()
  rmSync(dir, { recursive: true, force: true })
})
let count = 0
beforeEach(() => {
  socket = join(dir, `tmux${count++}`)
})
afterEach(() => {
  spawnSync('tmux', ['-S', socket, 'kill-server'])
})

function tmux(...args: string[]): string {
  return execFileSync('tmux', ['-S', socket, '-f', '/dev/null', '-u', ...args], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8', XDG_STATE_HOME: join(dir, 'state'), CI: '' },
  })
}

const screen = () => tmux('capture-pane', '-p', '-t', 'it').trimEnd()

async function until(seen: (text: string) => boolean): Promise<string> {
  for (let i = 0; i < 600; i++) {
    const text = screen()
    if (seen(text)) return text
    await sleep(50)
  }
  throw new Error(`never seen on this screen:\n${screen()}`)
}

function start(columns: number, list: string, ...args: string[]): void {
  writeFileSync(join(dir, 'list.txt'), list)
  const command = [process.execPath, PROGRAM, 'list.txt', '-d', 'out', '--no-log', ...args].join(' ')
  tmux(
    'new-session',
    '-d',
    '-s',
    'it',
    '-x',
    String(columns),
    '-y',
    '20',
    `cd ${dir}; ${command}; echo "left with $?"; exec sleep 60`,
  )
}

const SLOW = () => `${server.url('/slow/slow.bin?size=1200000&rate=400000')}\n`

describe.skipIf(!hasTmux)('the terminal', () => {
  test('shows a line for each download, a line for all, and at the end the summary', async () => {
    start(90, `${SLOW()}${server.url('/ok/quick.bin?size=1000')}\n${server.url('/status/404')}\n`, '-t', '1')
    const during = await until((text) => /slow\.bin .*%|slow\.bin .*KiB/.test(text) && text.includes('404'))
    expect(during).toContain('line 3')
    tmux('send-keys', '-t', 'it', 'C-c')
    const end = await until((text) => text.includes('left with'))
    expect(end).toContain('1 downloaded + 1 failed + 1 cancelled')
    expect(end).toContain('left with 130')
  })

  test('stays right at 20 columns, with a long Arabic name, and when the window changes', async () => {
    start(20, `${SLOW()}\tout=${ARABIC}\n`)
    const narrow = await until((text) => /[1-9]\d?%/.test(text))
    // One line for the download, one for all: nothing has wrapped.
    expect(narrow.split('\n').filter((line) => line !== '')).toHaveLength(2)
    tmux('resize-window', '-t', 'it', '-x', '100')
    const wide = await until((text) => text.includes('MiB/') || text.includes('KiB/'))
    expect(wide.split('\n').filter((line) => line.includes('%'))).toHaveLength(1)
    const end = await until((text) => text.includes('left with'))
    expect(end).toContain('left with 0')
    expect(readFileSync(join(dir, 'out', ARABIC))).toEqual(bodyOf(1_200_000))
  })

  test('Ctrl-Z stops the children too, and fg wakes them and the download ends well', async () => {
    writeFileSync(join(dir, 'list.txt'), SLOW())
    tmux('new-session', '-d', '-s', 'it', '-x', '90', '-y', '20', `cd ${dir}; exec bash --norc -i`)
    tmux(
      'send-keys',
      '-t',
      'it',
      `${process.execPath} ${PROGRAM} list.txt -d zed --no-log; echo "left with $?"`,
      'Enter',
    )
    await until((text) => /slow\.bin .*KiB/.test(text))
    tmux('send-keys', '-t', 'it', 'C-z')
    await until((text) => text.includes('Stopped'))
    const shell = tmux('display-message', '-p', '-t', 'it', '#{pane_pid}').trim()
    const supervisor = readFileSync(`/proc/${shell}/task/${shell}/children`, 'latin1').trim().split(' ')[0] ?? ''
    const children = readFileSync(`/proc/${supervisor}/task/${supervisor}/children`, 'latin1').trim().split(' ')
    const stateOf = (pid: string) => /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
    expect([supervisor, ...children].map(stateOf)).toEqual(['T', ...children.map(() => 'T')])
    tmux('send-keys', '-t', 'it', 'fg', 'Enter')
    await until((text) => text.includes('1 = 1 downloaded'))
    expect(readFileSync(join(dir, 'zed', 'slow.bin'))).toEqual(bodyOf(1_200_000))
  })

  test('a status asked for by SIGUSR1 stands above the moving lines', async () => {
    start(160, SLOW())
    await until((text) => /slow\.bin .*KiB/.test(text))
    const shell = tmux('display-message', '-p', '-t', 'it', '#{pane_pid}').trim()
    const supervisor = Number(readFileSync(`/proc/${shell}/task/${shell}/children`, 'latin1').trim().split(' ')[0])
    process.kill(supervisor, 'SIGUSR1')
    const text = await until((seen) => /line 1 .* pid \d+/.test(seen) && /^slow\.bin .*KiB/m.test(seen))
    expect(text.indexOf('line 1 ')).toBeLessThan(text.search(/^slow\.bin/m))
    tmux('send-keys', '-t', 'it', 'C-c')
    await until((seen) => seen.includes('left with 130'))
  })
})
