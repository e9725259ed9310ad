// Sums up CPU profiles: which function has cost how much, by itself and with all that it called. Knows nothing of where
// they come from.

import type { Profiler } from 'node:inspector'

export interface Cost {
  /** `function  file:line`. */
  readonly name: string
  selfMs: number
  /** With what it called, counted once where it called itself. */
  totalMs: number
}

/** V8's names for time in which nothing ran. */
const IDLE = '(idle)'

/** Of all these profiles together, without idle time. */
export function costsOf(profiles: readonly Profiler.Profile[]): Cost[] {
  const costs = new Map<string, Cost>()
  for (const profile of profiles) addCosts(costs, profile)
  return [...costs.values()]
}

function addCosts(costs: Map<string, Cost>, { nodes, samples = [], timeDeltas = [] }: Profiler.Profile): void {
  const selfMs = new Map<number, number>()
  for (const [at, id] of samples.entries()) {
    // Each lasts until the next; nobody knows how long the last one did.
    selfMs.set(id, (selfMs.get(id) ?? 0) + (timeDeltas[at + 1] ?? 0) / 1000)
  }
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const visit = (node: Profiler.ProfileNode, callers: ReadonlySet<string>): number => {
    const name = nameOf(node.callFrame)
    const own = node.callFrame.functionName === IDLE ? 0 : (selfMs.get(node.id) ?? 0)
    const inside = new Set(callers).add(name)
    let totalMs = own
    for (const id of node.children ?? []) {
      const child = byId.get(id)
      if (child !== undefined) totalMs += visit(child, inside)
    }
    const cost = costs.get(name) ?? { name, selfMs: 0, totalMs: 0 }
    cost.selfMs += own
    if (!callers.has(name)) cost.totalMs += totalMs
    costs.set(name, cost)
    return totalMs
  }
  // The root, which is nobody's function, is the first.
  for (const id of nodes[0]?.children ?? []) {
    const node = byId.get(id)
    if (node !== undefined) visit(node, new Set())
  }
}

function nameOf({ functionName, url, lineNumber }: Profiler.ProfileNode['callFrame']): string {
  const file = url.startsWith('node:') ? url : url.slice(url.lastIndexOf('/') + 1)
  return `${functionName || '(anonymous)'}${file === '' ? '' : `  ${file}:${lineNumber + 1}`}`
}
