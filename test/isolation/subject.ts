// A program of its own in which one attempt goes wrong among others: what is lost with it is judged by whoever started
// the program. argv: the isolation, the fault, a directory, URLs of three origins: no connection of one serves another.
import { writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fault } from '../../src/core/fault.ts'
import { isFault } from '../../src/core/fault.ts'
import type { IsolationName } from '../../src/core/isolation-name.ts'
import { ISOLATIONS } from '../../src/core/isolation-name.ts'
import { isolationFor } from '../../src/isolation/select.ts'
import { lookAt } from '../../src/supervisor/liveness.ts'
import { fetchOf, isolationOptions, PlayedAttempt } from './played-attempt.ts'

/** What the others of the run came to; `isEnded`: the one that went wrong could be ended. */
export interface Aftermath {
  readonly isEnded: boolean
  /** Under way when it happened. */
  readonly before: boolean
  /** Begun while it lasted. */
  readonly during: boolean
  /** Begun when all had been done that can be done about it. */
  readonly after: boolean
}

/** As often it says that it is still there. */
const SIGN_OF_LIFE_MS = 100
/** For a fault or a signal to have its effect. */
const EFFECT_MS = 500
/** For a heap to be full. */
const STRIKE_MS: { readonly [F in Fault]?: number } = { oom: 10_000, 'oom-array': 10_000 }
/** For SIGTERM: a flood must be read to its end before what follows it. */
const GRACE_MS: { readonly [F in Fault]?: number } = { flood: 5000 }
/** For the others to be done. */
const OTHERS_MS = 6000

const [, , name, fault, dir, ...urls] = process.argv
const mode = ISOLATIONS.find((each) => each === name)
if (mode === undefined || fault === undefined || !isFault(fault) || dir === undefined) {
  throw new Error('isolation, fault and directory are wanted')
}
const giveSign = () => writeSync(1, '\n')
giveSign()
setInterval(giveSign, SIGN_OF_LIFE_MS)
writeSync(1, JSON.stringify(await endure(mode, fault, dir, urls)))
// What cannot be ended keeps a program from leaving in any other way.
process.kill(process.pid, 'SIGKILL')

async function endure(mode: IsolationName, fault: Fault, dir: string, urls: readonly string[]): Promise<Aftermath> {
  // So many places in each process that all meet in one, on any machine.
  const options = isolationOptions(dir, { isRehearsal: true, jobs: 1_000_000, graceMs: 500 })
  const isolation = isolationFor(mode, options)
  const start = (url = '', fault?: Fault) =>
    new PlayedAttempt(isolation, dir, fetchOf(url), fault === undefined ? {} : { fault }).begin()

  const before = start(urls[0])
  await before.said('head')
  const culprit = start(urls[0], fault)
  await culprit.receive()
  const ended = culprit.ended().then(() => true)
  const isEndedWithin = (ms: number) => Promise.race([ended, sleep(ms, false)])
  await isEndedWithin(STRIKE_MS[fault] ?? EFFECT_MS)
  const during = isDone(() => start(urls[1]))
  await sleep(EFFECT_MS)
  const { unit } = culprit.lease
  // The watch on memory ends at once what has more than it may.
  const sight = unit !== undefined && 'pid' in unit ? lookAt(unit.pid) : undefined
  if (sight !== undefined && sight.residentBytes > options.maxMemoryBytes) culprit.lease.stop('SIGKILL')
  culprit.lease.stop('SIGTERM')
  await isEndedWithin(GRACE_MS[fault] ?? EFFECT_MS)
  culprit.lease.stop('SIGKILL')
  const isEnded = await isEndedWithin(EFFECT_MS)
  const others = await Promise.all([isDone(() => before), during, isDone(() => start(urls[2]))])
  await isolation.close()
  return { isEnded, before: others[0], during: others[1], after: others[2] }
}

async function isDone(start: () => PlayedAttempt): Promise<boolean> {
  try {
    const attempt = start()
    void attempt.receive()
    await Promise.race([attempt.ended(), sleep(OTHERS_MS)])
    return attempt.claim?.type === 'done'
  } catch {
    // Not even a file could be opened for it.
    return false
  }
}
