// Which netrc files are trusted with a password, on the real file system.

import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { netrcProblem, readNetrc } from '../../src/supervisor/netrc-file.ts'

let dir = ''
let file = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-netrc-'))
  file = join(dir, 'netrc')
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const ENTRY = { host: 'h', login: 'u', password: 'pä' }
const write = (text = 'machine h login u password pä', mode = 0o600) => writeFileSync(file, text, { mode })
const refused = (problem: string) => ({ ok: false, problem: `netrc ${file} ${problem}` })

describe('readNetrc', () => {
  test('reads a private file, a byte-order mark or not', () => {
    write('\ufeffmachine h login u password pä')
    expect(readNetrc(file)).toEqual({ ok: true, entries: [ENTRY] })
  })

  test('follows a symbolic link and looks at the file behind it', () => {
    write()
    const link = join(dir, 'link')
    symlinkSync(file, link)
    expect(readNetrc(link)).toEqual({ ok: true, entries: [ENTRY] })
    chmodSync(file, 0o604)
    expect(readNetrc(link)).toMatchObject({ ok: false })
  })

  test.each([0o640, 0o604, 0o620, 0o601])('[threat:readable-secrets] refuses mode %o with what mends it', (mode) => {
    write()
    chmodSync(file, mode)
    expect(readNetrc(file)).toEqual(refused(`is open to other users, and holds secrets; run chmod 600 ${file}`))
  })

  test.skipIf(process.getuid?.() !== 0)('refuses a file of somebody else', () => {
    write()
    chownSync(file, 12345, 0)
    expect(readNetrc(file)).toEqual(refused('belongs to another user; use one of your own'))
  })

  test('refuses a FIFO without waiting for a writer', () => {
    execFileSync('mkfifo', ['-m', '600', file])
    expect(readNetrc(file)).toEqual(refused('is no plain file'))
  })

  test('refuses a file without end', () => {
    write('#'.repeat(2 ** 20 + 1))
    expect(readNetrc(file)).toEqual(refused('is larger than 1 MiB'))
  })

  test('names the line of what it does not understand', () => {
    write('machine h\nfoo')
    expect(readNetrc(file)).toMatchObject({ problem: expect.stringContaining(`netrc ${file} line 2: a word`) })
  })

  test('refuses a directory, what is not there, and what cannot be opened', () => {
    const loop = join(dir, 'loop')
    symlinkSync(loop, loop)
    expect(readNetrc(loop)).toEqual({ ok: false, problem: `netrc ${loop} cannot be read (ELOOP)` })
    expect(readNetrc(dir)).toMatchObject({ ok: false, problem: `netrc ${dir} is no plain file` })
    expect(readNetrc(file)).toEqual(refused('does not exist'))
  })
})

describe('netrcProblem', () => {
  test('is that of a file which was asked for only', () => {
    expect(netrcProblem({ file, isOn: true })).toBe(`netrc ${file} does not exist`)
    expect(netrcProblem({ file, isOn: false })).toBeUndefined()
    write()
    expect(netrcProblem({ file, isOn: true })).toBeUndefined()
  })
})
