import { expect, test } from 'vitest'
import type { Reporter, Status } from '../../src/core/event.ts'
import { fanOut } from '../../src/reporters/fan-out.ts'
import { jobEnded } from '../events.ts'

const status: Status = { at: 0, active: [], waiting: 0, slots: 8, pausedHosts: [] }

test('a reporter that throws is switched off with one warning, and the others hear everything', async () => {
  const heard: string[] = []
  const warnings: string[] = []
  const broken: Reporter = {
    event() {
      throw new Error('no screen')
    },
    progress: () => heard.push('broken'),
    close: async () => {
      heard.push('broken')
    },
  }
  const healthy: Reporter = {
    event: ({ type }) => heard.push(type),
    progress: () => heard.push('progress'),
    close: async () => {
      heard.push('close')
    },
  }
  const all = fanOut(
    [
      { name: 'tty', reporter: broken },
      { name: 'plain', reporter: healthy },
    ],
    (text) => warnings.push(text),
  )
  all.event(jobEnded())
  all.event(jobEnded())
  all.progress?.(status)
  await all.close?.()
  expect(heard).toEqual(['job-ended', 'job-ended', 'progress', 'close'])
  expect(warnings).toEqual(['output "tty" failed and was switched off: no screen'])
})

test('a close that rejects is a warning, and optional methods may be missing', async () => {
  const warnings: string[] = []
  const rejecting: Reporter = { event: () => undefined, close: () => Promise.reject('full') }
  const minimal: Reporter = { event: () => undefined }
  const all = fanOut(
    [
      { name: 'a', reporter: rejecting },
      { name: 'b', reporter: minimal },
    ],
    (text) => warnings.push(text),
  )
  all.progress?.(status)
  await all.close?.()
  expect(warnings).toEqual(['output "a" failed and was switched off: full'])
})

test('a warning that is itself an event does not loop', () => {
  const all = fanOut(
    [
      {
        name: 'a',
        reporter: {
          event() {
            throw new Error('always')
          },
        },
      },
    ],
    (message) => all.event({ type: 'warning', at: 0, message }),
  )
  expect(() => all.event(jobEnded())).not.toThrow()
})
