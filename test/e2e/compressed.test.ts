// Proves that --compressed asks for codings and takes them off, that a decoder is no way in, and that nobody is decoded
// who did not ask. Knows nothing of how bytes are decoded.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf, type FaultServer, sha256Of, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram, requireServer, startNginx } from '../fixtures/servers.ts'
import { filesIn, firstOf, newHome, ONCE, QUICK, run, start, until } from './run-mpdl.ts'

const MIB = 2 ** 20

let server: FaultServer
beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(() => server.stop())

const codingsOf = (path: string) =>
  server.requests.filter((each) => each.path === path).map(({ headers }) => headers['accept-encoding'])

describe('--compressed', () => {
  test('gzip, deflate in both its forms and br are decoded, and the report says from what', async () => {
    const codings = ['gzip', 'deflate', 'raw-deflate', 'br']
    const list = [
      ...codings.map((coding) => server.url(`/coded/${coding}/${coding}.bin?size=700000`)),
      server.url('/ok/plain'),
    ]
    const ended = await run({ list: list.join('\n'), args: [...ONCE, '--compressed'] })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    for (const [n, coding] of codings.entries()) {
      const row = ended.row(n + 1)
      expect(row).toMatchObject({
        outcome: 'downloaded',
        proof: 'length',
        size: 700_000,
        decoded_from: coding.replace('raw-', ''),
      })
      expect(ended.bytes(row.out).equals(bodyOf(700_000))).toBe(true)
    }
    expect(ended.row(5)).toMatchObject({ outcome: 'downloaded', proof: 'length', decoded_from: null })
    expect(codingsOf('/ok/plain')).toEqual(['gzip, deflate, br'])
  })

  test('without it identity is asked for, and a coding that comes all the same is stored as it came, with a warning', async () => {
    const decoders = { gzip: gunzipSync, deflate: inflateSync, br: brotliDecompressSync }
    const list = [
      ...Object.keys(decoders).map((coding) => server.url(`/coded/${coding}/${coding}.bin?size=50000&forced`)),
      server.url('/coded/gzip/really.gz?size=50000&forced'),
    ]
    const ended = await run({ list: list.join('\n'), args: ONCE })
    expect(ended.code).toBe(0)
    for (const [n, [coding, decode]] of Object.entries(decoders).entries()) {
      expect(codingsOf(`/coded/${coding}/${coding}.bin?size=50000&forced`)).toEqual(['identity'])
      expect(decode(ended.bytes(`${coding}.bin`)).equals(bodyOf(50_000))).toBe(true)
      expect(ended.row(n + 1).warnings).toEqual([`stored as sent, coded ${coding} (--compressed decodes)`])
    }
    expect(ended.row(4).warnings, 'here the coding is what the name promises').toEqual([])
  })

  test('nothing is brought in segments or continued: a killed run starts over, and says so', async () => {
    const home = newHome()
    const url = server.url('/coded/gzip/big.bin?size=4000000&rate=2000000')
    const args = [...QUICK, '-T', '10s', '--compressed', '-k', '1M', '-s', '4']
    const running = start({ home, list: url, args })
    await until('bytes are there', () => {
      const part = filesIn(home.out).find((name) => name.endsWith('.part'))
      return part !== undefined && readFileSync(join(home.out, part)).length > 50_000
    })
    process.kill(firstOf(running.children()), 'SIGKILL')
    const ended = await running.ended
    expect(ended.code).toBe(0)
    const { attempts, warnings, resumed_from } = ended.row(1)
    expect(attempts.map(({ resumed_from: from, result }) => [from, result])).toEqual([
      [0, 'failed'],
      [0, 'done'],
    ])
    expect([resumed_from, warnings]).toEqual([
      0,
      [expect.stringMatching(/ bytes dropped: what comes coded is not resumed/)],
    ])
    expect(ended.bytes('big.bin').equals(bodyOf(4_000_000))).toBe(true)
    expect(server.requests.filter(({ path, headers }) => path.includes('big.bin') && 'range' in headers)).toEqual([])

    const second = start({ home, list: url, args: [...args, '--force'] })
    await until('bytes are there', () => {
      const part = filesIn(home.out).find((name) => name.endsWith('.part'))
      return part !== undefined && readFileSync(join(home.out, part)).length > 50_000
    })
    second.process.kill('SIGKILL')
    await second.ended
    const third = await run({ home, list: url.replace('&rate=2000000', ''), args: [...args, '--force'] })
    expect([third.code, third.row(1).resumed_from, third.bytes('big.bin').equals(bodyOf(4_000_000))]).toEqual([
      0,
      0,
      true,
    ])
  })

  test('what has not changed since moves no body, although what lies here is not what was sent', async () => {
    const home = newHome()
    const list = server.url('/coded/gzip/same.bin?size=50000')
    await run({ home, list, args: [...ONCE, '--compressed'] })
    const again = await run({ home, list, args: [...ONCE, '--compressed'] })
    expect(again.row(1)).toMatchObject({ outcome: 'unchanged', size_download: 0 })
  })

  test('what was stored coded is fetched again where it is wanted decoded, and only then', async () => {
    const home = newHome()
    const list = server.url('/coded/gzip/raw.bin?size=50000&forced')
    await run({ home, list, args: ONCE })
    expect((await run({ home, list, args: ONCE })).row(1).outcome).toBe('unchanged')
    const decoded = await run({ home, list, args: [...ONCE, '--compressed'] })
    expect([decoded.row(1).outcome, decoded.bytes('raw.bin').equals(bodyOf(50_000))]).toEqual(['downloaded', true])
  })

  test('[too-large] [threat:bomb] a bomb is stopped by --max-filesize, counted in what comes out of it', async () => {
    const list = ['gzip', 'deflate', 'br'].map((coding) =>
      server.url(`/coded/${coding}/${coding}.bin?zeros=${32 * MIB}&forced`),
    )
    // The server takes its time to make them.
    const args = [...ONCE, '-T', '5s', '--compressed', '--max-filesize', '1M']
    const ended = await run({ list: list.join('\n'), args })
    for (const row of ended.report.jobs) {
      expect(row).toMatchObject({ outcome: 'failed', failure: { kind: 'too-large', limitBytes: MIB } })
      expect(row.attempts.every(({ max_rss }) => max_rss === null || max_rss < 200 * MIB)).toBe(true)
      expect(ended.seen).not.toContain(row.out)
    }
    expect(Math.max(0, ...filesIn(ended.home.out).map((name) => ended.bytes(name).length))).toBeLessThanOrEqual(MIB)
  })

  test('[broken-coding] a coded body that ends too early or is none is named, and not asked for again', async () => {
    const list = [
      ...['gzip', 'deflate', 'br'].map((coding) =>
        server.url(`/coded/${coding}/cut-${coding}?size=50000&cut=100&forced`),
      ),
      server.url('/coded/none/garbage?size=50000&forced&called=gzip'),
    ]
    const ended = await run({ list: list.join('\n'), args: [...QUICK, '--compressed', '-t', '2'] })
    expect(ended.code).toBe(7)
    for (const [n, coding] of ['gzip', 'deflate', 'br', 'gzip'].entries()) {
      const row = ended.row(n + 1)
      expect(row).toMatchObject({ outcome: 'failed', failure: { kind: 'broken-coding', coding } })
      expect(row.reason).toMatch(new RegExp(`^the body's ${coding} coding is broken \\(`))
      expect(row.attempts).toHaveLength(1)
      expect(ended.seen).not.toContain(row.out)
    }
  })

  test('[protocol] a coding that was not offered is refused, for what would be stored is of no use', async () => {
    const list = ['zstd', 'gzip,%20br', 'compress'].map((called, n) =>
      server.url(`/coded/gzip/${n}?size=5000&forced&called=${called}`),
    )
    const ended = await run({ list: list.join('\n'), args: [...ONCE, '--compressed'] })
    for (const row of ended.report.jobs) {
      expect(row.failure).toEqual({ kind: 'protocol', code: 'coding-unasked' })
      expect(row.reason).toMatch(/a coding that was not asked for/)
    }
  })

  test('[truncated] a connection that breaks off is told as such, not as a broken coding', async () => {
    const list = server.url('/truncated/x')
    const ended = await run({ list, args: [...ONCE, '--compressed'] })
    expect(ended.kind(1)).toBe('truncated')
  })
})

describe.skipIf(!requireServer('nginx', findProgram('nginx')))('--compressed from nginx', () => {
  test('text comes coded in chunks, and what is small or coded already does not', async () => {
    const root = mkdtempSync(join(tmpdir(), 'mpdl-e2e-www-'))
    const text = Buffer.from('a line that repeats itself\n'.repeat(20_000))
    const image = bodyOf(100_000)
    writeFileSync(join(root, 'page.html'), text)
    writeFileSync(join(root, 'image.bin'), image)
    const nginx = await startNginx({ root, extraConf: 'gzip on; gzip_types text/html;' })
    const list = `${nginx.url}/page.html\n${nginx.url}/image.bin\n`
    const ended = await run({ list, args: [...ONCE, '--compressed'] })
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    expect(ended.row(1)).toMatchObject({ decoded_from: 'gzip', size: text.length, proof: 'unverified' })
    expect(sha256Of(ended.bytes('page.html'))).toBe(sha256Of(text))
    expect(ended.row(2)).toMatchObject({ decoded_from: null, proof: 'length' })
    expect(ended.bytes('image.bin').equals(image)).toBe(true)
    await nginx.stop()
    rmSync(root, { recursive: true, force: true })
  })
})
