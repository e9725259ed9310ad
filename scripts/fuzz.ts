// `npm run fuzz`: the tests of properties with random seeds, round after round, until one fails or the time is over.
// Knows nothing of what they test.

import { randomInt } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { formatDuration } from '../src/core/units.ts'
import { startGuarded } from './bench/guard.ts'

process.chdir(join(import.meta.dirname, '..'))

const EXIT_USAGE = 64
const MINUTES = 5
const RUNS = 5
/** Every seed below it is one for fast-check. */
const SEEDS = 2 ** 31
/** Many times longer than any test takes by itself, since it looks at many times as many values. */
const TEST_LIMIT_MS = 600_000

const HELP = `Usage: npm run fuzz -- [options]

Runs the tests of properties with random seeds, round after round. Stops at the first that fails, with the command that
repeats it. Above all: whatever a reply is made of, the pool's own parser takes none that Node's parser refuses, reads
none differently, and does not care how it is cut. \`npm test\` looks at fewer values, and always at the same.

  --minutes N     begin no round after so long (default: ${MINUTES})
  --only TEXT     only test files with TEXT in their path, like reply-parser
  --runs N        look at N times as many values as \`npm test\` does (default: ${RUNS})
  --seed N        one round, with this seed

Exit codes: 0 nothing found · 1 a test failed · 64 usage
`

const text = { type: 'string' } as const
const OPTIONS = { help: { type: 'boolean', short: 'h' }, minutes: text, only: text, runs: text, seed: text } as const

class UsageError extends Error {}

function parseOptions() {
  try {
    const { help, minutes, only = '', runs, seed } = parseArgs({ options: OPTIONS }).values
    return {
      isHelp: help === true,
      minutes: numberOf('--minutes', minutes) ?? MINUTES,
      only,
      runs: numberOf('--runs', runs) ?? RUNS,
      seed: numberOf('--seed', seed),
    }
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function numberOf(option: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const isFraction = option === '--minutes'
  if (!(isFraction ? /^\d*\.?\d+$/ : /^\d+$/).test(value) || !(Number(value) > 0 && Number(value) < SEEDS)) {
    throw new UsageError(`${option} ${value}: ${isFraction ? 'a number' : 'a whole number'} above 0`)
  }
  return Number(value)
}

const say = (line: string) => process.stdout.write(`fuzz: ${line}\n`)

/** Whether nothing was found. */
async function round(name: string, files: readonly string[], seed: number, runs: number): Promise<boolean> {
  const startedMs = performance.now()
  const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--reporter=dot', '--bail=1']
  const { ended } = startGuarded(
    '"$@" 3<&-',
    ['fuzz', process.execPath, ...vitest, `--testTimeout=${TEST_LIMIT_MS}`, ...files],
    { ...process.env, NO_COLOR: '1', MPDL_TEST_SEED: `${seed}`, MPDL_TEST_RUNS: `${runs}` },
  )
  const { code, stdout, stderr } = await ended
  const took = formatDuration(performance.now() - startedMs)
  say(`${name}, seed ${seed}: ${code === 0 ? 'nothing found' : 'a test failed'} in ${took}`)
  if (code === 0) return true
  process.stdout.write(stdout + stderr)
  const failed = /FAIL\s+(test\/\S+)/.exec(stderr)?.[1]
  const where = failed === undefined ? '' : ` --only ${failed}`
  say(`to repeat it: npm run fuzz -- --seed ${seed} --runs ${runs}${where}`)
  return false
}

async function main(): Promise<number> {
  const { isHelp, minutes, only, runs, seed } = parseOptions()
  if (isHelp) {
    process.stdout.write(HELP)
    return 0
  }
  const files = globSync('test/**/*.test.ts')
    .filter((file) => file.includes(only) && readFileSync(file, 'utf8').includes("fixtures/property.ts'"))
    .sort()
  if (files.length === 0) throw new UsageError(`--only ${only}: no test of properties has it in its path`)
  if (seed !== undefined) return (await round('one round', files, seed, runs)) ? 0 : 1
  const endMs = performance.now() + minutes * 60_000
  for (let n = 1; performance.now() < endMs; n++) {
    if (!(await round(`round ${n}`, files, randomInt(1, SEEDS), runs))) return 1
  }
  return 0
}

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`fuzz: ${error.message}\n`)
  process.exitCode = EXIT_USAGE
}
