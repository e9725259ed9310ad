// Decides whether a server can be trusted with a file's name: it cannot, and gets one all the same.

import { describe, expect, test } from 'vitest'
import { MAX_NAME_BYTES, safeComponent } from '../../src/core/destination.ts'
import { safeServerName } from '../../src/core/server-name.ts'
import fc from '../fixtures/property.ts'

describe('a name from a server', () => {
  test.each([
    ['report.pdf', 'report.pdf'],
    ['../../etc/passwd', 'passwd'],
    ['/etc/cron.d/job', 'job'],
    ['C:\\Windows\\system32\\evil.dll', 'evil.dll'],
    ['a/b\\c', 'c'],
    ['.bashrc', '%2Ebashrc'],
    ['-rf', '%2Drf'],
    ['  spaced.txt ', 'spaced.txt'],
    ['con', '%63on'],
    ['a\0b', 'a%00b'],
    ['\u001b[31mred', '%1B[31mred'],
    ['\u202efdp.exe', '%E2%80%AEfdp.exe'],
    ['mpdl.toml.txt', 'mpdl.toml.txt'],
    ['apart', 'apart'],
    ['e\u0301té.txt', 'été.txt'],
  ])('%j is %s', (suggested, name) => {
    expect(safeServerName(suggested)).toBe(name)
  })

  test.each([
    ['', '.', '..', '...', 'dir/', '../', '..\\', ' ', ' .. '],
    ['x.part', 'X.PART', 'x.part.json', 'x.pdf.part.json~', 'a/x.part'],
    ['mpdl.toml', 'MPDL.toml', 'x/mpdl.toml', 'mpdl.toml '],
  ])('%j and their like are none', (...names) => {
    expect(names.filter((name) => safeServerName(name) !== undefined)).toEqual([])
  })

  test('keeps its extension where 4 KB are too long', () => {
    const name = safeServerName(`${'x'.repeat(4096)}.pdf`) ?? ''
    expect([Buffer.byteLength(name) <= MAX_NAME_BYTES, name.endsWith('.pdf')]).toEqual([true, true])
  })

  const nasty = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({
      unit: fc.constantFrom(
        '.',
        '/',
        '\\',
        ' ',
        '\0',
        'part',
        '.part',
        '.json',
        '~',
        'mpdl',
        '.toml',
        'ſ',
        'é',
        '\u202e',
      ),
      maxLength: 8,
    }),
  )

  test('is one safe component that mpdl gives no other meaning, or none', () => {
    fc.assert(
      fc.property(nasty, (suggested) => {
        const name = safeServerName(suggested)
        if (name === undefined) return
        expect(name).not.toMatch(/[/\\\0]|^\.|^$/)
        expect(name).not.toMatch(/^mpdl\.toml$|\.part(\.json~?)?$/i)
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(MAX_NAME_BYTES)
        expect(safeComponent(name)).toBe(name)
        expect(safeServerName(name)).toBe(name)
      }),
      { numRuns: 3000 },
    )
  })
})
