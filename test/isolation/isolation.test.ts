// Runs the same cases against every isolation.
import { describe } from 'vitest'
import { ISOLATIONS } from '../../src/core/isolation-name.ts'
import { isolationCases } from './isolation.cases.ts'

describe.each(ISOLATIONS)('%s', (name) => isolationCases(name))
