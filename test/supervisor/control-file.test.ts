// Decides whether the note beside a part is believed only where it can be true.

import { execFileSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Control } from '../../src/supervisor/control-file.ts'
import { readControl, survivingRanges, writeControl } from '../../src/supervisor/control-file.ts'

const CONTROL: Control = {
  version: '1.2.3',
  job: 'job',
  url: 'https://h/x?token=***',
  urlKey: 'key',
  validator: { etag: '"v1"' },
  sizeBytes: 100,
  completed: [[0, 50]],
  synced: [[0, 20]],
  bootId: 'boot',
  pid: 42,
}

let dir: string
let path: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-test-'))
  path = join(dir, 'x.part.json')
})

afterEach(() => rmSync(dir, { recursive: true, force: true }))

describe('a note', () => {
  test('comes back as it was written, readable by its owner only, with nothing beside it', () => {
    writeControl(path, CONTROL)
    expect(readControl(path)).toEqual(CONTROL)
    expect(lstatSync(path).mode & 0o777).toBe(0o600)
    expect(readdirSync(dir)).toEqual(['x.part.json'])
  })

  test('without size, boot or validator comes back too', () => {
    const bare: Control = {
      ...CONTROL,
      validator: {},
      sizeBytes: undefined,
      bootId: undefined,
      completed: [],
      synced: [],
    }
    writeControl(path, bare)
    expect(readControl(path)).toEqual(bare)
  })

  test('of a part that another tool began, or with holes, comes back too', () => {
    const holes: Control = {
      ...CONTROL,
      isForeign: true,
      completed: [
        [0, 10],
        [20, 100],
      ],
      synced: [[30, 40]],
    }
    writeControl(path, holes)
    expect(readControl(path)).toEqual(holes)
  })

  test('replaces the one before, also over what a crash left behind', () => {
    writeControl(path, CONTROL)
    writeFileSync(`${path}~`, 'half a no')
    writeControl(path, { ...CONTROL, job: 'other' })
    expect(readControl(path)?.job).toBe('other')
    expect(readdirSync(dir)).toEqual(['x.part.json'])
  })
})

describe('is not believed', () => {
  const stored = { mpdl: 1, ...CONTROL }

  test('when there is none', () => {
    expect(readControl(path)).toBeUndefined()
  })

  test.each<[string, unknown]>([
    ['another tool’s', { gid: 'a', version: 1 }],
    ['another format’s', { ...stored, mpdl: 2 }],
    ['no object', [1]],
    ['without a job', { ...stored, job: undefined }],
    ['with a size below zero', { ...stored, sizeBytes: -1 }],
    ['with ranges past its size', { ...stored, completed: [[0, 101]] }],
    ['with synced ranges past its size', { ...stored, synced: [[0, 101]] }],
    [
      'with ranges that overlap',
      {
        ...stored,
        completed: [
          [0, 10],
          [5, 20],
        ],
      },
    ],
    ['with a foreignness that is no yes', { ...stored, isForeign: false }],
    ['with ranges of three', { ...stored, completed: [[0, 10, 20]] }],
    ['with fractions of bytes', { ...stored, completed: [[0, 1.5]] }],
    ['with texts for numbers', { ...stored, completed: [['0', '10']] }],
  ])('when it is %s', (_, value) => {
    writeFileSync(path, JSON.stringify(value))
    expect(readControl(path)).toBeUndefined()
  })

  test.each(['', '{', '\0\0\0\0', JSON.stringify(stored).slice(0, -3)])('when it is damaged: %j', (text) => {
    writeFileSync(path, text)
    expect(readControl(path)).toBeUndefined()
  })

  test('when it is a link, a directory or a pipe, and a pipe does not make it wait', () => {
    writeControl(join(dir, 'real'), CONTROL)
    symlinkSync(join(dir, 'real'), path)
    expect(readControl(path)).toBeUndefined()
    rmSync(path)
    mkdirSync(path)
    expect(readControl(path)).toBeUndefined()
    rmSync(path, { recursive: true })
    execFileSync('mkfifo', [path])
    // In a process of its own, because a reader of a pipe would never come back.
    const module = join(import.meta.dirname, '../../src/supervisor/control-file.ts')
    const code = `import { readControl } from ${JSON.stringify(module)}; console.log(readControl(process.argv[1]))`
    const told = execFileSync(process.execPath, ['--input-type=module', '-e', code, path], { timeout: 10_000 })
    expect(told.toString().trim()).toBe('undefined')
  })
})

test('a link planted at the note, or at the file it is written through, is not written through', () => {
  const victim = join(dir, 'victim')
  writeFileSync(victim, 'precious')
  symlinkSync(victim, path)
  symlinkSync(victim, `${path}~`)
  writeControl(path, CONTROL)
  expect(readFileSync(victim, 'utf8')).toBe('precious')
  expect(lstatSync(path).isSymbolicLink()).toBe(false)
})

test('a directory in the way is an error with a code, and what was begun is removed', () => {
  mkdirSync(path)
  expect(() => writeControl(path, CONTROL)).toThrow(expect.objectContaining({ code: 'EISDIR' }))
  expect(existsSync(`${path}~`)).toBe(false)
})

describe('what survives', () => {
  test('of this boot is all, of another only what was on the disk', () => {
    expect(survivingRanges(CONTROL, 'boot', 100)).toEqual([[0, 50]])
    expect(survivingRanges(CONTROL, 'another', 100)).toEqual([[0, 20]])
    expect(survivingRanges(CONTROL, undefined, 100)).toEqual([[0, 20]])
    expect(survivingRanges({ ...CONTROL, bootId: undefined }, undefined, 100)).toEqual([[0, 20]])
  })

  test('is every range of it', () => {
    const holes: Control = {
      ...CONTROL,
      completed: [
        [0, 10],
        [20, 30],
        [50, 60],
      ],
      synced: [
        [0, 5],
        [20, 30],
      ],
    }
    expect(survivingRanges(holes, 'boot', 60)).toEqual(holes.completed)
    expect(survivingRanges(holes, 'boot', 59)).toEqual([])
    expect(survivingRanges(holes, 'another', 59)).toEqual(holes.synced)
  })

  test('is nothing when the part is shorter than the note says', () => {
    expect(survivingRanges(CONTROL, 'boot', 50)).toEqual([[0, 50]])
    expect(survivingRanges(CONTROL, 'boot', 49)).toEqual([])
    expect(survivingRanges(CONTROL, 'another', 19)).toEqual([])
  })
})
