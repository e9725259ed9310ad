// Proves which bytes reach the file, and where. Knows nothing of where they come from.
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Want, Writer } from '../../src/child/writer.ts'
import { bodyOf } from '../fixtures/fault-server.ts'
import fc from '../fixtures/property.ts'

const scratch = mkdtempSync(join(tmpdir(), 'mpdl-writer-'))
let descriptor: number
const path = join(scratch, 'part')
beforeAll(() => {
  descriptor = openSync(path, 'w+')
})
afterAll(() => {
  closeSync(descriptor)
  rmSync(scratch, { recursive: true, force: true })
})

const writerOf = (want: Partial<Want>) =>
  new Writer(descriptor, { offsetBytes: 0, lengthBytes: null, skipBytes: 0, ...want })

test('however a body is cut, the bytes behind the skipped ones and before the end are written', () => {
  const size = fc.integer({ min: 0, max: 300 })
  fc.assert(
    fc.property(size, size, size, fc.array(size), (offsetBytes, skipBytes, lengthBytes, cuts) => {
      const writer = writerOf({ offsetBytes, skipBytes, lengthBytes })
      const body = bodyOf(1000)
      let at = 0
      for (const cut of [...cuts, 1000]) {
        writer.write(body.subarray(at, at + cut))
        at = Math.min(1000, at + cut)
      }
      const whole = body.subarray(skipBytes, skipBytes + lengthBytes)
      expect([writer.isWhole, writer.bytes, writer.expectedBytes]).toEqual([true, lengthBytes, lengthBytes])
      expect(writer.position).toBe(offsetBytes + lengthBytes)
      expect(readFileSync(path).subarray(offsetBytes, writer.position).equals(whole)).toBe(true)
    }),
  )
})

describe('a limit', () => {
  test('lowers the end, but neither below the position nor above the end that holds', () => {
    const writer = writerOf({ offsetBytes: 100, lengthBytes: 100 })
    writer.write(bodyOf(10))
    expect([500, 150, 160, 0].map((endBytes) => writer.limit(endBytes))).toEqual([200, 150, 150, 110])
    expect([writer.isWhole, writer.bytes, writer.expectedBytes]).toEqual([true, 10, 10])
  })

  test('makes no length known that was not announced', () => {
    const writer = writerOf({})
    writer.limit(1000)
    expect(writer.expectedBytes).toBeUndefined()
    writer.write(bodyOf(1001))
    expect([writer.isWhole, writer.bytes, writer.failure]).toEqual([true, 1000, undefined])
  })
})

describe('a size that may not be exceeded', () => {
  test('may be reached', () => {
    const writer = writerOf({ offsetBytes: 10, maxBytes: 30 })
    writer.write(bodyOf(20))
    expect(writer.failure).toBeUndefined()
    writer.write(bodyOf(1))
    expect([writer.failure, writer.bytes]).toEqual([{ kind: 'too-large', limitBytes: 30 }, 20])
  })

  test('is of no account where the length is known, or where more is there already', () => {
    const known = writerOf({ lengthBytes: 50, maxBytes: 30 })
    known.write(bodyOf(50))
    expect([known.isWhole, known.failure]).toEqual([true, undefined])
    const beyond = writerOf({ offsetBytes: 40, maxBytes: 30 })
    beyond.write(bodyOf(1))
    expect([beyond.failure, beyond.bytes]).toEqual([{ kind: 'too-large', limitBytes: 30 }, 0])
  })
})

test('of a disk that fills up in the middle every byte that fitted is counted', (context) => {
  const disk = join(scratch, 'disk')
  mkdirSync(disk)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'mpdl-test', disk], { stdio: 'pipe' })
  } catch {
    context.skip('mounting is not allowed here')
  }
  try {
    const full = openSync(join(disk, 'part'), 'w+')
    const writer = new Writer(full, { offsetBytes: 0, lengthBytes: 200_000, skipBytes: 0 })
    writer.write(bodyOf(200_000))
    closeSync(full)
    expect(writer.failure).toEqual({ kind: 'disk-full', path: 'the part' })
    expect(writer.bytes).toBeGreaterThan(0)
    expect(readFileSync(join(disk, 'part')).equals(bodyOf(200_000).subarray(0, writer.bytes))).toBe(true)
  } finally {
    execFileSync('umount', ['-l', disk])
  }
})
