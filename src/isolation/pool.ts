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

/**
 * Conversations of one child, before another is worth its start. On 2 cores, by one child and by two: 2,000 files of
 * 16 KiB, 16 at once, 0.95 and 1.04 s (1.22 and 1.40 s of CPU); 16 of 64 MiB, 4 at once, 0.65 and 0.68 s; one file by
 * 32 slow connections 1.33 and 1.36 s. Nobody but the supervisor is in a hurry.
 */
const PLACES = 32
/** After SIGKILL; one in uninterruptible sleep is not waited for. */
const REAP_MS = 5000

export function poolIsolation(options: PoolIsolationOptions): Isolation {
  const maxChildren = Math.min(Math.ceil(options.jobs / PLACES), availableParallelism())
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
