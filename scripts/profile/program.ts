// Makes a copy of the built program that records itself: every process, and every thread. The program itself has
// nothing of it. Knows nothing of profiles.

import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Recording, record } from './recorder.ts'

/** Bundles by the role of who runs them. `inline.cjs` is run by the supervisor. */
export const ROLES = [
  { role: 'supervisor', file: 'main.js', isDismissed: false },
  { role: 'process', file: 'child.cjs', isDismissed: true },
  { role: 'pool', file: 'pool.cjs', isDismissed: true },
  { role: 'thread', file: 'thread.cjs', isDismissed: false },
] as const

/** Four times what V8 does by itself: small workloads are over soon. */
const SAMPLING_US = 250

/** Returns where to start it. */
export function makeRecordingProgram(dist: string, copy: string, profileDir: string): string {
  cpSync(dist, copy, { recursive: true })
  // Wherever it lies: its own files are modules.
  writeFileSync(join(copy, 'package.json'), '{ "type": "module" }\n')
  const recorder = join(copy, 'recorder.cjs')
  writeFileSync(recorder, `'use strict'\nmodule.exports = ${record}\n`)
  const start = `"use strict";process.getBuiltinModule('node:module').createRequire(${JSON.stringify(recorder)})`
  for (const { role, file, isDismissed } of ROLES) {
    const recording: Recording = { dir: profileDir, role, samplingUs: SAMPLING_US, isDismissed }
    const path = join(copy, file)
    // In the first line, so that the lines of a profile are those of the bundle.
    writeFileSync(path, `${start}('./recorder.cjs')(${JSON.stringify(recording)});${bundleOf(path)}`)
  }
  return join(copy, 'main.js')
}

/** Without the line that a shell reads. */
const bundleOf = (path: string) => readFileSync(path, 'utf8').replace(/^#!.*/, '')
