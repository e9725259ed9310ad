// Where downloads are kept apart less well than by a process each, and why: tests hold every line, `mpdl doctor`
// prints them. Knows nothing of how it comes about.

import type { Fault } from '../core/fault.ts'
import type { IsolationName } from '../core/isolation-name.ts'

/**
 * What is lost with a download that goes wrong, where it is more than itself. Its slot: it cannot be ended and stays as
 * long as mpdl does. Its fellows: those that run beside it at the time. The run: mpdl.
 */
export type Loss = 'its slot' | 'its fellows' | 'the run'

export interface IsolationException {
  readonly mode: IsolationName
  readonly what: string
  /** The faults that show it. */
  readonly faults: readonly Fault[]
  /** Left out where nothing is lost, but less is held back. */
  readonly loss?: Loss
  readonly why: string
  /** It cannot be tried without harm to the machine. */
  readonly isUntried?: true
}

/** From the strongest to the weakest mode; `process` has none. */
export const EXCEPTIONS: readonly IsolationException[] = [
  {
    mode: 'pool',
    what: 'the sandbox',
    faults: [],
    why: 'a descriptor cannot follow a process that runs already: it may open whatever lies below --dir',
  },
  {
    mode: 'pool',
    what: 'a crash, of JavaScript or of the machine',
    faults: ['throw', 'rejection', 'segv', 'abort', 'oom', 'oom-array', 'exit0', 'exit3'],
    loss: 'its fellows',
    why: 'they share its process; each runs again in one of its own',
  },
  {
    mode: 'pool',
    what: 'code that does not come back, or a stopped process',
    faults: ['spin', 'ignore-term', 'hang-native', 'stop'],
    loss: 'its fellows',
    why: 'only the process as a whole can be ended; each runs again in one of its own',
  },
  {
    mode: 'pool',
    what: 'garbage on the wire',
    faults: ['garbage'],
    loss: 'its fellows',
    why: 'after it nothing on their common wire is believed; each runs again in a process of its own',
  },
  {
    mode: 'pool',
    what: 'descriptors, helper threads or memory used up',
    faults: ['descriptors', 'pool-stuck', 'leak'],
    loss: 'its fellows',
    why: 'the process has them for all',
  },
  {
    mode: 'thread',
    what: 'the sandbox',
    faults: [],
    why: 'a thread may do whatever mpdl itself may',
  },
  {
    mode: 'thread',
    what: 'a crash of the machine, or a stopped process',
    faults: ['segv', 'abort', 'stop'],
    loss: 'the run',
    why: 'a thread is a part of mpdl itself',
  },
  {
    mode: 'thread',
    what: 'a heap filled by one huge array',
    faults: ['oom-array'],
    loss: 'the run',
    why: 'V8 ends a thread whose heap fills little by little, and the whole program when one allocation does not fit',
  },
  {
    mode: 'thread',
    what: 'native code that does not come back',
    faults: ['hang-native'],
    loss: 'its slot',
    why: 'a thread is ended between two steps of JavaScript, or not at all',
  },
  {
    mode: 'thread',
    what: 'helper threads used up',
    faults: ['pool-stuck'],
    loss: 'the run',
    why: 'mpdl has four for all its threads, and no name is looked up without one',
  },
  {
    mode: 'thread',
    what: 'descriptors used up',
    faults: ['descriptors'],
    loss: 'its fellows',
    why: 'mpdl has them for all its threads, and none is left for those that begin meanwhile',
  },
  {
    mode: 'thread',
    what: 'memory outside the heap',
    faults: ['leak'],
    loss: 'the run',
    why: 'it is counted for the program as a whole: nobody sees whose it is',
    isUntried: true,
  },
  {
    mode: 'inline',
    what: 'the sandbox',
    faults: [],
    why: 'it is mpdl itself',
  },
  {
    mode: 'inline',
    what: 'whatever goes wrong beyond an error that is caught',
    faults: [
      ...(['throw', 'rejection', 'segv', 'abort', 'oom', 'oom-array', 'exit0', 'exit3'] as const),
      ...(['spin', 'ignore-term', 'hang-native', 'stop', 'descriptors', 'pool-stuck'] as const),
    ],
    loss: 'the run',
    why: 'it is mpdl itself: nothing can be ended from outside',
  },
  {
    mode: 'inline',
    what: 'memory outside the heap',
    faults: ['leak'],
    loss: 'the run',
    why: 'it is counted for the program as a whole: nobody sees whose it is',
    isUntried: true,
  },
]

/** The exception that says what else is lost; undefined where only the download itself is. */
export function exceptionFor(mode: IsolationName, fault: Fault): IsolationException | undefined {
  return EXCEPTIONS.find((exception) => exception.mode === mode && exception.faults.includes(fault))
}
