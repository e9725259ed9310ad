// Decides whether a name is given only where nobody has it, also on file systems that know no links.

import { linkSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { moveToFreeName } from '../../src/supervisor/free-name.ts'

let dir = ''
let from = ''
let to = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-name-'))
  from = join(dir, 'from')
  to = join(dir, 'to')
  writeFileSync(from, 'bytes')
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const refusing = (code: string) => (): never => {
  throw Object.assign(new Error(code), { code })
}
const links: [where: string, link: typeof linkSync][] = [
  ['with links', linkSync],
  ['without links', refusing('EPERM')],
]

describe.each(links)('%s', (_, link) => {
  test('a free name is given and the other is gone', () => {
    expect(moveToFreeName(from, to, link)).toBe(true)
    expect([readdirSync(dir), readFileSync(to, 'utf8')]).toEqual([['to'], 'bytes'])
  })

  test('a name that somebody has stays theirs', () => {
    writeFileSync(to, 'theirs')
    expect(moveToFreeName(from, to, link)).toBe(false)
    expect([readFileSync(to, 'utf8'), readFileSync(from, 'utf8')]).toEqual(['theirs', 'bytes'])
  })

  test('a dangling link is not written through', () => {
    symlinkSync(join(dir, 'nowhere'), to)
    expect(moveToFreeName(from, to, link)).toBe(false)
    expect(readdirSync(dir)).toEqual(['from', 'to'])
  })

  test('what is not there gets no name', () => {
    rmSync(from)
    expect(() => moveToFreeName(from, to, link)).toThrow(/ENOENT/)
    expect(readdirSync(dir)).toEqual([])
  })
})

test('a disk that fails otherwise is not taken for one without links', () => {
  expect(() => moveToFreeName(from, to, refusing('EIO'))).toThrow('EIO')
  expect(readdirSync(dir)).toEqual(['from'])
})
