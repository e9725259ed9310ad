import { describe, expect, test } from 'vitest'
import { OUTCOMES } from '../../src/core/event.ts'
import type { Failure } from '../../src/core/failure.ts'
import type { FileFacts, PartFacts, TargetFacts } from '../../src/core/verify.ts'
import { expectedDigest, isDoubtful, isWell, judge, VERDICTS } from '../../src/core/verify.ts'
import fc from '../fixtures/property.ts'

const HEX = 'ab'.repeat(32)
const OTHER_HEX = 'cd'.repeat(32)
const MD5 = { algorithm: 'md5', hex: 'ef'.repeat(16) } as const
const FILE = { kind: 'file', sizeBytes: 1000, mtimeMs: 5000 } as const
const PART: PartFacts = { keptBytes: 2048, sizeBytes: 4096, isForeign: false, writerPid: undefined }

const facts = (changes: Partial<FileFacts> = {}): FileFacts => ({
  checksum: undefined,
  target: FILE,
  part: undefined,
  lastOutcome: undefined,
  recorded: undefined,
  remembered: undefined,
  urlKeys: ['k'],
  ...changes,
})
const recorded = (sizeBytes: number, sha256?: string) => ({ runId: 'R1', sizeBytes, sha256 })
const remembered = (sizeBytes: number, mtimeMs: number, urlKey = 'k') => ({ sizeBytes, mtimeMs, urlKey })
const sha256 = { algorithm: 'sha-256', hex: HEX } as const
const hashed = (hex: string) => ({ ok: true, hex }) as const

describe('a file of which the list has a checksum', () => {
  const listed = facts({ checksum: sha256, recorded: recorded(7, OTHER_HEX), remembered: remembered(7, 7) })

  test('must be hashed, whatever earlier runs said', () => {
    expect(expectedDigest(listed)).toMatchObject({ checksum: sha256, proof: 'checksum' })
  })

  test('is ok when it fits', () => {
    expect(judge(listed, hashed(HEX))).toEqual({
      verdict: 'ok',
      proof: 'checksum',
      reason: 'sha-256 is as the list says',
    })
  })

  test('differs when it does not, and both digests are told', () => {
    expect(judge(listed, hashed(OTHER_HEX))).toEqual({
      verdict: 'differs',
      proof: null,
      reason: `sha-256 is ${OTHER_HEX}, the list says ${HEX}`,
    })
  })

  test('is hashed by the algorithm of the list', () => {
    expect(expectedDigest(facts({ checksum: MD5 }))?.checksum).toEqual(MD5)
    expect(judge(facts({ checksum: MD5 }), hashed(HEX)).reason).toBe(`md5 is ${HEX}, the list says ${MD5.hex}`)
  })

  test.each<[Failure, string, string]>([
    [{ kind: 'crash-signal', signal: 'SIGSEGV' }, 'unreadable', 'CRASHED the child died of SIGSEGV'],
    [{ kind: 'hang', afterMs: 30_000 }, 'unreadable', 'HUNG no heartbeat for 30s'],
    [{ kind: 'cancelled', signal: 'SIGINT' }, 'not-verified', 'cancelled by SIGINT'],
  ])('whose child failed (%o) is %s', (failure, verdict, reason) => {
    expect(judge(listed, { ok: false, failure })).toEqual({ verdict, proof: null, reason })
  })

  test('cannot be judged before it was read', () => {
    expect(() => judge(listed)).toThrow('before it was read')
  })
})

describe('a file without a checksum in the list', () => {
  test('is hashed again where its run hashed it', () => {
    const known = facts({ recorded: recorded(1000, HEX) })
    expect(expectedDigest(known)).toMatchObject({ checksum: sha256, proof: 'recorded-checksum' })
    expect(judge(known, hashed(HEX))).toMatchObject({ verdict: 'ok', proof: 'recorded-checksum' })
    expect(judge(known, hashed(OTHER_HEX))).toMatchObject({
      verdict: 'differs',
      reason: `sha-256 is ${OTHER_HEX}, run R1 recorded ${HEX}`,
    })
  })

  test('is ok with another time when its bytes are those that were recorded', () => {
    const touched = facts({ recorded: recorded(1000, HEX), remembered: remembered(1000, 1) })
    expect(judge(touched, hashed(HEX)).verdict).toBe('ok')
  })

  test('is not read at all when its size is another', () => {
    const grown = facts({ recorded: recorded(999, HEX) })
    expect(expectedDigest(grown)).toBeUndefined()
    expect(judge(grown)).toMatchObject({ verdict: 'differs', reason: '1000 bytes, run R1 left 999' })
  })

  test.each([0, 0.9, -0.9])('is ok as mpdl left it, its time %d ms off by rounding', (offMs) => {
    expect(judge(facts({ remembered: remembered(1000, 5000 + offMs) }))).toMatchObject({
      verdict: 'ok',
      proof: 'size+mtime',
    })
  })

  test('differs when only its time is another', () => {
    const touched = { verdict: 'differs', reason: 'changed since mpdl left it: same size, another time' }
    expect(judge(facts({ remembered: remembered(1000, 5001) }))).toMatchObject(touched)
    expect(judge(facts({ remembered: remembered(1000, 5001), recorded: recorded(1000) }))).toMatchObject(touched)
  })

  test('differs where mpdl has put the file of another URL since', () => {
    const replaced = facts({ recorded: recorded(7), remembered: remembered(1000, 5000, 'other') })
    expect(judge(replaced)).toMatchObject({ verdict: 'differs', reason: 'mpdl left the file of another URL there' })
  })

  test('differs from what is remembered of it', () => {
    expect(judge(facts({ remembered: remembered(5, 5000) }))).toMatchObject({
      verdict: 'differs',
      reason: '1000 bytes, mpdl left 5',
    })
  })

  test('is ok by its size where nobody remembers its time', () => {
    expect(judge(facts({ recorded: recorded(1000) }))).toEqual({
      verdict: 'ok',
      proof: 'size',
      reason: 'size is as run R1 left it',
    })
  })

  test('is judged by its run where what is remembered is of another version', () => {
    expect(judge(facts({ recorded: recorded(1000), remembered: remembered(7, 1) })).verdict).toBe('ok')
  })

  test('is ok as another list left it after this one', () => {
    const newer = facts({ recorded: recorded(7, HEX), remembered: remembered(1000, 5000) })
    expect(judge(newer)).toMatchObject({ verdict: 'ok', proof: 'size+mtime' })
  })

  test('is unfinished while a run is at work on it, unless it is well already', () => {
    const part = { ...PART, writerPid: 77 }
    expect(judge(facts({ part }))).toMatchObject({ verdict: 'unfinished' })
    expect(judge(facts({ part, recorded: recorded(999) }))).toMatchObject({ verdict: 'unfinished' })
    expect(judge(facts({ part, recorded: recorded(1000) }))).toMatchObject({ verdict: 'ok' })
    expect(judge(facts({ part: PART }))).toMatchObject({ verdict: 'unknown' })
  })

  test('is doubtful when it is there, needs no reading and is not ok', () => {
    expect([facts(), facts({ recorded: recorded(999, HEX) })].map(isDoubtful)).toEqual([true, true])
    const settled = [
      facts({ recorded: recorded(1000) }),
      facts({ checksum: sha256 }),
      facts({ recorded: recorded(1000, HEX) }),
      facts({ target: { kind: 'missing' } }),
    ]
    expect(settled.map(isDoubtful)).toEqual([false, false, false, false])
  })

  test('is unknown where nobody says what it should be', () => {
    expect(judge(facts())).toMatchObject({ verdict: 'unknown', proof: null })
  })
})

describe('a file that is not there', () => {
  const gone = (changes: Partial<FileFacts>) => judge(facts({ target: { kind: 'missing' }, ...changes }))

  test.each([
    [undefined, null],
    ['downloaded', 'the last run left it there'],
    ['unchanged', 'the last run left it there'],
    ['skipped', 'the last run left it there'],
    ['failed', 'failed in the last run'],
    ['cancelled', 'cancelled in the last run'],
  ] as const)('is missing; last outcome %s', (lastOutcome, reason) => {
    expect(gone({ lastOutcome })).toEqual({ verdict: 'missing', proof: null, reason })
  })

  test.each<[Partial<PartFacts>, string]>([
    [{}, '2.00 KiB of 4.00 KiB'],
    [{ writerPid: 77 }, '2.00 KiB of 4.00 KiB, being written by pid 77'],
    [{ sizeBytes: undefined, isForeign: true }, '2.00 KiB of a size nobody told, begun by another tool'],
  ])('is unfinished where a part is: %o', (changes, reason) => {
    expect(gone({ part: { ...PART, ...changes } })).toEqual({ verdict: 'unfinished', proof: null, reason })
  })

  test('is not to be hashed', () => {
    expect(expectedDigest(facts({ target: { kind: 'missing' }, checksum: sha256 }))).toBeUndefined()
  })
})

describe('what stands where a file should', () => {
  test.each<[Failure, string, string]>([
    [{ kind: 'target-is-symlink', path: '/d/x' }, 'refused', '/d/x is a symbolic link'],
    [{ kind: 'target-is-directory', path: '/d/x' }, 'refused', 'a directory stands there'],
    [{ kind: 'disk-error', code: 'EEXIST', operation: 'replace', path: '/d/x' }, 'refused', 'it is no regular file'],
    [
      { kind: 'disk-error', code: 'EACCES', operation: 'look at', path: '/d/x' },
      'unreadable',
      'cannot look at /d/x: permission denied (EACCES)',
    ],
  ])('%o is told as %s', (failure, verdict, reason) => {
    expect(judge(facts({ target: { kind: 'refused', failure } }))).toEqual({ verdict, proof: null, reason })
  })
})

const small = fc.integer({ min: 0, max: 3 })
const optional = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined })
const anyFacts: fc.Arbitrary<FileFacts> = fc.record({
  checksum: optional(fc.constant(sha256)),
  target: fc.oneof(
    fc.constant<TargetFacts>({ kind: 'missing' }),
    fc.record({ kind: fc.constant('file' as const), sizeBytes: small, mtimeMs: small }),
  ),
  part: optional(fc.constant(PART)),
  lastOutcome: optional(fc.constantFrom(...OUTCOMES)),
  recorded: optional(fc.record({ runId: fc.constant('R1'), sizeBytes: small, sha256: optional(fc.constant(HEX)) })),
  remembered: optional(fc.record({ sizeBytes: small, mtimeMs: small, urlKey: fc.constantFrom('k', 'other') })),
  urlKeys: fc.constant(['k']),
})

describe('whatever is known', () => {
  test('ok needs a proof, and everything else but a plain absence a reason', () => {
    fc.assert(
      fc.property(anyFacts, fc.constantFrom(HEX, OTHER_HEX), (known, hex) => {
        const { verdict, proof, reason } = judge(known, hashed(hex))
        expect(VERDICTS).toContain(verdict)
        expect(proof !== null).toBe(verdict === 'ok')
        if (verdict !== 'missing') expect(reason).not.toBeNull()
      }),
    )
  })

  test('no file is ok whose digest is not the one that was expected', () => {
    fc.assert(
      fc.property(anyFacts, (known) => {
        fc.pre(expectedDigest(known) !== undefined)
        expect(judge(known, hashed(OTHER_HEX)).verdict).toBe('differs')
      }),
    )
  })

  test('a person need not hear of ok and skipped only', () => {
    expect(VERDICTS.filter(isWell)).toEqual(['ok', 'skipped'])
  })
})
