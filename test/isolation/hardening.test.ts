// Decides whether a child's command line and surroundings are as tight as this machine allows, and tell nothing.

import { execFileSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Hardening } from '../../src/isolation/hardening.ts'
import { childCommand, childEnvironment, detectHardening } from '../../src/isolation/hardening.ts'

const NOTHING: Hardening = {
  setpriv: undefined,
  prlimit: undefined,
  flock: undefined,
  fallocate: undefined,
  maxDescriptors: undefined,
  hasPermissionModel: false,
}
const ALL: Hardening = {
  setpriv: '/bin/setpriv',
  prlimit: '/bin/prlimit',
  flock: '/bin/flock',
  fallocate: '/bin/fallocate',
  maxDescriptors: 1000,
  hasPermissionModel: true,
}
const HARDENING = new URL('../../src/isolation/hardening.ts', import.meta.url).href
const HEAP = { isStrict: false, heapBytes: 256 * 2 ** 20 }

afterEach(() => vi.unstubAllEnvs())

describe('the command of a child', () => {
  test('is this Node itself where nothing else is there', () => {
    const { file, args } = childCommand('/x/child.cjs', ['7'], NOTHING, HEAP)
    expect(file).toBe(process.execPath)
    expect(args.slice(-2)).toEqual(['/x/child.cjs', '7'])
    expect(args).toContain('--max-old-space-size=256')
    expect(args.some((arg) => arg.startsWith('--permission') || arg.startsWith('--allow'))).toBe(false)
  })

  test('goes through prlimit and setpriv where they are, and Node comes last', () => {
    const { file, args } = childCommand('/x/child.cjs', [], ALL, HEAP)
    expect([file, ...args].slice(0, 10)).toEqual([
      '/bin/prlimit',
      '--core=0',
      '--nofile=1000',
      '--',
      '/bin/setpriv',
      '--pdeathsig',
      'KILL',
      '--no-new-privs',
      '--',
      process.execPath,
    ])
  })

  test('in the sandbox may read its own script and nothing else', () => {
    const { args } = childCommand('/x/child.cjs', [], ALL, { ...HEAP, isStrict: true })
    expect(args).toContain('--permission')
    expect(args.filter((arg) => arg.startsWith('--allow-fs'))).toEqual(['--allow-fs-read=/x/child.cjs'])
    expect(args.filter((arg) => /^--allow-(?!fs-read|net)/.test(arg))).toEqual([])
  })

  test('never gives so little memory that Node cannot start', () => {
    const { args } = childCommand('/x', [], NOTHING, { isStrict: false, heapBytes: 1 })
    expect(args).toContain('--max-old-space-size=16')
  })

  test('starts a child, with all that this machine has', () => {
    const { file, args } = childCommand('-p', ['6 * 7'], detectHardening(), HEAP)
    expect(
      execFileSync(file, [...args], { env: childEnvironment() })
        .toString()
        .trim(),
    ).toBe('42')
  })
})

describe('the environment of a child', () => {
  test('has only what is on the list', () => {
    vi.stubEnv('HTTPS_PROXY', 'http://user:canary@proxy/')
    vi.stubEnv('NODE_OPTIONS', '--require=canary')
    vi.stubEnv('NODE_EXTRA_CA_CERTS', 'canary')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'canary')
    vi.stubEnv('LD_PRELOAD', 'canary')
    vi.stubEnv('HOME', '/home/someone')
    vi.stubEnv('TZ', 'UTC')
    vi.stubEnv('LANG', undefined)
    expect(childEnvironment()).toEqual({ HOME: '/home/someone', TZ: 'UTC' })
  })
})

describe('what is found', () => {
  test('can be run, and lies where only root can put it', () => {
    const { setpriv, prlimit, flock, fallocate } = detectHardening()
    for (const tool of [setpriv, prlimit, flock, fallocate].filter((path) => path !== undefined)) {
      expect(() => accessSync(tool, constants.X_OK)).not.toThrow()
      expect(tool).toMatch(/^\/(?:usr\/|usr\/local\/)?s?bin\/(?:setpriv|prlimit|flock|fallocate)$/)
    }
  })

  test('does not depend on PATH', () => {
    const before = detectHardening()
    vi.stubEnv('PATH', '/nonexistent')
    expect(detectHardening()).toEqual(before)
  })

  test('a child gets no more descriptors than there may be, and not without end', () => {
    const hard = (limit: number) =>
      execFileSync('prlimit', [
        `--nofile=${limit}`,
        process.execPath,
        '--input-type=module',
        '-e',
        `const { detectHardening } = await import(${JSON.stringify(HARDENING)}); console.log(detectHardening().maxDescriptors)`,
      ]).toString()
    expect([hard(300).trim(), hard(5000).trim()]).toEqual(['300', '4096'])
  })

  test('knows this Node', () => {
    expect(detectHardening().hasPermissionModel).toBe(process.allowedNodeEnvironmentFlags.has('--permission'))
  })
})
