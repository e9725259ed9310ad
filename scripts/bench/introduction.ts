// Decides what a reader must know before believing a figure: when, where, with what, how. Knows nothing of the figures.

import { formatBytes } from '../../src/core/units.ts'
import { MIN_ROUNDS } from './ratio.ts'
import type { BenchResult } from './result.ts'
import type { Section } from './table.ts'

/** Of the processors, before anything was begun. */
const BUSY_SHARE = 0.25

export function introduction(result: BenchResult): Section {
  const { machine, load_average, left_out, versions } = result
  const isBusy = load_average.before > machine.cores * BUSY_SHARE
  return {
    title: 'mpdl beside what one would use instead',
    text: [
      whereAndWhen(result),
      `${Object.entries(versions)
        .map((each) => each.join(' '))
        .join(', ')}.`,
      how(result),
    ],
    notes: [
      ...(isBusy ? ['The machine was busy with something else: believe the ratios less.'] : []),
      ...left_out.map((sentence) => `Left out: ${sentence}.`),
    ],
  }
}

function whereAndWhen({ started_at, machine, load_average: { before, after } }: BenchResult): string {
  const { cpu, cores, memory_bytes, system, node } = machine
  return [
    `${started_at.slice(0, 16).replace('T', ' ')} UTC.`,
    `${cpu}, ${cores} cores, ${formatBytes(memory_bytes)}, ${system}, Node ${node}.`,
    `Load average ${before.toFixed(2)} before and ${after.toFixed(2)} afterwards.`,
  ].join(' ')
}

function how({ rounds, scale }: BenchResult): string {
  const sizes = scale === 1 ? '' : `, sizes times ${scale}`
  return [
    'Server and tools on one machine, over loopback.',
    `Medians (lowest–highest) of ${rounds} interleaved rounds after a warm-up${sizes};`,
    'every byte compared after each run.',
    'Memory: proportional set size of the whole process tree at its peak, in rounds of its own.',
    'Each ratio is to the peer that is best in that column;',
    `less than 20 % is a tie, and under ${MIN_ROUNDS} rounds there is none.`,
    'On a disk mpdl and aria2c make each file durable (fsync); curl and wget do not.',
  ].join(' ')
}
