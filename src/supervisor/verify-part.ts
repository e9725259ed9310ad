// Looks at what an unfinished download left beside its target: how far it came, and who is at it. Takes no lock, not
// even for a moment: a run that begins just then must get it.

import { lstatSync, readdirSync, statSync } from 'node:fs'
import { totalBytes } from '../core/segment.ts'
import type { PartFacts } from '../core/verify.ts'
import { readControl, survivingRanges } from './control-file.ts'
import { codeOf } from './disk-failure.ts'

/** Undefined when there is no part. */
export function lookAtPart(finalPath: string, thisBoot: string | undefined): PartFacts | undefined {
  const path = `${finalPath}.part`
  const partBytes = sizeOfFile(path)
  if (partBytes === undefined) return undefined
  const control = readControl(`${path}.json`)
  if (control === undefined) {
    return { keptBytes: partBytes, sizeBytes: undefined, isForeign: true, writerPid: undefined }
  }
  const { pid, bootId, sizeBytes, isForeign } = control
  return {
    keptBytes: totalBytes(survivingRanges(control, thisBoot, partBytes)),
    sizeBytes,
    isForeign: isForeign === true,
    writerPid: pid > 0 && bootId === thisBoot && hasOpen(pid, path) ? pid : undefined,
  }
}

function sizeOfFile(path: string): number | undefined {
  try {
    const stat = lstatSync(path, { throwIfNoEntry: false })
    return stat?.isFile() === true ? stat.size : undefined
  } catch {
    // Whatever is wrong with the directory is said of the target.
    return undefined
  }
}

/** A run that lives may be done with this file. Where the system does not tell, its being alive must do. */
function hasOpen(pid: number, path: string): boolean {
  const descriptors = `/proc/${pid}/fd`
  try {
    const { dev, ino } = lstatSync(path)
    return readdirSync(descriptors).some((name) => {
      const open = statSync(`${descriptors}/${name}`, { throwIfNoEntry: false })
      return open?.dev === dev && open.ino === ino
    })
  } catch {
    return isAlive(pid)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}
