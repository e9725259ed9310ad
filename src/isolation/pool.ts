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
 * 16 KiB, 16 at once, 0.75 and 0.80 s (0.95 and 1.14 s of CPU); five files 143 and 150 ms; one file by 32 slow
 * connections 1.33 and 1.36 s. Nobody but the supervisor is in a hurry, except where bytes come as fast as one core
 * takes them: 16 files of 64 MiB, 4 at once, 0.79 and 0.72 s.
 */
const PLACES = 32
/** After SIGKILL; one in uninterruptible sleep is not waited for. */
const REAP_MS = 5000

export function poolIsolation(options: PoolIsolationOptions): Isolation {
  const maxChildren = Math.min(options.jobs, availableParallelism())
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

  /** The least loaded of those that take orders; another where all have enough to do, as long as there may be more. */
  function childWithRoom(): PoolChild {
    const open = [...children].filter((child) => child.takesOrders)
    const [first, ...others] = open
    if (first === undefined) return startOne()
    const least = others.reduce((a, b) => (b.load < a.load ? b : a), first)
    const haveEnough = open.every((child) => child.load >= PLACES || (child.load > 0 && child.isSaturated))
    return !haveEnough || open.length >= maxChildren ? least : startOne()
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
