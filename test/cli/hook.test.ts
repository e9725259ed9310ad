// Which programs can be run on finish, and what they are told.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { variableOf } from '../../src/cli/config-keys.ts'
import { hookEnvironment, requireProgram } from '../../src/cli/hook.ts'
import { RUN_OPTIONS } from '../../src/cli/run-options.ts'
import { UsageError } from '../../src/cli/usage-error.ts'
import { freshReport } from '../../src/core/report.ts'
import { storyLine } from '../../src/reporters/summary.ts'
import { jobEnded, jobFailed, reportOf, runEnded, runStarted, START } from '../events.ts'

const scratch = mkdtempSync(join(tmpdir(), 'mpdl-hook-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
afterEach(() => vi.unstubAllEnvs())
const at = (name: string) => join(scratch, name)
for (const [name, mode] of [
  ['notify', 0o755],
  ['my notify', 0o755],
  ['text', 0o644],
] as const) {
  writeFileSync(at(name), '#!/bin/sh\n')
  chmodSync(at(name), mode)
}
mkdirSync(at('directory'))

function refusalOf(program: string): UsageError | undefined {
  try {
    requireProgram(program)
    return undefined
  } catch (error) {
    if (error instanceof UsageError) return error
    throw error
  }
}

describe('before the run', () => {
  test('a program is taken by its path, or by its name where PATH has it', () => {
    vi.stubEnv('PATH', `/nowhere:${scratch}`)
    for (const program of [at('notify'), at('my notify'), 'notify', 'my notify']) {
      expect(refusalOf(program), program).toBeUndefined()
    }
  })

  test.each([
    ['a path that leads nowhere', at('gone'), /: no such file$/],
    ['a path through a file', `${at('notify')}/x`, /: (no such file|ENOTDIR)$/],
    ['a directory', at('directory'), /: it is a directory$/],
    ['a device', '/dev/null', /: it is no file$/],
    ['a file without the right', at('text'), /: it may not be executed; run chmod \+x/],
    ['a name that PATH does not have', 'mpdl-no-such-program', /: no such program in PATH; give its path$/],
    ['a name that only stands in PATH without the right', 'text', /: no such program in PATH/],
    ['no name', '', /: no such program in PATH/],
    ['a program with arguments', `${at('notify')} --now`, /: no such file; it gets no arguments: write a small script/],
    ['a name with arguments', 'mail -s done me', /in PATH; give its path; it gets no arguments: write a small script/],
  ])('%s is refused with 78 and a sentence', (_, program, sentence) => {
    vi.stubEnv('PATH', scratch)
    const refusal = refusalOf(program)
    expect(refusal?.exitCode).toBe(78)
    expect(refusal?.message).toMatch(/^--on-finish /)
    expect(refusal?.message).toMatch(sentence)
  })

  test('a name that is only here is told how to be written', () => {
    vi.stubEnv('PATH', '/nowhere')
    const before = process.cwd()
    process.chdir(scratch)
    try {
      expect(refusalOf('notify')?.message).toMatch(/no such program in PATH; write \.\/notify$/)
    } finally {
      process.chdir(before)
    }
  })
})

describe('what the program is told', () => {
  const failure = { kind: 'http-status', status: 404 } as const
  const report = reportOf([runStarted(), jobEnded(), jobFailed(2, failure), runEnded({ listed: 2 })])
  const told = hookEnvironment({ report, exitCode: 8, reportPath: 'night.json', logPath: '/logs/a.ndjson' })

  test('is the run, its sums and where the rest stands, with absolute paths', () => {
    expect(told).toEqual({
      MPDL_RUN_ID: '20261121T022015Z-4f3a',
      MPDL_RUN_EXIT_CODE: '8',
      MPDL_RUN_LIST: '/home/someone/list.txt',
      MPDL_RUN_DIR: '/home/someone/files',
      MPDL_RUN_LOG: '/logs/a.ndjson',
      MPDL_RUN_REPORT: join(process.cwd(), 'night.json'),
      MPDL_RUN_SUMMARY: storyLine(report),
      MPDL_RUN_STARTED: new Date(START).toISOString(),
      MPDL_RUN_SECONDS: '72',
      MPDL_RUN_TOTAL: '2',
      MPDL_RUN_DOWNLOADED: '1',
      MPDL_RUN_UNCHANGED: '0',
      MPDL_RUN_SKIPPED: '0',
      MPDL_RUN_FAILED: '1',
      MPDL_RUN_KILLED: '0',
      MPDL_RUN_CRASHED: '0',
      MPDL_RUN_ABANDONED: '0',
      MPDL_RUN_CANCELLED: '0',
      MPDL_RUN_NOT_STARTED: '0',
      MPDL_RUN_BYTES: String(report.movedBytes),
      MPDL_RUN_RETRIES: '0',
    })
  })

  test('has the same names where nothing is known: what an outer run set must not shine through', () => {
    const empty = hookEnvironment({ report: freshReport(), exitCode: 70, reportPath: undefined, logPath: null })
    expect(Object.keys(empty)).toEqual(Object.keys(told))
    expect(empty).toMatchObject({ MPDL_RUN_ID: '', MPDL_RUN_LOG: '', MPDL_RUN_REPORT: '' })
  })

  test('has names that no option of mpdl has: a program that calls mpdl would set it', () => {
    const options = new Set(RUN_OPTIONS.map((option) => variableOf(option.name())))
    expect(options).toContain('MPDL_RUN_DEADLINE')
    expect(Object.keys(told).filter((name) => options.has(name))).toEqual([])
  })
})
