// What CPU profiles come to, and that a run leaves one of each of its processes.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import type { Profiler } from 'node:inspector'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { costsOf } from '../../scripts/profile/costs.ts'
import { findProgram, requireServer } from '../fixtures/servers.ts'

const PROGRAM = join(import.meta.dirname, '..', '..', 'scripts', 'profile', 'main.ts')

describe('the costs of functions', () => {
  const node = (id: number, functionName: string, children: number[]): Profiler.ProfileNode => ({
    id,
    callFrame: { functionName, scriptId: '1', url: 'file:///x/pool.cjs', lineNumber: 6, columnNumber: 0 },
    children,
  })
  /** Samples are `[node, ms until the next]`. */
  const profileOf = (nodes: Profiler.ProfileNode[], samples: [number, number][]): Profiler.Profile => ({
    nodes,
    startTime: 0,
    endTime: 0,
    samples: [...samples.map(([id]) => id), 1],
    timeDeltas: [0, ...samples.map(([, ms]) => ms * 1000)],
  })

  test('are those of their own samples, and with these of all that they called', () => {
    const nodes = [node(1, '(root)', [2, 4]), node(2, 'outer', [3]), node(3, 'inner', []), node(4, 'inner', [])]
    const profile = profileOf(nodes, [
      [2, 1],
      [3, 10],
      [4, 100],
      [3, 10],
    ])
    expect(costsOf([profile, profile])).toEqual([
      { name: 'inner  pool.cjs:7', selfMs: 240, totalMs: 240 },
      { name: 'outer  pool.cjs:7', selfMs: 2, totalMs: 42 },
    ])
  })

  test('count a function that calls itself once', () => {
    const nodes = [node(1, '(root)', [2]), node(2, 'f', [3]), node(3, 'g', [4]), node(4, 'f', [])]
    const [g, f] = [
      { selfMs: 0, totalMs: 5 },
      { selfMs: 8, totalMs: 8 },
    ]
    const profile = profileOf(nodes, [
      [2, 3],
      [4, 5],
    ])
    expect(costsOf([profile]).map(({ name: _, ...cost }) => cost)).toEqual([f, g])
  })

  test('leave out time in which nothing ran', () => {
    const nodes = [node(1, '(root)', [2, 3]), node(2, '(idle)', []), node(3, 'f', [])]
    const costs = costsOf([
      profileOf(nodes, [
        [2, 50],
        [3, 5],
      ]),
    ])
    expect(costs.reduce((sum, { selfMs }) => sum + selfMs, 0)).toBe(5)
  })
})

describe.skipIf(!requireServer('nginx', findProgram('nginx')))('npm run profile', () => {
  let out = ''
  beforeAll(() => {
    out = mkdtempSync(join(tmpdir(), 'mpdl-profile-test-'))
  })
  afterAll(() => rmSync(out, { recursive: true, force: true }))

  test.each([
    ['pool', 'small', /^(?:supervisor|pool)-\d+\.cpuprofile$/],
    ['process', 'five', /^(?:supervisor|process)-\d+\.cpuprofile$/],
    ['thread', 'five', /^(?:supervisor|thread)-\d+(?:-\d+)?\.cpuprofile$/],
  ])('with --isolate %s has a profile and a table of the supervisor and of its children', (mode, workload, ours) => {
    const args = ['--isolate', mode, '--only', workload, '--scale', '1/100', '--top', '1000', '--out', out]
    const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], { encoding: 'utf8' })
    expect(stderr).toMatch(/^profile: profiled: /m)
    expect(status).toBe(0)
    const profiles = readdirSync(out).filter((name) => name.endsWith('.cpuprofile'))
    expect(profiles.filter((name) => !ours.test(name))).toEqual([])
    const children = profiles.filter((name) => name.startsWith(mode))
    if (workload === 'five') expect(children.length).toBe(5)
    else expect(children.length).toBeGreaterThan(0)
    const [table = '', ofChildren = ''] = stdout.split(/^== /m).slice(1)
    expect(table).toMatch(/^supervisor × 1: CPU \d+ ms, of that start \d+ ms; at most \S+ \S+\n/)
    expect(table).toMatch(/^ *[\d.]+ +[\d.]+ {2}main {2}mpdl\.js:\d+$/m)
    expect(ofChildren).toMatch(new RegExp(`^${mode} × ${children.length}: CPU [1-9]`))
    for (const name of profiles) {
      const use = JSON.parse(readFileSync(join(out, name.replace('cpuprofile', 'use.json')), 'utf8'))
      expect(use.bootCpuUs).toBeGreaterThan(0)
      expect(use.cpuUs).toBeGreaterThan(use.bootCpuUs)
    }
  })

  test('refuses what there is not', () => {
    for (const args of [
      ['--only', 'nothing'],
      ['--isolate', 'sequential'],
      ['--top', '0'],
      ['--scale', 'x'],
    ]) {
      const { status, stdout } = spawnSync(process.execPath, [PROGRAM, ...args], { encoding: 'utf8' })
      expect({ args, status, stdout }).toEqual({ args, status: 64, stdout: '' })
    }
  })
})
