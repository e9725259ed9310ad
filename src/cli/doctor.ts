// mpdl doctor: what this machine offers, each line proven by trying it, not by looking it up; and which options hold
// for a run.

import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { execa } from 'execa'
import type { End } from '../core/attempt.ts'
import { ISOLATIONS, type IsolationName, MOST_JOBS_BY_PROCESS } from '../core/isolation-name.ts'
import { EXCEPTIONS } from '../isolation/exceptions.ts'
import type { Hardening } from '../isolation/hardening.ts'
import { childCommand, childEnvironment, detectHardening } from '../isolation/hardening.ts'
import { stateDir } from '../places.ts'
import type { ChildMessage } from '../protocol/message.ts'
import { wrapWords } from '../reporters/summary.ts'
import { bundle } from '../session.ts'
import { lookAt } from '../supervisor/liveness.ts'
import { lockDescriptor } from '../supervisor/lock.ts'
import { openStateDb } from '../supervisor/state-db.ts'
import { VERSION } from '../version.ts'
import { checkConfiguration } from './check-configuration.ts'
import type { Texts } from './effective.ts'

export interface Finding {
  readonly name: string
  readonly isGood: boolean
  readonly text: string
}

const COLUMNS = 78
const ISOLATION_WIDTH = Math.max(...ISOLATIONS.map(({ length }) => length))

/** Security releases of October 2026: below these a known hole is open. */
const SECURE_NODE: Readonly<Record<number, readonly [number, number]>> = { 22: [23, 4], 24: [22, 1], 26: [12, 1] }

/**
 * Prints the findings, then the options as they hold for this list with this command line; 1 when something that mpdl
 * relies on is missing or wrong. `typed`: the texts of the command line.
 */
export async function doctor(list: string | undefined, command: Command, typed: Texts): Promise<number> {
  const hardening = detectHardening()
  const scratch = mkdtempSync(join(tmpdir(), 'mpdl-doctor-'))
  const findings: Finding[] = []
  try {
    findings.push(checkNode())
    findings.push(...(await probeSandbox(hardening, scratch)))
    findings.push(await checkDeathWithParent(hardening))
    findings.push(await checkCore(hardening))
    findings.push(await checkLock(hardening, scratch))
    findings.push(checkState(), checkProc())
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
  const { problems, lines } = await checkConfiguration(list, command, typed)
  if (problems.length === 0) findings.push({ name: 'configuration', isGood: true, text: 'understood' })
  findings.push(...problems.map((text) => ({ name: 'configuration', isGood: false, text })))
  const width = Math.max(...findings.map(({ name }) => name.length))
  const output = [
    `mpdl ${VERSION}, Node ${process.versions.node} (${process.execPath})`,
    ...findings.flatMap((finding) => findingLines(finding, width)),
    `state ${stateDir()}`,
    ...isolationLines(),
    ...lines,
  ]
  process.stdout.write(`${output.join('\n')}\n`)
  return findings.every(({ isGood }) => isGood) ? 0 : 1
}

/** What each way to keep downloads apart does not hold back, beside a process for each. */
function isolationLines(): string[] {
  const about = (mode: IsolationName) => EXCEPTIONS.filter((exception) => exception.mode === mode)
  const lines = ISOLATIONS.flatMap((mode) => {
    const entries = about(mode).map(
      ({ what, loss, why }) => `${what}${loss === undefined ? '' : ` costs ${loss}`}: ${why}`,
    )
    const texts = entries.length > 0 ? entries : ['a download that goes wrong costs itself, whatever it does']
    return texts.flatMap((text, n) => {
      const head = `  ${(n === 0 ? mode : '').padEnd(ISOLATION_WIDTH)}  `
      const [first = '', ...rest] = text.split(' ')
      return wrapWords([head + first, ...rest], COLUMNS, ' '.repeat(head.length))
    })
  })
  return [`isolation (--isolate; auto: process up to ${MOST_JOBS_BY_PROCESS} jobs, then pool)`, ...lines]
}

/** `width`: of the longest name; `badMark`: four letters in front of what is not good. */
export function findingLines({ name, isGood, text }: Finding, width: number, badMark = 'WEAK'): string[] {
  const head = `${isGood ? 'ok  ' : badMark} ${name.padEnd(width)}  `
  const [first = '', ...rest] = text.split(' ')
  return wrapWords([head + first, ...rest], COLUMNS, ' '.repeat(head.length))
}

function checkNode(): Finding {
  const [major = 0, minor = 0, patch = 0] = process.versions.node.split('.').map(Number)
  const [wantedMinor, wantedPatch] = SECURE_NODE[major] ?? [0, 0]
  const isGood = minor > wantedMinor || (minor === wantedMinor && patch >= wantedPatch)
  return {
    name: 'node',
    isGood,
    text: isGood
      ? process.version
      : `${process.version} misses security fixes; use ${major}.${wantedMinor}.${wantedPatch} or newer`,
  }
}

/** A child of the rehearsal bundle tries what no child may do, under the very flags of a real one. */
async function probeSandbox(hardening: Hardening, scratch: string): Promise<Finding[]> {
  if (!hardening.hasPermissionModel) {
    return [{ name: 'sandbox', isGood: false, text: 'this Node has no permission model; children may open any file' }]
  }
  const descriptor = openSync(join(scratch, 'own'), constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600)
  try {
    const said = await runProbe(hardening, descriptor)
    const results = new Map(said.split(' ').map((word) => word.split('=') as [string, string]))
    const denied = (what: string, sentence: string): Finding => {
      const result = results.get(what) ?? 'no answer'
      return {
        name: `sandbox: ${sentence}`,
        isGood: result === 'ERR_ACCESS_DENIED',
        text: result === 'ERR_ACCESS_DENIED' ? 'denied' : result,
      }
    }
    const own = results.get('own') ?? 'no answer'
    return [
      denied('read', 'read a file'),
      denied('write', 'write a file'),
      denied('spawn', 'start a program'),
      denied('thread', 'start a thread'),
      { name: 'sandbox: write its own file', isGood: own === 'allowed', text: own },
    ]
  } finally {
    closeSync(descriptor)
  }
}

async function runProbe(hardening: Hardening, descriptor: number): Promise<string> {
  const { processIsolation } = await import('../isolation/process.ts')
  const isolation = processIsolation({
    childScript: bundle('child.cjs'),
    faultsScript: bundle('child-faults.cjs'),
    hardening,
    isStrict: true,
    maxMemoryBytes: 256 * 2 ** 20,
  })
  let said = ''
  const end = await new Promise<End>((resolve) => {
    const lease = isolation.start(
      {
        task: { kind: 'hash', algorithms: [], sizeBytes: 0, beatMs: 1000 },
        file: { descriptor, path: '', access: 'write' },
        isAlone: true,
        fault: 'probe',
      },
      (event) => {
        if (event.kind === 'message') said = sayingOf(event.message) ?? said
        if (event.kind === 'end') resolve(event.end)
      },
    )
    setTimeout(() => lease.stop('SIGKILL'), 10_000).unref()
  })
  return said === '' ? `read=child_ended_with_${end.signal ?? end.exitCode ?? end.spawnError}` : said
}

function sayingOf(message: ChildMessage): string | undefined {
  return message.type === 'failed' && message.failure.kind === 'child-error' ? message.failure.detail : undefined
}

async function checkDeathWithParent(hardening: Hardening): Promise<Finding> {
  const name = 'children die with mpdl'
  if (hardening.setpriv === undefined) {
    return { name, isGood: false, text: 'no setpriv (util-linux): a busy or stopped child may outlive a killed mpdl' }
  }
  // A shell starts a sleeper the way mpdl starts children, says its pid and is killed.
  const shell = execa('/bin/sh', ['-c', `${hardening.setpriv} --pdeathsig KILL -- sleep 60 & echo $!; wait`], {
    reject: false,
    buffer: true,
    stderr: 'ignore',
  })
  const pid = await new Promise<number>((resolve) =>
    shell.stdout.once('data', (chunk: Buffer) => resolve(Number(String(chunk).trim()))),
  )
  const start = performance.now()
  while (lookAt(pid) === undefined && performance.now() - start < 1000) await pause(10)
  await pause(50)
  shell.kill('SIGKILL')
  await shell
  while (lookAt(pid) !== undefined && performance.now() - start < 3000) await pause(10)
  const isGood = lookAt(pid) === undefined
  if (!isGood) process.kill(pid, 'SIGKILL')
  return { name, isGood, text: isGood ? 'pdeathsig killed a sleeper' : 'pdeathsig has no effect here' }
}

async function checkCore(hardening: Hardening): Promise<Finding> {
  const { file, args } = childCommand('--version', [], hardening, { isStrict: false, heapBytes: 2 ** 27 })
  const { exitCode } = await execa(file, [...args], { reject: false, env: childEnvironment(), extendEnv: false })
  return {
    name: 'no core dumps',
    isGood: hardening.prlimit !== undefined && exitCode === 0,
    text:
      hardening.prlimit === undefined
        ? 'no prlimit (util-linux): a crashing child may write a large core file'
        : `prlimit and setpriv start Node (exit ${exitCode})`,
  }
}

async function checkLock(hardening: Hardening, scratch: string): Promise<Finding> {
  const path = join(scratch, 'lock')
  const first = openSync(path, 'w')
  const second = openSync(path, 'r')
  try {
    const results = [await lockDescriptor(first, hardening), await lockDescriptor(second, hardening)]
    const isGood = results.join() === 'locked,held-by-another'
    return {
      name: 'file locks',
      isGood,
      text: isGood
        ? 'a second holder is refused'
        : `flock (util-linux) is missing or has no effect: ${results.join(', ')}`,
    }
  } finally {
    closeSync(first)
    closeSync(second)
  }
}

function checkState(): Finding {
  let problem = ''
  const state = openStateDb(stateDir(), (sentence) => {
    problem = sentence
  })
  state.find('/')
  state.close()
  return { name: 'state', isGood: problem === '', text: problem === '' ? 'readable and writable' : problem }
}

function checkProc(): Finding {
  const isGood = lookAt(process.pid) !== undefined
  return {
    name: 'watch from outside',
    isGood,
    text: isGood
      ? '/proc tells state and memory'
      : 'no /proc: stopped children and memory outside the heap are not seen',
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
