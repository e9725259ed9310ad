// Proves that every kind of failure and every threat has a test that says so in its name. Knows nothing of what those
// tests do: it reads titles.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FAILURE_KINDS } from '../../src/core/failure.ts'

/** `[threat:NAME]` and the attack it stands for. Those that came true elsewhere are cited by their number. */
const THREATS: Readonly<Record<string, string>> = {
  'planted-symlink': 'a link at the target, the part, its note or a directory on the way (CVE-2014-4877)',
  'redirect-name': 'a name taken from the redirect or the server (CVE-2016-4971, CVE-2010-2252, CVE-2020-8177)',
  'private-address': 'a name or redirect that leads to an address which is not public',
  'socks-name': 'a name too long for SOCKS, looked up locally instead (CVE-2023-38545)',
  'planted-configuration': 'a configuration that came with the list',
  'readable-secrets': 'files with secrets that others may read',
  'odd-names': 'names that leave --dir, or mean something to a system',
  'rejected-bytes': 'bytes that were rejected, under the final name or readable by others (CVE-2016-7098)',
  secrets: 'credentials in logs, reports, notes, databases, argv or environments (CVE-2018-20483, CVE-2019-3500)',
  'redirect-credentials': 'credentials that follow a redirect to another origin (CVE-2022-27774, CVE-2022-27776)',
  bomb: 'compression that nobody asked for, or that grows without end (CVE-2022-32206)',
  'resume-mix': 'two versions joined into one file',
  injection: 'terminal escapes and line breaks from servers and lists',
  endless: 'a body, headers, redirects or drops without end',
  'two-runs': 'two runs that write one file',
  'supervisor-killed': 'the supervisor killed while its children cannot help themselves',
  'child-killed': 'a child killed, stopped or broken at any moment',
  'child-confined': 'a child that is taken over by what it parses',
  'disk-full': 'no room, for bytes, names, logs or reports',
  'read-only': 'a file system that takes nothing',
  permission: 'a directory or a part that belongs to somebody else',
  'file-size': 'a limit on the size of files',
  'too-many-files': 'no more descriptors',
  'out-of-pids': 'no more processes',
}

const TITLE_TAG = /\[((?:threat:)?[a-z][a-z0-9-]*)\]/g

/** Tags in the titles of all tests: a title may stand in a table, so any string literal of a test file counts. */
function tagsInTitles(): ReadonlySet<string> {
  const root = join(import.meta.dirname, '..')
  const self = import.meta.filename
  const tags = new Set<string>()
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (!entry.name.endsWith('.test.ts') || path === self) continue
    const literals =
      readFileSync(path, 'utf8').match(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g) ?? []
    for (const literal of literals)
      for (const [, tag] of literal.matchAll(TITLE_TAG)) if (tag !== undefined) tags.add(tag)
  }
  return tags
}

const tags = tagsInTitles()

test('every kind of failure has a test whose name says [kind]', () => {
  expect(FAILURE_KINDS.filter((kind) => !tags.has(kind))).toEqual([])
})

test('every threat has a test whose name says [threat:name]', () => {
  expect(Object.keys(THREATS).filter((name) => !tags.has(`threat:${name}`))).toEqual([])
})

test('no test names a threat that is not listed here', () => {
  const named = [...tags].flatMap((tag) => (tag.startsWith('threat:') ? [tag.slice('threat:'.length)] : []))
  expect(named.filter((name) => !(name in THREATS))).toEqual([])
})
