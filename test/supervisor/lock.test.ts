// Decides whether the kernel's lock keeps two writers apart and frees what the dead held.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { detectHardening } from '../../src/isolation/hardening.ts'
import { lockDescriptor } from '../../src/supervisor/lock.ts'

const hardening = detectHardening()
const hasFlock = hardening.flock !== undefined
let dir: string
let descriptors: number[]

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-test-'))
  descriptors = []
})

afterEach(() => {
  for (const descriptor of descriptors) closeSync(descriptor)
  rmSync(dir, { recursive: true, force: true })
})

function open(): number {
  const descriptor = openSync(join(dir, 'x'), 'a+')
  descriptors.push(descriptor)
  return descriptor
}

test.runIf(hasFlock)('the second to open a file does not get its lock, until the first closes it', async () => {
  const first = open()
  expect(await lockDescriptor(first, hardening)).toBe('locked')
  const second = open()
  expect(await lockDescriptor(second, hardening)).toBe('held-by-another')
  descriptors.splice(descriptors.indexOf(first), 1)
  closeSync(first)
  expect(await lockDescriptor(second, hardening)).toBe('locked')
})

test.runIf(hasFlock)('of twenty at once exactly one wins', async () => {
  const results = await Promise.all(Array.from({ length: 20 }, () => lockDescriptor(open(), hardening)))
  expect(results.filter((result) => result === 'locked')).toHaveLength(1)
  expect(results.filter((result) => result === 'held-by-another')).toHaveLength(19)
})

test.runIf(hasFlock)('the lock of another process is respected, and free when that process is killed', async () => {
  const descriptor = open()
  const holder = spawn(hardening.flock ?? '', ['-n', join(dir, 'x'), 'sh', '-c', 'echo held; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  })
  await once(holder.stdout, 'data')
  expect(await lockDescriptor(descriptor, hardening)).toBe('held-by-another')
  process.kill(-(holder.pid ?? Number.NaN), 'SIGKILL')
  await once(holder, 'exit')
  await expect.poll(() => lockDescriptor(descriptor, hardening)).toBe('locked')
})

test('where there is no flock, or it cannot run, nothing is claimed', async () => {
  expect(await lockDescriptor(open(), { ...hardening, flock: undefined })).toBe('unsupported')
  expect(await lockDescriptor(open(), { ...hardening, flock: join(dir, 'missing') })).toBe('unsupported')
})
