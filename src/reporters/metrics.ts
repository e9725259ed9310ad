// Decides what a run looks like to Prometheus: its text format, as node_exporter's textfile collector reads it. Knows
// nothing of files.

import { OUTCOMES } from '../core/event.ts'
import type { Report } from '../core/report.ts'
import { elapsedMs } from '../core/report.ts'

export interface MetricsOptions {
  readonly report: Report
  readonly exitCode: number
  /** When a run of this list was last good, this one included; null where none is known. */
  readonly lastGoodMs: number | null
}

type Sample = readonly [value: number, labels?: Readonly<Record<string, string>>]

/**
 * Gauges about the last run, all with the labels `list` and `dir`: node_exporter reads the files of all lists as one
 * and wants none of their samples twice. For the same reason a help text is the same whatever the run.
 */
export function metricsText({ report, exitCode, lastGoodMs }: MetricsOptions): string {
  const { run, totals } = report
  if (run === null) throw new Error('metrics of a run that never began')
  const family = (name: string, help: string, samples: readonly Sample[]) => {
    const lines = samples.map(([value, labels]) => {
      const all = { list: run.list.path ?? run.list.name, dir: run.dir, ...labels }
      const text = Object.entries(all).map(([label, of]) => `${label}="${escaped(of)}"`)
      return `mpdl_${name}{${text.join(',')}} ${value}\n`
    })
    return `# HELP mpdl_${name} ${help}\n# TYPE mpdl_${name} gauge\n${lines.join('')}`
  }
  const seconds = (ms: number): readonly Sample[] => [[ms / 1000]]
  return [
    family('last_run_success', '1 if the last run of the list was good, else 0.', [[exitCode === 0 ? 1 : 0]]),
    family('last_run_exit_code', 'Exit code of the last run, as in its report.', [[exitCode]]),
    family('last_run_start_timestamp_seconds', 'When the last run began.', seconds(run.started)),
    family('last_run_end_timestamp_seconds', 'When the last run ended.', seconds(report.endedAt ?? report.lastAt)),
    family('last_run_duration_seconds', 'How long the last run took.', seconds(elapsedMs(report))),
    family(
      'last_run_jobs',
      'Jobs of the last run by what became of them.',
      OUTCOMES.map((outcome) => [totals[outcome], { outcome }]),
    ),
    family('last_run_received_bytes', 'Body bytes that the last run moved, of use or not.', [[report.movedBytes]]),
    family('last_run_attempts', 'Attempts of the last run.', [[report.attempts.started]]),
    family('last_run_retries', 'Further attempts that the last run planned after failed ones.', [[report.retries]]),
    // An alert on its age must see a list that was never good.
    family(
      'last_success_timestamp_seconds',
      'When a run of the list was last good, 0 if none is known.',
      seconds(lastGoodMs ?? 0),
    ),
    family('build_info', 'The mpdl and the Node that made the last run.', [
      [1, { version: run.version, node: run.node }],
    ]),
  ].join('')
}

/** Whatever a path holds stays one label on one line. */
function escaped(label: string): string {
  return label.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`))
}
