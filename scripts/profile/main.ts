// `npm run profile`: what is typed, and how it leaves. Knows nothing of how a profile is taken and of what it comes to.

import { mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { CannotMeasure } from '../bench/bench.ts'
import { parseOptions as parseBenchOptions, UsageError } from '../bench/options.ts'
import { shrink, WORKLOADS, type Workload } from '../bench/workloads.ts'
import { profileRun } from './profile-run.ts'
import { makeRecordingProgram } from './program.ts'
import { reportOn } from './report.ts'

const root = join(import.meta.dirname, '..', '..')
const MODES = ['process', 'pool', 'thread', 'inline']
const TOP = 20
const EXIT_USAGE = 64

const HELP = `Usage: npm run profile -- [options]

Runs mpdl once on a workload of the benchmark, with every process under V8's sampling profiler, and shows for the
supervisor and for its children where the time went. The first run, which fills caches, is not counted. The program is
a copy of the built one that records itself; the permission model, which forbids that, is off.

  --only NAME       the workload (default: small): ${WORKLOADS.map(({ name }) => name).join(', ')}
  --isolate HOW     ${MODES.join(', ')} (default: pool)
  --scale F         sizes and counts times F; 1/8 and 0.125 are the same (default: 1)
  --top N           functions in each table (default: ${TOP})
  --out DIR         for the profiles (default: bench-out/profile)

Exit codes: 0 profiled · 1 mpdl brought wrong files · 64 usage · 73 no room · 78 no nginx
`

interface Options {
  readonly workload: Workload
  readonly isolation: string
  readonly top: number
  readonly outDir: string
}

const say = (text: string) => process.stderr.write(`profile: ${text}\n`)

/** Undefined: help was asked for. */
function parseOptions(cwd: string): Options | undefined {
  const text = { type: 'string' } as const
  const help = { type: 'boolean', short: 'h' } as const
  const options = { help, only: text, isolate: text, scale: text, top: text, out: text } as const
  const { values } = usage(() => parseArgs({ options }))
  if (values.help === true) return undefined
  const { only = 'small', isolate = 'pool', scale = '1', top = `${TOP}`, out } = values
  const workload = WORKLOADS.find(({ name }) => name === only)
  if (workload === undefined) throw new UsageError(`--only ${only}: there are ${WORKLOADS.map((each) => each.name)}`)
  if (!MODES.includes(isolate)) throw new UsageError(`--isolate ${isolate}: there are ${MODES.join(', ')}`)
  if (!/^[1-9]\d{0,3}$/.test(top)) throw new UsageError(`--top ${top}: a whole number from 1 to 9999`)
  const shared = ['--scale', scale, ...(out === undefined ? [] : ['--out', out])]
  const parsed = parseBenchOptions(shared, cwd, { out: join(root, 'bench-out', 'profile'), scratch: tmpdir() })
  if (parsed === undefined) return undefined
  return { workload: shrink(workload, parsed.scale), isolation: isolate, top: Number(top), outDir: parsed.outDir }
}

function usage<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

async function main(): Promise<number> {
  const options = parseOptions(process.env.INIT_CWD ?? process.cwd())
  if (options === undefined) {
    process.stdout.write(HELP)
    return 0
  }
  const abort = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => abort.abort(new CannotMeasure(`ended by ${signal}`, 1)))
  }
  const { outDir } = options
  mkdirSync(outDir, { recursive: true })
  const mpdl = makeRecordingProgram(join(root, 'dist'), join(outDir, 'program', 'dist'), outDir)
  const wrong = await profileRun({ ...options, mpdl }, abort.signal, say)
  if (wrong !== undefined) throw new CannotMeasure(`mpdl did not bring what it was to bring: ${wrong}`, 1)
  process.stdout.write(reportOn(outDir, options.top))
  return 0
}

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof UsageError || error instanceof CannotMeasure)) throw error
  say(error.message)
  process.exitCode = error instanceof UsageError ? EXIT_USAGE : error.exitCode
}
