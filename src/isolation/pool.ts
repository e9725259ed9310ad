// A few processes that many attempts share: decides who gets which place, and when a process takes no more. What is
// suspected of ending others gets a process of its own.

import { availableParallelism } from 'node:os'
import type { Isolation } from './isolation.ts'
import { PoolChild, type PoolChildOptions } from './pool-child.ts'
import type { ProcessIsolationOptions } from './process.ts'
import { processIsolation } from './process.ts'
import { settlesWithin } from './settles-within.ts'

export interface PoolIsolationOptions extends ProcessIsolationOptions, PoolChildOptions {
  /** At once. */
  readonly jobs: number
  /** A child that has nothing to do any more gets this long to leave. */
  readonly graceMs: number
}

/** After SIGKILL; one in uninterruptible sleep is not waited for. */
const REAP_MS = 5000

export function poolIsolation(options: PoolIsolationOptions): Isolation {
  // One a core. For 2,000 files of 16 KiB, 16 at once, on 2 cores: one child 0.73 s and 0.79 s of CPU, two 0.55 and 0.81,
  // four 0.71 and 1.05, because each boots and warms up for itself. Large files at once are brought no faster by four.
  const maxChildren = Math.min(options.jobs, availableParallelism())
  const places = Math.ceil(options.jobs / maxChildren)
  const children = new Set<PoolChild>()
  const alone = processIsolation(options)
  // Node's permission model takes a star for any text, and so for directories beside this one too.
  const isConfinable = !options.isStrict || !options.dir.includes('*')

  function startOne(): PoolChild {
    const child = new PoolChild(options)
    children.add(child)
    child.ended.then(() => children.delete(child))
    return child
  }

  /** The least loaded of those that take orders; another is started when all are full, as long as there may be more. */
  function childWithRoom(): PoolChild {
    const open = [...children].filter((child) => child.takesOrders)
    const [first, ...others] = open
    if (first === undefined) return startOne()
    const least = others.reduce((a, b) => (b.load < a.load ? b : a), first)
    return least.load < places || open.length >= maxChildren ? least : startOne()
  }

  return {
    name: 'pool',
    canKill: true,
    start: (order, on) => (order.isAlone || !isConfinable ? alone.start(order, on) : childWithRoom().start(order, on)),
    async close() {
      for (const child of children) child.dismiss()
      const joined = Promise.all([alone.close(), ...[...children].map((child) => child.ended)])
      if (await settlesWithin(joined, options.graceMs)) return
      for (const child of children) child.kill()
      await settlesWithin(joined, REAP_MS)
    },
  }
}
