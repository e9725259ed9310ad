// Proves that retry-failed asks a person for what no log holds, on a real terminal of util-linux's `script`.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram, requireServer } from '../fixtures/servers.ts'
import { type Home, newHome, ONCE, PROGRAM, type RunOptions, run } from './run-mpdl.ts'

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

const CANARY = 'c4n4ry'
const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
let count = 0

/** A run that was given these options and failed. */
async function failed(args: readonly string[], env: RunOptions['env'] = {}) {
  const home = newHome()
  const path = `/status/503/once${++count}.bin?times=1`
  const first = await run({ home, list: server.url(path), args: [...ONCE, ...args], env })
  expect(first.code).toBe(8)
  return { home, headers: () => server.requests.filter((each) => each.path === path).at(-1)?.headers }
}

const question = /Password for [^\n]*?:(?= $)/

/** What stands on the screen of somebody who gives these answers, one to each question, and how it ended. */
async function atTerminal(home: Home, answers: readonly string[], ...args: string[]) {
  const words = [process.execPath, PROGRAM, 'retry-failed', '--log-dir', home.logs, ...args]
  const command = words.map((word) => `'${word}'`).join(' ')
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    cwd: home.root,
    env: { PATH: process.env['PATH'], LANG: 'C.UTF-8', HOME: home.root, XDG_STATE_HOME: home.state, TERM: 'dumb' },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const left = [...answers]
  let screen = ''
  let told = 0
  const closed = once(child, 'close')
  for await (const chunk of child.stdout.setEncoding('utf8')) {
    screen += chunk
    if (!question.test(stripVTControlCharacters(screen).slice(told))) continue
    told = stripVTControlCharacters(screen).length
    child.stdin.write(`${left.shift() ?? '\x03'}\r`)
  }
  await closed
  return { code: child.exitCode, screen: stripVTControlCharacters(screen), left }
}

function expectNowhere(text: string, home: Home): void {
  for (const entry of readdirSync(home.root, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) expect(readFileSync(join(entry.parentPath, entry.name), 'utf8')).not.toContain(text)
  }
}

describe.skipIf(!requireServer('script', findProgram('script')))('on a terminal', () => {
  test('the password of -u is asked for as ever', async () => {
    const { home, headers } = await failed(['-u', `bob:${CANARY}`])
    const { code, screen } = await atTerminal(home, [CANARY])
    expect(code, screen).toBe(0)
    expect(screen).toContain('Password for bob:')
    expect(screen).not.toContain(CANARY)
    expect(headers()).toMatchObject({ authorization: basic('bob', CANARY) })
    expectNowhere(CANARY, home)
  })

  test('each header is asked for, too, and what only the environment held', async () => {
    const { home, headers } = await failed(['-H', `X-Api-Key: ${CANARY}`, '-H', `X-Team: ${CANARY}`], {
      MPDL_USER: `bob:${CANARY}`,
    })
    const { code, screen } = await atTerminal(home, ['key', 'team', CANARY])
    expect(code, screen).toBe(0)
    expect(screen).toContain('Password for the header "X-Api-Key: …":')
    expect(headers()).toMatchObject({ 'x-api-key': 'key', 'x-team': 'team', authorization: basic('bob', CANARY) })
    expectNowhere(CANARY, home)
  })

  test('nothing is asked for that was given again', async () => {
    const { home, headers } = await failed(['-u', `bob:${CANARY}`, '-H', `X-Api-Key: ${CANARY}`])
    const { code, screen } = await atTerminal(home, ['now'], '-H', 'X-Api-Key: again')
    expect(code, screen).toBe(0)
    expect(headers()).toMatchObject({ 'x-api-key': 'again', authorization: basic('bob', 'now') })
  })

  test('a header that was given once more is asked for once', async () => {
    const { home } = await failed(['-H', `X-Api-Key: ${CANARY}`])
    const again = ['retry-failed', '--log-dir', home.logs, '-H', `X-Api-Key: ${CANARY}`, '--dir', '/proc/nowhere']
    expect((await run({ home, isBare: true, args: again })).code).toBe(73)
    expect((await atTerminal(home, ['key'])).code).toBe(0)
  })

  test('Ctrl-C at the question runs nothing', async () => {
    const { home, headers } = await failed(['-H', `X-Api-Key: ${CANARY}`])
    const before = server.requests.length
    const { code } = await atTerminal(home, [])
    expect([code, server.requests.length]).toEqual([130, before])
    expect(headers()).toMatchObject({ 'x-api-key': CANARY })
  })

  test('of a proxy the log does not even know the user, so it must be given again', async () => {
    const home = newHome()
    const proxy = `http://me:${CANARY}@127.0.0.1:1`
    const first = await run({ home, list: server.url('/ok/p'), args: [...ONCE, '--proxy', proxy] })
    expect(first.code).toBe(4)
    const { code, screen } = await atTerminal(home, [])
    expect([code, screen]).toEqual([64, expect.stringMatching(/was given --proxy with a secret/)])
  })
})
