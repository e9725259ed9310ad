// What a lock is worth when its holder is ended.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { showKilledLockHolder } from '../../src/compare/lock-holder.ts'
import { findProgram } from '../fixtures/servers.ts'

const dir = mkdtempSync(join(tmpdir(), 'mpdl-lock-'))
const flock = findProgram('flock')
afterAll(() => rmSync(dir, { recursive: true }))

test.skipIf(flock === undefined)(
  'the kernel frees what a killed process held; nobody frees what a thread held',
  async () => {
    const shown = await showKilledLockHolder(flock, dir)
    expect(shown.map(({ mode, is_still_locked }) => [mode, is_still_locked])).toEqual([
      ['process', false],
      ['thread', true],
    ])
  },
)

test('where there is no flock only the thread is shown', async () => {
  expect((await showKilledLockHolder(undefined, dir)).map(({ mode }) => mode)).toEqual(['thread'])
})
