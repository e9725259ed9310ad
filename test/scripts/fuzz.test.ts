// That `npm run fuzz` looks at other values each time, and that what it finds can be found again.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')

/** A checkout whose tests are these two. */
let checkout = ''
beforeAll(() => {
  checkout = mkdtempSync(join(tmpdir(), 'mpdl-fuzz-test-'))
  for (const name of ['scripts', 'test/fixtures', 'vitest.config.ts', 'package.json']) {
    cpSync(join(ROOT, name), join(checkout, name), { recursive: true })
  }
  for (const name of ['src', 'node_modules']) symlinkSync(join(ROOT, name), join(checkout, name))
  mkdirSync(join(checkout, 'test', 'core'))
  const test = (name: string, property: string) =>
    writeFileSync(
      join(checkout, 'test', 'core', `${name}.test.ts`),
      `import { expect, test } from 'vitest'
import fc from '../fixtures/property.ts'
test('${name}', () => fc.assert(fc.property(fc.nat(), (n) => { ${property} }), { numRuns: 10 }))
`,
    )
  test('holds', 'expect(n).toBeGreaterThan(-1)')
  test('breaks', 'expect(n % 5).not.toBe(3)')
})
afterAll(() => rmSync(checkout, { recursive: true, force: true }))

function fuzz(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/fuzz.ts', ...args], {
    cwd: checkout,
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

describe('npm run fuzz', () => {
  test('tells the seed of each round, and takes another for the next', async () => {
    const endless = spawn(process.execPath, ['scripts/fuzz.ts', '--only', 'holds', '--minutes', '60'], {
      cwd: checkout,
    })
    let said = ''
    const seeds = () =>
      [...said.matchAll(/^fuzz: round \d+, seed (\d+): nothing found in .+$/gm)].map(([, seed]) => seed)
    endless.stdout.on('data', (chunk) => {
      said += chunk
      if (seeds().length >= 2) endless.kill()
    })
    await once(endless, 'close')
    expect(new Set(seeds()).size).toBe(2)
  })

  test('stops at what it finds, with the command that finds the very same again', () => {
    const first = fuzz('--runs', '20')
    expect(first.status).toBe(1)
    const counterexample = /Counterexample: .+/.exec(first.stdout)?.[0]
    expect(counterexample).toBeDefined()
    const [, command = ''] = /^fuzz: to repeat it: npm run fuzz -- (.+)$/m.exec(first.stdout) ?? []
    expect(command).toMatch(/^--seed \d+ --runs 20 --only test\/core\/breaks\.test\.ts$/)
    const again = fuzz(...command.split(' '))
    expect(again.status).toBe(1)
    expect(again.stdout).toContain(counterexample)
  })

  test('refuses what would test nothing', () => {
    expect(fuzz('--only', 'nothing')).toMatchObject({ status: 64, stdout: '' })
    expect(fuzz('--runs', '0')).toMatchObject({ status: 64, stdout: '' })
    expect(fuzz('--seeds', '5')).toMatchObject({ status: 64, stdout: '' })
  })
})
