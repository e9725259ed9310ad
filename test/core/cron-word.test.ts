// How words get through cron and a shell, by real shells and by all that crons are known to do to a command.

import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { cronWord, whyNoWord, whyShortLived } from '../../src/core/cron-word.ts'
import fc from '../fixtures/property.ts'
import { CRONS, throughCron } from '../fixtures/through-cron.ts'

/** As `printf` in a new shell sees the words. */
function wordsIn(command: string): string[] {
  const said = execFileSync('/bin/sh', ['-c', `printf '%s\\0' ${command}`], { encoding: 'utf8', env: {} })
  return said.split('\0').slice(0, -1)
}

const HOSTILE = [
  "a'b",
  "''",
  '\\',
  '\\\\',
  '%',
  '\\%',
  '%%\\\\%',
  '$HOME',
  '`id`',
  '~',
  '~root/x',
  'a b',
  '',
  '*',
  ';',
  '#x',
  '!x',
  '\t',
  'é€𝄞',
  'x=~',
  '-n',
  '{a,b}',
  '&&',
  "'%'",
]

test.each(Object.entries(CRONS))('words arrive as they were where cron %s', (_, read) => {
  const hostileWord = fc.string({ unit: fc.constantFrom(...'\\%\'"$ab~ \t`*é'), maxLength: 12 })
  const word = fc.oneof(hostileWord, fc.string({ unit: 'binary' })).filter((text) => whyNoWord(text) === undefined)
  const check = (words: readonly string[]) => {
    expect(wordsIn(throughCron(words.map(cronWord).join(' '), read))).toEqual(words)
  }
  check(HOSTILE)
  fc.assert(fc.property(fc.array(word, { minLength: 20, maxLength: 60 }), check), { numRuns: 50 })
})

test('what needs no quotes gets none', () => {
  expect(['/srv/lists', '-j', '--run-deadline=21h', 'me@host:x,y+z_'].map(cronWord).join(' ')).toBe(
    '/srv/lists -j --run-deadline=21h me@host:x,y+z_',
  )
  expect(['50%', 'a b', "it's", ''].map(cronWord)).toEqual(['50\\%', "'a b'", `it"'"s`, "''"])
})

test.each([
  ['a\nb', /holds the end of a line/],
  ['a\0b', /holds the end of a line/],
  ['a\rb', /holds the end of a line/],
  ['a\ufffd', /no UTF-8/],
])('%j cannot be written', (text, why) => {
  expect(whyNoWord(text)).toMatch(why)
})

test('a program in a place that does not last is told', () => {
  const short = [
    '/tmp/x/node',
    '/var/tmp/dist/main.js',
    '/home/u/.npm/_npx/1a2b/node_modules/mpdl/dist/main.js',
    '/run/user/1000/fnm_multishells/1_2/bin/node',
    '/nix/store/abc-nodejs-26/bin/node',
    '/home/u/.nvm/versions/node/v26.10.0/bin/node',
    '/opt/node-v26.10.0-linux-x64/bin/node',
    '/opt/homebrew/Cellar/node/26.10.0/bin/node',
    '/home/u/.asdf/installs/nodejs/26.10.0/bin/node',
  ]
  const lasting = [
    '/usr/bin/node',
    '/usr/local/bin/mpdl',
    '/srv/tmp/main.js',
    '/opt/versions/node/bin/node',
    '/opt/node/bin/node',
  ]
  expect(short.filter((path) => whyShortLived(path) === undefined)).toEqual([])
  expect(lasting.filter((path) => whyShortLived(path) !== undefined)).toEqual([])
})
