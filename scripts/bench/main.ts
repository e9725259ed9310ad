// `npm run bench`: what is typed, where results go, and how it leaves. Knows nothing of measuring.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Baseline, compareWith, updated } from './baseline.ts'
import { bench, CannotMeasure } from './bench.ts'
import { htmlOf } from './html.ts'
import { markdownOf } from './markdown.ts'
import { HELP, type Options, parseOptions, UsageError } from './options.ts'
import type { BenchResult } from './result.ts'
import { sectionsOf } from './sections.ts'

const root = join(import.meta.dirname, '..', '..')
const BASELINE = join(import.meta.dirname, 'baseline.json')
const EXIT_USAGE = 64
const EXIT_CANNOT = 70
const EXIT_BY_SIGNAL = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129, SIGPIPE: 141 } as const

class Interrupted extends Error {
  readonly exitCode: number
  constructor(signal: keyof typeof EXIT_BY_SIGNAL) {
    super(`ended by ${signal}: nothing was written`)
    this.exitCode = EXIT_BY_SIGNAL[signal]
  }
}

const say = (text: string) => process.stderr.write(`bench: ${text}\n`)

async function main(): Promise<number> {
  const cwd = process.env.INIT_CWD ?? process.cwd()
  const options = parseOptions(process.argv.slice(2), cwd, { out: join(root, 'bench-out'), scratch: tmpdir() })
  if (options === undefined) {
    process.stdout.write(HELP)
    return 0
  }
  if (options.checks) requireBaseline(options)
  const abort = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => abort.abort(new Interrupted(signal)))
  }
  // Nobody listens any more. Node ignores the signal, and would fall over the error.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', () => abort.abort(new Interrupted('SIGPIPE')))
  }
  const programs = { node: process.execPath, mpdl: join(root, 'dist', 'main.js') }
  const result = await bench(options, programs, { signal: abort.signal, say })
  write(result, options)
  const isWrong = result.workloads.some(({ tools }) =>
    tools.some(({ kind, wrong }) => kind === 'mpdl' && wrong.length > 0),
  )
  if (isWrong) say('mpdl did not bring what it was to bring: see the report')
  const isSlower = options.checks && !check(result)
  return isWrong || isSlower ? 1 : 0
}

function write(result: BenchResult, { outDir, savesBaseline }: Options): void {
  const sections = sectionsOf(result)
  const markdown = markdownOf(sections)
  mkdirSync(outDir, { recursive: true })
  writeFileSync(join(outDir, 'bench.json'), `${JSON.stringify(result, null, 1)}\n`)
  writeFileSync(join(outDir, 'bench.md'), markdown)
  writeFileSync(join(outDir, 'bench.html'), htmlOf(sections))
  process.stdout.write(markdown)
  say(`written: bench.json, bench.md and bench.html in ${outDir}`)
  if (savesBaseline) {
    writeFileSync(BASELINE, `${JSON.stringify(updated(readBaseline(), result), null, 2)}\n`)
    say('the ratios are the new baseline')
  }
}

/** Before anything is measured for it in vain. */
function requireBaseline({ scale }: { readonly scale: number }): Baseline {
  const baseline = readBaseline()
  if (baseline === undefined) throw new UsageError('--check: there is no baseline yet; --save-baseline writes it')
  if (baseline.scale !== scale) {
    throw new UsageError(`--check: the baseline was measured with --scale ${baseline.scale}, not ${scale}`)
  }
  return baseline
}

function readBaseline(): Baseline | undefined {
  return existsSync(BASELINE) ? JSON.parse(readFileSync(BASELINE, 'utf8')) : undefined
}

/** Whether nothing is worse. */
function check(result: BenchResult): boolean {
  const baseline = requireBaseline(result)
  const { worse, missing, compared } = compareWith(baseline, result)
  for (const sentence of worse) say(`worse: ${sentence}`)
  if (missing.length > 0) say(`could not be compared: ${missing.join(', ')}`)
  say(`${compared} ratios compared with ${baseline.date}: ${worse.length} worse by more than 25 %`)
  if (compared === 0) throw new UsageError('--check: nothing in common with the baseline')
  return worse.length === 0
}

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof Error)) throw error
  say(error.message)
  if (error instanceof UsageError) process.exitCode = EXIT_USAGE
  else if (error instanceof CannotMeasure || error instanceof Interrupted) process.exitCode = error.exitCode
  else {
    process.stderr.write(`${error.stack}\n`)
    process.exitCode = EXIT_CANNOT
  }
}
// Keep-alive connections to the doorbell and the like are nobody's any more.
process.exit()
