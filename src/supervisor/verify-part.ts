// Looks at what an unfinished download left beside its target: how far it came, and who is at it. Takes no lock, not
// even for a moment: a run that begins just then must get it.

import { lstatSync, readdirSync, statSync } from 'node:fs'
import { totalBytes } from '../core/segment.ts'
import type { PartFacts } from '../core/verify.ts'
import { type Control, readControl, survivingRanges } from './control-file.ts'
import { isAlive } from './liveness.ts'

/**
 * Undefined when there is no part. One that has just got its final name counts as one while its writer holds it: what
 * is left there is written down only after that.
 */
export function lookAtPart(finalPath: string, thisBoot: string | undefined): PartFacts | undefined {
  const path = `${finalPath}.part`
  const notePath = `${path}.json`
  const partBytes = sizeOfFile(path)
  // Asked first, because the lack of a note is the rule where there is no part.
  if (partBytes === undefined && sizeOfFile(notePath) === undefined) return undefined
  const note = readControl(notePath)
  if (partBytes === undefined) return note && lookAtFinished(finalPath, writerOf(note, finalPath, thisBoot))
  if (note === undefined) {
    return { keptBytes: partBytes, sizeBytes: undefined, isForeign: true, writerPid: undefined }
  }
  return {
    keptBytes: totalBytes(survivingRanges(note, thisBoot, partBytes)),
    sizeBytes: note.sizeBytes,
    isForeign: note.isForeign === true,
    writerPid: writerOf(note, path, thisBoot),
  }
}

function lookAtFinished(path: string, writerPid: number | undefined): PartFacts | undefined {
  const sizeBytes = sizeOfFile(path)
  if (sizeBytes === undefined || writerPid === undefined) return undefined
  return { keptBytes: sizeBytes, sizeBytes, isForeign: false, writerPid }
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

function writerOf({ pid, bootId }: Control, path: string, thisBoot: string | undefined): number | undefined {
  return pid > 0 && bootId === thisBoot && hasOpen(pid, path) ? pid : undefined
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
