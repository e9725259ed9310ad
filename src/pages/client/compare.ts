// Puts a comparison on its page: which part goes where, and which parts there are. Each part is drawn in a file of its
// own.

import type { Comparison, Demonstrations } from '../../compare/result.ts'
import { printable } from '../../core/printable.ts'
import { formatDuration } from '../../core/units.ts'
import { counted } from '../../reporters/summary.ts'
import { connectionTable, segmentMaps } from './connections.ts'
import { costCharts, costTable, honestLists } from './costs.ts'
import { byId, dataOf, el, facts, wide } from './dom.ts'
import { bytes, milliseconds, moment, plain } from './format.ts'
import { killLines, matrix } from './matrix.ts'
import { modeLanes } from './mode-lanes.ts'

const comparison = dataOf<Comparison>()

function show(section: string, isThere: boolean): void {
  byId(section).hidden = !isThere
}

const { list, machine, costs, faults, demonstrations, not_solved: notSolved } = comparison
const latency = list.latency_ms === null ? '' : `, ${list.latency_ms} ms away`
byId('kicker').append(
  printable(`mpdl compare: ${counted(list.jobs, 'file')}, ${bytes(list.bytes)}, from ${list.name}${latency}`),
)
// Of a long sentence the first clause is the headline; the others follow it in a smaller size.
const [clause = '', ...clauses] = comparison.sentence.split(/(?<=;) /)
byId('sentence').replaceChildren(
  printable(clause),
  ...(clauses.length === 0 ? [] : [' ', el('small', {}, clauses.join(' '))]),
)

if (faults !== null) {
  byId('matrix').append(matrix({ faults, costs }))
  byId('kills').append(...killLines(faults))
}
show('faults', faults !== null)

if (costs.length > 0) {
  byId('cost-charts').append(...costCharts(costs))
  byId('cost-table').append(wide('Costs as numbers', costTable(costs, comparison.repeat)))
  byId('honest').append(...honestLists(costs, faults))
}
show('costs', costs.length > 0)

const hasLanes = costs.some(({ lanes }) => lanes.length > 0)
if (hasLanes) byId('lanes').append(modeLanes(costs))
show('timelines', hasLanes)

if (demonstrations !== null) demonstrate(demonstrations)
show('connections', demonstrations !== null)
show('more', demonstrations !== null)

byId('not-solved').append(...notSolved.map((text) => el('li', {}, text)))
show('unsolved', notSolved.length > 0)

byId('machine').append(
  ...facts([
    ['Machine', `${machine.cpu}, ${counted(machine.cores, 'core')}, ${bytes(machine.memory_bytes)}`],
    ['System', machine.system],
    ['Versions', `mpdl ${comparison.version}, Node ${machine.node}`],
    ['Command', comparison.argv.join(' ')],
    ['At once', counted(comparison.jobs, 'download')],
    [
      'Repeated',
      comparison.repeat === 0
        ? 'not: costs were not measured'
        : `${counted(comparison.repeat, 'time')}, the modes taking turns, after a warm-up`,
    ],
    ['When', `${moment(comparison.started)}, for ${formatDuration(comparison.ended - comparison.started)}`],
  ]),
)

function demonstrate({ cpu_bound, killed_lock_holder, connections }: Demonstrations): void {
  byId('connection-table').append(wide('Times by connections', connectionTable(connections)))
  byId('refetched').append(
    `The run is killed in the middle and begun again: ${bytes(connections.refetched_bytes)} came twice. Filled is there, hatched is missing.`,
  )
  byId('maps').append(segmentMaps(connections.maps))
  byId('cpu').append(
    wide(
      'Busy cores',
      el(
        'table',
        { class: 'figures' },
        el('caption', {}, `Of ${counted(machine.cores, 'core')}`),
        el(
          'thead',
          {},
          el(
            'tr',
            {},
            ...['Mode', 'Busy cores', 'Wall', 'CPU'].map((head, i) =>
              el('th', { scope: 'col', class: i > 0 ? 'number' : null }, head),
            ),
          ),
        ),
        el(
          'tbody',
          {},
          ...cpu_bound.map(({ mode, busy_cores, wall_ms, cpu_ms }) =>
            el(
              'tr',
              {},
              el('th', { scope: 'row' }, mode),
              ...[plain(busy_cores), milliseconds(wall_ms), milliseconds(cpu_ms)].map((text) =>
                el('td', { class: 'number' }, text),
              ),
            ),
          ),
        ),
      ),
    ),
  )
  byId('lock').append(
    ...killed_lock_holder.map(({ mode, is_still_locked, text }) =>
      el('li', {}, el('b', {}, `${mode}: ${is_still_locked ? '✗ stays locked' : '✓ free again'}`), text),
    ),
  )
}
