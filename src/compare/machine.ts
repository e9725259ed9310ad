// What was measured on, for whoever reads the figures elsewhere. Knows nothing of what was measured.

import { availableParallelism, cpus, release, type as systemType, totalmem } from 'node:os'
import type { Machine } from './result.ts'

export function machineHere(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memory_bytes: totalmem(),
    system: `${systemType()} ${release()}`,
    node: process.version,
  }
}
