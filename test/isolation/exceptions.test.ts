// Proves what is lost with a download that goes wrong, for every fault under every isolation, by the declared exceptions
// and no others. Each pair is tried in a program of its own, which is judged from outside.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { FAULTS, type Fault, isFault } from '../../src/core/fault.ts'
import { ISOLATIONS, type IsolationName } from '../../src/core/isolation-name.ts'
import { EXCEPTIONS, exceptionFor, type Loss } from '../../src/isolation/exceptions.ts'
import { type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram } from '../fixtures/servers.ts'
import { scratchDir } from './played-attempt.ts'
import type { Aftermath } from './subject.ts'

/** Without a sign of life for so long, a program that gave one will give none. */
const SILENCE_MS = 5000
/** Few descriptors are used up soon, and a small heap too. */
const LIMITS = ['--nofile=300', '--core=0']
const HEAP = '--max-old-space-size=192'

// Each is busy with more than one process.
vi.setConfig({ maxConcurrency: 3 })

let servers: readonly FaultServer[]
const scratch = scratchDir()
beforeAll(async () => {
  servers = await Promise.all([startFaultServer(), startFaultServer(), startFaultServer()])
})
afterAll(async () => {
  for (const server of servers) await server.stop()
  scratch.remove()
})

const faults = Object.keys(FAULTS).filter(isFault)
const pairs = ISOLATIONS.flatMap((mode) => faults.map((fault) => ({ mode, fault })))
const triable = pairs.filter(({ mode, fault }) => exceptionFor(mode, fault)?.isUntried !== true)

describe.skipIf(findProgram('prlimit') === undefined)('with a download that goes wrong', () => {
  test.concurrent.each(triable)('under $mode by $fault is lost what is declared', async ({ mode, fault }) => {
    const declared = exceptionFor(mode, fault)?.loss ?? 'itself'
    // Who asks for the next descriptor is chance, inside mpdl itself.
    const isChance = mode === 'inline' && fault === 'descriptors'
    expect(isChance ? ['its fellows', declared] : [declared]).toContain(await lossIn(mode, fault))
  })
})

test('every pair has one exception at most', () => {
  const counts = pairs.map(
    ({ mode, fault }) => EXCEPTIONS.filter((each) => each.mode === mode && each.faults.includes(fault)).length,
  )
  expect(Math.max(...counts)).toBe(1)
  expect(EXCEPTIONS.filter(({ mode }) => mode === 'process')).toEqual([])
})

async function lossIn(mode: IsolationName, fault: Fault): Promise<Loss | 'itself'> {
  const answer = await answerOf(mode, fault)
  if (answer === '') return 'the run'
  const { isEnded, before, during, after }: Aftermath = JSON.parse(answer)
  if (!after) return 'the run'
  if (!isEnded) return 'its slot'
  return before && during ? 'itself' : 'its fellows'
}

/** What the subject says in the end; nothing when it never does. */
async function answerOf(mode: IsolationName, fault: Fault): Promise<string> {
  // A name, so that it must be looked up.
  const urls = servers.map((server) => server.url('/ok?size=1000').replace('127.0.0.1', 'localhost'))
  const program = join(import.meta.dirname, 'subject.ts')
  const subject = [process.execPath, HEAP, program, mode, fault, scratch.dir, ...urls]
  const child = spawn('prlimit', [...LIMITS, ...subject], { stdio: ['ignore', 'pipe', 'ignore'] })
  let silence: NodeJS.Timeout | undefined
  let said = ''
  child.stdout.on('data', (text: Buffer) => {
    clearTimeout(silence)
    silence = setTimeout(() => child.kill('SIGKILL'), SILENCE_MS)
    said += text
  })
  await once(child, 'close')
  clearTimeout(silence)
  return said.trim()
}
