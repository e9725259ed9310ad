// Decides whether a name goes to one job only, and whether only what may give way does.

import { describe, expect, test } from 'vitest'
import type { Job } from '../../src/core/job.ts'
import { defaultSettings } from '../../src/defaults.ts'
import type { GiveName, NamingContext } from '../../src/supervisor/final-name.ts'
import { FinalName } from '../../src/supervisor/final-name.ts'
import type { FinishedFile, StateDb } from '../../src/supervisor/state-db.ts'
import type { PlainFile } from '../../src/supervisor/target.ts'

const FILE: PlainFile = { kind: 'file', sizeBytes: 7, mtimeMs: 5, mode: 0o644 }
const left = (path: string, target: string): FinishedFile => ({ path, target, urlKey: 'k', validator: {}, ...FILE })
/** It is no more as it was left. */
const edited = (file: FinishedFile): FinishedFile => ({ ...file, mtimeMs: 6 })

function stateOf(...files: readonly FinishedFile[]): StateDb {
  return {
    find: (path) => files.find((file) => file.path === path),
    findNamed: (target) => files.find((file) => file.target === target && file.path !== target),
    remember: async () => {},
    close: () => {},
  }
}

function contextOf(changes: Partial<NamingContext> & { onClash?: 'fail' | 'rename' } = {}): NamingContext {
  const { onClash = 'fail', ...rest } = changes
  return { settings: { ...defaultSettings(), dir: '/d', onClash }, state: stateOf(), takenNames: new Map(), ...rest }
}

const job = (index: number, target: string, options: Job['options'] = {}): Job => ({
  index,
  line: index + 1,
  id: 'id',
  urls: ['http://h/x'],
  target,
  options,
})
class TestName extends FinalName {
  override give(suggested: string | undefined, giveName: GiveName, isSame = async (_: string) => false) {
    return super.give(suggested, giveName, isSame)
  }
}
const nameOf = (context: NamingContext, ...order: Parameters<typeof job>) => new TestName(context, job(...order))
const given = async () => undefined
const taken = (path: string) => ({ ok: false, failure: { kind: 'name-taken', path, by: 'another job' } })

describe('a name', () => {
  test("is the URL's where no server may give one, and every file gives way to it", async () => {
    const name = nameOf(contextOf({ takenNames: undefined, state: stateOf(left('/d/s', '/d/get')) }), 0, 'get')
    expect(name.place).toBe('/d/get')
    expect(name.suggested('attachment; filename=s')).toBeUndefined()
    const asked: unknown[] = []
    const giveName = async (...order: unknown[]) => void asked.push(order)
    expect(await name.give('s', giveName)).toMatchObject({ ok: true, path: '/d/get' })
    expect(asked).toEqual([['/d/get', undefined]])
  })

  test("from a server stays in the directory, and out= is not the server's to change", async () => {
    const context = contextOf()
    expect(await nameOf(context, 0, 'sub/get').give('s', given)).toMatchObject({ ok: true, path: '/d/sub/s' })
    const listed = nameOf(context, 1, 'mine', { out: 'mine' })
    expect(listed.suggested('attachment; filename=s')).toBeUndefined()
    expect(await listed.give('s', given)).toMatchObject({ ok: true, path: '/d/mine' })
  })

  test('is looked for where the server put the file before', () => {
    expect(nameOf(contextOf({ state: stateOf(left('/d/s', '/d/get')) }), 0, 'get').place).toBe('/d/s')
    expect(nameOf(contextOf(), 0, 'get').place).toBe('/d/get')
  })

  test('[name-taken] goes to one job of a run, from the moment it is about to be given', async () => {
    const context = contextOf()
    const [first, second] = [nameOf(context, 0, 'a'), nameOf(context, 1, 'b')]
    const giving = Promise.withResolvers<undefined>()
    const done = first.give('s', () => giving.promise)
    expect(await second.give('s', () => expect.unreachable())).toEqual(taken('/d/s'))
    giving.resolve(undefined)
    expect(await done).toMatchObject({ ok: true, path: '/d/s' })
    expect(await nameOf(context, 2, 's').give(undefined, () => expect.unreachable())).toEqual(taken('/d/s'))
    expect(await first.give('s', given), 'its own it may have again').toMatchObject({ ok: true, path: '/d/s' })
  })

  test('is free again where it could not be given', async () => {
    const context = contextOf()
    const failure = { kind: 'disk-full', path: '/d/s' } as const
    expect(await nameOf(context, 0, 'a').give('s', async () => failure)).toEqual({ ok: false, failure })
    expect(await nameOf(context, 1, 'b').give('s', given)).toMatchObject({ ok: true, path: '/d/s' })
  })

  test('[name-taken] of a file that another job keeps is none for anybody else', async () => {
    const context = contextOf()
    nameOf(context, 0, 'a').keep('/d/s')
    expect(await nameOf(context, 1, 'b').give('s', () => expect.unreachable())).toEqual(taken('/d/s'))
  })

  test('is kept where the very same file has it, of which nobody knows whose it is', async () => {
    const context = contextOf()
    const giveName = async (path: string) => ({ kind: 'name-taken', path, by: 'somebody else' }) as const
    const isSame = async (path: string) => path === '/d/s'
    expect(await nameOf(context, 0, 'a').give('s', giveName, isSame)).toEqual({
      ok: true,
      path: '/d/s',
      isStanding: true,
    })
    expect(await nameOf(context, 1, 'b').give('s', giveName, isSame), 'for one job').toEqual(taken('/d/s'))
    expect(await nameOf(context, 2, 'c').give('t', giveName, isSame)).toMatchObject({ ok: false })
  })

  test('is numbered with --on-clash rename, and only for a clash', async () => {
    const context = contextOf({ onClash: 'rename' })
    nameOf(context, 0, 'a').keep('/d/s.bin')
    const onDisk = ['/d/s.1.bin', '/d/s.2.bin']
    const name = nameOf(context, 1, 'b')
    const giveName = async (path: string) =>
      onDisk.includes(path) ? ({ kind: 'name-taken', path, by: 'somebody else' } as const) : undefined
    expect(await name.give('s.bin', giveName)).toMatchObject({ ok: true, path: '/d/s.3.bin' })
    const failure = { kind: 'target-is-symlink', path: '/d/t' } as const
    expect(await name.give('t', async () => failure)).toEqual({ ok: false, failure })
  })
})

describe('gives way', () => {
  const S = '/d/s'
  test.each<[what: string, target: string, suggested: string | undefined, left: FinishedFile[], may: boolean]>([
    ["under the server's name: a file of nobody", 'get', 's', [], false],
    ['one that this job left', 'get', 's', [left(S, '/d/get')], true],
    ['one that this job left and somebody edited', 'get', 's', [edited(left(S, '/d/get'))], true],
    ['one that another job left', 'get', 's', [left(S, '/d/other')], false],
    ['one that is called so by its URL', 'get', 's', [left(S, S)], false],
    ["under the URL's name: a file of nobody", 's', undefined, [], true],
    ['one that this job left and somebody edited', 's', undefined, [edited(left(S, S))], true],
    ['one that a server gave another job', 's', undefined, [left(S, '/d/get')], false],
    ['the same where both names are one', 's', 's', [left(S, S)], true],
  ])('%s', async (_, target, suggested, files, may) => {
    let answer: boolean | undefined
    await nameOf(contextOf({ state: stateOf(...files) }), 0, target).give(suggested, async (path, mayReplace) => {
      expect(path).toBe(S)
      answer = mayReplace?.()
      return undefined
    })
    expect(answer).toBe(may)
  })
})
