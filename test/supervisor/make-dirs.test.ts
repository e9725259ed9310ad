// Proves that directories are made with their parents and that every refusal is an answer. Knows nothing of downloads.
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { makeDirs } from '../../src/supervisor/make-dirs.ts'

const root = mkdtempSync(join(tmpdir(), 'mpdl-make-dirs-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

describe('making directories', () => {
  test('parents that are missing are made with the same mode, and making them again is fine', () => {
    const path = join(root, 'a', 'b', 'c')
    makeDirs(path, 0o700)
    makeDirs(path, 0o700)
    for (const each of [path, join(root, 'a', 'b'), join(root, 'a')]) {
      expect(statSync(each).mode & 0o7777).toBe(0o700)
    }
  })

  test('a link to a directory will do, a file or a dangling link will not', () => {
    makeDirs(join(root, 'real'))
    symlinkSync(join(root, 'real'), join(root, 'link'))
    makeDirs(join(root, 'link', 'below'))
    expect(statSync(join(root, 'real', 'below')).isDirectory()).toBe(true)
    writeFileSync(join(root, 'file'), '')
    expect(() => makeDirs(join(root, 'file'))).toThrow(/EEXIST/)
    expect(() => makeDirs(join(root, 'file', 'below'))).toThrow(/ENOTDIR/)
    symlinkSync(join(root, 'nowhere'), join(root, 'dangling'))
    expect(() => makeDirs(join(root, 'dangling'))).toThrow(/EEXIST/)
    expect(() => makeDirs(join(root, 'dangling', 'below'))).toThrow()
  })

  test.skipIf(process.platform !== 'linux')(
    'a file system that makes no directories is an error and no endless loop',
    () => {
      expect(() => makeDirs('/proc/mpdl')).toThrow(/ENOENT/)
      expect(() => makeDirs('/proc/mpdl/below')).toThrow(/ENOENT/)
    },
  )
})
