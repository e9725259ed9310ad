// Decides whether rows are read as written and every mistake is told in full.

import { describe, expect, test } from 'vitest'
import type { Entry, EntryOptions } from '../../src/core/job.ts'
import { printable } from '../../src/core/printable.ts'
import { authorityOf, hostKey, lineKind, parseRow } from '../../src/core/url-list.ts'
import { parseList } from '../fixtures/parse-list.ts'
import fc from '../fixtures/property.ts'

const HEX = { md5: 'ab'.repeat(16), 'sha-1': 'cd'.repeat(20), 'sha-256': 'ef'.repeat(32), 'sha-512': '01'.repeat(64) }

function entryOf(...lines: string[]): Entry {
  const row = parseRow(1, lines)
  if (!row.ok) throw new Error(JSON.stringify(row.errors))
  return row.entry
}

function problemsOf(...lines: string[]): string[] {
  const row = parseRow(1, lines)
  return row.ok ? [] : row.errors.map(({ line, problem }) => `${line}: ${problem}`)
}

const option = (text: string) => problemsOf('https://h/x', ` ${text}`)

describe('job lines', () => {
  test('a plain URL is a job without options', () => {
    expect(entryOf('https://example.com/x')).toEqual({ line: 1, urls: ['https://example.com/x'], options: {} })
  })

  test('URLs are normalised, the fragment dropped, credentials and query kept', () => {
    expect(entryOf('  HTTPS://User:P%40w@EXAMPLE.com:443/a/../b c?q=1#frag'.trim()).urls).toEqual([
      'https://User:P%40w@example.com/b%20c?q=1',
    ])
    expect(entryOf('https://münchen.example/ä ').urls).toEqual(['https://xn--mnchen-3ya.example/%C3%A4'])
  })

  test('mirrors are separated by TABs, empty ones ignored', () => {
    expect(entryOf('https://a/x\thttp://b/x\t\t ').urls).toEqual(['https://a/x', 'http://b/x'])
  })

  test.each(Object.entries(HEX))('a digest of the length of %s in front is the checksum', (algorithm, hex) => {
    const checksum = { algorithm, hex }
    expect(entryOf(`${hex}  https://h/x`).options).toEqual({ checksum })
    expect(entryOf(`${hex.toUpperCase()} *https://h/x\thttps://i/x`)).toEqual({
      line: 1,
      urls: ['https://h/x', 'https://i/x'],
      options: { checksum },
    })
  })

  test('JSON rows carry the same as option lines', () => {
    const json = {
      url: ['https://a/x', 'https://b/x'],
      out: 'o',
      dir: 'd',
      checksum: `sha-256=${HEX['sha-256']}`,
      headers: { 'X-A': '1', Accept: 'b' },
      user: 'u',
      password: ' p ',
      deadline: 1.5,
      timeout: '2m',
      tries: 3,
      split: '4',
      proxy: 'proxy.test:3128',
    }
    expect(entryOf(JSON.stringify(json))).toEqual({
      line: 1,
      urls: json.url,
      options: {
        out: 'o',
        dir: 'd',
        checksum: { algorithm: 'sha-256', hex: HEX['sha-256'] },
        headers: [
          ['X-A', '1'],
          ['Accept', 'b'],
        ],
        user: 'u',
        password: ' p ',
        deadlineMs: 1500,
        timeoutMs: 120_000,
        tries: 3,
        split: 4,
        proxy: 'http://proxy.test:3128',
      },
    })
    expect(entryOf('{"url":"https://h/x","proxy":"none"}').options.proxy).toBe('none')
    expect(entryOf('{"url":"https://h/x","headers":["A: b"]}').options.headers).toEqual([['A', 'b']])
  })

  test.each([
    ['example.com/x', '1: example.com/x has no scheme; did you mean https://example.com/x?'],
    ['localhost:8080/x', '1: localhost:8080/x has no scheme; did you mean https://localhost:8080/x?'],
    ['u:secret@h/x', '1: ***@h/x has no scheme; did you mean https://***@h/x?'],
    ['ftp://u:secret@h/x', '1: "ftp:" is not supported; only http and https are; give an http:// or https:// URL'],
    ['file:///etc/passwd', '1: "file:" is not supported; only http and https are; give an http:// or https:// URL'],
    ['data:text/plain,x', '1: "data:" is not supported; only http and https are; give an http:// or https:// URL'],
    ['https:/h/x', '1: "https:/h/x" is no valid URL; write https://host/path'],
    ['https://', '1: "https://" is no valid URL; check its host and port'],
    ['https://u:secret@h:port/', '1: "https://***@h:port/" is no valid URL; check its host and port'],
    ['https://h:99999/?token=secret', '1: "https://h:99999/?token=***" is no valid URL; check its host and port'],
    ['hello secret', '1: "hello" is no URL; give one that starts with http:// or https://'],
    ['password=secret', '1: "password=" looks like an option; put a space before it and the URL on the line above'],
    ['https://h/\u001b[31m', '1: "https://h/\\x1b[31m" has a control character; remove it or write it as %XX'],
    [`${HEX.md5}  `, '1: has no URL; give one that starts with http:// or https://'],
    [
      'https://a/x https://b/y',
      '1: "https://a/x https://b/y" has a space between URLs; put each on its own line, or a TAB between mirrors of one file',
    ],
    [
      'abcdef0123  https://h/x',
      '1: checksum before the URL has 10 hex digits; it must have 32 (md5), 40 (sha-1), 64 (sha-256) or 128 (sha-512)',
    ],
    [
      'https://h/\0',
      '1: has a NUL byte; this looks like a binary file, not a list; give a text file with one URL a line',
    ],
    [' out=x', '1: is an option (it starts with a space or TAB) with no job above; put the URL on the line before'],
  ])('%j is told what is wrong', (text, problem) => {
    expect(problemsOf(text)).toEqual([problem])
  })

  test('what cannot be shown as text is told why', () => {
    const row = parseRow(7, [{ unreadable: 'too-long' }, { unreadable: 'not-utf8' }])
    expect(row).toEqual({
      ok: false,
      errors: [
        { line: 7, problem: 'is longer than 64 KiB; put each URL on a line of its own' },
        { line: 8, problem: 'is not valid UTF-8; save the list as UTF-8' },
      ],
    })
  })

  test('a row of nothing is no entry', () => {
    expect(parseRow(1, ['# comment'])).toEqual({ ok: false, errors: [] })
  })
})

describe('JSON rows', () => {
  const known = 'known are url, out, dir, checksum, headers, user, password, deadline, timeout, tries, split, proxy'
  test.each([
    ['{"url":', 'is not valid JSON; a JSON row is one object on one line, such as {"url": "https://example.com/x"}'],
    ['{}', 'has no "url"; add "url": "https://…" to the object'],
    ['{"url":7}', '"url" must be a string or an array of strings'],
    ['{"url":["https://h/x",7]}', '"url" must be a string or an array of strings'],
    ['{"url":[]}', 'has no URL; give one that starts with http:// or https://'],
    ['{"url":"https://h/x","outt":"y"}', 'key "outt" is unknown; did you mean out?'],
    ['{"url":"https://h/x","header":[]}', 'key "header" is unknown; did you mean headers?'],
    ['{"url":"https://h/x","http-user":"y"}', 'key "http-user" is unknown; did you mean user?'],
    ['{"url":"https://h/x","__proto__":1}', `key "__proto__" is unknown; ${known}`],
    ['{"url":"https://h/x","constructor":1}', `key "constructor" is unknown; ${known}`],
    ['{"url":"https://h/x","out":1}', '"out" must be a string'],
    ['{"url":"https://h/x","tries":true}', '"tries" must be a string or a number'],
    ['{"url":"https://h/x","tries":1.5}', 'tries is "1.5"; it must be a whole number from 1 to 1000'],
    ['{"url":"https://h/x","headers":1}', '"headers" must be an object of strings or an array of "Name: value"'],
    ['{"url":"https://h/x","headers":{"a":1}}', '"headers" must be an object of strings or an array of "Name: value"'],
    ['{"url":"https://h/x","headers":null}', '"headers" must be an object of strings or an array of "Name: value"'],
    [
      '{"url":"https://h/x","headers":{"a":"b\\r\\nc: d"}}',
      'header a: character 2 of its value may not stand in a header; use visible ASCII or Latin-1',
    ],
    ['{"url":"https://h/x","headers":{"a:b":"c"}}', 'header name "a:b" is not allowed; use letters, digits and -'],
    ['{"url":"https://h/x","headers":["Range: bytes=5-"]}', 'header Range is set by mpdl itself; leave it out'],
  ])('%s: %s', (text, problem) => {
    expect(problemsOf(text)).toEqual([`1: ${problem}`])
  })
})

describe('option lines', () => {
  test('follow their job over blank lines and comments', () => {
    const entry = entryOf(
      'https://h/x\r',
      '  out = a b.txt \r',
      '',
      '# comment',
      '   # indented comment',
      '\tdir=d/e',
      ` checksum=SHA256=${HEX['sha-256'].toUpperCase()}`,
      ' header=X-One: a: b ',
      ' header=X-One:c',
      ' user=u',
      ' password= p ',
      ' deadline=1m30s',
      ' timeout=5',
      ' tries=1000',
      ' split=64',
    )
    expect(entry.options).toEqual({
      out: 'a b.txt',
      dir: 'd/e',
      checksum: { algorithm: 'sha-256', hex: HEX['sha-256'] },
      headers: [
        ['X-One', 'a: b'],
        ['X-One', 'c'],
      ],
      user: 'u',
      password: ' p ',
      deadlineMs: 90_000,
      timeoutMs: 5000,
      tries: 1000,
      split: 64,
    })
  })

  test.each(['md5', 'MD5', 'sha1', 'sha-1', 'sha256', 'Sha-256', 'sha512', 'sha-512'])(
    '%s is a known spelling',
    (name) => {
      const algorithm = name.toLowerCase().replace(/^sha(?=\d)/, 'sha-') as keyof typeof HEX
      expect(entryOf('https://h/x', ` checksum=${name}=${HEX[algorithm]}`).options.checksum).toEqual({
        algorithm,
        hex: HEX[algorithm],
      })
    },
  )

  const known = 'known are out, dir, checksum, header, user, password, deadline, timeout, tries, split, proxy'
  test.each([
    ['checksm=sha-256=00', 'option "checksm=" is unknown; did you mean checksum=?'],
    ['headers=A: b', 'option "headers=" is unknown; did you mean header=?'],
    ['max-tries=5', 'option "max-tries=" is unknown; did you mean tries=?'],
    ['pasword=secret', 'option "pasword=" is unknown; did you mean password=?'],
    ['colour=red', `option "colour=" is unknown; ${known}`],
    [`${'x'.repeat(30)}=1`, `option "${'x'.repeat(30)}=" is unknown; ${known}`],
    ['password secret', 'option "password" has no value; write name=value'],
    [
      'https://h/y?a=b',
      'starts with a space or TAB and so is an option of the job above; remove the space to make it a job',
    ],
    ['out=../x', 'out is "../x"; it must stay below --dir, so remove ".."'],
    ['dir=a\\..\\b', 'dir is "a\\..\\b"; it must stay below --dir, so remove ".."'],
    ['dir=/etc', 'dir is "/etc", an absolute path; it must stay below --dir, so give a relative one'],
    ['out=C:\\x', 'out is "C:\\x", an absolute path; it must stay below --dir, so give a relative one'],
    ['dir=', 'dir is empty; name a directory below --dir or remove the option'],
    ['out=', 'out is "" and names no file; end it with a file name'],
    ['out=a/', 'out is "a/" and names no file; end it with a file name'],
    ['out=a/.', 'out is "a/." and names no file; end it with a file name'],
    ['checksum=abc', 'checksum names no algorithm; write checksum=sha-256=HEX'],
    ['checksum=crc32=00', 'checksum algorithm "crc32" is unknown; md5, sha-1, sha-256 and sha-512 are known'],
    ['checksum=md5=xyz', 'checksum md5 is not hexadecimal; give its 32 hex digits'],
    ['checksum=sha-256=00ff', 'checksum sha-256 has 4 hex digits and needs 64; copy it again in full'],
    ['header=no colon', 'header has no colon; write "Name: value"'],
    ['header=a b: c', 'header name "a b" is not allowed; use letters, digits and -'],
    ['header=a: ĉ', 'header a: character 1 of its value may not stand in a header; use visible ASCII or Latin-1'],
    ['header=Accept-Encoding: gzip', 'header Accept-Encoding is set by mpdl itself; leave it out'],
    ['user=me:secret', 'user has a colon; write the password as password= on a line of its own'],
    ['user=a\u0007', 'user has a control character, which no server accepts; remove it'],
    ['deadline=soon', 'deadline is "soon"; it must be a duration from 1ms to 24d, such as 250ms, 30s, 5m or 6h'],
    ['timeout=0', 'timeout is "0"; it must be a duration from 1ms to 24d, such as 250ms, 30s, 5m or 6h'],
    ['timeout=25d', 'timeout is "25d"; it must be a duration from 1ms to 24d, such as 250ms, 30s, 5m or 6h'],
    ['tries=0', 'tries is "0"; it must be a whole number from 1 to 1000'],
    ['tries=1001', 'tries is "1001"; it must be a whole number from 1 to 1000'],
    ['proxy=', 'proxy is no valid URL; write http://host:port, or none to ask directly'],
    ['split=-1', 'split is "-1"; it must be a whole number from 1 to 64'],
  ])('%j: %s', (text, problem) => {
    expect(option(text)).toEqual([`2: ${problem}`])
  })

  test('an option given twice is no choice of ours', () => {
    expect(problemsOf('{"url":"https://h/x","timeout":1}', ' timeout=2')).toEqual([
      '2: timeout is given twice; keep one',
    ])
  })

  test('a second job line inside a row belongs to it as a mirror of nothing: the reader never sends one', () => {
    expect(entryOf('https://a/x', 'https://b/x').urls).toEqual(['https://a/x', 'https://b/x'])
  })

  test('all problems of a row are told, each with its own line', () => {
    expect(problemsOf('nope\tftp://x', ' tries=0', '', ' outt=x').map((text) => text.slice(0, 2))).toEqual([
      '1:',
      '1:',
      '2:',
      '4:',
    ])
  })

  test('no secret of the list shows in a problem', () => {
    const secret = 'CANARY'
    const rows = [
      [`https://u:${secret}@h:x/`],
      [`u:${secret}@h`],
      [`https://u:a/${secret}@h/`],
      [`https://h:x/?sig=${secret}`],
      [`Authorization: Bearer ${secret}`],
      [`{"url":"https://h", "password":"${secret}`],
      [`{"url":"https://h", "password":["${secret}"]}`],
      ['https://h', ` password ${secret}`],
      ['https://h', ` pwd=${secret}`],
      ['https://h', ` header=Bad Name: ${secret}`],
      ['https://h', ` header=Authorization: ${secret}\u0001`],
      ['https://h', ` password=${secret}\u0001`],
      ['https://h', ` user=${secret}\u0001`],
    ]
    for (const row of rows) {
      expect(problemsOf(...row)).not.toEqual([])
      expect(problemsOf(...row).join()).not.toContain(secret)
    }
  })
})

describe('lists', () => {
  test('BOM, CRLF, comments and a missing last newline leave line numbers right', () => {
    const text = '\uFEFF# head\r\n\r\nhttps://h/1\r\n  out=one\r\n   \r\nbad\r\nhttps://h/2\r\n\thuh=1\r\nhttps://h/3'
    const { entries, errors } = parseList(text)
    expect(entries.map(({ line, urls }) => [line, urls[0]])).toEqual([
      [3, 'https://h/1'],
      [9, 'https://h/3'],
    ])
    expect(entries[0]?.options).toEqual({ out: 'one' })
    expect(errors.map(({ line }) => line)).toEqual([6, 8])
  })

  test('an option above all jobs is an error of its own', () => {
    const { entries, errors } = parseList('\n out=x\n dir=y\nhttps://h/1\n')
    expect(entries).toHaveLength(1)
    expect(errors).toEqual([{ line: 2, problem: expect.stringContaining('no job above') }])
  })

  test('the three forms may be mixed', () => {
    const { entries, errors } = parseList(`{"url":"https://h/1"}\n out=a\n${HEX.md5}  https://h/2\nhttps://h/3\n dir=b`)
    expect(errors).toEqual([])
    expect(entries.map(({ options }) => Object.keys(options))).toEqual([['out'], ['checksum'], ['dir']])
  })

  test.each([
    ['', 'ignored'],
    ['\r', 'ignored'],
    [' \t\r', 'ignored'],
    ['#x', 'ignored'],
    ['  #x', 'ignored'],
    [' x', 'option'],
    ['\tx', 'option'],
    ['x', 'job'],
    ['\rx', 'job'],
  ])('%j is %s', (text, kind) => {
    expect(lineKind(text)).toBe(kind)
  })

  test('no text makes the parser throw, and problems are printable and short', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        '\n',
        '\r\n',
        ' ',
        '\t',
        'https://',
        'http://h/',
        '{"url":',
        '"',
        '}',
        ' out=',
        ' header=',
        '=',
        '\0',
      ),
      fc.constantFrom(HEX.md5, '  ', '@', ':', '..', '/', '#', '\uFEFF', '\u202e', ' checksum=sha-256=', ' tries='),
      fc.json().map((text) => `{"url":${text}}`),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const text = pieces.join('')
        const lineCount = text.split('\n').length
        const { entries, errors } = parseList(text)
        for (const { line } of [...entries, ...errors]) expect(line >= 1 && line <= lineCount).toBe(true)
        for (const { problem } of errors) {
          expect(problem.length).toBeLessThan(400)
          expect(problem).toBe(printable(problem))
        }
        for (const { urls } of entries) for (const url of urls) expect(url).toMatch(/^https?:\/\/[^#]+$/)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('values', () => {
  /** The row of an entry: aria2's form where it can carry the values, else JSON. */
  function rowOf({ urls, options }: Pick<Entry, 'urls' | 'options'>): string {
    const { checksum, headers = [], deadlineMs, timeoutMs, ...plain } = options
    const scalars: Record<string, string | number> = { ...plain }
    if (checksum !== undefined) scalars.checksum = `${checksum.algorithm}=${checksum.hex}`
    if (deadlineMs !== undefined) scalars.deadline = `${deadlineMs}ms`
    if (timeoutMs !== undefined) scalars.timeout = `${timeoutMs}ms`
    const fields = headers.map(([name, value]) => `${name}: ${value}`)
    const values = Object.values(scalars).map(String)
    if (values.some((value) => value !== value.trim() || /\p{Cc}/u.test(value) || !value.isWellFormed())) {
      return JSON.stringify({ url: urls, ...scalars, ...(fields.length > 0 && { headers: fields }) })
    }
    const optionLines = Object.entries(scalars).map(([name, value]) => ` ${name}=${value}`)
    return [urls.join('\t'), ...optionLines, ...fields.map((field) => ` header=${field}`)].join('\n')
  }

  const text = fc.oneof(fc.stringMatching(/^[a-zA-Z0-9 ._=-]{1,20}$/), fc.string({ unit: 'grapheme', minLength: 1 }))
  const clean = text.filter((value) => !/\p{Cc}/u.test(value) && value.isWellFormed())
  // JSON carries what option lines cannot: control characters, lone surrogates, spaces at the ends.
  const path = fc
    .oneof(clean, fc.constantFrom(' a ', 'a\u0007', 'a\ud800'))
    .filter((value) => !/\.\.|^\/|\/$|\/\.$|^\.$|^[a-z]:/i.test(value))
  const header = fc.tuple(fc.stringMatching(/^X-[A-Za-z0-9-]{1,9}$/), fc.stringMatching(/^([!-~]([ -~]{0,9}[!-~])?)?$/))
  const duration = fc.integer({ min: 1, max: 24 * 86_400_000 })
  const options: fc.Arbitrary<EntryOptions> = fc.record(
    {
      out: path,
      dir: path,
      checksum: fc
        .constantFrom('md5' as const, 'sha-256' as const)
        .map((algorithm) => ({ algorithm, hex: HEX[algorithm] })),
      headers: fc.array(header, { minLength: 1, maxLength: 4 }),
      user: clean.filter((value) => !value.includes(':')),
      password: clean,
      deadlineMs: duration,
      timeoutMs: duration,
      tries: fc.integer({ min: 1, max: 1000 }),
      split: fc.integer({ min: 1, max: 64 }),
    },
    { requiredKeys: [] },
  )
  const url = fc.webUrl({ withQueryParameters: true }).map((given) => new URL(given).href)
  const entry = fc.record({ first: url, mirrors: fc.array(url, { maxLength: 3 }), options })

  test('read back as they were written, each option with its job', () => {
    fc.assert(
      fc.property(
        fc.array(entry, { minLength: 1, maxLength: 5 }),
        fc.constantFrom('\n', '\r\n', '\n\n# -\n'),
        (given, end) => {
          const entries = given.map(
            ({ first, mirrors, options: own }, i): Entry => ({
              line: i,
              urls: [first, ...mirrors],
              options: own,
            }),
          )
          const back = parseList(entries.map((each) => rowOf(each).replaceAll('\n', end) + end).join(''))
          expect(back.errors).toEqual([])
          expect(back.entries.map(({ urls, options: own }) => ({ urls, options: own }))).toEqual(
            entries.map(({ urls, options: own }) => ({ urls, options: own })),
          )
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('hostKey', () => {
  test.each([
    ['https://example.com/x', 'example.com:443'],
    ['http://example.com/x', 'example.com:80'],
    ['http://u:p@example.com:8080/@x', 'example.com:8080'],
    ['https://[::1]/x', '[::1]:443'],
    ['https://[::1]:8443/x', '[::1]:8443'],
  ])('%s counts for %s', (url, key) => {
    expect(hostKey(url)).toBe(key)
  })

  test('the authority is what URL calls host', () => {
    fc.assert(
      fc.property(fc.webUrl({ authoritySettings: { withPort: true, withUserInfo: true } }), (given) => {
        const url = new URL(given)
        expect(authorityOf(url.href)).toBe(url.host)
      }),
    )
  })
})
