// What may be typed after `npm run bench --`, and what it comes to. Knows nothing of measuring.

import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { TOOLS } from './tools.ts'
import { type Place, WORKLOADS } from './workloads.ts'

export interface Options {
  /** Names of workloads. */
  readonly only: readonly string[]
  /** Names of tools; none: all. */
  readonly tools: readonly string[]
  readonly rounds: number
  readonly memoryRounds: number
  readonly scale: number
  readonly places: readonly Place[]
  readonly outDir: string
  readonly scratchDir: string
  readonly checks: boolean
  readonly savesBaseline: boolean
}

export class UsageError extends Error {}

const LONG_LIST = 'million'
const GROWTH = 'scale'
const NAMES = [...WORKLOADS.map(({ name }) => name), LONG_LIST, GROWTH]
const QUICK_SCALE = 1 / 16
const QUICK_ROUNDS = 3
const ROUNDS = 5
/** As few as may be compared at all. */
const MEMORY_ROUNDS = 3

export const wantsLongList = ({ only }: Options) => only.includes(LONG_LIST)
export const wantsGrowth = ({ only }: Options) => only.includes(GROWTH)

export const HELP = `Usage: npm run bench -- [options]

Measures mpdl, in each of its modes, beside the downloaders that are installed here: wall time, processor time and
memory of the whole process tree, with every byte compared afterwards. Its own nginx serves on loopback. Tools take
turns, round after round; every tool gets the same number of connections. What counts are the ratios: the times are
this machine's.

Which:
  --only NAME        only this workload; repeatable
  --tool NAME        only this tool; repeatable
  --on PLACE         only with outputs on tmpfs, or only on disk

How much:
  --rounds N         timed rounds (default: ${ROUNDS}); under 3 no ratio is shown
  --scale F          sizes and counts times F; 1/8 and 0.125 are the same (default: 1)
  --quick            under three minutes: --scale 1/16 --rounds ${QUICK_ROUNDS} --on tmpfs, memory once, without scale

Where:
  --out DIR          for bench.json, bench.md and bench.html (default: bench-out)
  --scratch DIR      for what is served and for outputs on disk; emptied afterwards (default: the temporary one)

To guard what was reached:
  --save-baseline    write the ratios to scripts/bench/baseline.json
  --check            compare the ratios with those; exit 1 when one is worse by more than 25 %

Workloads:
${WORKLOADS.map(({ name, about }) => `  ${name.padEnd(19)}${about}`).join('\n')}
  ${LONG_LIST.padEnd(19)}a list of 1,000,000 lines, up to the first request
  ${GROWTH.padEnd(19)}cost per file for lists of 1 to 100,000, and for 1 to 64 connections; memory of a list

Tools: ${TOOLS.map(({ name }) => name).join(', ')}

Examples:
  npm run bench -- --quick
  npm run bench -- --only small --tool mpdl-pool --tool aria2c
  npm run bench -- --quick --check

A machine that does something else measures that as well: look at the spread (lowest to highest) beside each median.
Exit codes: 0 measured · 1 mpdl brought wrong files, or --check found it slower · 64 usage · 73 no room · 78 no nginx
`

/** Undefined: help was asked for. Throws a UsageError. Relative paths mean where the user typed them. */
export function parseOptions(args: readonly string[], cwd: string, defaults: { out: string; scratch: string }) {
  const values = parseValues(args)
  if (values.help === true) return undefined
  const isQuick = values.quick === true
  const usual = isQuick ? NAMES.filter((name) => name !== GROWTH) : NAMES
  const rounds = values.rounds === undefined ? (isQuick ? QUICK_ROUNDS : ROUNDS) : parseRounds(values.rounds)
  const options: Options = {
    only: oneOf(NAMES, values.only, '--only') ?? usual,
    tools:
      oneOf(
        TOOLS.map(({ name }) => name),
        values.tool,
        '--tool',
      ) ?? [],
    rounds,
    memoryRounds: isQuick ? 1 : Math.min(rounds, MEMORY_ROUNDS),
    scale: values.scale === undefined ? (isQuick ? QUICK_SCALE : 1) : parseScale(values.scale),
    places:
      (oneOf(['tmpfs', 'disk'], values.on, '--on') as Place[] | undefined) ?? (isQuick ? ['tmpfs'] : ['tmpfs', 'disk']),
    outDir: values.out === undefined ? defaults.out : resolve(cwd, values.out),
    scratchDir: values.scratch === undefined ? defaults.scratch : resolve(cwd, values.scratch),
    checks: values.check === true,
    savesBaseline: values['save-baseline'] === true,
  }
  return options
}

function parseValues(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        help: { type: 'boolean', short: 'h' },
        only: { type: 'string', multiple: true },
        tool: { type: 'string', multiple: true },
        on: { type: 'string', multiple: true },
        rounds: { type: 'string' },
        scale: { type: 'string' },
        quick: { type: 'boolean' },
        out: { type: 'string' },
        scratch: { type: 'string' },
        check: { type: 'boolean' },
        'save-baseline': { type: 'boolean' },
      },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function oneOf(names: readonly string[], given: readonly string[] | undefined, option: string): string[] | undefined {
  const wanted = given?.flatMap((value) => value.split(','))
  const unknown = wanted?.find((name) => !names.includes(name))
  if (unknown !== undefined) throw new UsageError(`${option} ${unknown}: there are ${names.join(', ')}`)
  return wanted
}

function parseRounds(text: string): number {
  if (!/^[1-9]\d{0,2}$/.test(text)) throw new UsageError(`--rounds ${text}: a whole number from 1 to 999`)
  return Number(text)
}

function parseScale(text: string): number {
  const [, above = '', below = '1'] = /^(\d*\.?\d+)(?:\/(\d+))?$/.exec(text) ?? []
  const scale = Number(above) / Number(below)
  if (above === '' || !(scale > 0) || scale > 10) throw new UsageError(`--scale ${text}: like 0.1 or 1/8, at most 10`)
  return scale
}
