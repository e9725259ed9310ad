// What mpdl doctor --cron says would differ, in homes where it is known.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { expect, test } from 'vitest'
import { findProgram } from '../fixtures/servers.ts'
import { type Ended, newHome, type RunOptions, run } from './run-mpdl.ts'

const doctor = (args: readonly string[], options: RunOptions = {}) =>
  run({ ...options, isBare: true, args: ['doctor', '--cron', ...args] })

/** By name: the mark and the text, on one line. */
function findingsOf({ stdout }: Ended): Map<string, string> {
  const lines = stdout.replace(/\n {8,}/g, ' ').split('\n')
  return new Map(
    lines.flatMap((line) => {
      const [, mark = '', name = '', text = ''] = /^(ok|DIFF) +(\S+(?: \S+)*?) {2,}(.*)$/.exec(line) ?? []
      return mark === '' ? [] : [[name, `${mark} ${text}`]]
    }),
  )
}

/** In the same home, as it would be for a person. */
const AT_HOME = { HOME: userInfo().homedir, XDG_STATE_HOME: undefined, TZ: undefined, NODE_EXTRA_CA_CERTS: undefined }

test('what is typed relative, and what stands in the environment, is told', async () => {
  const home = newHome()
  writeFileSync(home.list, 'http://127.0.0.1:1/x\n')
  mkdirSync(home.at('logs'))
  const ended = await doctor(['-d', 'out', '--report', 'night.json', '-u', 'me:canary', 'list.txt'], {
    home,
    env: {
      ...AT_HOME,
      XDG_STATE_HOME: home.state,
      MPDL_JOBS: '3',
      http_proxy: 'http://me:canary@h:1',
      TZ: 'Asia/Tokyo',
    },
    wrap: ['/bin/sh', '-c', 'umask 077; exec "$0" "$@"'],
  })
  const found = findingsOf(ended)
  const elsewhere = (name: string) => `DIFF ${home.at(name)}; under cron ${AT_HOME.HOME}/${name}`
  expect(found.get('list')).toBe(elsewhere('list.txt'))
  expect(found.get('output directory')).toBe(elsewhere('out'))
  expect(found.get('--report')).toBe(elsewhere('night.json'))
  expect(found.get('state')).toBe(`DIFF ${home.state}/mpdl; under cron ${AT_HOME.HOME}/.local/state/mpdl`)
  expect(found.get('logs')).toContain(`DIFF ${home.at('logs')}; under cron `)
  expect(found.get('--jobs')).toBe('DIFF 3; under cron 8')
  expect(found.get('environment: http://')).toBe('DIFF by way of http://***@h:1; under cron -')
  expect(found.get('time zone')).toMatch(/^DIFF Asia\/Tokyo; under cron (?!Asia\/Tokyo)/)
  expect(found.get('umask')).toBe('DIFF 077; under cron 022')
  expect(found.get('problems')).toBe('DIFF -; under cron there is no list list.txt')
  expect([...found.keys()]).toEqual(
    expect.arrayContaining(['node', 'mpdl', 'flock', 'setpriv', 'cron daemon', 'mailer']),
  )
  expect([ended.code, ended.stderr]).toEqual([1, ''])
  expect(ended.stdout).toMatch(/\nmpdl cron-line list\.txt prints a line that takes along what is needed\n$/)
  expect(ended.stdout).not.toContain('canary')
})

test('what is the same there differs in nothing', async () => {
  const home = newHome()
  writeFileSync(home.list, 'http://127.0.0.1:1/x\n')
  const ended = await doctor(['-d', home.out, '--log-dir', home.logs, '-j', '3', home.list], { home, env: AT_HOME })
  const found = findingsOf(ended)
  // What the machine lacks is no matter of this run.
  const machine = ['node', 'mpdl', 'flock', 'setpriv', 'prlimit', 'cron daemon', 'mailer']
  const different = [...found].filter(([name, text]) => text.startsWith('DIFF') && !machine.includes(name))
  expect(different).toEqual([])
  expect(found.get('list')).toBe(`ok ${home.list}`)
})

test('a configuration that counts is the same beside the list, wherever one starts from', async () => {
  const home = newHome()
  writeFileSync(home.list, 'http://127.0.0.1:1/x\n')
  writeFileSync(home.at('mpdl.toml'), 'tries = 2\n', { mode: 0o600 })
  const found = findingsOf(await doctor(['list.txt'], { home, env: AT_HOME }))
  expect(found.get('configuration file')).toMatch(/^DIFF .*mpdl\.toml; under cron none$/)
  expect(found.get('--tries')).toBe('DIFF 2; under cron 5')
  const whole = findingsOf(await doctor([home.list], { home, env: AT_HOME }))
  expect(whole.get('configuration file')).toMatch(/^ok .*mpdl\.toml$/)
  expect(whole.get('--tries')).toBe(undefined)
})

const setpriv = findProgram('setpriv')
const canBeNobody = process.getuid?.() === 0 && setpriv !== undefined && !existsSync('/nonexistent')

test.skipIf(!canBeNobody)('a user without a home is told, and no secret with it', async () => {
  const wrap = [setpriv ?? '', '--reuid=65534', '--regid=65534', '--clear-groups', '--']
  const ended = await doctor(['-u', 'me:canary'], { wrap, env: AT_HOME })
  expect(findingsOf(ended).get('start')).toMatch(/^DIFF the home \/nonexistent cannot be entered; cron starts nothing/)
  expect([ended.code, ended.stdout.includes('canary')]).toEqual([1, false])
})

test('the options of doctor --cron are no options of a run', async () => {
  const { stdout } = await run({ isBare: true, args: ['doctor'] })
  expect(stdout).toContain('--keep-going')
  expect(stdout).not.toContain('--cron')
})

test('what is wrong here as well as there is not called well', async () => {
  const ended = await doctor(['/nowhere/list.txt'], { home: newHome(), env: AT_HOME })
  expect(findingsOf(ended).get('problems')).toBe('DIFF there is no list /nowhere/list.txt')
  expect(ended.code).toBe(1)
})
