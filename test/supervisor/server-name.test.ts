// Decides whether a Content-Disposition is read as RFC 6266 and RFC 8187 say, and whether a broken one does no harm.

import { describe, expect, test } from 'vitest'
import { suggestedName } from '../../src/supervisor/server-name.ts'
import fc from '../fixtures/property.ts'

/** As Node gives it: every byte a character. */
const onTheWire = (text: string) => Buffer.from(text).toString('latin1')

describe('the name in a Content-Disposition', () => {
  test.each([
    ['attachment; filename="report.pdf"', 'report.pdf'],
    ['inline; filename=report.pdf', 'report.pdf'],
    ['ATTACHMENT ; FileName = "report.pdf" ; size=7', 'report.pdf'],
    ['attachment; filename="a \\"quoted\\" name.txt"', 'a %22quoted%22 name.txt'],
    ['attachment; filename="semi;colon.txt"', 'semi;colon.txt'],
    // The extended form wins, whichever comes first.
    ['attachment; filename="euro.txt"; filename*=UTF-8\'\'%e2%82%ac.txt', '€.txt'],
    ['attachment; filename*=UTF-8\'\'%e2%82%ac.txt; filename="euro.txt"', '€.txt'],
    ["attachment; filename*=iso-8859-1'en'%a3%20rates.txt", '£ rates.txt'],
    // What cannot be decoded is not guessed at.
    ['attachment; filename*=UTF-8\'\'%ff%fe.txt; filename="plain.txt"', 'plain.txt'],
    ["attachment; filename*=UTF-8''%e2%82; filename=plain.txt", 'plain.txt'],
    ["attachment; filename*=iso-8859-1''%zz.txt; filename=plain.txt", 'plain.txt'],
    ["attachment; filename*=koi8-r''%c6.txt; filename=plain.txt", 'plain.txt'],
    ['attachment; filename*=no-quotes; filename=plain.txt', 'plain.txt'],
    // Percent escapes and RFC 2047's words mean nothing here.
    ['attachment; filename="50%25.txt"', '50%25.txt'],
    ['attachment; filename="=?UTF-8?Q?x?="', '=%3FUTF-8%3FQ%3Fx%3F='],
    [onTheWire('attachment; filename="naïve €.txt"'), 'naïve €.txt'],
    ['attachment; filename="na\xefve.txt"', 'naïve.txt'],
    ['attachment; filename="../../.bashrc"', '%2Ebashrc'],
    ["attachment; filename*=UTF-8''..%2F..%2Fx", 'x'],
    ["attachment; filename*=UTF-8''%E2%80%AEfdp.exe", '%E2%80%AEfdp.exe'],
  ])('%s is %s', (header, name) => {
    expect(suggestedName(header)).toEqual({ name, problem: undefined })
  })

  test.each(['attachment', 'inline', '', ';', 'attachment; name=x', '"'])(
    '%j suggests none, which is fine',
    (header) => {
      expect(suggestedName(header)).toEqual({ name: undefined, problem: undefined })
    },
  )

  test.each([
    'attachment; filename=".."',
    'attachment; filename=""',
    'attachment; filename="x.part"',
    'attachment; filename="never ends',
    'filename=no-type.txt',
    "attachment; filename*=UTF-8''%ff",
  ])('%s means one that cannot be used, and that is said', (header) => {
    const { name, problem } = suggestedName(header)
    expect([name, problem]).toEqual([undefined, expect.stringContaining('no usable name')])
  })

  test('is told from a hostile header without what a terminal would obey', () => {
    const { problem } = suggestedName(`attachment; filename=".."; x="\u001b[31m${'y'.repeat(5000)}"`)
    expect(problem).not.toContain('\u001b')
    expect(problem?.length).toBeLessThan(300)
  })

  test('never makes the download fail, whatever the header', () => {
    const piece = fc.constantFrom(
      'attachment',
      ';',
      '=',
      '"',
      '\\',
      '*',
      "'",
      'filename',
      '%',
      'ff',
      'utf-8',
      ' ',
      '\xff',
    )
    const pieces = fc.array(piece, { maxLength: 30 }).map((all) => all.join(''))
    const header = fc.oneof(fc.string({ unit: 'binary' }), pieces)
    fc.assert(
      fc.property(header, (text) => void suggestedName(text)),
      { numRuns: 2000 },
    )
  })
})
