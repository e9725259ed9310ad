// Whether a netrc file means here what it means to curl; the accepted texts were tried with curl 7.88.

import { describe, expect, test } from 'vitest'
import { findInNetrc, parseNetrc } from '../../src/core/netrc.ts'
import fc from '../fixtures/property.ts'

function entriesOf(text: string) {
  const result = parseNetrc(text)
  if (!result.ok) throw new Error(result.problem)
  return result.entries
}

describe('parseNetrc', () => {
  test.each([
    ['one line', 'machine h login u password p'],
    ['a value on the next line', 'machine\n\th\nlogin\n  u\r\npassword p\n'],
    ['keywords in capitals', 'MACHINE h LOGIN u PASSWORD p'],
    ['an account, which HTTP has no use for', 'machine h login u account login password p'],
    ['comments', '# machine x\nmachine h # login x\nlogin u #\n password p # no more'],
    ['quoted words', '"machine" "h" login "u"password "p"'],
    ['a macro before', 'macdef login password x\nmachine y\n  "\n\nmachine h login u password p'],
    ['a macro behind that never ends', 'machine h login u password p macdef init\nmachine y'],
  ])('reads %s', (_, text) => {
    expect(entriesOf(text)).toEqual([{ host: 'h', login: 'u', password: 'p' }])
  })

  test('reads several entries of a line in order, default among them', () => {
    expect(entriesOf('machine a login u machine b password p default login d')).toEqual([
      { host: 'a', login: 'u' },
      { host: 'b', password: 'p' },
      { host: undefined, login: 'd' },
    ])
  })

  test.each([
    ['"a \\"b\\" \\\\ \\n\\r\\t\\q#"', 'a "b" \\ \n\r\tq#'],
    ['""', ''],
    ['a#b"c\\n', 'a#b"c\\n'],
  ])('the word %s is %j', (word, password) => {
    expect(entriesOf(`machine h password ${word}`)).toEqual([{ host: 'h', password }])
  })

  test.each([
    ['machine h\nlogin "u password CANARY', 2, 'a quotation mark is never closed'],
    ['machine h password "CANARY\\', 1, 'a quotation mark is never closed'],
    ['machine h password #CANARY\n\n', 1, 'password has no value'],
    ['machine h login u\n\npassword my CANARY', 3, expect.stringMatching(/^a word that is none of machine, default,/)],
    ['login u', 1, 'login stands before any machine'],
  ])('%j is refused by its line, and nothing of it is quoted', (text, line, problem) => {
    expect(parseNetrc(text)).toEqual({ ok: false, line, problem })
    expect(JSON.stringify(parseNetrc(text))).not.toContain('CANARY')
  })

  test('any quoted word comes back as it was meant', () => {
    fc.assert(
      fc.property(
        fc.string().filter((text) => !/[\r\n]/.test(text)),
        (password) => {
          const word = `"${password.replace(/["\\]/g, '\\$&')}"`
          expect(entriesOf(`machine h password ${word} login u`)).toEqual([{ host: 'h', password, login: 'u' }])
        },
      ),
    )
  })
})

describe('findInNetrc', () => {
  const entries = entriesOf(`
    machine Example.com login a password 1
    machine example.com login b password 2
    machine ::1 login six password 6
    machine token password t
    machine empty
    default login d password 3
    machine late login e password 4`)

  test.each([
    ['example.com', undefined, 'a', '1'],
    ['EXAMPLE.com', 'b', 'b', '2'],
    ['[::1]', undefined, 'six', '6'],
    ['token', undefined, '', 't'],
    ['token', 'x', 'x', 't'],
    ['sub.example.com', undefined, 'd', '3'],
    ['late', undefined, 'd', '3'],
    ['late', 'e', 'e', '4'],
  ])('for %s and user %s it is %s with %s', (host, name, user, password) => {
    expect(findInNetrc(entries, host, name)).toEqual({ user, password })
  })

  test('an entry that says nothing gives nothing, and hides what follows', () => {
    expect(findInNetrc(entries, 'empty', undefined)).toBeUndefined()
  })

  test('no entry for that user gives nothing', () => {
    expect(findInNetrc(entries, 'example.com', 'c')).toBeUndefined()
  })
})
