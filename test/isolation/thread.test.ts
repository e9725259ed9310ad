// Proves what only threads can come to.
import { describe, expect, test, vi } from 'vitest'
import { threadIsolation } from '../../src/isolation/thread.ts'
import { fetchOf, isolationOptions, PlayedAttempt, scratchDir } from './played-attempt.ts'

const limits = vi.hoisted(() => ({ code: undefined as string | undefined }))
vi.mock('node:worker_threads', async (original) => {
  const { Worker, ...others } = await original<typeof import('node:worker_threads')>()
  return {
    ...others,
    Worker: class extends Worker {
      constructor(...args: ConstructorParameters<typeof Worker>) {
        // As Node does when the system has no more threads.
        if (limits.code !== undefined) throw Object.assign(new Error('EAGAIN'), { code: limits.code })
        super(...args)
      }
    },
  }
})

describe('where no thread can be started', () => {
  test('that is a spawn error, which comes after the lease', async () => {
    limits.code = 'ERR_WORKER_INIT_FAILED'
    const { dir, remove } = scratchDir()
    const isolation = threadIsolation(isolationOptions(dir))
    const attempt = new PlayedAttempt(isolation, dir, fetchOf('http://localhost/')).begin()
    expect(attempt.lease.unit).toBeUndefined()
    expect(attempt.events).toEqual([])
    expect((await attempt.ended()).end).toEqual({ spawnError: 'EAGAIN', outOfMemory: false })
    attempt.lease.stop('SIGKILL')
    await isolation.close()
    remove()
  })
})

test('a script that is not there ends the thread, and it says why', async () => {
  limits.code = undefined
  const { dir, remove } = scratchDir()
  const isolation = threadIsolation(isolationOptions(dir, { threadScript: '/nonexistent/thread.cjs' }))
  const { end, lastWords } = await new PlayedAttempt(isolation, dir, fetchOf('http://localhost/')).begin().ended()
  expect(end).toEqual({ exitCode: 1, outOfMemory: false })
  expect(lastWords).toMatch(/Cannot find module/)
  await isolation.close()
  remove()
})
