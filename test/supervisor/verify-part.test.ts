import { closeSync, mkdirSync, mkdtempSync, openSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Control } from '../../src/supervisor/control-file.ts'
import { writeControl } from '../../src/supervisor/control-file.ts'
import { lookAtPart } from '../../src/supervisor/verify-part.ts'

const BOOT = 'this-boot'
let dir = ''
let target = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-part-'))
  target = join(dir, 'a')
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

function part(changes: Partial<Control> = {}): string {
  const path = `${target}.part`
  writeFileSync(path, Buffer.alloc(100))
  writeControl(`${path}.json`, {
    version: '1',
    job: 'j',
    url: 'u',
    urlKey: 'k',
    validator: {},
    sizeBytes: 400,
    completed: [
      [0, 50],
      [70, 90],
    ],
    synced: [[0, 30]],
    bootId: BOOT,
    pid: process.pid,
    ...changes,
  })
  return path
}

test('nothing, a link and a directory are no parts', () => {
  expect(lookAtPart(target, BOOT)).toBeUndefined()
  symlinkSync('elsewhere', `${target}.part`)
  expect(lookAtPart(target, BOOT)).toBeUndefined()
  rmSync(`${target}.part`)
  mkdirSync(`${target}.part`)
  expect(lookAtPart(target, BOOT)).toBeUndefined()
})

test('its bytes are those that the next run would go on from', () => {
  part()
  expect(lookAtPart(target, BOOT)).toEqual({
    keptBytes: 70,
    sizeBytes: 400,
    isForeign: false,
    writerPid: undefined,
  })
  expect(lookAtPart(target, 'another-boot')).toMatchObject({ keptBytes: 30 })
})

test('without a note it is somebody else’s', () => {
  writeFileSync(`${target}.part`, 'bytes')
  expect(lookAtPart(target, BOOT)).toEqual({
    keptBytes: 5,
    sizeBytes: undefined,
    isForeign: true,
    writerPid: undefined,
  })
})

test('only who has it open is writing it', () => {
  const descriptor = openSync(part(), 'r+')
  expect(lookAtPart(target, BOOT)).toMatchObject({ writerPid: process.pid })
  expect(lookAtPart(target, 'another-boot')).toMatchObject({ writerPid: undefined })
  closeSync(descriptor)
  expect(lookAtPart(target, BOOT)).toMatchObject({ writerPid: undefined })
})

test('one that has its final name is finished when its writer lets go of it', () => {
  part()
  renameSync(`${target}.part`, target)
  const descriptor = openSync(target, 'r')
  const seen = { keptBytes: 100, sizeBytes: 100, isForeign: false, writerPid: process.pid }
  expect(lookAtPart(target, BOOT)).toEqual(seen)
  closeSync(descriptor)
  expect(lookAtPart(target, BOOT)).toBeUndefined()
  rmSync(target)
  expect(lookAtPart(target, BOOT), 'a note that was left alone').toBeUndefined()
})

test('a note that names no process, or one that is gone, names no writer', () => {
  for (const pid of [0, -1, 2 ** 22 + 1]) {
    part({ pid })
    expect(lookAtPart(target, BOOT)).toMatchObject({ writerPid: undefined })
  }
})
