// Proves that a large file survives kill -9 of its supervisor, or of its children, at any instant: it is right in the
// end, few bytes are fetched twice, nobody is left behind. Knows nothing of how a part is kept.
//
// Measured is what nginx sent for each run ($body_bytes_sent, all its connections closed), less what the note beside
// the part knows more than before. nginx counts bytes as sent that were still in socket buffers when a child died, so
// this is never less than what was really fetched in vain.
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statfsSync,
  statSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { freemem, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { areSoundRanges, type Range, totalBytes } from '../../src/core/segment.ts'
import { bodyOf, sha256Of } from '../fixtures/fault-server.ts'
import { findProgram, type NginxServer, requireServer, startNginx } from '../fixtures/servers.ts'
import { type Ended, firstOf, type Home, newHome, type Running, run, start, stateOf, until } from './run-mpdl.ts'

const MIB = 2 ** 20
const SIZE = 256 * MIB
const CONNECTIONS = 4
const BYTES_PER_SECOND = 16 * MIB
/** What one kill of the supervisor may cost: 5 % of the file and one second of its transfer. */
const MOST_LOST = 0.05 * SIZE + CONNECTIONS * BYTES_PER_SECOND

// A quarter of a gigabyte at a time, several dozen times: memory is kinder than a disk, where there is enough.
function hasRoomInMemory(): boolean {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm')
    return bavail * bsize > 6 * SIZE && freemem() > 12 * SIZE
  } catch {
    return false
  }
}
if (hasRoomInMemory()) process.env['TMPDIR'] = '/dev/shm'

const seed = Number(process.env['MPDL_TEST_SEED'] ?? Date.now() % 2 ** 32)
let state = seed
/** Uniform in [0, 1). Mulberry32. */
function random(): number {
  state = (state + 0x6d2b79f5) | 0
  let x = Math.imul(state ^ (state >>> 15), 1 | state)
  x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
  return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
}

/** Some instant in the next `ms`: the one place where a test of this file waits for nothing in particular. */
const someTime = (ms: number) => sleep(random() * ms)

describe.skipIf(!requireServer('nginx', findProgram('nginx')))(`kill -9 (seed ${seed})`, () => {
  let root: string
  let nginx: NginxServer
  let sha256: string
  let body: Buffer
  let list: string

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'mpdl-e2e-www-'))
    body = bodyOf(SIZE)
    sha256 = sha256Of(body)
    writeFileSync(join(root, 'file'), body)
    nginx = await startNginx({
      root,
      extraConf: `sendfile_max_chunk 256k; location /file { limit_rate ${BYTES_PER_SECOND}; }
location /status { stub_status; access_log off; }`,
    })
    list = `${nginx.url}/file\n checksum=sha-256=${sha256}`
  })
  afterAll(async () => {
    await nginx?.stop()
    rmSync(root, { recursive: true, force: true })
  })

  const partOf = (home: Home) => join(home.out, 'file.part')
  const noteOf = (home: Home) => `${partOf(home)}.json`
  const ARGS = ['--retry-delay', '10ms'] as const

  type Request = { readonly range: string; readonly bytes: number }
  /** Ends when nginx has no connection but the one that asks, so that every request is in its log. */
  async function requestsSince(before: number): Promise<Request[]> {
    const ask = async () => (await fetch(`${nginx.url}/status`, { headers: { connection: 'close' } })).text()
    for (const deadline = performance.now() + 10_000; !/^Active connections: 1\b/.test(await ask()); await sleep(5)) {
      if (performance.now() > deadline) throw new Error('connections that outlived their children')
    }
    return nginx
      .accessLog()
      .slice(before)
      .map((line) => {
        const [, bytes, range] = /^GET \/file \d+ (\d+) "([^"]*)"/.exec(line) ?? []
        if (bytes === undefined || range === undefined) throw new Error(`not asked by mpdl: ${line}`)
        return { range, bytes: Number(bytes) }
      })
  }

  const sentBy = (requests: readonly Request[]) => requests.reduce((sum, { bytes }) => sum + bytes, 0)

  /** Resolves when a fitting name comes to be where the files go. */
  function nextName(home: Home, fits: (name: string | null) => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const watcher = watch(home.out, (_, name) => {
      if (!fits(name)) return
      watcher.close()
      resolve()
    })
    return promise
  }

  /** What the note says is there, after a look whether it is. None: no note, and nothing is known. */
  function trueRanges(home: Home): readonly Range[] {
    if (!statSync(noteOf(home), { throwIfNoEntry: false })) return []
    const note: { completed: Range[]; synced: Range[]; sizeBytes: number | null } = JSON.parse(
      readFileSync(noteOf(home), 'utf8'),
    )
    expect(areSoundRanges(note.completed, SIZE) && areSoundRanges(note.synced, SIZE), 'a sound note').toBe(true)
    const descriptor = openSync(partOf(home), 'r')
    for (const [from, to] of note.completed) {
      const there = Buffer.alloc(to - from)
      expect(readSync(descriptor, there, 0, there.length, from)).toBe(there.length)
      expect(there.equals(body.subarray(from, to)), `bytes ${from} to ${to} are as the note says`).toBe(true)
    }
    return note.completed
  }

  /** Kills at that instant, if the run still lives. Its end asserts that a second later no process of it is left. */
  async function killAt(home: Home, instant: (running: Running) => Promise<unknown>): Promise<Ended> {
    const running = start({ home, list, args: ARGS, hasNoReport: true })
    // What was missing may be so little, or nothing but the name, that the run is over before the instant comes.
    await Promise.race([instant(running), running.ended])
    running.process.kill('SIGKILL')
    return await running.ended
  }

  function expectRight(ended: Ended): void {
    expect([ended.code, ended.stderr, ended.files]).toEqual([0, '', ['file']])
    expect(sha256Of(ended.bytes('file'))).toBe(sha256)
  }

  const receives = (running: Running): Promise<unknown> =>
    running.event('response', ({ answer }) => answer.startsWith('receive'))
  const hashes = (running: Running) => running.event('attempt-started', ({ task }) => task === 'hash')
  const BOOT: readonly ((running: Running) => Promise<unknown>)[] = [
    () => someTime(100),
    (running) => running.event('run-started'),
    (running) => running.event('attempt-started'),
    (running) => until('its first child', () => running.children().length > 0),
    (running) => receives(running).catch(() => {}),
  ]

  test.each([1, 2, 3, 4])('chain %i: seven times while it boots or transfers, and then it completes', async () => {
    const home = newHome()
    let known: readonly Range[] = []
    const instants = [
      ...[0, 1].map(() => BOOT[Math.floor(random() * BOOT.length)] ?? receives),
      ...Array.from({ length: 5 }, () => async (running: Running) => {
        await receives(running).catch(() => {})
        await someTime(2000)
      }),
    ].sort(() => random() - 0.5)
    for (const instant of [...instants, undefined]) {
      const before = nginx.accessLog().length
      const ended = instant === undefined ? await run({ home, list, args: ARGS }) : await killAt(home, instant)
      const requests = (await requestsSince(before)).filter(({ bytes }) => bytes > 0)
      const isKilled = ended.signal === 'SIGKILL'
      // A chance instant may lie behind the rename.
      const isThere = ended.files.includes('file')
      const now: readonly Range[] = isThere ? [[0, SIZE]] : trueRanges(home)
      expect(sentBy(requests) - (totalBytes(now) - totalBytes(known))).toBeLessThanOrEqual(MOST_LOST)
      for (const { range } of requests) {
        const from = Number(/^bytes=(\d+)-/.exec(range)?.[1] ?? 0)
        const isKnown = known.some(([start, end]) => start <= from && from < end)
        expect([range, isKnown], 'what is asked for is not there yet').toEqual([range, false])
      }
      known = now
      if (!isKilled) expectRight(ended)
      else if (isThere) expect(ended.bytes('file').equals(body)).toBe(true)
      if (isThere) break
    }
    rmSync(home.out, { recursive: true })
  })

  test.each([1, 2, 3])('at the worst instant (%i), just before the note would be written again', async () => {
    const home = newHome()
    const before = nginx.accessLog().length
    await killAt(home, async (running) => {
      await receives(running)
      const isNote = (name: string | null) => name === 'file.part.json'
      await nextName(home, isNote)
      const at = performance.now()
      await nextName(home, isNote)
      await sleep(0.98 * (performance.now() - at))
    })
    const known = trueRanges(home)
    expect(known.length).toBeGreaterThan(0)
    expect(sentBy(await requestsSince(before)) - totalBytes(known)).toBeLessThanOrEqual(MOST_LOST)
    rmSync(home.out, { recursive: true })
  })

  describe('when all bytes are there', () => {
    let whole: Home
    let finished: { part: string; note: string }
    beforeAll(async () => {
      whole = newHome()
      const ended = await killAt(whole, hashes)
      expect([ended.signal, totalBytes(trueRanges(whole))]).toEqual(['SIGKILL', SIZE])
      finished = { part: whole.at('part'), note: whole.at('note') }
      copyFileSync(partOf(whole), finished.part)
      copyFileSync(noteOf(whole), finished.note)
    })

    /** As `whole` was, in the same place: the note is of this very job. */
    function restore(): void {
      for (const directory of [whole.out, whole.state]) rmSync(directory, { recursive: true, force: true })
      mkdirSync(whole.out)
      copyFileSync(finished.part, partOf(whole))
      copyFileSync(finished.note, noteOf(whole))
    }

    async function expectNothingSent(before: number, ended: Ended): Promise<void> {
      expectRight(ended)
      expect(sentBy(await requestsSince(before))).toBe(0)
    }

    test.each([1, 2, 3, 4, 5, 6, 7, 8])('while it is checked (%i): no byte is fetched again', async () => {
      restore()
      const before = nginx.accessLog().length
      await killAt(whole, async (running) => {
        await hashes(running)
        await someTime(400)
      })
      await expectNothingSent(before, await run({ home: whole, list, args: ARGS }))
    })

    test.each([1, 2, 3, 4, 5, 6])('just before it gets its name (%i): no byte is fetched again', async () => {
      restore()
      const before = nginx.accessLog().length
      await killAt(whole, async (running) => {
        const pid = firstOf([(await hashes(running)).pid])
        while (stateOf(pid) !== undefined) await new Promise((resolve) => setImmediate(resolve))
      })
      await expectNothingSent(before, await run({ home: whole, list, args: ARGS }))
    })

    test.each([1, 2, 3, 4, 5, 6, 7])('just after it got its name (%i): no byte is fetched again', async () => {
      restore()
      const before = nginx.accessLog().length
      await killAt(whole, () => nextName(whole, (name) => name === 'file'))
      await expectNothingSent(before, await run({ home: whole, list, args: ARGS }))
    })
  })

  test('of children, again and again: the run completes, and each costs less than its last second', async () => {
    const before = nginx.accessLog().length
    const running = start({ list, args: ARGS })
    await receives(running)
    let kills = 0
    for (; kills < 12; kills++) {
      await someTime(400)
      const { length } = running.children()
      if (length === 0)
        await until('another child', () => running.children().length > 0 || running.process.exitCode !== null)
      if (running.process.exitCode !== null) break
      const pids = running.children()
      process.kill(firstOf([pids[Math.floor(random() * pids.length)]]), random() < 0.5 ? 'SIGKILL' : 'SIGSEGV')
    }
    const ended = await running.ended
    expectRight(ended)
    expect(kills).toBeGreaterThan(5)
    const lost = sentBy(await requestsSince(before)) - SIZE
    expect(lost).toBeLessThanOrEqual(kills * BYTES_PER_SECOND)
  })
})
