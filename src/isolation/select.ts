// Decides which isolation a name stands for. Knows nothing of what they do.

import type { IsolationName } from '../core/isolation-name.ts'
import { type InlineIsolationOptions, inlineIsolation } from './inline.ts'
import type { Isolation } from './isolation.ts'
import { type PoolIsolationOptions, poolIsolation } from './pool.ts'
import { processIsolation } from './process.ts'
import { type ThreadIsolationOptions, threadIsolation } from './thread.ts'

/** What any of them needs: which one it will be is often known later. */
export type IsolationOptions = PoolIsolationOptions & ThreadIsolationOptions & InlineIsolationOptions

export function isolationFor(name: IsolationName, options: IsolationOptions): Isolation {
  switch (name) {
    case 'process':
      return processIsolation(options)
    case 'pool':
      return poolIsolation(options)
    case 'thread':
      return threadIsolation(options)
    case 'inline':
      return inlineIsolation(options)
  }
}
