// An attempt that meets another run in the moment before its part is locked. A program that stands in for flock makes
// that moment; the children are scripted.

import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { urlKey } from '../../src/core/request.ts'
import { PROTOCOL_VERSION } from '../../src/protocol/message.ts'
import type { Settings } from '../../src/supervisor/settings.ts'
import { openStateDb } from '../../src/supervisor/state-db.ts'
import type { Script } from '../fixtures/scripted-isolation.ts'
import { fakeTime, head, NO_TOOLS, run } from './scripted-run.ts'

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-job-'))
  fakeTime()
})
afterEach(() => {
  vi.useRealTimers()
  rmSync(dir, { recursive: true, force: true })
})

/** Says 304 to whoever asks with a condition, and lets nobody have a body. */
const asked: string[] = []
const unchanged: Script = {
  start: (child) => child.say({ type: 'ready', version: PROTOCOL_VERSION }),
  onCommand(child, command) {
    if (command.type === 'task' && command.task.kind === 'fetch') {
      asked.push(command.task.headers.find(([name]) => name === 'If-None-Match')?.[1] ?? 'whole')
      child.say(head(304, [['etag', '"v1"']]))
    }
    if (command.type === 'refuse') {
      child.say({ type: 'refused' })
      child.end({ exitCode: 0 })
    }
  },
}

/** Another run finishes `a` after this one has looked and before it has the lock. */
async function meet(changes: Partial<Settings> = {}) {
  asked.length = 0
  const [out, elsewhere] = [join(dir, 'out'), join(dir, 'finished')]
  mkdirSync(out)
  writeFileSync(elsewhere, 'of the other run')
  const { size: sizeBytes, mtimeMs } = statSync(elsewhere)
  const state = openStateDb(join(dir, 'state'), (sentence) => expect.unreachable(sentence))
  const path = join(out, 'a')
  state.remember({ path, target: path, urlKey: urlKey('http://h/a'), validator: { etag: '"v1"' }, sizeBytes, mtimeMs })
  const flock = join(dir, 'flock')
  writeFileSync(flock, `#!/bin/sh\n/bin/mv -n ${elsewhere} ${path}\n`)
  chmodSync(flock, 0o755)
  const it = await run(dir, ['http://h/a'], () => unchanged, changes, { state, hardening: { ...NO_TOOLS, flock } })
  await it.untilDone()
  expect(readFileSync(path, 'utf8')).toBe('of the other run')
  return it
}

test('a file that another run finished just now is asked about, not fetched again', async () => {
  const it = await meet()
  expect([it.rows().map(({ outcome }) => outcome), asked]).toEqual([['unchanged'], ['"v1"']])
})

test('--skip-existing does not touch one that another run finished just now', async () => {
  const it = await meet({ existing: 'skip' })
  expect([it.rows().map(({ outcome }) => outcome), it.children]).toEqual([['skipped'], []])
})
