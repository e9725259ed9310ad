// What Prometheus is told of a run, and that its own tool finds nothing to say about it.
import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { OUTCOMES } from '../../src/core/event.ts'
import { metricsText } from '../../src/reporters/metrics.ts'
import { jobEnded, jobFailed, reportOf, runEnded, runStarted, START } from '../events.ts'
import fc from '../fixtures/property.ts'
import { findProgram, requireServer } from '../fixtures/servers.ts'

const hostile = '/srv/my "best"\\list\n# TYPE x gauge\r\u2028 {ü}\x01.txt'

const good = (path: string | null = '/srv/list.txt', dir = '/srv/pdf') => {
  const list = { name: 'standard input', path, jobs: 1, lines: 1 }
  const report = reportOf([
    runStarted({ list, dir }),
    jobEnded(),
    runEnded({ listed: 1, filesOnDisk: 1, bytesOnDisk: 1000 }),
  ])
  return metricsText({ report, exitCode: 0, lastGoodMs: START + 72_500 })
}

const bad = () => {
  const failure = { kind: 'http-status', status: 404 } as const
  const report = reportOf([runStarted(), jobFailed(1, failure), jobFailed(2, failure), runEnded({ listed: 2 })])
  return metricsText({ report, exitCode: 8, lastGoodMs: null })
}

/** The samples as a reader of the format sees them; throws where it is none. */
function samplesOf(text: string) {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('# '))
    .map((line) => {
      const [, name = '', inner = '', value = ''] = /^([a-z_]+)\{(.*)\} (\S+)$/s.exec(line) ?? []
      if (name === '') throw new Error(`no sample: ${line}`)
      const labels = [...inner.matchAll(/(?:^|,)([a-z]+)="((?:\\["\\n]|[^"\\])*)"/g)]
      expect(labels.map(([all]) => all).join('')).toBe(inner)
      const plain = (label: string) => label.replace(/\\(.)/gs, (_, of: string) => (of === 'n' ? '\n' : of))
      return {
        name,
        value: Number(value),
        labels: Object.fromEntries(labels.map(([, k = '', v = '']) => [k, plain(v)])),
      }
    })
}

const gauge = (text: string, name: string) => samplesOf(text).find((sample) => sample.name === `mpdl_${name}`)?.value

test('a good run is told in seconds and bytes', () => {
  const text = good()
  expect(gauge(text, 'last_run_success')).toBe(1)
  expect(gauge(text, 'last_run_exit_code')).toBe(0)
  expect(gauge(text, 'last_run_start_timestamp_seconds')).toBe(START / 1000)
  expect(gauge(text, 'last_run_end_timestamp_seconds')).toBe(START / 1000 + 72)
  expect(gauge(text, 'last_run_duration_seconds')).toBe(72)
  expect(gauge(text, 'last_run_received_bytes')).toBe(1000)
  expect(gauge(text, 'last_success_timestamp_seconds')).toBe(START / 1000 + 72.5)
  expect(text).toContain('mpdl_build_info{list="/srv/list.txt",dir="/srv/pdf",version="0.1.0",node="26.10.0"} 1\n')
})

test('a run that failed says so with its code, and an unknown success is long ago', () => {
  expect(gauge(bad(), 'last_run_success')).toBe(0)
  expect(gauge(bad(), 'last_run_exit_code')).toBe(8)
  expect(gauge(bad(), 'last_success_timestamp_seconds')).toBe(0)
})

test('every outcome has a sample, those of no job too', () => {
  const jobs = samplesOf(bad()).filter(({ name }) => name === 'mpdl_last_run_jobs')
  expect(jobs.map(({ labels, value }) => [labels['outcome'], value])).toEqual(
    OUTCOMES.map((outcome) => [outcome, outcome === 'failed' ? 2 : 0]),
  )
})

test('what is no file has its name', () => {
  expect(samplesOf(good(null))[0]?.labels).toEqual({ list: 'standard input', dir: '/srv/pdf' })
})

test('the files of two lists, or of one list into two directories, share every help text and no sample', () => {
  const texts = [good('/srv/a.txt'), good('/srv/b.txt'), good('/srv/b.txt', '/srv/other')]
  const comments = texts.map((text) => text.split('\n').filter((line) => line.startsWith('# ')))
  expect(comments[1]).toEqual(comments[0])
  expect(comments[2]).toEqual(comments[0])
  const samples = texts.flatMap((text) => text.split('\n').filter((line) => /^mpdl/.test(line)))
  expect(new Set(samples.map((line) => line.slice(0, line.lastIndexOf(' ')))).size).toBe(samples.length)
})

test('whatever a path is made of, it comes back from its label', () => {
  const text = fc.string({ unit: 'binary' }).filter((path) => path.isWellFormed())
  fc.assert(
    fc.property(text, text, (list, dir) => {
      for (const { labels } of samplesOf(good(list, dir))) expect(labels).toMatchObject({ list, dir })
    }),
  )
})

describe.skipIf(!requireServer('promtool', findProgram('promtool')))('promtool', () => {
  test.each([
    ['a good run', good()],
    ['a run that failed', bad()],
    ['a hostile name', good(hostile, hostile)],
  ])('has nothing to say about %s', (_, text) => {
    const { status, stdout, stderr } = spawnSync(findProgram('promtool') ?? '', ['check', 'metrics'], { input: text })
    expect([status, `${stdout}${stderr}`]).toEqual([0, ''])
  })

  test('would have said something', () => {
    const broken = good(hostile).replace('\\"best', '"best')
    expect(spawnSync(findProgram('promtool') ?? '', ['check', 'metrics'], { input: broken }).status).not.toBe(0)
  })
})
