// The made-up origin: what its URLs promise is what comes.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type MadeUpFile, type Origin, SENT_PATH, startOrigin, urlOf } from '../../src/compare/origin.ts'
import { SAMPLE_LATENCY_MS, sampleFiles, truthOf } from '../../src/compare/sample.ts'

const FILE: MadeUpFile = { name: 'form.pdf', sizeBytes: 100_000 }
let origin: Origin
beforeAll(async () => {
  origin = await startOrigin()
})
afterAll(() => origin.stop())

const get = (headers: Record<string, string> = {}, file = FILE) => fetch(urlOf(origin.port, file), { headers })
const bytesOf = async (response: Response) => Buffer.from(await response.arrayBuffer())

describe('a file', () => {
  test('is the same at every request and looks like a PDF', async () => {
    const body = await bytesOf(await get())
    expect(body).toEqual(bodyOf(FILE))
    expect(body.subarray(0, 8).toString()).toBe('%PDF-1.7')
  })

  test('comes in ranges of the version that was asked for', async () => {
    const etag = (await get()).headers.get('etag') ?? ''
    const part = await get({ range: 'bytes=10-19', 'if-range': etag })
    expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 10-19/100000'])
    expect(await bytesOf(part)).toEqual(bodyOf(FILE).subarray(10, 20))
    expect((await get({ range: 'bytes=10-19', 'if-range': '"another"' })).status).toBe(200)
    expect((await get({ range: 'bytes=-5' })).headers.get('content-range')).toBe('bytes 99995-99999/100000')
    expect((await get({ range: 'bytes=100000-' })).status).toBe(416)
    expect((await get({ 'if-none-match': etag })).status).toBe(304)
  })

  test('another path is none', async () => {
    expect((await fetch(`http://127.0.0.1:${origin.port}/etc/passwd`)).status).toBe(404)
  })

  test('bodies that left are counted', async () => {
    const sent = async () => Number(await (await fetch(`http://127.0.0.1:${origin.port}${SENT_PATH}`)).text())
    const before = await sent()
    await bytesOf(await get({ range: 'bytes=0-999' }))
    expect((await sent()) - before).toBe(1000)
  })

  test('waits and comes as slowly as its URL says', async () => {
    const began = performance.now()
    const slow = { ...FILE, sizeBytes: 10_000, latencyMs: 60, bytesPerS: 50_000 }
    expect(await bytesOf(await get({}, slow))).toEqual(bodyOf(slow))
    // Four slices with 50 ms between them; later it may be on a busy machine, earlier only by a timer's rounding.
    expect(performance.now() - began).toBeGreaterThan(60 + 145)
  })
})

test('the sample is fifty files of different sizes, whatever their latency', () => {
  const files = sampleFiles(SAMPLE_LATENCY_MS)
  expect(new Set(files.map(({ name }) => name)).size).toBe(50)
  expect(new Set(files.map(({ sizeBytes }) => sizeBytes)).size).toBe(50)
  expect(truthOf(files)).toEqual(truthOf(sampleFiles(0)))
})
