import { describe, expect, test } from 'vitest'
import { exitCode } from '../../src/cli/exit-code.ts'
import type { RunEvent } from '../../src/core/event.ts'
import type { Failure } from '../../src/core/failure.ts'
import { jobEnded, jobFailed, reportOf, runEnded, START } from '../events.ts'

const host = 'example.com'
const codeOf = (...events: RunEvent[]) => exitCode(reportOf(events), [])
const stopping = (cause: Extract<RunEvent, { type: 'stopping' }>['cause'], reason = 'r'): RunEvent => ({
  type: 'stopping',
  at: START,
  cause,
  reason,
})

test('a run that went as its list wants is 0, an empty one too', () => {
  const fine = [jobEnded(), jobEnded({ line: 2, outcome: 'unchanged' }), jobEnded({ line: 3, outcome: 'skipped' })]
  expect(codeOf(...fine)).toBe(0)
  expect(codeOf()).toBe(0)
})

const TABLE: readonly (readonly [Failure, number])[] = [
  [{ kind: 'disk-full', path: 'x' }, 3],
  [{ kind: 'locked', path: 'x' }, 3],
  [{ kind: 'connect-refused', host }, 4],
  [{ kind: 'host-down', host, cause: 'refused' }, 4],
  [{ kind: 'tls', code: 'CERT_HAS_EXPIRED', host }, 5],
  [{ kind: 'unauthorized', status: 401 }, 6],
  [{ kind: 'protocol', code: 'HPE_STRICT' }, 7],
  [{ kind: 'http-status', status: 404 }, 8],
  [{ kind: 'length', expectedBytes: 2, actualBytes: 1 }, 9],
  [{ kind: 'hang', afterMs: 30_000 }, 10],
  [{ kind: 'deadline', afterMs: 30_000 }, 10],
  [{ kind: 'crash-signal', signal: 'SIGSEGV' }, 11],
  [{ kind: 'run-deadline', afterMs: 30_000 }, 12],
  [{ kind: 'stopped', reason: 'halt' }, 12],
  [{ kind: 'abandoned', pid: 1, afterMs: 5000 }, 70],
  [{ kind: 'spawn', code: 'EAGAIN' }, 71],
  [{ kind: 'bad-line', problem: 'no URL' }, 1],
  [{ kind: 'too-large', limitBytes: 1 }, 1],
]

describe('one failure among successes', () => {
  test.each(TABLE)('%o is %i', (failure, code) => {
    expect(codeOf(jobEnded(), jobFailed(2, failure))).toBe(code)
  })
})

describe('several causes', () => {
  test('the lowest class wins, whatever came first', () => {
    const crash = jobFailed(1, { kind: 'exit-without-result', exitCode: 0 })
    const missing = jobFailed(2, { kind: 'http-status', status: 404 })
    const refused = jobFailed(3, { kind: 'connect-refused', host })
    const bad = jobFailed(4, { kind: 'bad-line', problem: 'p' })
    expect(codeOf(crash, missing)).toBe(8)
    expect(codeOf(crash, missing, refused, bad)).toBe(4)
    expect(codeOf(crash, bad, stopping('crash-loop'))).toBe(11)
    expect(codeOf(bad, stopping('halt'))).toBe(12)
  })

  test('jobs that had no turn make a run stopped early', () => {
    expect(codeOf(jobEnded(), jobEnded({ line: 2, outcome: 'not-started' }))).toBe(12)
    expect(codeOf(jobEnded(), stopping('disk-full'), jobEnded({ line: 2, outcome: 'not-started' }))).toBe(3)
  })

  test('no processes is the cause of a crash loop, not its effect', () => {
    expect(codeOf(jobFailed(1, { kind: 'spawn', code: 'EAGAIN' }), stopping('crash-loop'))).toBe(71)
  })

  test('a stop that came when nothing was left to stop changes nothing', () => {
    expect(codeOf(jobEnded(), stopping('run-deadline'))).toBe(0)
  })

  test.each([
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])('%s is %i, before what failed', (signal, code) => {
    const failed = jobFailed(1, { kind: 'http-status', status: 404 })
    expect(codeOf(failed, runEnded({}, signal))).toBe(code)
    expect(codeOf(failed, stopping('signal', signal))).toBe(code)
  })

  test('doubt in the report comes before everything', () => {
    expect(exitCode(reportOf([jobEnded(), runEnded({}, 'SIGINT')]), ['1 is not 2'])).toBe(70)
    expect(codeOf(jobEnded(), runEnded({ abandoned: 1 }, 'SIGINT'))).toBe(70)
  })
})
