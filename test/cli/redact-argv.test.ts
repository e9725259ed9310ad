// What a log may repeat of a command line.

import { expect, test } from 'vitest'
import { redactArgv } from '../../src/cli/redact-argv.ts'

test.each([
  [
    ['-H', 'Authorization: Bearer s3cret', 'urls.txt'],
    ['-H', 'Authorization: ***', 'urls.txt'],
  ],
  [['-HX-Api-Key:s3cret'], ['-HX-Api-Key: ***']],
  [
    ['-vH', 'Cookie: s3cret'],
    ['-vH', 'Cookie: ***'],
  ],
  [['-qvHCookie: s3cret'], ['-qvHCookie: ***']],
  [
    ['--header', 'Cookie: s3cret'],
    ['--header', 'Cookie: ***'],
  ],
  [['--header=Cookie: s3cret'], ['--header=Cookie: ***']],
  [
    ['-H', 's3cret without a colon'],
    ['-H', '***'],
  ],
  [
    ['-cH', 'Cookie: s3cret'],
    ['-cH', 'Cookie: ***'],
  ],
  [
    ['-Nu', 'me:s3cret', '-j', '4'],
    ['-Nu', 'me:***', '-j', '4'],
  ],
  [['-ume:s3cret:s3cret'], ['-ume:***']],
  [
    ['-u', ':s3cret'],
    ['-u', ':***'],
  ],
  [
    ['-u', 'me'],
    ['-u', 'me'],
  ],
  [
    ['--user', 'me:s3cret'],
    ['--user', 'me:***'],
  ],
  [['--user=me:s3cret'], ['--user=me:***']],
  [
    ['--proxy', 'http://me:s3cret@h:1'],
    ['--proxy', 'http://***@h:1'],
  ],
  [['--proxy=socks5h://me:s3cret@h:1'], ['--proxy=socks5h://***@h:1']],
  [
    ['--proxy', 'me:s3cret@h:1'],
    ['--proxy', '***@h:1'],
  ],
  [
    ['-j', '-u', 'me:s'],
    ['-j', '-u', 'me:s'],
  ],
  [
    ['--', '-u', 'me:s'],
    ['--', '-u', 'me:s'],
  ],
  [['https://me:s3cret@h/f?token=s3cret&page=2'], ['https://***@h/f?token=***&page=2']],
  [
    ['-d', 'Header', '-j', '4', '--', 'list'],
    ['-d', 'Header', '-j', '4', '--', 'list'],
  ],
])('%j is logged as %j', (argv, logged) => {
  expect(redactArgv(argv)).toEqual(logged)
})
