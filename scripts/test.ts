// Decides how the tests are run and counted. Knows nothing of what they test.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

type Counts = { readonly passed: number; readonly failed: number; readonly skipped: number }

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

function run(args: readonly string[]): boolean {
  return spawnSync(process.execPath, [...args], { cwd: root, stdio: 'inherit' }).status === 0
}

/** Counts assertions from vitest's JSON report; a file that could not even be loaded is one failure. */
function count(report: string): Counts {
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as {
    testResults: readonly { status: string; assertionResults: readonly { status: string }[] }[]
  }
  const statuses = testResults.flatMap(({ status, assertionResults }) => {
    const each = assertionResults.map((assertion) => assertion.status)
    return status === 'failed' && !each.includes('failed') ? [...each, 'failed'] : each
  })
  const passed = statuses.filter((status) => status === 'passed').length
  const failed = statuses.filter((status) => status === 'failed').length
  return { passed, failed, skipped: statuses.length - passed - failed }
}

const args = process.argv.slice(2)
const scratch = mkdtempSync(join(tmpdir(), 'mpdl-test-'))
const report = join(scratch, 'report.json')

// On a developer's machine `npm run check` is a command of its own; CI has to see both.
const checked = process.env.CI === 'true' ? run(['scripts/check.ts']) : true
const tested = run([
  'node_modules/vitest/vitest.mjs',
  'run',
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${report}`,
  // Part of the tests cannot cover all of the core.
  ...(args.length === 0 ? ['--coverage'] : args),
])

let counts: Counts = { passed: 0, failed: 0, skipped: 0 }
try {
  counts = count(report)
} catch (error) {
  console.error(`no test report: ${error instanceof Error ? error.message : error}`)
}
rmSync(scratch, { recursive: true, force: true })

// Missing coverage, a leaked handle or a failed check fail no single test, and must not read as success.
const untested = !tested && counts.failed === 0 ? 1 : 0
const failed = counts.failed + untested + (checked ? 0 : 1)
process.exitCode = failed === 0 ? 0 : 1
console.log(`${counts.passed} passed, ${failed} failed, ${counts.skipped} skipped`)
