// Turns what the terminal and the system say into words for the run. Handlers only pass on; the loop acts.

import type { RunControls } from './run.ts'

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Listens until the returned function is called. `onStatus`: SIGUSR1. */
export function listenToSignals(
  controls: Pick<RunControls, 'interrupt' | 'signalChildren'>,
  onStatus: () => void,
): () => void {
  const listeners: [NodeJS.Signals, () => void][] = [
    ...ENDING.map((name): [NodeJS.Signals, () => void] => [name, () => controls.interrupt(name)]),
    ['SIGUSR1', onStatus],
    [
      'SIGTSTP',
      () => {
        // The children are in sessions of their own, so Ctrl-Z reaches only us: they sleep first, we last.
        controls.signalChildren('SIGSTOP')
        process.kill(process.pid, 'SIGSTOP')
      },
    ],
    ['SIGCONT', () => controls.signalChildren('SIGCONT')],
  ]
  for (const [name, listener] of listeners) process.on(name, listener)
  return () => {
    for (const [name, listener] of listeners) process.off(name, listener)
  }
}
