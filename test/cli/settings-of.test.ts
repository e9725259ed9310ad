// From options, however they were given, to the settings of a run.

import { Command } from 'commander'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { addRunOptions, type RawRunOptions } from '../../src/cli/run-options.ts'
import { settingsOf } from '../../src/cli/settings-of.ts'
import { DEFAULTS } from '../../src/supervisor/settings.ts'

const optionsOf = (argv: readonly string[]) =>
  addRunOptions(new Command(), true)
    .parse([...argv], { from: 'user' })
    .opts<RawRunOptions>()

const nobody = async (): Promise<string> => {
  throw new Error('nobody is to be asked')
}
const settings = (...argv: readonly string[]) => settingsOf(optionsOf(argv), nobody)

const VARIABLES = ['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY']
beforeEach(() => {
  vi.unstubAllEnvs()
  for (const name of VARIABLES) vi.stubEnv(name, undefined)
})

test('without options they are the defaults', async () => {
  expect(await settings()).toMatchObject(DEFAULTS)
})

describe('a user', () => {
  test('with a password is not asked', async () => {
    expect((await settings('-u', 'me:a:b')).credentials).toEqual({ user: 'me', password: 'a:b' })
    expect((await settings('-u', 'me:')).credentials).toEqual({ user: 'me', password: '' })
  })

  test('without one is asked by name, and only when all else is in order', async () => {
    const asked: string[] = []
    const ask = async (user: string) => {
      asked.push(user)
      return 'typed'
    }
    await expect(settingsOf(optionsOf(['-u', 'me', '--key', 'k.pem']), ask)).rejects.toThrow('give that with --cert')
    expect(asked).toEqual([])
    expect((await settingsOf(optionsOf(['-u', 'me']), ask)).credentials).toEqual({ user: 'me', password: 'typed' })
    expect(asked).toEqual(['me'])
  })
})

describe('the proxies', () => {
  test('come from the environment', async () => {
    vi.stubEnv('http_proxy', 'me:pw@one:1')
    vi.stubEnv('NO_PROXY', 'a.example')
    expect((await settings()).proxies).toEqual({ http: 'http://me:pw@one:1', noProxy: 'a.example' })
  })

  test('are one where --proxy names it, and NO_PROXY still counts', async () => {
    vi.stubEnv('http_proxy', 'http://one:1')
    vi.stubEnv('NO_PROXY', 'a.example')
    const proxies = { http: 'socks5h://two:1080', https: 'socks5h://two:1080', noProxy: 'a.example' }
    expect((await settings('--proxy', 'socks5h://two')).proxies).toEqual(proxies)
  })

  test('are none with --no-proxy, whatever the environment says', async () => {
    vi.stubEnv('http_proxy', 'nonsense://me:canary@one')
    expect((await settings('--no-proxy')).proxies).toEqual({ noProxy: '' })
  })

  test('of an environment that is wrong stop the run with the name of the variable, and no more of it', async () => {
    vi.stubEnv('https_proxy', 'nonsense://me:canary@one')
    const error = await settings().catch((caught: unknown) => caught)
    expect(error).toMatchObject({ exitCode: 78 })
    expect(String(error)).toMatch(/environment variable https_proxy: proxy is "nonsense:"; .*; or say --no-proxy/)
    expect(String(error)).not.toContain('canary')
  })
})

test.each([
  [[], 'ask'],
  [['-N'], 'newer'],
  [['--force'], 'force'],
  [['--skip-existing'], 'skip'],
])('with %j an existing file is dealt with by %s', async (argv, existing) => {
  expect((await settings(...argv)).existing).toBe(existing)
})

test.each([
  [[], 'off'],
  [['--cookies'], 'run'],
  [['--cookie-jar', 'jar'], { file: 'jar' }],
  [['--cookies', '--cookie-jar', 'jar'], { file: 'jar' }],
])('with %j cookies are kept: %j', async (argv, cookies) => {
  expect((await settings(...argv)).cookies).toEqual(cookies)
})

test('--netrc-file means --netrc, and a file that cannot be used stops the run', async () => {
  vi.stubEnv('NETRC', '/nowhere/netrc')
  expect((await settings()).netrc).toEqual({ file: '/nowhere/netrc', isOn: false })
  await expect(settings('--netrc')).rejects.toMatchObject({ exitCode: 78 })
  await expect(settings('--netrc-file', '/nowhere/other')).rejects.toThrow('/nowhere/other')
})

test('every other option arrives', async () => {
  const argv = '--auth digest --insecure --block-private --compressed --content-disposition --on-clash rename -w 2s'
  expect(await settings(...argv.split(' '), '--accept-type', 'image/*', '-T', '100ms')).toMatchObject({
    auth: 'digest',
    isInsecure: true,
    blocksPrivate: true,
    decodes: true,
    serverNames: true,
    onClash: 'rename',
    waitMs: 2000,
    acceptTypes: ['image/*'],
    beatMs: 50,
  })
})
