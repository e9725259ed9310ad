// Decides whether every failure has a class, an outcome, a transience and a sentence fit for people.

import { expect, test } from 'vitest'
import type { Failure, FailureClass, FailureKind, FailureOutcome } from '../../src/core/failure.ts'
import {
  classOf,
  FAILURE_KINDS,
  isConnectFailure,
  isTransient,
  outcomeOf,
  describe as tell,
} from '../../src/core/failure.ts'

type Row<K extends FailureKind> = readonly [
  class_: FailureClass,
  outcome: FailureOutcome,
  isTransient: boolean,
  ...samples: readonly [Extract<Failure, { kind: K }>, sentence: string | RegExp][],
]

const TABLE: { readonly [K in FailureKind]: Row<K> } = {
  'disk-full': [
    'file',
    'failed',
    false,
    [{ kind: 'disk-full', path: 'a.part' }, 'disk full at a.part (see --min-disk-free)'],
    [{ kind: 'disk-full', path: 'a', freeBytes: 1024, neededBytes: 2048 }, /1\.00 KiB free, 2\.00 KiB needed/],
  ],
  'no-room': [
    'file',
    'failed',
    false,
    [
      { kind: 'no-room', path: '/d', freeBytes: 1024, neededBytes: 2 ** 40 },
      '1.00 TiB announced, 1.00 KiB free at /d (see --min-disk-free)',
    ],
  ],
  'foreign-part': [
    'file',
    'failed',
    false,
    [
      { kind: 'foreign-part', path: '/d/a.part' },
      "/d/a.part exists and is not a part of mpdl's; move it away, remove it, or continue it with -c",
    ],
  ],
  'name-taken': [
    'file',
    'failed',
    false,
    [
      { kind: 'name-taken', path: '/d/a.pdf', by: 'somebody else' },
      '/d/a.pdf is not replaced: this job did not leave it there like that; use out= or --on-clash rename',
    ],
    [{ kind: 'name-taken', path: 'a', by: 'another job' }, /^a is not replaced: it is another job's; use out=/],
    [{ kind: 'name-taken', path: 'a', by: 'this run' }, /^a is not replaced: it is the list of this run/],
  ],
  'disk-error': [
    'file',
    'failed',
    false,
    [
      { kind: 'disk-error', code: 'EACCES', operation: 'create', path: 'a' },
      'cannot create a: permission denied (EACCES)',
    ],
    [{ kind: 'disk-error', code: 'EWEIRD', operation: 'create', path: 'a' }, 'cannot create a: EWEIRD'],
  ],
  'target-is-directory': ['file', 'failed', false, [{ kind: 'target-is-directory', path: 'a' }, /^a is a directory/]],
  'target-is-symlink': ['file', 'failed', false, [{ kind: 'target-is-symlink', path: 'a' }, /^a is a symbolic link/]],
  locked: [
    'file',
    'failed',
    false,
    [{ kind: 'locked', path: 'a', pid: 7 }, 'a is being written by another run (pid 7)'],
    [{ kind: 'locked', path: 'a' }, 'a is being written by another run'],
  ],
  'unknown-host': [
    'network',
    'failed',
    true,
    [{ kind: 'unknown-host', host: 'h', code: 'ENOTFOUND' }, 'unknown host h'],
    [{ kind: 'unknown-host', host: 'h', code: 'EAI_AGAIN' }, 'the name server gave no answer for h'],
  ],
  'connect-refused': [
    'network',
    'failed',
    true,
    [{ kind: 'connect-refused', host: 'h:1' }, 'connection refused by h:1'],
  ],
  network: [
    'network',
    'failed',
    true,
    [{ kind: 'network', code: 'ECONNRESET', host: 'h' }, 'h: the connection was reset (ECONNRESET)'],
    [{ kind: 'network', code: 'EODD', host: 'h' }, 'h: EODD'],
  ],
  'connect-timeout': [
    'network',
    'failed',
    true,
    [{ kind: 'connect-timeout', host: 'h', afterMs: 30_000 }, 'no connection to h within 30s (--connect-timeout)'],
  ],
  'headers-timeout': ['network', 'failed', true, [{ kind: 'headers-timeout', afterMs: 300_000 }, /within 5m/]],
  truncated: [
    'network',
    'failed',
    true,
    [{ kind: 'truncated', receivedBytes: 10 }, 'the connection broke after 10 B of unknown length'],
    [{ kind: 'truncated', receivedBytes: 10, expectedBytes: 20 }, 'the connection ended after 10 B of 20 B'],
  ],
  proxy: [
    'network',
    'failed',
    true,
    [{ kind: 'proxy', proxy: 'p:3128', code: 'ECONNREFUSED' }, 'proxy p:3128: connection refused (ECONNREFUSED)'],
    [{ kind: 'proxy', proxy: 'p:1080', code: 'ECONNRESET' }, 'proxy p:1080: the connection was reset (ECONNRESET)'],
    [{ kind: 'proxy', proxy: 'p:3128', code: 'x', status: 502 }, 'proxy p:3128 refused: HTTP 502 Bad Gateway'],
    [{ kind: 'proxy', proxy: 'p:3128', code: 'x', status: 503 }, 'proxy p:3128 refused: HTTP 503 Service Unavailable'],
  ],
  'private-address': [
    'protocol',
    'failed',
    false,
    [
      { kind: 'private-address', host: 'intra', address: '10.0.0.1' },
      'intra is 10.0.0.1, which is no public address (--block-private)',
    ],
    [{ kind: 'private-address', host: '::1', address: '::1' }, '::1 is no public address (--block-private)'],
  ],
  'type-refused': [
    'protocol',
    'failed',
    false,
    [
      { kind: 'type-refused', contentType: 'text/html', accepted: ['application/pdf', 'image/*'] },
      'the server sends text/html; accepted is application/pdf, image/* (--accept-type)',
    ],
  ],
  'broken-coding': [
    'protocol',
    'failed',
    false,
    [
      { kind: 'broken-coding', coding: 'gzip', code: 'Z_DATA_ERROR' },
      "the body's gzip coding is broken (Z_DATA_ERROR)",
    ],
  ],
  'host-down': [
    'network',
    'failed',
    false,
    [{ kind: 'host-down', host: 'h', cause: 'refused' }, 'host h is down: refused'],
  ],
  tls: [
    'tls',
    'failed',
    false,
    [{ kind: 'tls', code: 'CERT_HAS_EXPIRED', host: 'h' }, /the certificate has expired \(CERT_HAS_EXPIRED\)$/],
    [{ kind: 'tls', code: 'ERR_ODD', host: 'h' }, 'TLS with h failed: ERR_ODD'],
  ],
  unauthorized: [
    'auth',
    'failed',
    false,
    [
      { kind: 'unauthorized', status: 401, scheme: 'Basic' },
      'HTTP 401 Unauthorized: the server wants credentials (Basic)',
    ],
    [
      { kind: 'unauthorized', status: 401, hint: 'the password was refused' },
      'HTTP 401 Unauthorized: the server wants credentials; the password was refused',
    ],
    [{ kind: 'unauthorized', status: 407 }, /^HTTP 407 Proxy Authentication Required: the proxy wants credentials$/],
  ],
  protocol: [
    'protocol',
    'failed',
    false,
    [
      { kind: 'protocol', code: 'HPE_INVALID_CONSTANT' },
      'the server broke HTTP: the answer is not HTTP (HPE_INVALID_CONSTANT)',
    ],
  ],
  'redirect-refused': [
    'protocol',
    'failed',
    false,
    [{ kind: 'redirect-refused', reason: 'no', location: 'ftp://h/' }, 'redirect to ftp://h/ refused: no'],
  ],
  'too-many-redirects': [
    'protocol',
    'failed',
    false,
    [{ kind: 'too-many-redirects', limit: 20 }, /^more than 20 redirects/],
  ],
  'http-status': [
    'http',
    'failed',
    false,
    [{ kind: 'http-status', status: 404 }, 'HTTP 404 Not Found'],
    [{ kind: 'http-status', status: 599 }, 'HTTP 599'],
  ],
  'too-large': [
    'other',
    'failed',
    false,
    [{ kind: 'too-large', sizeBytes: 2048, limitBytes: 1024 }, '2.00 KiB is more than --max-filesize 1.00 KiB'],
    [{ kind: 'too-large', limitBytes: 1024 }, 'the body is more than --max-filesize 1.00 KiB'],
  ],
  'try-later': [
    'http',
    'failed',
    false,
    [
      { kind: 'try-later', status: 503, waitMs: 3_600_000, atMs: 1_800_000_000_000 },
      'HTTP 503: try later, at 2027-01-15T08:00:00.000Z (Retry-After 1h)',
    ],
  ],
  'range-refused': [
    'protocol',
    'failed',
    false,
    [{ kind: 'range-refused', reason: 'its validator is another' }, 'no part of this file: its validator is another'],
  ],
  checksum: [
    'integrity',
    'failed',
    false,
    [{ kind: 'checksum', algorithm: 'sha-256', expected: 'aa', actual: 'bb' }, 'sha-256 is bb, the list says aa'],
  ],
  length: [
    'integrity',
    'failed',
    true,
    [{ kind: 'length', expectedBytes: 2, actualBytes: 1 }, '1 B on disk, 2 B announced'],
  ],
  'boot-timeout': ['killed', 'killed', true, [{ kind: 'boot-timeout', afterMs: 15_000 }, /^BOOT .* 15s$/]],
  hang: ['killed', 'killed', true, [{ kind: 'hang', afterMs: 30_000 }, 'HUNG no heartbeat for 30s']],
  stall: ['killed', 'killed', true, [{ kind: 'stall', afterMs: 60_000 }, 'STALLED no body bytes for 1m']],
  'too-slow': [
    'killed',
    'killed',
    true,
    [{ kind: 'too-slow', bytesPerSecond: 10, windowMs: 600_000 }, /^SLOW 10 B\/s over 10m/],
  ],
  deadline: ['killed', 'killed', false, [{ kind: 'deadline', afterMs: 60_000 }, /^DEADLINE .* 1m/]],
  memory: [
    'killed',
    'killed',
    true,
    [{ kind: 'memory', residentBytes: 2048, limitBytes: 1024 }, /^MEMORY .*2\.00 KiB.*1\.00 KiB/],
  ],
  garbled: ['killed', 'killed', true, [{ kind: 'garbled', detail: 'not JSON' }, /^GARBLED .*\(not JSON\)$/]],
  flood: ['killed', 'killed', true, [{ kind: 'flood', messagesPerSecond: 9999 }, /^FLOOD .* 9999 /]],
  abandoned: [
    'killed',
    'abandoned',
    false,
    [{ kind: 'abandoned', pid: 42, afterMs: 5000 }, /^ABANDONED pid 42 .* 5s after SIGKILL$/],
    [{ kind: 'abandoned', afterMs: 5000 }, 'ABANDONED it could not be ended within 5s (--isolate process can)'],
  ],
  'crash-signal': ['crashed', 'crashed', true, [{ kind: 'crash-signal', signal: 'SIGSEGV' }, /^CRASHED .* SIGSEGV$/]],
  'out-of-memory': [
    'crashed',
    'crashed',
    true,
    [{ kind: 'out-of-memory', limitBytes: 1024 }, /^CRASHED .*out of memory/],
  ],
  'exit-without-result': [
    'crashed',
    'crashed',
    true,
    [{ kind: 'exit-without-result', exitCode: 0 }, /^CRASHED .* exit code 0 and without a result$/],
  ],
  'child-error': ['crashed', 'crashed', true, [{ kind: 'child-error', detail: 'oops' }, /^CRASHED .*: oops$/]],
  suspect: [
    'crashed',
    'crashed',
    true,
    [{ kind: 'suspect', others: 1, how: 'CRASHED x' }, 'SUSPECT with 1 other in one process: CRASHED x'],
    [{ kind: 'suspect', others: 7, how: 'HUNG' }, 'SUSPECT with 7 others in one process: HUNG'],
  ],
  spawn: [
    'spawn',
    'failed',
    true,
    [{ kind: 'spawn', code: 'EAGAIN' }, /^cannot start a child process: .* \(EAGAIN\)$/],
    [{ kind: 'spawn', code: 'EODD' }, 'cannot start a child process: EODD'],
  ],
  'bad-line': ['other', 'failed', false, [{ kind: 'bad-line', problem: 'no URL' }, 'no URL']],
  'list-changed': ['other', 'failed', false, [{ kind: 'list-changed' }, /^the list was edited/]],
  cancelled: ['other', 'cancelled', false, [{ kind: 'cancelled', signal: 'SIGINT' }, 'cancelled by SIGINT']],
  'run-deadline': ['killed', 'killed', false, [{ kind: 'run-deadline', afterMs: 60_000 }, /^the run ended after 1m/]],
  stopped: ['other', 'cancelled', false, [{ kind: 'stopped', reason: 'disk full' }, 'stopped: disk full']],
  'not-needed': [
    'other',
    'cancelled',
    false,
    [{ kind: 'not-needed' }, 'not needed any more: the others have brought its bytes'],
  ],
}

test('the table of this test knows every kind', () => {
  expect(Object.keys(TABLE).sort()).toEqual([...FAILURE_KINDS].sort())
})

test.each(Object.entries(TABLE))('%s is classed, filed and told', (_, [class_, outcome, transient, ...samples]) => {
  expect(samples.length).toBeGreaterThan(0)
  for (const [failure, sentence] of samples) {
    expect([classOf(failure), outcomeOf(failure), isTransient(failure)]).toEqual([class_, outcome, transient])
    const told = tell(failure)
    if (typeof sentence === 'string') expect(told).toBe(sentence)
    else expect(told).toMatch(sentence)
    expect(told).not.toMatch(/[\r\n]|undefined|NaN/)
    expect(told.length).toBeLessThanOrEqual(300)
  }
})

test('exactly the statuses of the contract are transient', () => {
  const transient = Array.from({ length: 900 }, (_, i) => i + 100).filter((status) =>
    isTransient({ kind: 'http-status', status }),
  )
  expect(transient).toEqual([408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524])
  const ofProxy = (status: number) => isTransient({ kind: 'proxy', proxy: 'p', code: 'x', status })
  expect([ofProxy(403), ofProxy(407), ofProxy(502)]).toEqual([false, false, true])
  for (const code of ['not-authenticated', 'not-socks', 'HPE_INVALID_CONSTANT', 'CERT_HAS_EXPIRED', 'odd']) {
    const refused: Failure = { kind: 'proxy', proxy: 'p', code }
    expect([isTransient(refused), isConnectFailure(refused), tell(refused)]).toEqual([
      false,
      false,
      expect.stringMatching(/^proxy p: /),
    ])
  }
  expect(classOf({ kind: 'proxy', proxy: 'p', code: 'not-authenticated' })).toBe('auth')
})

test('only what never reached the host is a connect failure', () => {
  const network = (code: string): Failure => ({ kind: 'network', code, host: 'h' })
  const failures: readonly Failure[] = [
    { kind: 'connect-refused', host: 'h' },
    { kind: 'connect-timeout', host: 'h', afterMs: 1 },
    { kind: 'unknown-host', host: 'h', code: 'ENOTFOUND' },
    network('EHOSTUNREACH'),
    network('ENETUNREACH'),
    network('ENETDOWN'),
    network('EHOSTDOWN'),
    { kind: 'proxy', proxy: 'p', code: 'ECONNREFUSED' },
  ]
  for (const failure of failures) expect(isConnectFailure(failure)).toBe(true)
  expect(isConnectFailure(network('ECONNRESET'))).toBe(false)
  expect(isConnectFailure({ kind: 'proxy', proxy: 'p', code: 'x', status: 502 })).toBe(false)
  expect(isConnectFailure({ kind: 'headers-timeout', afterMs: 1 })).toBe(false)
})
