// The library's face, as a program imports it: the built bundle. A server holds answers back until the test lets them
// go, so nothing depends on who is faster.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type * as library from '../src/index.ts'
import { childrenOf } from './e2e/run-mpdl.ts'

const bundle = join(import.meta.dirname, '..', 'dist', 'index.js')
const NOBODY = 'http://127.0.0.1:1'
let root = ''
let dir = ''
let count = 0
let origin = ''
let server: Server
let download: typeof library.download
let JobsError: typeof library.JobsError
/** What is under `/held` is sent when the test says so. */
let gate = Promise.withResolvers<void>()

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'mpdl-library-'))
  server = createServer((request, response) => {
    const { url = '' } = request
    if (url.startsWith('/held')) {
      response.writeHead(200, { 'Content-Length': '8' }).write('held')
      gate.promise.then(() => response.end('late'))
    } else if (url.startsWith('/missing')) response.writeHead(404).end()
    else response.end(`${url} ${request.headers['x-team'] ?? ''}`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  origin = `http://127.0.0.1:${address.port}`
  const face: typeof library = await import(bundle)
  ;({ download, JobsError } = face)
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
  rmSync(root, { recursive: true, force: true })
})
beforeEach(() => {
  dir = join(root, String(count++))
  gate = Promise.withResolvers()
})

const options = (): library.DownloadOptions => ({ dir, stateDir: join(root, 'state'), tries: 1, minDiskFreeBytes: 0 })

/** Options that call back at the first event of a type. */
function when(type: library.RunEvent['type'], then: (event: library.RunEvent) => void): library.DownloadOptions {
  let isFirst = true
  return {
    ...options(),
    onEvent: (event) => {
      if (event.type !== type || !isFirst) return
      isFirst = false
      then(event)
    },
  }
}

async function all(run: AsyncIterable<library.JobRow>): Promise<library.JobRow[]> {
  const rows: library.JobRow[] = []
  for await (const row of run) rows.push(row)
  return rows
}

const told = (rows: readonly library.JobRow[]) => rows.map(({ index, outcome, out }) => [index, outcome, out])
const byIndex = (rows: readonly library.JobRow[]) => rows.toSorted((a, b) => a.index - b.index)

test('an onEvent that rejects ends the run with its error, and nothing is left unhandled', async () => {
  const onEvent = async ({ type }: { readonly type: string }) => {
    if (type === 'job-started') throw new Error('too late')
  }
  await expect(download([`${origin}/f1`, `${origin}/f2`], { ...options(), onEvent }).report).rejects.toThrow('too late')
})

describe('rows', () => {
  test('come in the order in which jobs end, and a failed download is a row and no error', async () => {
    const jobs = [`${origin}/held/first`, `${origin}/missing`]
    const run = download(
      jobs,
      when('job-ended', () => gate.resolve()),
    )
    expect(told(await all(run))).toEqual([
      [1, 'failed', 'missing'],
      [0, 'downloaded', 'first'],
    ])
    const { ok, totals, failures, stopped, discrepancies } = await run.report
    expect([ok, totals.downloaded, totals.failed, stopped, discrepancies]).toEqual([false, 1, 1, null, []])
    expect(failures).toMatchObject([{ kind: 'http-status', status: 404, count: 1 }])
    expect(readFileSync(join(dir, 'first'), 'utf8')).toBe('heldlate')
  })

  test('come for jobs without an attempt of their own too, each once', async () => {
    const jobs = [`${origin}/a`, `${origin}/b`, `${origin}/a`, `${origin}/b`, 'ftp://h/c']
    const rows = await all(download(jobs, { ...options(), keepGoing: true }))
    expect(told(byIndex(rows))).toEqual([
      [0, 'downloaded', 'a'],
      [1, 'downloaded', 'b'],
      [2, 'skipped', 'a'],
      [3, 'skipped', 'b'],
      [4, 'failed', ''],
    ])
    expect(rows.find(({ index }) => index === 3)).toMatchObject({ reason: 'same as line 2', url: `${origin}/b` })
    expect(rows.find(({ index }) => index === 4)?.failure).toMatchObject({ kind: 'bad-line' })
  })

  test('wait for a reader who is slow, and no download waits for him', async () => {
    const over = Promise.withResolvers<void>()
    const jobs = ['a', 'b', 'c', 'd'].map((name) => `${origin}/${name}`)
    const run = download(jobs, { ...when('run-ended', () => over.resolve()), jobs: 1 })
    const seen: number[] = []
    for await (const { index } of run) {
      await over.promise
      seen.push(index)
    }
    expect(seen).toEqual([0, 1, 2, 3])
  })

  test('are read once, and not by somebody who begins when all is over', async () => {
    const run = download(`${origin}/a`, options())
    await run.report
    expect(() => run[Symbol.asyncIterator]()).toThrow('begin to read its rows before its report is awaited')
    const read = download(`${origin}/a`, options())
    await all(read)
    expect(() => read[Symbol.asyncIterator]()).toThrow('can be read once')
  })
})

describe('jobs', () => {
  test('may be a URL, a job with options, mirrors, and come from anything that iterates', async () => {
    async function* later() {
      yield new URL(`${origin}/b`)
      await setImmediate()
      yield { url: [`${NOBODY}/c`, new URL(`${origin}/c`)], out: 'deep/c.txt', headers: { 'X-Team': 'blue' }, tries: 2 }
    }
    for (const jobs of [`${origin}/a`, new Set([`${origin}/a`]), { url: `${origin}/x`, out: 'a' }]) {
      expect(told(await all(download(jobs, { ...options(), existing: 'force' })))).toEqual([[0, 'downloaded', 'a']])
    }
    const rows = byIndex(await all(download(later(), { ...options(), retryDelayMs: 0 })))
    expect(told(rows)).toEqual([
      [0, 'downloaded', 'b'],
      [1, 'downloaded', 'deep/c.txt'],
    ])
    expect(readFileSync(join(dir, 'deep/c.txt'), 'utf8')).toBe('/c blue')
  })

  test('may be a list file, which no download replaces', async () => {
    const list = join(root, 'list.txt')
    const text = `${origin}/x\n  out=named.bin\n# nothing\n\n${origin}/list.txt\n${origin}/x\n  out=named.bin\n`
    writeFileSync(list, text)
    const rows = byIndex(await all(download({ list }, { ...options(), dir: root })))
    expect(rows.map(({ index, line, outcome }) => [index, line, outcome])).toEqual([
      [0, 1, 'downloaded'],
      [1, 5, 'failed'],
      [2, 6, 'skipped'],
    ])
    expect(readFileSync(list, 'utf8')).toBe(text)
  })

  test('that are wrong are all told at once with their places, to whoever asks, and nothing starts', async () => {
    const events: string[] = []
    const jobs = [`${origin}/a`, 'ftp://h/x', { url: `${origin}/b`, out: '/etc/passwd' }, { url: [] }, `${origin}/q/a`]
    const run = download(jobs, { ...options(), onEvent: ({ type }) => events.push(type) })
    const error = await all(run).catch((caught: unknown) => caught)
    await expect(run.report).rejects.toBe(error)
    if (!(error instanceof JobsError)) throw new Error('a JobsError was expected')
    expect(error.problems.map(({ index, line }) => [index, line])).toEqual([
      [1, 2],
      [2, 3],
      [3, 4],
      [4, 5],
    ])
    expect(error.message).toMatch(
      /^line 2 \(index 1\): "ftp:" is not supported.*\n.*absolute path.*\n.*no URL.*\n.*as line 1 does/,
    )
    expect([events, existsSync(dir)]).toEqual([[], false])
  })

  test('of a list that is wrong or missing are told by line', async () => {
    const list = join(root, 'bad.txt')
    writeFileSync(list, 'example.com/y\n')
    await expect(download({ list }, options()).report).rejects.toMatchObject({
      name: 'JobsError',
      problems: [{ index: null, line: 1 }],
      message: expect.stringMatching(/^line 1: .*no scheme/),
    })
    await expect(download({ list: join(root, 'none.txt') }, options()).report).rejects.toThrow(
      /none\.txt does not exist/,
    )
  })

  test('cannot smuggle in a second row, an option or a comment', async () => {
    const jobs = [`${origin}/a\n${origin}/b`, '# no comment', '  out=x', '']
    await expect(download(jobs, options()).report).rejects.toMatchObject({
      problems: [{ index: 0 }, { index: 1 }, { index: 2 }, { index: 3 }],
    })
  })

  test('may be none at all', async () => {
    const run = download([], options())
    expect(await all(run)).toEqual([])
    expect(await run.report).toMatchObject({ ok: true, isolation: null, discrepancies: [] })
  })

  test('whose iterable throws are not begun, and what it threw is the error', async () => {
    const cause = new Error('the database is gone')
    function* jobs() {
      yield `${origin}/a`
      throw cause
    }
    const run = download(jobs(), options())
    await expect(run.report).rejects.toBe(cause)
    await expect(all(download(jobs(), options()))).rejects.toBe(cause)
    expect(existsSync(dir)).toBe(false)
  })
})

describe('an end before the end', () => {
  const slowest = () => [`${origin}/held/1`, `${origin}/held/2`, `${origin}/held/3`]

  test('by an abort stops and joins the children, and every job still has its row', async () => {
    const abort = new AbortController()
    const cause = new Error('closing time')
    const run = download(slowest(), {
      ...when('response', () => abort.abort(cause)),
      jobs: 1,
      signal: abort.signal,
    })
    const rows = await all(run)
    expect(byIndex(rows).map(({ outcome }) => outcome)).toEqual(['cancelled', 'not-started', 'not-started'])
    expect(rows[0]?.reason).toBe('cancelled by AbortSignal (closing time)')
    const { ok, stopped, totals, discrepancies } = await run.report
    expect([ok, stopped?.cause, totals['not-started'], discrepancies]).toEqual([false, 'signal', 2, []])
    expect([childrenOf(process.pid), existsSync(join(dir, '1'))]).toEqual([[], false])
  })

  test('by an abort while the jobs are read rejects with its reason, and the iterable is told', async () => {
    const cause = new Error('never mind')
    const isLeft = Promise.withResolvers<void>()
    const abort = new AbortController()
    const silent: AsyncIterable<string> = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          abort.abort(cause)
          return new Promise(() => {})
        },
        return: async () => {
          isLeft.resolve()
          return { done: true, value: undefined }
        },
      }),
    }
    const run = download(silent, { ...options(), signal: abort.signal })
    await expect(run.report).rejects.toBe(cause)
    await isLeft.promise
    await expect(download(`${origin}/a`, { ...options(), signal: abort.signal }).report).rejects.toBe(cause)
  })

  test.each(['abort', 'deadline'])('by %s is heard by jobs without end, too', async (how) => {
    function* endless() {
      for (let n = 0; ; n++) yield `${origin}/${n}`
    }
    const end = how === 'abort' ? { signal: AbortSignal.timeout(50) } : { runDeadlineMs: 50 }
    await expect(download(endless(), { ...options(), ...end }).report).rejects.toMatchObject({ name: 'TimeoutError' })
  })

  test('by leaving the loop has joined the children when the loop is left', async () => {
    const run = download([`${origin}/a`, ...slowest()], options())
    for await (const { index } of run) {
      expect(index).toBe(0)
      break
    }
    expect(childrenOf(process.pid)).toEqual([])
    expect(await run.report).toMatchObject({ ok: false, totals: { downloaded: 1, cancelled: 3 }, discrepancies: [] })
  })

  test('by an error in the loop is that error, and the children are joined', async () => {
    const run = download([`${origin}/a`, ...slowest()], options())
    const cause = new Error('no room in the shelf')
    const reading = async () => {
      for await (const _ of run) throw cause
    }
    await expect(reading()).rejects.toBe(cause)
    expect(childrenOf(process.pid)).toEqual([])
  })

  test('by the end of a block has joined the children when the block is left', async () => {
    let report: Promise<library.DownloadReport> | undefined
    {
      const isUnderWay = Promise.withResolvers<void>()
      await using run = download(
        slowest(),
        when('response', () => isUnderWay.resolve()),
      )
      report = run.report
      await isUnderWay.promise
      expect(childrenOf(process.pid)).not.toEqual([])
    }
    expect(childrenOf(process.pid)).toEqual([])
    expect(await report).toMatchObject({ stopped: { cause: 'signal' }, totals: { cancelled: 3 } })
  })

  test('by a listener that throws is its error, and the children are joined', async () => {
    const cause = new Error('a bug in the program')
    const run = download(
      slowest(),
      when('response', () => {
        throw cause
      }),
    )
    await expect(run.report).rejects.toBe(cause)
    expect(childrenOf(process.pid)).toEqual([])
  })
})

test('a run whose error nobody asks for ends nothing but itself', async () => {
  const run = download('ftp://h/x', options())
  // The test runner fails for what is rejected and not handled.
  await expect(run[Symbol.asyncDispose]()).resolves.toBeUndefined()
})

test('two runs at once do not mix, and of two that want one file the second is told', async () => {
  const isUnderWay = Promise.withResolvers<void>()
  const first = download(
    `${origin}/held/same`,
    when('response', () => isUnderWay.resolve()),
  )
  await isUnderWay.promise
  const second = byIndex(await all(download([`${origin}/held/same`, `${origin}/other`], options())))
  expect(second.map(({ outcome, failure }) => [outcome, failure?.kind])).toEqual([
    ['failed', 'locked'],
    ['downloaded', undefined],
  ])
  gate.resolve()
  expect(told(await all(first))).toEqual([[0, 'downloaded', 'same']])
})

test('options that cannot work are refused at once, by name', () => {
  const wrong: [object, RegExp][] = [
    [{ timeout: 5000 }, /option timeout is unknown; did you mean timeoutMs\?/],
    [{ beatMs: 5 }, /option beatMs is unknown/],
    [{ jobs: 0 }, /option jobs is 0; allowed are whole numbers from 1 to 1000/],
    [{ timeoutMs: Number.POSITIVE_INFINITY }, /option timeoutMs is Infinity/],
    [{ isolate: 'threads' }, /option isolate is threads; allowed are auto, process/],
    [{ headers: { Host: 'x' } }, /header Host is set by mpdl itself/],
    [{ headers: ['X-Team blue'] }, /header has no colon/],
    [{ proxy: 'socks4://h' }, /option proxy is "socks4:"/],
    [{ netrc: '/nowhere/netrc' }, /netrc .*nowhere/],
  ]
  for (const [option, message] of wrong) expect(() => download([], { ...options(), ...option })).toThrow(message)
  expect(() => download([], { ...options(), jobs: undefined, signal: undefined })).not.toThrow()
})

test('headers of the options go with every job', async () => {
  await all(download(`${origin}/a`, { ...options(), headers: { 'X-Team': 'red' } }))
  expect(readFileSync(join(dir, 'a'), 'utf8')).toBe('/a red')
})

test('a directory that cannot be made is an error before the first byte', async () => {
  writeFileSync(join(root, 'file'), '')
  const run = download(`${origin}/a`, { ...options(), dir: join(root, 'file', 'below') })
  await expect(run.report).rejects.toThrow(/cannot write into .*file\/below: /)
})
