// Decides whether a process is seen as it is: running, stopped, or gone, and how much it wrote.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { bootId, lookAt } from '../../src/supervisor/liveness.ts'

const hasProc = existsSync('/proc/self/status')

test.runIf(hasProc)('this process runs and holds memory', () => {
  const sight = lookAt(process.pid)
  expect(sight?.isStopped).toBe(false)
  expect(sight?.residentBytes).toBeGreaterThan(2 ** 20)
})

test.runIf(hasProc)('a stopped process is seen as stopped until it goes on, and a dead one not at all', async () => {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' })
  await once(child, 'spawn')
  const pid = child.pid ?? Number.NaN
  process.kill(pid, 'SIGSTOP')
  await expect.poll(() => lookAt(pid)?.isStopped).toBe(true)
  process.kill(pid, 'SIGCONT')
  await expect.poll(() => lookAt(pid)?.isStopped).toBe(false)
  process.kill(pid, 'SIGKILL')
  await once(child, 'exit')
  expect(lookAt(pid)).toBeUndefined()
})

test.runIf(existsSync('/proc/self/io'))('what a process wrote is counted, wherever it went', async () => {
  const child = spawn('sh', ['-c', 'printf %01000d 0 > /dev/null; echo done; read _'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  await once(child.stdout, 'data')
  const { writtenBytes = 0 } = lookAt(child.pid ?? Number.NaN) ?? {}
  // Before it is itself, a process writes a little too.
  expect(writtenBytes).toBeGreaterThanOrEqual(1000)
  expect(writtenBytes).toBeLessThan(2000)
  child.stdin.end()
  await once(child, 'exit')
})

test.runIf(hasProc)('a zombie is gone, though it still has an entry', async () => {
  // The shell becomes a sleep that never reaps its first child.
  const parent = spawn('sh', ['-c', 'sleep 0.01 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] })
  const [line] = await once(parent.stdout, 'data')
  const zombie = Number(String(line))
  await expect.poll(() => lookAt(zombie)).toBeUndefined()
  expect(existsSync(`/proc/${zombie}/status`)).toBe(true)
  parent.kill('SIGKILL')
  await once(parent, 'exit')
})

test('no process is undefined', () => {
  expect(lookAt(2 ** 30)).toBeUndefined()
  expect(lookAt(Number.NaN)).toBeUndefined()
})

test('the boot has one name, the same each time', () => {
  expect(bootId()).toBe(bootId())
  if (hasProc) expect(bootId()).toMatch(/^[0-9a-f-]{36}$/)
})
