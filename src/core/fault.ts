// The names of the failures that can be rehearsed with --inject. The code that performs them is in a child
// bundle of its own.

export const FAULTS = {
  error: 'an error in code that is awaited: the mildest of all',
  throw: 'an error thrown in a callback, which nobody catches',
  rejection: 'a rejected promise, which nobody handles',
  spin: 'an endless loop: no heartbeat any more',
  'ignore-term': 'the same, and SIGTERM is ignored: only SIGKILL ends it',
  stop: 'SIGSTOP to itself: it sleeps for ever and no signal but SIGKILL and SIGCONT reaches it',
  segv: 'SIGSEGV to itself, as native code does that breaks',
  abort: 'abort(), as failed assertions of native code do',
  oom: 'fills the JavaScript heap with small objects until V8 gives up',
  'oom-array': 'fills the JavaScript heap with one huge array',
  leak: 'fills memory outside the heap, which V8 does not see',
  descriptors: 'opens sockets until there is no descriptor left, and takes every one that is freed',
  exit0: 'leaves with exit code 0 and without a result',
  exit3: 'leaves with exit code 3 and without a result',
  garbage: 'writes bytes on the wire that are no message',
  flood: 'sends well-formed messages without end',
  'hang-native': 'blocks inside native code: no heartbeat any more',
  'pool-stuck': 'fills the thread pool: heartbeats go on and the work does not',
} as const

export type Fault = keyof typeof FAULTS

export function isFault(text: string): text is Fault {
  return Object.hasOwn(FAULTS, text)
}
